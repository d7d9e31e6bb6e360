"""Loss curves: every term of the history, in its unit."""

import numpy as np
from helpers.displays import SHORT

from skdim import DIMTransformer
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
        np.testing.assert_array_equal(line.get_ydata(), [epoch[name] for epoch in dim.history_])
    together = [sorted(line.get_label() for line in panel.lines) for panel in display.panels_]
    assert sorted(together) == [
        ["coordinates"],
        ["discriminator", "prior"],
        ["global", "local"],
        ["learning_rate"],
        ["loss"],
        ["validation_score"],
    ]


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
    assert LossCurveDisplay.from_estimator(dim, terms=["local"]).ax_.get_ylabel() == ""
