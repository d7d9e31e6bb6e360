"""Numbers stay finite, and near those in double precision."""

import pytest
import torch
from helpers.numerics import draw, offender
from helpers.objectives import objective_config

from skdim._runtime.devices import PRECISIONS
from skdim.critics import CRITICS
from skdim.mutual_information import ESTIMATORS
from skdim.objective import DIMObjective
from skdim.priors import PRIORS


@pytest.mark.parametrize("tens", range(20))
def test_steps_of_all_choices_at_all_scales_stay_finite(tens):
    drawn = [draw(seed) for seed in range(10 * tens, 10 * tens + 10)]
    assert [(offender(one), one) for one in drawn if offender(one)] == []


def test_offender_finds_what_is_not_finite(monkeypatch):
    def overflowing(joint, marginal):
        return joint.mean() - (joint.mean() + 1000).exp()

    monkeypatch.setitem(ESTIMATORS, "jsd", overflowing)
    assert offender(draw(0)._replace(mi_estimator="jsd"))


def test_draws_cover_every_choice():
    drawn = [draw(seed) for seed in range(200)]
    for field, choices in (
        ("mi_estimator", ESTIMATORS),
        ("critic", CRITICS),
        ("precision", PRECISIONS),
        ("prior", PRIORS),
    ):
        assert {getattr(one, field) for one in drawn} == set(choices)


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("mi_estimator", ESTIMATORS)
def test_half_precision_is_near_double(mi_estimator, critic):
    """Terms to 2 % or 0.02, gradients of weights to a tenth of their length."""
    torch.manual_seed(0)
    config = objective_config(
        global_weight=0.5,
        local_weight=1.0,
        mi_estimator=ESTIMATORS[mi_estimator],
        critic=CRITICS[critic],
        critic_width=32,
    )
    objective = DIMObjective(config, 8, [(6, 5)])
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
