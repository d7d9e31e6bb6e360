"""Tables in files: .csv, .tsv and .parquet, whose columns have names.

This module needs no torch, so that a wrong file is refused at once.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from skdim._files.atomic_write import replace_when_done

# Cells that hold nothing, in lower case.
MISSING = ("", "na", "n/a", "nan", "null", "none")

# Rows of text that are turned into numbers at once.
CHUNK_SIZE = 10_000


class Table(np.ndarray):
    """Numbers (n, n_columns) whose columns have names; missing ones are NaN.

    Attributes
    ----------
    names : list of str
    left_out : list of str
        Columns of the file that were not read.
    """

    names: list[str]
    left_out: list[str]


class TableFile(Protocol):
    """A file that holds a table.

    Attributes
    ----------
    names : list of str
        Of all columns.
    """

    names: list[str]

    def numbers(self, columns: Sequence[str]) -> np.ndarray:
        """Return some columns as numbers (n, n_columns), missing ones as NaN."""
        ...

    def values(self, column: str) -> np.ndarray:
        """Return a column (n,) as it is."""
        ...


# ---- Text -----------------------------------------------------------------------------------


class TextFile:
    """A table as text, below a line of column names.

    Parameters
    ----------
    path : Path
    delimiter : str
        What stands between two cells.
    """

    def __init__(self, path: Path, delimiter: str):
        self.path, self.delimiter = path, delimiter
        with open(path, encoding="utf-8-sig", newline="") as file:
            self.names = [name.strip() for name in next(csv.reader(file, delimiter=delimiter), [])]
        if any(_is_number(name) for name in self.names):
            raise ValueError(f"its first line must name the columns. Got {','.join(self.names)!r}.")
        if not all(self.names) or len(set(self.names)) < max(len(self.names), 1):
            raise ValueError(
                "its first line must give each column a name of its own. Got "
                f"{','.join(self.names)!r}; a column without a name may be an index, to be left "
                "out."
            )

    def numbers(self, columns: Sequence[str]) -> np.ndarray:
        """Return some columns as numbers (n, n_columns), missing ones as NaN."""
        rows, chunks, n_rows = self._cells(columns), [np.empty((0, len(columns)))], 0
        while chunk := list(islice(rows, CHUNK_SIZE)):
            chunks.append(_read_numbers(np.array(chunk), columns, n_rows))
            n_rows += len(chunk)
        return np.concatenate(chunks)

    def values(self, column: str) -> np.ndarray:
        """Return a column (n,) of text."""
        return np.array([cell for (cell,) in self._cells([column])])

    def _cells(self, columns: Sequence[str]) -> Iterator[list[str]]:
        """Yield the cells of each row; empty lines are no rows."""
        positions = [self.names.index(name) for name in columns]
        with open(self.path, encoding="utf-8-sig", newline="") as file:
            rows = filter(None, csv.reader(file, delimiter=self.delimiter))
            for number, row in enumerate(islice(rows, 1, None), start=1):
                if len(row) != len(self.names):
                    raise ValueError(
                        f"row {number} must have a cell for each of {len(self.names)} columns. "
                        f"Got {len(row)}."
                    )
                yield [row[position] for position in positions]


def _read_numbers(cells: np.ndarray, columns: Sequence[str], n_before: int) -> np.ndarray:
    """Return cells of text (n, n_columns) as numbers; ``n_before`` rows stand above them."""
    try:
        return cells.astype(np.float64)
    except ValueError:
        is_missing = np.isin(np.char.lower(np.char.strip(cells)), MISSING)
        known = np.where(is_missing, "nan", cells)
    try:
        return known.astype(np.float64)
    except ValueError:
        wrong = (at for at, cell in np.ndenumerate(known) if not _is_number(str(cell)))
        row, column = next(wrong)
        raise not_a_number(n_before + row + 1, columns[column], str(cells[row, column])) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def not_a_number(row: int, column: str, value: Any) -> ValueError:
    """Return the error that names a cell; rows are counted from 1, below the names."""
    return ValueError(
        f"row {row}, column {column!r} must be a number. Got {value!r}. --columns names the "
        "columns to be read, --drop-columns those to be left out."
    )


def write_text(
    path: Path, features: np.ndarray, names: Sequence[str], files: Sequence[str], delimiter: str
) -> None:
    """Write a line of names, then features with enough digits to recover the same float32.

    Parameters
    ----------
    path : Path
    features : ndarray of shape (n, n_features)
    names : sequence of str
        Of the features.
    files : sequence of str
        The file of each sample, for a first column; or none.
    delimiter : str
    """
    with (
        replace_when_done(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow([*(["file"] if files else []), *names])
        for number, row in enumerate(features.tolist()):
            writer.writerow([*files[number : number + 1], *(f"{value:.9g}" for value in row)])


# ---- Parquet --------------------------------------------------------------------------------


class ParquetFile:
    """A table in a Parquet file; an index that pandas wrote into it is no column.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path):
        _, parquet = _pyarrow()
        self.file = parquet.ParquetFile(path)
        schema = self.file.schema_arrow
        index = (schema.pandas_metadata or {}).get("index_columns", [])
        self.names = [name for name in schema.names if name not in index]
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"its columns must have different names. Got {self.names}.")

    def numbers(self, columns: Sequence[str]) -> np.ndarray:
        """Return some columns as numbers (n, n_columns), missing ones as NaN."""
        arrow, _ = _pyarrow()
        types = arrow.types
        are_numbers = (
            types.is_integer,
            types.is_floating,
            types.is_decimal,
            types.is_boolean,
            types.is_null,
        )
        table = self.file.read(columns=list(columns))
        for name in columns:
            kind = table.schema.field(name).type
            if not any(is_of(kind) for is_of in are_numbers):
                cells = table.column(name).to_pylist()
                row = next((row for row, cell in enumerate(cells) if cell is not None), 0)
                raise not_a_number(row + 1, name, cells[row] if cells else str(kind))
        number = arrow.float64()
        numbers = [table.column(name).cast(number, safe=False).to_numpy() for name in columns]
        return np.stack(numbers, axis=1)

    def values(self, column: str) -> np.ndarray:
        """Return a column (n,) of its type."""
        return self.file.read(columns=[column]).column(column).to_numpy()


def write_parquet(
    path: Path, features: np.ndarray, names: Sequence[str], files: Sequence[str]
) -> None:
    """Write features as float32; the parameters are those of `write_text`."""
    arrow, parquet = _pyarrow()
    columns = dict(zip(names, features.T, strict=True))
    table = arrow.table({"file": list(files), **columns} if files else columns)
    with replace_when_done(path) as temporary:
        parquet.write_table(table, temporary)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ImportError(
            "Parquet files need the package pyarrow, which is missing: pip install pyarrow."
        ) from None
    return pyarrow, pyarrow.parquet


# ---- Either ---------------------------------------------------------------------------------

TABLES: dict[str, Callable[[Path], TableFile]] = {
    ".csv": partial(TextFile, delimiter=","),
    ".tsv": partial(TextFile, delimiter="\t"),
    ".parquet": ParquetFile,
}

TABLE_WRITERS: dict[str, Callable[..., None]] = {
    ".csv": partial(write_text, delimiter=","),
    ".tsv": partial(write_text, delimiter="\t"),
    ".parquet": write_parquet,
}


def read_table(
    path: Path, columns: Sequence[str] | None = None, drop_columns: Sequence[str] = ()
) -> Table:
    """Return the numbers in the columns of a table.

    Parameters
    ----------
    path : Path
        Of a kind in `TABLES`.
    columns : sequence of str or None, default=None
        Those to be read, in this order; None takes all.
    drop_columns : sequence of str, default=()
        Those to be left out.
    """
    file = TABLES[path.suffix.lower()](path)
    wanted = file.names if columns is None else columns
    for name in (*wanted, *drop_columns):
        check_column(file, name)
    names = [name for name in wanted if name not in drop_columns]
    if not names:
        raise ValueError("at least one of its columns must be read. Got none.")
    table = file.numbers(names).view(Table)
    table.names = names
    table.left_out = [name for name in file.names if name not in names]
    return table


def read_column(path: Path, name: str) -> np.ndarray:
    """Return a column (n,) of a table, which may hold text, and must have no missing cell."""
    file = TABLES[path.suffix.lower()](path)
    check_column(file, name)
    values = file.values(name)
    text = np.array([str("" if value is None else value).strip().lower() for value in values])
    (missing,) = np.nonzero(np.isin(text, MISSING))
    if len(missing):
        raise ValueError(f"row {missing[0] + 1}, column {name!r} must hold a label. Got none.")
    return values


def check_column(file: TableFile, name: str) -> None:
    """Raise ValueError if a table has no such column."""
    if name not in file.names:
        found = ", ".join(file.names)
        raise ValueError(f"it must have a column {name!r}. Its columns are {found}.")


def check_complete(table: Table) -> None:
    """Raise ValueError if a cell is missing."""
    rows, columns = np.nonzero(np.isnan(table))
    if len(rows):
        raise ValueError(
            f"row {rows[0] + 1}, column {table.names[columns[0]]!r} must be a number. Got nothing "
            f"there, and in {len(rows)} cells in all: fill them, leave their columns out by "
            "--drop-columns, or fit with --set allow_nan=True, which takes them as a value of "
            "their own."
        )
