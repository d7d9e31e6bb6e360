"""Claim: with small batches or few negatives, the Jensen-Shannon bound loses less than infoNCE.

CIFAR-10, DIM(L), accuracy of the probe on the code (64). First by batch size, at an equal number of
epochs; then by the number of negatives of each positive pair, at batch size 64, with negatives
drawn anew in every step. Smaller batches take more steps in an epoch, which helps every bound; the
claim is about the difference between two.

Command: SKDIM_DATA=<folder> python -m benchmarks.paper.sensitivity
n: 5 seeds (--seeds), at --budget small; --budget full was not run
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

from functools import partial

import numpy as np
import torch

from benchmarks.paper.protocol import Budget, Cells, Orderings, arguments, beside, dim, load
from benchmarks.paper.protocol import probe as accuracy_of
from skdim.mutual_information import ESTIMATORS

NAMES = ("jsd", "infonce", "dv")
BATCHES = (8, 64)
NEGATIVES = (1, 16)  # and all: 63 negative samples x 64 locations


def with_few_negatives(joint, marginal, name: str, n_negatives: int):
    """Estimate from random marginal pairs of each row.

    Parameters
    ----------
    joint : Tensor of shape (..., n, n_locations)
    marginal : Tensor of shape (..., n, n_others, n_locations)
    """
    every = marginal.flatten(-2)  # (..., n, n_others * n_locations)
    drawn = torch.randint(every.shape[-1], (*every.shape[:-1], n_negatives), device=every.device)
    return ESTIMATORS[name](joint, every.gather(-1, drawn).unsqueeze(-2))


def cell(budget: Budget, data, estimator, seed: int, **params) -> dict:
    """Accuracy of the probe on codes."""
    model = dim(budget, "local", estimator, seed, **params).fit(data.X)
    codes = [model.transform(X) for X in (data.X, data.X_test)]
    return {"Y": accuracy_of(codes[0], data.y, codes[1], data.y_test, seed)}


def main():
    given, budget = arguments(__doc__, n_train=2000, n_epochs=6, n_seeds=5)
    data = load(budget)
    cells = Cells("sensitivity", given, budget)
    seeds = range(budget.n_seeds)

    def accuracies(key: str, estimator, **params) -> np.ndarray:
        run = partial(cell, budget, data, estimator, **params)
        return np.array([cells.get(f"{key}|{s}", partial(run, seed=s))["Y"] for s in seeds])

    by_batch = {
        (name, size): accuracies(f"{name}|batch {size}", name, batch_size=size)
        for name in NAMES
        for size in BATCHES
    }
    by_negatives = {(name, None): by_batch[name, 64] for name in NAMES}
    for name in NAMES:
        for n in NEGATIVES:
            estimator = partial(with_few_negatives, name=name, n_negatives=n)
            by_negatives[name, n] = accuracies(f"{name}|negatives {n}", estimator)
    table("batch", by_batch, BATCHES)
    table("negatives", by_negatives, (*NEGATIVES, None))
    orderings = Orderings()
    lost_by_batch = {n: by_batch[n, 64] - by_batch[n, 8] for n in NAMES}
    lost = {n: by_negatives[n, None] - by_negatives[n, 1] for n in NAMES}
    orderings.check(
        "infoNCE loses more than JSD from batches of 64 to 8",
        lost_by_batch["infonce"],
        lost_by_batch["jsd"],
    )
    orderings.check(
        "infoNCE loses more than JSD from all negatives to 1", lost["infonce"], lost["jsd"]
    )
    orderings.end()


def table(title: str, accuracies: dict, columns: tuple) -> None:
    """Print one line an estimator."""
    print(f"\n{'accuracy, %':<12}" + "".join(f"{title} {c or 'all':<14}" for c in columns))
    for name in NAMES:
        print(f"{name:<12}" + "".join(f"{beside(accuracies[name, c]):<20}" for c in columns))


if __name__ == "__main__":
    main()
