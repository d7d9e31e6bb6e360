"""Shared by all networks of an evaluation: reading of inputs, random numbers and training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from skdim._runtime.devices import choose_device, freed_memory_kept, memory_advice
from skdim._runtime.seeding import seeded
from skdim._training.loop import Batches, train_epochs
from skdim.optimization import for_device
from skdim.sources.arrays import as_numpy

# Legal values of the parameters that all these networks have.
TRAINING: dict[str, list] = {
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "random_state": ["random_state"],
    "device": [str, torch.device],
}


@contextmanager
def seeded_device(
    random_state, device: str | torch.device, batch_size: int
) -> Iterator[torch.Generator]:
    """Choose a device and yield a seeded generator on it; torch keeps its own random state.

    Parameters
    ----------
    random_state : int, RandomState or None
    device : str or torch.device
    batch_size : int
        Named in the error if memory is exhausted.
    """
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    chosen = choose_device(device)
    with (
        memory_advice(chosen, batch_size=batch_size),
        freed_memory_kept(chosen),
        seeded(seed, chosen) as generator,
    ):
        yield generator


def train(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    n_samples: int,
    *,
    max_epochs: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Minimise the loss on random batches by Adam; leave the network in evaluation mode.

    The learning rate rises over the first tenth of training and falls to zero along a cosine.

    Parameters
    ----------
    network : nn.Module
        On the device of ``generator``.
    loss : callable (indices) -> Tensor of shape ()
        Loss of a batch of at least 2 and at most ``batch_size`` samples.
    n_samples : int
        At least 2.
    max_epochs, batch_size : int
    learning_rate : float
        The highest learning rate.
    generator : torch.Generator
        Draws the batches.
    after_epoch : callable ()
        Called after every epoch, with the network in evaluation mode.
    """
    params = for_device(torch.optim.Adam, {"lr": learning_rate}, generator.device, captured=False)
    optimizer = torch.optim.Adam(network.parameters(), **params)
    batches = Batches(range(n_samples), None, batch_size, generator)
    network.train()
    for _ in train_epochs(optimizer, loss, batches, max_epochs):
        network.eval()
        after_epoch()
        network.train()
    network.eval()


def read_numbers(array, name: str) -> np.ndarray:
    """Return an array of finite real numbers, of unchanged shape.

    Parameters
    ----------
    array : array-like or Tensor of shape (n_samples, ...)
    name : str
        Name of the parameter, for the error.
    """
    array = np.asarray(as_numpy(array))
    if array.dtype.kind not in "biuf":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"The {name!r} must be real numbers: {error}.") from None
    if not array.size or not array.ndim:
        raise ValueError(f"The {name!r} must be those of some samples. Got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"The {name!r} must be finite numbers. Got NaN or infinity.")
    return array


def read_features(array, name: str, *, like: np.ndarray | None = None) -> np.ndarray:
    """Return finite numbers with the axes of a sample flattened: (n_samples, n_features), float32.

    Parameters
    ----------
    array : array-like or Tensor of shape (n_samples, ...)
    name : str
        Name of the parameter, for the error.
    like : ndarray of shape (n, n_features), or None
        An array that must have the same number of features.
    """
    array = read_numbers(array, name).astype(np.float32)
    features = array.reshape(len(array), -1)
    if like is not None and features.shape[1] != like.shape[1]:
        raise ValueError(
            f"The {name!r} must have the {like.shape[1]} features that the first ones have. "
            f"Got {features.shape[1]}."
        )
    return features


def check_one_each(array, name: str, others, others_name: str) -> None:
    """Raise ValueError unless an array has one entry for each sample of another."""
    if len(array) != len(others):
        raise ValueError(
            f"The {name!r} must be one for each of the {len(others)} {others_name!r}. "
            f"Got {len(array)}."
        )


def standardize(features: np.ndarray, *more: np.ndarray) -> list[np.ndarray]:
    """Shift and scale every column so that it has mean 0 and variance 1 in the first array."""
    scaler = StandardScaler().fit(features)
    return [scaler.transform(array) for array in (features, *more)]
