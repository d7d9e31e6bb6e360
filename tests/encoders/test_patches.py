"""The bank of patches of images, against plain loops."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from skdim.encoders.patches import LEAST_VARIANCE, PatchBank


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
    bank = PatchBank((1, 16, 16), 30)
    samples = torch.from_numpy(images[:, None]).float()
    bank.adapt(samples[:60])
    features = bank(samples).numpy()
    scores = [
        LogisticRegression(max_iter=1000).fit(X[:60], direction[:60]).score(X[60:], direction[60:])
        for X in (images.reshape(120, -1), features)
    ]
    assert scores[0] < 0.7 < 0.95 < scores[1]
