"""Standardisation of samples: the mean and scale of each channel, and the device they are on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup
from skdim.sources.arrays import chunk_slices
from skdim.sources.stored import Samples

# Number of float64 samples that are standardised at once.
N_AT_ONCE = 4096
# Largest error of a mean in float32, as a part of the scale, that is not corrected.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Standardization:
    """Subtract the mean of each channel and divide by its scale, on a device.

    uint8 and float32 samples are standardised on the device, float64 samples in float64 on the
    host: years and time stamps keep their digits, and the device need not support float64.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_channels,), float64
    device : torch.device
    """

    mean: np.ndarray
    scale: np.ndarray
    device: torch.device

    def __call__(self, samples: np.ndarray) -> Tensor:
        """Standardise samples (n, n_channels, *sides) as float32 on the device."""
        return self.on_device(samples.dtype)(self.on_host(samples).to(self.device))

    def on_host(self, samples: np.ndarray) -> Tensor:
        """Do the part of the standardisation that precedes the move to the device.

        The result shares the memory of the samples if possible.
        """
        if samples.dtype != np.float64:
            return as_tensor(samples)
        sides = [1] * (samples.ndim - 2)
        mean, scale = self.mean.reshape(-1, *sides), self.scale.reshape(-1, *sides)
        standardized = np.empty(samples.shape, np.float32)
        for start in range(0, len(samples), N_AT_ONCE):
            chunk = slice(start, start + N_AT_ONCE)
            with np.errstate(over="ignore"):  # features are checked to be finite
                standardized[chunk] = (samples[chunk] - mean) / scale
        return as_tensor(standardized)

    def on_device(self, dtype: np.dtype) -> Callable[[Tensor], Tensor]:
        """Return the function that completes the standardisation of batches on the device."""
        return already_standardized if dtype == np.float64 else self._standardize

    def _standardize(self, batch: Tensor) -> Tensor:
        *means, scale = (s.view(-1, *[1] * (batch.ndim - 2)) for s in self._statistics)
        centered = torch.sub(batch, means[0])
        for rest in means[1:]:
            centered.sub_(rest)
        return centered.div_(scale)

    @cached_property
    def _statistics(self) -> list[Tensor]:
        """Mean and scale on the device, float32; between them what rounding took from the mean.

        That is left out unless it matters, as for time stamps, which float32 rounds to minutes.
        """
        rest = self.mean - self.mean.astype(np.float32)
        matters = bool((np.abs(rest) > ROUNDING * self.scale).any())
        statistics = (self.mean, *([rest] if matters else []), self.scale)
        return [torch.from_numpy(s.astype(np.float32)).to(self.device) for s in statistics]


def already_standardized(batch: Tensor) -> Tensor:
    """Return a batch unchanged."""
    return batch


def as_tensor(array: np.ndarray) -> Tensor:
    """Share memory with an array; copy it if it is read-only or has negative strides."""
    if min(array.strides, default=0) < 0 or not array.flags.aligned:
        array = array.copy()  # an axis of length 1 may have a negative stride and be contiguous
    return torch.from_numpy(np.require(array, requirements=["W"]))


def check_not_constant(samples: Samples) -> None:
    """Raise ValueError if all samples are the same."""
    first = samples[:1]
    chunks = (samples[chunk] for chunk in chunk_slices(samples.shape))
    if all(np.array_equal(c, np.broadcast_to(first, c.shape), equal_nan=True) for c in chunks):
        raise ValueError(
            f"X must hold samples that differ. Got {len(samples)} samples that are all the same, "
            "which leaves nothing to learn."
        )


def channel_statistics(
    samples: Samples, processes: ProcessGroup = SINGLE_PROCESS
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of each channel, or of each column of a table: (n_channels,), float64 each.

    The scale is the standard deviation, and 1 for constants. Missing values are ignored. With
    several processes, each reads a part of the samples.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # overflow is detected below
        mean, scale = _moments(samples, processes)
    if not np.isfinite(scale).all():
        raise ValueError(
            "X must hold values that can be squared and added, up to about 1e150. Divide X by a "
            "constant."
        )
    # The scale of a constant column is a rounding error; division by it would give noise.
    is_constant = scale <= 1e-12 * np.abs(mean)
    scale = np.where(is_constant, 1.0, scale)
    if samples.dtype != np.float64 and not ((scale > 1e-30) & (scale < 1e30)).all():
        raise ValueError(
            "X must hold values of a standard deviation from 1e-30 to 1e30 if its type is "
            f"{samples.dtype}. Got {scale.min():.2g} to {scale.max():.2g}: multiply X by a "
            "constant, or pass it as float64."
        )
    return mean, scale


def _moments(samples: Samples, processes: ProcessGroup) -> tuple[np.ndarray, np.ndarray]:
    axes = (0, *range(2, samples.ndim))
    total, n_values = np.zeros(samples.shape[1]), np.zeros(samples.shape[1])
    chunks = list(chunk_slices(samples.shape))[processes.rank :: processes.world_size]
    for chunk in chunks:
        values = samples[chunk].astype(np.float64)
        is_missing = np.isnan(values)
        values[is_missing] = 0.0
        n_values += (~is_missing).sum(axes)
        total += values.sum(axes)
    n_values = np.maximum(processes.sum_arrays(n_values), 1)  # all cells of a column may be missing
    mean = processes.sum_arrays(total) / n_values
    squares = np.zeros_like(mean)
    center = mean.reshape(-1, *[1] * (samples.ndim - 2))
    for chunk in chunks:
        values = samples[chunk]
        deviations = values - center  # float64
        deviations[np.isnan(values)] = 0.0
        squares += np.square(deviations, out=deviations).sum(axes)
    return mean, np.sqrt(processes.sum_arrays(squares) / n_values)
