"""Labels in a table belong to the files that it names, and to no others."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skdim.exceptions import DataWarning
from skdim.sources import read_labels

PATHS = [Path(f"pets/{name}") for name in ("cats/1.png", "dogs/1.png", "dogs/2.png", "3.x.png")]


@pytest.fixture
def table(tmp_path):
    """Write a table of two columns; return its path."""

    def write(rows, names=("file", "label"), **options):
        pd.DataFrame(rows, columns=names).to_csv(tmp_path / "labels.csv", index=False, **options)
        return tmp_path / "labels.csv"

    return write


@pytest.mark.parametrize("name", ["2.png", "2", "dogs/2.png", "dogs/2", "./pets/dogs/2", "dogs\\2"])
def test_a_file_is_named_by_the_end_of_its_path(table, name):
    y, classes = read_labels(table([[name, "a"]]), PATHS)
    assert y.tolist() == [-1, -1, 0, -1]
    assert classes.tolist() == ["a"]
    assert y.dtype == np.int64


def test_labels_are_numbered_in_natural_order(table):
    rows = [["cats/1", "10"], ["dogs/1", "007"], ["2.png", "10"], ["3.x", ""]]
    y, classes = read_labels(table(rows), PATHS)
    assert classes.tolist() == ["007", "10"]  # as they are written
    assert y.tolist() == [1, 0, 1, -1]


def test_a_name_with_the_extension_is_that_file_alone(table):
    paths = ["1.png", "1.png.png"]
    y, _ = read_labels(table([["1.png", "a"]]), paths)
    assert y.tolist() == [0, -1]


def test_columns_delimiter_and_encoding_may_be_others(table):
    path = table([["x", "2", "é"]], ["id", "name", "art"], sep=";", encoding="latin-1")
    options = {"file_column": "name", "label_column": "art", "delimiter": ";"}
    _, classes = read_labels(path, PATHS, encoding="latin-1", **options)
    assert classes.tolist() == ["é"]


def test_files_that_are_not_there_are_counted(table):
    rows = [["2.png", "a"], *([f"absent{i}.png", "b"] for i in range(4)), ["ogs/1.png", "b"]]
    with pytest.warns(DataWarning, match=r"not there, 5 in all: 'absent0\.png'.* and 2 more"):
        y, classes = read_labels(table(rows), PATHS)
    assert y.tolist() == [-1, -1, 0, -1]
    assert classes.tolist() == ["a"]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([["1.png", "a"]], r"'1\.png', which may be 'pets/cats/1\.png', 'pets/dogs/1\.png'"),
        ([["2", "a"], ["2.png", "b"]], r"one label\. Got 'a' and 'b' for '2\.png'"),
        ([["x.png", "a"]], r"of the files.*'pets/cats/1\.png'.*'file' names 'x\.png'"),
        ([["2.png", ""]], "names no file with a label"),
        ([], "names no file with a label"),
    ],
)
def test_a_table_that_cannot_be_meant_is_named(table, rows, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_labels(table(rows), PATHS)


def test_a_column_or_cell_that_is_missing_is_named(table):
    with pytest.raises(ValueError, match=r"column 'label'\. Its columns are file, kind"):
        read_labels(table([["2", "a"]], ["file", "kind"]), PATHS)
    path = table([["2", "a"]])
    path.write_text(path.read_text() + "\n3.x\n")
    with pytest.raises(ValueError, match=r"Row 2 of .*labels\.csv must have a cell for each of 2"):
        read_labels(path, PATHS)
