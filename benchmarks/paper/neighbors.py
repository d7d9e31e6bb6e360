"""Claim: nearest neighbours by DIM's code share a picture's class more often than by that of VAE.

CIFAR-10: for test images, the four nearest training images by the L1 distance of codes, as in the
paper's figure. Measured is the share of neighbours of the same class; the figure shows the same ten
images under DIM(L) with infoNCE and under VAE.

Command: SKDIM_DATA=<folder> python -m benchmarks.paper.neighbors
n: 3 seeds (--seeds), at --budget small; --budget full was not run
Hardware: 2 cores, no GPU
Versions: printed, and in results/
"""

from functools import partial

import matplotlib as mpl
import numpy as np

from benchmarks.common import RESULTS
from benchmarks.paper.protocol import (
    Budget,
    Cells,
    Data,
    Orderings,
    arguments,
    baseline,
    comparison,
    dim,
    load,
)
from skdim.evaluation import nearest_neighbors

mpl.use("Agg")
from matplotlib import pyplot as plt

MODELS = {
    "DIM(L) infoNCE": lambda budget, seed: dim(budget, "local", "infonce", seed),
    "VAE": lambda budget, seed: baseline(budget, "vae", seed),
}
N_SHOWN = 10


def cell(budget: Budget, data: Data, model: str, seed: int) -> dict:
    """Share of four neighbours with the class of the query, in percent; neighbours of the first."""
    estimator = MODELS[model](budget, seed).fit(data.X)
    codes, codes_test = (estimator.transform(X) for X in (data.X, data.X_test))
    _, neighbors = nearest_neighbors(codes, codes_test)  # (n_test, 4)
    is_same = data.y[neighbors] == data.y_test[:, None]
    return {"same class": 100 * float(is_same.mean()), "shown": neighbors[:N_SHOWN].tolist()}


def draw(data: Data, shown: dict[str, list[list[int]]], path) -> None:
    """A row a query: the query, then four neighbours, under each model."""
    figure, axes = plt.subplots(N_SHOWN, 5 * len(shown), figsize=(5 * len(shown), N_SHOWN))
    for m, (model, neighbors) in enumerate(shown.items()):
        for row, indices in enumerate(neighbors):
            pictures = [data.X_test[row], *data.X[indices]]
            for column, picture in enumerate(pictures, start=5 * m):
                axes[row, column].imshow(picture)
                axes[row, column].axis("off")
        axes[0, 5 * m].set_title(f"{model}: query, neighbours", loc="left", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main():
    options, budget = arguments(__doc__)
    data = load(budget)
    cells = Cells("neighbors", options, budget)
    shares, shown = {}, {}
    for model in MODELS:
        run = partial(cell, budget, data, model)
        fits = [
            cells.get(f"{model}|{seed}", partial(run, seed=seed)) for seed in range(budget.n_seeds)
        ]
        shares[model], shown[model] = [fit["same class"] for fit in fits], fits[0]["shown"]
        print(
            f"{model:<15} neighbours of the same class, %: {comparison(shares[model])}", flush=True
        )
    path = RESULTS / f"paper_neighbors_{options.budget}.png"
    draw(data, shown, path)
    print(f"figure: {path.name}, next to the results")
    orderings = Orderings()
    gaps = np.subtract(shares["DIM(L) infoNCE"], shares["VAE"])
    orderings.check_gaps("neighbours of the same class: DIM(L) over VAE", gaps)
    orderings.end()


if __name__ == "__main__":
    main()
