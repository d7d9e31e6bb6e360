"""Later samples in other units, or unlike those of fit where fit saw nothing, are told."""

import warnings

import numpy as np
import pytest
import torch

from skdim.exceptions import DataWarning
from skdim.sources.comparison import Comparison
from skdim.sources.standardization import Standardization, channel_statistics

RNG = np.random.default_rng(0)
SHAPES = [(60, 5), (60, 1), (40, 2, 30), (30, 1, 8, 8), (30, 3, 6, 7), (20, 1, 4, 4, 4)]


def said(fitted, later, *, allow_nan=False, n_batches=2):
    """What a comparison of later samples says, which come in a few batches."""
    mean, scale, is_complete = channel_statistics(fitted)
    standardization = Standardization(
        mean, scale, torch.device("cpu"), is_complete if allow_nan else None
    )
    comparison = Comparison(standardization, len(later), allow_nan)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batches = [comparison(batch) for batch in np.array_split(later, n_batches)]
        comparison.warn()
    assert all(warning.category is DataWarning for warning in caught)
    expected = standardization(later)
    torch.testing.assert_close(torch.cat(batches), expected, rtol=0, atol=0, equal_nan=True)
    return [str(warning.message) for warning in caught]


def samples(shape, dtype=np.float64):
    return RNG.gamma(2.0, 20.0, shape).clip(0, 255).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_samples_like_those_of_fit_are_not_told(shape, dtype):
    for n in (1, 10, 200):
        assert not said(samples(shape, dtype), samples((n, *shape[1:]), dtype))


UNITS = {
    "0 to 1": lambda X: X / 255,
    "from 0 to 1": lambda X: X * 255,
    "thousandths": lambda X: X * 1000,
    "thousands": lambda X: X / 1000,
    "shifted": lambda X: X + 300,
    "standardised": lambda X: (X - X.mean()) / X.std(),
    "negative": lambda X: -X * 4,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("change", UNITS.values(), ids=UNITS)
def test_other_units_are_told_once(change, shape):
    (sentence,) = said(samples(shape), change(samples(shape)))
    assert "other units" in sentence


def test_other_units_of_few_channels_or_few_samples_are_not_told():
    later = samples((60, 5))
    later[:, :2] *= 1000
    assert not said(samples((60, 5)), later)
    assert not said(samples((60, 5)), samples((9, 5)) * 1000)


@pytest.mark.parametrize("n", [1, 9])
@pytest.mark.parametrize("shape", [(60, 2, 80), (60, 3, 8, 9)])
def test_a_single_sample_of_0_to_1_among_0_to_255_is_told(shape, n):
    fitted, later = samples(shape), samples((n, *shape[1:]))
    for fit, use in ((fitted, later / 255), (fitted / 255, later)):
        (sentence,) = said(fit, use, n_batches=1)
        assert "other units" in sentence
    assert not said(fitted.astype(np.uint8), (later / 255).astype(np.uint8), n_batches=1)  # dark


@pytest.mark.parametrize("value", [0.0, 7.5, -1e9])
@pytest.mark.parametrize("shape", [(60, 5), (40, 2, 30), (30, 3, 6, 7)])
def test_a_channel_that_was_constant_and_is_not_is_named(shape, value):
    fitted, later = samples(shape), samples((1, *shape[1:]))
    fitted[:, 1] = value
    (sentence,) = said(fitted, later, n_batches=1)
    assert "channel 1 (from 0)" in sentence
    later[:, 1] = value
    assert not said(fitted, later.astype(np.float32), n_batches=1)  # 1e9 + 64 in float32


@pytest.mark.parametrize(("n_changed", "is_told"), [(0, False), (2, False), (3, True), (20, True)])
def test_what_is_rare_is_not_told(n_changed, is_told):
    fitted, later = samples((60, 5)), samples((20, 5))
    fitted[:, 1] = 7
    later[:, 1] = 7
    later[:n_changed, 1] = 8
    assert bool(said(fitted, later)) == is_told


def test_missing_values_that_fit_did_not_see_are_named():
    fitted, later = samples((60, 6)), samples((5, 6))
    fitted[3, :3] = later[:, :2] = np.nan  # as in fit
    assert not said(fitted, later, allow_nan=True)
    later[2, 2:] = np.nan
    (sentence,) = said(fitted, later, allow_nan=True)
    assert "missing values in channel 3, 4, 5 (from 0)" in sentence
    fitted[:, 4] = np.nan
    later[:] = 1
    (sentence,) = said(fitted, later, allow_nan=True)
    assert "channel 4 (from 0)" in sentence
