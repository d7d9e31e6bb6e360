"""Claim: on 2 cores the lean step is 10x, the published step 3.5x as fast as plain PyTorch.

Samples per second of training on CIFAR-10, settings in turn within each round, in one run:

(a) DIM(L) as its authors' code computes it, in plain PyTorch (``baselines/published_dim.py``):
    eager, float32, DataLoader, published critic of width 2048, one Adam a network;
(b) skdim, the paper's settings without prior: the same critic, the same width;
(c) skdim, the lean separable critic of the same width;
(d) skdim, defaults (two views, a smaller critic) at that batch size.

Each figure is the rate of the second epoch; the first one warms up. The claim is on JSD at batch
size 64; other batch sizes and infoNCE are printed as well. If (a) needs more than ``--memory``,
it is not measured. Then (a), (b) and (c) are trained for equal steps and their codes classified, to
show what the speed costs in accuracy. (b), (c) and (d) use bfloat16 if the processor has it.

Command: SKDIM_DATA=<folder> python -m benchmarks.speed.bench_throughput
n: 5 rounds at batch size 64 (--rounds), 2 at others
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import time
from itertools import product

import numpy as np
import torch

from benchmarks.baselines.published_dim import PublishedDIM
from benchmarks.common import argument_parser, data_loader, fit_and_score, save, verdict
from skdim import DIMTransformer
from skdim._training.cuda_graph import WORTHWHILE

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# On a GPU, a step is bound by the launches of its kernels: about 195 in (c), in one graph.
LEAST = {"cpu": {"b": 3.5, "c": 10.0}, "cuda": {"b": 1.0, "c": 8.0}}[DEVICE]
NAMES = {
    "a": "plain PyTorch, published",
    "b": "skdim, published critic",
    "c": "skdim, lean critic",
    "d": "skdim, defaults",
}


def build(name: str, mi_estimator: str, batch_size: int, **params) -> DIMTransformer:
    params = {"batch_size": batch_size, "random_state": 0, **params}
    if name == "d":
        return DIMTransformer(mi_estimator=mi_estimator, **params)
    critic = {"b": "separable_published", "c": "separable"}[name]
    return DIMTransformer.paper(
        "local", mi_estimator, critic=critic, prior_weight=0.0, precision="auto", **params
    )


def standardize(X) -> torch.Tensor:
    images = torch.from_numpy(X).permute(0, 3, 1, 2).float()
    axes = (0, 2, 3)
    images = (images - images.mean(axes, keepdim=True)) / images.std(axes, keepdim=True)
    return images.contiguous()


def rate(name: str, mi_estimator: str, batch_size: int, X) -> float:
    """Samples per second of the second epoch."""
    if name != "a":
        dim = build(name, mi_estimator, batch_size, max_epochs=2).fit(X)
        return dim.history_[-1]["samples_per_second"]
    images = standardize(X)
    baseline = PublishedDIM(mi_estimator, batch_size, device=DEVICE)
    baseline.train_epoch(images)
    start = time.perf_counter()
    baseline.train_epoch(images)
    return len(images) / (time.perf_counter() - start)


def rate_or_none(*arguments) -> float | None:
    """None where memory does not suffice."""
    try:
        return rate(*arguments)
    except (MemoryError, RuntimeError) as error:
        if "memory" not in str(error):
            raise
        return None


def needed_by_published(mi_estimator: str, n: int, n_locations: int = 64, width: int = 2048) -> int:
    """Bytes of the tensors that (a) keeps at least: layers of its critic, tables of scores."""
    layers = 7 * n * n_locations * width
    pairs = n * n * n_locations
    return 4 * (layers + (6 * pairs if mi_estimator == "jsd" else 4 * pairs * n_locations))


def accuracy(name: str, epochs: int, X, y, X_test, y_test) -> tuple[float, float]:
    """Accuracy of LogisticRegression on the codes, and seconds of training."""
    start = time.perf_counter()
    if name == "a":
        model, train, test = PublishedDIM(device=DEVICE), standardize(X), standardize(X_test)
        for _ in range(epochs):
            model.train_epoch(train)
    else:
        train, test = X, X_test
        model = build(name, "jsd", 64, max_epochs=epochs).fit(X)
    seconds = time.perf_counter() - start
    codes = model.transform(train)
    mean, scale = codes.mean(0), codes.std(0) + 1e-6
    codes, others = (codes - mean) / scale, (model.transform(test) - mean) / scale
    return fit_and_score(codes, y, others, y_test, max_iter=1000)[0], seconds


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="at batch 64; others take a third")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 512, 1024])
    parser.add_argument("--epochs", type=int, default=4, help="of the comparison of accuracy")
    parser.add_argument("--memory", type=float, default=16.0, help="GiB that (a) may fill")
    arguments = parser.parse_args()
    data = data_loader()
    X, y = data.load_cifar10("train", n=5000 if DEVICE == "cpu" else None)
    X_test, y_test = data.load_cifar10("test")
    rows = []
    print(f"{'batch':>5} {'estimator':<9} " + " ".join(f"{NAMES[n]:>25}" for n in NAMES))
    for batch_size, mi_estimator in product(arguments.batches, ("jsd", "infonce")):
        # On a GPU, so many that steps are captured in the first of two epochs.
        n_steps = 2 if DEVICE == "cpu" else WORTHWHILE // 2
        n_samples = min(len(X), max(512, n_steps * batch_size))
        rates = {name: [] for name in NAMES}
        for _ in range(arguments.rounds if batch_size == 64 else -(-arguments.rounds // 3)):
            for name in NAMES:
                fits = needed_by_published(mi_estimator, batch_size) <= arguments.memory * 2**30
                if name != "a" or fits:
                    rates[name].append(rate_or_none(name, mi_estimator, batch_size, X[:n_samples]))
        row = {"batch": batch_size, "estimator": mi_estimator, "samples_per_second": rates}
        rows.append(row)
        print(
            f"{batch_size:>5} {mi_estimator:<9} " + " ".join(cell(row, n) for n in NAMES),
            flush=True,
        )
    X, y = X[:5000], y[:5000]
    print(f"\nequal steps ({arguments.epochs} epochs of 5,000 images, batch size 64, JSD):")
    probes = {}
    for name in "abc":
        score, seconds = accuracy(name, arguments.epochs, X, y, X_test, y_test)
        probes[name] = {"accuracy": score, "seconds": seconds}
        print(f"{NAMES[name]:<26} {score:.4f}  {seconds:6.0f} s", flush=True)
    save(f"throughput_{DEVICE}", {"rows": rows, "equal_steps": probes})
    first = rows[0]
    verdict(
        {
            f"{NAMES[name]} at {ratio(first, name):.1f}x of plain PyTorch, at least {least}x "
            f"(batch {first['batch']}, {first['estimator']})": ratio(first, name) >= least
            for name, least in LEAST.items()
        }
    )


def median(row: dict, name: str) -> float | None:
    values = row["samples_per_second"][name]
    return None if not values or None in values else float(np.median(values))


def ratio(row: dict, name: str) -> float:
    """Median of the rounds' ratios to (a)."""
    ours, plain = (row["samples_per_second"][n] for n in (name, "a"))
    return float(np.median([mine / theirs for mine, theirs in zip(ours, plain, strict=True)]))


def cell(row: dict, name: str) -> str:
    middle = median(row, name)
    if middle is None:
        return f"{'does not fit':>25}"
    values = row["samples_per_second"][name]
    text = f"{middle:.0f} ({min(values):.0f}-{max(values):.0f})"
    if name != "a" and median(row, "a"):
        text += f" {ratio(row, name):5.1f}x"
    return f"{text:>25}"


if __name__ == "__main__":
    main()
