"""Views of samples: the same for pictures, signals, volumes and tables, before and after a fit."""

import numpy as np
import pytest
from helpers.displays import ROWS, SHORT, SIGNALS, noise

from skdim import DIMTransformer
from skdim.displays import ViewsDisplay

KINDS = {
    "images": ({}, noise(30, 8, 8)),
    "photographs": ({}, noise(30, 3, 32, 32)),
    "signals": ({"channel_axis": 1}, SIGNALS),
    "volumes": ({"channel_axis": None, "transform_batch_size": 10}, noise(10, 8, 9, 10)),
    "rows": ({}, ROWS),
}


def twice(batch, generator):
    """A view that is known: values are twice as far from the mean."""
    return 2 * batch


@pytest.mark.parametrize("kind", KINDS)
def test_views_are_those_of_the_fit_in_the_units_of_x(kind):
    params, X = KINDS[kind]
    dim = DIMTransformer(augment=twice, **params, **SHORT)
    display = ViewsDisplay.from_estimator(dim, 5 * X + 100, n_samples=4, n_views=3)
    samples = display.samples.astype(float)
    np.testing.assert_allclose(samples[0].ravel(), (5 * X + 100)[0].ravel(), rtol=1e-6)
    all_samples = (5 * X + 100).reshape(len(X), *samples.shape[1:])
    axes = (0, *range(2, samples.ndim))
    mean = all_samples.mean(axes, dtype=float).reshape(-1, *[1] * (samples.ndim - 2))
    for view in range(3):
        np.testing.assert_allclose(display.views[:, view] - mean, 2 * (samples - mean), atol=1e-2)
    fitted = ViewsDisplay.from_estimator(dim.fit(5 * X + 100), 5 * X + 100, n_samples=4, n_views=3)
    np.testing.assert_allclose(fitted.views, display.views, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_default_views_are_the_same_before_and_after_a_fit(kind):
    params, X = KINDS[kind]
    dim = DIMTransformer(**params, **SHORT)
    before = ViewsDisplay.from_estimator(dim, X, n_samples=2)
    assert not dim.__sklearn_is_fitted__()
    after = ViewsDisplay.from_estimator(dim.fit(X), X, n_samples=2)
    np.testing.assert_allclose(after.views, before.views, rtol=1e-5, atol=1e-6)
    assert before.thumbnails_.shape == (2, 8)
    other = ViewsDisplay.from_estimator(dim, X, n_samples=2, random_state=1)
    assert not np.array_equal(other.views, after.views)


def test_a_constant_column_stays_constant_in_views():
    X = np.column_stack([ROWS, np.full(len(ROWS), 7.0)])
    display = ViewsDisplay.from_estimator(DIMTransformer(), X)
    np.testing.assert_array_equal(display.views[..., -1], 7)


def test_colours_of_views_are_those_of_the_samples(images):
    display = ViewsDisplay.from_estimator(DIMTransformer(augment=twice), images)
    low, high = display.samples.min(), display.samples.max()
    for position, artist in np.ndenumerate(display.thumbnails_):
        row, column = position
        drawn = display.samples[row] if column == 0 else display.views[row, column - 1]
        expected = np.clip((drawn[0] - low) / (high - low), 0, 1)
        np.testing.assert_allclose(artist.get_array(), expected, atol=1e-6)


def test_there_must_be_views(images):
    with pytest.raises(ValueError, match=r"'augment' .* Got None"):
        ViewsDisplay.from_estimator(DIMTransformer(augment=None), images)
    with pytest.raises(ValueError, match="'n_views' parameter"):
        ViewsDisplay.from_estimator(DIMTransformer(n_views=-1), images)
