"""Batches, seeds, schedules and gradient clipping."""

import math

import numpy as np
import pytest
import torch

from skdim._runtime.seeding import seeded
from skdim._training.batches import Batches
from skdim._training.loop import backward_and_step
from skdim.optimization import SCHEDULES
from skdim.sources._loaders import DeviceLoader


def load(n):
    return DeviceLoader(np.zeros((n, 1), np.float32), np.zeros(1), np.ones(1), torch.device("cpu"))


@pytest.mark.parametrize("n", [2, 3, 5, 64, 65, 129, 200])
@pytest.mark.parametrize("batch_size", [2, 3, 64, 1000])
def test_every_sample_once_and_no_batch_of_one(n, batch_size):
    batches = Batches(load(n), None, batch_size, torch.Generator().manual_seed(0))
    parts = [part for part, _ in batches]
    sizes = [len(part) for part in parts]
    assert len(parts) == len(batches)
    assert torch.cat(parts).sort().values.equal(torch.arange(n))
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(batch_size, 3)


@pytest.mark.parametrize("groups", [None, torch.arange(50) % 7])
def test_epochs_differ_and_repeat_with_the_generator(groups):
    def two_epochs():
        batches = Batches(load(50), groups, 10, torch.Generator().manual_seed(3))
        return [torch.cat([part for part, _ in batches]) for _ in range(2)]

    first, again = two_epochs(), two_epochs()
    assert first[0].equal(again[0])
    assert first[1].equal(again[1])
    assert not first[0].equal(first[1])


@pytest.mark.parametrize("sizes", [[30, 20, 10], [3] * 20, [56, 2, 2], [1] * 60])
@pytest.mark.parametrize("batch_size", [16, 20, 60])
def test_groups_are_dealt_evenly_and_no_batch_is_of_one_group(sizes, batch_size):
    groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    batches = Batches(load(60), groups, batch_size, torch.Generator().manual_seed(0))
    parts = list(batches)
    assert torch.cat([part for part, _ in parts]).sort().values.equal(torch.arange(60))
    for part, of_part in parts:
        assert of_part.equal(groups[part])
        assert 2 <= len(part) <= batch_size
        assert len(of_part.unique()) >= 2
        for group, size in enumerate(sizes):
            share = size / len(batches)
            assert abs((of_part == group).sum().item() - share) < 1


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


@pytest.mark.parametrize("clip_norm", [None, 0.5, 100.0])
def test_long_gradients_are_shortened_and_short_ones_left(clip_norm):
    start = torch.tensor([3.0, 4.0])
    weights = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([weights], lr=1.0)
    loss = weights.square().sum() / 2  # its gradient is the weights: of length 5
    backward_and_step(optimizer, loss, clip_norm)
    length = min(5.0, clip_norm or 5.0)
    torch.testing.assert_close(weights.detach(), start * (1 - length / 5))
