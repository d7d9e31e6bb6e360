"""Positives and negatives: which local features a code is compared with.

The positives of a code are the local features of its own sample. Its negatives are those of all
other samples, or of all samples of other groups. A sample is never its own negative: it is left
out by index.
"""

import torch
from torch import Tensor


def maps_of_other_views(local_map: Tensor, n_views: int) -> Tensor:
    """Give each view the local features of all other views of its sample, concatenated.

    Two views exchange their local features; a single view keeps its own. From maps (n_maps, n,
    n_locations, n_channels), of the views and then of crop grids, to (n_views, n, n_others *
    n_locations, n_channels).
    """
    n_maps = len(local_map)
    if n_maps == 1:
        return local_map
    others = [
        torch.cat([local_map[j] for j in range(n_maps) if j != i], dim=1) for i in range(n_views)
    ]
    return torch.stack(others)


def split_pairs(scores: Tensor, groups: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Separate the scores of positives from those of negatives.

    Parameters
    ----------
    scores : Tensor of shape (..., n, n, n_locations)
        Entry (i, j) holds the scores of code i with the local features of sample j.
    groups : Tensor of shape (n,) or None
        Samples of one group are not compared with each other.

    Returns
    -------
    joint : Tensor of shape (..., n, n_locations)
    marginal : Tensor of shape (..., n, n - 1, n_locations)
        As `list_negatives` orders them.
    """
    codes = torch.arange(scores.shape[-2], device=scores.device)
    negatives = list_negatives(codes if groups is None else groups)
    joint = scores.diagonal(dim1=-3, dim2=-2).movedim(-1, -2)
    return joint, scores[..., codes[:, None], negatives, :]


def list_negatives(groups: Tensor) -> Tensor:
    """List the samples of other groups for each sample: (n, n - 1) indices, whatever its group.

    The marginal scores of a batch are one tensor, in which every code has the same number of
    negatives. To fill it, samples of other groups are repeated as evenly as possible. Every sample
    needs at least one negative. Indices increase before they repeat.
    """
    is_negative = groups[:, None] != groups  # (n, n)
    negatives_first = is_negative.int().argsort(dim=1, descending=True, stable=True)
    turn = torch.arange(len(groups) - 1, device=groups.device)
    return negatives_first.gather(1, turn % is_negative.sum(1, keepdim=True))


def permute_locations(
    local_map: Tensor, generator: torch.Generator, groups: Tensor | None = None
) -> Tensor:
    """Exchange local vectors between samples, by a different permutation at each location.

    No sample keeps a vector, because each permutation is one cycle through the whole batch. With
    groups, each sample draws from a random negative instead. The local map is (..., n, n_locations,
    n_channels).
    """
    n, n_locations = local_map.shape[-3:-1]
    if groups is None:
        keys = torch.rand(n, n_locations, generator=generator, device=generator.device)
        cycle = keys.argsort(0)  # (n, n_locations)
        donors = torch.empty_like(cycle).scatter(0, cycle, cycle.roll(1, 0))
    else:
        is_negative = (groups[:, None] != groups).float()
        donors = _draw(is_negative, n_locations, generator)
    locations = torch.arange(n_locations, device=local_map.device)
    return local_map[..., donors, locations, :]


def _draw(weights: Tensor, n_draws: int, generator: torch.Generator) -> Tensor:
    """Draw indices (n, n_draws) with replacement, by the weights in each row (n, n_weights)."""
    if n_draws > 1:
        return weights.multinomial(n_draws, replacement=True, generator=generator)
    # The same numbers as torch's, which first looks at the weights, and so waits for a GPU.
    times = torch.empty_like(weights).exponential_(generator=generator)
    return (weights / times).argmax(1, keepdim=True)


def sample_locations(local_map: Tensor, n_locations: int, generator: torch.Generator) -> Tensor:
    """Keep a random subset of the locations of a map (..., n, n_all, n_channels).

    It is drawn separately for every sample. A map of fewer locations is returned unchanged.
    """
    if n_locations >= local_map.shape[-2]:
        return local_map
    keys = torch.rand(local_map.shape[:-1], generator=generator, device=generator.device)
    drawn = keys.topk(n_locations, dim=-1).indices.unsqueeze(-1)
    return local_map.gather(-2, drawn.expand(*drawn.shape[:-1], local_map.shape[-1]))
