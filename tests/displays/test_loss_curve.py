"""Loss curves: every term of the history, in its unit."""

import numpy as np
import pytest
from helpers.displays import SHORT, noise
from torch import nn

from skdim import DIMTransformer
from skdim.critics import SeparableCritic
from skdim.displays import (
    LossCurveDisplay,
)


def test_every_term_of_the_history_is_a_curve(images):
    weights = {"global_weight": 0.5, "prior_weight": 0.1, "coordinate_weight": 0.1}
    dim = DIMTransformer(early_stopping=True, **weights, **{**SHORT, "max_epochs": 3}).fit(images)
    display = LossCurveDisplay.from_estimator(dim, learning_rate=True)
    hidden = {"epoch", "seconds", "samples_per_second"}
    assert set(display.lines_) == set(dim.history_[0]) - hidden
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        recorded = np.array([epoch[name] for epoch in dim.history_])
        np.testing.assert_allclose(line.get_ydata() + display.chance.get(name, 0), recorded)
    together = [sorted(panel.get_legend_handles_labels()[1]) for panel in display.panels_]
    assert sorted(together) == [
        ["coordinates"],
        ["discriminator", "prior"],
        ["global", "local"],
        ["learning_rate"],
        ["loss"],
        ["validation_score"],
    ]


class EqualScores(SeparableCritic):
    """Gives all pairs the same score: codes say nothing."""

    def embed(self, code, local_map):
        return [(0 * queries, keys) for queries, keys in super().embed(code, local_map)]


class EqualScoresOfPairs(nn.Module):
    """The same, for a critic that scores one negative of each local vector."""

    def __init__(self, n_code, n_channels, width):
        super().__init__()

    def forward(self, code, local_map):
        return 0 * (code.sum(-1, keepdim=True) + local_map.sum(-1))


SETTINGS = {
    "two views": {},
    "one view": {"augment": None},
    "three views, other batches": {"n_views": 3, "batch_size": 40},
    "crop grids": {"n_crops": 8},
    "few locations": {"n_locations": 5},
    "global term": {"global_weight": 1.0},
    "pairs": {"critic": EqualScoresOfPairs},
    "two samples a batch": {"batch_size": 2},
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("mi_estimator", ["infonce", "jsd", "dv"])
def test_if_codes_say_nothing_bounds_are_at_0(settings, mi_estimator, images):
    params = {"critic": EqualScores, "mi_estimator": mi_estimator, **SHORT, **SETTINGS[settings]}
    display = LossCurveDisplay.from_estimator(DIMTransformer(**params).fit(images[:50]))
    for name in display.chance:
        np.testing.assert_allclose(display.lines_[name].get_ydata(), 0, atol=1e-5)
    (line,) = display.chance_lines_
    assert set(line.get_ydata()) == {0}


def test_views_that_are_smaller_than_samples_have_fewer_locations():
    params = {"critic": EqualScores, **SHORT}
    dim = DIMTransformer(**params).fit(noise(20, 3, 32, 32))
    display = LossCurveDisplay.from_estimator(dim)
    np.testing.assert_allclose(display.lines_["local"].get_ydata(), 0, atol=1e-5)


def test_terms_are_drawn_on_request_one_panel_on_the_ax_itself(fitted):
    display = LossCurveDisplay.from_estimator(fitted, terms=["local"])
    assert list(display.lines_) == ["local"]
    assert display.panels_.tolist() == [display.ax_]
    assert display.ax_.get_ylabel() == "nats"


def test_the_loss_of_a_single_term_is_not_drawn_twice(of_rows, fitted):
    assert list(LossCurveDisplay.from_estimator(of_rows).lines_) == ["local"]
    assert list(LossCurveDisplay.from_estimator(of_rows, terms=["loss"]).lines_) == ["loss"]
    assert "loss" in LossCurveDisplay.from_estimator(fitted).lines_


def test_panels_have_one_axis_of_epochs(fitted):
    display = LossCurveDisplay.from_estimator(fitted)
    display.panels_[0].set_xlim(1, 2)
    assert {panel.get_xlim() for panel in display.panels_} == {(1, 2)}
    assert [panel.get_xlabel() for panel in display.panels_] == ["", "", "epoch"]


def test_a_custom_bound_has_no_unit(images):
    def bound(joint, marginal):
        return joint.mean() - marginal.square().mean()

    dim = DIMTransformer(mi_estimator=bound, **SHORT).fit(images)
    display = LossCurveDisplay.from_estimator(dim, terms=["local"])
    assert display.ax_.get_ylabel() == ""
    assert not display.chance_lines_  # nobody knows its chance
    np.testing.assert_array_equal(display.lines_["local"].get_ydata(), [dim.history_[0]["local"]])
