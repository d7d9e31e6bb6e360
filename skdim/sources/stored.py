"""Samples that are read when they are needed.

In the rest of the library, samples are an array in memory or `StoredSamples`.
"""

import numpy as np
from sklearn.utils import assert_all_finite

from skdim.sources.arrays import explain_bad_numbers, working_dtype
from skdim.sources.layout import Layout
from skdim.sources.readers import Indices, Part, Source, read_samples


class StoredSamples:
    """Samples of a source, channels first, read and checked when they are indexed.

    Attributes
    ----------
    shape : tuple of int
        (n, channels, *sides)
    dtype : numpy.dtype
        float32, uint8 or float64.
    """

    def __init__(self, source: Source, layout: Layout):
        dtype = np.dtype(source.dtype)
        if dtype.kind not in "buif":
            raise ValueError(f"X must hold real numbers. Got the type {dtype}.")
        self.source, self.layout = source, layout
        self.dtype = working_dtype(dtype)
        self.shape = (len(source), *layout.sample_shape)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes, including the axis of samples."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all samples."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, indices: Indices) -> np.ndarray:
        """Read samples (n_indices, channels, *sides)."""
        with explain_bad_numbers():
            X = read_samples(self.source, indices).astype(self.dtype, copy=False)
            assert_all_finite(
                X,
                allow_nan=self.layout.allow_nan,
                input_name="X",
                estimator_name="DIMTransformer",
            )
        return self.layout.as_samples(X)

    def subset(self, indices: np.ndarray) -> "StoredSamples":
        """Return some of the samples, without reading them."""
        return StoredSamples(Part(self.source, indices), self.layout)


# Samples in memory, or samples that are read when they are indexed.
Samples = np.ndarray | StoredSamples


def take_subset(samples: Samples, indices: np.ndarray) -> Samples:
    """Return some of the samples; they stay in memory or on disk."""
    return samples[indices] if isinstance(samples, np.ndarray) else samples.subset(indices)
