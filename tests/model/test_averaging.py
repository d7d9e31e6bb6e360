"""Averages over similar samples: a kernel smoother, and what it does to features."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel

from skdim import DIMTransformer
from skdim._model import averaging
from skdim._model.averaging import (
    BANDWIDTH,
    N_COMPARED,
    Neighbors,
    NeighborsLayer,
    bandwidth,
    half_squares,
    strength,
)
from skdim._model.readout import LARGEST_VARIANCE

RNG = np.random.default_rng(0)
OF_HIDDEN = ["components", "hidden"]


def mean_of_similar(points, samples):
    return averaging.mean_of_similar(points, samples, half_squares(samples))


def tensors(*shapes):
    return [torch.from_numpy(RNG.normal(size=shape)) for shape in shapes]


def test_means_are_those_of_a_normal_kernel():
    points, samples = tensors((7, 3), (40, 3))
    weights = rbf_kernel(points, samples, gamma=0.5)
    expected = weights @ samples.numpy() / weights.sum(1, keepdims=True)
    np.testing.assert_allclose(mean_of_similar(points, samples), expected)


def test_a_sample_is_not_averaged_with_itself():
    (samples,) = tensors((40, 3))
    means = mean_of_similar(samples, samples)
    for i in range(len(samples)):
        others = torch.cat([samples[:i], samples[i + 1 :]])
        expected = mean_of_similar(samples[i : i + 1], others)
        np.testing.assert_allclose(means[i : i + 1], expected)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_samples_that_are_all_the_same_have_their_mean(value):
    samples = torch.full((5, 2), value)
    np.testing.assert_allclose(mean_of_similar(samples, samples), samples)
    assert bandwidth(np.zeros((5, 2), np.float32)) == 1


def test_a_point_far_from_all_samples_has_the_nearest():
    (samples,) = tensors((40, 3))
    point = samples[3:4] * 1e6
    nearest = torch.cdist(point, samples).argmin()
    np.testing.assert_allclose(mean_of_similar(point, samples)[0], samples[nearest], rtol=1e-6)


@pytest.mark.parametrize(("n", "share"), [(20, 0.5), (2000, 0.5), (4500, 0.75), (8000, 1.0)])
def test_the_more_samples_are_remembered_the_more_their_mean_counts(n, share):
    assert strength(n) == pytest.approx(share)


def test_the_layer_of_a_network_has_the_same_means():
    arrays = [RNG.normal(size=shape).astype(np.float32) for shape in ((6, 3), (40, 3), (30, 6))]
    neighbors = Neighbors(*arrays[:2])
    means = neighbors.mean_of_similar(arrays[2])
    assert means.dtype == np.float32
    layer = NeighborsLayer(neighbors)
    np.testing.assert_allclose(layer(torch.from_numpy(arrays[2])), means, atol=1e-4)


@pytest.fixture(scope="module")
def fitted(digits):
    return DIMTransformer(24, max_epochs=2, random_state=0).fit(digits.images[:400])


def features(dim, output, X, *, averaged=True):
    readout = dim.model_.readouts[output]
    batches = dim.model_.encode(X[:, None].astype(np.float32), with_fixed=True)
    return (readout if averaged else readout.by_itself).read(batches)


def test_the_hidden_layer_is_moved_along_its_principal_components(fitted, digits):
    """Part of the mean of similar samples is added, in the components that are compared."""
    X = digits.images[400:450]
    own_of_fit, own = (
        features(fitted, "hidden", part, averaged=False) for part in (digits.images[:400], X)
    )
    _, _, axes = np.linalg.svd(own_of_fit, full_matrices=False)
    axes = axes[:N_COMPARED]  # a randomised algorithm finds them, nearly
    points, samples = own @ axes.T, own_of_fit @ axes.T
    width = BANDWIDTH * np.sqrt(np.square(samples).sum(1).mean())
    means = mean_of_similar(*(torch.from_numpy(p / width) for p in (points, samples))) * width
    added = features(fitted, "hidden", X) - own
    expected = strength(400) * means.numpy() @ axes
    assert np.linalg.norm(added - expected) < 0.15 * np.linalg.norm(expected)


@pytest.mark.parametrize(("output", "variance"), [("components", 24), ("hidden", LARGEST_VARIANCE)])
def test_averages_have_the_variance_of_what_is_not_averaged(fitted, digits, output, variance):
    averages = features(fitted, output, digits.images[:400])
    assert averages.var(0).sum() == pytest.approx(variance, rel=0.01)
    assert np.abs(averages.mean(0)).max() < 0.1


def test_averaged_components_are_uncorrelated_and_in_order(fitted, digits):
    components = features(fitted, "components", digits.images[:400])
    covariance = np.cov(components.T)
    variances = np.diag(covariance)
    assert np.all(np.diff(variances) < 1e-5)
    np.testing.assert_allclose(covariance, np.diag(variances), atol=1e-3 * variances[0])


@pytest.mark.parametrize("output", OF_HIDDEN)
def test_features_do_not_depend_on_the_other_samples(fitted, digits, output):
    X = digits.images[390:]  # some of which are remembered
    dim = fitted.set_params(output=output)
    together = dim.transform(X)
    for part in (slice(0, 1), slice(3, 50), slice(300, 310)):
        assert np.array_equal(dim.transform(X[part]), together[part])


@pytest.fixture(scope="module")
def well_fitted(digits):
    return DIMTransformer(max_epochs=5, random_state=0).fit(digits.images[:1000])


@pytest.mark.parametrize("output", OF_HIDDEN)
def test_averages_are_better_features_if_few_samples_have_labels(well_fitted, digits, output):
    X, y = digits.images, digits.target
    labelled = [np.random.default_rng(seed).permutation(1000)[:40] for seed in range(5)]
    accuracies = []
    for averaged in (False, True):
        train, test = (
            features(well_fitted, output, part, averaged=averaged) for part in (X[:1000], X[1000:])
        )
        scores = [LogisticRegression().fit(train[i], y[i]).score(test, y[1000:]) for i in labelled]
        accuracies.append(np.mean(scores))
    assert accuracies[1] > accuracies[0] + 0.005


@pytest.mark.parametrize(
    ("shape", "choice", "is_averaged"),
    [
        ((199, 8, 8), "auto", False),
        ((200, 8, 8), "auto", True),
        ((20, 8, 8), True, True),
        ((300, 8, 8), False, False),
        ((300, 5), "auto", False),
        ((20, 5), True, True),
    ],
)
def test_auto_averages_if_there_are_enough_samples(quick, shape, choice, is_averaged):
    X = RNG.normal(size=shape)
    readouts = quick(neighbor_averaging=choice).fit(X).model_.readouts
    assert (readouts["hidden"].neighbors is not None) == is_averaged
    assert readouts["components"].neighbors is readouts["hidden"].neighbors
    assert readouts["code"].neighbors is None


def test_outliers_are_compared_without_averages(fitted, digits):
    X = digits.images[400:]
    averaged = fitted.score_samples(X)
    own = DIMTransformer(24, max_epochs=2, neighbor_averaging=False, random_state=0)
    np.testing.assert_allclose(own.fit(digits.images[:400]).score_samples(X), averaged, atol=1e-4)


def test_outputs_share_their_neighbors_after_a_file(fitted, digits, tmp_path):
    fitted.save(tmp_path / "dim")
    loaded = DIMTransformer.load(tmp_path / "dim")
    readouts = loaded.model_.readouts
    assert readouts["components"].neighbors is readouts["hidden"].neighbors
    for output in OF_HIDDEN:
        X = digits.images[:50]
        assert np.array_equal(features(loaded, output, X), features(fitted, output, X))
