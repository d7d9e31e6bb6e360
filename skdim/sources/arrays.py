"""Conversion of a user's numbers to arrays that hold them exactly, and errors about them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, time, timedelta
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skdim.sources.mistakes import describe

# Samples of these types keep their type; see `working_dtype` for all others.
DTYPES = (np.float64, np.float32, np.uint8)

# Values in a chunk of samples that are read in order: 32 MiB in float64.
CHUNK_SIZE = 2**22

# Floating types of torch that numpy also has.
NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)

# numpy's messages start with one of these if X is not an array of real numbers.
NOT_NUMERIC = (
    "could not convert",
    "float() argument",
    "int too large",
    "Complex data",
    "Cannot cast",
    "setting an array element",
)


def chunk_slices(shape: Sequence[int]) -> Iterator[slice]:
    """Yield slices of samples (n, ...), of at most 4096 samples and about `CHUNK_SIZE` values."""
    size = min(4096, max(1, CHUNK_SIZE // max(1, int(np.prod(shape[1:])))))
    for start in range(0, shape[0], size):
        yield slice(start, min(start + size, shape[0]))


def working_dtype(dtype: np.dtype) -> np.dtype:
    """Return the type in which to store samples of a type, so that it holds their values exactly.

    Types in `DTYPES` are kept. Other types become float32 if it holds them exactly, and float64 if
    not: seconds since 1970 and other large whole numbers keep their digits.
    """
    if dtype in DTYPES and dtype.isnative:
        return dtype
    return np.dtype(np.float32 if np.can_cast(dtype, np.float32, "safe") else np.float64)


def widen_exactly(X: Any) -> Any:
    """Convert an array of real numbers to its `working_dtype`, and a list as the array of it.

    The types of the numbers decide, never their values: those of a sample do not depend on the
    other samples. Anything else is returned unchanged, for scikit-learn to say what is wrong.
    """
    if isinstance(X, list | tuple):
        try:
            array = np.asarray([as_numpy(item) if isinstance(item, Tensor) else item for item in X])
        except (TypeError, ValueError, OverflowError):
            return X
        X = array if array.dtype.kind in "biuf" else X
    if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
        return X.astype(working_dtype(X.dtype), copy=False)
    return X


def as_numpy(X: Any) -> Any:
    """Convert a torch tensor to an array, so that scikit-learn can check it.

    Anything else is returned unchanged.

    Raises
    ------
    TypeError
        If X is a sparse, nested, quantised or meta tensor, or holds dates or items of a torch
        dataset.
    ValueError
        If values are masked, or X holds text.
    """
    if not isinstance(X, Tensor):
        check_holds_numbers(X)
        return X
    if X.layout != torch.strided or X.is_meta or X.is_nested or X.is_quantized:
        kind = f"device {str(X.device)!r}" if X.is_meta else f"layout {X.layout}, {X.dtype}"
        kind = "unequal parts" if X.is_nested else kind
        raise TypeError(f"X must be a dense tensor that holds numbers. Got one of {kind}.")
    X = X.detach().cpu().resolve_conj().resolve_neg()  # numpy has no lazy views
    return (X.float() if X.is_floating_point() and X.dtype not in NUMPY_FLOATS else X).numpy()


def check_holds_numbers(X: Any, name: str = "X") -> None:
    """Raise an error if X holds values that numpy would silently convert to numbers."""
    for part in _parts(X):
        _check_mask(part, name, "number")
        types = _types(part)
        if isinstance(part, date | time | timedelta) or any(map(_is_time, types)):
            raise TypeError(
                f"{name} must hold numbers. Got dates or times: turn them into numbers of a unit "
                "you choose, for instance days since the first of them."
            )
        if isinstance(part, str | bytes) or any(map(_is_text, types)):
            first = next(iter(np.ravel(part).tolist()), "")
            raise ValueError(
                describe(X) or f"{name} must hold real numbers. Got the text {first!r}."
            )
        if getattr(part, "mode", None) == "P" and hasattr(part, "getbands"):
            raise ValueError(
                f"{name} must hold numbers. Got pictures that hold numbers of colours in a "
                "palette: pass image.convert('RGB') of each."
            )
    if isinstance(X, list) and X and isinstance(X[0], tuple) and isinstance((*X[0], 0)[0], Tensor):
        raise TypeError(
            "X must hold samples. Got a list of items of a torch dataset with their labels: pass "
            "skdim.sources.as_source(dataset), which can be split into folds."
        )


def as_labels(labels: Any, name: str) -> np.ndarray:
    """Return labels as an array, in which a missing one among text is not the text "nan".

    Raises
    ------
    ValueError
        If a label is masked; ``name`` is what the message calls them.
    """
    for part in _parts(labels):
        _check_mask(part, name, "label")
    array = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    is_text = array.dtype.kind in "US" and isinstance(labels, list | tuple)
    return np.array(labels, dtype=object) if is_text and any(map(_is_missing, labels)) else array


def check_none_missing(labels: np.ndarray, name: str) -> None:
    """Raise ValueError if one of the labels, from `as_labels`, is missing."""
    if labels.dtype.kind == "O":
        is_missing = np.array([_is_missing(label) for label in labels.ravel()], dtype=bool)
    else:
        is_missing = labels != labels
    if is_missing.any():
        raise ValueError(
            f"{name} must hold a label everywhere: a label is missing for {int(is_missing.sum())} "
            f"of {len(labels)} samples."
        )


def _is_missing(label: Any) -> bool:
    # pandas.NA cannot be compared, not even with itself.
    is_number = isinstance(label, Real)
    return label is None or type(label).__name__ == "NAType" or (is_number and label != label)


def _check_mask(part: Any, name: str, kind: str) -> None:
    if isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part):
        raise ValueError(
            f"{name} must hold a {kind} everywhere. Got masked values: fill them first."
        )


def _types(part: Any) -> list[Any]:
    """Return the type of an array, or of each column of a data frame."""
    return list(part.dtypes) if hasattr(part, "columns") else [getattr(part, "dtype", None)]


def _is_time(dtype: Any) -> bool:
    dtype = _without_categories(dtype)
    names = ("date", "duration", "period", "time")  # of pandas, polars and pyarrow
    return getattr(dtype, "kind", "") in ("M", "m") or str(dtype).lower().startswith(names)


def _is_text(dtype: Any) -> bool:
    categories: Any = getattr(dtype, "categories", ())
    if isinstance(getattr(categories, "dtype", None), np.dtype) and categories.dtype == object:
        return any(isinstance(category, str | bytes) for category in categories)
    dtype = _without_categories(dtype)
    name = str(dtype).lower()  # of pandas, polars and pyarrow
    names = ("string", "large_string", "utf8", "categorical", "enum")
    kind = getattr(dtype, "kind", "")
    return kind in ("U", "S", "T") or name == "str" or name.startswith(names)


def _without_categories(dtype: Any) -> Any:
    """Return the type of the categories, if it is a type of categories."""
    return getattr(getattr(dtype, "categories", dtype), "dtype", dtype)


def _parts(X: Any) -> Iterator[Any]:
    """Yield X, the arrays in it, and of the other things in a list or in cells one of each type."""
    yield X
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        X = X.iloc[:, np.flatnonzero([str(dtype) == "object" for dtype in X.dtypes])].to_numpy()
    if isinstance(X, np.ndarray) and X.dtype.kind == "O" and not isinstance(X, np.ma.MaskedArray):
        X = X.ravel().tolist()
    if isinstance(X, list | tuple):
        for kind, example in dict(zip(map(type, X), X, strict=True)).items():
            if issubclass(kind, list | tuple | np.ndarray) or hasattr(kind, "getbands"):
                for item in X:
                    if type(item) is kind:
                        yield from _parts(item)
            else:
                yield example


@contextmanager
def explain_bad_numbers(X: Any = None) -> Iterator[None]:
    """Turn errors of numpy's conversion to numbers into errors about X."""
    try:
        # Overflow gives infinity, for which scikit-learn has a clear error.
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    except (TypeError, ValueError, OverflowError) as error:
        if str(error).startswith("Input X contains NaN"):
            raise ValueError(
                "Input X contains NaN. Set allow_nan=True if they are missing cells of a table or "
                "follow the end of signals; else fill them, for instance by an imputer."
            ) from None
        if not str(error).startswith(NOT_NUMERIC):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        reason = str(error).splitlines()[0].removesuffix(".")
        raise kind(describe(X) or f"X must hold real numbers: {reason}.") from None
