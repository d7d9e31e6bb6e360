"""Measures for choosing without labels: against plain loops, at their limits, and in a search."""

import inspect
import pickle

import numpy as np
import pytest
from scipy.stats import special_ortho_group
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdim import DIMTransformer, evaluation
from skdim.evaluation import (
    alpha_req,
    effective_rank_scorer,
    few_labels_scorer,
    lidar,
    neighbor_overlap,
    neighbor_overlap_scorer,
    shared_dimension,
    shared_dimension_scorer,
    view_agreement,
    view_agreement_scorer,
    view_nearest_neighbor,
    view_nearest_neighbor_scorer,
    view_retrieval,
    view_retrieval_scorer,
)

MEASURES = (
    view_nearest_neighbor,
    view_agreement,
    view_retrieval,
    neighbor_overlap,
    shared_dimension,
    lidar,
)
SCORERS = (
    view_nearest_neighbor_scorer,
    view_agreement_scorer,
    view_retrieval_scorer,
    neighbor_overlap_scorer,
    shared_dimension_scorer,
    effective_rank_scorer,
)


def noisy_views(noise, n_views=3, n=40, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(1, n, d)) + noise * rng.normal(size=(n_views, n, d))


def nearest(view, i, candidates, k):
    return set(sorted(candidates, key=lambda j: np.sum((view[j] - i) ** 2))[:k])


def test_view_nearest_neighbor_is_that_of_plain_loops():
    views, hits = noisy_views(0.7), []
    for a, view in enumerate(views):
        for b, other in enumerate(views):
            if a != b:
                hits += [nearest(other, x, range(40), 1) == {i} for i, x in enumerate(view)]
    assert 0 < np.mean(hits) < 1
    assert view_nearest_neighbor(views) == pytest.approx(np.mean(hits))


def test_view_retrieval_is_that_of_plain_loops():
    views = noisy_views(0.7) * [9, 4, 1, 1, 1, 1]
    around = (views - views.mean(0)).reshape(120, 6)
    within = around.T @ around / 80
    variance = np.trace(within + np.cov(views.mean(0).T)) / 6
    inverse = np.linalg.inv(within + 0.1 * variance * np.eye(6))
    logs = []
    for a, view in enumerate(views):
        for b, other in enumerate(views):
            if a != b:
                for i, x in enumerate(view):
                    distances = [(x - z) @ inverse @ (x - z) for z in other]
                    logs.append(np.log(1 + sum(d < distances[i] for d in distances)))
    assert view_retrieval(views) == pytest.approx(1 - np.mean(logs) / np.log(40))


def test_view_retrieval_hardly_sees_a_direction_in_which_views_differ():
    views = noisy_views(0.2)
    loud = np.random.default_rng(1).normal(scale=3.0, size=(3, 40, 1))
    spoilt = np.concatenate([views, loud], axis=2)
    assert view_retrieval(spoilt) > 0.9 * view_retrieval(views)
    assert view_nearest_neighbor(spoilt) < 0.7 * view_nearest_neighbor(views)


def test_neighbor_overlap_is_that_of_plain_loops():
    views, shares = noisy_views(0.7), []
    for a in range(3):
        for b in range(a):
            for i in range(40):
                others = [j for j in range(40) if j != i]
                mine = nearest(views[a], views[a][i], others, 5)
                shares.append(len(mine & nearest(views[b], views[b][i], others, 5)) / 5)
    assert 0 < np.mean(shares) < 1
    assert neighbor_overlap(views, n_neighbors=5) == pytest.approx(np.mean(shares))


DISTANCES = (view_nearest_neighbor, view_agreement, view_retrieval, neighbor_overlap)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(("scale", "offset"), [(1, 1e8), (1e-8, 1), (1e8, -1e8), (1e-100, 0)])
def test_a_measure_does_not_depend_on_offset_and_scale(measure, scale, offset):
    if measure is lidar and scale < 1:
        pytest.skip("its regularization is an absolute variance")
    views = noisy_views(0.5)
    assert measure(scale * views + offset) == pytest.approx(measure(views), abs=2e-3)


@pytest.mark.parametrize("measure", DISTANCES)
@pytest.mark.parametrize("n_clusters", [2, 4])
@pytest.mark.parametrize("n_features", [1, 3])
def test_samples_at_the_same_distance_are_in_no_order(measure, n_clusters, n_features):
    """A measure of ties is its mean over noise that breaks them at random."""
    n = 32
    rng = np.random.default_rng(0)
    points = rng.normal(size=(n_clusters, n_features))
    features = np.concatenate([points, np.repeat(points[:1], n - n_clusters, 0)]) + 0.1
    broken = [features + 1e-6 * rng.normal(size=(2, *features.shape)) for _ in range(100)]
    expected = np.mean([measure(views) for views in broken])
    assert measure([features, features]) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("measure", DISTANCES)
def test_features_that_distinguish_a_single_sample_are_near_chance(measure):
    features = np.zeros((200, 1))
    features[0] = 1
    assert measure([features, features]) < 0.25


def test_shared_dimension_adds_up_the_shares_of_independent_directions():
    rng = np.random.default_rng(0)
    noise = np.array([0.0, 0.5, 1.0, 3.0])
    views = rng.normal(size=(1, 20_000, 4)) + noise * rng.normal(size=(4, 20_000, 4))
    assert shared_dimension(views) == pytest.approx(np.sum(1 / (1 + noise**2)), abs=0.02)


def test_lidar_is_the_effective_rank_of_what_distinguishes_samples():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(1, 20_000, 4)) * [3, 3, 3, 0]  # of the last, all are noise
    views = samples + rng.normal(size=(20, 20_000, 4))
    assert lidar(views) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 3.0])
def test_alpha_req_is_the_exponent_of_the_spectrum(alpha):
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(60, 12)))[0]
    features = np.concatenate([basis, -basis]) * np.arange(1, 13) ** (-alpha / 2)
    assert alpha_req(features) == pytest.approx(alpha, abs=1e-9)
    assert np.isnan(alpha_req(np.ones((5, 3))))


def test_view_agreement_is_the_geometric_mean_of_its_parts():
    views = noisy_views(0.7)
    parts = view_retrieval(views), neighbor_overlap(views, 8), shared_dimension(views) / 6
    assert view_agreement(views) == pytest.approx(np.prod(parts) ** (1 / 3))


@pytest.mark.parametrize("measure", MEASURES)
def test_measures_ignore_order_offset_and_rotation(measure):
    views = noisy_views(0.7)
    order = np.random.default_rng(1).permutation(40)
    rotation = special_ortho_group.rvs(6, random_state=0)
    changed = views[::-1][:, order] @ rotation + 5
    assert measure(changed) == pytest.approx(measure(views))


@pytest.mark.parametrize("measure", MEASURES[:5])
def test_less_noise_is_better_and_none_is_best(measure):
    values = [measure(noisy_views(noise)) for noise in (10.0, 1.0, 0.3, 0.0)]
    assert values == sorted(values)
    assert values[0] < values[-1]
    assert values[-1] == pytest.approx({shared_dimension: 6}.get(measure, 1))


@pytest.mark.parametrize("measure", MEASURES[1:])
def test_constant_features_are_worth_nothing(measure):
    by_chance = 10 / 29 if measure is neighbor_overlap else 0
    assert measure(np.full((2, 30, 3), 0.1)) == pytest.approx(by_chance)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("shape", [(5, 3), (1, 5, 3), (2, 1, 3)])
def test_measures_name_the_shape_that_they_need(measure, shape):
    with pytest.raises(ValueError, match="views"):
        measure(np.ones(shape))


@pytest.mark.parametrize("n_neighbors", [0, 40])
def test_neighbors_are_others(n_neighbors):
    with pytest.raises(ValueError, match=f"1 to 39.*Got {n_neighbors}"):
        neighbor_overlap(noisy_views(1.0), n_neighbors=n_neighbors)


@pytest.fixture(scope="module")
def fitted(quick, digits):
    return quick().fit(digits.images[:200])


@pytest.mark.parametrize("scorer", SCORERS)
def test_scorers_choose_in_a_search(quick, digits, scorer):
    search = GridSearchCV(quick(), {"learning_rate": [1e-4, 5e-3]}, cv=2, scoring=scorer)
    search.fit(digits.images[:120])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert scorer(search.best_estimator_, digits.images[:120]) == scorer(
        search.best_estimator_, digits.images[:120]
    )


def test_a_search_in_parallel_processes_has_the_same_scores(quick, digits):
    search = GridSearchCV(
        quick(), {"learning_rate": [1e-4, 5e-3]}, cv=2, scoring=view_agreement_scorer
    )
    one, two = (
        search.set_params(n_jobs=n_jobs).fit(digits.images[:120]).cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    )
    np.testing.assert_allclose(two, one, rtol=1e-4)


@pytest.mark.parametrize(("measure", "scorer"), list(zip(MEASURES[:5], SCORERS, strict=False)))
def test_a_scorer_is_a_function_of_its_module_named_after_its_measure(measure, scorer):
    assert pickle.loads(pickle.dumps(scorer)) is scorer
    assert scorer.__name__ == scorer.__qualname__ == f"{measure.__name__}_scorer"
    assert getattr(evaluation, scorer.__name__) is scorer
    assert scorer.__module__ == measure.__module__
    assert list(inspect.signature(scorer).parameters) == ["estimator", "X", "y"]
    assert inspect.getdoc(scorer).startswith(f"`{measure.__name__}` of four views of X;")
    assert "\nReturns\n-------\nscore : float\n" in inspect.getdoc(scorer)


def test_a_scorer_is_its_measure_of_four_views(fitted, digits):
    X = digits.images[:40]
    views = fitted.transform_views(X, n_views=4, max_samples=600, random_state=0)
    expected = [measure(views) for measure in MEASURES[:5]]
    expected[3] = neighbor_overlap(views, n_neighbors=8)  # a fifth of 40 samples
    assert [scorer(fitted, X) for scorer in SCORERS[:5]] == expected


@pytest.mark.parametrize("scorer", SCORERS[:5])
def test_scorers_read_the_last_step_of_a_pipeline(quick, digits, scorer):
    X = digits.data[:120]
    scaled = StandardScaler().fit_transform(X)
    pipeline = make_pipeline(StandardScaler(), "passthrough", quick()).fit(X)
    assert scorer(pipeline, X) == pytest.approx(scorer(quick().fit(scaled), scaled))
    with pytest.raises(TypeError, match=r"ends in one.*Got LogisticRegression"):
        scorer(make_pipeline(quick(), LogisticRegression()), X)


def test_scorers_see_a_trained_encoder_from_a_random_one(digits):
    X = digits.images[:400]
    small = {"encoder_params": {"width": 16, "n_hidden": 64}, "random_state": 0}
    untrained = DIMTransformer(16, max_epochs=1, learning_rate=1e-12, **small).fit(X)
    trained = DIMTransformer(16, max_epochs=12, **small).fit(X)
    for scorer in SCORERS[:5]:
        assert scorer(trained, X) > scorer(untrained, X)


def test_few_labels_are_all_that_the_scorer_reads(fitted, digits):
    X, y = digits.images[:200], digits.target[:200].copy()
    y[60:] = -1
    score = few_labels_scorer(fitted, X, y)
    assert 0.3 < score < 1
    assert score == few_labels_scorer(fitted, X[:60], y[:60])
    names = np.array([f"digit {label}" for label in y[:60]])
    assert score == few_labels_scorer(fitted, X[:60], names)


@pytest.mark.parametrize("y", [np.full(200, -1), np.r_[0, 1, np.full(198, -1)], np.zeros(200)])
def test_few_labels_must_be_enough(fitted, digits, y):
    with pytest.raises(ValueError, match=r"at least two classes.*Got \d+ labels of \d classes"):
        few_labels_scorer(fitted, digits.images[:200], y)


def test_effective_rank_is_a_scorer(quick, digits):
    search = GridSearchCV(
        quick(), {"mi_estimator": ["jsd", "infonce"]}, cv=2, scoring=effective_rank_scorer
    ).fit(digits.images[:100])
    assert (search.cv_results_["mean_test_score"] > 1).all()
