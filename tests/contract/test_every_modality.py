"""The contract that scikit-learn's suite checks on rows, held for images and signals too."""

import inspect
import pickle
import re

import joblib
import numpy as np
import pytest
import torch
from helpers.products import cover
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skdim import DIMTransformer
from skdim.exceptions import IneffectiveParameterWarning

RNG = np.random.default_rng(0)
KINDS = {
    "rows": (RNG.normal(size=(40, 7)), "auto"),
    "grey images": (RNG.normal(size=(40, 9, 8)), "auto"),
    "colour images": (RNG.normal(size=(40, 12, 11, 3)), "auto"),
    "signals": (RNG.normal(size=(40, 2, 30)), 1),
}


@pytest.fixture(params=KINDS)
def kind(request):
    X, channel_axis = KINDS[request.param]
    settings = {"max_epochs": 1, "batch_size": 16, "random_state": 0, "device": "cpu"}
    settings["encoder_params"] = {"width": 16, "n_hidden": 64}  # the contract knows no width
    return X.astype(np.float32), DIMTransformer(4, channel_axis=channel_axis, **settings)


def test_constructor_only_remembers(kind):
    _, dim = kind
    assert set(vars(dim)) == set(dim.get_params())
    for name, value in clone(dim).get_params().items():
        assert value == getattr(dim, name)


def test_signature_and_docstring_list_the_parameters_in_one_order():
    signature = list(inspect.signature(DIMTransformer).parameters)
    documented = re.split(r"\nAttributes\n-+\n", inspect.getdoc(DIMTransformer))[0]
    documented = re.split(r"\nParameters\n-+\n", documented)[1]
    names = re.findall(r"^(\w+(?:, \w+)*) : ", documented, re.MULTILINE)
    assert [name for line in names for name in line.split(", ")] == signature
    assert set(DIMTransformer().get_params()) == set(signature)


def test_fit_changes_no_parameter_and_no_input(kind):
    X, dim = kind
    before, copy = dim.get_params(), X.copy()
    dim.fit(X)
    assert dim.get_params() == before
    np.testing.assert_array_equal(X, copy)


def test_fit_returns_itself_ignores_y_and_repeats(kind):
    X, dim = kind
    first = dim.fit(X).transform(X)
    np.testing.assert_array_equal(dim.fit(X, np.arange(40)).transform(X), first)
    np.testing.assert_array_equal(clone(dim).fit_transform(X), first)
    wide = X.astype(np.float64)  # numbers of Python have 64 bits
    first = dim.fit(wide).transform(wide)
    np.testing.assert_array_equal(dim.fit(X.tolist()).transform(X.tolist()), first)


def test_transform_changes_nothing(kind):
    X, dim = kind
    dim.fit(X)
    before = attributes(dim)
    dim.transform(X)
    dim.score(X)
    assert attributes(dim) == before


def attributes(dim):
    """Return those of a fitted transformer and of its model."""
    return {**vars(dim), **vars(dim.model_)}


def test_subsets_and_orders_of_samples_have_the_same_features(kind):
    X, dim = kind
    features = dim.fit(X).transform(X)
    order = RNG.permutation(len(X))
    np.testing.assert_array_equal(dim.transform(X[order]), features[order])
    one_by_one = np.concatenate([dim.transform(x[None]) for x in X])
    np.testing.assert_array_equal(one_by_one, features)


LAYOUTS = ["fortran", "read-only", "memmap", "strided", "tensor"]


@pytest.mark.parametrize(("kind", "layout"), cover(KINDS, LAYOUTS), indirect=["kind"])
def test_layouts_in_memory_give_the_same_features(kind, layout, tmp_path):
    X, dim = kind
    expected = clone(dim).fit(X).transform(X)
    if layout == "fortran":
        X = np.asfortranarray(X)
    elif layout == "read-only":
        X.setflags(write=False)
    elif layout == "memmap":
        joblib.dump(X, tmp_path / "X")
        X = joblib.load(tmp_path / "X", mmap_mode="r")
    elif layout == "strided":
        X = np.repeat(X, 2, axis=0)[::2]
    else:
        X = torch.from_numpy(X)
    features = dim.fit(X).transform(X)
    assert isinstance(features, np.ndarray)
    np.testing.assert_array_equal(features, expected)


DTYPES = ["float16", "float32", "float64", "int64", "uint8", "bool"]


@pytest.mark.parametrize(("kind", "dtype"), cover(KINDS, DTYPES), indirect=["kind"])
def test_every_numeric_type_gives_floats(kind, dtype):
    X, dim = kind
    X = (5 * X.clip(0)).astype(dtype)
    features = dim.fit(X).transform(X)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_bfloat16_tensors_are_understood(kind):
    X, dim = kind
    tensor = torch.from_numpy(X).bfloat16()
    expected = clone(dim).fit(tensor.float()).transform(tensor.float())
    np.testing.assert_array_equal(dim.fit(tensor).transform(tensor), expected)


def test_names_and_frames(kind):
    X, dim = kind
    frame = dim.set_output(transform="pandas").fit_transform(X)
    assert (
        list(frame.columns)
        == list(dim.get_feature_names_out())
        == [f"dimtransformer{i}" for i in range(4)]
    )


def test_pickles_are_equal_and_clones_are_not_fitted(kind):
    X, dim = kind
    features = dim.fit(X).transform(X)
    loaded = pickle.loads(pickle.dumps(dim))
    np.testing.assert_array_equal(loaded.transform(X), features)
    assert loaded.score(X) == dim.score(X)
    with pytest.raises(NotFittedError):
        clone(dim).transform(X)


@pytest.mark.parametrize("n", [2, 3])
def test_two_samples_are_enough(kind, n):
    X, dim = kind
    with pytest.warns(IneffectiveParameterWarning, match=f"with {n} samples"):
        dim.fit(X[:n])
    assert np.isfinite(dim.transform(X)).all()


def test_the_html_repr_is_harmless(kind):
    X, dim = kind
    assert "DIMTransformer" in dim._repr_html_()
    dim.fit(X)
    before = attributes(dim)
    assert "DIMTransformer" in dim._repr_html_()
    assert attributes(dim) == before
