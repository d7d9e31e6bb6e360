"""Claim: with 1,000, 5,000 and 50,000 images of CIFAR-10, DIM beats raw pixels and PCA.

All images are labelled; the classifier is LogisticRegression. Each extractor sees only the images
of its size. DIM is the default, read out as 64 components and as its hidden layer. The C of
LogisticRegression is the best of four on a fifth of the images (15,000 of them at most), for every
extractor. Accuracy is that on the 10,000 test images.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_sizes
n: 1 seed (--seeds)
Hardware: not measured yet
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import time
import warnings
from functools import partial

import numpy as np
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from benchmarks.common import (
    Cells,
    argument_parser,
    choose_C,
    data_loader,
    fit_and_score,
    flatten_pixels,
    mean_and_std,
    verdict,
)
from skdim import DIMTransformer

CS = (1e-3, 1e-2, 1e-1, 1.0)
N_TO_CHOOSE = 15_000
MAX_ITER = 200


def raw(X, X_test, seed):
    yield "raw pixels", flatten_pixels(X), flatten_pixels(X_test)


def pca(X, X_test, seed):
    model = PCA(64, whiten=True, random_state=seed).fit(flatten_pixels(X))
    yield "PCA-64", model.transform(flatten_pixels(X)), model.transform(flatten_pixels(X_test))


def dim(X, X_test, seed):
    model = DIMTransformer(random_state=seed).fit(X)
    for name, output in (("DIM-64", "components"), ("DIM, hidden", "hidden")):
        model.set_params(output=output)
        yield name, model.transform(X), model.transform(X_test)


def probe(features, y, features_test, y_test, seed) -> tuple[float, float]:
    """Accuracy on the test images, and the C that was best on images held out of training."""
    part, held, y_part, y_held = train_test_split(
        features[:N_TO_CHOOSE], y[:N_TO_CHOOSE], test_size=0.2, random_state=seed
    )
    C = choose_C(part, y_part, held, y_held, CS, MAX_ITER)
    accuracy, _ = fit_and_score(features, y, features_test, y_test, C=C, max_iter=MAX_ITER)
    return accuracy, C


def cell(extract, data: tuple, seed: int) -> dict:
    """Features of one extractor, each output with its accuracy."""
    X, y, X_test, y_test = data
    start = time.perf_counter()
    results: dict = {}
    for name, train, test in extract(X, X_test, seed):
        results.setdefault("seconds to features", time.perf_counter() - start)
        accuracy, C = probe(train, y, test, y_test, seed)
        results[name] = {"accuracy": accuracy, "C": C, "width": train.shape[1]}
    return results


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 50_000])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # two hundred iterations are a choice
    X_test, y_test = data_loader().load_cifar10("test")
    cells = Cells("sizes", fresh=arguments.fresh)
    claims = {}
    for size in arguments.sizes:
        X, y = data_loader().load_cifar10("train", n=size)
        data = (X, y, X_test, y_test)
        accuracies = {}
        for seed in range(arguments.seeds):
            for extract in (raw, pca, dim):
                key = f"{extract.__name__}|{size}|{seed}"
                for name, result in cells.get(key, partial(cell, extract, data, seed)).items():
                    if name != "seconds to features":
                        accuracies.setdefault(name, []).append(result["accuracy"])
        print(
            f"{size:>6} images ",
            "  ".join(f"{k}: {mean_and_std(v)}" for k, v in accuracies.items()),
        )
        best = max(np.mean(accuracies["raw pixels"]), np.mean(accuracies["PCA-64"]))
        claims[f"{size} images: DIM-64 over raw pixels and PCA"] = (
            np.mean(accuracies["DIM-64"]) > best
        )
    verdict(claims)


if __name__ == "__main__":
    main()
