"""Bounds whose marginal scores add up: over chunks of codes, and over processes.

Every process scores the codes of all processes with the local features of its own samples. What it
finds of the marginal scores of a code is one number, a statistic: a mean over pairs, or a
log-sum-exp. So processes exchange codes and statistics, which are short, and never keys, which are
long. With one process this is `chunked` scoring.

A pair is a negative if its samples belong to different groups. Other pairs are left out, so that
the number of negatives differs between codes. Every code counts the same.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skdim._runtime.devices import at_least_float32
from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup
from skdim.critics import Part
from skdim.mutual_information import AdditiveForm
from skdim.objective.chunked import (
    CHUNK_SIZE,
    Gradients,
    cut_codes,
    flatten_parts,
    score_chunk,
    take_gradients,
)


def bound_in_parts(
    form: AdditiveForm,
    parts: Sequence[Part],
    groups: Tensor | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
    chunk_size: int = CHUNK_SIZE,
) -> Tensor:
    """Bound from the scores of all codes; with several processes, this process's part of it.

    Parameters
    ----------
    form : AdditiveForm
        Of an MI estimator; see `skdim.mutual_information.additive_form_of`.
    parts : sequence of (queries, keys)
        Of shapes (n_views, n, width) and (n_views, n_shard, n_locations, width): queries of the
        whole batch, keys of this process's samples.
    groups : Tensor of shape (n,) or None
        Of the whole batch. Pairs within a group are no negatives; every code needs one.
    processes : ProcessGroup
    chunk_size : int
        Scores held at once; those of one code at least.

    Returns
    -------
    bound : Tensor of shape ()
        Differentiable once.
    """
    with torch.autocast(parts[0][1].device.type, enabled=False):
        tensors = flatten_parts(parts)
        scorer = _Scorer(form, tensors, groups, processes)
        return _BoundInParts.apply(scorer, cut_codes(tensors, chunk_size), *tensors)


class _Scorer:
    """Scores of codes with this process's local features, and which of them are negatives."""

    def __init__(
        self,
        form: AdditiveForm,
        tensors: Sequence[Tensor],
        groups: Tensor | None,
        processes: ProcessGroup,
    ):
        queries, keys = tensors[:2]
        self.form = form
        self.processes = processes
        self.n, self.n_locations = queries.shape[1], keys.shape[2]
        self.has_groups = groups is not None
        self.groups = torch.arange(self.n, device=keys.device) if groups is None else groups
        self.shard = slice(0, self.n) if processes.is_single else processes.shard_slice

    def positives(self, chunk: slice, scores: Tensor) -> Tensor:
        """View the scores of a chunk's codes with their own samples, as far as these are here."""
        start, stop = max(chunk.start, self.shard.start), min(chunk.stop, self.shard.stop)
        stop = max(start, stop)
        queries = slice(start - chunk.start, stop - chunk.start)
        samples = slice(start - self.shard.start, stop - self.shard.start)
        square = scores[:, queries, samples]  # (n_views, n_joint, n_joint, n_locations)
        return square.diagonal(dim1=1, dim2=2).movedim(-1, 1)  # (n_views, n_joint, n_locations)

    def joint_and_marginal(self, tensors: Sequence[Tensor], chunk: slice) -> tuple[Tensor, Tensor]:
        """Score a chunk of codes.

        Returns
        -------
        joint : Tensor of shape (n_views, n_joint, n_locations)
        marginal : Tensor of shape (n_views, n_queries, n_shard, n_locations)
            Pairs that are no negatives have the form's ``excluded_score``.
        """
        scores = at_least_float32(score_chunk(tensors, chunk))
        positives = self.positives(chunk, scores)
        joint = positives.clone()
        if self.has_groups:
            excluded = ~self.is_negative(chunk)[..., None]  # (n_queries, n_shard, 1)
            scores.masked_fill_(excluded, self.form.excluded_score)
        else:  # the same, without a pass over all scores
            positives.fill_(self.form.excluded_score)
        return joint, scores

    def is_negative(self, chunk: slice, samples: slice | None = None) -> Tensor:
        """Return which of some samples, by default this process's, are negatives of a chunk."""
        return self.groups[chunk, None] != self.groups[samples or self.shard]

    def statistic(self, chunk: slice, marginal: Tensor) -> Tensor:
        """Reduce the marginal scores of a chunk to one number for each code of each view."""
        n_negatives = self.is_negative(chunk, slice(0, self.n)).sum(1) * self.n_locations
        is_negative = self.is_negative(chunk)
        return self.form.reduce(marginal, is_negative, n_negatives.to(marginal.dtype))


class _BoundInParts(torch.autograd.Function):
    """The bound of chunks, with gradients computed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, scorer, chunks, *tensors):
        form, processes = scorer.form, scorer.processes
        needs_grad = any(ctx.needs_input_grad)
        gradients = Gradients(tensors, one_chunk=len(chunks) == 1) if needs_grad else None
        # Where a chunk has all that its bound depends on, it is scored once and then forgotten.
        is_alone = form.is_mean_over_codes and (processes.is_single or not form.is_log)
        together = [[chunk] for chunk in chunks] if is_alone else [chunks]
        bounds = [_bound(scorer, some, tensors, gradients) for some in together]
        ctx.gradients = gradients
        return torch.stack(bounds).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output):
        gradients, ctx.gradients = ctx.gradients, None
        return None, None, *take_gradients(gradients, grad_output)


def _bound(
    scorer: _Scorer, chunks: list[slice], tensors: Sequence[Tensor], gradients: Gradients | None
) -> Tensor:
    """Estimate chunks of codes whose statistics belong together, and add to the gradients."""
    is_single_chunk = len(chunks) == 1
    joints, statistics = [], []
    for chunk in chunks:
        joint, marginal = scorer.joint_and_marginal(tensors, chunk)
        with torch.set_grad_enabled(gradients is not None and is_single_chunk):
            marginal.requires_grad_(torch.is_grad_enabled())
            statistic = scorer.statistic(chunk, marginal)
        joints.append(joint)
        statistics.append(statistic)
    bound, *of_all = _estimate(
        scorer, torch.cat(joints, 1), torch.cat([s.detach() for s in statistics], 1)
    )
    if gradients is None:
        return bound
    of_joints, of_statistics = (
        gradient.split([part.shape[1] for part in parts], 1)
        for gradient, parts in zip(of_all, (joints, statistics), strict=True)
    )
    for chunk, of_joint, of_statistic in zip(chunks, of_joints, of_statistics, strict=True):
        if not is_single_chunk:  # their scores would not all fit into memory
            _, marginal = scorer.joint_and_marginal(tensors, chunk)
            with torch.enable_grad():
                statistic = scorer.statistic(chunk, marginal.requires_grad_())
        (of_scores,) = torch.autograd.grad(statistic, marginal, of_statistic)
        of_scores = of_scores.contiguous()  # where all locations share one number
        scorer.positives(chunk, of_scores).copy_(of_joint)
        gradients.add(chunk, of_scores.to(tensors[0].dtype))
    return bound


def _estimate(scorer: _Scorer, joint: Tensor, statistic: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the bound, and its gradients by joint scores and by this process's statistics.

    Parameters
    ----------
    scorer : _Scorer
    joint : Tensor of shape (n_views, n_joint, n_locations)
    statistic : Tensor of shape (n_views, n_queries)
    """
    form, processes = scorer.form, scorer.processes
    is_exchanged = form.is_log and not processes.is_single
    whole = processes.log_sum_exp(statistic) if is_exchanged else statistic
    with torch.enable_grad():
        leaves = [joint.requires_grad_(), whole.requires_grad_()]
        of_codes = whole[:, scorer.shard] if is_exchanged and form.is_mean_over_codes else whole
        bound = form.bound(joint, of_codes, scorer.n)
        of_joint, of_whole = torch.autograd.grad(bound, leaves, materialize_grads=True)
    if is_exchanged:
        processes.all_reduce([of_whole])
        of_whole = of_whole * (statistic - whole.detach()).exp()
    return bound.detach(), of_joint, of_whole
