"""Closeness to the samples of fit: outliers are far, whatever else is in X."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.metrics import roc_auc_score

from skdim._model.closeness import closeness, draw_reference, project, threshold


@pytest.fixture(scope="module")
def trained(quick, digits):
    params = {"max_epochs": 10, "encoder_params": {"width": 16, "n_hidden": 256}}
    return quick(**params).fit(digits.images[:300])


@pytest.mark.parametrize("n_reference", [2, 3, 6, 40])
def test_closeness_is_minus_the_mean_distance_to_the_nearest(n_reference):
    rng = np.random.default_rng(0)
    features, reference = rng.normal(size=(300, 4)), rng.normal(size=(n_reference, 4))
    distances = np.sort(np.linalg.norm(features[:, None] - reference, axis=2), axis=1)
    n_nearest = min(5, n_reference - 1)
    expected = -distances[:, :n_nearest].mean(1) / np.sqrt(np.square(reference).sum(1).mean())
    np.testing.assert_allclose(closeness(features, reference), expected)
    np.testing.assert_allclose(closeness(3 * features, 3 * reference), expected)


@pytest.mark.parametrize("rounding", [0, 1e-6])
def test_a_sample_of_the_reference_has_the_score_that_it_would_have_as_a_new_one(rounding):
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(40, 4))
    unit = np.sqrt(np.square(reference).sum(1).mean())
    scores = closeness(reference + rounding * rng.normal(size=(40, 4)), reference)
    for i, score in enumerate(scores):
        others = np.delete(reference, i, axis=0)
        other_unit = np.sqrt(np.square(others).sum(1).mean())
        expected = closeness(reference[i : i + 1], others)[0] * other_unit / unit
        assert score == pytest.approx(expected, abs=10 * rounding + 1e-12)


def test_a_far_sample_of_the_reference_is_itself_in_float32_too():
    reference = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    reference[3] *= 1e5
    rounded = reference * np.float32(1 + 1e-6)
    expected = closeness(reference, reference)[3]
    np.testing.assert_allclose(closeness(rounded, reference)[3], expected, rtol=1e-5)


def test_samples_that_are_all_the_same_are_close():
    same = np.ones((10, 4))
    np.testing.assert_array_equal(closeness(same, same), 0)
    np.testing.assert_array_equal(closeness(0 * same, 0 * same), 0)


@pytest.mark.parametrize("n_samples", [1, 2000, 2001, 50_000])
def test_a_reference_is_some_of_the_samples(n_samples):
    drawn = draw_reference(n_samples)
    assert len(drawn) == min(n_samples, 2000)
    assert (np.diff(drawn) > 0).all()
    assert 0 <= drawn[0] <= drawn[-1] < n_samples
    np.testing.assert_array_equal(drawn, draw_reference(n_samples))


def test_a_threshold_is_a_quantile_or_the_fence_of_a_box_plot():
    scores = -np.random.default_rng(0).exponential(size=1001)
    for contamination in (0.01, 0.1, 0.5):
        below = (scores < threshold(scores, contamination)).mean()
        assert below == pytest.approx(contamination, abs=1e-3)
    # Of an exponential distribution: quartiles log(4 / 3) and log(4), which differ by log(3).
    fence = -np.log(4) - 1.5 * np.log(3)
    assert threshold(scores, "auto") == pytest.approx(fence, rel=0.1)


def test_projection_keeps_distances():
    hidden = np.random.default_rng(0).normal(size=(50, 3000)).astype(np.float32)
    ratios = pdist(project(hidden)) / pdist(hidden)
    assert ratios.std() < 0.1 * ratios.mean()
    np.testing.assert_array_equal(project(hidden[7:8]), project(hidden)[7:8])
    np.testing.assert_array_equal(project(hidden[:, :100]), hidden[:, :100])


def test_a_sample_of_fit_is_closest_to_itself(quick, digits):
    X = digits.images[:300]
    model = quick(max_epochs=2, neighbor_averaging=False).fit(X).model_
    hidden = model.features(X[:, None].astype(np.float32), "hidden")
    assert closeness(project(hidden), model.reference[[0, 0]]).max() > -1e-5


OUTLIERS = {
    "noise": lambda X, rng: rng.uniform(0, 16, X.shape),
    "shuffled pixels": lambda X, rng: rng.permuted(X.reshape(len(X), -1), axis=1).reshape(X.shape),
    "shifted": lambda X, rng: X + 100,
    "negative": lambda X, rng: 16 - X,
    "large": lambda X, rng: X * 20,
}


@pytest.mark.filterwarnings("ignore:X seems to be in other units")
@pytest.mark.parametrize("make", OUTLIERS.values(), ids=OUTLIERS)
def test_outliers_have_lower_scores(trained, digits, make):
    X = digits.images[300:500]
    outliers = make(X, np.random.default_rng(0))
    labels = np.repeat([1, 0], len(X))
    scores = np.r_[trained.score_samples(X), trained.score_samples(outliers)]
    assert roc_auc_score(labels, scores) > 0.95


def test_the_score_of_a_sample_does_not_depend_on_the_others(trained, digits):
    X = digits.images[300:400]
    scores = trained.score_samples(X)
    assert scores.shape == (100,)
    np.testing.assert_array_equal(trained.score_samples(X[7:8]), scores[7:8])
    np.testing.assert_array_equal(trained.score_samples(X[::-1]), scores[::-1])
