"""Claim: the paper's tables of CIFAR-100, Tiny ImageNet and STL-10, from folders of images.

The folder holds ``train/<class>/*.png`` and ``test/<class>/*.png``, and for STL-10 also
``unlabelled/*.png`` (any format that Pillow reads). The methods, layers and orderings are those of
``benchmarks.paper.table1``; 64 x 64 pixels have the paper's AlexNet. STL-10 is trained on random
crops, half of them flipped, as in the paper. Its column of fine-tuning ("SS") is not made here.

Command: python -m benchmarks.paper.folders --data stl10 --folder <folder>
n: 3 seeds (--seeds); not run
Hardware: --budget full needs a GPU
Versions: not run
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.paper.protocol import Budget, Cells, Data, Orderings, arguments
from benchmarks.paper.table1 import check, make_table, say_protocol
from skdim.augmentation import crop_and_flip
from skdim.sources import ImageFolder


class DataSet(NamedTuple):
    """How the paper reads a data set, and for how many epochs it trains on it."""

    name: str
    size: int
    encoder: str
    augment: Callable | None
    n_epochs: int


DATA_SETS = {
    "cifar100": DataSet("CIFAR-100", 32, "paper32", None, 1000),
    "tiny_imagenet": DataSet("Tiny ImageNet", 64, "paper_alexnet64", None, 200),
    "stl10": DataSet("STL-10", 64, "paper_alexnet64", crop_and_flip, 200),
}


def read(folder: Path, size: int, budget: Budget) -> Data:
    """Read as many images of each part as the budget has, the same ones in every run."""
    X, y = read_part(folder / "train", size, budget.n_train)
    X_test, y_test = read_part(folder / "test", size, budget.n_test)
    further = folder / "unlabelled"
    n_left = 2 * budget.n_train  # 100,000 at the full budget, as STL-10 has
    X_unlabelled = read_part(further, size, n_left)[0] if further.is_dir() else None
    return Data(X, y, X_test, y_test, X_unlabelled)


def read_part(folder: Path, size: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Read n random images of a folder, or all it has, and the names of their folders."""
    images = ImageFolder(folder, size)
    chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:n])
    return images.read(chosen), images.labels[chosen]


def setup_of(data_set: DataSet, model: str) -> dict:
    """Return the parameters of a model of ``table1`` that the budget does not set."""
    setup = {"encoder": data_set.encoder, "augment": data_set.augment}
    # One view, which is a crop: codes are compared with the local features of the same crop.
    is_dim = model.startswith("DIM") or model == "untrained"
    return {**setup, "n_views": 1} if is_dim and data_set.augment else setup


def add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, choices=DATA_SETS)
    parser.add_argument("--folder", required=True, type=Path)


def main():
    options, budget = arguments(__doc__, add_folder)
    data_set = DATA_SETS[options.data]
    if options.budget == "full" and not options.epochs:
        budget = budget._replace(n_epochs=data_set.n_epochs)
    if options.data == "tiny_imagenet" and options.budget == "full":
        budget = budget._replace(n_train=100_000)
    say_protocol(budget)
    data = read(options.folder, data_set.size, budget)
    n_more = 0 if data.X_unlabelled is None else len(data.X_unlabelled)
    print(
        f"{len(data.X)} images with labels, {n_more} without, {len(data.X_test)} of the test part"
    )
    cells, orderings = Cells(options.data, options, budget), Orderings()
    setup = partial(setup_of, data_set)
    check(data_set.name, make_table(data_set.name, budget, data, cells, setup), orderings)
    print(f"seconds of all cells: {cells.seconds():.0f}")
    orderings.end()


if __name__ == "__main__":
    main()
