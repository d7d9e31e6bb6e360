"""A small part of the campaign, and faults that campaigns have found in whole fits."""

import time
import warnings

import numpy as np
import pytest
import torch
from helpers import campaign
from helpers.campaign import PROPERTIES, VALUES_OF, Case, Fault, Sketch, attempt, examine
from hypothesis import HealthCheck, Phase, given, settings

from skdim import DIMTransformer

pytestmark = pytest.mark.filterwarnings("ignore")  # cases check their warnings themselves
# How many cases of each property the suite tries: they take a few seconds.
N_EXAMPLES = {
    "fit, any X": 10,
    "fit, extreme X": 10,
    "fit, strange X": 60,
    "fit, odd parameters": 25,
    "fit, good parameters": 5,
    "fit, any X and parameters": 5,
    "layouts": 15,
    "transform, any X": 40,
    "transform, extreme X": 10,
    "calls in any order": 5,
    "constant in fit": 6,
    "constant in fit, values missing": 3,
    "other units": 10,
    "exported graphs": 3,
    "labels": 6,
}


def test_the_suite_tries_every_property():
    assert N_EXAMPLES.keys() == PROPERTIES.keys()


@pytest.mark.parametrize("name", N_EXAMPLES)
def test_every_case_gives_a_right_result_or_a_clear_error(name):
    law, cases, _ = PROPERTIES[name]

    @settings(
        max_examples=N_EXAMPLES[name],
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def hold(case):
        examine(law, case)

    hold()


def test_the_campaign_draws_every_parameter():
    assert set(VALUES_OF) == set(DIMTransformer().get_params())
    assert all(len(values) > 3 for values in VALUES_OF.values())


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: [][1], "undocumented IndexError"),
        (lambda: torch.zeros(2) @ torch.zeros(3), "undocumented RuntimeError"),
        (lambda: int("x"), "names nothing"),
        (lambda: np.float64(1) / np.float64(0), "warns: RuntimeWarning"),
        (lambda: warnings.warn("from torch", stacklevel=1), "warns: UserWarning"),
    ],
)
def test_an_unclear_error_is_a_fault(call, reason):
    with pytest.raises(Fault, match=reason):
        attempt(call)


def test_a_feature_that_is_no_number_is_a_fault(monkeypatch):
    read = DIMTransformer.transform
    monkeypatch.setattr(DIMTransformer, "transform", lambda self, X: read(self, X) * np.nan)
    with pytest.raises(Fault, match="features are finite"):
        examine(campaign.check_fit, Case("rows", Sketch((6, 3))))


def test_a_call_that_hangs_is_a_fault():
    def hang():
        with campaign.within(seconds=1, gibibytes=4):
            time.sleep(60)

    with pytest.raises(Fault, match="hangs"):
        hang()


@pytest.mark.parametrize(
    ("modality", "sketch", "params"),
    [
        ("channels last", Sketch((3, 10, 11, 3)), {"transform_batch_size": 3}),
        ("rows", Sketch((3, 5), seed=1), {"encoder_params": {"width": 4, "n_hidden": 4}}),
        ("flat", Sketch((5, 72), "denormal in float64", seed=1), {}),
    ],
    ids=["batches of three", "layers of four units", "constant units"],
)
def test_small_batches_layers_and_values_keep_every_law(modality, sketch, params):
    examine(campaign.check_fit, Case(modality, sketch, params))
