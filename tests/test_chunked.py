"""Chunked scoring gives the bounds and gradients of all scores at once."""

import pytest
import torch

from skdim.critics import score_parts
from skdim.mutual_information import ESTIMATORS, chunkable
from skdim.objective.chunked import bound_all_pairs
from skdim.objective.negatives import negatives_of, split_pairs

N_VIEWS, N, N_LOCATIONS = 2, 7, 3
SCORES_PER_CODE = N_VIEWS * N * N_LOCATIONS
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
def test_chunks_are_exact_forward_and_backward(name, n_codes, groups):
    mi_estimator = ESTIMATORS[name]
    negatives = None if groups is None else negatives_of(groups)
    given = parts()
    whole = mi_estimator(*split_pairs(score_parts(given), negatives))
    bound = bound_all_pairs(mi_estimator, given, negatives, chunk_size=n_codes * SCORES_PER_CODE)
    torch.testing.assert_close(bound, whole, rtol=0, atol=1e-10)
    for ours, plain in zip(gradients(bound, given), gradients(whole, given), strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("mark", "chunks_seen"), [(chunkable, [2, 2, 2, 1]), (lambda f: f, [7])])
def test_only_a_chunkable_function_gets_chunks(mark, chunks_seen):
    seen = []

    def mi_estimator(joint, marginal):
        seen.append(joint.shape[1])
        return joint.mean() - marginal.square().mean()

    bound = bound_all_pairs(mark(mi_estimator), parts(), chunk_size=2 * SCORES_PER_CODE)
    assert seen == chunks_seen
    assert bound.requires_grad


def test_no_gradients_are_computed_where_none_are_needed():
    given = [(q.detach(), k.detach()) for q, k in parts()]
    bound = bound_all_pairs(ESTIMATORS["infonce"], given, chunk_size=SCORES_PER_CODE)
    assert not bound.requires_grad


def test_a_bound_can_be_differentiated_once_only():
    bound = bound_all_pairs(ESTIMATORS["jsd"], given := parts())
    torch.autograd.grad(bound, given[0][0], retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        torch.autograd.grad(bound, given[0][0])
