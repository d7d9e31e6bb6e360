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
    found = spectrogram(torch.from_numpy(x))
    assert found.shape == (len(x), spectrogram.n_bands, count_frames(length))
    np.testing.assert_allclose(found, np.concatenate(expected, 1), atol=1e-3)


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


@pytest.mark.parametrize("part", ["fixed", "local map", "hidden"])
def test_parts_of_an_ended_signal_are_those_of_one_that_is_no_longer(part):
    torch.manual_seed(0)
    encoder = SpectrogramEncoder((2, 330), 8, **SMALL, allow_nan=True)
    encoder.adapt(torch.from_numpy(NOISE))
    encoder(ENDED)  # running statistics other than 0 and 1
    encoder.eval()
    together = encode(encoder, ENDED)
    filled = ENDED.nan_to_num(nan=0.0)
    for i, length in enumerate(LENGTHS):
        # The same signal, before any other end: what comes after the end does not matter.
        other = ENDED[i : i + 1].clone()
        alone = encode(encoder, other)
        n_frames = count_frames(length)
        spectrogram = encoder.spectrogram(filled[i : i + 1, :, :length])
        assert spectrogram.shape[2] == n_frames
        if part == "fixed":
            times = torch.arange(count_frames(330)) * n_frames // count_frames(330)
            spread = spectrogram[:, :, times]
            quarters = [spread[0, :, i * 11 // 4 : -(-(i + 1) * 11 // 4)] for i in range(4)]
            expected = [torch.stack([p(q) for q in quarters], 1) for p in (_mean, _max)]
            found = together.fixed[i].view(-1, 4)
            torch.testing.assert_close(found, torch.cat(expected), atol=1e-4, rtol=1e-4)
        elif part == "local map":
            layers = encoder.layers(spectrogram)[0].T
            times = torch.arange(together.local_maps[0].shape[1]) * len(layers)
            times = times // together.local_maps[0].shape[1]
            found = together.local_maps[0][i]
            torch.testing.assert_close(found, layers[times], atol=1e-4, rtol=1e-4)
        else:
            torch.testing.assert_close(alone.hidden[0], together.hidden[i], atol=1e-4, rtol=1e-4)


def _mean(x):
    return x.mean(1)


def _max(x):
    return x.amax(1)


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
