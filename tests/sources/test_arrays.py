"""The same numbers give the same features, whatever type and container hold them."""

import datetime
from functools import lru_cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from helpers.products import cover
from torch.utils.data import DataLoader, Dataset, TensorDataset

from skdim import DIMTransformer
from skdim.exceptions import DataWarning
from skdim.sources import StoredDataset, as_source
from skdim.sources._arrays import working_dtype

# Minutes of a day in seconds since 1970: beyond what float32 tells apart.
SECONDS = 1_700_000_000 + 60 * np.arange(200)
EXACT = np.c_[SECONDS, SECONDS % 7, np.arange(200)].astype(np.float64)
SMALL = np.random.default_rng(0).integers(0, 100, (150, 5))
ROWS = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)

# Types that hold seconds, and containers of arrays.
LARGE_TYPES = ("int64", "uint64", "int32", "uint32", "float64", ">f8", "<i8", ">i8", "longdouble")
SMALL_TYPES = ("bool", "int8", "uint8", "int16", "uint16", "float16", "float32", ">f4", ">i2")
HOLDERS = {
    "array": np.asarray,
    "list": lambda X: X.tolist(),
    "pandas": lambda X: pd.DataFrame(np.asarray(X, X.dtype.newbyteorder("="))),
    "nullable": lambda X: pd.DataFrame(np.asarray(X, X.dtype.newbyteorder("="))).convert_dtypes(),
    "polars": lambda X: pl.DataFrame(np.asarray(X, X.dtype.newbyteorder("="))),
    "fortran": np.asfortranarray,
    "memmap": lambda X: as_source(np.asarray(X)) or X,
}


def fit(X, **params):
    settings = {"n_components": 4, "max_epochs": 1, "random_state": 0, "device": "cpu"}
    settings["encoder_params"] = {"width": 8, "n_hidden": 32}
    return DIMTransformer(**{**settings, **params}).fit(X)


def features(dim, X):
    return np.asarray(dim.transform(X))


@pytest.fixture(scope="module")
def exact():
    return fit(EXACT)


@lru_cache
def fit_small(dtype):
    """Fit to the small numbers as they are in a type, in an array of float64."""
    return fit(SMALL.astype(dtype).astype(np.float64))


@pytest.mark.parametrize(
    ("dtype", "holder"), cover(LARGE_TYPES, HOLDERS, seed=1)
)  # 0 skips longdouble
def test_large_numbers_keep_their_digits(dtype, holder, exact):
    if dtype == "longdouble" and holder in ("pandas", "nullable", "polars"):
        pytest.skip("frames have no such type")
    X = HOLDERS[holder](EXACT.astype(dtype))
    dim = fit(X)
    np.testing.assert_allclose(dim.scale_, exact.scale_, rtol=1e-9)
    np.testing.assert_allclose(features(dim, X), features(exact, EXACT), atol=1e-4)


@pytest.mark.parametrize(("dtype", "holder"), cover(SMALL_TYPES, HOLDERS))
def test_small_numbers_are_the_same_whatever_holds_them(dtype, holder):
    if dtype == "float16" and holder == "polars":
        pytest.skip("polars has no such type")
    small = SMALL.astype(dtype)
    expected, dim = fit_small(dtype), fit(HOLDERS[holder](small))
    np.testing.assert_allclose(dim.mean_, expected.mean_, rtol=1e-6)
    found = features(dim, HOLDERS[holder](small))
    np.testing.assert_allclose(found, features(expected, small.astype(np.float64)), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float64, torch.bfloat16])
def test_tensors_keep_their_numbers(dtype):
    X = torch.from_numpy(SMALL if dtype == torch.bfloat16 else EXACT).to(dtype)
    expected = X.double().numpy()
    np.testing.assert_allclose(fit(X).mean_, expected.mean(0), rtol=1e-9)


def test_float32_is_kept_where_it_holds_every_value():
    for dtype in ("bool", "int8", "int16", "uint16", "float16", "float32"):
        assert working_dtype(np.dtype(dtype)) == np.float32
    for dtype in ("int32", "int64", "uint32", "uint64", "float64"):
        assert working_dtype(np.dtype(dtype)) == np.float64
    assert working_dtype(np.dtype("uint8")) == np.uint8


class Items(Dataset):
    """Items of a list."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def test_items_of_another_type_are_refused_by_name():
    items = [torch.zeros(6, dtype=torch.int64), *torch.from_numpy(ROWS)]
    with pytest.raises(ValueError, match=r"one shape and type.*float32 for item 1"):
        fit(Items(items))


def test_items_that_are_dicts_are_read_by_their_key():
    dicts = Items([{"image": row, "label": 1} for row in ROWS])
    for X in (dicts, DataLoader(dicts, batch_size=7)):
        with pytest.raises(TypeError, match=r"dict of \['image', 'label'\].*key="):
            fit(X)
    np.testing.assert_array_equal(fit(StoredDataset(dicts, key="image")).mean_, fit(ROWS).mean_)


DATES = np.arange("2024-01-01", "2024-05-30", dtype="datetime64[D]")[:150]


@pytest.mark.parametrize(
    "X",
    [
        DATES[:, None],
        (DATES - DATES[0])[:, None],
        pd.DataFrame({"a": DATES, "b": np.arange(150.0)}),
        pd.DataFrame({"a": DATES}).assign(b=pd.NaT),
        pl.DataFrame({"a": [datetime.date(2024, 1, 1 + i % 28) for i in range(150)]}),
    ],
    ids=["dates", "durations", "pandas", "NaT", "polars"],
)
def test_dates_are_no_numbers(X):
    with pytest.raises(TypeError, match="dates or times"):
        fit(X)
    with pytest.raises(TypeError, match="dates or times"):
        fit(np.arange(150.0)[:, None]).transform(X)


def test_masked_values_are_not_read():
    masked = np.ma.array(ROWS, mask=ROWS > 2)
    with pytest.raises(ValueError, match="masked"):
        fit(masked)
    fit(np.ma.array(ROWS, mask=False))


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_a_missing_label_is_no_group(missing):
    groups = np.arange(150) // 3
    groups = groups.astype(float) if missing is np.nan else groups.astype(object)
    groups[5] = missing
    with pytest.raises(ValueError, match=r"'groups'.*missing"):
        DIMTransformer(4, max_epochs=1).fit(ROWS, groups=groups)


def test_arrays_that_run_backwards_are_read():
    for X in (ROWS[::-1], ROWS[:, ::-1], ROWS[:, :1][:, ::-1]):
        found, expected = (fit(x, transform_batch_size=1).transform(x) for x in (X, X.copy()))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("shape", "is_warned"),
    [((12, 256), True), ((100, 9), True), ((28, 28), False), ((20, 40), False)],
)
def test_signals_are_not_silently_images(shape, is_warned, recwarn):
    X = np.random.default_rng(0).normal(size=(30, *shape)).cumsum(-1)
    small = {"encoder_params": {"width": 8}}
    fit(X, **small)
    warned = [w for w in recwarn if issubclass(w.category, DataWarning)]
    assert bool(warned) == is_warned
    if is_warned:
        assert "channel_axis" in str(warned[0].message)
    recwarn.clear()
    fit(X, channel_axis=None, **small)
    assert not [w for w in recwarn if issubclass(w.category, DataWarning)]


def test_a_loader_that_shuffles_is_told():
    dataset = TensorDataset(torch.from_numpy(ROWS))
    with pytest.warns(DataWarning, match="shuffle"):
        fit(DataLoader(dataset, batch_size=32, shuffle=True))
    fit(DataLoader(dataset, batch_size=32))


def test_what_transform_refuses_is_written_and_scored_nowhere(tmp_path):
    dim = fit(ROWS.astype(np.float64))
    bad = ROWS.astype(np.float64).copy()
    bad[3] = 1e300
    for use in (
        dim.transform,
        dim.score_samples,
        lambda X: dim.transform_to(X, tmp_path / "f.npy"),
    ):
        with pytest.raises(ValueError, match="no finite numbers"):
            use(bad)
    assert not list(tmp_path.iterdir())
