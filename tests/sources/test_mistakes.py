"""A likely mistake is answered by a sentence that says what to pass."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from skdim import DIMTransformer
from skdim.sources.mistakes import CALLS

RNG = np.random.default_rng(0)
SIGNALS = list(RNG.normal(size=(40, 20)))
UNEQUAL = [RNG.normal(size=(2, 20 + i % 3)) for i in range(40)]
FRAME = pd.DataFrame(RNG.normal(size=(40, 4)), columns=list("abcd"))


def cells(signals):
    """Return an array whose cells hold arrays."""
    array = np.empty(len(signals), object)
    array[:] = signals
    return array


WRITERS = {
    ".npy": lambda frame, path: np.save(path, frame),
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    ".parquet": lambda frame, path: frame.to_parquet(path),
}


@pytest.mark.parametrize("suffix", CALLS)
@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_path_is_refused_and_what_the_error_says_reads_it(tmp_path, suffix, kind):
    path = tmp_path / f"digits{suffix}"
    with pytest.raises(TypeError, match="Got the path") as caught:
        DIMTransformer().fit(kind(path))
    (call,) = re.findall(r": pass (.*)\.$", str(caught.value))
    assert repr(str(path)) in call
    if suffix in WRITERS:
        frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
        WRITERS[suffix](frame, path)
        np.testing.assert_array_equal(eval(call, {"numpy": np, "pandas": pd}), frame)


def test_a_folder_is_refused_with_the_source_for_images(tmp_path):
    with pytest.raises(TypeError, match=r"ImageFolder\(.*\) if it holds images"):
        DIMTransformer().fit(tmp_path)


def test_a_file_of_an_unknown_kind_is_refused_without_a_call():
    with pytest.raises(TypeError, match=r"'digits\.docx'\. Read it into an array first"):
        DIMTransformer().fit("digits.docx")


@pytest.mark.parametrize(
    "X",
    [
        FRAME["a"],
        FRAME.iloc[0],
        pd.Series(["a", "b"]),
        pd.Series(pd.date_range("2026", periods=9)),
        pl.DataFrame(FRAME)["a"],
    ],
    ids=["column", "row", "strings", "dates", "polars"],
)
def test_a_series_is_refused_with_the_frame_to_pass(X):
    with pytest.raises(ValueError, match=r"Got a Series: pass one column as frame\[\['name'\]\]"):
        DIMTransformer().fit(X)


@pytest.mark.parametrize(
    "X",
    [
        pd.Series(SIGNALS),
        pd.DataFrame({"signal": SIGNALS}),
        pd.DataFrame({"x": SIGNALS, "y": SIGNALS}),
        pl.DataFrame({"signal": [signal.tolist() for signal in SIGNALS]}),
        cells(SIGNALS),
        pd.DataFrame({"signal": SIGNALS}).to_numpy(),
    ],
    ids=["series", "frame", "two columns", "polars", "array", "array of two axes"],
)
def test_what_the_error_about_arrays_in_cells_says_makes_one_array(X):
    with pytest.raises(ValueError, match="arrays in its cells") as caught:
        DIMTransformer().fit(X)
    (call,) = re.findall(r"pass (np.stack\(.*\)), one array", str(caught.value))
    stacked = eval(call, {"np": np, "X": X})
    assert stacked.shape in ((40, 20), (40, 2, 20))
    assert stacked.dtype == float


@pytest.mark.parametrize(
    "X",
    [UNEQUAL, tuple(UNEQUAL), cells(UNEQUAL), pd.Series(UNEQUAL), pd.DataFrame({"s": UNEQUAL})],
    ids=["list", "tuple", "array", "series", "frame"],
)
def test_unequal_signals_are_refused_with_the_way_to_pad_them(X):
    with pytest.raises(ValueError, match=r"\(2, 20\) and \(2, 22\).*pad signals.*allow_nan=True"):
        DIMTransformer(channel_axis=1, allow_nan=True).fit(X)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_a_column_of_text_is_named(frame):
    X = {"age": range(30), "city": ["x"] * 30, "job": ["y"] * 30}
    with pytest.raises(ValueError, match="'x' in column 'city' and in 1 more: turn"):
        DIMTransformer().fit(frame(X))


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("hold", [list, np.array, pd.Series, iter])
def test_paths_of_images_are_refused_with_the_folder(kind, hold):
    paths = [kind("a/1.png"), kind("a/2.png")]
    with pytest.raises((TypeError, ValueError), match=r"'a/1\.png'.*ImageFiles"):
        DIMTransformer().fit(hold(paths))


def as_dask(frame):
    return pytest.importorskip("dask.dataframe").from_pandas(frame, npartitions=3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "hold",
    [lambda frame: pl.from_pandas(frame).lazy(), pa.Table.from_pandas, as_dask],
    ids=["lazy", "pyarrow", "dask"],
)
def test_tables_that_are_not_in_memory_are_refused_with_the_call_that_reads_them(hold):
    X = hold(FRAME)
    with pytest.raises(TypeError, match=r"X must hold samples in memory\. Got a") as caught:
        DIMTransformer().fit(X)
    (call,) = re.findall(r"pass (X.*)\.$", str(caught.value))
    np.testing.assert_array_equal(eval(call), FRAME)


def as_hdf5(path):
    file = pytest.importorskip("h5py").File(path / "X.h5", "w")
    file["a"] = FRAME
    return file


def as_npz(path):
    np.savez(path / "X.npz", a=FRAME)
    return np.load(path / "X.npz")


@pytest.mark.parametrize(
    "hold",
    [lambda path: {"a": FRAME.to_numpy()}, as_hdf5, as_npz],
    ids=["dict", "HDF5", "npz"],
)
def test_a_container_of_arrays_is_refused_with_the_name_of_one(hold, tmp_path):
    X = hold(tmp_path)
    with pytest.raises(TypeError, match="X must be an array") as caught:
        DIMTransformer().fit(X)
    (call,) = re.findall(r"such as (X.*)\.$", str(caught.value))
    np.testing.assert_array_equal(eval(call), FRAME)
    getattr(X, "close", dict)()


@pytest.mark.parametrize("as_row", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_a_list_of_samples_with_labels_is_refused(as_row):
    with pytest.raises((TypeError, ValueError), match="label"):
        DIMTransformer().fit([(as_row(signal), 1) for signal in SIGNALS])
