"""Claim: on strided crops, DIM with one or several global codes, and CPC, all beat no training.

The table that compares DIM with CPC. CIFAR-10, residual network on crops of 8 pixels with stride 4,
infoNCE, no prior, critics of 1024 at the full budget as in the authors' code. DIM(L) has one global
code of the whole 7 x 7 map, or 25 of its 3 x 3 windows: the last map itself, without an output
layer. CPC predicts rows 2 to 5 further down, among all positions of all images. The probe sees the
local map of 7 x 7 vectors, which all three train; of DIM also the hidden layer, or all 25 global
codes. The paper's numbers are recalled, unverified, so no ordering of the paper is asserted.

``--folder <folder>`` takes 64 x 64 pixels of a folder, as ``benchmarks.paper.folders`` does, and
the AlexNet on crops of 16 pixels, as for STL-10: then the local map has 9,408 units.

Command: SKDIM_DATA=<folder> python -m benchmarks.paper.crops
n: 3 seeds (--seeds), at --budget small; --budget full was not run
Hardware: 2 cores, no GPU
Versions: printed, and in results/
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.baselines.cpc import CPC
from benchmarks.common import encode_images
from benchmarks.paper.folders import DATA_SETS, read
from benchmarks.paper.protocol import (
    Budget,
    Cells,
    Orderings,
    arguments,
    comparison,
    dim,
    load,
    probe,
)
from skdim.encoders import Encoding

UNTRAINED = {"max_epochs": 1, "learning_rate": 1e-12}
LAYERS: dict[str, Callable[[Encoding], object]] = {
    "local map": lambda encoding: encoding.local_maps[0],
    "hidden layer": lambda encoding: encoding.hidden,
    "global codes": lambda encoding: encoding.global_codes,
}


class Row(NamedTuple):
    """A method: its encoder by the kind of images, and what is probed next to the local map."""

    encoders: dict[str, str]
    further: str | None
    recalled: dict[str, float]


ROWS = {
    "DIM(L), one global": Row(
        {"cifar10": "paper_crops_resnet19", "folder": "paper_crops_alexnet64"},
        "hidden layer",
        {"cifar10": 80.95, "folder": 76.97},
    ),
    "DIM(L), several globals": Row(
        {"cifar10": "paper_globals_resnet19", "folder": "paper_globals_alexnet64"},
        "global codes",
        {"cifar10": 77.51, "folder": 78.21},
    ),
    "CPC": Row(
        {"cifar10": "paper_crops_resnet19", "folder": "paper_crops_alexnet64"},
        None,
        {"cifar10": 77.45, "folder": 77.81},
    ),
}


def build(name: str, budget: Budget, images: str, seed: int, **params):
    """Return an estimator of a row."""
    encoder = ROWS[name].encoders[images]
    augment = DATA_SETS["stl10"].augment if images == "folder" else None
    if name == "CPC":
        at_budget = {"max_epochs": budget.n_epochs, "learning_rate": budget.learning_rate}
        return CPC(
            encoder=encoder,
            encoder_params={"scale": budget.scale},
            random_state=seed,
            precision=budget.precision,
            augment=augment,
            **{**at_budget, **params},
        )
    settings = {
        "encoder": encoder,
        "critic_width": budget.critic_width // 2,
        "prior": "uniform",
        "prior_weight": 0.0,
        "augment": augment,
        **({"n_components": None} if ROWS[name].further == "global codes" else {}),
        **({"n_views": 1} if augment else {}),
    }
    return dim(budget, "local", "infonce", seed, **{**settings, **params})


def encode_layers(estimator, X: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    """Return layers of LAYERS, flattened: (n, n_features) each."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for n, encoding in encode_images(estimator, X):
        for name in names:
            parts[name].append(LAYERS[name](encoding)[:n].flatten(1).float().cpu().numpy())
    return {name: np.concatenate(batches) for name, batches in parts.items()}


def cell(budget: Budget, data, name: str, images: str, params: dict, seed: int) -> dict:
    """Accuracy of the probe on each layer, in percent."""
    model = build(name, budget, images, seed, **params).fit(data.all_images)
    names = ["local map", *([ROWS[name].further] if ROWS[name].further else [])]
    train, test = (encode_layers(model, X, names) for X in (data.X, data.X_test))
    return {n: probe(budget, train[n], data.y, test[n], data.y_test, seed) for n in names}


def main():
    options, budget = arguments(
        __doc__,
        lambda parser: parser.add_argument("--folder", type=Path, help="see above"),
        medium={"scale": 0.25, "n_epochs": 20},
        n_train=2000,
        n_epochs=6,
        scale=0.125,  # 49 crops an image
    )
    images = "folder" if options.folder else "cifar10"
    data = read(options.folder, 64, budget) if options.folder else load(budget)
    cells = Cells("crops" if images == "cifar10" else "crops_folder", options, budget)
    orderings = Orderings()
    for name, row in ROWS.items():
        fits = {}
        for training, params in (("trained", {}), ("untrained", UNTRAINED)):
            run = partial(cell, budget, data, name, images, params)
            fits[training] = [
                cells.get(f"{name}, no prior|{training}|{seed}", partial(run, seed=seed))
                for seed in range(budget.n_seeds)
            ]
            for layer in ("local map", row.further):
                if layer:
                    ours = [fit[layer] for fit in fits[training]]
                    recalled = row.recalled[images] if training == "trained" else None
                    numbers = comparison(ours, recalled=recalled)
                    print(f"{name:<24} {training:<10} {layer:<13} {numbers}")
        pair = ([fit["local map"] for fit in fits[training]] for training in fits)
        orderings.check(f"{name}: training helps the local map", *pair)
    orderings.end()


if __name__ == "__main__":
    main()
