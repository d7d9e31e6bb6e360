"""Which locals a code is compared with: its own, and those of strangers.

The strangers of a sample are the samples that may serve as its negatives: all others, or all
others outside its group. A sample is never its own negative; it is left out by index.
"""

import torch
from torch import Tensor


def maps_of_others(local_map: Tensor, n_views: int) -> Tensor:
    """Put beside each view the locals of all others of its sample, one after the other.

    Two views exchange their locals; a lone one keeps its own.

    Parameters
    ----------
    local_map : Tensor of shape (n_maps, n, n_locations, n_channels)
        Of the views, and of mosaics after them.
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
    scores: Tensor, strangers: Tensor | None = None, first: int = 0
) -> tuple[Tensor, Tensor]:
    """Separate the scores of joint pairs from those of marginal pairs, exactly and by index.

    Parameters
    ----------
    scores : Tensor of shape (..., n_rows, n, n_locations)
        Row i holds the scores of code first + i; column j those against the locals of sample j.
    strangers : Tensor of shape (n_rows, n_others), int64, or None
        Row i lists the columns that are marginal for it; None means all but its own sample's.
    first : int, default=0
        The code of the first row, where the rows are a block of a batch.

    Returns
    -------
    joint : Tensor of shape (..., n_rows, n_locations)
    marginal : Tensor of shape (..., n_rows, n_others, n_locations)
        The strangers, in their order; n - 1 in the order of j where ``strangers`` is None.
    """
    n_rows, n = scores.shape[-3:-1]
    joint, before, between, after = _cut(scores, first)
    if strangers is not None:
        rows = torch.arange(n_rows, device=scores.device)[:, None]
        return joint, scores[..., rows, strangers, :]
    marginal = torch.cat([before, between.flatten(-3, -2), after], -2)
    return joint, marginal.unflatten(-2, (n_rows, n - 1))


def join_pairs(
    joint: Tensor,
    marginal: Tensor,
    n: int,
    strangers: Tensor | None = None,
    first: int = 0,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Put each number back where `split_pairs` took it from; the sum, where it took it repeatedly.

    Gradients of joint and marginal scores so become those of all scores.

    Parameters
    ----------
    joint : Tensor of shape (..., n_rows, n_locations)
    marginal : Tensor of shape (..., n_rows, n_others, n_locations)
    n : int
        Columns.
    strangers, first
        As in `split_pairs`.
    dtype : torch.dtype or None

    Returns
    -------
    scores : Tensor of shape (..., n_rows, n, n_locations)
    """
    *batch, n_rows, n_locations = joint.shape
    shape = (*batch, n_rows, n, n_locations)
    scores = torch.zeros(shape, dtype=dtype or joint.dtype, device=joint.device)
    own, before, between, after = _cut(scores, first)
    if strangers is not None:
        columns = strangers[:, :, None].expand_as(marginal)
        scores.scatter_add_(-2, columns, marginal.to(scores.dtype))
        own.add_(joint)
        return scores
    in_a_row = marginal.flatten(-3, -2)
    cuts = [first, first + (n_rows - 1) * n]
    parts = in_a_row.tensor_split(cuts, dim=-2)
    own.copy_(joint)
    before.copy_(parts[0])
    between.copy_(parts[1].unflatten(-2, (n_rows - 1, n)))
    after.copy_(parts[2])
    return scores


def _cut(scores: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """View joint pairs, and the marginal pairs before, between and after them, row by row."""
    n_rows, n = scores.shape[-3:-1]
    own = scores[..., first : first + n_rows, :]  # (..., n_rows, n_rows, n_locations)
    joint = own.diagonal(dim1=-3, dim2=-2).movedim(-1, -2)  # (..., n_rows, n_locations)
    # In one long row of n_rows * n pairs, n marginal pairs lie between one joint pair and the next.
    in_a_row = scores.flatten(-3, -2)
    last = first + (n_rows - 1) * (n + 1)
    before, between, after = in_a_row.tensor_split([first + 1, last + 1], dim=-2)
    between = between.unflatten(-2, (n_rows - 1, n + 1))  # (..., n_rows - 1, n + 1, n_locations)
    return joint, before[..., :-1, :], between[..., :-1, :], after


def strangers_of(groups: Tensor) -> Tensor:
    """List for each sample those of other groups, n - 1 of them whatever its group.

    Estimators take means over strangers, so the samples that a group leaves over are repeated, as
    evenly as can be, in the place of those it excludes.

    Parameters
    ----------
    groups : Tensor of shape (n,)
        Every sample needs at least one stranger.

    Returns
    -------
    strangers : Tensor of shape (n, n - 1), int64
    """
    is_stranger = groups[:, None] != groups  # (n, n)
    strangers_first = is_stranger.int().argsort(dim=1, descending=True, stable=True)
    turn = torch.arange(len(groups) - 1, device=groups.device)
    return strangers_first.gather(1, turn % is_stranger.sum(1, keepdim=True))


def permute_locations(
    local_map: Tensor, generator: torch.Generator, groups: Tensor | None = None
) -> Tensor:
    """Exchange local vectors between samples, at each location by a permutation of its own.

    No sample keeps a vector: each permutation is one cycle through the whole batch, so it has no
    fixed point. With groups each sample draws from a random stranger instead.

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
        is_stranger = (groups[:, None] != groups).float()
        donors = is_stranger.multinomial(n_locations, replacement=True, generator=generator)
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
