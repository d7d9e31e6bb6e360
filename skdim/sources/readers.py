"""Sources: X outside memory, from which samples are read when they are needed.

A source knows the shape and type of all samples, and ``read(indices)`` returns some of them.
`as_source` wraps arrays on disk, torch datasets and iterables automatically. To read from anything
else, write a subclass of `Source` with ``shape``, ``dtype`` and ``read``.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    default_collate,
)

from skdim._files.atomic_write import replace_when_done
from skdim.exceptions import DataWarning, warn
from skdim.sources.arrays import as_numpy, chunk_slices, explain_bad_numbers
from skdim.sources.mistakes import describe, dicts_of

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
    # Whether samples are known to be signals, which have to be read with a 'channel_axis'.
    are_signals = False

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
        return Part(self, indices) if indices.ndim else read_samples(self, indices[None])[0]

    def __array__(self, dtype=None, copy=None):
        samples = read_samples(self, slice(None))
        return samples if dtype is None else samples.astype(dtype)


def read_samples(source: Source, indices: Indices) -> np.ndarray:
    """Read samples of a source, and check that they are what it says.

    Raises
    ------
    ValueError
        If ``read`` returns anything but an array of the right type and shape; the message names the
        class of the source.
    """
    samples = source.read(indices)
    n = len(range(len(source))[indices]) if isinstance(indices, slice) else len(indices)
    shape, dtype = (n, *source.shape[1:]), np.dtype(source.dtype)
    if isinstance(samples, np.ndarray):
        result = f"one of shape {samples.shape} and type {samples.dtype}"
        is_alike = samples.shape == shape and np.can_cast(samples.dtype, dtype, "equiv")
        if is_alike and not np.ma.is_masked(samples):
            return samples
        result += " with masked values" if np.ma.is_masked(samples) else ""
    else:
        result = f"a {type(samples).__name__}"
    raise ValueError(
        f"{type(source).__name__}.read() must return an array of shape {shape} and type {dtype}, "
        f"as its 'shape' and 'dtype' say. Got {result}."
    )


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
        self.are_signals = source.are_signals

    def read(self, indices: Indices) -> np.ndarray:
        """Return samples, by their index in the subset."""
        return read_samples(self.source, self.indices[indices])


class Joined(Source):
    """The samples of several sources, one source after the other.

    Parameters
    ----------
    sources : sequence of Source, or of anything that `as_source` recognises
        Their samples have one shape and type.

    Raises
    ------
    TypeError
        If one of them is in memory: join arrays by ``numpy.concatenate``.
    ValueError
        If there are none, or their samples differ in shape or type.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.sources import Joined, StoredArray
    >>> old, new = StoredArray(np.zeros((3, 5))), StoredArray(np.ones((2, 5)))
    >>> Joined([old, new]).shape
    (5, 5)
    """

    def __init__(self, sources: Iterable[Any]):
        self.sources: list[Source] = []
        for X in sources:
            source = as_source(X)
            if source is None:
                raise TypeError(
                    f"'sources' must be sources. Got a {type(X).__name__}: "
                    "skdim.sources.StoredArray makes one of an array."
                )
            self.sources.append(source)
        kinds = {(source.shape[1:], np.dtype(source.dtype)) for source in self.sources}
        if len(kinds) != 1:
            got = " and ".join(sorted(f"{shape} of {dtype}" for shape, dtype in kinds)) or "none"
            raise ValueError(f"'sources' must hold samples of one shape and type. Got {got}.")
        ((shape, self.dtype),) = kinds
        self.are_signals = all(source.are_signals for source in self.sources)
        self.ends = np.cumsum([len(source) for source in self.sources])
        self.shape = (int(self.ends[-1]), *shape)

    def read(self, indices: Indices) -> np.ndarray:
        """Return samples; each source is read once."""
        indices = np.arange(len(self))[indices]
        samples = np.empty((len(indices), *self.shape[1:]), self.dtype)
        numbers = np.searchsorted(self.ends, indices, side="right")
        for number in np.unique(numbers).tolist():
            source, end = self.sources[number], int(self.ends[number])
            (positions,) = np.nonzero(numbers == number)
            samples[positions] = read_samples(source, indices[positions] - (end - len(source)))
        return samples


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
            return np.asarray(as_numpy(self.array[indices]))
        increasing, positions = np.unique(indices, return_inverse=True)
        return np.asarray(as_numpy(self.array[increasing.tolist()]))[positions]


class StoredDataset(Source):
    """A torch dataset with a length: each item is a sample, or a tuple whose first entry is one.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
    key : str or None, default=None
        Key of the sample, if items are dicts.
    """

    def __init__(self, dataset: Dataset, key: str | None = None):
        if isinstance(dataset, IterableDataset) or not len(dataset):  # type: ignore[arg-type]
            kind = "a stream" if isinstance(dataset, IterableDataset) else "none"
            raise TypeError(f"'dataset' must hold items that can be read by number. Got {kind}.")
        self.dataset, self.key = dataset, key
        first, again = self._sample(0), self._sample(0)
        self.shape = (len(dataset), *first.shape)  # type: ignore[arg-type]  # has a length
        self.dtype = first.dtype
        if first.tobytes() != again.tobytes():
            warn(
                "X is a dataset whose items differ each time they are read, and with them the "
                "features: leave out its random transforms, and pass views as 'augment'.",
                DataWarning,
            )

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
        return _sample_of(item if self.key is None else item[self.key], OF_DATASET)


# What to pass in place of items that are dicts, for a dataset, a data loader and other iterables.
OF_DATASET = "skdim.sources.StoredDataset(dataset, key={key!r})"
OF_LOADER = "(sample for batch in loader for sample in batch[{key!r}])"
OF_STREAM = "(item[{key!r}] for item in stream)"


def _sample_of(item: Any, way_out: str) -> np.ndarray:
    """Return the sample of an item: the item, or the first entry of a tuple with its label.

    ``way_out`` is what to pass if items are dicts.
    """
    is_tuple = isinstance(item, tuple) and bool(item)
    if is_tuple:
        item = item[0]
    if isinstance(item, Mapping):
        key = next(iter(item), "image")
        raise TypeError(
            f"X must hold samples. Got {dicts_of(item)}: name the sample, "
            f"X={way_out.format(key=key)}."
        )
    if isinstance(item, str | os.PathLike):
        raise TypeError(describe([item]) or f"X must hold samples. Got the text {item!r}.")
    if hasattr(item, "columns"):
        raise TypeError(
            "X must hold samples. Got data frames: pass (row for frame in frames for row in "
            "frame.to_numpy())."
        )
    is_list = isinstance(item, list | tuple)
    sample = _join_parts(item) if is_list else np.asarray(as_numpy(item))
    if is_tuple and not sample.ndim:
        raise TypeError(
            f"X must hold samples. Got tuples that begin with {item!r}: a tuple is a sample and "
            "its label, so let a sample be a list or an array."
        )
    if sample.dtype == object:  # numbers of Python
        with explain_bad_numbers([sample]):
            return sample.astype(np.float64)
    return sample


def _join_parts(parts: Sequence[Any]) -> np.ndarray:
    """Return the array of a sample that is a list."""
    are_text = {isinstance(part, str | bytes) for part in parts}
    arrays = parts if True in are_text else [as_numpy(part) for part in parts]
    try:
        sample = np.asarray(arrays)
    except ValueError:
        are_text = {True, False}
    if len(are_text) > 1:
        raise ValueError(
            "X must hold samples. Got a list of unequal parts, which is not one: a sample and its "
            "label must be a tuple."
        )
    sample = as_numpy(sample)
    # Numbers of Python have no type: a sample without fractions must not differ from the others.
    return sample.astype(np.float64) if sample.dtype in (np.int64, np.bool_) else sample


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
            yield read_samples(samples, chunk)
    elif isinstance(samples, DataLoader):
        yield from _batches(samples)
    elif type(samples).__module__ == DataLoader.__module__:
        raise TypeError("X must hold samples. Got an iterator of a DataLoader: pass the loader.")
    else:
        yield from (_sample_of(item, OF_STREAM)[None] for item in samples)


def _batches(loader: DataLoader) -> Iterator[np.ndarray]:
    """Yield batches of a loader as arrays (n, ...); warn if samples are shuffled or repeated."""
    if loader.batch_sampler is None:
        raise ValueError(
            "X must be a DataLoader of batches. Got one of batch_size=None, whose items may be "
            "samples or batches: pass the dataset if they are samples, and (sample for batch in "
            "loader for sample in batch) if they are batches."
        )
    _warn_if_shuffled(loader)
    is_stream = isinstance(loader.dataset, IterableDataset)
    way_out = OF_LOADER if is_stream else OF_DATASET
    n_workers = loader.num_workers if is_stream else 1
    digests = [0] * n_workers
    n_read = 0
    for number, batch in enumerate(loader):
        samples = (
            None
            if _is_uncollated(batch, loader, number)
            else _sample_of(tuple(batch) if isinstance(batch, list) else batch, way_out)
        )
        if samples is None or samples.ndim < 2:
            raise ValueError(
                "X must be a DataLoader of batches (n_samples, ...), or of tuples of a batch and "
                f"its labels. Got a {type(batch).__name__} whose first entry is not a batch: let "
                "samples be arrays, and let 'collate_fn' stack them."
            )
        if n_workers > 1:  # workers take turns
            digests[number % n_workers] += sum(hash(sample.tobytes()) for sample in samples)
        n_read += len(samples)
        yield samples
    if not is_stream and n_read != len(loader.dataset):  # type: ignore[arg-type]  # has a length
        warn(
            f"X is a DataLoader that gives {n_read} samples, but its dataset has "
            f"{len(loader.dataset)}: set drop_last=False, or pass the dataset.",  # type: ignore[arg-type]
            DataWarning,
        )
    digests = [digest for digest in digests if digest]
    if len(set(digests)) < len(digests):
        warn(
            f"X is a DataLoader whose {n_workers} workers read the same samples, so that each is "
            "there several times: let the dataset give every worker its part, as "
            "torch.utils.data.get_worker_info() tells, or set num_workers to 0 or 1.",
            DataWarning,
        )


def _is_uncollated(batch: Any, loader: DataLoader, number: int) -> bool:
    """Whether a batch is a list of samples, or of the columns of samples that are lists."""
    if not isinstance(batch, list | tuple) or loader.collate_fn is default_collate:
        return isinstance(batch, list) and isinstance(batch[0], list | tuple)
    if isinstance(batch[0], list | tuple):
        return True
    n = loader.batch_size or 0
    if not isinstance(loader.dataset, IterableDataset):  # the last batch may be smaller
        n = min(n, len(loader.dataset) - number * n)  # type: ignore[arg-type]  # has a length
    return len(batch) == n and np.shape(batch[0])[:1] != (n,)


def _warn_if_shuffled(loader: DataLoader) -> None:
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    if isinstance(loader.dataset, IterableDataset) or isinstance(sampler, SequentialSampler):
        return
    warn(
        f"X is a DataLoader that shuffles ({type(sampler).__name__}): its samples, and with "
        "them the features, come in another order each time. Set shuffle=False, or pass the "
        "dataset.",
        DataWarning,
    )


def _spool_dask(array: Any) -> np.memmap:
    """Compute a dask array one chunk of samples at a time, and write it to disk."""
    if array.dtype.kind not in "biuf":
        raise TypeError(f"X must hold real numbers. Got a dask array of {array.dtype}.")
    by_samples = array.rechunk(dict.fromkeys(range(1, array.ndim), -1))
    n_chunks = by_samples.numblocks[0]
    chunks = (np.asarray(as_numpy(by_samples.blocks[i].compute())) for i in range(n_chunks))
    return spool(sample for chunk in chunks for sample in chunk)


def is_dask(X: Any) -> bool:
    """Whether X is a ``dask.array``; does not import dask."""
    return hasattr(X, "dask") and hasattr(X, "map_blocks") and hasattr(X, "chunks")


def _is_stream(X: Any) -> bool:
    if isinstance(X, IterableDataset | DataLoader | Iterator):
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


def as_rereadable(X: Any) -> Any:
    """Return X, or a source if it is a stream, which could not be read twice."""
    source = as_source(X)
    return X if source is None else source


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
