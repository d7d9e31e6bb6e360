"""Claim: the prior shapes the code: its components come closer to the prior's distribution.

DIM(L) with JSD on CIFAR-10, each prior with weight 1 and 0. Histograms of all components of the
squashed code of test images, and the mean over components of the Kolmogorov distance to draws of
the prior.

Command: SKDIM_DATA=<folder> python -m benchmarks.paper.priors
n: 3 seeds (--seeds), at --budget small; --budget full was not run
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

from functools import partial

import matplotlib as mpl
import numpy as np
import torch
from scipy.stats import ks_2samp

from benchmarks.common import RESULTS
from benchmarks.paper.information import dependence
from benchmarks.paper.protocol import (
    Cells,
    Orderings,
    arguments,
    comparison,
    dim,
    layers_of,
    load,
)
from skdim.priors import PRIORS

mpl.use("Agg")
from matplotlib import pyplot as plt

WEIGHTS = (0.0, 1.0)
RANGES = {"uniform": (0, 1), "normal": (-4, 4), "sphere": (-0.5, 0.5)}
N_BINS = 60


def cell(budget, data, name: str, weight: float, seed: int) -> dict:
    """Distance to the prior, dependence of the squashed code, and its histogram."""
    params = {"prior": name, "prior_weight": weight}
    model = dim(budget, "local", "jsd", seed, **params).fit(data.X)
    codes = torch.from_numpy(layers_of(model, data.X_test)["Y"])
    squashed = PRIORS[name].squash(codes).numpy()
    drawn = PRIORS[name].sample(codes.shape, torch.Generator().manual_seed(seed)).numpy()
    distances = [ks_2samp(a, b).statistic for a, b in zip(squashed.T, drawn.T, strict=True)]
    edges = np.linspace(*RANGES[name], N_BINS + 1)
    return {
        "distance": float(np.mean(distances)),
        "dependence": dependence(squashed, random_state=seed),
        "histogram": np.histogram(squashed, edges)[0].tolist(),
        "histogram of the prior": np.histogram(drawn, edges)[0].tolist(),
    }


def draw(histograms: dict, path) -> None:
    """One panel a prior: the code with and without it, and the prior itself."""
    figure, axes = plt.subplots(1, len(PRIORS), figsize=(12, 3.4), layout="constrained")
    for axis, name in zip(axes, PRIORS, strict=True):
        edges = np.linspace(*RANGES[name], N_BINS + 1)
        for label, counts in histograms[name].items():
            axis.stairs(np.array(counts) / sum(counts), edges, label=label)
        axis.set(title=name, xlabel="component of the squashed code", ylabel="share")
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main():
    options, budget = arguments(__doc__, n_train=2000)
    data = load(budget)
    cells = Cells("priors", options, budget)
    orderings, histograms = Orderings(), {}
    for name in PRIORS:
        distances = {}
        histograms[name] = {}
        for weight in WEIGHTS:
            run = partial(cell, budget, data, name, weight)
            fits = [
                cells.get(f"{name}|{weight}|{seed}", partial(run, seed=seed))
                for seed in range(budget.n_seeds)
            ]
            distances[weight] = [fit["distance"] for fit in fits]
            histograms[name][f"code, weight {weight:g}"] = fits[0]["histogram"]
            dependences = [fit["dependence"] for fit in fits]
            print(
                f"{name:<8} weight {weight}: distance {comparison(distances[weight])}, "
                f"dependence {comparison(dependences)}"
            )
        histograms[name]["prior"] = fits[0]["histogram of the prior"]
        orderings.check(f"{name}: farther away without the prior", distances[0.0], distances[1.0])
    path = RESULTS / f"paper_priors_{options.budget}.png"
    draw(histograms, path)
    print(f"picture: {path.name}, next to the results")
    orderings.end()


if __name__ == "__main__":
    main()
