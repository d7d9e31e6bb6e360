"""Training of the small networks that measure features."""

import pytest
import torch
from torch import nn

from benchmarks.paper.training import seeded_device, train


def line():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.0))


X = torch.linspace(-1, 1, 50)[:, None]


def fit(network, seed=0, **params):
    def loss(batch):
        assert network.training
        assert 2 <= len(batch) <= 16
        return (network(X[batch]) - 3 * X[batch] + 1).square().mean()

    settings = {"max_epochs": 60, "batch_size": 16, "learning_rate": 0.1}
    generator = torch.Generator().manual_seed(seed)
    train(network, loss, len(X), **{**settings, **params}, generator=generator)
    return network


def test_a_line_is_found():
    network = fit(line())
    assert not network.training
    assert network[0].weight.item() == pytest.approx(3, abs=0.02)
    assert network[0].bias.item() == pytest.approx(-1, abs=0.02)


def test_training_repeats_with_its_generator():
    weights = [fit(line(), seed, max_epochs=2)[0].weight for seed in (0, 0, 1)]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


def test_a_function_is_called_after_every_epoch_in_evaluation_mode():
    network, modes = line(), []
    fit(network, max_epochs=4, after_epoch=lambda: modes.append(network.training))
    assert modes == [False] * 4


def test_a_device_is_seeded_and_what_was_drawn_globally_is_forgotten():
    before = torch.get_rng_state()
    with seeded_device(3, "cpu", batch_size=8) as generator:
        drawn = torch.rand(2), torch.rand(2, generator=generator)
    assert torch.get_rng_state().equal(before)
    with seeded_device(3, "cpu", batch_size=8) as generator:
        assert torch.rand(2).equal(drawn[0])
        assert torch.rand(2, generator=generator).equal(drawn[1])


def test_memory_that_is_exhausted_names_the_batch_size():
    with (
        pytest.raises(MemoryError, match=r"reduce 'batch_size' \(now 8\)"),
        seeded_device(0, "cpu", batch_size=8),
    ):
        raise MemoryError
