"""Claim: averages over similar samples, and limited variance, are better features.

One fit for each data set and seed, with default parameters but ``neighbor_averaging=True``, which
is the default of images, signals and volumes. Both outputs of the hidden layer are read from it
twice: averaged over similar samples of ``fit``, and by themselves, with the same variance in all.
The hidden layer is also read with a mean variance of 1. LogisticRegression with 10 and 50 labels a
class (means of three draws) and with all, at most 4,000, on test samples; C is the default.
"cifar10", all 50,000 photographs, is measured only if it is named.

In the mean over images and signals, averages must be better with few labels, for both outputs, and
with all labels not worse by more than 0.002. For tables, they are measured for comparison. As it
is, the hidden layer must be better with all labels than with a mean variance of 1, in the mean over
tables, and over images and signals, and with few labels not worse by more than 0.002.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_readouts
n: 2 seeds
Hardware: 2 cores of an AMD EPYC, no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings
from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.accuracy.bench_features import draw
from benchmarks.accuracy.bench_tables import TABLES, at_most
from benchmarks.common import Cells, argument_parser, fit_and_score, verdict
from benchmarks.datasets import Data, load
from skdim import DIMTransformer

DATA = ("digits", "clothes", "cifar10-5k", "JapaneseVowels", "sensors", "words")
ARRAYS = (*DATA, "cifar10")
OUTPUTS = ("components", "hidden")
PER_CLASS, N_DRAWS, N_LABELLED, MAX_ITER = (10, 50), 3, 4000, 200


def cell(data: Data, params: dict, seed: int) -> dict:
    """Accuracies by output, by whether it is averaged, and by its variance."""
    dim = DIMTransformer(neighbor_averaging=True, random_state=seed, **params).fit(data.X)
    X, y = labelled(data, seed)
    readouts = dim.model_.readouts
    ways = {"averaged": readouts, "by itself": {k: r.by_itself for k, r in readouts.items()}}
    accuracy = {}
    for output in OUTPUTS:
        dim.set_params(output=output)
        variances = {}
        for way, dim.model_.readouts in ways.items():
            train, test = dim.transform(X), dim.transform(data.X_test)
            variance = train.var(0).sum()
            variances.setdefault("", variance)  # that of averages
            if output == "hidden":
                variances[", variance 1"] = train.shape[1]
            for name, wanted in variances.items():
                scale = np.float32(np.sqrt(wanted / variance))
                accuracy[f"{output}, {way}{name}"] = classify(
                    train * scale, y, test * scale, data.y_test, seed
                )
    return {"accuracy": accuracy}


def labelled(data: Data, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `N_LABELLED` samples of the training part, and their labels."""
    chosen = np.random.default_rng(seed).permutation(len(data.X))[:N_LABELLED]
    return data.X[chosen], data.y[chosen]


def classify(train, y, test, y_test, seed: int) -> dict[str, float]:
    """Accuracy with few labels and with all."""
    score = partial(fit_and_score, test=test, y_test=y_test, max_iter=MAX_ITER)
    scores = {"all": score(train, y)[0]}
    for n in PER_CLASS:
        if np.unique(y, return_counts=True)[1].min() > n:
            draws = [draw(y, n, [seed, k]) for k in range(N_DRAWS)]
            scores[f"{n} a class"] = float(np.mean([score(train[i], y[i])[0] for i in draws]))
    return scores


def load_any(name: str, seed: int) -> tuple[Data, dict]:
    """A data set of arrays or a table, and the parameters that `DIMTransformer` needs for it."""
    if name in ARRAYS:
        data = load(name)
        return data, data.params
    table = at_most(TABLES[name](), seed)
    data = Data("rows", table.X, table.y, table.X_test, table.y_test)
    return data, {"column_groups": table.groups}


def main():
    too_small = ("iris", "wine")
    tables = [name for name in TABLES if name not in (*DATA, *too_small)]  # digits are images here
    names = [*DATA, *tables]
    parser = argument_parser(__doc__)
    parser.add_argument("--data", nargs="+", default=names, choices=[*ARRAYS, *tables])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # a few hundred iterations are a choice
    results = Cells("readouts", fresh=arguments.fresh)
    means: dict[tuple[str, str], dict[str, list[float]]] = {}
    for name in arguments.data:
        cells = []
        for seed in range(arguments.seeds):
            data, params = load_any(name, seed)
            cells.append(results.get(f"{name}|{seed}", partial(cell, data, params, seed)))
        kind = "images and signals" if name in ARRAYS else "tables"
        for features in cells[0]["accuracy"]:
            rows = {
                labels: [c["accuracy"][features][labels] for c in cells]
                for labels in cells[0]["accuracy"][features]
            }
            text = "  ".join(f"{k}: {np.mean(v):.3f} +- {np.std(v):.3f}" for k, v in rows.items())
            print(f"{name:<16} {features:<32} {text}", flush=True)
            for labels, values in rows.items():
                columns = means.setdefault((kind, labels), {})
                columns.setdefault(features, []).append(float(np.mean(values)))
    verdict(
        {text: holds for case, columns in means.items() for text, holds in gains(*case, columns)}
    )


def gains(kind: str, labels: str, columns: dict[str, list[float]]) -> Iterator[tuple[str, bool]]:
    """What is claimed, from the accuracy of the same data sets for each kind of features."""
    accuracy = {features: float(np.mean(values)) for features, values in columns.items()}
    default = "averaged" if kind == "images and signals" else "by itself"
    gain = accuracy[f"hidden, {default}"] - accuracy[f"hidden, {default}, variance 1"]
    text = f"limited variance of hidden, {kind}, {labels}: {gain:+.3f}"
    yield text, gain > (0.0 if labels == "all" else -0.002)
    for output in OUTPUTS:
        gain = accuracy[f"{output}, averaged"] - accuracy[f"{output}, by itself"]
        text = f"averages of {output}, {kind}, {labels}: {gain:+.3f}"
        if kind == "tables":
            print(text)
        else:
            yield text, gain > (-0.002 if labels == "all" else 0.0)


if __name__ == "__main__":
    main()
