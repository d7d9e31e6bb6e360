"""Optimisers and schedules: what they promise, by laws and by known values."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from skdim import DIMTransformer
from skdim.optimization import (
    OPTIMIZERS,
    SCHEDULES,
    Muon,
    backward_and_step,
    learning_rate_factor,
    load_state,
    orthogonalize,
)


@pytest.mark.parametrize("shape", [(8, 8), (5, 40), (40, 5), (1, 9), (96, 864)])
def test_orthogonalize_keeps_directions_and_evens_out_their_strength(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    left, strengths, right = torch.linalg.svd(matrix, full_matrices=False)
    inside = left.T @ orthogonalize(matrix) @ right.T
    kept = strengths > 0.05 * strengths.max()
    assert (inside.diagonal()[kept] - 1).abs().max() < 0.4
    assert (inside - inside.diagonal().diag()).abs().max() < 1e-8


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_orthogonal_steps_do_not_depend_on_the_scale_of_the_gradient(factor):
    matrix = torch.randn(6, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scaled = orthogonalize(factor * matrix)
    torch.testing.assert_close(scaled, orthogonalize(matrix), rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", [(8, 8), (5, 40), (40, 5), (96, 864)])
def test_orthogonalize_in_bfloat16_is_the_same_to_its_rounding(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    exact, rounded = orthogonalize(matrix), orthogonalize(matrix, torch.bfloat16)
    assert rounded.dtype == torch.bfloat16
    # Each of 15 products rounds to 8 bits; a wrong step would turn the rows.
    assert (exact - rounded.float()).norm() < 0.05 * exact.norm()


def test_filters_keep_their_type_whatever_the_precision_of_their_steps():
    net = network().float()
    before = net[0].weight.detach().clone()
    optimizer = Muon(net.parameters(), lr=0.01, filter_precision=torch.bfloat16)
    loss = net(torch.ones(4, 2, 5, 5)).square().mean()
    backward_and_step(optimizer, loss)
    assert net[0].weight.dtype == optimizer.state[net[0].weight]["exp_avg"].dtype == torch.float32
    assert not net[0].weight.equal(before)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_filters_are_orthogonalised_in_the_precision_of_training(precision, monkeypatch):
    seen = set()

    def spy(matrix, precision=None):
        seen.add(precision or matrix.dtype)
        return orthogonalize(matrix, precision)

    monkeypatch.setattr("skdim.optimization.orthogonalize", spy)
    images = np.random.default_rng(0).normal(size=(8, 8, 8))
    DIMTransformer(max_epochs=1, precision=precision, random_state=0).fit(images)
    assert seen == {getattr(torch, precision)}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 6, 3), nn.GELU(), nn.Flatten(), nn.Linear(54, 3)).double()


def steps(net, optimizer, n):
    x = torch.randn(16, 2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for _ in range(n):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()


def test_muon_is_adamw_where_there_are_no_filters():
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Flatten(), nn.Linear(50, 3)).double()
    theirs = copy.deepcopy(ours)
    steps(ours, Muon(ours.parameters(), lr=0.01), 5)
    steps(theirs, torch.optim.AdamW(theirs.parameters(), lr=0.01), 5)
    assert ours[1].weight.equal(theirs[1].weight)


def test_the_first_step_of_muon_is_the_orthogonal_gradient():
    net = network()
    before = net[0].weight.detach().clone()
    optimizer = Muon(net.parameters(), lr=0.01, weight_decay=0.0)
    steps(net, optimizer, 1)
    twin = network()
    steps(twin, torch.optim.SGD(twin.parameters(), lr=1.0), 1)
    gradient = (before - twin[0].weight).flatten(1)
    expected = -0.1 * orthogonalize(gradient)
    torch.testing.assert_close((net[0].weight - before).flatten(1), expected)


def test_muon_goes_on_from_its_saved_state():
    whole, halves = network(), network()
    steps(whole, Muon(whole.parameters()), 6)
    first = Muon(halves.parameters())
    steps(halves, first, 3)
    second = Muon(halves.parameters())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    steps(halves, second, 3)
    for a, b in zip(whole.parameters(), halves.parameters(), strict=True):
        assert a.equal(b)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_downhill(name):
    net = network()
    x = torch.randn(16, 2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    before = net(x).square().mean()
    steps(net, OPTIMIZERS[name](net.parameters(), lr=1e-3), 20)
    assert net(x).square().mean() < before


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_factors_of_at_most_one(name):
    factors = [SCHEDULES[name](i / 50) for i in range(50)]
    assert all(0 < factor <= 1 for factor in factors)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_factors(name):
    factors = [SCHEDULES[name](i / 1000) for i in range(1001)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert max(factors) == pytest.approx(1, abs=1e-3)


def test_warmup_cosine_rises_then_falls_to_zero():
    schedule = SCHEDULES["warmup_cosine"]
    assert 0 < schedule(0) < schedule(0.05) < schedule(0.1) > schedule(0.5) > schedule(0.9)
    assert math.isclose(schedule(1.0), 0, abs_tol=1e-12)


@pytest.mark.parametrize("clip_norm", [None, 0.5, 100.0])
def test_long_gradients_are_shortened_and_short_ones_left(clip_norm):
    start = torch.tensor([3.0, 4.0])
    weights = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([weights], lr=1.0)
    loss = weights.square().sum() / 2  # its gradient is the weights: of length 5
    backward_and_step(optimizer, loss, clip_norm)
    length = min(5.0, clip_norm or 5.0)
    torch.testing.assert_close(weights.detach(), start * (1 - length / 5))


@pytest.mark.parametrize("value", [None, "fast", -0.1, float("nan"), float("inf"), 1j, [1.0]])
def test_a_schedule_that_returns_no_factor_is_named(value):
    with pytest.raises(ValueError, match="'lr_schedule' parameter must return a finite number"):
        learning_rate_factor(lambda progress: value, 0.5)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5), True])
def test_a_schedule_may_return_any_number(value):
    assert learning_rate_factor(lambda progress: value, 0.5) == float(value)


def test_a_schedule_of_other_arguments_is_named():
    with pytest.raises(TypeError, match="'lr_schedule' parameter must be a function of the fin"):
        learning_rate_factor(lambda: 1.0, 0.5)


@pytest.mark.parametrize("betas", [(0.9,), (), (0.9, 0.99, 0.999), None, 0.9, {"a": 1}, "ab"])
def test_betas_are_a_pair(betas):
    for name in ("muon", "adamw", "adam"):
        with pytest.raises(ValueError, match=r"'optimizer_params'.*two numbers"):
            DIMTransformer(2, optimizer=name, optimizer_params={"betas": betas}).fit(np.eye(9))


CHOICES = {
    **{name: (name, {}) for name in OPTIMIZERS},
    "amsgrad": ("adamw", {"amsgrad": True}),
    "momentum": ("sgd", {"momentum": 0.9}),
    "fused": ("adam", {"fused": True}),
}


def trained(choice, **further):
    """A network, its optimiser after a step, and the state of the optimiser."""
    torch.manual_seed(0)
    net, (name, params) = network().float(), CHOICES[choice]
    optimizer = OPTIMIZERS[name](net.parameters(), lr=1e-3, **{**params, **further})
    backward_and_step(optimizer, net(torch.ones(4, 2, 5, 5)).square().mean())
    return net, optimizer, copy.deepcopy(optimizer.state_dict())


@pytest.mark.parametrize("choice", CHOICES)
def test_an_optimizer_continues_with_the_state_of_another(choice):
    net, optimizer, state = trained(choice)
    twin, other, _ = trained(choice)
    load_state(other, state)
    for one, its in ((net, optimizer), (twin, other)):
        backward_and_step(its, one(torch.ones(4, 2, 5, 5)).square().mean())
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        assert a.equal(b)


def unfit_states(state):
    """States that an optimiser of these weights cannot have."""
    numbered, groups = state["state"], state["param_groups"]
    yield {}
    yield None
    yield {"state": numbered}
    yield {**state, "param_groups": groups * 2}
    yield {**state, "param_groups": [{**group, "params": [0]} for group in groups]}
    yield {**state, "state": {**numbered, 99: {}}}
    yield {**state, "state": {**numbered, -1: {}}}
    yield {**state, "state": {**numbered, "0": {}}}
    for number, momenta in numbered.items():
        for name, value in momenta.items():
            others = ["x", [], 1.0, {}]
            if name == "step":
                others = ["x", [], -1.0, math.nan, math.inf, torch.ones(7)]
            elif isinstance(value, torch.Tensor):
                others += [value[:1][None], value.flatten()[:1], value.long(), value.new_ones(7)]
                others += [torch.cat([value, value])]
            for other in others:
                changed = {**momenta, name: other}
                yield {**state, "state": {**numbered, number: changed}}
            rest = {n: v for n, v in momenta.items() if n != name}
            if rest:
                yield {**state, "state": {**numbered, number: rest}}
            yield {**state, "state": {**numbered, number: {**momenta, "more": value}}}


@pytest.mark.parametrize("choice", CHOICES)
def test_a_state_that_does_not_fit_the_weights_is_refused(choice):
    _, optimizer, state = trained(choice)
    n_refused = 0
    for unfit in unfit_states(state):
        with pytest.raises(ValueError, match="'optimizer' and 'optimizer_params'"):
            load_state(optimizer, unfit)
        n_refused += 1
    assert n_refused >= 8
    load_state(optimizer, state)


def test_the_arguments_are_those_of_the_new_optimizer():
    _, _, state = trained("adamw")
    _, optimizer, _ = trained("adamw", weight_decay=0.5, betas=(0.5, 0.6))
    load_state(optimizer, state)
    (group,) = optimizer.param_groups
    assert (group["weight_decay"], group["betas"]) == (0.5, (0.5, 0.6))


class Counting(torch.optim.SGD):
    """Counts its steps among its arguments."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["dampening"] += 1e-6
        return super().step(closure)


def test_an_optimizer_of_the_user_goes_on_counting_in_its_arguments():
    net = network()
    optimizer = Counting(net.parameters(), lr=1e-3)
    steps(net, optimizer, 3)
    other = Counting(net.parameters(), lr=1e-3)
    state = optimizer.state_dict()
    del state["param_groups"][0]["foreach"]  # as if an older torch had written it
    load_state(other, state)
    assert other.param_groups[0]["dampening"] == pytest.approx(3e-6)


@pytest.mark.parametrize("optimizer", [torch.optim.LBFGS, lambda parameters, **params: None])
def test_what_takes_no_steps_is_no_optimizer(quick, images, optimizer):
    with pytest.raises(TypeError, match="The 'optimizer' parameter must return an optimiser"):
        quick(optimizer=optimizer).fit(images)
