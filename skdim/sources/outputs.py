"""Output of features to a file, to an array or to a dask array."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from skdim._files.atomic_write import replace_when_done


def transform_lazily(transform: Callable[[np.ndarray], np.ndarray], X: Any, n_features: int) -> Any:
    """Return the features of a dask array as a dask array, with a block for each block of samples.

    ``transform`` is sent once to each worker.
    """
    import dask

    by_samples = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
    return by_samples.map_blocks(
        _transform_block,
        transform=dask.delayed(transform),
        n_features=n_features,
        drop_axis=list(range(1, X.ndim)),
        new_axis=1,
        chunks=(by_samples.chunks[0], (n_features,)),
        dtype=np.float32,
        meta=np.empty((0, n_features), np.float32),
    )


def _transform_block(block: np.ndarray, transform: Any, n_features: int) -> np.ndarray:
    if not len(block):
        return np.empty((0, n_features), np.float32)
    return np.asarray(transform(block))


class _FeatureFile:
    """A file in the format of ``numpy.save`` that takes ``[start:stop] = features``, float32.

    Writing reports a full disk as an OSError; a memory map would end the process.
    """

    def __init__(self, file: BinaryIO, shape: tuple[int, int]):
        descr = np.lib.format.dtype_to_descr(np.dtype(np.float32))
        header = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        self.file, self.start, self.n_columns = file, file.tell(), shape[1]

    def __setitem__(self, rows: slice, features: np.ndarray) -> None:
        features = np.ascontiguousarray(features, np.float32)
        self.file.seek(self.start + rows.start * self.n_columns * features.itemsize)
        self.file.write(features.data)


def is_path(out: Any) -> bool:
    """Whether ``out`` is a path, so that features are written to a new file."""
    return isinstance(out, str | os.PathLike)


@contextmanager
def open_output(out: Any, shape: tuple[int, int]) -> Iterator[Any]:
    """Yield an array to write features (n, n_features) to; a file appears only when it is complete.

    Raises
    ------
    ValueError
        If ``out`` has another shape, does not hold floats, or cannot be written to.
    """
    if is_path(out):
        with replace_when_done(out) as temporary, open(temporary, "wb") as file:
            yield _FeatureFile(file, shape)
    elif tuple(getattr(out, "shape", ())) != shape:
        raise ValueError(
            f"'out' must be a path, or an array of shape {shape}. "
            f"Got {getattr(out, 'shape', type(out).__name__)}."
        )
    elif not _takes_floats(out):
        raise ValueError(
            "'out' must be an array of floats, such as float32, that can be written to. Got "
            f"{'one' if isinstance(out, np.ndarray) else type(out).__name__} of type {out.dtype}"
            f"{', which is read-only' if _is_read_only(out) else ''}."
        )
    else:
        yield out


def _takes_floats(out: Any) -> bool:
    return getattr(out.dtype, "kind", "") == "f" and not _is_read_only(out)


def _is_read_only(out: Any) -> bool:
    return isinstance(out, np.ndarray) and not out.flags.writeable
