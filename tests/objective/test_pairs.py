"""Positives and negatives: no sample is a negative of itself or of its group; all count alike."""

import pytest
import torch

from skdim.objective.pairs import (
    list_negatives,
    maps_of_other_views,
    permute_locations,
    sample_locations,
    split_pairs,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pair_scores(n, n_locations):
    """A different score for every pair."""
    return torch.arange(n * n * n_locations, dtype=torch.float32).reshape(n, n, n_locations)


def labelled_map(n, n_locations):
    """A local map whose vectors hold the indices of their sample and location."""
    sample, location = torch.meshgrid(torch.arange(n), torch.arange(n_locations), indexing="ij")
    return torch.stack([sample, location], -1).float()  # (n, n_locations, 2)


GROUPS = [
    [0, 0, 1, 2, 2, 2],
    [0, 1, 0, 1],
    [0, 0, 0, 0, 0, 1],
    [3, 1, 2, 0],
]


@pytest.mark.parametrize(("n_maps", "n_views"), [(1, 1), (2, 2), (3, 3), (3, 1), (5, 2)])
def test_a_view_gets_the_local_features_of_all_other_views(n_maps, n_views):
    n, n_locations = 3, 2
    numbered = torch.arange(n_maps * n * n_locations).view(n_maps, n, n_locations, 1)
    others = maps_of_other_views(numbered, n_views)
    for view in range(n_views):
        for sample in range(n):
            expected = [
                numbered[i, sample].flatten() for i in range(n_maps) if i != view or n_maps == 1
            ]
            assert others[view, sample].flatten().equal(torch.cat(expected))


def test_a_sample_is_not_its_own_negative():
    n, n_locations = 4, 2
    scores = pair_scores(n, n_locations)
    joint, marginal = split_pairs(scores)
    for i in range(n):
        assert joint[i].equal(scores[i, i])
        assert marginal[i].equal(scores[i, [j for j in range(n) if j != i]])


def test_groups_of_one_sample_each_change_nothing():
    scores = torch.stack([pair_scores(5, 3), -pair_scores(5, 3)])
    joint, marginal = split_pairs(scores, torch.arange(5))
    expected_joint, expected_marginal = split_pairs(scores)
    assert joint.equal(expected_joint)
    assert marginal.equal(expected_marginal)


@pytest.mark.parametrize("groups", GROUPS)
def test_negatives_are_all_samples_of_other_groups_as_evenly_as_possible(groups):
    groups = torch.tensor(groups)
    negatives = list_negatives(groups)
    n = len(groups)
    assert negatives.shape == (n, n - 1)
    for i in range(n):
        legal = set((groups != groups[i]).nonzero()[:, 0].tolist())
        counts = negatives[i].bincount(minlength=n)
        assert {j for j in range(n) if counts[j]} == legal
        counts = counts[list(legal)]
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("n", [2, 3, 7])
def test_permutations_have_no_fixed_points_and_use_every_vector_once(n):
    local_map = labelled_map(n, 5)
    seen = set()
    for seed in range(30):
        permuted = permute_locations(local_map, seeded(seed))
        donor, location = permuted.unbind(-1)
        assert location.equal(local_map[..., 1])
        assert (donor != local_map[..., 0]).all()
        assert donor.sort(0).values.equal(local_map[..., 0])
        seen.add(tuple(donor.flatten().tolist()))
    assert len(seen) > 1 or n == 2


def test_permutations_differ_between_locations():
    donor = permute_locations(labelled_map(20, 5), seeded())[..., 0]
    assert not donor[:, 0].equal(donor[:, 1])


@pytest.mark.parametrize("groups", GROUPS)
def test_permutations_never_stay_within_a_group(groups):
    groups = torch.tensor(groups)
    permuted = permute_locations(labelled_map(len(groups), 9), seeded(), groups)
    donor = permuted[..., 0].long()
    assert (groups[donor] != groups[:, None]).all()
    assert permuted[..., 1].equal(labelled_map(len(groups), 9)[..., 1])


def test_all_views_are_permuted_alike():
    local_map = torch.stack([labelled_map(6, 4), labelled_map(6, 4) + 100])
    first, second = permute_locations(local_map, seeded())
    assert second.equal(first + 100)


@pytest.mark.parametrize("n_locations", [1, 3, 8, 100])
def test_sampled_locations_are_distinct_and_of_the_same_sample(n_locations):
    local_map = labelled_map(40, 8)
    drawn = sample_locations(local_map, n_locations, seeded())
    assert drawn.shape == (40, min(n_locations, 8), 2)
    assert drawn[..., 0].equal(local_map[:, : drawn.shape[1], 0])
    for locations in drawn[..., 1]:
        assert len(locations.unique()) == len(locations)
    if n_locations < 8:
        assert not drawn[0].equal(drawn[1]) or not drawn[0].equal(drawn[2])
        assert len(drawn[..., 1].unique()) == 8
