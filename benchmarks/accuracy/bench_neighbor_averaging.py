"""Claim: averages over similar samples are better features, most of all with few labels.

One fit for each data set and seed, with default parameters but ``neighbor_averaging=True``, which
is the default of images, signals and volumes. Both outputs of the hidden layer are read from it
twice: averaged over similar samples of ``fit``, and by themselves. LogisticRegression with 10 and
50 labels a class (means of three draws) and with all, or 4,000 of them, on test samples.

In the mean over images and signals, accuracy must be higher with few labels, for both outputs. With
all labels, it must not be lower by more than 0.002. Tables are measured for comparison.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_neighbor_averaging
n: 2 seeds
Hardware: 2 cores of an AMD EPYC, no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings
from functools import partial

import numpy as np

from benchmarks.accuracy.bench_features import draw
from benchmarks.accuracy.bench_tables import TABLES, at_most
from benchmarks.common import Cells, argument_parser, fit_and_score, verdict
from benchmarks.datasets import Data, load
from skdim import DIMTransformer

DATA = ("digits", "clothes", "cifar10-5k", "JapaneseVowels", "sensors", "words")
OUTPUTS = ("components", "hidden")
PER_CLASS, N_DRAWS, N_ALL, MAX_ITER = (10, 50), 3, 4000, 200


def cell(data: Data, params: dict, seed: int) -> dict:
    """Accuracies by output and by whether it is averaged."""
    dim = DIMTransformer(neighbor_averaging=True, random_state=seed, **params).fit(data.X)
    readouts = dim.model_.readouts
    ways = {"averaged": readouts, "by itself": {k: r.by_itself for k, r in readouts.items()}}
    accuracy = {}
    for way, dim.model_.readouts in ways.items():
        for output in OUTPUTS:
            dim.set_params(output=output)
            features = dim.transform(data.X), data.y, dim.transform(data.X_test), data.y_test
            accuracy[f"{output}, {way}"] = classify(*features, seed)
    return {"accuracy": accuracy}


def classify(train, y, test, y_test, seed: int) -> dict[str, float]:
    """Accuracy with few labels and with all."""
    score = partial(fit_and_score, test=test, y_test=y_test, max_iter=MAX_ITER)
    every = np.random.default_rng(seed).permutation(len(y))[:N_ALL]
    scores = {"all": score(train[every], y[every])[0]}
    for n in PER_CLASS:
        if np.unique(y, return_counts=True)[1].min() > n:
            draws = [draw(y, n, [seed, k]) for k in range(N_DRAWS)]
            scores[f"{n} a class"] = float(np.mean([score(train[i], y[i])[0] for i in draws]))
    return scores


def load_any(name: str, seed: int) -> tuple[Data, dict]:
    """A data set of arrays or a table, and the parameters that `DIMTransformer` needs for it."""
    if name in DATA:
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
    parser.add_argument("--data", nargs="+", default=names, choices=names)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # a few hundred iterations are a choice
    results = Cells("neighbor_averaging", fresh=arguments.fresh)
    gains: dict[tuple[str, str, str], list[float]] = {}
    for name in arguments.data:
        cells = []
        for seed in range(arguments.seeds):
            data, params = load_any(name, seed)
            cells.append(results.get(f"{name}|{seed}", partial(cell, data, params, seed)))
        for output in OUTPUTS:
            for labels in cells[0]["accuracy"][f"{output}, averaged"]:
                averaged, own = (
                    np.array([c["accuracy"][f"{output}, {way}"][labels] for c in cells])
                    for way in ("averaged", "by itself")
                )
                kind = "images and signals" if name in DATA else "tables"
                gain = float((averaged - own).mean())
                gains.setdefault((kind, output, labels), []).append(gain)
                print(
                    f"{name:<16} {output:<11} {labels:<11} by itself {own.mean():.3f} +- "
                    f"{own.std():.3f}, averaged {averaged.mean():.3f} +- {averaged.std():.3f}",
                    flush=True,
                )
    claims = {}
    for (kind, output, labels), values in sorted(gains.items()):
        mean = float(np.mean(values))
        summary = f"{kind}, {output}, {labels}: {mean:+.3f} in the mean of {len(values)} sets"
        if kind == "tables":
            print(summary)
        else:
            claims[summary] = mean > (-0.002 if labels == "all" else 0.0)
    verdict(claims)


if __name__ == "__main__":
    main()
