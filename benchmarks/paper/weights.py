"""Claim: accuracy depends on the local weight, independence of the code on the prior's weight.

A `GridSearchCV` over the three weights, DIM with JSD on CIFAR-10: accuracy of the probe, MINE
estimate of I(X; Y) and neural dependence of the squashed code, as heat maps of the global against
the local weight, one for each weight of the prior.

Command: SKDIM_DATA=<folder> python -m benchmarks.paper.weights
n: 1 seed (--seeds), at --budget small; --budget full was not run
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

from functools import partial

import matplotlib as mpl
import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from benchmarks.common import RESULTS
from benchmarks.paper.information import dependence, mine
from benchmarks.paper.probe import ProbeClassifier
from benchmarks.paper.protocol import Cells, Orderings, arguments, dim, load

mpl.use("Agg")
from matplotlib import pyplot as plt

GLOBAL, LOCAL, PRIOR = (0.0, 0.5, 1.0), (0.0, 0.5, 1.0), (0.0, 0.1, 1.0)
MEASURES = {
    "accuracy": "accuracy, %",
    "mine": "MINE, nats",
    "dependence": "dependence of the squashed code, nats",
}


def measure(pipeline, X, y) -> dict[str, float]:
    """What the search records of one candidate, on the samples held out."""
    codes = pipeline[:-1].transform(X)
    return {
        "accuracy": 100 * pipeline[-1].score(codes, y),
        "mine": mine(X, codes, max_epochs=30, random_state=0),
        "dependence": dependence(codes, squash=True, random_state=0),
    }


def search(budget, data, prior_weight: float) -> dict:
    """Search a grid of global and local weights; all three zero would leave nothing to train."""
    pairs = [(a, b) for a in GLOBAL for b in LOCAL if a or b or prior_weight]
    grid = [{"dim__global_weight": [a], "dim__local_weight": [b]} for a, b in pairs]
    model = dim(budget, "local+global", "jsd", 0, prior_weight=prior_weight)
    steps = [("dim", model), ("probe", ProbeClassifier(random_state=0))]
    X, y = np.concatenate([data.X, data.X_test]), np.concatenate([data.y, data.y_test])
    rows = np.arange(len(X))
    split = [(rows[: len(data.X)], rows[len(data.X) :])]
    fitted = GridSearchCV(Pipeline(steps), grid, cv=split, scoring=measure, refit=False).fit(X, y)
    columns = {m: fitted.cv_results_[f"mean_test_{m}"].tolist() for m in MEASURES}
    return {"pairs": pairs, **columns}


def draw(tables: dict, path) -> None:
    """Heat maps: a row a measure, a column a weight of the prior."""
    figure, axes = plt.subplots(len(MEASURES), len(PRIOR), figsize=(10, 9), layout="constrained")
    for row, (measured, label) in zip(axes, MEASURES.items(), strict=True):
        panels = [tables[measured, weight] for weight in PRIOR]
        low, high = np.nanmin(panels), np.nanmax(panels)
        for axis, weight, panel in zip(row, PRIOR, panels, strict=True):
            image = axis.imshow(panel, vmin=low, vmax=high, origin="lower", cmap="viridis")
            axis.set(
                xticks=range(len(LOCAL)),
                xticklabels=LOCAL,
                yticks=range(len(GLOBAL)),
                yticklabels=GLOBAL,
                xlabel="local weight",
                ylabel="global weight",
                title=f"prior weight {weight}",
            )
            for (i, j), value in np.ndenumerate(panel):
                if np.isfinite(value):
                    box = {"facecolor": "white", "alpha": 0.6, "edgecolor": "none", "pad": 1}
                    axis.text(j, i, f"{value:.2f}", ha="center", va="center", bbox=box)
        figure.colorbar(image, ax=row, label=label)
    figure.savefig(path, dpi=110)


def main():
    options, budget = arguments(__doc__, n_train=2000, n_epochs=6, n_seeds=1)
    data = load(budget)
    cells = Cells("weights", options, budget)
    tables = {}
    for weight in PRIOR:
        result = cells.get(f"prior {weight}", partial(search, budget, data, weight))
        for measured, label in MEASURES.items():
            table = np.full((len(GLOBAL), len(LOCAL)), np.nan)
            for (a, b), value in zip(result["pairs"], result[measured], strict=True):
                table[GLOBAL.index(a), LOCAL.index(b)] = value
            tables[measured, weight] = table
            print(f"\n{label}, prior weight {weight}; rows: global, columns: local {LOCAL}")
            for a, row in zip(GLOBAL, table, strict=True):
                print(f"  {a:3} " + " ".join(f"{value:8.3f}" for value in row))
    path = RESULTS / f"paper_weights_{options.budget}.png"
    draw(tables, path)
    print(f"\npicture: {path.name}, next to the results")
    orderings = Orderings()
    accuracy = np.stack([tables["accuracy", weight] for weight in PRIOR])  # prior, global, local
    orderings.check(
        "a local weight of 1 over none", accuracy[:, 1:, 2].ravel(), accuracy[:, 1:, 0].ravel()
    )
    dependences = np.stack([tables["dependence", weight] for weight in PRIOR])
    has_bound = np.isfinite(dependences[0])
    orderings.check(
        "codes without a prior depend more than with weight 1",
        dependences[0][has_bound],
        dependences[2][has_bound],
    )
    orderings.end()


if __name__ == "__main__":
    main()
