"""Likely mistakes: an X that is a path, a column, text, or holds arrays in its cells."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

# Calls that read a folder, and a file by its suffix.
FOLDERS = (
    "skdim.sources.ImageFolder({path}) if it holds images, or skdim.sources.SoundFolder({path}) if "
    "it holds sounds"
)
CALLS = {
    ".npy": "numpy.load({path}, mmap_mode='r')",
    ".npz": "numpy.load({path})['name of the array']",
    ".csv": "pandas.read_csv({path})",
    ".tsv": "pandas.read_csv({path}, sep='\\t')",
    ".parquet": "pandas.read_parquet({path})",
    ".h5": "h5py.File({path})['name of the array']",
    ".hdf5": "h5py.File({path})['name of the array']",
    ".zarr": "zarr.open({path}, mode='r')",
    ".pt": "torch.load({path})",
}


# Methods of tables that give a data frame or an array in memory.
TO_NUMBERS = ("to_pandas", "collect", "compute")


def check_not_mistaken(X: Any) -> None:
    """Raise an error if X is a path, a series or a container of arrays, and say what to pass."""
    if isinstance(X, str | PathLike):
        path = Path(X)
        call = FOLDERS if path.is_dir() else CALLS.get(path.suffix.lower())
        advice = ". Read it into an array first."
        if call is not None:
            advice = f": pass {call.format(path=repr(str(X)))}."
        raise TypeError(f"X must hold samples. Got the path {str(X)!r}{advice}")
    kind = type(X)
    if hasattr(kind, "columns") and not hasattr(kind, "to_numpy"):
        call = next((name for name in TO_NUMBERS if hasattr(kind, name)), "to_numpy")
        raise TypeError(
            f"X must hold samples in memory. Got a {kind.__name__} of "
            f"{kind.__module__.partition('.')[0]}: pass X.{call}()."
        )
    if hasattr(kind, "keys") and not hasattr(kind, "columns") and not hasattr(kind, "shape"):
        names = list(map(str, X.keys()))
        raise TypeError(
            f"X must be an array. Got a {kind.__name__} of {', '.join(names[:5]) or 'nothing'}: "
            f"pass one of its arrays, such as X[{names[0] if names else 'name'!r}]."
        )
    if hasattr(X, "to_frame") and not hasattr(X, "columns"):
        if (sentence := _describe_cells(list(X), "X")) is not None:
            raise ValueError(f"X is a Series, of one dimension. {sentence}")
        raise ValueError(
            "X must have two dimensions or more. Got a Series: pass one column as frame[['name']], "
            "one row as frame.iloc[[i]]."
        )


def describe(X: Any) -> str | None:
    """Say what X holds in place of numbers and what to pass; None if it is not known."""
    if not hasattr(X, "columns"):
        if isinstance(X, list | tuple):
            return _describe_cells(X, "X")
        if isinstance(X, np.ndarray) and X.dtype.kind in "OUT":
            return _describe_cells(X.ravel().tolist(), "X" if X.ndim == 1 else "X.ravel()")
        return None
    columns = [X[[name]].to_numpy().ravel() for name in X.columns]
    unfit = [not _is_numeric(cells) for cells in columns]
    names = [name for name, is_unfit in zip(X.columns, unfit, strict=True) if is_unfit]
    if not names:
        return None
    cells = columns[unfit.index(True)].tolist()
    others = f" and in {len(names) - 1} more" if names[1:] else ""
    name = "[np.stack(X[name]) for name in X], 1" if names[1:] else f"X[{names[0]!r}]"
    return _describe_cells(cells, name) or (
        f"X must hold real numbers. Got {next(c for c in cells if not _is_numeric(c))!r} in column "
        f"{names[0]!r}{others}: turn them into numbers, for instance by a OneHotEncoder, or leave "
        "them out."
    )


def dicts_of(item: Mapping) -> str:
    """Name the keys of items that are dicts."""
    return f"items that are a dict of {sorted(map(str, item))}"


def _is_numeric(cells: Any) -> bool:
    try:
        array = np.asarray(cells)
        if array.dtype.kind == "O" and any(isinstance(c, str | bytes) for c in array.ravel()):
            return False
        return array.dtype.kind not in "cUST" and array.astype(np.float64) is not None
    except (TypeError, ValueError, OverflowError):
        return False


def _describe_cells(cells: Sequence[Any], name: str) -> str | None:
    """Say what cells hold if they are arrays, paths, or tuples of a sample and its label."""
    first = cells[0] if len(cells) else None
    suffix = Path(first).suffix[1:] if isinstance(first, str) else ""
    if isinstance(first, PathLike) or (suffix.isalnum() and not suffix.isdigit()):
        return (
            f"X must hold samples. Got paths, the first of them {str(first)!r}: pass "
            "skdim.sources.ImageFiles(paths) or ImageFolder(folder) for images, SoundFiles(paths) "
            "for sounds, or read the files into an array."
        )
    if isinstance(first, Mapping) and first and name == "X":
        return f"X must hold samples. Got {dicts_of(first)}: pass [item[key] for item in X]."
    if not isinstance(first, Iterable) or isinstance(first, str | bytes):
        return None
    try:
        shapes = sorted({np.shape(cell) for cell in cells})
    except ValueError:  # of a sequence of different lengths
        return (
            "X must hold samples. Got sequences such as tuples of a sample and its label: pass "
            "the samples alone, for instance as np.stack([item[0] for item in X])."
        )
    if len(shapes) == 1:
        if not _is_numeric(np.stack(cells)):
            return None
        return f"X must hold numbers. Got arrays in its cells: pass np.stack({name}), one array."
    return (
        f"X must hold real numbers in samples of one shape. Got {shapes[0]} and {shapes[-1]}: cut "
        "all to one length, or pad signals at the end with NaN and set allow_nan=True; then pass "
        "one array."
    )
