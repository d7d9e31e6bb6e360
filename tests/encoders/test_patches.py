"""The bank of patches of images, against plain loops."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from skdim.encoders.patches import LEAST_VARIANCE, PatchBank, slowest_features


def adapted(n_slow):
    images = torch.randn(50, 2, 17, 20, generator=torch.Generator().manual_seed(0)).cumsum(3)
    images = (images - images.mean((0, 2, 3), keepdim=True)) / images.std((0, 2, 3), keepdim=True)
    bank = PatchBank((2, 17, 20), 5, n_slow)
    bank.adapt(images)
    return bank, images


@pytest.fixture(scope="module")
def patches():
    return adapted(n_slow=0)


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
    share = (bank(images) > 0).float().mean()
    assert share > 0.5  # of quarters, in each of which are many patches
    one_place = images[:, :, :6, :6]
    normal = 0.16
    assert abs((bank(one_place)[:, ::4] > 0).float().mean() - normal) < 0.1


def test_fixed_patches_beat_the_pixels_of_images():
    """Gratings of random phase: the mean of each pixel is the same for both directions."""
    rng = np.random.default_rng(0)
    direction, phase = np.arange(120) % 2, rng.uniform(0, 2 * np.pi, (120, 1, 1))
    position = np.where(direction[:, None, None], *np.indices((16, 16))[:, None])
    images = np.sin(position + phase) + rng.normal(size=(120, 16, 16))
    bank = PatchBank((1, 16, 16), 200, 64)
    samples = torch.from_numpy(images[:, None]).float()
    bank.adapt(samples[:60])
    features = bank(samples).numpy()
    scores = [
        LogisticRegression(max_iter=1000).fit(X[:60], direction[:60]).score(X[60:], direction[60:])
        for X in (images.reshape(120, -1), features)
    ]
    assert scores[0] < 0.7 < 0.95 < scores[1]


def test_slow_features_are_those_of_plain_loops():
    bank, images = adapted(n_slow=3)
    responses = bank.respond(images[3:4])[0].double().numpy()  # (5, 12, 15)
    slow, bias = bank.slow.double().numpy(), bank.bias.double().numpy()
    expected = []
    for rows in ((0, 3), (3, 6), (6, 9), (9, 12)):
        for columns in ((0, 4), (3, 8), (7, 12), (11, 15)):
            features = responses[:, slice(*rows), slice(*columns)].mean((1, 2)) @ slow.T + bias
            expected.extend(features / np.linalg.norm(features))
    np.testing.assert_allclose(bank(images[3:4])[0], expected, rtol=1e-3, atol=1e-4)


def test_slow_features_have_mean_0_and_variance_1_over_all_places():
    bank, images = adapted(n_slow=3)
    responses = bank.respond(images)[:, :, ::2, ::2].transpose(0, 1).flatten(1)
    features = (responses.T @ bank.slow.T + bank.bias).double()
    torch.testing.assert_close(features.mean(0), torch.zeros(3).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(features.T.cov(), torch.eye(3).double(), atol=0.01, rtol=0)


def test_the_slowest_features_are_what_neighbours_share():
    """Three sources of variance 1, mixed at random: of one, neighbours share 90 %."""
    shares = np.diag([0.5, 0.9, 0.1])
    mixing = np.random.default_rng(0).normal(size=(3, 3))
    slow = slowest_features(mixing.T @ mixing, mixing.T @ shares @ mixing, 2)
    unmixed = mixing @ slow  # the weight of each source in the features
    np.testing.assert_allclose(np.abs(unmixed), [[0, 1], [1, 0], [0, 0]], atol=0.02)


def test_slow_features_of_images_without_any_pattern_are_0():
    bank = PatchBank((1, 16, 16), 10, 4)
    bank.adapt(torch.ones(20, 1, 16, 16))
    assert (bank(torch.ones(3, 1, 16, 16)) == 0).all()
