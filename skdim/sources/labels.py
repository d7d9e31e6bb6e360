"""Labels of files, from a table."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from skdim.exceptions import DataWarning, warn
from skdim.sources.files import as_paths, name_some, natural_key

# The number of a sample without a label, as in sklearn.semi_supervised.
UNLABELLED = -1


def read_labels(
    table: str | os.PathLike,
    paths: Sequence[str | os.PathLike],
    *,
    file_column: str = "file",
    label_column: str = "label",
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
) -> tuple[np.ndarray, np.ndarray]:
    r"""Read the labels of files from a table of text, such as ``labels.csv``.

    Parameters
    ----------
    table : path
        Its first line names its columns.
    paths : sequence of path
        The files, for instance `ImageFolder.paths`.
    file_column : str, default="file"
        The column that names files by the end of their path, such as ``cats/1.png`` or ``1.png``,
        with or without the extension.
    label_column : str, default="label"
        The column that holds their labels. An empty cell means that there is none.
    delimiter : str, default=","
        One character, between the cells of a row.
    encoding : str, default="utf-8-sig"
        The default is UTF-8, with or without a byte-order mark.

    Returns
    -------
    y : ndarray of shape (n_paths,), int64
        Number of the label of each file in ``classes``. -1 is a file without a label, as in
        `sklearn.semi_supervised` and in `skdim.DIMClassifier`.
    classes : ndarray of str
        All labels as they are written, in natural order: 2 before 10.

    Raises
    ------
    ValueError
        If the table lacks a column, names no file at all, names a file in a way that fits several,
        or gives a file two labels.

    Warns
    -----
    DataWarning
        If the table names files that are not there; it counts them and names the first.

    Examples
    --------
    >>> import os, tempfile
    >>> from skdim.sources import read_labels
    >>> table = os.path.join(tempfile.mkdtemp(), "labels.csv")
    >>> with open(table, "w") as file:
    ...     _ = file.write("file,label\n1.png,dog\n3.png,cat\n")
    >>> y, classes = read_labels(table, ["pets/1.png", "pets/2.png", "pets/3.png"])
    >>> y.tolist(), classes.tolist()
    ([1, -1, 0], ['cat', 'dog'])
    """
    find = _Finder(as_paths(paths))
    labels: dict[int, str] = {}  # by the number of the file
    absent = []
    for name, label in _rows(table, (file_column, label_column), delimiter, encoding):
        numbers = find(name)
        if len(numbers) > 1:
            several = name_some([find.paths[number] for number in numbers])
            raise ValueError(
                f"The column {file_column!r} of {table} must name one file in each row. Got "
                f"{name!r}, which may be {several}: write more of its path."
            )
        if not numbers:
            absent.append(name)
        elif label and labels.setdefault(numbers[0], label) != label:
            raise ValueError(
                f"{table} must give each file one label. Got {labels[numbers[0]]!r} and {label!r} "
                f"for {name!r}."
            )
    if not labels:
        example = f"{str(find.paths[0])!r}" if find.paths else "none"
        raise ValueError(
            f"{table} must hold labels of the files, the first of which is {example}. Got none: "
            f"its column {file_column!r} names {name_some(absent) or 'no file with a label'}."
        )
    if absent:
        warn(
            f"{table} names files that are not there, {len(absent)} in all: {name_some(absent)}.",
            DataWarning,
        )
    classes = sorted(set(labels.values()), key=natural_key)
    number_of = {label: number for number, label in enumerate(classes)}
    y = np.full(len(find.paths), UNLABELLED, np.int64)
    y[list(labels)] = [number_of[label] for label in labels.values()]
    return y, np.array(classes)


class _Finder:
    """Finds files by the end of their path, with or without the extension."""

    def __init__(self, paths: list[Path]):
        self.paths = paths
        self.by_name: dict[str, list[int]] = {}
        for number, path in enumerate(paths):
            for name in {path.name, path.stem}:
                self.by_name.setdefault(name, []).append(number)

    def __call__(self, name: str) -> list[int]:
        """Return the numbers of all files that a name fits; those with the extension come first."""
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts:
            return []
        candidates = self.by_name.get(parts[-1], [])
        paths = {number: self.paths[number] for number in candidates}
        complete = [n for n, path in paths.items() if path.parts[-len(parts) :] == parts]
        return complete or [
            n for n, path in paths.items() if path.with_suffix("").parts[-len(parts) :] == parts
        ]


def _rows(
    table: str | os.PathLike, columns: Sequence[str], delimiter: str, encoding: str
) -> Iterator[list[str]]:
    """Yield the cells of some columns of each row, without spaces around them."""
    with open(table, encoding=encoding, newline="") as file:
        rows = filter(None, csv.reader(file, delimiter=delimiter, strict=True))
        names = [name.strip() for name in next(rows, [])]
        for column in columns:
            if column not in names:
                raise ValueError(
                    f"{table} must have a column {column!r}. Its columns are {', '.join(names)}."
                )
        for number, row in enumerate(rows, start=1):
            if len(row) != len(names):
                raise ValueError(
                    f"Row {number} of {table} must have a cell for each of {len(names)} columns. "
                    f"Got {len(row)}."
                )
            yield [row[names.index(column)].strip() for column in columns]
