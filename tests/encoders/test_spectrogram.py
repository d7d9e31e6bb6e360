"""Spectrograms against scipy's, and the encoder that learns from them."""

import numpy as np
import pytest
import torch
from helpers.signals import with_ends
from scipy import signal as scipy_signal

from skdim.encoders import SpectrogramEncoder, encode
from skdim.encoders.spectrogram import HOP, LEAST_POWER, WINDOWS, Spectrogram, count_frames

NOISE = np.random.default_rng(0).normal(size=(20, 2, 330)).astype(np.float32)
SMALL = {"width": 8, "n_hidden": 16}
LENGTHS = [330, 321, 320, 97, 64, 33, 32, 4, *np.random.default_rng(1).integers(4, 330, 12)]
ENDED = torch.from_numpy(with_ends(NOISE, LENGTHS))


def scipy_power(x, window):
    """Power of every window, also if windows do not overlap: (n, channels, bands, n_frames)."""
    padded = np.pad(x.astype(float), ((0, 0), (0, 0), (window // 2, window // 2)))
    _, _, power = scipy_signal.spectrogram(
        padded, window="hann", nperseg=window, noverlap=window - 1, detrend=False
    )
    power = power[:, :, 1:, ::HOP][..., : count_frames(x.shape[2])]
    power[:, :, :-1] /= 2  # scipy adds the negative frequencies
    return power


@pytest.mark.parametrize("length", [64, 97, 320, 330])
def test_bands_are_those_of_scipy(length):
    x = NOISE[:, :, :length]
    spectrogram = Spectrogram(2)
    expected = [
        np.log(scipy_power(x, w) + LEAST_POWER).reshape(len(x), -1, count_frames(length))
        for w in WINDOWS
    ]
    bands = spectrogram(torch.from_numpy(x))
    assert bands.shape == (len(x), spectrogram.n_bands, count_frames(length))
    np.testing.assert_allclose(bands, np.concatenate(expected, 1), atol=1e-3)


def test_bands_are_standardised_by_the_samples():
    spectrogram = Spectrogram(2)
    spectrogram.adapt(5 * torch.from_numpy(NOISE))
    bands = spectrogram(5 * torch.from_numpy(NOISE)).transpose(0, 1).flatten(1)
    torch.testing.assert_close(bands.mean(1), torch.zeros(len(bands)), atol=1e-4, rtol=0)
    torch.testing.assert_close(bands.std(1), torch.ones(len(bands)), atol=1e-2, rtol=0)


def test_statistics_are_those_of_signals_before_their_end():
    halves, ended = Spectrogram(2), Spectrogram(2)
    signals = torch.from_numpy(NOISE)
    halves.adapt(signals[:, :, :160])
    ended.adapt(with_ends(signals, [160] * len(signals)))
    for name, tensor in halves.state_dict().items():
        torch.testing.assert_close(ended.state_dict()[name], tensor)


def test_the_phase_of_a_tone_does_not_matter_and_its_frequency_does():
    t = torch.arange(640.0)
    phases = torch.linspace(0, 6, 9)[:, None]
    low, high = (torch.sin(2 * np.pi * f / 64 * t + phases)[:, None] for f in (8, 12))
    spectrogram = Spectrogram(1)
    low, high = (spectrogram(x)[:, 8:, 2:-2] for x in (low, high))  # of the long window
    assert low.std(0).max() < 0.01
    assert low.mean((0, 2)).argmax() == 8 - 1
    assert high.mean((0, 2)).argmax() == 12 - 1


@pytest.fixture
def adapted():
    """An encoder of signals that may end, with running statistics other than 0 and 1."""
    torch.manual_seed(0)
    encoder = SpectrogramEncoder((2, 330), 8, **SMALL, allow_nan=True)
    encoder.adapt(torch.from_numpy(NOISE))
    encoder(ENDED)
    return encoder.eval()


def spread(feature_map, n):
    """Repeat the locations of a map (n_channels, n_locations) so that there are n."""
    return feature_map[:, torch.arange(n) * feature_map.shape[1] // n]


@torch.no_grad()
def test_parts_of_an_ended_signal_are_those_of_one_that_is_no_longer(adapted):
    encoding = encode(adapted, ENDED)
    n_frames, n_locations = count_frames(330), encoding.local_maps[0].shape[1]
    for i, length in enumerate(LENGTHS):
        spectrogram = adapted.spectrogram(torch.from_numpy(NOISE[i : i + 1, :, :length]))
        local_map = spread(adapted.layers(spectrogram)[0], n_locations)
        torch.testing.assert_close(encoding.local_maps[0][i].T, local_map, atol=1e-4, rtol=1e-4)
        frames = spread(spectrogram[0], n_frames)
        bounds = [(k * n_frames // 4, -(-(k + 1) * n_frames // 4)) for k in range(4)]
        quarters = [frames[:, start:stop] for start, stop in bounds]
        means = torch.stack([quarter.mean(1) for quarter in quarters], 1)
        maxima = torch.stack([quarter.amax(1) for quarter in quarters], 1)
        fixed = torch.cat([means, maxima]).flatten()
        torch.testing.assert_close(encoding.fixed[i], fixed, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("length", [64, 500, 2048, 4096, 100_000])
def test_any_length_ends_in_at_most_33_locations(length):
    encoder = SpectrogramEncoder((1, length), 4, **SMALL).eval()
    (local_map,) = encoder(torch.zeros(1, 1, length)).local_maps
    assert min(16, count_frames(length)) <= local_map.shape[1] <= 33


def test_gradients_reach_the_signal_and_every_weight():
    encoder = SpectrogramEncoder((2, 330), 4, **SMALL)
    x = torch.from_numpy(NOISE).requires_grad_()
    encoding = encoder(x)
    (encoding.code.pow(3).sum() + encoding.local_maps[0].pow(3).sum()).backward()
    assert (x.grad != 0).float().mean() > 0.95
    assert all((p.grad != 0).any() for p in encoder.parameters())


def test_half_precision_does_not_change_the_spectrogram():
    spectrogram = Spectrogram(2)
    x = 100 * torch.from_numpy(NOISE)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(spectrogram(x), Spectrogram(2)(x))
        assert spectrogram(x).dtype == torch.float32
