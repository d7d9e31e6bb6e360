"""Groups of samples, and groups of columns, as numbers."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d

from skdim.exceptions import DataWarning, warn
from skdim.sources.arrays import as_labels, check_none_missing

# A group that holds one of these is a pattern, as of files in a shell.
WILDCARD = re.compile(r"[*?[]")


def number_groups(groups: Any, n_samples: int) -> np.ndarray | None:
    """Number groups of samples by decreasing size, as int64; the largest is number 0."""
    if groups is None:
        return None
    with explain_bad_labels():
        groups = column_or_1d(as_labels(groups, "The 'groups'"))
        check_none_missing(groups, "The 'groups'")
        _, numbers, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(groups) != n_samples:
        raise ValueError(
            f"The 'groups' must name a group for each of the {n_samples} samples of X. "
            f"Got {len(groups)}."
        )
    by_size = np.empty_like(counts)
    by_size[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return by_size[numbers].astype(np.int64)


@contextmanager
def explain_bad_labels() -> Iterator[None]:
    """Turn errors of numpy's sorting into errors about the groups."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if str(error).startswith("The 'groups'"):
            raise
        raise type(error)(
            "The 'groups' must have one axis, with a label for each sample, and labels must be all "
            f"numbers or all strings: {str(error).splitlines()[0].removesuffix('.')}."
        ) from None


def index_column_groups(
    column_groups: Any, n_columns: int, names: np.ndarray | None
) -> tuple[tuple[int, ...], ...]:
    """Convert groups of columns to tuples of indices.

    Parameters
    ----------
    column_groups : sequence or callable
        Groups are lists of indices and of names in X, or patterns that names match. A callable is
        called with the names, and returns groups.
    n_columns : int
    names : ndarray of shape (n_columns,), or None
    """
    if callable(column_groups):
        column_groups = _call_with_names(column_groups, names)
    index_of = {name: i for i, name in enumerate([] if names is None else names)}
    index_of.update((i, i) for i in range(n_columns))
    groups, seen, absent = [], set(), []
    for group in column_groups:
        columns = _columns_of(group, names)
        for column in columns:
            if isinstance(column, str) and names is not None and column not in index_of:
                absent.append(column)
            elif not isinstance(column, str | Integral) or column not in index_of:
                raise _no_column(column, n_columns)
            elif index_of[column] in seen:
                raise ValueError(
                    "The 'column_groups' parameter must name every column at most once. "
                    f"Got {column!r} twice."
                )
            else:
                seen.add(index_of[column])
        groups.append(tuple(index_of[column] for column in columns if column in index_of))
    if absent and not seen:
        raise _no_column(absent[0], n_columns)
    if absent:  # a fold may lack a category, and a one-hot code then its column
        warn(
            "The 'column_groups' parameter names columns that X does not have, which are left out: "
            f"{', '.join(map(repr, absent))}.",
            DataWarning,
        )
    return tuple(filter(None, groups))


def _call_with_names(function: Callable, names: np.ndarray | None) -> Iterable:
    """Return the groups that a function finds among the names of columns."""
    if names is None:
        raise ValueError(
            "The 'column_groups' parameter must hold numbers of columns if X has no names of "
            "columns. Got a function of the names: pass a data frame."
        )
    groups = function(names.copy())
    if isinstance(groups, str) or not isinstance(groups, Iterable):
        raise _not_a_group(groups, "what its function returned")
    return groups


def _columns_of(group: Any, names: np.ndarray | None) -> list:
    """List the columns of a group; a pattern that matches none stays as it is."""
    if isinstance(group, str) and WILDCARD.search(group):
        matches = [] if names is None else [name for name in names if fnmatchcase(name, group)]
        return matches or [group]
    if isinstance(group, str) or not isinstance(group, Iterable):
        raise _not_a_group(group, "a group")
    return list(group)


def _not_a_group(value: Any, what: str) -> ValueError:
    return ValueError(
        "The 'column_groups' parameter must be a list of groups, each a list of columns or a "
        f"pattern such as 'colour_*'. Got {value!r} for {what}."
    )


def _no_column(column: Any, n_columns: int) -> ValueError:
    return ValueError(
        "The 'column_groups' parameter must name columns of X, by number from 0 to "
        f"{n_columns - 1} or by their names in the data frame. Got {column!r}."
    )
