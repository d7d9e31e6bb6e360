"""Banks of fixed features, and how what is fixed stands beside what is trained."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from skdim import DIMTransformer
from skdim.encoders import ENCODERS, FlipAverage, encode
from skdim.encoders.kernels import KERNELS, N_POSITIONS, KernelBank
from skdim.encoders.patches import LEAST_VARIANCE, PatchBank

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


# ------------------------------------------------------------------- images


@pytest.fixture(scope="module")
def patches():
    images = torch.randn(50, 2, 17, 20, generator=torch.Generator().manual_seed(0)).cumsum(3)
    images = (images - images.mean((0, 2, 3), keepdim=True)) / images.std((0, 2, 3), keepdim=True)
    bank = PatchBank((2, 17, 20), 5)
    bank.adapt(images)
    return bank, images


def test_responses_to_patches_are_those_of_plain_loops(patches):
    bank, images = patches
    image = images[3].double().numpy()
    excess = np.zeros((5, 12, 15))
    for i in range(12):
        for j in range(15):
            patch = image[:, i : i + 6, j : j + 6]
            patch = (patch - patch.mean()) / np.sqrt(patch.var() + LEAST_VARIANCE)
            for k in range(5):
                response = (bank.filters[k].double().numpy() * patch).sum()
                excess[k, i, j] = max(0, response - float(bank.thresholds[k]))
    rows, columns = (slice(0, 6), slice(6, 12)), (slice(0, 8), slice(7, 15))
    expected = [e[r, c].mean() for e in excess for r in rows for c in columns]
    np.testing.assert_allclose(bank(images[3:4])[0], expected, rtol=1e-4, atol=1e-5)


def test_a_patch_of_the_bank_does_not_depend_on_brightness_and_hardly_on_contrast(patches):
    bank, images = patches
    torch.testing.assert_close(bank(images + 3), bank(images), rtol=1e-3, atol=1e-3)
    strong = bank(100 * images)
    torch.testing.assert_close(bank(1000 * images), strong, rtol=1e-2, atol=1e-2)


def test_responses_to_whitened_patches_exceed_one_standard_deviation_for_a_sixth(patches):
    bank, images = patches
    share = (bank._respond(images) > 0).float().mean()
    assert share > 0.5  # of quarters, in each of which are many patches
    one_place = images[:, :, :6, :6]
    normal = 0.16
    assert abs((bank._respond(one_place)[:, ::4] > 0).float().mean() - normal) < 0.1


@pytest.mark.parametrize(
    ("shape", "n_patches", "n_fixed"),
    [
        ((1, 16, 16), 20, 80),
        ((3, 64, 70), 20, 80),
        ((3, 64, 70), 0, 0),
        ((1, 15, 40), 20, 0),
        ((9, 16, 16), 20, 0),
        ((1, 16, 16, 16), 20, 0),
    ],
)
def test_images_with_room_have_patches(shape, n_patches, n_fixed):
    encoder = ENCODERS["conv"](shape, 4, width=8, n_hidden=8, n_patches=n_patches).eval()
    encoder.adapt(torch.randn(30, *shape))
    with torch.no_grad():
        fixed = encode(encoder, torch.randn(3, *shape)).fixed
    assert fixed.shape == (3, n_fixed)
    assert torch.isfinite(fixed).all()


def test_fixed_patches_beat_the_pixels_of_images():
    """Gratings of random phase: the mean of each pixel is the same for both directions."""
    rng = np.random.default_rng(0)
    direction, phase = np.arange(120) % 2, rng.uniform(0, 2 * np.pi, (120, 1, 1))
    position = np.where(direction[:, None, None], *np.indices((16, 16))[:, None])
    images = np.sin(position + phase) + rng.normal(size=(120, 16, 16))
    bank = PatchBank((1, 16, 16), 30)
    samples = torch.from_numpy(images[:, None]).float()
    bank.adapt(samples[:60])
    features = bank(samples).numpy()
    scores = [
        LogisticRegression(max_iter=1000).fit(X[:60], direction[:60]).score(X[60:], direction[60:])
        for X in (images.reshape(120, -1), features)
    ]
    assert scores[0] < 0.7 < 0.95 < scores[1]


# --------------------------------------------------------------------- rows


def test_parts_of_columns_are_filled_one_after_the_other():
    encoder = ENCODERS["mlp"]((2,), 4, width=8, n_hidden=8)
    column = torch.arange(0.0, 31.0)  # a third of the numbers in each part of 10
    encoder.adapt(torch.stack([column, (column > 29).float()], 1))
    fixed = encoder.fixed_features(torch.tensor([[-5.0, 0.0], [13.0, 1.0], [40.0, 2.0]]))
    columns, parts = fixed[:, :2], fixed[:, 2:].unflatten(1, (3, 2))
    assert columns.tolist() == [[-5, 0], [13, 1], [40, 2]]
    torch.testing.assert_close(
        parts[:, :, 0], torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.3, 0.0], [1.0, 1.0, 1.0]])
    )
    # Of a column that is nearly always 0, two parts are a single value, and say nothing.
    assert parts[:, :, 1].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_missing_cells_do_not_move_the_quantiles():
    column = torch.randn(200, 1)
    full, holes = (ENCODERS["mlp"]((1,), 4, allow_nan=True) for _ in range(2))
    full.adapt(column)
    holes.adapt(torch.cat([column, torch.full((90, 1), torch.nan)])[torch.randperm(290)])
    assert torch.equal(full.knots, holes.knots)
    fixed = full.fixed_features(torch.tensor([[torch.nan], [0.0]]))
    assert fixed.isfinite().all()
    assert fixed[:, 1].tolist() == [1, 0]


def test_hundreds_of_columns_are_not_divided():
    encoder = ENCODERS["mlp"]((300,), 4, width=8, n_hidden=8)
    encoder.adapt(torch.randn(20, 300))
    assert encoder.fixed_features(torch.randn(2, 300)).shape == (2, 300)


def test_a_linear_classifier_of_hidden_units_has_the_columns():
    rows = np.random.default_rng(0).normal(size=(200, 3))
    small = {"width": 8, "n_hidden": 32}
    dim = DIMTransformer(8, max_epochs=1, output="hidden", encoder_params=small, random_state=0)
    hidden = dim.fit(rows).transform(rows)
    found = hidden[:, 32:35] / hidden[:, 32:35].std(0)
    expected = (rows - rows.mean(0)) / rows.std(0)
    np.testing.assert_allclose(found, expected, atol=1e-4)


# ------------------------------------------------------- beside what is trained


@pytest.fixture(scope="module")
def fitted():
    def fit(n_thresholds):
        dim = DIMTransformer(
            8,
            channel_axis=1,
            max_epochs=2,
            random_state=0,
            encoder_params={"width": 8, "n_hidden": 32, "n_thresholds": n_thresholds},
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


@pytest.fixture(scope="module")
def with_one_threshold():
    small = {"width": 8, "n_hidden": 8, "n_thresholds": 1}
    dim = DIMTransformer(4, channel_axis=1, max_epochs=1, random_state=0, encoder_params=small)
    return dim.fit(SIGNALS)


@pytest.mark.parametrize(
    ("output", "reads_fixed"),
    [("code", False), ("local", False), ("hidden", True), ("components", True)],
)
def test_fixed_features_are_computed_only_where_they_are_read(
    output, reads_fixed, with_one_threshold, monkeypatch
):
    dim = with_one_threshold
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


def test_a_fit_of_a_table_says_what_to_expect(caplog):
    with caplog.at_level("INFO", "skdim"):
        DIMTransformer(4, max_epochs=1).fit(np.random.default_rng(0).normal(size=(120, 3)))
    assert "Of a table, most of what the features gain" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", "skdim"):
        small = {"width": 8, "n_hidden": 8, "n_thresholds": 1}
        DIMTransformer(4, max_epochs=1, channel_axis=1, encoder_params=small).fit(SIGNALS)
    assert "table" not in caplog.text
