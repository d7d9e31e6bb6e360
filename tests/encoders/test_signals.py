"""The encoder of signals: positions, and signals that end early."""

import numpy as np
import pytest
import torch
from helpers.signals import ENDED, LENGTHS, UNCUT, with_ends
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skdim.encoders import (
    ENCODERS,
    SignalEncoder,
)


@pytest.mark.parametrize("length", [16, 31, 32, 100, 1000, 20_000])
def test_signal_encoder_ends_in_16_to_33_positions_and_sees_every_point(length):
    encoder = ENCODERS["signal"]((1, length), 4).eval()
    x = torch.zeros(1, 1, length, requires_grad=True)
    local_map = encoder(x).local_maps[0]
    assert 16 <= local_map.shape[1] <= 33
    torch.nn.init.ones_(x.data)
    (gradient,) = torch.autograd.grad(encoder(x).local_maps[0].square().sum(), x)
    assert (gradient != 0).float().mean() > 0.95


def test_local_vectors_are_those_of_a_signal_that_is_no_longer():
    encoder = SignalEncoder((2, 40), 8, width=8, n_hidden=16, allow_nan=True)
    encoder(torch.from_numpy(ENDED))  # running statistics other than 0 and 1
    encoder.eval()
    with torch.no_grad():
        (local_map,) = encoder(torch.from_numpy(ENDED)).local_maps
        for signal, length, found in zip(UNCUT, LENGTHS, local_map, strict=True):
            alone = encoder.layers(torch.from_numpy(signal[None, :, :length]))[0].T
            times = np.arange(len(found)) * len(alone) // len(found)
            torch.testing.assert_close(found, alone[times], atol=1e-5, rtol=1e-5)


def test_batch_statistics_of_signals_that_divide_the_length_are_those_without_ends():
    """Each signal of half the length then counts twice, as often as the whole ones."""
    halves = np.concatenate([UNCUT[:, :, :20]] * 2, 2)
    whole, ended = (
        SignalEncoder((2, 40), 8, width=8, n_hidden=16, allow_nan=allow_nan)
        for allow_nan in (False, True)
    )
    ended.load_state_dict(whole.state_dict())
    inputs = torch.from_numpy(UNCUT[:, :, :20])
    ended(with_ends(torch.from_numpy(halves), [20] * 60))
    expected = whole.layers[0](inputs)
    torch.testing.assert_close(ended.layers[1].running_mean, 0.1 * expected.mean((0, 2)))


def waves(n, seed):
    """Signals of three shapes at random phases, in noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    phase = 2 * np.pi * (np.arange(64) / 16 + rng.random((n, 1)))
    shapes = np.stack([np.sin(phase), np.sign(np.sin(phase)), np.sin(phase) * np.sin(phase / 2)], 1)
    return shapes[np.arange(n), y] + 0.3 * rng.normal(size=(n, 64)), y


def test_signals_are_told_apart_by_their_shape(quick):
    X, y = waves(600, 0)
    dim = quick(n_components=16, channel_axis=None, max_epochs=15)
    clf = LogisticRegression(max_iter=1000)
    learned = make_pipeline(dim, clf).fit(X[:400], y[:400]).score(X[400:], y[400:])
    raw = clf.fit(X[:400], y[:400]).score(X[400:], y[400:])
    assert learned > raw + 0.2
