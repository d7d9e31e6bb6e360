"""X that does not lie in memory: samples are read when they are wanted, a batch at a time.

A source knows the shape and type of all samples and reads some of them: ``read(indices)``. What
`as_source` recognises (arrays on disk, datasets of torch, iterables) needs no wrapping by hand;
write a class with ``shape``, ``dtype`` and ``read`` to read from anywhere else.
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
    """Samples somewhere else.

    Attributes
    ----------
    shape : tuple of int
        (n_samples, ...), as X has it.
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
        raise NotImplementedError(f"{type(self).__name__} must say how to read samples.")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes, that of samples included."""
        return len(self.shape)

    def __getitem__(self, indices):
        """One sample as an array; several as a source, which is how folds of samples are made."""
        if isinstance(indices, tuple):  # scikit-learn asks for [indices, ...]
            indices, *others = indices
            if any(other is not Ellipsis for other in others):
                raise IndexError("A source is indexed by samples alone.")
        chosen = np.arange(len(self))[indices]
        return Part(self, chosen) if chosen.ndim else self.read(chosen[None])[0]

    def __array__(self, dtype=None, copy=None):
        samples = self.read(slice(None))
        return samples if dtype is None else samples.astype(dtype)


class Part(Source):
    """Some samples of a source.

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
        """Return samples of the part, by their index in it."""
        return self.source.read(self.indices[indices])


class StoredArray(Source):
    """An array on disk: of ``numpy.memmap``, HDF5, Zarr.

    Parameters
    ----------
    array : array-like
        With ``shape`` and ``dtype``; indexed by slices and by increasing lists of indices.
    """

    def __init__(self, array: Any):
        self.array = array
        self.shape = tuple(array.shape)
        self.dtype = np.dtype(array.dtype)

    def read(self, indices: Indices) -> np.ndarray:
        """Return samples; indices in any order are read in increasing order."""
        if isinstance(indices, slice) or isinstance(self.array, np.ndarray):
            return np.asarray(self.array[indices])
        increasing, positions = np.unique(indices, return_inverse=True)
        return np.asarray(self.array[increasing.tolist()])[positions]


class StoredDataset(Source):
    """A dataset of torch that has a length: each item a sample, or a tuple that begins with one.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
    """

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        first = _sample_of(dataset[0])
        self.shape = (len(dataset), *first.shape)  # type: ignore[arg-type]  # those with a length
        self.dtype = first.dtype

    def read(self, indices: Indices) -> np.ndarray:
        """Return samples, asked for one by one."""
        numbers = np.arange(len(self))[indices]
        samples = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        for position, number in enumerate(numbers.tolist()):
            sample = _sample_of(self.dataset[number])
            if sample.shape != self.shape[1:]:
                raise ValueError(
                    f"X must hold samples of one shape. Got {sample.shape} for item {number} of "
                    f"the dataset, and {self.shape[1:]} for item 0."
                )
            samples[position] = sample
        return samples


class ImageFolder(Source):
    """Pictures in a folder and its sub-folders, read when they are wanted.

    Each is scaled, and cut at its longer sides, to fill one size. Needs Pillow.

    Parameters
    ----------
    folder : path
    size : int or (int, int), default=32
        Height and width.
    color : bool, default=True
        Three channels, or grey.

    Attributes
    ----------
    paths : list of Path
        Every file that is a picture by its name, in alphabetical order.
    labels : ndarray of str
        Name of the folder of each picture.
    shape : (n, height, width, 3) or (n, height, width)
    dtype : uint8

    Raises
    ------
    ValueError
        If there is no picture in the folder.

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
        kinds = image_module.registered_extensions()
        files = sorted(path for path in self.folder.rglob("*") if path.suffix.lower() in kinds)
        self.paths = [path for path in files if path.is_file()]
        if not self.paths:
            raise ValueError(f"The folder {str(self.folder)!r} must hold pictures. Got none.")
        self.labels = np.array([path.parent.name for path in self.paths])
        self.shape = (len(self.paths), *self.size, *([3] if color else []))
        self.dtype = np.dtype(np.uint8)

    def read(self, indices: Indices) -> np.ndarray:
        """Return pictures; several are decoded at a time."""
        paths = [self.paths[number] for number in np.arange(len(self))[indices]]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            pictures = list(pool.map(self._decode, paths))
        return np.stack(pictures) if pictures else np.empty((0, *self.shape[1:]), self.dtype)

    def _decode(self, path: Path) -> np.ndarray:
        from PIL import Image, ImageOps

        height, width = self.size
        try:
            with Image.open(path) as file:
                picture = ImageOps.exif_transpose(file).convert("RGB" if self.color else "L")
                return np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC))
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
    """Return the sample of a dataset's item, without its label."""
    if isinstance(item, tuple | list):
        item = item[0]
    return np.asarray(read_array(item))


def spool(samples: Iterable, path: str | os.PathLike | None = None) -> np.memmap:
    """Write samples to disk, one after the other, without holding them.

    For what can be read once, or is slow to read in random order: streams, compressed chunks.

    Parameters
    ----------
    samples : iterable
        Of samples of one shape and type, or of tuples that begin with one; a
        ``torch.utils.data.DataLoader``, of batches; or a `Source`.
    path : path or None, default=None
        A raw file; None takes a temporary one, which is gone when the array is.

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
    """Yield several samples at a time, as an array."""
    if isinstance(samples, Source):
        for chunk in chunk_slices(samples.shape):
            yield samples.read(chunk)
    elif isinstance(samples, DataLoader):
        yield from map(_sample_of, samples)
    else:
        yield from (_sample_of(item)[None] for item in samples)


def _spool_dask(array: Any) -> np.memmap:
    """Compute a dask array one block of samples after the other."""
    indices = array.rechunk(dict.fromkeys(range(1, array.ndim), -1))
    blocks_of_rows = (np.asarray(indices.blocks[i].compute()) for i in range(indices.numblocks[0]))
    return spool(sample for block in blocks_of_rows for sample in block)


def is_dask(X: Any) -> bool:
    """Whether X is a ``dask.array``, without an import of dask."""
    return hasattr(X, "dask") and hasattr(X, "map_blocks") and hasattr(X, "chunks")


def _is_stream(X: Any) -> bool:
    if isinstance(X, IterableDataset | DataLoader):
        return True
    is_sequence = hasattr(X, "__getitem__") or hasattr(X, "__len__") or hasattr(X, "__array__")
    return isinstance(X, Iterable) and not is_sequence


def _is_stored(X: Any) -> bool:
    # HDF5 and Zarr call their arrays' layout so; tables and arrays in memory have no chunks.
    return isinstance(X, np.memmap) or all(
        hasattr(X, name) for name in ("chunks", "shape", "dtype", "__getitem__")
    )


# How to recognise what is not in memory, in order, and what makes a source of it.
READERS: list[tuple[Callable[[Any], bool], Callable[[Any], Source]]] = [
    (lambda X: isinstance(X, Source), lambda X: X),
    (is_dask, lambda X: StoredArray(_spool_dask(X))),
    (_is_stream, lambda X: StoredArray(spool(X))),
    (lambda X: isinstance(X, Dataset), StoredDataset),
    (_is_stored, StoredArray),
]


def as_source(X: Any) -> Source | None:
    """Return X as a source; None if it lies in memory.

    Parameters
    ----------
    X : Source, numpy.memmap, HDF5 or Zarr array, torch dataset, dask array or iterable
        The last two, which cannot be read in random order, are written to a temporary file.
    """
    for recognises, reader in READERS:
        if recognises(X):
            return reader(X)
    return None
