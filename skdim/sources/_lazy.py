"""Samples that are read when they are needed.

What the rest of the library calls samples is an array in memory, or `StoredSamples`.
"""

from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite

from skdim.sources._arrays import check_ends, numbers_wanted, read_samples, working_dtype
from skdim.sources._readers import Indices, Part, Source


class StoredSamples:
    """Samples of a source, channels first, read and checked when they are indexed.

    Parameters
    ----------
    source : Source
    sample_shape, channel_axis, allow_nan
        As in `DIMTransformer`.

    Attributes
    ----------
    shape : tuple of int
        (n, channels, *sides)
    dtype : numpy.dtype
        float32, uint8 or float64.
    """

    def __init__(
        self,
        source: Source,
        sample_shape: tuple[int, ...] | None,
        channel_axis: Any,
        allow_nan: bool,
    ):
        self.source, self.sample_shape, self.channel_axis = source, sample_shape, channel_axis
        self.allow_nan = allow_nan
        if source.dtype.kind not in "buif":
            raise ValueError(f"X must hold real numbers. Got the type {source.dtype}.")
        self.dtype = working_dtype(source.dtype)
        without_memory = np.broadcast_to(np.zeros((), self.dtype), source.shape)
        self.shape = read_samples(without_memory, sample_shape, channel_axis).shape

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes, that of samples included."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all samples."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, indices: Indices) -> np.ndarray:
        """Read samples (n_indices, channels, *sides)."""
        with numbers_wanted():
            X = self.source.read(indices).astype(self.dtype, copy=False)
            assert_all_finite(
                X, allow_nan=self.allow_nan, input_name="X", estimator_name="DIMTransformer"
            )
        samples = read_samples(X, self.sample_shape, self.channel_axis)
        if self.allow_nan:
            check_ends(samples)
        return samples

    def subset(self, indices: np.ndarray) -> "StoredSamples":
        """Return some of the samples, without reading them."""
        part = Part(self.source, indices)
        return StoredSamples(part, self.sample_shape, self.channel_axis, self.allow_nan)


# What the library works on: an array in memory, or what is read like one.
Samples = np.ndarray | StoredSamples


def take_subset(samples: Samples, indices: np.ndarray) -> Samples:
    """Return some samples, in memory if all of them are."""
    return samples[indices] if isinstance(samples, np.ndarray) else samples.subset(indices)
