"""Sources: X outside memory, from which samples are read when they are needed.

A source knows the shape and type of all samples, and ``read(indices)`` returns some of them.
`as_source` wraps arrays on disk, torch datasets and iterables automatically. To read from anything
else, write a subclass of `Source` with ``shape``, ``dtype`` and ``read``.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, IterableDataset

from skdim.sources._arrays import chunk_slices, read_array

Indices = slice | np.ndarray


class Source:
    """Base class: samples outside memory.

    Attributes
    ----------
    shape : tuple of int
        (n_samples, ...), with the axes of X.
    dtype : numpy.dtype
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, indices: Indices) -> np.ndarray:
        """Return samples.

        Parameters
        ----------
        indices : slice or ndarray of int

        Returns
        -------
        samples : ndarray of shape (n_indices, ...)
        """
        raise NotImplementedError(f"{type(self).__name__} must define how to read samples.")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes, with that of samples."""
        return len(self.shape)

    def __getitem__(self, indices):
        """Return one sample as an array, or several as a source, as cross-validation needs it."""
        if isinstance(indices, tuple):  # scikit-learn uses [indices, ...]
            indices, *others = indices
            if any(other is not Ellipsis for other in others):
                raise IndexError("A source can be indexed only along its first axis.")
        chosen = np.arange(len(self))[indices]
        return Part(self, chosen) if chosen.ndim else self.read(chosen[None])[0]

    def __array__(self, dtype=None, copy=None):
        samples = self.read(slice(None))
        return samples if dtype is None else samples.astype(dtype)


class Part(Source):
    """A subset of the samples of a source.

    Parameters
    ----------
    source : Source
    indices : ndarray of int
    """

    def __init__(self, source: Source, indices: np.ndarray):
        self.source, self.indices = source, indices
        self.shape = (len(indices), *source.shape[1:])
        self.dtype = source.dtype

    def read(self, indices: Indices) -> np.ndarray:
        """Return samples, by their index in the subset."""
        return self.source.read(self.indices[indices])


class StoredArray(Source):
    """An array on disk: ``numpy.memmap``, HDF5 or Zarr.

    Parameters
    ----------
    array : array-like
        With ``shape`` and ``dtype``, to be indexed by slices and by increasing lists of indices.
    """

    def __init__(self, array: Any):
        self.array = array
        self.shape = tuple(array.shape)
        self.dtype = np.dtype(array.dtype)

    def read(self, indices: Indices) -> np.ndarray:
        """Return samples; the array is read in increasing order of indices."""
        if isinstance(indices, slice) or isinstance(self.array, np.ndarray):
            return np.asarray(self.array[indices])
        increasing, positions = np.unique(indices, return_inverse=True)
        return np.asarray(self.array[increasing.tolist()])[positions]


class StoredDataset(Source):
    """A torch dataset with a length: each item is a sample, or a tuple whose first entry is one.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
    """

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        first = _sample_of(dataset[0])
        self.shape = (len(dataset), *first.shape)  # type: ignore[arg-type]  # has a length
        self.dtype = first.dtype

    def read(self, indices: Indices) -> np.ndarray:
        """Return samples, which are read one by one."""
        items = np.arange(len(self))[indices]
        samples = np.empty((len(items), *self.shape[1:]), self.dtype)
        for position, item in enumerate(items.tolist()):
            sample = _sample_of(self.dataset[item])
            if sample.shape != self.shape[1:]:
                raise ValueError(
                    f"X must hold samples of one shape. Got {sample.shape} for item {item} of "
                    f"the dataset, and {self.shape[1:]} for item 0."
                )
            samples[position] = sample
        return samples


class ImageFolder(Source):
    """Images in a folder and its sub-folders, read when they are needed.

    All images are scaled, and cropped at the longer side, to the same size. Needs Pillow.

    Parameters
    ----------
    folder : path
    size : int or (int, int), default=32
        Height and width.
    color : bool, default=True
        Whether to read three channels, or grey images.

    Attributes
    ----------
    paths : list of Path
        All files with the extension of an image format, in alphabetical order.
    labels : ndarray of str
        Name of the folder of each image.
    shape : (n, height, width, 3) or (n, height, width)
    dtype : uint8

    Raises
    ------
    ValueError
        If there is no image in the folder.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from PIL import Image
    >>> from skdim.sources import ImageFolder
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("one.png", "two.png"):
    ...     noise = np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)
    ...     Image.fromarray(noise).save(os.path.join(folder, name))
    >>> ImageFolder(folder, size=16).shape
    (2, 16, 16, 3)
    """

    def __init__(self, folder: str | os.PathLike, size: int | tuple[int, int] = 32, color=True):
        image_module = _pillow()
        self.folder = Path(folder)
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.color = color
        suffixes = image_module.registered_extensions()
        files = sorted(path for path in self.folder.rglob("*") if path.suffix.lower() in suffixes)
        self.paths = [path for path in files if path.is_file()]
        if not self.paths:
            raise ValueError(f"The folder {str(self.folder)!r} must hold pictures. Got none.")
        self.labels = np.array([path.parent.name for path in self.paths])
        self.shape = (len(self.paths), *self.size, *([3] if color else []))
        self.dtype = np.dtype(np.uint8)

    def read(self, indices: Indices) -> np.ndarray:
        """Return images, decoded in several threads."""
        paths = [self.paths[index] for index in np.arange(len(self))[indices]]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            images = list(pool.map(self._decode, paths))
        return np.stack(images) if images else np.empty((0, *self.shape[1:]), self.dtype)

    def _decode(self, path: Path) -> np.ndarray:
        from PIL import Image, ImageOps

        height, width = self.size
        try:
            with Image.open(path) as file:
                image = ImageOps.exif_transpose(file).convert("RGB" if self.color else "L")
                return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"X must hold pictures. Got {str(path)!r}: {error}") from None


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            'Folders of images need Pillow: pip install "skdim[images]" brings it.'
        ) from None
    return Image


def _sample_of(item: Any) -> np.ndarray:
    """Return the sample of an item of a dataset, without its label."""
    if isinstance(item, tuple | list):
        item = item[0]
    return np.asarray(read_array(item))


def spool(samples: Iterable, path: str | os.PathLike | None = None) -> np.memmap:
    """Write samples to disk, one after the other, without holding all of them in memory.

    Use it for samples that can be read only once, such as streams, or that are slow to read in
    random order, such as compressed chunks.

    Parameters
    ----------
    samples : iterable
        Of samples with the same shape and type, or of tuples whose first entry is a sample. A
        ``torch.utils.data.DataLoader`` yields batches. A `Source` is read in chunks.
    path : path or None, default=None
        File for the raw numbers. None takes a temporary file, which is deleted with the array.

    Returns
    -------
    array : numpy.memmap of shape (n_samples, ...)

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.sources import spool
    >>> spool(np.full(3, i, np.float32) for i in range(5)).shape
    (5, 3)
    """
    n = 0
    shape: tuple[int, ...] | None = None
    dtype = np.dtype(np.float32)
    with tempfile.TemporaryFile() if path is None else open(path, "wb+") as file:
        for chunk in _chunks(samples):
            if shape is None:
                shape, dtype = chunk.shape[1:], chunk.dtype
            if chunk.shape[1:] != shape or chunk.dtype != dtype:
                raise ValueError(
                    f"X must hold samples of one shape and type. Got {chunk.shape[1:]} of "
                    f"{chunk.dtype} after {n} of {shape} of {dtype}."
                )
            np.ascontiguousarray(chunk).tofile(file)
            n += len(chunk)
        file.flush()
        if shape is None:
            raise ValueError(
                "X must hold samples. Got an iterable without any; an iterator can be read once."
            )
        return np.memmap(file, dtype, "r", shape=(n, *shape))


def _chunks(samples: Iterable) -> Iterator[np.ndarray]:
    """Yield arrays of one or several samples."""
    if isinstance(samples, Source):
        for chunk in chunk_slices(samples.shape):
            yield samples.read(chunk)
    elif isinstance(samples, DataLoader):
        yield from map(_sample_of, samples)
    else:
        yield from (_sample_of(item)[None] for item in samples)


def _spool_dask(array: Any) -> np.memmap:
    """Compute a dask array one chunk of samples after the other, and write it to disk."""
    by_samples = array.rechunk(dict.fromkeys(range(1, array.ndim), -1))
    n_chunks = by_samples.numblocks[0]
    chunks = (np.asarray(by_samples.blocks[i].compute()) for i in range(n_chunks))
    return spool(sample for chunk in chunks for sample in chunk)


def is_dask(X: Any) -> bool:
    """Whether X is a ``dask.array``; does not import dask."""
    return hasattr(X, "dask") and hasattr(X, "map_blocks") and hasattr(X, "chunks")


def _is_stream(X: Any) -> bool:
    if isinstance(X, IterableDataset | DataLoader):
        return True
    is_sequence = hasattr(X, "__getitem__") or hasattr(X, "__len__") or hasattr(X, "__array__")
    return isinstance(X, Iterable) and not is_sequence


def _is_stored(X: Any) -> bool:
    # HDF5 and Zarr arrays have ``chunks``; data frames and arrays in memory have not.
    return isinstance(X, np.memmap) or all(
        hasattr(X, name) for name in ("chunks", "shape", "dtype", "__getitem__")
    )


# Pairs of a test whether X is of a kind, and a function that makes a source of it; in order.
READERS: list[tuple[Callable[[Any], bool], Callable[[Any], Source]]] = [
    (lambda X: isinstance(X, Source), lambda X: X),
    (is_dask, lambda X: StoredArray(_spool_dask(X))),
    (_is_stream, lambda X: StoredArray(spool(X))),
    (lambda X: isinstance(X, Dataset), StoredDataset),
    (_is_stored, StoredArray),
]


def as_source(X: Any) -> Source | None:
    """Return X as a source, or None if it is in memory.

    Parameters
    ----------
    X : Source, numpy.memmap, HDF5 or Zarr array, torch dataset, dask array or iterable
        A dask array or an iterable is written to a temporary file, to be read in random order.
    """
    for recognizes, reader in READERS:
        if recognizes(X):
            return reader(X)
    return None
