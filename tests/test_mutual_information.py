"""Laws of every estimator, known values, and mutual information that is known in closed form."""

import itertools
import math

import pytest
import torch

from skdim.mutual_information import ESTIMATORS, dv, infonce, jsd, split_pairs

LOG2 = math.log(2)

# Values of the official definitions on a small example, executed once with the authors' formulas.
SCORES = torch.tensor([[[1, 2], [-1, 0.5]], [[0, -2], [3, 1.5]]], dtype=torch.float64)
ORACLE = {"jsd": 0.686893, "infonce": -0.269264, "dv": 2.113277}


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
    if name == "jsd":
        positive = sum(LOG2 - torch.log(1 + torch.exp(-t)) for t in joint) / len(joint)
        negative = sum(torch.log(1 + torch.exp(t)) - LOG2 for t in marginal) / len(marginal)
        return positive - negative
    if name == "dv":
        mean_exp = sum(torch.exp(t) for t in marginal) / len(marginal)
        return sum(joint) / len(joint) - torch.log(mean_exp)
    total = 0
    for i in range(n):
        others = sum(
            torch.exp(scores[i, j, k]) for j in range(n) if j != i for k in range(n_locations)
        )
        for k in range(n_locations):
            own = torch.exp(scores[i, i, k])
            total = total + torch.log(own / (own + others))
    return total / (n * n_locations)


@pytest.mark.parametrize("name", ORACLE)
def test_known_value(name):
    bound = ESTIMATORS[name](*split_pairs(SCORES))
    assert bound.item() == pytest.approx(ORACLE[name], abs=1e-6)


@pytest.mark.parametrize("name", ORACLE)
def test_value_and_gradient_equal_those_of_the_plain_formula(name):
    ours, plain = random_scores().requires_grad_(), random_scores().requires_grad_()
    bound, expected = ESTIMATORS[name](*split_pairs(ours)), plain_bound(name, plain)
    bound.backward()
    expected.backward()
    torch.testing.assert_close(bound, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.grad, plain.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_value_at_chance(name):
    joint, marginal = torch.zeros(4, 3), torch.zeros(4, 6, 3)
    chance = -math.log(1 + 6 * 3) if name == "infonce" else 0.0
    assert ESTIMATORS[name](joint, marginal).item() == pytest.approx(chance, abs=1e-6)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_bound_rises_with_joint_and_falls_with_marginal_scores(name):
    joint, marginal = (t.clone().requires_grad_() for t in split_pairs(random_scores()))
    ESTIMATORS[name](joint, marginal).backward()
    assert (joint.grad > 0).all()
    assert (marginal.grad < 0).all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_order_of_strangers_and_locations_does_not_matter(name):
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


def test_jsd_never_exceeds_its_limit():
    perfect = jsd(torch.full((3, 2), 1e6), torch.full((3, 4, 2), -1e6))
    assert perfect.item() == pytest.approx(2 * LOG2)


def test_split_pairs_excludes_self_pairs_by_index():
    n, n_locations = 4, 2
    scores = torch.arange(n * n * n_locations, dtype=torch.float32).reshape(n, n, n_locations)
    joint, marginal = split_pairs(scores)
    for i in range(n):
        assert joint[i].equal(scores[i, i])
        assert marginal[i].equal(scores[i, [j for j in range(n) if j != i]])


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
