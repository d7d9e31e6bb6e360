"""Held-out retrieval: chance level, perfect score, and what it must not depend on."""

import copy
import itertools

import numpy as np
import pytest
import torch
from helpers.products import cover
from sklearn.model_selection import GridSearchCV

from skdim._model.scoring import N_NEGATIVES, retrieval
from skdim.critics import CRITICS


def random_pairs(n=5, n_others=6, n_locations=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    joint = torch.randn(n, n_locations, generator=generator)
    return joint, torch.randn(n, n_others, n_locations, generator=generator)


def test_retrieval_counts_pairs():
    joint, marginal = random_pairs()
    joint[0, 0] = marginal[0, 2, 1]  # a tie
    for i, probability in enumerate(retrieval(joint, marginal)):
        pairs = list(itertools.product(joint[i], marginal[i].flatten()))
        wins = sum(float(p > n) + 0.5 * float(p == n) for p, n in pairs)
        assert probability.item() == pytest.approx(wins / len(pairs))


def test_retrieval_has_its_limits():
    joint, marginal = torch.zeros(4, 3), torch.zeros(4, 5, 3)
    assert retrieval(joint, marginal).equal(torch.full((4,), 0.5))
    assert retrieval(joint + 1, marginal).equal(torch.ones(4))
    assert retrieval(joint - 1, marginal).equal(torch.zeros(4))


@pytest.mark.parametrize("increasing", [torch.exp, torch.tanh, lambda t: 3 * t - 7, lambda t: t**3])
def test_retrieval_is_unchanged_by_increasing_functions(increasing):
    joint, marginal = random_pairs()
    assert retrieval(increasing(joint), increasing(marginal)).equal(retrieval(joint, marginal))


@pytest.fixture(scope="module")
def learned(quick, digits):
    return quick(max_epochs=10, global_weight=0.5).fit(digits.images[:300])


@pytest.mark.parametrize("n", [2, 5, 127, 128, 129, 300])
def test_all_evaluation_batches_have_one_size(learned, n):
    with learned.model_.held_out(np.zeros((n, 1, 8, 8), np.float32)) as held_out:
        batches = list(held_out.evaluation_batches())
    assert {len(indices) for indices in batches} == {min(n, 1 + N_NEGATIVES)}
    assert all(len(indices.unique()) == len(indices) for indices in batches)
    assert torch.cat(batches).unique().equal(torch.arange(n))


@pytest.fixture
def trained(learned):
    """A copy, which a test may change."""
    return copy.deepcopy(learned)


def test_score_repeats_and_beats_chance(trained, digits):
    X = digits.images[300:500]
    assert 0.6 < trained.score(X) <= 1
    assert trained.score(X) == trained.score(X)


def test_score_is_unchanged_by_a_positive_rescaling_of_the_critic(trained, digits):
    X = digits.images[300:500]
    expected = trained.score(X)
    trained.model_.objective.local_critics[0].scale *= 8
    assert trained.score(X) == pytest.approx(expected, abs=1e-6)


def test_training_raises_the_score(quick, digits, trained):
    untrained = quick(max_epochs=1, learning_rate=1e-12, global_weight=0.5)
    X = digits.images[300:500]
    assert untrained.fit(digits.images[:300]).score(X) < trained.score(X) - 0.05


def test_scoring_does_not_change_the_transformer(trained, digits):
    before = trained.transform(digits.images[:50])
    state = torch.get_rng_state()
    trained.score(digits.images[:50])
    trained.score_terms(digits.images[:50])
    assert torch.get_rng_state().equal(state)
    assert not trained.encoder_.training
    np.testing.assert_array_equal(trained.transform(digits.images[:50]), before)


MIXTURES = [(1.0, 0.0), (0.0, 1.0), (0.5, 1.0)]


@pytest.mark.parametrize(("critic", "weights"), cover(CRITICS, MIXTURES))
def test_every_critic_is_scored_in_every_mixture(quick, images, critic, weights):
    dim = quick(critic=critic, critic_width=16, global_weight=weights[0], local_weight=weights[1])
    assert 0 <= dim.fit(images).score(images[:20]) <= 1


def test_without_a_critic_the_score_is_chance(quick, images):
    dim = quick(local_weight=0, prior_weight=1.0).fit(images)
    assert dim.score(images) == 0.5


def test_score_terms_are_those_of_the_history(quick, images):
    dim = quick(global_weight=0.5, prior_weight=0.1, mi_estimator="jsd").fit(images)
    terms = dim.score_terms(images)
    assert set(terms) == {"global", "local", "prior"}
    assert terms["local"] == pytest.approx(dim.history_[-1]["local"], abs=0.3)


def test_a_search_without_labels_ranks_by_score(quick, digits):
    grid = {"mi_estimator": ["jsd", "infonce"], "critic_width": [8, 32]}
    search = GridSearchCV(quick(), grid, cv=2).fit(digits.images[:200])
    assert (search.cv_results_["mean_test_score"] > 0.5).all()
