"""The bank of kernels of signals, against plain loops."""

import numpy as np
import pytest
import torch
from helpers.signals import ENDED, LENGTHS, UNCUT, with_ends

from skdim.encoders.kernels import KERNELS, N_POSITIONS, KernelBank

SIGNALS = np.random.default_rng(0).normal(size=(60, 2, 70)).cumsum(2)


@pytest.fixture
def bank():
    samples = torch.from_numpy(SIGNALS).float()
    samples = (samples - samples.mean((0, 2), keepdim=True)) / samples.std((0, 2), keepdim=True)
    bank = KernelBank((2, 70), 3)
    bank.adapt(samples)
    return bank, samples


def test_there_are_84_kernels_of_sum_0():
    assert len(KERNELS) == len(set(map(tuple, KERNELS))) == 84
    assert np.all(np.sum(KERNELS, axis=1) == 0)


def test_shares_are_those_of_plain_loops(bank):
    bank, samples = bank
    x = samples[7].numpy().astype(float)
    filters, expected = bank.filters.tolist(), []
    for i, signal in enumerate((x.tolist(), np.diff(x).tolist())):
        length = len(signal[0])
        for j, dilation in enumerate(bank.dilations):
            for thresholds in bank.thresholds[i, j].numpy():
                for k, threshold in enumerate(thresholds):
                    above = []
                    for t in range(length):
                        taps = [(a, t + (a - 4) * dilation) for a in range(9)]
                        response = sum(
                            filters[i][j][k][c][a] * signal[c][at]
                            for c in range(2)
                            for a, at in taps
                            if 0 <= at < length
                        )
                        above.append(min(max(response - threshold, -0.5), 0.5) + 0.5)
                    expected.append(np.mean(above))
    np.testing.assert_allclose(bank(samples[7:8])[0], expected, atol=2e-5)


def test_thresholds_are_spread_evenly_over_the_responses(bank):
    bank, samples = bank
    shares = bank(samples).mean(0).sort().values
    assert shares.shape == (2 * 4 * 3 * 84,)
    torch.testing.assert_close(shares, torch.linspace(0, 1, len(shares)), atol=0.05, rtol=0)


@pytest.mark.parametrize("n_channels", [1, 2, 9, 30])
def test_a_kernel_sees_one_to_nine_channels(n_channels):
    bank = KernelBank((n_channels, 100), 1)
    n_seen = (bank.filters != 0).any(-1).sum(-1).flatten().tolist()
    assert set(n_seen) == set(range(1, min(n_channels, 9) + 1))


@pytest.mark.parametrize("length", [4, 8, 9, 10, 511, 1024, 3000, 160_000])
def test_any_length(length):
    bank = KernelBank((1, length), 1)
    samples = torch.randn(4, 1, length)
    bank.adapt(samples)
    with torch.no_grad():
        assert torch.isfinite(bank(samples[:1])).all()
    assert bank.dilations[-1] * 8 < max(9, length) <= max(16, bank.dilations[-1] * 16 + 8)
    assert -(-length // bank.stride) < 2 * N_POSITIONS


def test_batches_of_any_size_give_the_same_shares(bank):
    bank, samples = bank
    in_parts = torch.cat([bank(part) for part in samples.split(7)])
    torch.testing.assert_close(bank(samples), in_parts)


@pytest.mark.parametrize("stride", [1, 3])
def test_shares_of_an_ended_signal_are_those_of_one_that_is_no_longer(stride):
    bank = KernelBank((2, 40), 3)
    bank.adapt(torch.from_numpy(UNCUT))
    bank.stride = stride
    shares = bank(torch.from_numpy(ENDED))
    for signal, length, expected in zip(UNCUT, LENGTHS, shares, strict=True):
        alone = bank(torch.from_numpy(signal[None, :, :length]))[0]
        torch.testing.assert_close(alone, expected, atol=1e-5, rtol=0)


def test_thresholds_are_read_off_signals_before_their_end():
    halves, ended = KernelBank((2, 40), 2), KernelBank((2, 40), 2)
    signals = torch.from_numpy(UNCUT)
    halves.adapt(signals[:, :, :30])
    ended.adapt(with_ends(signals, [30] * len(signals)))
    for name, tensor in halves.state_dict().items():
        torch.testing.assert_close(ended.state_dict()[name], tensor)
