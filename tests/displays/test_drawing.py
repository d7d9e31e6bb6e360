"""Samples as pictures: in order, in one range, whatever their layout."""

import numpy as np
import pytest
from helpers.displays import (
    FROM_ESTIMATOR,
    ROWS,
    SHORT,
    SIGNALS,
    extent_of,
    innermost,
    lay_out,
    noise,
)

from skdim import DIMTransformer
from skdim.displays import (
    CodeDisplay,
    LocalScoreDisplay,
    LossCurveDisplay,
    NearestNeighborsDisplay,
    PriorDisplay,
)
from skdim.displays.drawing import as_pictures

COLORED = np.random.default_rng(0).integers(0, 256, (40, 12, 10, 3), dtype=np.uint8)
LAYOUTS = {
    "channels last": ({}, COLORED),
    "channels first": ({}, COLORED.transpose(0, 3, 1, 2)),
    "flat": ({"sample_shape": (12, 10, 3)}, COLORED.reshape(40, -1)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_are_the_same_whatever_the_layout(layout):
    params, X = LAYOUTS[layout]
    dim = DIMTransformer(**SHORT, **params).fit(X)
    display = NearestNeighborsDisplay.from_estimator(dim, X, queries=X[3:5], n_neighbors=2)
    left, right = display.thumbnails_[:, 0]
    low, high = display.neighbors.min(), display.neighbors.max()
    np.testing.assert_allclose(left.get_array(), (COLORED[3] - float(low)) / (high - float(low)))
    west, east, south, north = right.get_extent()
    assert (north - south) / (east - west) == pytest.approx(12 / 10)
    assert LocalScoreDisplay.from_estimator(dim, X).pictures_[3].get_array().shape == (12, 10, 3)
    assert CodeDisplay.from_estimator(dim, X).thumbnails_[0].get_array().shape == (12, 10, 3)


@pytest.mark.parametrize("shape", [(3, 1, 5, 4), (3, 3, 5, 4), (3, 7, 5, 4), (3, 1, 6, 5, 4)])
def test_pictures_fill_the_range_from_0_to_1_in_the_order_of_the_values(shape):
    samples = noise(*shape) * 100 - 50
    pictures = as_pictures(samples)
    assert pictures.shape == (3, 5, 4, 3) if shape[1] == 3 else (3, 5, 4)
    assert (pictures.min(), pictures.max()) == (0, 1)
    np.testing.assert_allclose(as_pictures(2 * samples + 7), pictures, atol=1e-5)
    middle = samples[:, :, 3] if len(shape) == 5 else samples
    values = np.moveaxis(middle, 1, -1) if shape[1] == 3 else middle.mean(1, dtype=float)
    np.testing.assert_array_equal(pictures.ravel().argsort(), values.ravel().argsort())


def test_columns_of_a_table_have_a_scale_each():
    rows = noise(6, 4) * [1, 10, 100, 0] + 7
    rows[2, 1] = np.nan
    heights = as_pictures(rows)
    np.testing.assert_array_equal(np.nanmin(heights, 0), 0)
    np.testing.assert_array_equal(np.nanmax(heights, 0), [1, 1, 1, 0])
    np.testing.assert_allclose(as_pictures(3 * rows - 1), heights)


def test_pictures_of_one_value_are_black():
    assert (as_pictures(np.full((2, 1, 4, 4), 9)) == 0).all()


@pytest.mark.parametrize("display", [NearestNeighborsDisplay, LocalScoreDisplay])
@pytest.mark.parametrize("figsize", [(12, 4), (4, 12)])
def test_pictures_are_close_together_whatever_the_shape_of_the_ax(display, figsize, fitted, images):
    from matplotlib.figure import Figure

    drawn = FROM_ESTIMATOR[display](fitted, images, Figure(figsize).subplots())
    lay_out(drawn)
    left, right, bottom, top = np.array([extent_of(p) for p in innermost(drawn.ax_)]).T
    side = (right - left)[0]
    np.testing.assert_allclose([right - left, top - bottom], side)
    for low in (left, bottom):
        steps = np.diff(np.unique(low.round(3)))
        assert steps.max() < 1.5 * side


@pytest.mark.parametrize("display", [NearestNeighborsDisplay, CodeDisplay, LocalScoreDisplay])
def test_the_ends_of_shorter_signals_are_not_drawn(display):
    X = SIGNALS.copy()
    X[::2, :, 20:] = np.nan
    dim = DIMTransformer(channel_axis=1, allow_nan=True, **SHORT).fit(X)
    drawn = FROM_ESTIMATOR[display](dim, X, None)
    if display is LocalScoreDisplay:
        curves = [line.get_xydata() for line in drawn.panels_[0, 0].lines]
    else:
        curves = [c for lines in drawn.thumbnails_ for c in np.ravel(lines)[0].get_segments()]
    points = {np.isfinite(curve).all(1).sum() for curve in curves}
    assert points <= {20, 32}
    assert 20 in points


DISPLAYS = {
    "loss": lambda dim, X, **p: LossCurveDisplay.from_estimator(dim, **p),
    "neighbors": NearestNeighborsDisplay.from_estimator,
    "code": CodeDisplay.from_estimator,
    "local": LocalScoreDisplay.from_estimator,
    "prior": PriorDisplay.from_estimator,
}


@pytest.mark.parametrize("name", ["neighbors", "local"])
def test_rows_of_a_table_cannot_be_shown_as_pictures(name, of_rows):
    with pytest.raises(ValueError, match=r"X must hold images.* Got samples of shape \(5,\)"):
        DISPLAYS[name](of_rows, ROWS)


def test_volumes_have_thumbnails_and_no_heat_map():
    X = noise(10, 8, 9, 10)
    dim = DIMTransformer(channel_axis=None, transform_batch_size=10, **SHORT).fit(X)
    display = NearestNeighborsDisplay.from_estimator(dim, X, n_queries=2)
    assert display.thumbnails_[0, 0].get_array().shape == (9, 10)
    with pytest.raises(ValueError, match=r"images or signals.*\(1, 8, 9, 10\)"):
        LocalScoreDisplay.from_estimator(dim, X)
