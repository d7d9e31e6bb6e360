"""Scores made a few codes at a time give the numbers and gradients of all scores at once."""

import pytest
import torch

from skdim.objective.chunked import bound_all_pairs, score_parts
from skdim.critics import PublishedSeparableCritic, SeparableCritic
from skdim.mutual_information import ESTIMATORS, chunk_form_of, chunkable
from skdim.objective.negatives import split_pairs, negatives_of

N_VIEWS, N, N_LOCATIONS = 2, 7, 3
OF_ONE_CODE = N_VIEWS * N * N_LOCATIONS
GROUPS = {"no groups": None, "groups": torch.tensor([0, 1, 0, 2, 2, 3, 0])}


def parts():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        x = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return x.requires_grad_()

    return [(draw(N_VIEWS, N, width), draw(N_VIEWS, N, N_LOCATIONS, width)) for width in (5, 2)]


def gradients(bound, of_parts):
    return torch.autograd.grad(3 * bound, [x for part in of_parts for x in part])


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("n_codes", [1, 2, 3, 6, 7, 100])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_blocks_are_exact_forward_and_backward(name, n_codes, groups):
    estimator = ESTIMATORS[name]
    strangers = None if groups is None else negatives_of(groups)
    given = parts()
    whole = estimator(*split_pairs(score_parts(given), strangers))
    bound = bound_all_pairs(estimator, given, strangers, chunk_size=n_codes * OF_ONE_CODE)
    torch.testing.assert_close(bound, whole, rtol=0, atol=1e-10)
    for ours, plain in zip(gradients(bound, given), gradients(whole, given), strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-10)


def test_every_estimator_of_ours_can_be_scored_in_blocks():
    assert all(chunk_form_of(estimator) for estimator in ESTIMATORS.values())


@pytest.mark.parametrize(("mark", "rows_seen"), [(chunkable, [2, 2, 2, 1]), (lambda f: f, [7])])
def test_only_a_marked_function_sees_blocks(mark, rows_seen):
    seen = []

    def estimator(joint, marginal):
        seen.append(joint.shape[1])
        return joint.mean() - marginal.square().mean()

    bound = bound_all_pairs(mark(estimator), parts(), chunk_size=2 * OF_ONE_CODE)
    assert seen == rows_seen
    assert bound.requires_grad


def test_without_gradients_to_make_none_are_made():
    given = [(q.detach(), k.detach()) for q, k in parts()]
    bound = bound_all_pairs(ESTIMATORS["infonce"], given, chunk_size=OF_ONE_CODE)
    assert not bound.requires_grad


def test_a_bound_is_differentiated_once():
    bound = bound_all_pairs(ESTIMATORS["jsd"], given := parts())
    torch.autograd.grad(bound, given[0][0], retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        torch.autograd.grad(bound, given[0][0])


@pytest.mark.parametrize("critic", [SeparableCritic, PublishedSeparableCritic])
def test_half_precision_stays_near_double_in_blocks_as_in_one(critic):
    torch.manual_seed(0)
    built = critic(5, 4, 16)
    code, local_map = torch.randn(1, 32, 5), torch.randn(1, 32, 6, 4)
    exact = bound_all_pairs(
        ESTIMATORS["jsd"], built.double().embed(code.double(), local_map.double())
    )
    weights = list(built.float().parameters())

    def slopes(chunk_size):
        with torch.autocast("cpu", torch.bfloat16):
            bound = bound_all_pairs(
                ESTIMATORS["jsd"], built.embed(code, local_map), chunk_size=chunk_size
            )
        assert bound.dtype == torch.float32
        assert abs(bound - exact) < 0.02
        return torch.cat([g.flatten() for g in torch.autograd.grad(bound, weights)])

    whole, in_blocks = slopes(10**9), slopes(6 * 32)
    assert (whole - in_blocks).norm() < 0.02 * whole.norm()
