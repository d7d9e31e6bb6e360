"""Sources: X outside memory, from which samples are read when they are needed.

A source knows the shape and type of all samples, and ``read(indices)`` returns some of them.
`as_source` wraps arrays on disk, torch datasets and iterables automatically. To read from anything
else, write a subclass of `Source` with ``shape``, ``dtype`` and ``read``.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, IterableDataset, SequentialSampler

from skdim._files.atomic_write import replace_when_done
from skdim.exceptions import DataWarning, warn
from skdim.sources.arrays import as_numpy, chunk_slices

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
        """Number of axes, including the axis of samples."""
        return len(self.shape)

    def __getitem__(self, indices):
        """Return one sample as an array, or several as a source, which cross-validation needs."""
        if isinstance(indices, tuple):  # scikit-learn uses [indices, ...]
            indices, *others = indices
            if any(other is not Ellipsis for other in others):
                raise IndexError("A source can be indexed only along its first axis.")
        indices = np.arange(len(self))[indices]
        return Part(self, indices) if indices.ndim else self.read(indices[None])[0]

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
        Has ``shape`` and ``dtype``, and can be indexed by slices and increasing lists of indices.
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
    key : str or None, default=None
        Key of the sample, if items are dicts.
    """

    def __init__(self, dataset: Dataset, key: str | None = None):
        self.dataset, self.key = dataset, key
        first = self._sample(0)
        self.shape = (len(dataset), *first.shape)  # type: ignore[arg-type]  # has a length
        self.dtype = first.dtype

    def read(self, indices: Indices) -> np.ndarray:
        """Return samples, which are read one by one."""
        indices = np.arange(len(self))[indices]
        samples = np.empty((len(indices), *self.shape[1:]), self.dtype)
        for position, index in enumerate(indices.tolist()):
            sample = self._sample(index)
            if sample.shape != self.shape[1:] or sample.dtype != self.dtype:
                raise ValueError(
                    f"X must hold samples of one shape and type. Got {sample.shape} of "
                    f"{sample.dtype} for item {index} of the dataset, and {self.shape[1:]} of "
                    f"{self.dtype} for item 0."
                )
            samples[position] = sample
        return samples

    def _sample(self, index: int) -> np.ndarray:
        item = self.dataset[index]
        return _sample_of(item if self.key is None else item[self.key])


class ImageFolder(Source):
    """Images in a folder and its sub-folders, read when they are needed.

    All images are scaled to the same size and cropped along the longer side. Needs Pillow.

    Parameters
    ----------
    folder : path
    size : int or (int, int), default=32
        Height and width.
    color : bool, default=True
        Whether to read three channels, or grey images.
    on_error : {"raise", "skip"}, default="raise"
        "raise" raises an error if a file that is read is not an image. "skip" leaves such files out
        from the start.

    Attributes
    ----------
    paths : list of Path
        All files, except hidden ones, with the extension of a format that Pillow reads. They are in
        natural order: 2 before 10.
    labels : ndarray of str
        Name of the folder of each image.
    n_skipped : int
        Number of files that were left out because they are not images.
    shape : (n, height, width, 3) or (n, height, width)
    dtype : uint8

    Raises
    ------
    ValueError
        If there are no images in the folder. ``read`` also raises it if an image has more than 8
        bits a channel, or transparent parts, because values would be lost.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from PIL import Image
    >>> from skdim.sources import ImageFolder
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("one.png", "two.png"):
    ...     noise = np.random.default_rng(0).integers(
    ...         0, 256, (60, 40, 3), dtype=np.uint8
    ...     )
    ...     Image.fromarray(noise).save(os.path.join(folder, name))
    >>> ImageFolder(folder, size=16).shape
    (2, 16, 16, 3)
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        size: int | tuple[int, int] = 32,
        color: bool = True,
        on_error: str = "raise",
    ):
        image_module = _pillow()
        if on_error not in ("raise", "skip"):
            raise ValueError(f"'on_error' must be 'raise' or 'skip'. Got {on_error!r}.")
        self.folder = Path(folder)
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.color = color
        self.on_error = on_error
        files = _image_files(self.folder, image_module)
        self.paths = files if on_error == "raise" else [p for p in files if _is_image(p)]
        self.n_skipped = len(files) - len(self.paths)
        if not self.paths:
            raise ValueError(f"The folder {str(self.folder)!r} must hold pictures. Got none.")
        self.labels = np.array([path.parent.name for path in self.paths])
        # Caches compare sources by their attributes, and so notice that a file has changed.
        stats = [path.stat() for path in self.paths]
        self.stamps = [(stat.st_mtime_ns, stat.st_size) for stat in stats]
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
                _check_numbers(file)
                image = ImageOps.exif_transpose(file).convert("RGB" if self.color else "L")
                return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"X must hold pictures. Got {str(path)!r}: {error}") from None


# Formats that Pillow recognises but cannot read by itself.
STUBS = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF", "EMF"}


def _image_files(folder: Path, image_module: Any) -> list[Path]:
    """List the files that Pillow can read, by their extensions, in natural order."""
    image_module.init()
    extensions = image_module.registered_extensions().items()
    readable = {suffix for suffix, kind in extensions if kind in image_module.OPEN} - {
        suffix for suffix, kind in extensions if kind in STUBS
    }
    files = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in readable
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    return sorted(files, key=lambda path: _natural_key(path.relative_to(folder)))


def _natural_key(path: Path) -> list[list[tuple[int, int | str]]]:
    """Return a key that sorts names as people do: numbers in them by their value."""
    return [
        [(0, int(text)) if text.isdecimal() else (1, text) for text in re.split(r"(\d+)", part)]
        for part in path.parts
    ]


def _is_image(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as file:
            file.verify()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return True


def _check_numbers(image: Any) -> None:
    """Raise ValueError if an image has more than 8 bits a channel, or transparent parts."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        raise ValueError(
            f"it has more than 8 bits a pixel (mode {image.mode}), most of which would be lost. "
            "Read it into an array of its type."
        )
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    if has_alpha and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        raise ValueError("it has transparent parts, whose colour is not known. Flatten it first.")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            "Folders of images need the package Pillow, which is missing: pip install pillow."
        ) from None
    return Image


def _sample_of(item: Any) -> np.ndarray:
    """Return the sample of an item of a dataset, without its label."""
    if isinstance(item, tuple | list):
        item = item[0]
    if isinstance(item, Mapping):
        raise TypeError(
            f"X must hold samples. Got items that are a dict of {sorted(map(str, item))}: name the "
            "sample, X=skdim.sources.StoredDataset(dataset, key=...)."
        )
    return np.asarray(as_numpy(item))


def spool(samples: Iterable, path: str | os.PathLike | None = None) -> np.memmap:
    """Write samples to disk, one after the other, without holding all of them in memory.

    Use it for samples that can be read only once, such as streams, or that are slow to read in
    random order, such as compressed chunks.

    Parameters
    ----------
    samples : iterable
        Yields samples with the same shape and type, or tuples whose first entry is a sample. A
        ``torch.utils.data.DataLoader`` yields batches. A `Source` is read in chunks.
    path : path or None, default=None
        File for the raw numbers, which appears when it is complete. None is a temporary file, which
        is deleted with the array.

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
    if path is None:
        with tempfile.TemporaryFile() as file:
            dtype, shape = _write_samples(samples, file)
            return np.memmap(file, dtype, "r", shape=shape)
    with replace_when_done(path) as temporary, open(temporary, "wb") as file:
        dtype, shape = _write_samples(samples, file)
    return np.memmap(path, dtype, "r", shape=shape)


def _write_samples(samples: Iterable, file: IO[bytes]) -> tuple[np.dtype, tuple[int, ...]]:
    """Write the raw numbers of samples; return the type and the shape of all of them."""
    n = 0
    shape: tuple[int, ...] | None = None
    dtype = np.dtype(np.float32)
    for chunk in _chunks(samples):
        if shape is None:
            shape, dtype = chunk.shape[1:], chunk.dtype
        if chunk.shape[1:] != shape or chunk.dtype != dtype:
            raise ValueError(
                f"X must hold samples of one shape and type. Got {chunk.shape[1:]} of "
                f"{chunk.dtype} after {n} of {shape} of {dtype}."
            )
        # Not with tofile, whose error does not say that the disk is full.
        file.write(np.ascontiguousarray(chunk).reshape(-1).view(np.uint8).data)
        n += len(chunk)
    file.flush()
    if shape is None:
        raise ValueError(
            "X must hold samples. Got an iterable without any; an iterator can be read once."
        )
    return dtype, (n, *shape)


def _chunks(samples: Iterable) -> Iterator[np.ndarray]:
    """Yield arrays of one or several samples."""
    if isinstance(samples, Source):
        for chunk in chunk_slices(samples.shape):
            yield samples.read(chunk)
    elif isinstance(samples, DataLoader):
        _warn_if_shuffled(samples)
        yield from map(_sample_of, samples)
    else:
        yield from (_sample_of(item)[None] for item in samples)


def _warn_if_shuffled(loader: DataLoader) -> None:
    if isinstance(loader.dataset, IterableDataset) or isinstance(loader.sampler, SequentialSampler):
        return
    warn(
        f"X is a DataLoader that shuffles ({type(loader.sampler).__name__}): its samples, and with "
        "them the features, come in another order each time. Set shuffle=False, or pass the "
        "dataset.",
        DataWarning,
    )


def _spool_dask(array: Any) -> np.memmap:
    """Compute a dask array one chunk of samples at a time, and write it to disk."""
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
    # HDF5 and Zarr arrays have ``chunks``; data frames and arrays in memory do not.
    return isinstance(X, np.memmap) or all(
        hasattr(X, name) for name in ("chunks", "shape", "dtype", "__getitem__")
    )


# Tests of X, each with the function that converts a matching X to a source. The first match wins.
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
        A dask array or an iterable is first written to a temporary file, to allow random order.
    """
    for recognizes, to_source in READERS:
        if recognizes(X):
            return to_source(X)
    return None
