"""Convert what a user gives as X to an array of samples, channels first."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral

import numpy as np
import torch
from sklearn.utils import column_or_1d
from torch import Tensor

# Samples of these types are kept as they are; see `working_dtype` for all others.
DTYPES = (np.float64, np.float32, np.uint8)

# Values in a chunk, where samples are read in order: 32 MiB in float64.
CHUNK_SIZE = 2**22


def chunk_slices(shape: Sequence[int]) -> Iterator[slice]:
    """Yield slices of samples (n, ...), of at most 4096 samples and about `CHUNK_SIZE` values."""
    size = min(4096, max(1, CHUNK_SIZE // max(1, int(np.prod(shape[1:])))))
    for start in range(0, shape[0], size):
        yield slice(start, min(start + size, shape[0]))


def working_dtype(dtype: np.dtype) -> np.dtype:
    """Return the type in which samples of a type are kept: one that holds their values exactly.

    Of types that float32 holds exactly that is float32, of all others float64: seconds since 1970
    and other large whole numbers keep their digits.
    """
    if dtype in DTYPES and dtype.isnative:
        return dtype
    return np.dtype(np.float32 if np.can_cast(dtype, np.float32, "safe") else np.float64)


def widen_exactly(X):
    """Return what float32 holds exactly as float32: an array by its type, a list by its values.

    Anything else is returned as it is.
    """
    if isinstance(X, list | tuple):
        return _list_as_array(X)
    if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
        return X.astype(working_dtype(X.dtype), copy=False)
    return X


def _list_as_array(X):
    """Return a list of numbers as an array, float32 if that holds all of them; others as they are.

    Lists have no type, so that only their values can say what they need.
    """
    try:
        array = np.asarray(X)
    except (TypeError, ValueError, OverflowError):
        return X  # scikit-learn says what is wrong with it
    if array.dtype.kind not in "biuf":
        return X
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = array.astype(np.float32)
    return narrow if np.array_equal(narrow.astype(array.dtype), array) else array


def read_array(X):
    """Return a torch tensor as an array, so that scikit-learn can check it; all else unchanged.

    Raises
    ------
    TypeError
        If X is a sparse or meta tensor, holds dates, or items of a torch dataset.
    ValueError
        If values are masked.
    """
    if not isinstance(X, Tensor):
        _check_holds_numbers(X)
        return X
    if X.layout != torch.strided or X.is_meta:
        kind = f"device {str(X.device)!r}" if X.is_meta else f"layout {X.layout}"
        raise TypeError(f"X must be a dense tensor that holds numbers. Got one of {kind}.")
    X = X.detach().cpu().resolve_conj().resolve_neg()  # numpy has no such lazy views
    return (X.float() if X.is_floating_point() and X.dtype not in NUMPY_FLOATS else X).numpy()


def _check_holds_numbers(X) -> None:
    """Raise an error if X holds what numpy would silently read as numbers."""
    types = getattr(X, "dtypes", None)  # of a data frame, one for each column
    types = [getattr(X, "dtype", None)] if types is None else list(types)
    if any(getattr(dtype, "kind", "") in ("M", "m") for dtype in types) or any(
        str(dtype).startswith(("Date", "Duration", "Time"))
        for dtype in types  # of polars
    ):
        raise TypeError(
            "X must hold numbers. Got dates or times: turn them into numbers of a unit you choose, "
            "for instance days since the first of them."
        )
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError("X must hold a number everywhere. Got masked values: fill them before.")
    if isinstance(X, list) and X and isinstance(X[0], tuple) and isinstance(X[0][0], Tensor):
        raise TypeError(
            "X must hold samples. Got items of a torch dataset with their labels, as indexing it "
            "gives them: pass skdim.sources.as_source(dataset), which can be cut into folds."
        )


# Floating types of torch that numpy has, too.
NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)

# First words of messages of numpy that mean: this is not an array of real numbers.
NOT_NUMERIC = (
    "could not convert",
    "float() argument",
    "int too large",
    "Complex data",
    "Cannot cast",
    "setting an array element",
)


@contextmanager
def numbers_wanted() -> Iterator[None]:
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
        raise kind(f"X must hold real numbers: {reason}.") from None


def read_samples(X: np.ndarray, sample_shape: tuple[int, ...] | None, channel_axis) -> np.ndarray:
    """Return X as samples with channels first; copy it only to change its byte order.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
    sample_shape : tuple of int or None
        Shape into which the columns of a two-dimensional X are reshaped.
    channel_axis : int, None or "auto"
        The axis of channels in X (after reshaping to ``sample_shape``), counted with
        the sample axis as 0; None for samples without channels.

    Returns
    -------
    samples : ndarray of shape (n, channels, *sides)
        Rows of a table have no sides; their columns are the channels.
    """
    X = X.astype(X.dtype.newbyteorder("="), copy=False)
    if sample_shape is not None and X.ndim == 2:
        shape = tuple(sample_shape)
        if not all(isinstance(side, Integral) and side > 0 for side in shape):
            raise ValueError(
                f"The 'sample_shape' parameter must hold whole numbers from 1 on. Got {shape}."
            )
        if int(np.prod(shape)) != X.shape[1]:
            raise ValueError(
                f"The 'sample_shape' parameter {shape} holds {int(np.prod(shape))} values, "
                f"but X has {X.shape[1]} features."
            )
        X = X.reshape(len(X), *shape)
    if channel_axis == "auto":
        channel_axis = _guess_channel_axis(X.shape)
    if channel_axis is None:
        return X[:, None]
    if not -X.ndim < channel_axis < X.ndim or channel_axis == 0:
        raise ValueError(
            f"The 'channel_axis' parameter must be an axis of X from 1 to {X.ndim - 1}, or None. "
            f"Got {channel_axis} for X of shape {X.shape}."
        )
    return np.moveaxis(X, channel_axis, 1)


def check_ends(samples: np.ndarray) -> None:
    """Raise ValueError if NaN in signals are not where a signal of less points has ended.

    Parameters
    ----------
    samples : ndarray of shape (n, channels, *sides)
    """
    if samples.ndim != 3:
        return
    is_missing = np.isnan(samples)
    has_ended = is_missing.all(1, keepdims=True)  # (n, 1, length)
    if (is_missing != has_ended).any() or (has_ended[..., :-1] & ~has_ended[..., 1:]).any():
        raise ValueError(
            "X may hold NaN behind the end of a signal only, in all of its channels from one point "
            "in time on. Got some elsewhere: fill them before, for instance by interpolation."
        )
    shortest = (~has_ended).sum(2).min()
    if shortest < 4:
        raise ValueError(
            "X must hold signals of at least 4 points in time before they end in NaN. Got one of "
            f"{shortest}."
        )


def _guess_channel_axis(shape: tuple[int, ...]) -> int | None:
    if len(shape) == 2:
        return 1  # rows
    if len(shape) == 3:
        return None  # grey images
    if len(shape) not in (4, 5):
        raise ValueError(
            "X must hold rows (2 dimensions), images (3 or 4) or volumes (5) unless the "
            f"'channel_axis' parameter says where the channels are. Got X of shape {shape}."
        )
    _, *sample = shape
    first, last = _like_channels(sample[0], sample[1:]), _like_channels(sample[-1], sample[:-1])
    if first == last:
        what = "images" if len(shape) == 4 else "volumes"
        as_first, as_last = (" x ".join(map(str, sides)) for sides in (sample[1:], sample[:-1]))
        raise ValueError(
            f"X of shape {shape} can be read as {as_first} {what} of {sample[0]} channels "
            f"(channel_axis=1) or as {as_last} {what} of {sample[-1]} channels "
            "(channel_axis=-1): set the 'channel_axis' parameter."
        )
    return 1 if first else -1


def _like_channels(n_channels: int, sides: list[int]) -> bool:
    return n_channels < min(sides) and (n_channels <= 4 or 4 * n_channels <= min(sides))


def read_groups(groups, n_samples: int) -> np.ndarray | None:
    """Number groups by decreasing size, from 0 for the largest.

    Parameters
    ----------
    groups : array-like of shape (n_samples,), or None
    n_samples : int

    Returns
    -------
    groups : ndarray of shape (n_samples,), int64, or None
    """
    if groups is None:
        return None
    with labels_wanted():
        groups = column_or_1d(groups)
        _check_labels(groups)
        _, numbers, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(groups) != n_samples:
        raise ValueError(
            f"The 'groups' must name a group for each of the {n_samples} samples of X. "
            f"Got {len(groups)}."
        )
    by_size = np.empty_like(counts)
    by_size[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return by_size[numbers].astype(np.int64)


def _check_labels(groups: np.ndarray) -> None:
    """Raise ValueError if a label is missing: missing ones are no group."""
    if groups.dtype.kind == "O":
        is_missing = np.array([_is_missing(label) for label in groups], dtype=bool)
    else:
        is_missing = groups != groups
    if is_missing.any():
        raise ValueError(f"a label is missing for {int(is_missing.sum())} of {len(groups)} samples")


def _is_missing(label) -> bool:
    # The one of pandas is equal to nothing, and says so of no comparison.
    return label is None or type(label).__name__ == "NAType" or bool(label != label)


@contextmanager
def labels_wanted() -> Iterator[None]:
    """Turn errors of numpy's sorting into errors about the groups."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(
            "The 'groups' must be of one axis, a label for each sample, and all labels numbers or "
            f"all strings: {str(error).splitlines()[0].removesuffix('.')}."
        ) from None


def read_column_groups(
    column_groups, n_columns: int, names: np.ndarray | None
) -> tuple[tuple[int, ...], ...]:
    """Return groups of columns as tuples of indices.

    Parameters
    ----------
    column_groups : sequence of sequence of int or str
        Columns by index, or by name if X had names.
    n_columns : int
    names : ndarray of str, or None
    """
    index_of = {name: i for i, name in enumerate([] if names is None else names)}
    index_of.update((i, i) for i in range(n_columns))
    groups, seen = [], set()
    for group in column_groups:
        if isinstance(group, str) or not isinstance(group, Iterable):
            raise ValueError(
                "The 'column_groups' parameter must be a list of groups, each a list of columns. "
                f"Got {group!r} for a group."
            )
        for column in group:
            if not isinstance(column, str | Integral) or column not in index_of:
                raise ValueError(
                    f"The 'column_groups' parameter must name columns of X, by number from 0 to "
                    f"{n_columns - 1} or by their names in the data frame. Got {column!r}."
                )
            if index_of[column] in seen:
                raise ValueError(
                    "The 'column_groups' parameter must name every column once at most. "
                    f"Got {column!r} twice."
                )
            seen.add(index_of[column])
        groups.append(tuple(index_of[column] for column in group))
    return tuple(filter(None, groups))
