"""Batches: every sample once, groups dealt evenly."""

import numpy as np
import pytest
import torch
from skdim._training.loop import Batches
from skdim.sources.loaders import DeviceLoader


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
