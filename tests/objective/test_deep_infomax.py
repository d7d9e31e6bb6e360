"""Which parameters each term trains, and which pairs each bound sees."""

import re

import numpy as np
import pytest
import torch
from helpers.objectives import objective_config

from skdim.critics import CRITICS, PublishedSeparableCritic, SeparableCritic, is_separable
from skdim.mutual_information import ESTIMATORS
from skdim.objective import DIMObjective
from skdim.optimization import backward_and_step
from skdim.priors import Prior, as_prior, uniform

N_CODE, N_LOCATIONS, N_CHANNELS = 4, 6, 3


def objective(**params):
    torch.manual_seed(0)
    return DIMObjective(objective_config(**params), N_CODE, [(N_LOCATIONS, N_CHANNELS)])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


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
def test_a_term_of_weight_zero_does_not_exist(name):
    only = objective(**{f"{name}_weight": 1.0})
    assert set(only(*encoding(), seeded())) == {name}
    parts = {parameter.split(".")[0] for parameter, _ in only.named_parameters()}
    expected = {"global": "global_critic", "local": "local_critics", "prior": "discriminator"}
    assert parts == {expected[name]}


def test_loss_is_the_weighted_sum_with_bounds_raised_and_prior_lowered():
    criterion = objective(global_weight=0.5, local_weight=2.0, prior_weight=0.1)
    terms = criterion(*encoding(), seeded())
    expected = -0.5 * terms["global"] - 2.0 * terms["local"] + 0.1 * terms["prior"]
    torch.testing.assert_close(criterion.loss(terms), expected)


def test_codes_of_each_view_are_scored_against_the_other_view():
    criterion = objective(local_weight=1.0).eval()
    code, (local_map,) = encoding()
    critic = criterion.local_critics[0]
    crossed = [
        criterion.bound(critic, code[[a]], local_map[[b]], seeded()) for a, b in ((0, 1), (1, 0))
    ]
    torch.testing.assert_close(criterion(code, (local_map,), seeded())["local"], sum(crossed) / 2)


def test_codes_of_a_single_view_are_scored_against_that_view():
    criterion = objective(local_weight=1.0).eval()
    code, local_maps = encoding(n_views=1)
    expected = criterion.bound(criterion.local_critics[0], code, local_maps[0], seeded())
    torch.testing.assert_close(criterion(code, local_maps, seeded())["local"], expected)


def test_the_global_term_is_the_local_term_with_one_location():
    criterion = objective(global_weight=1.0).eval()
    code, (local_map,) = encoding()
    flat = local_map.reshape(2, 5, 1, -1).flip(0)
    expected = criterion.bound(criterion.global_critic, code, flat, seeded())
    torch.testing.assert_close(criterion(code, (local_map,), seeded())["global"], expected)


@pytest.mark.parametrize("gradient_penalty", [0.0, 1.0])
def test_each_adversarial_step_trains_its_side_only(gradient_penalty):
    prior = Prior(uniform, torch.sigmoid, gradient_penalty)
    criterion = objective(local_weight=1.0, prior_weight=1.0, prior=prior)
    encoder = torch.nn.Linear(7, N_CODE)
    x = torch.randn(10, 7)
    _, local_maps = encoding()
    parameters = [*encoder.parameters(), *criterion.critic_parameters()]
    optimizer = torch.optim.Adam(parameters)
    adversary = torch.optim.Adam(criterion.discriminator.parameters())
    generator = torch.Generator().manual_seed(0)

    code = encoder(x).unflatten(0, (2, 5))
    others = state(encoder), state(criterion.local_critics)
    discriminator = state(criterion.discriminator)
    backward_and_step(adversary, criterion.discriminator_term(code, generator))
    assert unchanged(others[0], encoder)
    assert unchanged(others[1], criterion.local_critics)
    assert not unchanged(discriminator, criterion.discriminator)
    assert all(p.grad is None for p in encoder.parameters())

    discriminator = state(criterion.discriminator)
    criterion.discriminator.zero_grad(set_to_none=True)
    backward_and_step(optimizer, criterion.loss(criterion(code, local_maps, generator)))
    assert unchanged(discriminator, criterion.discriminator)
    assert all(p.grad is None for p in criterion.discriminator.parameters())
    assert not unchanged(others[0], encoder)
    assert not unchanged(others[1], criterion.local_critics)


@pytest.mark.parametrize("critic", CRITICS.values())
@pytest.mark.parametrize("term", ["local", "global"])
def test_samples_of_a_group_are_never_compared(critic, term):
    """The MI estimator gets the score of each pair, which here is the number of the pair."""
    groups = torch.tensor([0, 1, 0, 2, 2])
    seen = []

    def spy(joint, marginal):
        seen.append((joint, marginal))
        return joint.mean() - marginal.mean()

    class NumberingCritic(torch.nn.Module):
        """Scores 100 * (sample of the code) + (sample of the local vector)."""

        def __init__(self, n_code, n_channels, width):
            super().__init__()

        def forward(self, code, local_map):
            return 100 * code[..., :1] + local_map[..., 0]

        if is_separable(critic):

            def embed(self, code, local_map):
                ones = torch.ones_like(local_map[..., :1])
                return [
                    (100 * code[..., :1], ones),
                    (torch.ones_like(code[..., :1]), local_map[..., :1]),
                ]

    criterion = objective(**{f"{term}_weight": 1.0}, critic=NumberingCritic, mi_estimator=spy)
    numbers = torch.arange(5.0)
    code = numbers[None, :, None].expand(2, 5, N_CODE)
    local_map = numbers[None, :, None, None].expand(2, 5, N_LOCATIONS, N_CHANNELS)
    criterion(code, (local_map,), seeded(), groups)
    ((joint, marginal),) = seen
    assert (joint.long() // 100 == joint.long() % 100).all()
    first, second = marginal.long() // 100, marginal.long() % 100
    assert (groups[first] != groups[second]).all()


def loops_over_pairs(mi_estimator, scores, groups):
    """All scores of one view at once, by loops; negatives repeat to have one number for all."""
    n, _, n_locations = scores.shape
    joint, marginal = [], []
    for i in range(n):
        allowed = [j for j in range(n) if (j != i if groups is None else groups[j] != groups[i])]
        negatives = [allowed[turn % len(allowed)] for turn in range(n - 1)]
        joint.append(torch.stack([scores[i, i, k] for k in range(n_locations)]))
        marginal.append(torch.stack([scores[i, j] for j in negatives]))
    return mi_estimator(torch.stack(joint), torch.stack(marginal))


@pytest.mark.parametrize("groups", [None, torch.tensor([0, 1, 0, 2, 2])], ids=["alone", "groups"])
@pytest.mark.parametrize("critic", [SeparableCritic, PublishedSeparableCritic])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_function_that_does_not_say_how_it_reduces_gets_all_scores(name, critic, groups):
    """Value and gradients are those of loops over pairs, by a critic that scores single pairs."""
    shapes = []

    def custom(joint, marginal):
        shapes.append((tuple(joint.shape), tuple(marginal.shape)))
        return ESTIMATORS[name](joint, marginal)

    criterion = objective(local_weight=1.0, critic=critic, mi_estimator=custom).double().eval()
    scored_by = criterion.local_critics[0]
    code, (local_map,) = encoding()
    code, local_map = code.double().requires_grad_(), local_map.double().requires_grad_()
    bound = criterion.bound(scored_by, code, local_map, seeded(), groups)
    assert shapes == [((2, 5, N_LOCATIONS), (2, 5, 4, N_LOCATIONS))]
    scores = [
        torch.stack([scored_by(code[[v]], local_map[[v]].roll(-t, 1))[0] for t in range(5)], 1)
        for v in range(2)
    ]  # entry (i, t) holds the scores of code i with sample i + t
    turn = (torch.arange(5) - torch.arange(5)[:, None]) % 5
    rows = torch.arange(5)[:, None]
    expected = sum(loops_over_pairs(custom, view[rows, turn], groups) for view in scores) / 2
    torch.testing.assert_close(bound, expected, rtol=0, atol=1e-10)
    leaves = [code, local_map, *scored_by.parameters()]
    both = (torch.autograd.grad(value, leaves) for value in (bound, expected))
    for ours, plain in zip(*both, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-9)


def test_locations_are_sampled_for_the_local_term_only():
    seen = []
    criterion = objective(
        local_weight=1.0,
        global_weight=1.0,
        n_locations=2,
        mi_estimator=lambda joint, marginal: seen.append(joint.shape) or joint.mean(),
    )
    criterion(*encoding(), seeded())
    assert sorted(seen) == [(2, 5, 1), (2, 5, 2)]


def both_terms(criterion):
    """Compute the terms of the encoder, and that of the discriminator."""
    code, local_maps = encoding()
    criterion(code, local_maps, seeded())
    criterion.discriminator_term(code, seeded())


@pytest.mark.parametrize(
    ("params", "result"),
    [
        ({"mi_estimator": lambda joint, marginal: joint.mean(1)}, "(2, 6) of"),
        ({"mi_estimator": lambda joint, marginal: 1.0}, "float"),
        ({"mi_estimator": lambda joint, marginal: None}, "NoneType"),
        ({"prior": as_prior(lambda shape, generator: torch.rand(shape)[:, :2])}, "(10, 2) of"),
        ({"prior": as_prior(lambda shape, generator: np.zeros(shape))}, "ndarray"),
        ({"prior": as_prior(lambda shape, generator: torch.zeros(shape).long())}, "of torch.int64"),
        ({"prior": as_prior(Prior("normal", squash=lambda code: code[:1]))}, "(1, 4) of"),
    ],
)
def test_a_custom_function_that_returns_something_else_is_named(params, result):
    name = "squash" if "(1, 4)" in result else next(iter(params))
    weight = "local_weight" if name == "mi_estimator" else "prior_weight"
    criterion = objective(**params, **{weight: 1.0})
    with pytest.raises(ValueError, match=re.escape(result)) as caught:
        both_terms(criterion)
    assert f"The {name!r} parameter must return a tensor of floats of shape" in str(caught.value)


@pytest.mark.parametrize("name", ["mi_estimator", "prior"])
def test_a_custom_function_of_other_arguments_is_named(name):
    function = {
        "mi_estimator": lambda scores: scores.mean(),
        "prior": as_prior(lambda shape: torch.rand(shape)),
    }
    criterion = objective(**{name: function[name]}, local_weight=1.0, prior_weight=1.0)
    with pytest.raises((TypeError, ValueError), match=f"The '{name}' parameter must"):
        both_terms(criterion)


def test_a_bound_without_gradients_is_named():
    criterion = objective(local_weight=1.0, mi_estimator=lambda joint, marginal: torch.tensor(1.0))
    with pytest.raises(ValueError, match="'mi_estimator' parameter must return a bound with grad"):
        criterion(*encoding(), seeded())


def test_a_prior_may_draw_doubles():
    def prior(shape, generator):
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    criterion = objective(prior_weight=1.0, prior=as_prior(prior))
    criterion.discriminator_term(encoding()[0].float(), seeded()).backward()


@pytest.mark.parametrize(
    ("critic", "sentence"),
    [
        (lambda n_code, n_channels, width: None, "must return a module of torch. Got NoneType"),
        (lambda n_code: None, "must be a function of the lengths"),
    ],
)
def test_what_builds_no_critic_is_named(critic, sentence):
    with pytest.raises(TypeError, match=f"The 'critic' parameter {sentence}"):
        objective(local_weight=1.0, critic=critic)


def test_a_critic_that_embeds_no_pairs_is_named():
    class Wrong(torch.nn.Module):
        def __init__(self, n_code, n_channels, width):
            super().__init__()

        def embed(self, code, local_map):
            return code, local_map

    with pytest.raises(TypeError, match=r"'embed' that returns a list of pairs .* Got a tuple"):
        objective(local_weight=1.0, critic=Wrong)(*encoding(), seeded())


def test_a_critic_that_returns_other_scores_is_named():
    class Wrong(torch.nn.Module):
        def __init__(self, n_code, n_channels, width):
            super().__init__()

        def forward(self, code, local_map):
            return code.sum(-1)

    with pytest.raises(ValueError, match="'critic' parameter must return a tensor of floats of"):
        objective(local_weight=1.0, critic=Wrong)(*encoding(), seeded())
