"""Where samples lie while an encoder works on them, and how they get there.

Results do not depend on it.

Bytes and floats keep their type on the way and are standardised on the device. Doubles are
standardised before, as doubles, on the host: a year or a time stamp keeps its digits, and no device
needs to know doubles.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from skdim.sources import Samples

Standardize = Callable[[Tensor], Tensor]


class OnDevice:
    """Samples that lie where the encoder is, all of them.

    Parameters
    ----------
    samples : ndarray or StoredSamples, of shape (n, n_channels, ...)
    mean, scale : ndarray of shape (n_channels,)
    device : torch.device

    Attributes
    ----------
    rows_device : torch.device
        Where the numbers of wanted samples are to be.
    """

    def __init__(self, samples: Samples, mean: np.ndarray, scale: np.ndarray, device: torch.device):
        in_memory = samples if isinstance(samples, np.ndarray) else samples[:]
        self.stored = on_host(in_memory, mean, scale).to(device)
        self.standardize = standardizer(samples, mean, scale, device)
        self.rows_device = device

    def __len__(self) -> int:
        return len(self.stored)

    def take(self, rows: Tensor) -> Tensor:
        """Return samples (n_rows, n_channels, ...) on the device, not yet standardised."""
        return self.stored[rows]


class Streamed:
    """Samples that stay where they are; a batch travels while the device works on the one before.

    Parameters and attributes are those of `OnDevice`.
    """

    def __init__(self, samples: Samples, mean: np.ndarray, scale: np.ndarray, device: torch.device):
        self.samples, self.mean, self.scale, self.device = samples, mean, scale, device
        self.standardize = standardizer(samples, mean, scale, device)
        self.rows_device = torch.device("cpu")
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, rows: Tensor) -> Tensor:
        """Return samples (n_rows, n_channels, ...) on the device, not yet standardised."""
        batch = on_host(self.samples[rows.numpy()], self.mean, self.scale)
        if self.stream is None:
            return batch.to(self.device)
        # Pinned memory comes from a pool that knows which copies are under way: buffers in turn.
        pinned = batch.pin_memory()
        with torch.cuda.stream(self.stream):
            there = pinned.to(self.device, non_blocking=True)
        working = torch.cuda.current_stream(self.device)
        working.wait_stream(self.stream)
        there.record_stream(working)
        return there


Placement = OnDevice | Streamed


def choose_placement(
    data_on_device: bool | str, samples: Samples, device: torch.device
) -> type[OnDevice] | type[Streamed]:
    """Return where samples shall lie.

    "auto" streams what does not lie in memory, and what would fill half of a GPU's memory.
    """
    if data_on_device == "auto":
        if not isinstance(samples, np.ndarray):
            data_on_device = False
        elif device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            data_on_device = samples.nbytes < free / 2
        else:
            data_on_device = True
    return OnDevice if data_on_device else Streamed


def on_host(samples: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> Tensor:
    """Return samples as a tensor that shares their memory where it can; doubles standardised.

    Parameters
    ----------
    samples : ndarray of shape (n, n_channels, ...)
    mean, scale : ndarray of shape (n_channels,)
    """
    if samples.dtype != np.float64:
        return to_tensor(samples)
    wide_mean, wide_scale = _widen(samples, mean), _widen(samples, scale)
    standardized = np.empty(samples.shape, np.float32)
    for start in range(0, len(samples), 4096):
        block = slice(start, start + 4096)
        with np.errstate(over="ignore"):  # the features of what overflows are looked at
            standardized[block] = (samples[block] - wide_mean) / wide_scale
    return to_tensor(standardized)


def standardizer(
    samples: Samples, mean: np.ndarray, scale: np.ndarray, device: torch.device
) -> Standardize:
    """Return what is left to do to a batch on the device: callable (batch) -> Tensor, float32."""
    if samples.dtype == np.float64:
        return as_it_is
    mean_there, scale_there = (
        torch.from_numpy(_widen(samples, part).astype(np.float32)).to(device)
        for part in (mean, scale)
    )

    def standardize(batch: Tensor) -> Tensor:
        return torch.sub(batch, mean_there).div_(scale_there)

    return standardize


def as_it_is(batch: Tensor) -> Tensor:
    """Standardised already."""
    return batch


def to_tensor(array: np.ndarray) -> Tensor:
    """Share memory with an array, except where torch could not: read-only, running backwards."""
    if min(array.strides, default=0) < 0 or not array.flags.aligned:
        array = np.ascontiguousarray(array)
    return torch.from_numpy(np.require(array, requirements=["W"]))


def _widen(samples: Samples, statistics: np.ndarray) -> np.ndarray:
    return statistics.reshape(-1, *[1] * (samples.ndim - 2))
