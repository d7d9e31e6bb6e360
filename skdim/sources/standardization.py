"""Standardisation of samples: the mean and scale of each channel, and the device they are on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup
from skdim.sources.arrays import chunk_slices
from skdim.sources.stored import Samples

# Number of float64 samples that are standardised at once.
N_AT_ONCE = 4096
# Largest error of a mean in float32, as a part of the scale, that is not corrected.
LARGEST_ROUNDING = 1e-5
# A channel is constant if its values differ by no more than so many units in the last place.
ROUNDING = 8


@dataclass(frozen=True)
class Standardization:
    """Subtract the mean of each channel and divide by its scale, on a device.

    uint8 and float32 samples are standardised on the device, float64 samples in float64 on the
    host: years and time stamps keep their digits, and the device need not support float64.

    A channel that carried nothing in ``fit`` carries nothing later: if it was constant, it is 0
    whatever it holds, and if it had no value, it is missing whatever it holds.

    Attributes
    ----------
    mean : ndarray of shape (n_channels,), float64
        NaN for a channel without any value.
    scale : ndarray of shape (n_channels,), float64
        inf for a constant channel, NaN for a channel without any value.
    device : torch.device
    is_complete : ndarray of shape (n_channels,), bool, or None
        The channels that had no missing value in ``fit``. A later one is replaced by 0, the mean.
        None if missing values stay missing in all channels.
    """

    mean: np.ndarray
    scale: np.ndarray
    device: torch.device
    is_complete: np.ndarray | None = None

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
        return self._fill if dtype == np.float64 else self._standardize

    def _standardize(self, batch: Tensor) -> Tensor:
        means, scale, _ = self._statistics
        sides = [1] * (batch.ndim - 2)
        centered = torch.sub(batch, means[0].view(-1, *sides))
        for rest in means[1:]:
            centered.sub_(rest.view(-1, *sides))
        return self._fill(centered.div_(scale.view(-1, *sides)))

    def _fill(self, batch: Tensor) -> Tensor:
        """Replace missing values in channels that had none in ``fit``."""
        *_, is_complete = self._statistics
        if is_complete is None:
            return batch
        is_filled = batch.isnan() & is_complete.view(-1, *[1] * (batch.ndim - 2))
        return batch.masked_fill(is_filled, 0.0)

    @cached_property
    def _statistics(self) -> tuple[list[Tensor], Tensor, Tensor | None]:
        """Mean, scale and the complete channels on the device, the first two in float32.

        After the mean comes what rounding took from it, unless that is too little to matter. It
        matters for time stamps, which float32 rounds to minutes.
        """
        rest = self.mean - self.mean.astype(np.float32)
        matters = bool((np.abs(rest) > LARGEST_ROUNDING * self.scale).any())
        *means, scale = (
            torch.from_numpy(statistic.astype(np.float32)).to(self.device)
            for statistic in (self.mean, *([rest] if matters else []), self.scale)
        )
        if self.is_complete is None or not self.is_complete.any():
            return means, scale, None
        return means, scale, torch.from_numpy(self.is_complete).to(self.device)


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


class ChannelStatistics(NamedTuple):
    """The statistics of each channel, or of each column of a table; see `Standardization`."""

    mean: np.ndarray
    scale: np.ndarray
    is_complete: np.ndarray


def learn_standardization(
    samples: Samples,
    device: torch.device,
    fills_missing: bool,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> Standardization:
    """Learn how to standardise samples; ``fills_missing`` says whether later ones are filled."""
    mean, scale, is_complete = channel_statistics(samples, processes)
    return Standardization(mean, scale, device, is_complete if fills_missing else None)


def channel_statistics(
    samples: Samples, processes: ProcessGroup = SINGLE_PROCESS
) -> ChannelStatistics:
    """Mean and standard deviation of each channel, ignoring missing values.

    With several processes, each reads a part of the samples.

    Raises
    ------
    ValueError
        If standard deviations are too large or too small for the type of the samples.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # overflow is detected below
        low, high, mean, n_present, is_complete = _ranges(samples, processes)
        width = high - low
        is_constant = width <= ROUNDING * np.spacing(np.maximum(abs(low), abs(high)))
        # Deviations times a power of two keep their digits, and their squares do not underflow.
        factor = np.ldexp(1.0, -np.frexp(np.where(is_constant, 1.0, width))[1].clip(-1000))
        scale = _deviation(samples, mean, n_present, factor, processes) / factor
    is_empty = low > high
    if not np.isfinite(np.where(is_empty, 0.0, scale)).all():
        raise ValueError(
            "X must hold values that can be added, up to about 1e300. Divide X by a constant."
        )
    varying = scale[~is_constant & ~is_empty]
    if samples.dtype != np.float64 and not ((varying > 1e-30) & (varying < 1e30)).all():
        raise ValueError(
            "X must hold values of a standard deviation from 1e-30 to 1e30 if its type is "
            f"{samples.dtype}. Got {varying.min():.2g} to {varying.max():.2g}: multiply X by a "
            "constant, or pass it as float64."
        )
    scale[is_constant], mean[is_constant] = np.inf, low[is_constant]
    scale[is_empty] = mean[is_empty] = np.nan
    return ChannelStatistics(mean, scale, is_complete)


def _ranges(samples: Samples, processes: ProcessGroup) -> tuple[np.ndarray, ...]:
    """Lowest, highest and mean value of each channel, their number, and whether none is missing."""
    axes = (0, *range(2, samples.ndim))
    total, n_values, n_missing = np.zeros((3, samples.shape[1]))
    low, high = np.full(samples.shape[1], np.inf), np.full(samples.shape[1], -np.inf)
    for chunk in _own_chunks(samples, processes):
        values = samples[chunk].astype(np.float64)
        is_missing = np.isnan(values)
        if is_missing.any():
            low = np.minimum(low, np.where(is_missing, np.inf, values).min(axes))
            high = np.maximum(high, np.where(is_missing, -np.inf, values).max(axes))
            n_missing += is_missing.sum(axes)
            values[is_missing] = 0.0
        else:
            low, high = np.minimum(low, values.min(axes)), np.maximum(high, values.max(axes))
        n_values += values[:, 0].size
        total += values.sum(axes)
    total, n_values, n_missing = map(processes.sum_arrays, (total, n_values, n_missing))
    low, high = (np.min(processes.all_gather(x), 0) for x in (low, -high))
    n_present = np.maximum(n_values - n_missing, 1)
    return low, -high, total / n_present, n_present, n_missing == 0


def _deviation(
    samples: Samples,
    mean: np.ndarray,
    n_present: np.ndarray,
    factor: np.ndarray,
    processes: ProcessGroup,
) -> np.ndarray:
    """Standard deviation of each channel, times the factor of the channel."""
    axes, sides = (0, *range(2, samples.ndim)), [1] * (samples.ndim - 2)
    center, factor = mean.reshape(-1, *sides), factor.reshape(-1, *sides)
    squares = np.zeros(len(mean))
    for chunk in _own_chunks(samples, processes):
        values = samples[chunk]
        deviations = values - center  # float64
        deviations *= factor
        deviations[np.isnan(values)] = 0.0
        squares += np.square(deviations, out=deviations).sum(axes)
    return np.sqrt(processes.sum_arrays(squares) / n_present)


def _own_chunks(samples: Samples, processes: ProcessGroup) -> list[slice]:
    return list(chunk_slices(samples.shape))[processes.rank :: processes.world_size]
