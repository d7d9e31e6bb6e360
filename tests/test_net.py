"""Batches and the training loop."""

import math

import pytest
import torch

from skdim.net import Batches, seeded
from skdim.optimization import SCHEDULES


@pytest.mark.parametrize("n", [2, 3, 5, 64, 65, 129, 200])
@pytest.mark.parametrize("batch_size", [2, 3, 64, 1000])
def test_every_sample_once_and_never_alone(n, batch_size):
    X = torch.arange(n)
    batches = Batches(X, batch_size, torch.Generator().manual_seed(0))
    parts = list(batches)
    sizes = [len(part) for part in parts]
    assert len(parts) == len(batches)
    assert torch.cat(parts).sort().values.equal(X)
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(batch_size, 3)


def test_passes_differ_and_repeat_with_the_generator():
    X = torch.arange(50)
    first, again = (list(Batches(X, 10, torch.Generator().manual_seed(3))) for _ in range(2))
    assert all(a.equal(b) for a, b in zip(first, again, strict=True))
    batches = Batches(X, 10, torch.Generator().manual_seed(3))
    assert not torch.cat(list(batches)).equal(torch.cat(list(batches)))


def test_seeding_stays_inside_the_block():
    before = torch.get_rng_state()
    with seeded(7, torch.device("cpu")):
        inside = torch.rand(3)
    assert torch.get_rng_state().equal(before)
    with seeded(7, torch.device("cpu")):
        assert torch.rand(3).equal(inside)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_factors(name):
    factors = [SCHEDULES[name](i / 1000) for i in range(1001)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert max(factors) == pytest.approx(1, abs=1e-3)


def test_warmup_cosine_rises_then_falls_to_zero():
    schedule = SCHEDULES["warmup_cosine"]
    assert 0 < schedule(0) < schedule(0.05) < schedule(0.1) > schedule(0.5) > schedule(0.9)
    assert math.isclose(schedule(1.0), 0, abs_tol=1e-12)
