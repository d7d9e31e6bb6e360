"""X that does not lie in memory: samples are read when they are needed, a batch at a time.

A source knows the shape and type of all samples and reads some of them: ``read(indices)``. What
`as_source` recognises (arrays on disk, torch datasets, iterables) is wrapped automatically; write
a class with ``shape``, ``dtype`` and ``read`` to read from anywhere else.
"""

from skdim.sources.readers import (
    ImageFolder,
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
