"""Who is compared with whom: never with oneself, never within a group, everyone equally."""

import pytest
import torch

from skdim.objective.negatives import (
    join_pairs,
    maps_of_other_views,
    permute_locations,
    sample_locations,
    split_pairs,
    negatives_of,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def named_scores(n, n_locations):
    """Scores that tell which pair they belong to."""
    return torch.arange(n * n * n_locations, dtype=torch.float32).reshape(n, n, n_locations)


def owners(n, n_locations):
    """A local map whose vectors tell whose they are, and from which location."""
    sample, location = torch.meshgrid(torch.arange(n), torch.arange(n_locations), indexing="ij")
    return torch.stack([sample, location], -1).float()  # (n, n_locations, 2)


GROUPS = [
    [0, 0, 1, 2, 2, 2],
    [0, 1, 0, 1],
    [0, 0, 0, 0, 0, 1],
    [3, 1, 2, 0],
]


@pytest.mark.parametrize(("n_maps", "n_views"), [(1, 1), (2, 2), (3, 3), (3, 1), (5, 2)])
def test_a_view_meets_the_locals_of_all_others_and_not_its_own(n_maps, n_views):
    n, n_locations = 3, 2
    named = torch.arange(n_maps * n * n_locations).view(n_maps, n, n_locations, 1)
    others = maps_of_other_views(named, n_views)
    for view in range(n_views):
        for sample in range(n):
            expected = [
                named[i, sample].flatten() for i in range(n_maps) if i != view or n_maps == 1
            ]
            assert others[view, sample].flatten().equal(torch.cat(expected))


def test_self_pairs_are_excluded_by_index():
    n, n_locations = 4, 2
    scores = named_scores(n, n_locations)
    joint, marginal = split_pairs(scores)
    for i in range(n):
        assert joint[i].equal(scores[i, i])
        assert marginal[i].equal(scores[i, [j for j in range(n) if j != i]])


@pytest.mark.parametrize(("first", "n_rows"), [(0, 5), (0, 1), (1, 3), (4, 1), (2, 3)])
def test_a_block_of_rows_is_those_rows_of_all(first, n_rows):
    scores = torch.stack([named_scores(5, 3), -named_scores(5, 3)])
    rows = slice(first, first + n_rows)
    for whole, block in zip(
        split_pairs(scores), split_pairs(scores[:, rows], first=first), strict=True
    ):
        assert block.equal(whole[:, rows])


@pytest.mark.parametrize(("first", "n_rows"), [(0, 5), (0, 1), (1, 3), (4, 1), (2, 3)])
def test_join_undoes_split(first, n_rows):
    scores = torch.stack([named_scores(5, 3), -named_scores(5, 3)])[:, first : first + n_rows]
    assert join_pairs(*split_pairs(scores, first=first), 5, first=first).equal(scores)


def test_join_is_the_transpose_of_split_where_strangers_repeat():
    strangers = negatives_of(torch.tensor([0, 0, 1, 2, 0]))[1:4]
    scores = named_scores(5, 3)[1:4].requires_grad_()
    pairs = split_pairs(scores, strangers, first=1)
    slopes = [torch.randn_like(part) for part in pairs]
    (expected,) = torch.autograd.grad(pairs, scores, slopes)
    torch.testing.assert_close(join_pairs(*slopes, 5, strangers, first=1), expected)


def test_everyone_a_group_of_his_own_is_no_groups():
    scores = torch.stack([named_scores(5, 3), -named_scores(5, 3)])
    joint, marginal = split_pairs(scores, negatives_of(torch.arange(5)))
    expected_joint, expected_marginal = split_pairs(scores)
    assert joint.equal(expected_joint)
    assert marginal.equal(expected_marginal)


@pytest.mark.parametrize("groups", GROUPS)
def test_strangers_are_all_of_other_groups_and_as_even_as_can_be(groups):
    groups = torch.tensor(groups)
    strangers = negatives_of(groups)
    n = len(groups)
    assert strangers.shape == (n, n - 1)
    for i in range(n):
        legal = set((groups != groups[i]).nonzero()[:, 0].tolist())
        counts = strangers[i].bincount(minlength=n)
        assert {j for j in range(n) if counts[j]} == legal
        counts = counts[list(legal)]
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("n", [2, 3, 7])
def test_permutations_have_no_fixed_points_and_use_every_vector_once(n):
    local_map = owners(n, 5)
    seen = set()
    for seed in range(30):
        permuted = permute_locations(local_map, seeded(seed))
        owner, location = permuted.unbind(-1)
        assert location.equal(local_map[..., 1])
        assert (owner != local_map[..., 0]).all()
        assert owner.sort(0).values.equal(local_map[..., 0])
        seen.add(tuple(owner.flatten().tolist()))
    assert len(seen) > 1 or n == 2


def test_permutations_differ_between_locations():
    owner = permute_locations(owners(20, 5), seeded())[..., 0]
    assert not owner[:, 0].equal(owner[:, 1])


@pytest.mark.parametrize("groups", GROUPS)
def test_permutations_never_stay_within_a_group(groups):
    groups = torch.tensor(groups)
    permuted = permute_locations(owners(len(groups), 9), seeded(), groups)
    owner = permuted[..., 0].long()
    assert (groups[owner] != groups[:, None]).all()
    assert permuted[..., 1].equal(owners(len(groups), 9)[..., 1])


def test_views_exchange_vectors_alike():
    local_map = torch.stack([owners(6, 4), owners(6, 4) + 100])
    first, second = permute_locations(local_map, seeded())
    assert second.equal(first + 100)


@pytest.mark.parametrize("n_locations", [1, 3, 8, 100])
def test_sampled_locations_are_distinct_and_the_samples_own(n_locations):
    local_map = owners(40, 8)
    drawn = sample_locations(local_map, n_locations, seeded())
    assert drawn.shape == (40, min(n_locations, 8), 2)
    assert drawn[..., 0].equal(local_map[:, : drawn.shape[1], 0])
    for row in drawn[..., 1]:
        assert len(row.unique()) == len(row)
    if n_locations < 8:
        assert not drawn[0].equal(drawn[1]) or not drawn[0].equal(drawn[2])
        assert len(drawn[..., 1].unique()) == 8
