"""Numbers stay finite, near double precision, and the same every time."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.numerics import draw, offender
from sklearn.base import clone

from skdim._runtime.devices import PRECISIONS
from skdim.critics import CRITICS
from skdim.mutual_information import ESTIMATORS
from skdim.objective import DIMObjective
from skdim.priors import PRIORS


@pytest.mark.parametrize("tens", range(20))
def test_steps_of_all_choices_at_all_scales_stay_finite(tens):
    given = [draw(seed) for seed in range(10 * tens, 10 * tens + 10)]
    assert [(offender(one), one) for one in given if offender(one)] == []


def test_offender_finds_what_is_not_finite(monkeypatch):
    def overflowing(joint, marginal):
        return joint.mean() - (joint.mean() + 1000).exp()

    monkeypatch.setitem(ESTIMATORS, "jsd", overflowing)
    assert offender(draw(0)._replace(mi_estimator="jsd"))


def test_draws_cover_every_choice():
    given = [draw(seed) for seed in range(200)]
    for field, choices in (
        ("mi_estimator", ESTIMATORS),
        ("critic", CRITICS),
        ("precision", PRECISIONS),
        ("prior", PRIORS),
    ):
        assert {getattr(one, field) for one in given} == set(choices)


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("mi_estimator", ESTIMATORS)
def test_half_precision_is_near_double(mi_estimator, critic):
    """Terms to 2 % or 0.02, gradients of weights to a tenth of their length."""
    torch.manual_seed(0)
    objective = DIMObjective(
        n_code=8,
        local_shapes=[(6, 5)],
        global_weight=0.5,
        local_weight=1.0,
        prior_weight=0.0,
        mi_estimator=ESTIMATORS[mi_estimator],
        critic=CRITICS[critic],
        critic_width=32,
        n_locations=None,
        prior=PRIORS["uniform"],
        gradient_penalty=0.0,
    )
    code, local_map = 0.3 * torch.randn(2, 16, 8), torch.randn(2, 16, 6, 5)

    def run(dtype, half):
        objective.to(dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            terms = objective(
                code.to(dtype), (local_map.to(dtype),), torch.Generator().manual_seed(0)
            )
            loss = objective.loss(terms)
        gradients = torch.autograd.grad(loss, objective.critic_parameters())
        return loss.item(), torch.cat([g.flatten().double() for g in gradients])

    exact, exact_gradient = run(torch.float64, False)
    half, half_gradient = run(torch.float32, True)
    assert abs(half - exact) < 0.02 * max(1, abs(exact))
    assert (half_gradient - exact_gradient).norm() < 0.1 * exact_gradient.norm()


FITS = """
import hashlib
from sklearn.datasets import load_digits
from skdim import DIMTransformer
images = load_digits().images[:90]
for params in {params}:
    dim = DIMTransformer(**params).fit(images)
    print(hashlib.sha256(dim.transform(images).tobytes()).hexdigest())
"""
VARIANTS = [{}, {"prior_weight": 0.5, "precision": "bfloat16"}]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_fits_of_one_seed_are_bit_equal_in_every_process(digits, quick, hash_seed):
    images, dims = digits.images[:90], [quick(**variant) for variant in VARIANTS]
    features = [dim.fit(images).transform(images) for dim in dims]
    there = subprocess.run(
        [sys.executable, "-c", FITS.format(params=[dim.get_params() for dim in dims])],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert there == [hashlib.sha256(x.tobytes()).hexdigest() for x in features]


def test_a_fit_does_not_depend_on_what_was_fitted_before(quick, images, rows):
    first = quick().fit(images)
    quick(random_state=3).fit(rows[0])
    torch.rand(7)
    again = clone(first).fit(images)
    np.testing.assert_array_equal(again.transform(images), first.transform(images))
