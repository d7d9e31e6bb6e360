"""Claim: a search costs what its fits cost, and two processes on two cores are faster than one.

``GridSearchCV`` over three weights of the prior, five folds, on digits, with a `DIMTransformer` and
a LogisticRegression; next to 15 fits and scores of the same Pipelines in a loop, in turn. The
search is to take at most 1.1 times the loop, and with ``n_jobs=2`` at most 0.8 times its own time
with one process. Every fit has one thread.

Command: python -m benchmarks.speed.bench_search
n: 1 round (--rounds; medians)
Hardware: 2 cores of an AMD EPYC (AVX2), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import time
import warnings

import numpy as np
import torch
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ParameterGrid, StratifiedKFold
from sklearn.pipeline import Pipeline

from benchmarks.common import argument_parser, save, verdict
from skdim import DIMTransformer

GRID = {"dim__prior_weight": [0.0, 0.1, 0.3]}
FOLDS = StratifiedKFold(5)


def search(pipeline, X, y, n_jobs: int) -> float:
    """Seconds of a search; the threads of its processes are as many as here."""
    start = time.perf_counter()
    with parallel_config("loky", inner_max_num_threads=1) if n_jobs > 1 else parallel_config():
        GridSearchCV(pipeline, GRID, cv=FOLDS, n_jobs=n_jobs, refit=False).fit(X, y)
    return time.perf_counter() - start


def loop(pipeline, X, y) -> float:
    """Seconds of the same fits and scores, one after the other."""
    start = time.perf_counter()
    for params in ParameterGrid(GRID):
        for train, test in FOLDS.split(X, y):
            fitted = clone(pipeline).set_params(**params).fit(X[train], y[train])
            fitted.score(X[test], y[test])
    return time.perf_counter() - start


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    X, y = load_digits().images, load_digits().target
    dim = DIMTransformer(max_epochs=arguments.epochs, random_state=0)
    pipeline = Pipeline([("dim", dim), ("classifier", LogisticRegression())])
    clone(pipeline).fit(X[:100], y[:100])  # so that nobody pays for the first fit in a process
    rounds = []
    for _ in range(arguments.rounds):
        plain = loop(pipeline, X, y)
        rounds.append((plain, search(pipeline, X, y, 1), search(pipeline, X, y, 2)))
        print("loop {:.1f} s, search {:.1f} s, two processes {:.1f} s".format(*rounds[-1]))
    plain, one, two = np.median(rounds, 0).tolist()
    cost = float(np.median([search / loop for loop, search, _ in rounds]))
    gain = float(np.median([both / search for _, search, both in rounds]))
    save("search", {"seconds": {"loop": plain, "search": one, "two processes": two}})
    verdict(
        {
            f"a search takes {cost:.2f} times a loop, at most 1.1": cost <= 1.1,
            f"two processes take {gain:.2f} times one, at most 0.8": gain <= 0.8,
        }
    )


if __name__ == "__main__":
    main()
