"""X outside memory: samples are read when they are needed, a batch at a time.

A source knows the shape and type of all samples, and ``read(indices)`` returns some of them.
`as_source` wraps arrays on disk, torch datasets and iterables automatically. To read from anything
else, write a subclass of `Source` with ``shape``, ``dtype`` and ``read``.
"""

from skdim.sources.images import ImageFolder
from skdim.sources.readers import (
    Part,
    Source,
    StoredArray,
    StoredDataset,
    as_source,
    spool,
)
from skdim.sources.stored import StoredSamples

__all__ = [
    "ImageFolder",
    "Part",
    "Source",
    "StoredArray",
    "StoredDataset",
    "StoredSamples",
    "as_source",
    "spool",
]
