"""The bank of fixed kernels, and how what is fixed stands beside what is trained."""

import numpy as np
import pytest
import torch

from skdim import DIMTransformer
from skdim.encoders import ENCODERS, FlipAverage, encode
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
    expected = []
    for i, signal in enumerate((x, np.diff(x))):
        length = signal.shape[1]
        for j, dilation in enumerate(bank.dilations):
            for thresholds in bank.thresholds[i, j].numpy():
                for k, threshold in enumerate(thresholds):
                    above = []
                    for t in range(length):
                        taps = [(a, t + (a - 4) * dilation) for a in range(9)]
                        response = sum(
                            float(bank.filters[i, j, k, c, a]) * signal[c, at]
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


@pytest.fixture(scope="module")
def fitted():
    def fit(n_thresholds):
        dim = DIMTransformer(
            8,
            channel_axis=1,
            max_epochs=2,
            random_state=0,
            encoder_params={"n_hidden": 32, "n_thresholds": n_thresholds},
        )
        return dim.fit(SIGNALS)

    return {n: fit(n) for n in (0, 2)}


def test_training_leaves_the_bank_alone(fitted):
    without, with_bank = (dim.set_params(output="code") for dim in fitted.values())
    assert np.array_equal(without.transform(SIGNALS), with_bank.transform(SIGNALS))
    bank = with_bank.encoder_.bank
    assert not any(parameter.requires_grad for parameter in bank.parameters())


def test_fixed_and_trained_features_weigh_the_same(fitted):
    hidden = fitted[2].set_params(output="hidden").transform(SIGNALS)
    assert hidden.shape == (60, 32 + 2 * 4 * 2 * 84)
    variances = hidden.var(0)
    np.testing.assert_allclose(variances[:32].sum(), variances[32:].sum(), rtol=0.02)
    assert fitted[0].set_params(output="hidden").transform(SIGNALS).shape == (60, 32)


def test_training_and_scoring_do_not_compute_what_is_fixed():
    encoder = ENCODERS["signal"]((1, 30), 4).eval()
    x = torch.randn(2, 1, 30)
    assert encode(encoder, x, with_fixed=False).fixed is None
    assert encode(encoder, x).fixed.shape == (2, encoder.bank.n_features)


@pytest.mark.parametrize(
    ("output", "reads_fixed"),
    [("code", False), ("local", False), ("hidden", True), ("components", True)],
)
def test_fixed_features_are_computed_only_where_they_are_read(output, reads_fixed, monkeypatch):
    dim = DIMTransformer(
        4, channel_axis=1, max_epochs=1, random_state=0, encoder_params={"n_hidden": 8}
    ).fit(SIGNALS)
    dim.set_params(output=output).transform(SIGNALS)  # once: what is tried on noise is remembered
    calls = []
    compute = KernelBank.forward
    monkeypatch.setattr(KernelBank, "forward", lambda *args: calls.append(1) or compute(*args))
    dim.transform(SIGNALS)
    assert bool(calls) == reads_fixed
    calls.clear()
    dim.score_samples(SIGNALS)
    assert not calls


def test_flip_average_averages_what_is_fixed():
    class Fixed(ENCODERS["conv"]):
        def fixed_features(self, x):
            return x.flatten(1)

    encoder, x = FlipAverage(Fixed((1, 8, 8), 4)).eval(), torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(encode(encoder, x).fixed, ((x + x.flip(-1)) / 2).flatten(1))
