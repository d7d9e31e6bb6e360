"""A bound in chunks is that of loops over all allowed pairs, and so are its gradients."""

import math

import pytest
import torch

from skdim.critics import PublishedSeparableCritic, SeparableCritic, score_parts
from skdim.mutual_information import (
    ESTIMATORS,
    by_log_mean_exp,
    by_log_sum_exp,
    difference_of_means,
    dv,
    infonce,
    jsd,
)
from skdim.objective.pairs import split_pairs
from skdim.objective.scores import bound_in_chunks

N_VIEWS, N, N_LOCATIONS = 2, 7, 3
SCORES_PER_CODE = N_VIEWS * N * N_LOCATIONS
GROUPS = {
    "no groups": None,
    "groups of one": torch.arange(N),
    "groups": torch.tensor([0, 1, 0, 2, 2, 3, 0]),
    "all but one": torch.tensor([0, 0, 0, 0, 4, 0, 0]),
}
# What a pair adds to the bounds that are a mean over joint minus a mean over marginal pairs.
PLAIN = {
    "jsd": (
        lambda t: 2 * math.log(2) - torch.log(1 + torch.exp(-t)),
        lambda t: torch.log(1 + torch.exp(t)),
    ),
    "nwj": (lambda t: t, lambda t: torch.exp(t - 1)),
    "rkl": (lambda t: -torch.exp(-t), lambda t: t - 1),
    "hellinger": (lambda t: 1 - torch.exp(-t), lambda t: torch.exp(t) - 1),
    "chi2": (lambda t: t, lambda t: t**2 / 4 + t),
}


def draw_parts(n_views=N_VIEWS, n=N, n_locations=N_LOCATIONS, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        x = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return x.requires_grad_()

    return [(draw(n_views, n, w), draw(n_views, n, n_locations, w)) for w in (5, 2)]


def mean(values):
    return sum(values) / len(values)


def loops(name, scores, groups):
    """The bound of one view by loops over allowed pairs, sharing no code with the library."""
    n, _, n_locations = scores.shape
    bounds, mean_exps = [], []
    for i in range(n):
        positives = [scores[i, i, k] for k in range(n_locations)]
        allowed = [j for j in range(n) if (j != i if groups is None else groups[j] != groups[i])]
        negatives = [scores[i, j, k] for j in allowed for k in range(n_locations)]
        if name == "infonce":
            others = sum(torch.exp(t) for t in negatives)
            logs = [torch.log(torch.exp(t) / (torch.exp(t) + others)) for t in positives]
            bounds.append(mean(logs))
        elif name == "dv":
            bounds.append(mean(positives))
            mean_exps.append(mean([torch.exp(t) for t in negatives]))
        else:
            positive, negative = PLAIN[name]
            bounds.append(
                mean(list(map(positive, positives))) - mean(list(map(negative, negatives)))
            )
    return mean(bounds) - (torch.log(mean(mean_exps)) if mean_exps else 0)


def gradients(bound, parts):
    return torch.autograd.grad(3 * bound, [x for part in parts for x in part])


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("n_codes", [1, 2, 3, 6, 7, 100])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_bound_and_gradients_are_those_of_loops_over_the_allowed_pairs(name, n_codes, groups):
    parts = draw_parts()
    expected = mean([loops(name, view, groups) for view in score_parts(parts)])
    chunk_size = n_codes * SCORES_PER_CODE
    bound = bound_in_chunks(ESTIMATORS[name], parts, groups, chunk_size=chunk_size)
    torch.testing.assert_close(bound, expected, rtol=0, atol=1e-10)
    for ours, plain in zip(gradients(bound, parts), gradients(expected, parts), strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_without_groups_the_bound_is_the_mi_estimator_of_all_pairs(name):
    parts = draw_parts(n=20)
    expected = ESTIMATORS[name](*split_pairs(score_parts(parts)))
    bound = bound_in_chunks(ESTIMATORS[name], parts)
    torch.testing.assert_close(bound, expected, rtol=1e-12, atol=1e-12)


def test_samples_of_two_groups_have_half_the_negatives_of_infonce():
    """With constant scores the value shows how many negatives were counted."""
    n, n_locations = 64, 16
    constant = [(torch.zeros(1, n, 1), torch.zeros(1, n, n_locations, 1))]
    bound = bound_in_chunks(infonce, constant, torch.arange(n) % 2)
    assert bound.item() == pytest.approx(-math.log(1 + n // 2 * n_locations), abs=1e-5)


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"infonce"}))
def test_means_do_not_depend_on_how_many_samples_groups_leave(name):
    """With constant scores every mean over negatives is that of one pair."""
    score = torch.tensor([[[0.3]]])
    parts = [(score.expand(1, N, 1), torch.ones(1, N, N_LOCATIONS, 1))]
    expected = ESTIMATORS[name](score.expand(1, N, N_LOCATIONS), score.expand(1, N, 1, 1))
    bound = bound_in_chunks(ESTIMATORS[name], parts, GROUPS["groups"])
    assert bound.item() == pytest.approx(expected.item(), abs=1e-6)


@difference_of_means
def my_jsd(joint, marginal):
    return 2 * math.log(2) - (1 + (-joint).exp()).log(), (1 + marginal.exp()).log()


@by_log_sum_exp
def my_infonce(joint, marginal):
    others = marginal.exp().sum((-2, -1)).unsqueeze(-1)
    return (joint.exp() / (joint.exp() + others)).log().mean()


@by_log_mean_exp
def my_dv(joint, marginal):
    return joint.mean() - marginal.exp().mean((-3, -2, -1)).log().mean()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(my_jsd, jsd), (my_infonce, infonce), (my_dv, dv)],
    ids=["jsd", "nce", "dv"],
)
def test_formulas_of_a_user_that_say_how_they_reduce_are_scored_alike(theirs, ours):
    parts = draw_parts()
    bounds = [
        bound_in_chunks(f, parts, GROUPS["groups"], chunk_size=2 * SCORES_PER_CODE)
        for f in (ours, theirs)
    ]
    torch.testing.assert_close(*bounds, rtol=0, atol=1e-12)


def test_a_function_sees_a_few_codes_at_a_time():
    seen = []

    @by_log_sum_exp
    def spy(joint, marginal):
        seen.append((joint.shape[1], marginal.shape[1]))
        return infonce(joint, marginal)

    bound = bound_in_chunks(spy, draw_parts(), chunk_size=2 * SCORES_PER_CODE)
    assert seen == [(2, 2), (2, 2), (2, 2), (1, 1)]
    assert bound.requires_grad


def test_no_gradients_are_computed_where_none_are_needed():
    parts = [(q.detach(), k.detach()) for q, k in draw_parts()]
    assert not bound_in_chunks(infonce, parts, chunk_size=SCORES_PER_CODE).requires_grad


def test_a_bound_can_be_differentiated_once_only():
    bound = bound_in_chunks(jsd, parts := draw_parts())
    torch.autograd.grad(bound, parts[0][0], retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        torch.autograd.grad(bound, parts[0][0])


@pytest.mark.parametrize("name", ["jsd", "infonce", "dv"])
@pytest.mark.parametrize("critic", [SeparableCritic, PublishedSeparableCritic])
def test_half_precision_stays_near_double_in_chunks_and_in_one(critic, name):
    torch.manual_seed(0)
    mi_estimator = ESTIMATORS[name]
    built = critic(5, 4, 16)
    code, local_map = torch.randn(1, 32, 5), torch.randn(1, 32, 6, 4)
    exact = bound_in_chunks(mi_estimator, built.double().embed(code.double(), local_map.double()))
    weights = list(built.float().parameters())

    def gradient_of(chunk_size):
        with torch.autocast("cpu", torch.bfloat16):
            bound = bound_in_chunks(
                mi_estimator, built.embed(code, local_map), chunk_size=chunk_size
            )
        assert bound.dtype == torch.float32
        assert abs(bound - exact) < 0.02 * max(1, abs(exact))
        return torch.cat([g.flatten() for g in torch.autograd.grad(bound, weights)])

    at_once, in_chunks = gradient_of(10**9), gradient_of(6 * 32)
    assert (at_once - in_chunks).norm() < 0.02 * at_once.norm()
