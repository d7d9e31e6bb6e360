"""Random numbers follow a seed, and leave torch's generators alone."""

import copy

import numpy as np
import torch
from torch import nn

from skdim import DIMClassifier, DIMTransformer
from skdim._runtime.seeding import may_draw_globally, seeded
from skdim.encoders import MLPEncoder


def test_seeding_stays_inside_the_block():
    before = torch.get_rng_state()
    with seeded(7, torch.device("cpu")):
        inside = torch.rand(3)
    assert torch.get_rng_state().equal(before)
    with seeded(7, torch.device("cpu")):
        assert torch.rand(3).equal(inside)


ROWS = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)


class DropoutEncoder(MLPEncoder):
    """Draws from torch's global generator in every step."""

    def __init__(self, sample_shape, n_components):
        super().__init__(sample_shape, n_components, width=32, n_hidden=32)
        self.hidden.insert(3, nn.Dropout(0.5))


def noisy(batch, generator):
    """Views that draw from torch's global generator, which they should not."""
    return batch + 0.1 * torch.randn(batch.shape)


def fit(**params):
    settings = {"n_components": 4, "max_epochs": 2, "batch_size": 32, "device": "cpu"}
    if "encoder" not in params:
        settings["encoder_params"] = {"width": 16, "n_hidden": 64}
    return DIMTransformer(**{**settings, **params}).fit(ROWS)


def test_only_what_is_known_trains_without_the_lock():
    known = MLPEncoder((6,), 4)
    assert not may_draw_globally([known], [torch.sigmoid, None])
    assert may_draw_globally([DropoutEncoder((6,), 4)], [])
    assert may_draw_globally([known], [noisy])
    assert may_draw_globally([nn.Sequential(known, nn.LSTM(3, 3))], [])


def test_a_fit_on_the_cpu_leaves_generators_of_gpus_alone(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", seeds.append)
    dim = fit()
    DIMClassifier(dim, max_epochs=1).fit(ROWS, ROWS[:, 0] > 0)
    copy.deepcopy(dim)
    assert seeds == []
