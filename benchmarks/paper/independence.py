"""Claim: the prior makes the components of DIM's code less dependent; so does beta those of a VAE.

CIFAR-10. DIM(L) with JSD and a uniform prior, at equal training with its weight 0, 0.1 and 1, and
beta-VAEs from a beta of 0.25 to 16 with the same encoder: the neural dependency measure (NDM) of
the code, in nats, squashed by a sigmoid and raw, and the accuracy of the probe. Squashed codes are
compared with squashed ones: the prior acts on them. Weights are compared seed by seed.

A prior is matched slowly: ``--epochs`` says how long. Cells already in results/ are not computed
again.

Command: SKDIM_DATA=<folder> python -m benchmarks.paper.independence --epochs 60
n: 3 seeds (--seeds), at --budget small
Hardware: 2 cores, no GPU
Versions: printed, and in results/
"""

from collections.abc import Callable
from functools import partial

import matplotlib as mpl
import numpy as np

from benchmarks.common import RESULTS
from benchmarks.paper.information import dependence
from benchmarks.paper.protocol import (
    Budget,
    Cells,
    Data,
    Orderings,
    arguments,
    baseline,
    comparison,
    dim,
    layers_of,
    load,
    probe,
)

mpl.use("Agg")
from matplotlib import pyplot as plt

WEIGHTS = (0.0, 0.1, 1.0)
BETAS = (0.25, 1.0, 4.0, 16.0)
MEASURES = ("NDM", "NDM raw", "Y")


def with_prior(budget: Budget, seed: int, weight: float):
    """DIM(L) with a weight of the prior."""
    return dim(budget, "local", "jsd", seed, prior_weight=weight)


def with_beta(budget: Budget, seed: int, beta: float):
    """A beta-VAE."""
    return baseline(budget, "beta_vae", seed, objective_params={"beta": beta})


METHODS: dict[str, tuple[Callable, tuple[float, ...]]] = {
    "DIM(L), prior weight": (with_prior, WEIGHTS),
    "VAE, beta": (with_beta, BETAS),
}


# Between which values NDM is said to fall.
STEPS = {"DIM(L), prior weight": ((0.0, 0.1), (0.0, 1.0)), "VAE, beta": ((0.25, 16.0),)}


def cell(budget: Budget, data: Data, build: Callable, value: float, seed: int) -> dict:
    """NDM of the code, squashed and raw, in nats; accuracy of the probe in percent."""
    model = build(budget, seed, value).fit(data.X)
    codes, codes_test = (layers_of(model, X)["Y"] for X in (data.X, data.X_test))
    return {
        "NDM": dependence(codes, squash=True, random_state=seed),
        "NDM raw": dependence(codes, random_state=seed),
        "Y": probe(budget, codes, data.y, codes_test, data.y_test, seed),
    }


def draw(results: dict[str, dict[float, list[dict]]], path) -> None:
    """One panel a method: NDM against the weight of the prior, or beta."""
    figure, axes = plt.subplots(1, len(results), figsize=(9, 3.6), layout="constrained")
    for panel, (method, by_value) in zip(axes, results.items(), strict=True):
        for marker, measure in zip("os", MEASURES[:2], strict=True):
            values = np.array([[fit[measure] for fit in fits] for fits in by_value.values()])
            label = "squashed" if measure == "NDM" else "raw"
            positions = range(len(by_value))
            panel.errorbar(
                positions, values.mean(1), values.std(1), marker=marker, capsize=3, label=label
            )
        labels = [f"{value:g}" for value in by_value]
        panel.set(xlabel=method, xticks=positions, xticklabels=labels, ylabel="NDM, nats")
        panel.set_ylim(bottom=0)
        panel.legend()
    figure.savefig(path, dpi=110)


def check(results: dict[str, dict[float, list[dict]]], orderings: Orderings) -> None:
    """Assert that NDM falls with the prior's weight and with beta, seed by seed."""
    for method, by_value in results.items():
        ndm = {value: np.array([fit["NDM"] for fit in fits]) for value, fits in by_value.items()}
        for low, high in STEPS[method]:
            claim = f"{method}: NDM falls from {low:g} to {high:g}"
            orderings.check_gaps(claim, ndm[low] - ndm[high])
    dim_l, vae = (by_value for by_value in results.values())
    for weight in WEIGHTS:
        gaps = [a["NDM"] - b["NDM"] for a, b in zip(vae[1.0], dim_l[weight], strict=True)]
        orderings.check_gaps(f"NDM squashed: VAE over DIM(L) with prior weight {weight:g}", gaps)


def main():
    options, budget = arguments(__doc__)
    data = load(budget)
    cells = Cells("independence", options, budget)
    results: dict[str, dict[float, list[dict]]] = {}
    for method, (build, values) in METHODS.items():
        results[method] = {}
        for value in values:
            run = partial(cell, budget, data, build, value)
            fits = [
                cells.get(f"{method} {value:g}|{seed}", partial(run, seed=seed))
                for seed in range(budget.n_seeds)
            ]
            results[method][value] = fits
            numbers = ", ".join(f"{m} {comparison([fit[m] for fit in fits])}" for m in MEASURES)
            print(f"{method} {value:g}: {numbers}", flush=True)
    path = RESULTS / cells.path.with_suffix(".png").name
    draw(results, path)
    print(f"figure: {path.name}, next to the results; seconds of all cells: {cells.seconds():.0f}")
    orderings = Orderings()
    check(results, orderings)
    orderings.end()


if __name__ == "__main__":
    main()
