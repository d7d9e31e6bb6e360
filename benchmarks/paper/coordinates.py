"""Claim: predicting coordinates and occluding the code's input raise the accuracy of the code.

Table 5: CIFAR-10, DIM(L) with infoNCE, without additions, with both coordinate tasks, with occluded
codes, with both; the probe on conv / fc / Y. CIFAR-100 is not run.

Command: SKDIM_DATA=<folder> python -m benchmarks.paper.coordinates
n: 3 seeds (--seeds), at --budget small; --budget full was not run
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

from functools import partial

from benchmarks.paper.protocol import (
    Cells,
    Orderings,
    arguments,
    comparison,
    dim,
    layers_of,
    load,
    probe,
)

ROWS = {
    "DIM": {},
    "DIM (coord)": {"coordinate_weight": 1.0},
    "DIM (occlude)": {"occlusion": True},
    "DIM (coord + occlude)": {"coordinate_weight": 1.0, "occlusion": True},
}

PUBLISHED = {
    "DIM": {"Y": 70.65, "fc": 73.33, "conv": 77.46},
    "DIM (coord)": {"Y": 71.56, "fc": 73.89, "conv": 77.28},
    "DIM (occlude)": {"Y": 72.87, "fc": 74.45, "conv": 76.77},
    "DIM (coord + occlude)": {"Y": 73.99, "fc": 75.15, "conv": 77.27},
}


def cell(budget, data, params: dict, seed: int) -> dict:
    """Accuracy of the probe on every layer."""
    model = dim(budget, "local", "infonce", seed, **params).fit(data.X)
    train, test = layers_of(model, data.X), layers_of(model, data.X_test)
    return {
        layer: probe(budget, train[layer], data.y, test[layer], data.y_test, seed)
        for layer in train
    }


def main():
    options, budget = arguments(__doc__)
    data = load(budget)
    cells = Cells("coordinates", options, budget)
    accuracies = {}
    for row, params in ROWS.items():
        run = partial(cell, budget, data, params)
        fits = [
            cells.get(f"{row}|{seed}", partial(run, seed=seed)) for seed in range(budget.n_seeds)
        ]
        for layer in ("Y", "fc", "conv"):
            accuracies[row, layer] = [fit[layer] for fit in fits]
            print(
                f"{row:<22} {layer:<5} {comparison(accuracies[row, layer], PUBLISHED[row][layer])}"
            )
    orderings = Orderings()
    for row in list(ROWS)[1:]:
        orderings.check(f"{row} over DIM on the code", accuracies[row, "Y"], accuracies["DIM", "Y"])
    orderings.end()


if __name__ == "__main__":
    main()
