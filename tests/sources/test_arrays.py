"""The same numbers give the same features, whatever type and container hold them."""

import datetime
from functools import lru_cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from helpers.products import cover
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skdim import DIMClassifier, DIMTransformer
from skdim.evaluation import few_labels_scorer
from skdim.sources import StoredArray, as_source
from skdim.sources.arrays import as_numpy, chunk_slices, widen_exactly, working_dtype

# Minutes of a day in seconds since 1970: which float32 cannot distinguish.
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


def fit(X, groups=None, **params):
    settings = {"n_components": 4, "max_epochs": 1, "random_state": 0, "device": "cpu"}
    settings["encoder_params"] = {"width": 8, "n_hidden": 32}
    return DIMTransformer(**{**settings, **params}).fit(X, groups=groups)


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
    ours = features(dim, HOLDERS[holder](small))
    np.testing.assert_allclose(ours, features(expected, small.astype(np.float64)), atol=1e-4)


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


DATES = np.arange("2024-01-01", "2024-05-30", dtype="datetime64[D]")[:150]


@pytest.mark.parametrize(
    "X",
    [
        DATES[:, None],
        (DATES - DATES[0])[:, None],
        pd.DataFrame({"a": DATES, "b": np.arange(150.0)}),
        pd.DataFrame({"a": DATES}).assign(b=pd.NaT),
        pl.DataFrame({"a": [datetime.date(2024, 1, 1 + i % 28) for i in range(150)]}),
        pd.DataFrame({"a": pd.Categorical(DATES)}),
        pd.DataFrame({"a": DATES.astype(object), "b": 1.0}),
        [[date] for date in DATES],
        tuple((date - DATES[0],) for date in DATES),
        [[1.0]] * 149 + [[DATES[0]]],
        [DATES[i : i + 2] for i in range(20)],
        [[datetime.timedelta(i)] for i in range(20)],
        np.array([[DATES[0], 1.0]] * 9, object),
    ],
    ids=lambda X: type(X).__name__,
)
def test_dates_are_no_numbers(X):
    with pytest.raises(TypeError, match="dates or times"):
        fit(X)
    with pytest.raises(TypeError, match="dates or times"):
        fit(np.arange(150.0)[:, None]).transform(X)


MASKED = np.ma.array(ROWS, mask=ROWS > 2)


@pytest.mark.parametrize(
    "X",
    [
        lambda: MASKED,
        lambda: list(MASKED),
        lambda: [[row] for row in MASKED],
        lambda: [*ROWS[:-1], MASKED[MASKED.mask.any(1)][0]],
        lambda: [[1.0, np.ma.masked]] * 9,
        lambda: iter(MASKED),
        lambda: StoredArray(MASKED),
        lambda: pytest.importorskip("dask.array").from_array(MASKED, chunks=(40, 4)),
    ],
    ids=["array", "rows", "nested rows", "one row", "a cell", "a stream", "stored", "dask"],
)
def test_masked_values_are_not_read(X):
    with pytest.raises(ValueError, match="masked"):
        fit(X(), allow_nan=True)


CLASSES = np.arange(150) % 2


@pytest.mark.parametrize("hold", [lambda values: values, list], ids=["array", "list"])
@pytest.mark.parametrize(
    "use",
    [
        lambda y: fit(ROWS, groups=y),
        lambda y: DIMClassifier().fit(ROWS, y),
        lambda y: DIMClassifier().fit(ROWS, CLASSES, sample_weight=y),
    ],
    ids=["groups", "y", "sample_weight"],
)
def test_masked_labels_and_weights_are_not_read(use, hold):
    with pytest.raises(ValueError, match=r"(groups'|y|weight') must hold a .* Got masked values"):
        use(hold(np.ma.array(CLASSES + 1, mask=np.arange(150) < 9)))


TEXT = ["1_0", "2"] * 40


@pytest.mark.parametrize(
    "X",
    [
        np.array(TEXT)[:, None],
        np.array(TEXT, "S")[:, None],
        np.array(TEXT, object)[:, None],
        [[text] for text in TEXT],
        [[1.0, "2"]] * 9,
        pd.DataFrame({"a": TEXT}),
        pd.DataFrame({"a": pd.array(TEXT, dtype="string"), "b": 1.0}),
        pd.DataFrame({"a": pd.Categorical(TEXT)}),
        pl.DataFrame({"a": TEXT}),
        pl.DataFrame({"a": TEXT}, schema={"a": pl.Categorical}),
    ],
    ids=["U", "S", "object", "list", "a cell", "frame", "string", "category", "polars", "polars c"],
)
def test_text_is_not_read_as_numbers(X):
    with pytest.raises(ValueError, match=r"X must hold real numbers\. Got (the text )?b?'[12]"):
        fit(X)


def test_categories_that_are_numbers_are_read():
    fit(pd.DataFrame({"a": pd.Categorical([1, 2] * 20), "b": np.arange(40.0)}))


def test_pictures_with_a_palette_are_not_read_as_numbers_of_colours():
    Image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 12, 3), np.uint8)
    pictures = [Image.fromarray(image) for image in pixels]
    np.testing.assert_array_equal(np.asarray(as_numpy(pictures)), pixels)
    for X in ([*pictures, pictures[0].quantize(16)], [image.quantize(16) for image in pictures]):
        with pytest.raises(ValueError, match=r"palette: pass image\.convert\('RGB'\)"):
            fit(X)


@pytest.mark.parametrize(
    "labels",
    [
        ["a", np.nan] * 75,
        ["a", None] * 75,
        np.array(["a", None] * 75, object),
        pd.Series(["a", pd.NA] * 75, dtype="string"),
        pl.Series(["a", None] * 75),
    ],
    ids=["nan", "None", "array", "pandas", "polars"],
)
@pytest.mark.parametrize(
    "use",
    [
        lambda y: fit(ROWS, groups=y),
        lambda y: DIMClassifier().fit(ROWS, y),
        lambda y: few_labels_scorer(None, ROWS, y),
    ],
    ids=["groups", "y", "few_labels_scorer"],
)
def test_a_missing_label_is_no_label(use, labels):
    with pytest.raises(ValueError, match=r"must hold a label everywhere: .* 75 of 150 samples"):
        use(labels)


def test_weights_are_no_dates():
    with pytest.raises(TypeError, match=r"'sample_weight' must hold numbers\. Got dates"):
        DIMClassifier().fit(ROWS, CLASSES, sample_weight=DATES)


def test_an_unmasked_array_is_read():
    fit(np.ma.array(ROWS, mask=False))


@pytest.mark.parametrize("view", [torch._neg_view, lambda t: t.to(torch.complex64).conj().imag])
def test_views_that_numpy_does_not_know_are_read(view):
    X = view(torch.ones(3, 2))
    assert np.array_equal(as_numpy(X), X.clone().resolve_neg().numpy())


def test_floats_of_eight_bits_are_read():
    assert np.array_equal(as_numpy(torch.ones(3, 2).to(torch.float8_e4m3fn)), np.ones((3, 2)))


@pytest.mark.parametrize(
    "X",
    [
        torch.ones(3, 2).to_sparse(),
        torch.ones(3, 2, device="meta"),
        torch.nested.nested_tensor([torch.ones(5), torch.ones(6)], layout=torch.jagged),
    ],
    ids=["sparse", "meta", "nested"],
)
def test_a_tensor_without_stored_numbers_is_refused(X):
    with pytest.raises(TypeError, match="X must be a dense tensor"):
        as_numpy(X)


@pytest.mark.parametrize(
    "X", [[[1, 2], [3, 4]], [[0.5, 2**24]], [[True, False]], [[2**63, 1]], [[1, 2.5]]]
)
def test_a_list_is_read_as_the_array_of_it(X):
    array = np.array(X)
    assert widen_exactly(X).dtype == working_dtype(array.dtype)
    assert widen_exactly(X).tolist() == widen_exactly(tuple(map(tuple, X))).tolist() == X
    words = [["a", "b"]]
    assert widen_exactly(words) is words


@pytest.mark.parametrize("dtype", ["float64", "int64", "bool", "uint8", "float32"])
def test_a_list_of_rows_keeps_their_type(dtype):
    rows = list(SMALL.astype(dtype))
    expected = working_dtype(np.dtype(dtype))
    assert widen_exactly(rows).dtype == expected
    assert widen_exactly([torch.from_numpy(row) for row in rows]).dtype == expected


TIMES = np.c_[SMALL[:, :2], SECONDS[:150]].astype(float)  # many fit into float32, not all


@pytest.mark.parametrize("hold", [list, tuple], ids=["list", "tuple"])
@pytest.mark.parametrize("method", ["transform", "predict_proba", "partial_fit"])
def test_a_sample_in_a_list_is_what_it_is_in_an_array(method, hold):
    sample = [3, 4, 1_700_000_000]
    dim = fit(TIMES)
    if method == "partial_fit":
        pair = [sample, [5.0, 6.0, 1_700_000_128.0]]
        first, second = (clone(dim).partial_fit(X) for X in (hold(map(hold, pair)), np.array(pair)))
        np.testing.assert_array_equal(first.mean_, second.mean_)
        assert np.array_equal(first.transform(np.array(pair)), second.transform(np.array(pair)))
        return
    model = dim
    if method == "predict_proba":
        model = DIMClassifier(FrozenEstimator(dim), max_epochs=1, random_state=0)
        model.fit(TIMES, TIMES[:, 0] > 50)
    features = getattr(model, method)
    expected = features(np.array([sample]))
    assert np.array_equal(features(hold([hold(sample)])), expected)
    np.testing.assert_allclose(
        features(hold([hold(sample), hold(TIMES[1].tolist())]))[:1], expected, atol=1e-6
    )
    # A float32 array holds the number, too; the mean is not rounded.
    np.testing.assert_allclose(features(np.array([sample], "f4")), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(10_000, 3), (7, 10**7), (5, 0), (0, 4)])
def test_chunks_are_all_samples_in_order(shape):
    chunks = list(chunk_slices(shape))
    assert [i for chunk in chunks for i in range(chunk.start, chunk.stop)] == list(range(shape[0]))
    assert all(chunk.stop - chunk.start <= 4096 for chunk in chunks)
