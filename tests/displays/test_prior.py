"""Codes beside draws of the prior."""

import numpy as np
import pytest
from helpers.displays import ROWS, SHORT

from skdim import DIMTransformer
from skdim.displays import (
    PriorDisplay,
)


@pytest.mark.parametrize(
    ("prior", "squash"),
    [
        ("uniform", lambda code: 1 / (1 + np.exp(-code))),
        ("normal", lambda code: code),
        ("sphere", lambda code: code / np.linalg.norm(code, axis=1, keepdims=True)),
    ],
)
def test_codes_are_squashed_and_drawn_with_the_prior(images, prior, squash):
    dim = DIMTransformer(prior=prior, prior_weight=0.1, **SHORT).fit(images)
    display = PriorDisplay.from_estimator(dim, images, components=[4, 0], n_bins=10)
    readout = dim.model_.readouts["code"]
    code = dim.set_params(output="code").transform(images) * readout.scale + readout.mean
    np.testing.assert_allclose(display.codes, squash(code), rtol=1e-3, atol=1e-5)
    assert display.draws.shape == (20_000, 8)
    for component, codes, draws in zip([4, 0], display.codes_, display.draws_, strict=True):
        heights, edges, _ = codes.get_data()
        assert len(heights) == 10
        counts = np.histogram(display.codes[:, component], edges)[0]
        np.testing.assert_allclose(heights * np.diff(edges) * 90, counts, atol=1e-3)
        heights, edges, _ = draws.get_data()
        assert (heights * np.diff(edges)).sum() == pytest.approx(1)
    if prior == "uniform":
        np.testing.assert_allclose(heights[1:-1], 1, atol=0.1)


@pytest.mark.parametrize(("components", "n_panels"), [(1, 1), (5, 5), (99, 8), ([7], 1)])
def test_each_component_has_a_panel(fitted, images, components, n_panels):
    display = PriorDisplay.from_estimator(fitted, images, components=components)
    assert len(display.panels_) == len(display.codes_) == len(display.draws_) == n_panels
    assert len({panel.get_ylim() for panel in display.panels_}) == 1


def test_a_prior_that_was_not_trained_is_named(of_rows, fitted, images):
    display = PriorDisplay.from_estimator(of_rows, ROWS)
    assert "No prior was trained" in display.ax_.get_legend().get_title().get_text()
    trained = PriorDisplay.from_estimator(fitted, images)
    assert trained.ax_.get_legend().get_title().get_text() == ""
