"""Who learns from what: cooperation of encoder and critics, a game only about the prior."""

import pytest
import torch

from skdim.critics import SeparableCritic
from skdim.mutual_information import jsd
from skdim.net import descend
from skdim.objective import DIMObjective
from skdim.priors import PRIORS, Discriminator, discriminator_loss, encoder_loss

N_CODE, N_LOCATIONS, N_CHANNELS = 4, 6, 3


def objective(**weights):
    torch.manual_seed(0)
    return DIMObjective(
        n_code=N_CODE,
        local_shapes=[(N_LOCATIONS, N_CHANNELS)],
        **{"global_weight": 0, "local_weight": 0, "prior_weight": 0, **weights},
        mi_estimator=jsd,
        critic=SeparableCritic,
        critic_width=8,
        prior=PRIORS["uniform"],
    )


def encoding(n_views=2, n=5):
    generator = torch.Generator().manual_seed(1)
    code = torch.randn(n_views, n, N_CODE, generator=generator)
    local_map = torch.randn(n_views, n, N_LOCATIONS, N_CHANNELS, generator=generator)
    return code, (local_map,)


def state(module):
    return [tensor.clone() for tensor in module.parameters()]


def unchanged(before, module):
    return all(a.equal(b) for a, b in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize("name", ["global", "local", "prior"])
def test_a_term_without_weight_does_not_exist(name):
    only = objective(**{f"{name}_weight": 1.0})
    assert set(only(*encoding())) == {name}
    parts = {parameter.split(".")[0] for parameter, _ in only.named_parameters()}
    expected = {"global": "global_critic", "local": "local_critics", "prior": "discriminator"}
    assert parts == {expected[name]}


def test_loss_is_the_weighted_sum_with_bounds_raised_and_prior_lowered():
    criterion = objective(global_weight=0.5, local_weight=2.0, prior_weight=0.1)
    terms = criterion(*encoding())
    expected = -0.5 * terms["global"] - 2.0 * terms["local"] + 0.1 * terms["prior"]
    torch.testing.assert_close(criterion.loss(terms), expected)


def test_code_of_one_view_meets_locals_of_the_other_both_ways_round():
    criterion = objective(local_weight=1.0).eval()
    code, (local_map,) = encoding()
    critic = criterion.local_critics[0]
    crossed = [criterion.bound(critic, code[[a]], local_map[[b]]) for a, b in ((0, 1), (1, 0))]
    torch.testing.assert_close(criterion(code, (local_map,))["local"], sum(crossed) / 2)


def test_one_view_meets_its_own_locals():
    criterion = objective(local_weight=1.0).eval()
    code, local_maps = encoding(n_views=1)
    own = criterion.bound(criterion.local_critics[0], code, local_maps[0])
    torch.testing.assert_close(criterion(code, local_maps)["local"], own)


def test_the_global_term_is_the_local_term_with_one_location():
    criterion = objective(global_weight=1.0).eval()
    code, (local_map,) = encoding()
    flat = local_map.reshape(2, 5, 1, -1).flip(0)
    expected = criterion.bound(criterion.global_critic, code, flat)
    torch.testing.assert_close(criterion(code, (local_map,))["global"], expected)


def test_neither_step_of_the_game_moves_the_other_player():
    criterion = objective(local_weight=1.0, prior_weight=1.0)
    encoder = torch.nn.Linear(7, N_CODE)
    x = torch.randn(10, 7)
    _, local_maps = encoding()
    learners = [*encoder.parameters(), *criterion.critic_parameters()]
    players = torch.optim.Adam(learners), torch.optim.Adam(criterion.discriminator.parameters())
    generator = torch.Generator().manual_seed(0)

    code = encoder(x).unflatten(0, (2, 5))
    others = state(encoder), state(criterion.local_critics)
    adversary = state(criterion.discriminator)
    descend(players[1], criterion.adversary(code, generator))
    assert unchanged(others[0], encoder)
    assert unchanged(others[1], criterion.local_critics)
    assert not unchanged(adversary, criterion.discriminator)
    assert all(p.grad is None for p in encoder.parameters())

    adversary = state(criterion.discriminator)
    criterion.discriminator.zero_grad(set_to_none=True)
    descend(players[0], criterion.loss(criterion(code, local_maps)))
    assert unchanged(adversary, criterion.discriminator)
    assert all(p.grad is None for p in criterion.discriminator.parameters())
    assert not unchanged(others[0], encoder)
    assert not unchanged(others[1], criterion.local_critics)


def test_encoder_and_discriminator_pull_in_opposite_directions():
    fake = torch.zeros(3, requires_grad=True)
    (against,) = torch.autograd.grad(discriminator_loss(torch.zeros(3), fake), fake)
    (towards,) = torch.autograd.grad(encoder_loss(fake), fake)
    assert (against > 0).all()
    assert (towards < 0).all()


def test_discriminator_is_that_of_the_paper():
    assert sum(p.numel() for p in Discriminator(64).parameters()) == 265_401


def test_uniform_prior_squashes_into_its_support():
    prior = PRIORS["uniform"]
    draw = prior.sample((1000, 2), torch.Generator().manual_seed(0))
    squashed = prior.squash(torch.linspace(-30, 30, 100))
    for values in (draw, squashed):
        assert values.min() >= 0
        assert values.max() <= 1
    assert draw.mean().item() == pytest.approx(0.5, abs=0.05)
