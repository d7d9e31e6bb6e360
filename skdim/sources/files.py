"""Samples in files, one in each: which files there are, and which of them can be read."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from skdim.exceptions import DataWarning, warn
from skdim.sources.arrays import as_labels
from skdim.sources.readers import Source

# Files that a message names, when it is about many.
N_NAMED = 3


class Files(Source):
    """Base class: samples in files, one in each.

    Attributes
    ----------
    paths : list of Path
    labels : ndarray of shape (n,), or None
    n_skipped : int
        Number of files that were left out because they cannot be read.
    stamps : list of (int, int)
        Time of the last change and size of each file. Caches compare sources by their attributes,
        and so notice that a file has changed.
    """

    paths: list[Path]
    labels: np.ndarray | None
    n_skipped: int
    stamps: list[tuple[int, int]]

    def _keep(
        self,
        paths: Iterable[str | os.PathLike],
        labels: Any,
        on_error: str,
        read: Callable[[Path], Any],
        n_threads: int | None,
    ) -> None:
        """Remember the files; with ``on_error="skip"``, only those that ``read`` can read."""
        if on_error not in ("raise", "skip"):
            raise ValueError(f"'on_error' must be 'raise' or 'skip'. Got {on_error!r}.")
        files = as_paths(paths)
        n_files = len(files)
        labels = None if labels is None else as_labels(labels, "'labels'")
        if labels is not None and labels.shape != (n_files,):
            raise ValueError(
                f"'labels' must hold one label for each of {n_files} paths. Got shape "
                f"{labels.shape}."
            )
        if on_error == "skip":
            are_readable = find_readable(files, read, n_threads)
            labels = None if labels is None else labels[are_readable]
            files = [files[number] for number in np.flatnonzero(are_readable)]
        self.paths = files
        self.labels = labels
        self.n_skipped = n_files - len(files)
        self.stamps = [stamp(path) for path in self.paths]


def check_is_bool(value: Any, name: str) -> None:
    """Raise TypeError if an argument is not True or False: text such as "no" would be True."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name!r} must be True or False. Got {value!r}.")


def as_paths(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """Return paths as a list, after a check that each of them is one."""
    if isinstance(paths, str | os.PathLike):
        raise TypeError(f"'paths' must be a list of paths. Got the path {str(paths)!r}.")
    paths = list(paths)
    for path in paths:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"'paths' must be a list of paths. Got {path!r} among them.")
    return [Path(path) for path in paths]


def find_readable(
    paths: Sequence[Path], read: Callable[[Path], Any], n_threads: int | None
) -> np.ndarray:
    """Tell which files can be read, and warn of the others once.

    Parameters
    ----------
    paths : sequence of Path
    read : callable
        Raises ValueError if a file cannot be read.
    n_threads : int or None
        None is one for each processor.

    Returns
    -------
    are_readable : ndarray of shape (n_paths,), bool
    """

    def is_readable(path: Path) -> bool:
        try:
            read(path)
        except ValueError:
            return False
        return True

    with ThreadPoolExecutor(n_threads or os.cpu_count()) as pool:
        are_readable = np.array(list(pool.map(is_readable, paths)), bool)
    skipped = [path for path, keep in zip(paths, are_readable, strict=True) if not keep]
    if skipped:
        warn(
            f"Files that cannot be read are left out, {len(skipped)} of {len(paths)}: "
            f"{name_some(skipped)}.",
            DataWarning,
        )
    return are_readable


def name_some(names: Sequence[Any]) -> str:
    """Name the first of many, and count the others."""
    text = ", ".join(repr(str(name)) for name in names[:N_NAMED])
    return f"{text} and {len(names) - N_NAMED} more" if len(names) > N_NAMED else text


def stamp(path: Path) -> tuple[int, int]:
    """Return when a file was last changed, and its size in bytes."""
    try:
        stat = path.stat()
    except OSError as error:
        raise ValueError(f"X must hold files. Got {str(path)!r}: {error.strerror}.") from None
    return stat.st_mtime_ns, stat.st_size


def find_files(folder: Path, is_wanted: Callable[[Path], bool]) -> list[Path]:
    """List files in a folder and its sub-folders in natural order, without hidden ones."""
    files = filter(is_wanted, _files_below(folder))
    return sorted(files, key=lambda path: list(map(natural_key, path.relative_to(folder).parts)))


def _files_below(folder: Path, parents: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield files and broken links, not hidden ones; follow links, except to a folder above."""
    real = os.path.realpath(folder)
    if real in parents or not folder.is_dir():
        return
    for name in os.listdir(folder):
        path = folder / name
        if name.startswith("."):
            continue
        if os.path.isdir(path):
            yield from _files_below(path, (*parents, real))
        elif os.path.isfile(path) or (path.is_symlink() and not os.path.exists(path)):
            yield path


def natural_key(text: str) -> list[tuple[int, int | str]]:
    """Return a key that sorts names as people do: numbers in them by their value."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]
