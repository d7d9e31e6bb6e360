"""Mean and scale of each channel, and samples that share memory where they can."""

import numpy as np
import pytest
import torch

from skdim.sources.standardization import (
    Standardization,
    as_tensor,
    channel_statistics,
    check_not_constant,
)

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)


def standardization_of(X, *, fills=False):
    mean, scale, is_complete = channel_statistics(X)
    return Standardization(mean, scale, CPU, is_complete if fills else None)


SIGNALS = RNG.normal(size=(60, 2, 40)).cumsum(2).astype(np.float32)
for signal, length in zip(SIGNALS, [40, 24, 9, 4, *RNG.integers(4, 40, 56)], strict=True):
    signal[:, length:] = np.nan
ROWS = RNG.normal(size=(80, 5))
ROWS[RNG.random(ROWS.shape) < 0.2] = np.nan


@pytest.mark.parametrize("shape", [(10_000, 3), (9000, 2, 5), (30, 1, 400, 600)])
def test_statistics_of_many_chunks_are_those_of_all_samples(shape):
    X = 5 + RNG.normal(size=shape)
    axes = (0, *range(2, X.ndim))
    mean, scale, _ = channel_statistics(X)
    np.testing.assert_allclose(mean, X.mean(axes), rtol=1e-12)
    np.testing.assert_allclose(scale, X.std(axes), rtol=1e-12)


@pytest.mark.parametrize(("X", "axes"), [(SIGNALS, (0, 2)), (ROWS, 0)], ids=["signals", "rows"])
def test_statistics_are_those_of_what_is_there(X, axes):
    mean, scale, _ = channel_statistics(X)
    np.testing.assert_allclose(mean, np.nanmean(X, axes, dtype=float))
    np.testing.assert_allclose(scale, np.nanstd(X, axes, dtype=float))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_a_batch_is_standardised_by_the_plain_formula(dtype, axes):
    X = RNG.integers(0, 200, (30, 2, 4, 4)).astype(dtype).transpose(axes)
    mean, scale = X.mean((0, 2, 3), dtype=np.float64), X.std((0, 2, 3), dtype=np.float64)
    standardized = Standardization(mean, scale, CPU)(X)
    assert standardized.dtype == torch.float32
    wide = (-1, 1, 1)
    expected = (X - mean.reshape(wide)) / scale.reshape(wide)
    np.testing.assert_allclose(standardized.numpy(), expected, rtol=0, atol=1e-5)


def test_doubles_keep_digits_that_floats_do_not_have():
    X = 1.7e9 + np.arange(10_000.0)[:, None]  # seconds; floats of that size are 128 apart
    standardization = standardization_of(X)
    steps = standardization(X)[:, 0].double().diff()
    np.testing.assert_allclose(steps, 1 / X.std(), rtol=0.01)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("sides", [(), (5,), (3, 4)])
@pytest.mark.parametrize("value", [0, 7])
def test_what_was_constant_is_0_whatever_it_holds_later(dtype, sides, value):
    X = RNG.integers(0, 200, (40, 3, *sides)).astype(dtype)
    X[:, 1] = value
    standardization = standardization_of(X)
    assert standardization.mean[1] == value
    assert np.isinf(standardization.scale).tolist() == [False, True, False]
    X[:, 1] = RNG.integers(0, 200, X[:, 1].shape)
    assert not standardization(X)[:, 1].any()


def test_what_was_missing_is_missing_whatever_it_holds_later():
    X = np.column_stack([ROWS, np.full(len(ROWS), np.nan)])
    standardization = standardization_of(X)
    X[:, 5] = RNG.normal(size=len(X))
    standardized = standardization(X).numpy()
    assert np.isnan(standardized[:, 5]).all()
    np.testing.assert_array_equal(np.isnan(standardized[:, :5]), np.isnan(ROWS))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_was_never_missing_is_filled_by_the_mean(dtype):
    X = np.column_stack([ROWS[:, :2], RNG.normal(size=(len(ROWS), 2))]).astype(dtype)
    standardization = standardization_of(X, fills=True)
    assert standardization.is_complete.tolist() == [False, False, True, True]
    expected = standardization(X)
    X[3:5, 2:] = np.nan
    expected[3:5, 2:] = 0
    torch.testing.assert_close(standardization(X), expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("offset", "step"),
    [
        (1.7e18, 1000),
        (1e8, 1e-6),
        (0, 1e-300),
        (-1e-300, 1e-301),
        (1e290, 1e280),
    ],
)
def test_values_that_float64_tells_apart_keep_their_scale(offset, step):
    X = offset + step * RNG.integers(0, 1000, (500, 1)).astype(float)
    _, scale, _ = channel_statistics(X)
    power = 2.0 ** -np.frexp(np.ptp(X))[1]
    np.testing.assert_allclose(scale, ((X - X[0]) * power).std(0) / power, rtol=1e-3)


def test_rounding_errors_are_constant():
    X = np.column_stack([RNG.normal(size=50), 0.1 + np.spacing(0.1) * RNG.integers(0, 4, 50)])
    assert np.isinf(channel_statistics(X).scale).tolist() == [False, True]


def test_samples_that_are_all_the_same_are_refused():
    X = np.column_stack([RNG.normal(size=50), np.full(50, 0.1)])
    with pytest.raises(ValueError, match="must hold samples that differ"):
        check_not_constant(X[:, 1:])
    check_not_constant(X)


def test_arrays_that_torch_can_hold_are_shared_and_others_copied():
    X = RNG.normal(size=(30, 2, 4, 4)).astype(np.float32)
    backwards, read_only = X[:, ::-1], X.copy()
    read_only.flags.writeable = False
    for array, is_shared in ((X, True), (X.transpose(0, 2, 3, 1), True), (backwards, False)):
        assert np.shares_memory(as_tensor(array).numpy(), array) == is_shared
        np.testing.assert_array_equal(as_tensor(array).numpy(), array)
    assert not np.shares_memory(as_tensor(read_only).numpy(), read_only)


def test_arrays_that_run_backwards_are_read(quick, rows):
    X, _ = rows
    for backwards in (X[::-1], X[:, ::-1], X[:, :1][:, ::-1]):
        features, expected = (
            quick(transform_batch_size=1).fit(x).transform(x) for x in (backwards, backwards.copy())
        )
        np.testing.assert_array_equal(features, expected)


@pytest.mark.parametrize(
    "X",
    [
        np.r_[np.zeros(87, np.float32), np.float32(1.4e-45)].reshape(8, 11),
        RNG.choice([-3.4e38, 3.4e38, 0.0], (8, 11)).astype(np.float32),
        RNG.choice([-1.7e308, 1.7e308, 0.0], (8, 11)),
    ],
    ids=["the smallest float32", "the largest float32", "the largest float64"],
)
def test_numbers_that_cannot_be_standardised_are_refused(quick, X):
    with pytest.raises(ValueError, match="X must hold values"):
        quick().fit(X)


def test_standardisation_takes_offsets_and_scales_out(quick, rows):
    X, _ = rows
    plain = quick().fit(X.astype(np.float64))
    moved = quick().fit(X * 3e3 + 1.7e9 * np.ones(9))  # time stamps: beyond float32
    np.testing.assert_allclose(
        moved.transform(X * 3e3 + 1.7e9 * np.ones(9)), plain.transform(X), atol=0.05
    )


def test_constant_columns_are_harmless(quick, rows):
    X, _ = rows
    X = np.column_stack([X, np.full(len(X), 0.1)])
    assert np.isfinite(quick().fit_transform(X)).all()
