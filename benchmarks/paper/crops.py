"""Claim: on strided crops, one global code and several global codes both beat no training.

The table beside CPC. CIFAR-10, residual network on crops of 8 pixels, DIM(L) with infoNCE: one
global code of the whole 7 x 7 map, or 25 global codes of its 3 x 3 windows; the probe on hidden
layer and code. The paper's numbers are recalled, unverified, so no ordering of the paper is
asserted. CPC is not run.

Command: SKDIM_DATA=<folder> python -m benchmarks.paper.crops
n: 3 seeds (--seeds), at --budget small; --budget full was not run
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

from functools import partial

from benchmarks.paper.protocol import Cells, Orderings, arguments, beside, dim, load, probe

ROWS = {
    "DIM(L), one global": "paper_crops_resnet19",
    "DIM(L), several globals": "paper_globals_resnet19",
}
TRAINING = {"trained": {}, "untrained": {"max_epochs": 1, "learning_rate": 1e-12}}
RECALLED = {"DIM(L), one global": 80.95, "DIM(L), several globals": 77.51}


def cell(budget, data, params: dict, seed: int) -> dict:
    """Accuracy of the probe on the hidden layer and on the code."""
    model = dim(budget, "local", "infonce", seed, **params).fit(data.X)
    accuracy = {}
    for output in ("hidden", "code"):
        model.set_params(output=output)
        features = [model.transform(X) for X in (data.X, data.X_test)]
        accuracy[output] = probe(features[0], data.y, features[1], data.y_test, seed)
    return accuracy


def main():
    given, budget = arguments(__doc__, n_train=2000, n_epochs=6, scale=0.125)  # 49 crops an image
    data = load(budget)
    cells = Cells("crops", given, budget)
    orderings = Orderings()
    for row, encoder in ROWS.items():
        hidden = {}
        for training, params in TRAINING.items():
            run = partial(cell, budget, data, {"encoder": encoder, **params})
            fits = [
                cells.get(f"{row}|{training}|{seed}", partial(run, seed=seed))
                for seed in range(budget.n_seeds)
            ]
            hidden[training] = [fit["hidden"] for fit in fits]
            recalled = RECALLED[row] if training == "trained" else None
            print(f"{row:<24} {training:<10} hidden {beside(hidden[training], recalled=recalled)}")
            print(f"{row:<24} {training:<10} code   {beside([fit['code'] for fit in fits])}")
        orderings.check(f"{row}: training helps", hidden["trained"], hidden["untrained"])
    print(f"{'CPC':<24} not run; paper 77.45 (recalled, unverified)")
    orderings.end()


if __name__ == "__main__":
    main()
