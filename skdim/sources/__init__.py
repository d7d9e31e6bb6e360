"""X outside memory: samples are read when they are needed, a batch at a time.

A source knows the shape and type of all samples, and ``read(indices)`` returns some of them.
`as_source` wraps arrays on disk, torch datasets and iterables automatically. To read from anything
else, write a subclass of `Source` with ``shape``, ``dtype`` and ``read``.
"""

from skdim.sources.images import ImageFiles, ImageFolder
from skdim.sources.labels import read_labels
from skdim.sources.readers import (
    Joined,
    Part,
    Source,
    StoredArray,
    StoredDataset,
    as_source,
    spool,
)
from skdim.sources.sounds import SoundFiles, SoundFolder
from skdim.sources.stored import StoredSamples

__all__ = [
    "ImageFiles",
    "ImageFolder",
    "Joined",
    "Part",
    "SoundFiles",
    "SoundFolder",
    "Source",
    "StoredArray",
    "StoredDataset",
    "StoredSamples",
    "as_source",
    "read_labels",
    "spool",
]
