"""Claim: Table 1 of the paper, CIFAR: local DIM classifies better than global DIM and VAE.

Accuracy of the classifier with 200 units on the last convolution, the hidden layer and the code of
frozen encoders; all methods have the same encoder. Orderings are asserted where the difference
exceeds two standard errors. Absolute numbers are printed beside the paper's, and are meant to agree
at the full budget only. The accuracy of supervised training is that of its own predictions.

``--cifar100 <file>`` adds CIFAR-100, where an npz file holds it as X, y, X_test, y_test (images
(n, 32, 32, 3), bytes). Cells already in results/ are not computed again.

Command: SKDIM_DATA=<folder> python -m benchmarks.paper.table1
n: 3 seeds (--seeds), at --budget small; --budget full was not run
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

from collections.abc import Callable

import numpy as np

from benchmarks.paper.protocol import (
    Budget,
    Cells,
    Data,
    Orderings,
    arguments,
    baseline,
    beside,
    dim,
    layers_of,
    load,
    probe,
)

SUPERVISED, UNTRAINED = "supervised", "untrained"
LAYERS = ("conv", "fc", "Y")

MODELS: dict[str, Callable] = {
    SUPERVISED: lambda budget, seed: baseline(budget, "supervised", seed),
    "VAE": lambda budget, seed: baseline(budget, "vae", seed),
    "AAE": lambda budget, seed: baseline(budget, "aae", seed),
    "BiGAN": lambda budget, seed: baseline(budget, "bigan", seed),
    "NAT": lambda budget, seed: baseline(budget, "nat", seed),
    "AE": lambda budget, seed: baseline(budget, "ae", seed),
    "beta-VAE": lambda budget, seed: baseline(budget, "beta_vae", seed),
    "DIM(G)": lambda budget, seed: dim(budget, "global", "jsd", seed),
    "DIM(L) JSD": lambda budget, seed: dim(budget, "local", "jsd", seed),
    "DIM(L) infoNCE": lambda budget, seed: dim(budget, "local", "infonce", seed),
    "DIM(L) DV": lambda budget, seed: dim(budget, "local", "dv", seed),
    # A learning rate of 0 is refused; this one changes nothing but batch statistics.
    UNTRAINED: lambda budget, seed: dim(
        budget, "local", "jsd", seed, learning_rate=1e-12, max_epochs=1
    ),
}

# Of conv, fc and Y; of supervised training, its only one.
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
}

# Of the final version of the paper, from memory: not checked.
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
}


def columns_of(model: str) -> tuple[str, ...]:
    """Return the names of the layers that are measured of a model."""
    return ("test",) if model == SUPERVISED else LAYERS


def accuracies(model: str, budget: Budget, data: Data, seed: int) -> dict[str, float]:
    """Train a model without labels, then a classifier on each of its layers; in percent."""
    estimator = MODELS[model](budget, seed).fit(data.X, data.y)
    if model == SUPERVISED:
        return {"test": 100 * float(np.mean(estimator.predict(data.X_test) == data.y_test))}
    layers, layers_test = layers_of(estimator, data.X), layers_of(estimator, data.X_test)
    return {
        layer: probe(layers[layer], data.y, layers_test[layer], data.y_test, seed)
        for layer in LAYERS
    }


def load_cifar100(path: str, budget: Budget) -> Data:
    """The first images of each part, from an npz file."""
    with np.load(path) as parts:
        n_of = {"": budget.n_train, "_test": budget.n_test}
        return Data(*(parts[name + part][:n] for part, n in n_of.items() for name in "Xy"))


def make_table(name: str, budget: Budget, data: Data, cells: Cells) -> dict:
    """Compute, print and return one data set's columns, {(model, layer): accuracies by seed}."""
    table = {(model, column): [] for model in MODELS for column in columns_of(model)}
    for seed in range(budget.n_seeds):
        for model in MODELS:
            key = f"{name}, {model}, seed {seed}"
            cell = cells.get(key, lambda m=model, s=seed: accuracies(m, budget, data, s))
            found = ", ".join(f"{column} {cell[column]:.2f}" for column in columns_of(model))
            print(f"{key}: {found} ({cell['seconds']:.0f} s)", flush=True)
            for column in columns_of(model):
                table[model, column].append(cell[column])
    print(f"\n{name}: accuracy in percent, mean +- deviation over {budget.n_seeds} seeds")
    for (model, column), ours in table.items():
        i = columns_of(model).index(column)
        known = (source[name].get(model) for source in (PUBLISHED, RECALLED))
        published, recalled = (numbers and numbers[i] for numbers in known)
        print(f"{model:<15} {column:<5} {beside(ours, published, recalled)}")
    print()
    return table


def check(name: str, table: dict, orderings: Orderings) -> None:
    """Assert the paper's orderings, layer by layer."""
    for higher, lower, layers in (
        ("DIM(L) JSD", "DIM(G)", LAYERS),
        ("DIM(L) infoNCE", "DIM(G)", LAYERS),
        ("DIM(L) JSD", "VAE", ("Y", "conv")),
        ("DIM(L) infoNCE", "VAE", ("Y", "conv")),
    ):
        for layer in layers:
            claim = f"{name}, {layer}: {higher} over {lower}"
            orderings.check(claim, table[higher, layer], table[lower, layer])


def main():
    given, budget = arguments(
        __doc__,
        lambda parser: parser.add_argument("--cifar100", metavar="FILE", help="npz, see above"),
    )
    print("all methods: the same encoder, images, epochs, batches of 64 and learning rate")
    print("classifier: 50 epochs, its last state; the paper's was tuned on test accuracy")
    cells, orderings = Cells("table1", given, budget), Orderings()
    check("CIFAR-10", make_table("CIFAR-10", budget, load(budget), cells), orderings)
    if given.cifar100:
        data = load_cifar100(given.cifar100, budget)
        check("CIFAR-100", make_table("CIFAR-100", budget, data, cells), orderings)
    else:
        print("CIFAR-100: not run, no file given")
    if given.budget == "small":
        print("full protocol on a GPU: not run")
    print(f"seconds of all cells: {cells.seconds():.0f}")
    orderings.end()


if __name__ == "__main__":
    main()
