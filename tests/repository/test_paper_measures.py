"""The measures of the paper's tables: known values, and what they must not depend on."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV

from benchmarks.paper.image_similarity import SCALE_WEIGHTS, ms_ssim, ssim
from benchmarks.paper.information import dependence, mine, mine_scorer, neg_dependence_scorer
from benchmarks.paper.reconstruction import Decoder, reconstruct, reconstruction_similarity
from benchmarks.paper.svm import svm_accuracy


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def correlated(information, n, seed=0):
    """Pairs of Gaussian vectors of two components with this mutual information, in nats."""
    rho = math.sqrt(1 - math.exp(-information))  # of each: -log(1 - rho^2) / 2
    x = noise(n, 2, seed=seed)
    return x, rho * x + math.sqrt(1 - rho**2) * noise(n, 2, seed=seed + 100)


# ---- Classification -------------------------------------------------------------------------


def test_linear_svms_separate_what_a_plane_separates():
    X = noise(400, 5)
    y = (X @ [1, 2, 0, -1, 0] > 0).astype(int)
    accuracies = svm_accuracy(X[:300], y[:300], X[300:], y[300:], random_state=0)
    assert accuracies.shape == (5,)
    assert (accuracies > 0.95).all()
    shuffled = np.random.default_rng(0).permutation(y[:300])
    assert svm_accuracy(X[:300], shuffled, X[300:], y[300:], random_state=0).mean() < 0.7
    again = svm_accuracy(X[:300], y[:300], X[300:], y[300:], random_state=0)
    np.testing.assert_array_equal(again, accuracies)


# ---- Similarity of images -------------------------------------------------------------------


def ssim_by_loops(a, b, data_range, window, sigma):
    """The definition of Wang et al., one window at a time; images (height, width)."""
    from_centre = np.arange(window) - window // 2
    weights = np.exp(-(from_centre[:, None] ** 2 + from_centre[None] ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for i, j in itertools.product(*(range(side - window + 1) for side in a.shape)):
        u, v = a[i : i + window, j : j + window], b[i : i + window, j : j + window]
        mu, mv = (weights * u).sum(), (weights * v).sum()
        uu, vv = (weights * (u - mu) ** 2).sum(), (weights * (v - mv) ** 2).sum()
        uv = (weights * (u - mu) * (v - mv)).sum()
        values.append((2 * mu * mv + c1) * (2 * uv + c2) / ((mu**2 + mv**2 + c1) * (uu + vv + c2)))
    return np.mean(values)


@pytest.mark.parametrize(("window", "sigma"), [(11, 1.5), (7, 1.5), (5, 3.0)])
def test_ssim_equals_plain_loops(window, sigma):
    a, b = np.random.default_rng(0).random((2, 1, 17, 14)) * 255
    expected = ssim_by_loops(a[0], b[0], 255, window, sigma)
    found = ssim(a, b, data_range=255, window=window, sigma=sigma)
    np.testing.assert_allclose(found, [expected])


@pytest.fixture(scope="module")
def pictures():
    """Smooth images of shape (6, 32, 32), from 0 to 1."""
    waves = np.sin(np.linspace(0, 6, 32)[None] * np.arange(1, 7)[:, None])  # (6, 32)
    return (waves[:, :, None] * waves[::-1, None, :] + 1) / 2


@pytest.mark.parametrize("similarity", [ssim, ms_ssim])
def test_similarity_is_1_of_equals_symmetric_and_falls_with_noise(similarity, pictures):
    levels = [0, 0.05, 0.2, 0.5]
    noisy = [pictures + level * noise(*pictures.shape) for level in levels]
    values = np.array([similarity(pictures, other, data_range=1.0) for other in noisy])
    np.testing.assert_allclose(values[0], 1)
    assert (np.diff(values, axis=0) < 0).all()
    np.testing.assert_allclose(similarity(noisy[2], pictures, data_range=1.0), values[2])
    bytes_like = similarity(pictures * 255, noisy[2] * 255, data_range=255)
    np.testing.assert_allclose(bytes_like, values[2])


@pytest.mark.parametrize("similarity", [ssim, ms_ssim])
def test_channels_are_averaged_on_any_axis(similarity, pictures):
    a, b = pictures[:3], pictures[3:]
    colours = np.stack([a, b, a], -1), np.stack([b, b, a], -1)
    expected = (similarity(a, b, data_range=1) + 2) / 3
    np.testing.assert_allclose(similarity(*colours, data_range=1, channel_axis=-1), expected)
    first = (images.transpose(0, 3, 1, 2) for images in colours)
    np.testing.assert_allclose(similarity(*first, data_range=1, channel_axis=1), expected)


def test_each_image_is_compared_independently_of_the_others(pictures):
    a, b = np.tile(pictures, (50, 1, 1)), np.tile(pictures[::-1], (50, 1, 1))
    found = ssim(a, b, data_range=1)
    np.testing.assert_allclose(found.reshape(50, 6), [ssim(a[:6], b[:6], data_range=1)] * 50)


def test_one_scale_is_plain_similarity(pictures):
    noisy = pictures + 0.1 * noise(*pictures.shape)
    expected = ssim(pictures, noisy, data_range=1, window=7)
    np.testing.assert_allclose(ms_ssim(pictures, noisy, data_range=1, n_scales=1), expected)


def test_luminance_counts_on_the_coarsest_scale_only():
    # Flat images: no structure to compare, which makes every factor but the last one 1.
    grey, light = np.full((1, 32, 32), 0.4), np.full((1, 32, 32), 0.6)
    luminance = (2 * 0.4 * 0.6 + 1e-4) / (0.4**2 + 0.6**2 + 1e-4)
    weight = SCALE_WEIGHTS[2] / sum(SCALE_WEIGHTS[:3])
    np.testing.assert_allclose(ms_ssim(grey, light, data_range=1.0), luminance**weight)


# ---- Reconstruction -------------------------------------------------------------------------


@pytest.mark.parametrize("sides", [(4, 4), (8, 8), (28, 28), (32, 32), (9, 21), (96, 96), (3, 2)])
def test_a_decoder_makes_images_of_any_size(sides):
    with torch.random.fork_rng(devices=[]):
        decoder = Decoder(5, (3, *sides), n_filters=2)
    assert decoder(torch.zeros(2, 5)).shape == (2, 3, *sides)


def test_the_decoder_of_32_px_is_that_of_the_paper():
    with torch.device("meta"):
        shapes = [tuple(p.shape) for p in Decoder(64, (3, 32, 32), 64).parameters() if p.ndim > 1]
    assert shapes == [
        (8192, 64),
        (512, 256, 4, 4),
        (256, 128, 4, 4),
        (128, 64, 4, 4),
        (3, 64, 3, 3),
    ]


SHORT = {"n_filters": 8, "max_epochs": 20, "batch_size": 64, "random_state": 0}


def test_more_components_rebuild_more(digits):
    images, flat_images = digits.images, digits.data
    measures = []
    for n_components in (1, 20):
        codes = PCA(n_components, random_state=0).fit(flat_images[:300]).transform(flat_images)
        parts = codes[:300], images[:300], codes[300:500], images[300:500]
        measures.append(reconstruction_similarity(*parts, n_scales=1, learning_rate=5e-3, **SHORT))
    assert measures[0] < measures[1] - 0.2
    rebuilt = reconstruct(*parts[:3], learning_rate=5e-3, **SHORT)
    assert rebuilt.shape == (200, 8, 8)
    assert rebuilt.min() >= 0
    assert rebuilt.max() <= 16
    error = np.square(rebuilt - images[300:500]).mean()
    assert error < np.square(images[:300].mean(0) - images[300:500]).mean() / 2
    again = ms_ssim(images[300:500], rebuilt, data_range=16, n_scales=1)
    assert again.mean() == pytest.approx(measures[1])


@pytest.mark.parametrize("channel_axis", [1, 2, 3])
def test_rebuilt_images_have_the_layout_of_the_images(channel_axis):
    images = noise(10, 6, 7, 3)  # channels last
    rebuilt = reconstruct(noise(10, 2), images, noise(4, 2), channel_axis=3, **SHORT)
    moved = np.moveaxis(images, 3, channel_axis)
    rebuilt_too = reconstruct(noise(10, 2), moved, noise(4, 2), channel_axis=channel_axis, **SHORT)
    np.testing.assert_array_equal(np.moveaxis(rebuilt, 3, channel_axis), rebuilt_too)


# ---- Information and dependence -------------------------------------------------------------


@pytest.mark.parametrize("information", [1.0, 2.0])
def test_mutual_information_of_gaussians_is_found(information):
    found = mine(*correlated(information, 4000), max_epochs=20, random_state=0)
    assert found == pytest.approx(information, rel=0.1)


def test_there_is_no_information_in_noise():
    assert mine(noise(1000, 30), noise(1000, 8, seed=1), random_state=0) == pytest.approx(
        0, abs=0.1
    )


def test_information_repeats_and_falls_with_noise():
    x = noise(1500, 3)
    found = [
        mine(x, x + level * noise(1500, 3, seed=1), max_epochs=15, random_state=0)
        for level in (0.5, 2.0, 0.5)
    ]
    assert found[0] > found[1] + 0.3 > 0.5
    assert found[0] == found[2]


def test_dependence_is_zero_of_independent_and_large_of_copied_components():
    independent, pair = noise(1000, 8), noise(1000, 4)
    assert dependence(independent, max_epochs=10, random_state=0) == pytest.approx(0, abs=0.1)
    assert dependence(independent[:, :1], max_epochs=3, random_state=0) == pytest.approx(0, abs=0.1)
    copied = np.concatenate([pair, pair], 1)
    found = dependence(copied, max_epochs=10, random_state=0)
    assert found > 2
    assert dependence(copied, max_epochs=10, random_state=0) == found


def test_dependence_of_gaussians_is_found():
    pairs = np.concatenate(correlated(1.0, 4000), 1)
    assert dependence(pairs, max_epochs=10, random_state=0) == pytest.approx(1.0, rel=0.15)


def test_a_wide_network_does_not_memorize_dependence():
    codes = noise(600, 64)
    assert dependence(codes, learning_rate=3e-3, random_state=0) == pytest.approx(0, abs=0.1)


def test_squashing_hides_dependence_of_large_codes_only():
    pair = noise(1000, 2)
    copied = np.concatenate([pair, pair], 1)
    plain, squashed = (
        dependence(copied, squash=squash, max_epochs=10, random_state=0) for squash in (False, True)
    )
    assert squashed > plain / 2
    saturated = dependence(1000 * copied + 1e5, squash=True, max_epochs=10, random_state=0)
    assert saturated == pytest.approx(0, abs=0.1)


def test_both_can_be_used_as_scoring(digits):
    grid = {"n_components": [2, 4]}
    for scoring in (mine_scorer, neg_dependence_scorer):
        search = GridSearchCV(PCA(random_state=0), grid, cv=2, scoring=scoring)
        scores = search.fit(digits.data[:200]).cv_results_["mean_test_score"]
        assert np.isfinite(scores).all()
    assert scores.max() < 0.1


def test_both_score_the_transformer(quick, images):
    dim = quick().fit(images)
    assert np.isfinite(mine_scorer(dim, images))
    assert neg_dependence_scorer(dim, images) == -dependence(dim.transform(images), random_state=0)


# ---- Randomness and errors ------------------------------------------------------------------

ROWS, LABELS, IMAGES = noise(20, 3), np.arange(20) % 2, noise(20, 8, 8)

MEASURES = {
    "svm": lambda: svm_accuracy(ROWS, LABELS, ROWS, LABELS, random_state=0),
    "reconstruct": lambda: reconstruct(ROWS, IMAGES, ROWS, **SHORT),
    "mine": lambda: mine(ROWS, ROWS, max_epochs=2, random_state=0),
    "dependence": lambda: dependence(ROWS, max_epochs=2, random_state=0),
}


@pytest.mark.parametrize("name", MEASURES)
def test_measures_repeat_and_do_not_touch_global_randomness(name):
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # the global one is the point
    state = torch.get_rng_state()
    first = MEASURES[name]()
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.get_rng_state().equal(state)
    np.testing.assert_array_equal(MEASURES[name](), first)


ERRORS = [
    (lambda: svm_accuracy(ROWS, LABELS[:5], ROWS, LABELS), r"numbers of samples: \[20, 5\]"),
    (lambda: svm_accuracy(ROWS, LABELS, ROWS[:, :2], LABELS), "X has 2 features, .* expecting 3"),
    (lambda: svm_accuracy(ROWS, LABELS, ROWS, LABELS, n_repeats=0), "'n_repeats'.* Got 0"),
    (lambda: ssim(IMAGES, IMAGES, data_range=1), "'window' parameter 11 .* 8 x 8 px"),
    (lambda: ssim(IMAGES, IMAGES[1:], data_range=1), "'a' and 'b' .* same shape"),
    (lambda: ssim(IMAGES, IMAGES, data_range=0), "'data_range'.* Got 0"),
    (lambda: ssim(ROWS, ROWS, data_range=1), "'a' must be images"),
    (lambda: ssim(IMAGES, IMAGES, data_range=1, channel_axis=3), "'a' must be images"),
    (lambda: ms_ssim(IMAGES, IMAGES, data_range=1), "28 px if n_scales=3.* or 'n_scales'"),
    (lambda: ms_ssim(IMAGES, IMAGES, data_range=1, n_scales=6), "'n_scales'.* Got 6"),
    (lambda: reconstruct(ROWS[:4], IMAGES, ROWS), r"numbers of samples: \[4, 20\]"),
    (lambda: reconstruct(ROWS[:1], IMAGES[:1], ROWS), r"1 sample\(s\).* minimum of 2"),
    (lambda: reconstruct(ROWS, IMAGES, ROWS, batch_size=1), "'batch_size'.* Got 1"),
    (
        lambda: reconstruction_similarity(ROWS, IMAGES, ROWS, IMAGES[:, 1:], n_scales=1),
        r"'images_test' .* Got \(7, 8\)",
    ),
    (lambda: mine(ROWS, ROWS[1:]), r"numbers of samples: \[20, 19\]"),
    (lambda: mine(ROWS[:9], ROWS[:9]), r"9 sample\(s\).* minimum of 16"),
    (lambda: mine(ROWS, ROWS, width=0), "'width'.* Got 0"),
    (lambda: dependence(ROWS * np.nan), "codes contains NaN"),
    (lambda: dependence([["a", "b"]] * 20), "could not convert string to float: 'a'"),
    (lambda: dependence(ROWS, squash="yes"), "'squash'.* Got 'yes'"),
]


@pytest.mark.parametrize(("provoke", "sentence"), ERRORS)
def test_an_error_names_the_parameter(provoke, sentence):
    with pytest.raises(ValueError, match=f"(?s){sentence}"):
        provoke()
