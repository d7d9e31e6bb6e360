"""Claim: Table 1 of the paper, CIFAR: local DIM classifies better than global DIM and VAE.

Accuracy of the classifier with 200 units on the last convolution, the hidden layer and the code of
frozen encoders; all methods have the same encoder. Orderings are asserted if the difference exceeds
two standard errors. Absolute numbers are printed next to the paper's, and are meant to agree at the
full budget only. Supervised training has the same classifier on the last convolution; its
accuracy is that of its own predictions. CIFAR-100 and table 2: ``benchmarks.paper.folders``.

Cells already in results/ are not computed again.

Command: SKDIM_DATA=<folder> python -m benchmarks.paper.table1
n: 3 seeds (--seeds), at --budget small; --budget full was not run
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

from collections.abc import Callable
from functools import partial

import numpy as np

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

SUPERVISED, UNTRAINED = "supervised", "untrained"
LAYERS = ("conv", "fc", "Y")

# Each is built from a budget, a seed and a setup: the parameters that the budget does not set.
MODELS: dict[str, Callable] = {
    SUPERVISED: lambda budget, seed, **setup: baseline(budget, "supervised", seed, **setup),
    "VAE": lambda budget, seed, **setup: baseline(budget, "vae", seed, **setup),
    "AAE": lambda budget, seed, **setup: baseline(budget, "aae", seed, **setup),
    "BiGAN": lambda budget, seed, **setup: baseline(budget, "bigan", seed, **setup),
    "NAT": lambda budget, seed, **setup: baseline(budget, "nat", seed, **setup),
    "AE": lambda budget, seed, **setup: baseline(budget, "ae", seed, **setup),
    "beta-VAE": lambda budget, seed, **setup: baseline(budget, "beta_vae", seed, **setup),
    "DIM(G)": lambda budget, seed, **setup: dim(budget, "global", "jsd", seed, **setup),
    "DIM(L) JSD": lambda budget, seed, **setup: dim(budget, "local", "jsd", seed, **setup),
    "DIM(L) infoNCE": lambda budget, seed, **setup: dim(budget, "local", "infonce", seed, **setup),
    "DIM(L) DV": lambda budget, seed, **setup: dim(budget, "local", "dv", seed, **setup),
    # A learning rate of 0 is refused; this one changes nothing but batch statistics.
    UNTRAINED: lambda budget, seed, **setup: dim(
        budget, "local", "jsd", seed, learning_rate=1e-12, max_epochs=1, **setup
    ),
}

# Orderings of the paper: the first model is above the second on these layers.
ORDERINGS = (
    ("DIM(L) JSD", "DIM(G)", LAYERS),
    ("DIM(L) infoNCE", "DIM(G)", LAYERS),
    ("DIM(L) JSD", "VAE", ("Y", "conv")),
    ("DIM(L) infoNCE", "VAE", ("Y", "conv")),
)

# Accuracies on conv, fc and Y; supervised training has only one.
PUBLISHED = {
    "CIFAR-10": {
        SUPERVISED: (75.39,),
        "VAE": (60.71, 60.54, 54.61),
        "AAE": (59.44, 57.19, 52.81),
        "BiGAN": (62.57, 62.74, 52.54),
        "NAT": (56.19, 51.29, 31.16),
        "DIM(G)": (52.20, 52.84, 43.17),
        "DIM(L) JSD": (73.25, 73.62, 66.96),
        "DIM(L) infoNCE": (75.21, 75.57, 69.13),
    },
    "CIFAR-100": {
        SUPERVISED: (42.27,),
        "VAE": (37.21, 34.05, 24.22),
        "AAE": (36.22, 33.38, 23.25),
        "BiGAN": (37.59, 33.34, 21.49),
        "NAT": (29.18, 24.57, 9.72),
        "DIM(G)": (27.68, 24.35, 19.98),
        "DIM(L) JSD": (48.13, 45.92, 39.60),
        "DIM(L) infoNCE": (49.74, 47.72, 41.61),
    },
    "Tiny ImageNet": {
        SUPERVISED: (36.60,),
        "VAE": (18.63, 16.88, 11.93),
        "AAE": (18.04, 17.27, 11.49),
        "BiGAN": (24.38, 20.21, 13.06),
        "NAT": (13.70, 11.62, 1.20),
        "DIM(G)": (11.32, 6.34, 4.95),
        "DIM(L) JSD": (33.54, 36.88, 31.66),
        "DIM(L) infoNCE": (34.21, 38.09, 33.33),
    },
    "STL-10": {
        SUPERVISED: (68.7,),
        "VAE": (58.27, 56.72, 46.47),
        "AAE": (59.54, 54.47, 43.89),
        "BiGAN": (71.53, 67.18, 58.48),
        "NAT": (64.32, 61.43, 48.84),
        "DIM(G)": (42.03, 30.82, 28.09),
        "DIM(L) JSD": (72.86, 70.85, 65.93),
        "DIM(L) infoNCE": (72.57, 70.00, 67.08),
    },
}

# Accuracies in the final version of the paper, from memory: not checked.
RECALLED = {
    "CIFAR-10": {
        "AE": (62.19, 55.78, 54.47),
        "beta-VAE": (62.40, 57.89, 55.43),
        "DIM(L) DV": (72.66, 70.60, 64.71),
    },
    "CIFAR-100": {
        "AE": (31.50, 23.89, 27.44),
        "beta-VAE": (32.28, 26.89, 28.96),
        "DIM(L) DV": (48.52, 44.44, 39.27),
    },
    "Tiny ImageNet": {
        "AE": (19.07, 16.39, 11.82),
        "beta-VAE": (19.29, 16.77, 12.43),
        "DIM(L) DV": (30.35, 29.51, 28.18),
    },
    "STL-10": {
        "AE": (58.19, 55.57, 46.82),
        "beta-VAE": (57.15, 55.14, 46.87),
        "DIM(L) DV": (69.15, 63.81, 61.92),
    },
}


def columns_of(model: str) -> tuple[str, ...]:
    """Return the names of the layers that are measured of a model."""
    return ("conv",) if model == SUPERVISED else LAYERS


def accuracies(model: str, budget: Budget, data: Data, seed: int, **setup) -> dict[str, float]:
    """Train a model without labels, then a classifier on each of its layers; in percent."""
    estimator = MODELS[model](budget, seed, **setup)
    if model == SUPERVISED:
        predicted = estimator.fit(data.X, data.y).predict(data.X_test)
        return {"conv": 100 * float(np.mean(predicted == data.y_test))}
    estimator.fit(data.all_images)
    layers, layers_test = layers_of(estimator, data.X), layers_of(estimator, data.X_test)
    return {
        layer: probe(budget, layers[layer], data.y, layers_test[layer], data.y_test, seed)
        for layer in LAYERS
    }


def as_usual(model: str) -> dict:
    """What every model is built with besides budget and seed: nothing."""
    return {}


def make_table(
    name: str, budget: Budget, data: Data, cells: Cells, setup: Callable[[str], dict] = as_usual
) -> dict:
    """Compute, print and return one data set's columns, {(model, layer): accuracies by seed}."""
    table = {(model, column): [] for model in MODELS for column in columns_of(model)}
    for seed in range(budget.n_seeds):
        for model in MODELS:
            key = f"{name}, {model}, seed {seed}"
            compute = partial(accuracies, model, budget, data, seed, **setup(model))
            cell = cells.get(key, compute)
            numbers = ", ".join(f"{column} {cell[column]:.2f}" for column in columns_of(model))
            print(f"{key}: {numbers} ({cell['seconds']:.0f} s)", flush=True)
            for column in columns_of(model):
                table[model, column].append(cell[column])
    print(f"\n{name}: accuracy in percent, mean +- deviation over {budget.n_seeds} seeds")
    for (model, column), ours in table.items():
        i = columns_of(model).index(column)
        known = (source[name].get(model) for source in (PUBLISHED, RECALLED))
        published, recalled = (numbers and numbers[i] for numbers in known)
        print(f"{model:<15} {column:<5} {comparison(ours, published, recalled)}")
    print()
    return table


def check(name: str, table: dict, orderings: Orderings) -> None:
    """Assert the paper's orderings, layer by layer."""
    for higher, lower, layers in ORDERINGS:
        for layer in layers:
            claim = f"{name}, {layer}: {higher} over {lower}"
            orderings.check(claim, table[higher, layer], table[lower, layer])


def say_protocol(budget: Budget) -> None:
    """Print what all rows of a table share."""
    print("all methods: the same encoder, images, epochs, batches of 64 and learning rate")
    probes = {
        "quick": "50 epochs, its last state; the paper's was tuned on test accuracy",
        "paper": "200 epochs of Adam at 1e-4, mean accuracy of the last 100, as in the paper",
    }
    print(f"classifier: {probes[budget.probe]}")


def main():
    options, budget = arguments(__doc__)
    say_protocol(budget)
    cells, orderings = Cells("table1", options, budget), Orderings()
    check("CIFAR-10", make_table("CIFAR-10", budget, load(budget), cells), orderings)
    if options.budget != "full":
        print("full protocol on a GPU: not run")
    print(f"seconds of all cells: {cells.seconds():.0f}")
    orderings.end()


if __name__ == "__main__":
    main()
