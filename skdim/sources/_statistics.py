"""What is known of samples before training: the mean and scale that standardise them."""

import numpy as np

from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup
from skdim.sources._arrays import chunk_slices
from skdim.sources._lazy import Samples


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
    """Mean and standard deviation of each channel, or of each column of a table; 1 for constants.

    Missing values do not count. Several processes read a part of the samples each.

    Returns
    -------
    mean, scale : ndarray of shape (n_channels,), float64
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found below
        mean, scale = _moments(samples, processes)
    if not np.isfinite(scale).all():
        raise ValueError(
            "X must hold values that can be squared and added, up to about 1e150. Divide X by a "
            "constant."
        )
    # A constant column has a scale of rounding errors; dividing by them would be noise.
    constant = scale <= 1e-12 * np.abs(mean)
    scale = np.where(constant, 1.0, scale)
    if samples.dtype != np.float64 and not ((scale > 1e-30) & (scale < 1e30)).all():
        raise ValueError(
            "X must hold values of a standard deviation from 1e-30 to 1e30 where its type is "
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
    n_values = np.maximum(processes.sum_arrays(n_values), 1)  # a column may be missing throughout
    mean = processes.sum_arrays(total) / n_values
    squares = np.zeros_like(mean)
    wide = mean.reshape(-1, *[1] * (samples.ndim - 2))
    for chunk in chunks:
        values = samples[chunk]
        deviations = values - wide  # doubles
        deviations[np.isnan(values)] = 0.0
        squares += np.square(deviations, out=deviations).sum(axes)
    return mean, np.sqrt(processes.sum_arrays(squares) / n_values)
