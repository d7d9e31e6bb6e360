"""A source as a user would write one."""

import numpy as np

from skdim.sources import Source


class ArraySource(Source):
    """An array that is read when it is needed, as if it were elsewhere.

    Parameters
    ----------
    array : ndarray of shape (n, ...)
    """

    def __init__(self, array: np.ndarray):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def read(self, indices):
        """Read samples."""
        return self.array[indices]
