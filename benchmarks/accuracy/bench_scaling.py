"""Claim: features of photographs grow with the time of training and with unlabelled samples.

CIFAR-10 without labels, then LogisticRegression with 10, 50 and 500 labels a class (mean of three
draws) and with all labels of the 50,000 training images, on the test images; C is the default, and
with all labels 1e-3 for wide features of variance 1. "skdim" is the hidden layer of a default fit
with ``max_time``, "skdim, components" its 64 components. SimCLR trains the same network for the
same seconds; DIM(L) is the paper's network and objective, its 1,024 hidden units; "untrained" is
the network of skdim without training; k-means patches learn nothing but patches.

The hidden layer of skdim must be better after more time, with every number of labels, better with
more unlabelled images, and ahead of all others in the same seconds.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_scaling
n: 1 seed
Hardware: 2 cores of an Intel Xeon with AMX, no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import time
import warnings
from functools import partial
from itertools import pairwise

import numpy as np
import torch

from benchmarks.accuracy.bench_cifar10 import patches
from benchmarks.accuracy.bench_features import draw
from benchmarks.baselines.published_dim import PublishedDIM
from benchmarks.baselines.simclr import SimCLR
from benchmarks.common import Cells, argument_parser, data_loader, fit_and_score, verdict
from skdim import DIMTransformer

LABELS_PER_CLASS = (10, 50, 500)
N_DRAWS, MAX_ITER = 3, 100
# With all labels, features are wide from this number on. If their variance is 1, this C is the best
# of four in bench_cifar10.
WIDE, C_OF_ALL = 1000, 1e-3
N_ALL = 50_000
SECONDS = (60, 300, 900, 1800)
SIZES = (2000, 10_000)
SECONDS_OF_SIZES = 300

Features = tuple[np.ndarray, np.ndarray]


# By the number of images and the seconds: every output is read from the same fit.
FITTED: dict[tuple[int, float], DIMTransformer] = {}


def skdim(X, X_train, X_test, seconds: float, output: str = "hidden") -> Features:
    key = len(X), seconds
    if key not in FITTED:
        dim = DIMTransformer(max_epochs=10_000, max_time=seconds, random_state=0)
        FITTED[key] = dim.fit(X)
    dim = FITTED[key].set_params(output=output)
    return dim.transform(X_train), dim.transform(X_test)


def untrained(X, X_train, X_test, seconds: float) -> Features:
    dim = DIMTransformer(max_epochs=1, learning_rate=1e-12, output="hidden", random_state=0).fit(X)
    return dim.transform(X_train), dim.transform(X_test)


def simclr(X, X_train, X_test, seconds: float) -> Features:
    """A first epoch, which is not counted, says how many epochs fit into the seconds."""
    settings = {
        "encoder": "conv",
        "encoder_params": {"n_patches": 0},
        "batch_size": 256,
        "learning_rate": 1e-3,
        "random_state": 0,
    }
    first = SimCLR(**settings, max_epochs=1).fit(X).history_[0]["seconds"]
    model = SimCLR(**settings, max_epochs=max(1, round(seconds / first))).fit(X)
    return _standardize(model.transform(X_train), model.transform(X_test))


def published_dim(X, X_train, X_test, seconds: float) -> Features:
    """Whole epochs until the seconds are over."""
    mean, scale = X.mean((0, 1, 2)), X.std((0, 1, 2))
    images, train, test = (
        torch.from_numpy(((x - mean) / scale).astype(np.float32)).permute(0, 3, 1, 2).contiguous()
        for x in (X, X_train, X_test)
    )
    model = PublishedDIM()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        model.train_epoch(images)
    return _standardize(model.hidden_units(train), model.hidden_units(test))


def k_means_patches(X, X_train, X_test, seconds: float) -> Features:
    ((_, train, test),) = patches(X_train, X_test, 0, seconds)
    return train, test


def _standardize(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, scale = train.mean(0), train.std(0) + 1e-6
    return (train - mean) / scale, (test - mean) / scale


OURS = {"skdim": skdim, "skdim, components": partial(skdim, output="components")}
TRAINED = {**OURS, "SimCLR": simclr, "DIM(L)": published_dim}
FIXED = {"untrained": untrained, "k-means patches": k_means_patches}


def cell(extract, X, y, X_test, y_test, n: int, seconds: float) -> dict:
    """Accuracies by the number of labels a class."""
    start = time.perf_counter()
    train, test = extract(X[:n], X, X_test, seconds)
    took = time.perf_counter() - start
    accuracy = {}
    for k in LABELS_PER_CLASS:
        draws = (draw(y, k, [0, i]) for i in range(N_DRAWS))
        scores = [fit_and_score(train[i], y[i], test, y_test, max_iter=MAX_ITER)[0] for i in draws]
        accuracy[str(k)] = float(np.mean(scores))
    C = C_OF_ALL / train.var(0).mean() if train.shape[1] >= WIDE else 1.0
    accuracy["all"], _ = fit_and_score(train, y, test, y_test, C=C, max_iter=MAX_ITER)
    return {"seconds with transform": took, "accuracy": accuracy}


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--seconds", type=float, nargs="+", default=SECONDS)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument(
        "--extractors", nargs="+", default=[*TRAINED, *FIXED], choices=[*TRAINED, *FIXED]
    )
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # a hundred iterations are a choice
    loader = data_loader()
    data = (*loader.load_cifar10("train"), *loader.load_cifar10("test"))
    results = Cells("scaling", fresh=arguments.fresh)
    jobs = [(name, N_ALL, 0.0) for name in FIXED]
    jobs += [(name, N_ALL, seconds) for seconds in arguments.seconds for name in TRAINED]
    jobs += [("skdim", n, float(SECONDS_OF_SIZES)) for n in arguments.sizes]
    for name, n, seconds in jobs:
        if name not in arguments.extractors:
            continue
        compute = partial(cell, {**TRAINED, **FIXED}[name], *data, n, seconds)
        record = results.get(f"{name}|{n}|{seconds:g} s", compute)
        row = "  ".join(f"{k}: {value:.3f}" for k, value in record["accuracy"].items())
        print(f"{name:<17} {n:>6} images {seconds:>5g} s  {row}", flush=True)
    verdict(claims(results.cells))


def claims(cells: dict[str, dict]) -> dict[str, bool]:
    """What must hold for the cells that were measured."""
    accuracy = {key: cell["accuracy"] for key, cell in cells.items()}
    by_seconds = [f"skdim|{N_ALL}|{s:g} s" for s in SECONDS]
    by_size = [f"skdim|{n}|{SECONDS_OF_SIZES:g} s" for n in (*SIZES, N_ALL)]
    outcomes = {}
    for curve in (by_seconds, by_size):
        known = [key for key in curve if key in accuracy]
        for less, more in pairwise(known):
            is_better = all(accuracy[more][k] > accuracy[less][k] for k in accuracy[more])
            outcomes[f"{more} is above {less} with every number of labels"] = is_better
    for key, theirs in accuracy.items():
        name, n, seconds = key.split("|")
        ours = f"skdim|{n}|{seconds}" if name in TRAINED else f"skdim|{n}|{SECONDS_OF_SIZES:g} s"
        if name not in OURS and ours in accuracy:
            is_ahead = all(accuracy[ours][k] > theirs[k] for k in theirs)
            outcomes[f"{ours} is above {key} with every number of labels"] = is_ahead
    return outcomes


if __name__ == "__main__":
    main()
