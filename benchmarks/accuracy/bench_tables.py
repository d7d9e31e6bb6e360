"""Claim: on eleven tables, components of a default fit beat the columns in the mean.

Balanced accuracy of LogisticRegression with all labels and with 20 a class (mean of four draws),
mean over tables and seeds; in how many tables each extractor beats the columns, and what it loses
on the worst. Extractors see at most 2,000 rows of the training part, without labels. Gradient
boosting on the labels is measured for comparison.

Every cell is written when it is computed; run again, the command continues (``--fresh`` starts
over).

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_tables
n: 3 seeds, 11 tables: 4 of scikit-learn, 5 of the folder, 2 generated
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
    make_hastie_10_2,
)
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomTreesEmbedding
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from benchmarks.accuracy.bench_features import draw
from benchmarks.common import Cells, argument_parser, data_loader, features_by_output, verdict
from benchmarks.datasets import DATASETS
from skdim import DIMTransformer

N_TRAINED_ON = 2000
N_PER_CLASS = 20
N_DRAWS = 4


class Table(NamedTuple):
    """Rows and labels; ``groups`` are the columns of each one-hot code."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    groups: list | None = None


def split(load: Callable) -> Table:
    """A data set of scikit-learn, 40 % of it to test on."""
    X, y = load(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0, stratify=y)
    return Table(X, y, X_test, y_test)


def packed(name: str) -> Table:
    """A table of the folder."""
    data = data_loader()
    groups = data.table_groups(name) or None
    return Table(*data.load_table(name, "train"), *data.load_table(name, "test"), groups)


def known(name: str) -> Table:
    """A data set that other benchmarks use, too."""
    _, *arrays = DATASETS[name]()
    return Table(*arrays)


def hastie() -> Table:
    """Ten normal columns; the class is whether their squares add up to more than usual."""
    X, y = make_hastie_10_2(8000, random_state=0)
    return Table(X[:4000], (y[:4000] > 0).astype(int), X[4000:], (y[4000:] > 0).astype(int))


def clusters() -> Table:
    """Four classes of two clusters each in 8 of 20 columns."""
    X, y = make_classification(
        6000, 20, n_informative=8, n_redundant=4, n_classes=4, random_state=0
    )
    return Table(X[:3000], y[:3000], X[3000:], y[3000:])


TABLES: dict[str, Callable[[], Table]] = {
    "iris": partial(split, load_iris),
    "wine": partial(split, load_wine),
    "breast_cancer": partial(split, load_breast_cancer),
    "digits": partial(split, load_digits),
    "letter": partial(known, "letter"),
    **{name: partial(packed, name) for name in ("adult", "german", "phoneme", "wine_quality")},
    "hastie": hastie,
    "clusters": clusters,
}


def transformer(steps: Callable[[int, Table], tuple]):
    """Return an extractor: steps of a Pipeline, behind standardisation."""

    def extract(table: Table, seed: int) -> dict:
        pipeline = make_pipeline(StandardScaler(), *steps(seed, table)).fit(table.X)
        return {"": (pipeline.transform(table.X), pipeline.transform(table.X_test))}

    return extract


def dim(**params):
    """Return an extractor: components and hidden layer of one fit."""

    def extract(table: Table, seed: int) -> dict:
        fitted = DIMTransformer(random_state=seed, column_groups=table.groups, **params)
        outputs = features_by_output(fitted.fit(table.X), ("components", "hidden"), table)
        return {f" {output}": features for output, features in outputs.items()}

    return extract


def pca(seed: int, table: Table) -> tuple:
    return (PCA(min(64, *table.X.shape), random_state=seed),)


def nystroem(seed: int, table: Table) -> tuple:
    return Nystroem(n_components=min(256, len(table.X)), random_state=seed), StandardScaler()


def leaves(seed: int, table: Table) -> tuple:
    return RandomTreesEmbedding(100, random_state=seed), MaxAbsScaler()


EXTRACTORS = {
    "columns": transformer(lambda seed, table: ()),
    "PCA-64": transformer(pca),
    "Nystroem-256": transformer(nystroem),
    "random tree leaves": transformer(leaves),
    "untrained": dim(max_epochs=1, learning_rate=1e-12),
    "skdim": dim(),
}


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    results = Cells("tables", fresh=arguments.fresh)
    for name, load in TABLES.items():
        for seed in range(arguments.seeds):
            table = at_most(load(), seed)
            for extractor, extract in EXTRACTORS.items():
                key = f"{name}|{extractor}|{seed}"
                results.get(key, partial(cell, table, extract, seed))
            results.get(f"{name}|boosting|{seed}", partial(boost, table, seed))
    accuracy, seconds = summarize(results.cells, arguments.seeds)
    report(accuracy, seconds)
    ours, columns = accuracy["skdim components"], accuracy["columns"]
    gain = (ours - columns).mean(0)
    verdict(
        {
            f"components above columns with few labels, by {gain[0]:.3f}": gain[0] > 0,
            f"components above columns with all labels, by {gain[1]:.3f}": gain[1] > 0,
        }
    )


def at_most(table: Table, seed: int) -> Table:
    rows = np.random.default_rng(seed).permutation(len(table.X))[:N_TRAINED_ON]
    return table._replace(X=table.X[rows], y=table.y[rows])


def cell(table: Table, extract: Callable, seed: int) -> dict:
    start = time.perf_counter()
    features = extract(table, seed)
    seconds = time.perf_counter() - start
    linear = partial(LogisticRegression, max_iter=300, tol=1e-3)
    return {
        "seconds": seconds,
        "accuracy": {
            output: few_and_all(linear, train, test, table, seed)
            for output, (train, test) in features.items()
        },
    }


def boost(table: Table, seed: int) -> dict:
    build = partial(HistGradientBoostingClassifier, random_state=seed)
    scores = few_and_all(build, table.X, table.X_test, table, seed)
    return {"seconds": 0.0, "accuracy": {"": scores}}


def few_and_all(build: Callable, train, test, table: Table, seed: int) -> list[float]:
    """Balanced accuracy with few labels and with all."""

    def score(rows) -> float:
        predicted = build().fit(train[rows], table.y[rows]).predict(test)
        return balanced_accuracy_score(table.y_test, predicted)

    draws = [draw(table.y, N_PER_CLASS, [seed, k]) for k in range(N_DRAWS)]
    return [float(np.mean([score(rows) for rows in draws])), score(np.arange(len(table.y)))]


def summarize(cells: dict, n_seeds: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Accuracies (n_tables, 2) and seconds (n_tables,) of every extractor, means over seeds."""
    accuracy, seconds = {}, {}
    for extractor in (*EXTRACTORS, "boosting"):
        rows = [[cells[f"{name}|{extractor}|{seed}"] for seed in range(n_seeds)] for name in TABLES]
        for output in rows[0][0]["accuracy"]:
            label = extractor + output
            accuracy[label] = np.array(
                [np.mean([c["accuracy"][output] for c in row], 0) for row in rows]
            )
            seconds[label] = np.array([np.mean([c["seconds"] for c in row]) for row in rows])
    return accuracy, seconds


def report(accuracy: dict[str, np.ndarray], seconds: dict[str, np.ndarray]) -> None:
    print(f"{'':<22} few: mean, wins, worst     all: mean, wins, worst     seconds, most")
    columns = accuracy["columns"]
    for label, scores in accuracy.items():
        parts = [
            f"{scores[:, k].mean():.3f}  {(gains > 0).sum():2d}  {gains.min():+.3f}"
            for k, gains in enumerate((scores - columns).T)
        ]
        print(f"{label:<22} {parts[0]:<26} {parts[1]:<26} {seconds[label].max():.1f}")
    for label in ("columns", "untrained components", "skdim components", "skdim hidden"):
        rows = zip(TABLES, accuracy[label], strict=True)
        print(label, ", ".join(f"{name} {few:.3f} {every:.3f}" for name, (few, every) in rows))


if __name__ == "__main__":
    main()
