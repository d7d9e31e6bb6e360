"""Laws of every MI estimator, known values, and divergences that are known in closed form."""

import itertools
import math

import numpy as np
import pytest
import torch

from skdim.mutual_information import ESTIMATORS, dv, has_reduction, infonce
from skdim.objective.pairs import split_pairs

LOG2 = math.log(2)

# Values of the official definitions on a small example, executed once with the authors' formulas;
# chi2, which is wrong there, by Pearson's.
SCORES = torch.tensor([[[1, 2], [-1, 0.5]], [[0, -2], [3, 1.5]]], dtype=torch.float64)
ORACLE = {
    "jsd": 0.686893,
    "infonce": -0.269264,
    "dv": 2.113277,
    "nwj": 1.585117,
    "rkl": 1.430967,
    "hellinger": 1.017983,
    "chi2": 2.171875,
}

# The two terms of the MI estimators that are a mean over joint minus a mean over marginal pairs.
PLAIN = {
    "jsd": (
        lambda t: LOG2 - torch.log(1 + torch.exp(-t)),
        lambda t: torch.log(1 + torch.exp(t)) - LOG2,
    ),
    "nwj": (lambda t: t, lambda t: torch.exp(t - 1)),
    "rkl": (lambda t: -torch.exp(-t), lambda t: t - 1),
    "hellinger": (lambda t: 1 - torch.exp(-t), lambda t: torch.exp(t) - 1),
    "chi2": (lambda t: t, lambda t: t**2 / 4 + t),
}

# What each bounds, of a joint p and a marginal q given as tables; and the score that attains it.
DIVERGENCES = {
    "jsd": lambda p, q: (p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))).sum(),
    "dv": lambda p, q: (p * np.log(p / q)).sum(),
    "nwj": lambda p, q: (p * np.log(p / q)).sum(),
    "rkl": lambda p, q: (q * np.log(q / p)).sum(),
    "hellinger": lambda p, q: ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(),
    "chi2": lambda p, q: ((p - q) ** 2 / q).sum(),
}
TIGHT = {
    "jsd": np.log,
    "dv": np.log,
    "nwj": lambda r: 1 + np.log(r),
    "rkl": np.log,
    "hellinger": lambda r: np.log(r) / 2,
    "chi2": lambda r: 2 * (r - 1),
}
LIMITS = {"jsd": 2 * LOG2, "hellinger": 2.0, "infonce": 0.0}


def random_scores(n=5, n_locations=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, n, n_locations, generator=generator, dtype=torch.float64)


def plain_bound(name, scores):
    """The definitions by loops over pairs, sharing no code with the library."""
    n, _, n_locations = scores.shape
    joint = [scores[i, i, k] for i in range(n) for k in range(n_locations)]
    marginal = [
        scores[i, j, k] for i, j in itertools.permutations(range(n), 2) for k in range(n_locations)
    ]
    if name in PLAIN:
        of_joint, of_marginal = PLAIN[name]
        positive = sum(map(of_joint, joint)) / len(joint)
        return positive - sum(map(of_marginal, marginal)) / len(marginal)
    if name == "dv":
        mean_exp = sum(torch.exp(t) for t in marginal) / len(marginal)
        return sum(joint) / len(joint) - torch.log(mean_exp)
    total = 0
    for i in range(n):
        others = sum(
            torch.exp(scores[i, j, k]) for j in range(n) if j != i for k in range(n_locations)
        )
        for k in range(n_locations):
            positive = torch.exp(scores[i, i, k])
            total = total + torch.log(positive / (positive + others))
    return total / (n * n_locations)


def test_every_mi_estimator_has_an_oracle():
    assert set(ORACLE) == set(ESTIMATORS)
    assert set(DIVERGENCES) == set(TIGHT) == set(ESTIMATORS) - {"infonce"}


def test_every_mi_estimator_of_skdim_says_how_it_reduces_negatives():
    assert all(has_reduction(mi_estimator) for mi_estimator in ESTIMATORS.values())
    assert not has_reduction(lambda joint, marginal: joint.mean())


@pytest.mark.parametrize("name", ESTIMATORS)
def test_known_value(name):
    bound = ESTIMATORS[name](*split_pairs(SCORES))
    assert bound.item() == pytest.approx(ORACLE[name], abs=1e-6)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_value_and_gradient_equal_those_of_the_plain_formula(name, dtype, tolerance):
    ours, plain = random_scores().to(dtype).requires_grad_(), random_scores().requires_grad_()
    bound, expected = ESTIMATORS[name](*split_pairs(ours)), plain_bound(name, plain)
    bound.backward()
    expected.backward()
    torch.testing.assert_close(bound.double(), expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(ours.grad.double(), plain.grad, rtol=0, atol=tolerance)


COUNTS = np.array([[6, 1, 2], [1, 4, 1], [3, 2, 5]])


def tables():
    """A joint distribution and the product of its marginals, as counts and as probabilities."""
    product = np.outer(COUNTS.sum(1), COUNTS.sum(0))
    return COUNTS, product, COUNTS / COUNTS.sum(), product / product.sum()


def expected_bound(name, scores):
    """The bound when the batch holds every pair as often as the tables say."""
    counts, product, _, _ = tables()
    joint = torch.from_numpy(np.repeat(scores.ravel(), counts.ravel()))[None]
    marginal = torch.from_numpy(np.repeat(scores.ravel(), product.ravel()))[None, None]
    return ESTIMATORS[name](joint, marginal).item()


@pytest.mark.parametrize("name", DIVERGENCES)
def test_bound_is_tight_at_the_stated_score(name):
    _, _, p, q = tables()
    divergence = DIVERGENCES[name](p, q)
    assert expected_bound(name, TIGHT[name](p / q)) == pytest.approx(divergence, abs=1e-10)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_no_score_exceeds_the_divergence(name):
    _, _, p, q = tables()
    rng = np.random.default_rng(0)
    for _ in range(100):
        scores = TIGHT[name](p / q) + rng.normal(size=p.shape)
        assert expected_bound(name, scores) < DIVERGENCES[name](p, q)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_constant_scores_reach_chance_at_most(name):
    chance = -math.log(1 + 6 * 3) if name == "infonce" else 0.0
    bounds = [
        ESTIMATORS[name](t.expand(4, 3), t.expand(4, 6, 3)).item()
        for t in torch.linspace(-3, 3, 61, dtype=torch.float64)
    ]
    assert max(bounds) == pytest.approx(chance, abs=1e-12)


@pytest.mark.parametrize("name", LIMITS)
def test_bounds_with_a_limit_reach_it_and_do_not_exceed_it(name):
    perfect = ESTIMATORS[name](torch.full((3, 2), 1e3), torch.full((3, 4, 2), -1e3))
    assert perfect.item() == pytest.approx(LIMITS[name])
    for seed in range(20):
        assert ESTIMATORS[name](*split_pairs(10 * random_scores(seed=seed))) <= LIMITS[name]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_bound_rises_with_joint_and_falls_with_marginal_scores(name):
    # Above -2: no ratio of densities has a chi2 score below.
    scores = random_scores().clamp(min=-1.9)
    joint, marginal = (t.clone().requires_grad_() for t in split_pairs(scores))
    ESTIMATORS[name](joint, marginal).backward()
    assert (joint.grad > 0).all()
    assert (marginal.grad < 0).all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_order_of_negatives_and_locations_does_not_matter(name):
    joint, marginal = split_pairs(random_scores())
    shuffled = marginal[:, torch.randperm(4)][:, :, torch.randperm(3)]
    torch.testing.assert_close(ESTIMATORS[name](joint, marginal), ESTIMATORS[name](joint, shuffled))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_leading_axes_are_averaged(name):
    one, two = random_scores(seed=1), random_scores(seed=2)
    both = ESTIMATORS[name](*split_pairs(torch.stack([one, two])))
    each = [ESTIMATORS[name](*split_pairs(scores)) for scores in (one, two)]
    torch.testing.assert_close(both, sum(each) / 2)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sign", [-1, 1])
def test_extreme_scores_stay_finite(name, dtype, sign):
    scores = (sign * 1e4 * torch.eye(4)[:, :, None]).to(dtype).requires_grad_()
    bound = ESTIMATORS[name](*split_pairs(scores))
    bound.backward()
    assert bound.isfinite()
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_known_information_of_gaussians(correlation):
    """With the optimal critic, log p(y | x) / p(y), both bounds are tight."""
    n = 4000
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, n, generator=generator, dtype=torch.float64)
    r = correlation
    y = r * x + math.sqrt(1 - r**2) * noise
    residual = y[None, :] - r * x[:, None]
    scores = 0.5 * (y[None, :] ** 2 - residual**2 / (1 - r**2)) - 0.5 * math.log(1 - r**2)
    joint, marginal = split_pairs(scores[:, :, None])
    information = -0.5 * math.log(1 - r**2)
    assert dv(joint, marginal).item() == pytest.approx(information, abs=0.05)
    assert infonce(joint, marginal).item() + math.log(n) == pytest.approx(information, abs=0.05)
