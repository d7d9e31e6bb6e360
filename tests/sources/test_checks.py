"""X is checked as scikit-learn checks it, and a likely mistake is warned of."""

import warnings

import numpy as np
import pandas as pd
import pytest
from helpers.sources import ArraySource

from skdim import DIMTransformer
from skdim.exceptions import DataWarning
from skdim.sources import StoredSamples
from skdim.sources.checks import as_samples, warn_of_another_reading


@pytest.mark.parametrize(
    ("shape", "is_warned"),
    [((12, 256), True), ((100, 9), True), ((28, 28), False), ((20, 40), False)],
)
def test_signals_are_not_silently_images(quick, shape, is_warned, recwarn):
    X = np.random.default_rng(0).normal(size=(30, *shape)).cumsum(-1)
    X = X if is_warned else X.cumsum(-2)  # pixels are like those above and below
    quick().fit(X)
    warned = [w for w in recwarn if issubclass(w.category, DataWarning)]
    assert bool(warned) == is_warned
    if is_warned:
        assert "channel_axis" in str(warned[0].message)
    recwarn.clear()
    quick(channel_axis=None).fit(X)
    assert not [w for w in recwarn if issubclass(w.category, DataWarning)]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("n_channels", "is_smooth"), [(8, True), (8, False), (4, True)])
def test_volumes_are_not_silently_images_of_many_channels(n_channels, is_smooth, channels_last):
    X = np.random.default_rng(0).normal(size=(20, n_channels, 32, 32)).cumsum(2).cumsum(3)
    X = X.cumsum(1) if is_smooth else X
    X = np.moveaxis(X, 1, -1) if channels_last else X
    samples, layout = as_samples(X, None, "auto", False)
    assert samples.shape == (20, n_channels, 32, 32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_another_reading(samples, layout)
    axis = 3 if channels_last else 1
    assert len(caught) == (is_smooth and n_channels > 4)
    sentence = f"volumes, set channel_axis=None; if it holds images, set channel_axis={axis}"
    assert all(sentence in str(warning.message) for warning in caught)


@pytest.mark.parametrize(
    "X",
    [
        [[1.0, 2.0], [1.0]],
        np.array([[10**400, 1.0], [1.0, 2.0]], object),
        np.zeros((4, 2), [("a", "f4"), ("b", "i4")]),
    ],
    ids=["ragged", "a huge integer", "records"],
)
def test_the_error_of_what_holds_no_numbers_names_x(X):
    with pytest.raises((TypeError, ValueError), match="X must hold real numbers"):
        DIMTransformer().fit(X)


def test_numbers_beyond_float64_are_infinite_without_another_warning():
    X = np.ones((5, 3), np.longdouble) * np.array([["1", "2", "1e400"]], np.longdouble)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="X contains infinity"):
            DIMTransformer().fit(X)


def test_a_frame_of_another_byte_order_is_read_as_any_other(quick):
    X = np.random.default_rng(0).normal(size=(20, 3))
    features = quick().fit_transform(pd.DataFrame(X))
    assert np.array_equal(quick().fit_transform(pd.DataFrame(X.astype(">f8"))), features)


def test_what_is_not_in_memory_is_checked_when_it_is_read(rows):
    X = rows[0].copy()
    X[7, 3] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        as_samples(X, None, "auto", allow_nan=False)
    samples, _ = as_samples(ArraySource(X), None, "auto", allow_nan=False)
    assert isinstance(samples, StoredSamples)
    np.testing.assert_array_equal(samples[8:], X[8:])
    with pytest.raises(ValueError, match="contains NaN"):
        samples[:8]
