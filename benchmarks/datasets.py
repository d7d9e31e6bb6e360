"""The data sets of the benchmarks, each split into a training and a test part.

`DATASETS` maps names to functions without arguments that return a `Data`. Instead of a name, `load`
also takes the path of an ``.npz`` file that holds X and y.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmarks.common import data_loader
from benchmarks.sounds import make_words

UCR = (
    "OSULeaf",
    "ACSF1",
    "ItalyPowerDemand",
    "ArrowHead",
    "GunPoint",
    "BasicMotions",
    "JapaneseVowels",
)


class Data(NamedTuple):
    """Samples and labels; ``kind`` is "rows", "signals" or "images".

    Signals are (n, channels, length), images (n, height, width) or (n, height, width, channels).
    """

    kind: str
    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray

    @property
    def params(self) -> dict:
        """Parameters that `DIMTransformer` needs for this kind."""
        return {"channel_axis": 1} if self.kind == "signals" else {}

    def validation(self) -> "Data":
        """Return the training part only, a quarter of it as the test part."""
        X, X_test, y, y_test = train_test_split(
            self.X, self.y, test_size=0.25, random_state=0, stratify=self.y
        )
        return Data(self.kind, X, y, X_test, y_test)


def digits() -> Data:
    """8 x 8 grey images, two thirds of them to train on."""
    X, y = load_digits().images, load_digits().target
    X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, random_state=0, stratify=y)
    return Data("images", X, y, X_test, y_test)


def letter() -> Data:
    """Tabular data: 16 columns of integers."""
    data = data_loader()
    return Data("rows", *data.load_letter("train"), *data.load_letter("test"))


def cifar10(n: int | None = None) -> Data:
    """32 x 32 colour images."""
    data = data_loader()
    return Data("images", *data.load_cifar10("train", n=n), *data.load_cifar10("test"))


def grey_cifar10(n: int) -> Data:
    """32 x 32 photographs without colour: luminance of ITU-R BT.601."""
    kind, X, y, X_test, y_test = cifar10(n)
    luminance = np.array([0.299, 0.587, 0.114], np.float32)
    return Data(kind, X @ luminance, y, X_test @ luminance, y_test)


def clothes(n: int | None = None) -> Data:
    """28 x 28 grey images of clothes (Fashion-MNIST), 12,000 to train on."""
    data = data_loader()
    return Data("images", *data.load_clothes("train", n=n), *data.load_clothes("test"))


def ucr(name: str) -> Data:
    """Signals; missing ends of shorter ones are filled with the training mean of the channel."""
    data = data_loader()
    X, y = data.load_ucr_small(name, "train")
    X_test, y_test = data.load_ucr_small(name, "test")
    length = max(X.shape[2], X_test.shape[2])
    mean = np.nanmean(X, (0, 2), keepdims=True)
    return Data("signals", _fill(X, length, mean), y, _fill(X_test, length, mean), y_test)


def sensors() -> Data:
    """Signals of 9 channels: accelerations and angular velocities of people who move."""
    data = data_loader()
    return Data("signals", *data.load_sensors("train"), *data.load_sensors("test"))


def words(n: int = 2000) -> Data:
    """Synthetic sounds, 1,000 of them to test on; see `benchmarks.sounds`."""
    (X, y), (X_test, y_test) = make_words(n, 0), make_words(1000, 1)
    return Data("signals", X[:, None], y, X_test[:, None], y_test)


def from_file(path: str) -> Data:
    """X and y of an .npz file, a quarter to test on; the number of axes determines the kind."""
    with np.load(path) as arrays:
        X, y = arrays["X"], arrays["y"]
    kind = {2: "rows", 3: "images", 4: "images"}[X.ndim]
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
    return Data(kind, X, y, X_test, y_test)


def _fill(X: np.ndarray, length: int, mean: np.ndarray) -> np.ndarray:
    filled = np.full((*X.shape[:2], length), np.nan, np.float32)
    filled[:, :, : X.shape[2]] = X
    return np.where(np.isnan(filled), mean, filled).astype(np.float32)


DATASETS: dict[str, Callable[[], Data]] = {
    "digits": digits,
    "letter": letter,
    **{name: partial(ucr, name) for name in UCR},
    "sensors": sensors,
    "words": words,
    "clothes": clothes,
    "grey-cifar10-5k": partial(grey_cifar10, 5000),
    "cifar10-5k": partial(cifar10, 5000),
    "cifar10-10k": partial(cifar10, 10_000),
    "cifar10": cifar10,
}


def load(name: str) -> Data:
    """Load a data set by its name, or a file by its path."""
    return from_file(name) if Path(name).suffix == ".npz" else DATASETS[name]()
