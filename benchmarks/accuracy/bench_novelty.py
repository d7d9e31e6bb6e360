"""Claim: skdim's score finds novelties at least as well as simple detectors on its own features.

Area under the ROC curve of normal samples that were not in fit against novelties: samples of
classes that were kept out, noise (each value uniform between its extremes in fit), normal samples
in other units (times 10), and their negatives. "skdim" is `DIMOutlierDetector` with defaults, and
has the scores of `DIMTransformer`. IsolationForest, LocalOutlierFactor and the mean distance to the
5 nearest neighbours are measured on raw values behind a StandardScaler, and on the components that
``transform`` returns. Also measured is how many normal samples and novelties are below the
threshold, for a contamination of 0.05 and for "auto".

The claim holds if skdim's mean over all cells is at least that of each other method, and if at most
0.1 of the normal samples are below the threshold for 0.05.

Every cell is written when it is computed. A run that is longer than ``--max-time`` stops, and goes
on when it is started again. Without SKDIM_DATA, only the data sets of scikit-learn are measured.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_novelty
n: 3 seeds of split, classes kept out and fit; 4 data sets, 2 of them without SKDIM_DATA
Hardware: 1 core of an Intel Xeon (avx512), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import IsolationForest
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler

from benchmarks.common import Cells, argument_parser, flatten, print_machine, verdict
from benchmarks.datasets import ucr
from skdim import DIMOutlierDetector, DIMTransformer

SEEDS = (0, 1, 2)
CONTAMINATIONS = (0.05, "auto")


class Task(NamedTuple):
    """Samples, which of them are novel by their class, and parameters of the transformer."""

    X: np.ndarray
    is_novel: np.ndarray
    params: dict


def cancer(seed: int) -> Task:
    """A table: benign tumours are normal, malignant ones are novel."""
    data = load_breast_cancer()
    return Task(data.data, data.target == 0, {})


def digits(seed: int) -> Task:
    """Images: two of ten digits are novel."""
    data = load_digits()
    return Task(data.images, kept_out(data.target, seed), {})


def signals(name: str, seed: int) -> Task:
    """Signals: one class in five is novel, and at least one."""
    data = ucr(name)
    y = np.concatenate([data.y, data.y_test])
    return Task(np.concatenate([data.X, data.X_test]), kept_out(y, seed), data.params)


def kept_out(y: np.ndarray, seed: int) -> np.ndarray:
    """Which samples are of the classes that are kept out: others with each seed."""
    classes = np.unique(y)
    return np.isin(y, np.roll(classes, -2 * seed)[-max(1, len(classes) // 5) :])


TASKS: dict[str, Callable[[int], Task]] = {
    "breast_cancer": cancer,
    "digits": digits,
    **{name: partial(signals, name) for name in ("GunPoint", "JapaneseVowels")},
}
OF_SKLEARN = ("breast_cancer", "digits")

# From the normal samples of fit, and others, to a novelty.
NOVELTIES = {
    "noise": lambda fit, held_out, rng: rng.uniform(fit.min(0), fit.max(0), held_out.shape),
    "times 10": lambda fit, held_out, rng: 10 * held_out,
    "negative": lambda fit, held_out, rng: -held_out,
}


class NearestDistance:
    """Minus the mean distance to the 5 nearest samples of fit."""

    def fit(self, X):
        """Remember X."""
        self.neighbors = NearestNeighbors(n_neighbors=5).fit(X)
        return self

    def score_samples(self, X):
        """Return the scores (n,) of X (n, n_columns)."""
        return -self.neighbors.kneighbors(X)[0].mean(1)


DETECTORS = {
    "IsolationForest": lambda seed: IsolationForest(random_state=seed),
    "LocalOutlierFactor": lambda seed: LocalOutlierFactor(novelty=True),
    "5 nearest": lambda seed: NearestDistance(),
}
METHODS = ("skdim", *(f"{name}, {on}" for on in ("raw", "components") for name in DETECTORS))


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--max-time", type=float, default=160, help="seconds")
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    results = Cells("novelty", fresh=arguments.fresh)
    names = TASKS if os.environ.get("SKDIM_DATA") else OF_SKLEARN
    for seed in SEEDS:
        for name in names:
            if time.perf_counter() - start > arguments.max_time:
                sys.exit(f"{len(results.cells)} cells are written; run it again to go on.")
            results.get(f"{name}|{seed}", partial(cell, TASKS[name](seed), seed))
    auroc = {
        (name, novelty): {
            method: mean(results, name, "auroc", novelty, method) for method in METHODS
        }
        for name in names
        for novelty in (*NOVELTIES, "kept out")
    }
    report(auroc, results, names)
    print_machine()
    means = {method: np.mean([row[method] for row in auroc.values()]) for method in METHODS}
    false_alarms = np.mean([mean(results, name, "below", "0.05", "normal") for name in names])
    verdict(
        {
            f"above {method} by {means['skdim'] - value:+.3f}": means["skdim"] >= value
            for method, value in means.items()
            if method != "skdim"
        }
        | {f"normal samples below the threshold: {false_alarms:.3f}": false_alarms <= 0.1}
    )


def cell(task: Task, seed: int) -> dict:
    """Areas under the curve by novelty and method, and what part of each is below the threshold."""
    normal = task.X[~task.is_novel]
    fit, held_out = train_test_split(normal, random_state=seed)
    rng = np.random.default_rng(seed)
    novel = {name: make(fit, held_out, rng) for name, make in NOVELTIES.items()}
    novel["kept out"] = task.X[task.is_novel]
    sets = {"normal": held_out, **novel}
    dim = DIMTransformer(random_state=seed, **task.params).fit(fit)
    detector = DIMOutlierDetector(FrozenEstimator(dim)).fit(fit)
    scores = {"skdim": {name: detector.score_samples(X) for name, X in sets.items()}}
    scaler = StandardScaler().fit(flatten(fit))
    spaces = {"raw": lambda X: scaler.transform(flatten(X)), "components": dim.transform}
    for space, compute in spaces.items():
        features = {name: compute(X) for name, X in {**sets, "fit": fit}.items()}
        for name, make in DETECTORS.items():
            baseline = make(seed).fit(features["fit"])
            scores[f"{name}, {space}"] = {
                kind: baseline.score_samples(features[kind]) for kind in sets
            }
    is_normal = {kind: np.repeat([1, 0], [len(held_out), len(X)]) for kind, X in novel.items()}
    below = {}
    for contamination in CONTAMINATIONS:
        offset = detector.set_params(contamination=contamination).fit(fit).offset_
        below[str(contamination)] = {
            kind: float((values < offset).mean()) for kind, values in scores["skdim"].items()
        }
    return {
        "n": len(fit),
        "auroc": {
            kind: {
                method: roc_auc_score(is_normal[kind], np.r_[values["normal"], values[kind]])
                for method, values in scores.items()
            }
            for kind in novel
        },
        "below": below,
    }


def mean(results: Cells, name: str, measure: str, *keys: str) -> float:
    """The mean over seeds of a figure of a data set."""
    values = []
    for seed in SEEDS:
        value = results.cells[f"{name}|{seed}"][measure]
        for key in keys:
            value = value[key]
        values.append(value)
    return float(np.mean(values))


def report(auroc: dict, results: Cells, names) -> None:
    print(f"{'':<28}" + "".join(f"{method:>32}" for method in METHODS))
    for (name, novelty), row in auroc.items():
        print(f"{name + ', ' + novelty:<28}" + "".join(f"{value:>32.3f}" for value in row.values()))
    for novelty in (*NOVELTIES, "kept out"):
        rows = [row for (_, kind), row in auroc.items() if kind == novelty]
        means = "".join(f"{np.mean([row[m] for row in rows]):>32.3f}" for m in METHODS)
        print(f"{'mean, ' + novelty:<28}{means}")
    for name in names:
        for contamination in map(str, CONTAMINATIONS):
            parts = (
                f"{kind} {mean(results, name, 'below', contamination, kind):.3f}"
                for kind in ("normal", *NOVELTIES, "kept out")
            )
            print(f"{name}, below the threshold for {contamination}: {', '.join(parts)}")


if __name__ == "__main__":
    main()
