"""Positives and negatives: which local features a code is compared with.

The positives of a code are the local features of its own sample. Its negatives are those of all
other samples, or of all samples of other groups. A sample is never its own negative: it is left
out by index.
"""

import torch
from torch import Tensor


def maps_of_other_views(local_map: Tensor, n_views: int) -> Tensor:
    """Give each view the local features of all other views of its sample, concatenated.

    Two views exchange their local features; a single one keeps its own.

    Parameters
    ----------
    local_map : Tensor of shape (n_maps, n, n_locations, n_channels)
        Of the views, and of crop grids after them.
    n_views : int
        At most n_maps.

    Returns
    -------
    local_map : Tensor of shape (n_views, n, n_others * n_locations, n_channels)
    """
    n_maps = len(local_map)
    if n_maps == 1:
        return local_map
    others = [
        torch.cat([local_map[j] for j in range(n_maps) if j != i], dim=1) for i in range(n_views)
    ]
    return torch.stack(others)


def split_pairs(
    scores: Tensor, negatives: Tensor | None = None, first: int = 0
) -> tuple[Tensor, Tensor]:
    """Separate the scores of positives from those of negatives, exactly and by index.

    Parameters
    ----------
    scores : Tensor of shape (..., n_queries, n, n_locations)
        Entry (i, j) holds the scores of code first + i against the local features of sample j.
    negatives : Tensor of shape (n_queries, n_others), int64, or None
        Row i lists the samples that are negatives of code first + i; None means all other samples.
    first : int, default=0
        Index of the first code, where the codes are a chunk of a batch.

    Returns
    -------
    joint : Tensor of shape (..., n_queries, n_locations)
    marginal : Tensor of shape (..., n_queries, n_others, n_locations)
        The negatives, in their order; n - 1 in the order of j where ``negatives`` is None.
    """
    n_queries, n = scores.shape[-3:-1]
    joint, before, between, after = _cut(scores, first)
    if negatives is not None:
        queries = torch.arange(n_queries, device=scores.device)[:, None]
        return joint, scores[..., queries, negatives, :]
    marginal = torch.cat([before, between.flatten(-3, -2), after], -2)
    return joint, marginal.unflatten(-2, (n_queries, n - 1))


def join_pairs(
    joint: Tensor,
    marginal: Tensor,
    n: int,
    negatives: Tensor | None = None,
    first: int = 0,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Put each number back where `split_pairs` took it from; the sum, where it took it repeatedly.

    This turns gradients of joint and marginal scores into gradients of all scores.

    Parameters
    ----------
    joint : Tensor of shape (..., n_queries, n_locations)
    marginal : Tensor of shape (..., n_queries, n_others, n_locations)
    n : int
        Samples.
    negatives, first
        As in `split_pairs`.
    dtype : torch.dtype or None

    Returns
    -------
    scores : Tensor of shape (..., n_queries, n, n_locations)
    """
    *batch, n_queries, n_locations = joint.shape
    shape = (*batch, n_queries, n, n_locations)
    scores = torch.zeros(shape, dtype=dtype or joint.dtype, device=joint.device)
    positive, before, between, after = _cut(scores, first)
    if negatives is not None:
        samples = negatives[:, :, None].expand_as(marginal)
        scores.scatter_add_(-2, samples, marginal.to(scores.dtype))
        positive.add_(joint)
        return scores
    flat = marginal.flatten(-3, -2)
    parts = flat.tensor_split([first, first + (n_queries - 1) * n], dim=-2)
    positive.copy_(joint)
    before.copy_(parts[0])
    between.copy_(parts[1].unflatten(-2, (n_queries - 1, n)))
    after.copy_(parts[2])
    return scores


def _cut(scores: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return views of the positives, and of the negatives before, between and after them."""
    n_queries, n = scores.shape[-3:-1]
    square = scores[..., first : first + n_queries, :]  # (..., n_queries, n_queries, n_locations)
    positive = square.diagonal(dim1=-3, dim2=-2).movedim(-1, -2)  # (..., n_queries, n_locations)
    # Of all n_queries * n pairs in one line, n negatives lie between one positive and the next.
    flat = scores.flatten(-3, -2)
    last = first + (n_queries - 1) * (n + 1)
    before, between, after = flat.tensor_split([first + 1, last + 1], dim=-2)
    between = between.unflatten(-2, (n_queries - 1, n + 1))  # (..., n_queries - 1, n + 1, ...)
    return positive, before[..., :-1, :], between[..., :-1, :], after


def negatives_of(groups: Tensor) -> Tensor:
    """List for each sample the samples of other groups, n - 1 of them whatever its group.

    For MI estimators that get all marginal scores in one tensor, where every code has as many:
    samples of other groups are repeated, as evenly as possible, instead of those that the group
    excludes.

    Parameters
    ----------
    groups : Tensor of shape (n,)
        Every sample needs at least one negative.

    Returns
    -------
    negatives : Tensor of shape (n, n - 1), int64
    """
    is_negative = groups[:, None] != groups  # (n, n)
    negatives_first = is_negative.int().argsort(dim=1, descending=True, stable=True)
    turn = torch.arange(len(groups) - 1, device=groups.device)
    return negatives_first.gather(1, turn % is_negative.sum(1, keepdim=True))


def permute_locations(
    local_map: Tensor, generator: torch.Generator, groups: Tensor | None = None
) -> Tensor:
    """Exchange local vectors between samples, at each location by another permutation.

    No sample keeps a vector: each permutation is one cycle through the whole batch, so it has no
    fixed point. With groups each sample draws from a random negative instead.

    Parameters
    ----------
    local_map : Tensor of shape (..., n, n_locations, n_channels)
    generator : torch.Generator
    groups : Tensor of shape (n,) or None

    Returns
    -------
    permuted : Tensor of the same shape
    """
    n, n_locations = local_map.shape[-3:-1]
    if groups is None:
        keys = torch.rand(n, n_locations, generator=generator, device=generator.device)
        cycle = keys.argsort(0)  # (n, n_locations)
        donors = torch.empty_like(cycle).scatter(0, cycle, cycle.roll(1, 0))
    else:
        is_negative = (groups[:, None] != groups).float()
        donors = is_negative.multinomial(n_locations, replacement=True, generator=generator)
    locations = torch.arange(n_locations, device=local_map.device)
    return local_map[..., donors, locations, :]


def sample_locations(local_map: Tensor, n_locations: int, generator: torch.Generator) -> Tensor:
    """Keep a random subset of locations, drawn anew for every sample.

    Parameters
    ----------
    local_map : Tensor of shape (..., n, n_all, n_channels)
    n_locations : int
        How many to keep; a map that has no more is returned whole.
    generator : torch.Generator

    Returns
    -------
    local_map : Tensor of shape (..., n, min(n_locations, n_all), n_channels)
    """
    if n_locations >= local_map.shape[-2]:
        return local_map
    keys = torch.rand(local_map.shape[:-1], generator=generator, device=generator.device)
    kept = keys.topk(n_locations, dim=-1).indices.unsqueeze(-1)
    return local_map.gather(-2, kept.expand(*kept.shape[:-1], local_map.shape[-1]))
