"""What carried nothing in fit carries nothing later, in every modality, output and type of X."""

import warnings

import numpy as np
import pytest
from helpers.products import cover
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skdim import DIMClassifier, DIMTransformer
from skdim._model.readout import OUTPUTS
from skdim.exceptions import DataWarning

RNG = np.random.default_rng(0)
SAMPLES = {"rows": (6,), "signals": (3, 30), "images": (3, 16, 16), "volumes": (2, 8, 8, 8)}
SMALL = {"width": 8, "n_hidden": 32}
LATER = {"one": 1.0, "large": 1e4, "anything": None}


def small(**params):
    defaults = {"n_components": 4, "max_epochs": 2, "batch_size": 16, "random_state": 0}
    # Large batches of volumes are slow, even if most of them is padding.
    further = {"transform_batch_size": 32, "channel_axis": 1, "encoder_params": SMALL}
    return DIMTransformer(**{**defaults, **further, **params})


def draw(name, n, dtype):
    return RNG.integers(0, 200, (n, *SAMPLES[name])).astype(dtype)


def with_channel(X, value):
    X = X.copy()
    X[:, 1] = RNG.integers(0, 99, X[:, 1].shape) if value is None else value
    return X


@pytest.fixture(scope="module")
def fitted(request):
    name, dtype, constant = KINDS[request.param]
    axis = "auto" if name == "rows" else 1
    dim = small(channel_axis=axis, allow_nan=bool(np.isnan(constant)))
    return name, dtype, constant, dim.fit(with_channel(draw(name, 40, dtype), constant))


KINDS = {
    "rows of doubles": ("rows", "float64", 7),
    "rows of floats": ("rows", "float32", 0),
    "rows with missing values": ("rows", "float64", np.nan),
    "floats with missing values": ("rows", "float32", np.nan),
    "signals": ("signals", "float64", 0),
    "images of bytes": ("images", "uint8", 7),
    "images of floats": ("images", "float32", 0),
    "volumes": ("volumes", "float32", 7),
}


@pytest.mark.parametrize(("fitted", "output"), cover(KINDS, OUTPUTS), indirect=["fitted"])
def test_features_do_not_depend_on_what_was_constant(fitted, output):
    name, dtype, constant, dim = fitted
    dim.set_params(output=output)
    X = with_channel(draw(name, 20, dtype), constant)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = dim.transform(X)
    for value in LATER.values():
        if dtype == "uint8" and value == 1e4:
            continue
        with pytest.warns(DataWarning, match=r"values in channel 1 \(from 0\)") as told:
            features = dim.transform(with_channel(X, value))
        np.testing.assert_array_equal(features, expected)
        assert len(told) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_cell_that_was_never_missing_is_the_mean_if_it_is(dtype):
    X = draw("rows", 40, dtype)
    X[::4, 0] = np.nan
    dim = small(channel_axis="auto", allow_nan=True, output="hidden").fit(X)
    later, filled = X[:5].copy(), X[:5].copy()
    later[3, 2], filled[3, 2] = np.nan, dim.mean_[2]
    with pytest.warns(DataWarning, match=r"missing values in channel 2 \(from 0\)"):
        features = dim.transform(later)
    np.testing.assert_allclose(features, dim.transform(filled), atol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DIMClassifier(small(channel_axis="auto"), max_epochs=2, random_state=0),
        lambda: make_pipeline(small(channel_axis="auto"), LogisticRegression(max_iter=1000)),
    ],
    ids=["classifier", "pipeline"],
)
def test_probabilities_do_not_depend_on_what_was_constant(make):
    X = with_channel(draw("rows", 60, "float64"), 7)
    model = make().fit(X, X[:, 0] > 100)
    with pytest.warns(DataWarning):
        probabilities = model.predict_proba(with_channel(X, None))
    np.testing.assert_array_equal(probabilities, model.predict_proba(X))


def test_a_unit_that_was_constant_in_fit_is_0_later():
    """A pixel may be constant though its channel is not; so may a unit."""
    X = draw("images", 40, "float32")
    X[:, :, :8] = 5
    dim = small(output="hidden").fit(X)
    is_constant = np.isinf(dim.model_.readouts["local"].scale)
    assert is_constant.any()
    dim.set_params(output="local")
    assert not dim.transform(draw("images", 10, "float32"))[:, is_constant].any()
