"""Bounds on all pairs of a batch, scored a few codes at a time, by one process or by several.

A separable critic gives queries and keys. The score of a pair is their dot product, summed over
parts. The scores of a whole batch are n * n * n_locations numbers. `bound_in_chunks` computes those
of a chunk of codes, reduces them, turns them into gradients of queries and keys, and frees them
before it computes the next chunk. Memory is linear in the batch, and the result is the bound on all
pairs at once, to rounding.

The marginal scores of a code enter a bound through one number, a statistic: a mean over pairs, or a
log-sum-exp (see `skdim.mutual_information`). With several processes, each scores the codes of all
processes with the local features of its own samples. Processes exchange codes and statistics, which
are short, and never keys, which are long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup
from skdim.critics import Part, at_least_float32
from skdim.mutual_information import Estimator, Reduction, Terms

# Scores held at once: 16 MiB of float32. The same on every device, so that sums have one order.
CHUNK_SIZE = 2**22


def bound_in_chunks(
    mi_estimator: Estimator,
    parts: Sequence[Part],
    groups: Tensor | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
    chunk_size: int = CHUNK_SIZE,
) -> Tensor:
    """Bound on all pairs of a batch; with several processes, this process's part of it.

    Parameters
    ----------
    mi_estimator : callable (joint, marginal) -> bound
        One that says how it reduces the marginal scores of a code.
    parts : sequence of (queries, keys)
        Of shapes (n_views, n, width) and (n_views, n_shard, n_locations, width): queries of the
        whole batch, keys of this process's samples.
    groups : Tensor of shape (n,) or None
        Groups of the whole batch. Pairs within a group are not negatives. Every code needs at least
        one negative, their number may differ between codes, and all codes have the same weight.
    processes : ProcessGroup
    chunk_size : int
        Scores held at once, and at least those of one code.

    Returns
    -------
    bound : Tensor of shape ()
        Differentiable once.
    """
    tensors = _flatten(parts)
    with torch.autocast(tensors[0].device.type, enabled=False):
        scorer = _Scorer(_statistic_of(mi_estimator), tensors, groups, processes)
        return _BoundInChunks.apply(scorer, _cut_codes(tensors, chunk_size), *tensors)


# ------------------------------------------------------------ statistics of marginal scores


@dataclass(frozen=True)
class _Mean:
    """The marginal scores of a code enter a bound as a mean over pairs.

    Attributes
    ----------
    terms : callable (joint, marginal) -> (positives, negatives)
        As `skdim.mutual_information.difference_of_means` takes it.
    is_log : bool
        Whether statistics of processes are logarithms, whose exponentials add up.
    is_mean_over_codes : bool
        Whether the statistic of a code matters to that code alone.
    excluded_score : float
        The score of a pair that is not a negative.
    """

    terms: Terms
    is_log = False
    is_mean_over_codes = True
    excluded_score = 0.0

    def reduce(self, marginal: Tensor, is_negative: Tensor, n_negatives: Tensor) -> Tensor:
        """Reduce some of the marginal scores of each code to its statistic (..., n_queries).

        Marginal scores are (..., n_queries, n_shard, n_locations), ``is_negative`` (n_queries,
        n_shard), and ``n_negatives``, the number of marginal scores of each code in all processes,
        (n_queries,).
        """
        _, negatives = self.terms(marginal.new_empty(0), marginal)
        return (negatives.sum(-1) * is_negative).sum(-1) / n_negatives

    def bound(self, joint: Tensor, statistic: Tensor, n: int) -> Tensor:
        """Contribution of some codes to the bound of a batch of n codes.

        Joint scores are (..., n_joint, n_locations), statistics (..., n_queries).
        """
        positives, _ = self.terms(joint, joint.new_empty(0))
        # Sums, because a process may hold no positives of a chunk.
        sums = positives.sum((-2, -1)) / joint.shape[-1] - statistic.sum(-1)  # (...)
        return sums.mean() / n


@dataclass(frozen=True)
class _LogSumExp:
    """The marginal scores of a code enter a bound as their log-sum-exp or log-mean-exp.

    One negative with that score stands for all of them. The interface is that of `_Mean`.
    """

    mi_estimator: Estimator
    is_mean: bool
    is_log = True
    excluded_score = torch.finfo(torch.float32).min

    @property
    def is_mean_over_codes(self) -> bool:
        """The log-sum-exp of a code matters to that code alone, the log-mean-exp to all codes."""
        return not self.is_mean

    def reduce(self, marginal: Tensor, is_negative: Tensor, n_negatives: Tensor) -> Tensor:
        """Reduce to the log-sum-exp of each code, or to its part of the log-mean-exp."""
        statistic = marginal.flatten(-2).logsumexp(-1)  # (..., n_queries)
        return statistic - n_negatives.log() if self.is_mean else statistic

    def bound(self, joint: Tensor, statistic: Tensor, n: int) -> Tensor:
        """Contribution of some codes to the bound of a batch."""
        bound = self.mi_estimator(joint, statistic[..., None, None])
        return bound * (joint.shape[-2] / n)


def _statistic_of(mi_estimator: Any) -> _Mean | _LogSumExp:
    if mi_estimator.reduction is Reduction.MEAN:
        return _Mean(mi_estimator.terms)
    return _LogSumExp(mi_estimator, is_mean=mi_estimator.reduction is Reduction.LOG_MEAN_EXP)


# ------------------------------------------------------------ scores of a chunk of codes


def _flatten(parts: Sequence[Part]) -> list[Tensor]:
    """List queries and keys in turn, in the type of the products that autocast would compute."""
    device, dtype = parts[0][1].device, parts[0][1].dtype
    if torch.is_autocast_enabled(device.type):
        dtype = torch.get_autocast_dtype(device.type)
    return [tensor.to(dtype).contiguous() for part in parts for tensor in part]


def _cut_codes(tensors: Sequence[Tensor], chunk_size: int) -> list[slice]:
    """Cut the codes into chunks of at most ``chunk_size`` scores."""
    n_views, n_shard, n_locations, _ = tensors[1].shape
    n = tensors[0].shape[1]
    n_queries = min(n, max(1, chunk_size // (n_views * n_shard * n_locations)))
    return [slice(start, min(start + n_queries, n)) for start in range(0, n, n_queries)]


class _Scorer:
    """Scores of codes with this process's local features, and which of them are negatives."""

    def __init__(
        self,
        statistic: _Mean | _LogSumExp,
        tensors: Sequence[Tensor],
        groups: Tensor | None,
        processes: ProcessGroup,
    ):
        queries, keys = tensors[:2]
        self.statistic = statistic
        self.processes = processes
        self.n, self.n_locations = queries.shape[1], keys.shape[2]
        self.has_groups = groups is not None
        self.groups = torch.arange(self.n, device=keys.device) if groups is None else groups
        self.shard = slice(0, self.n) if processes.is_single else processes.shard_slice

    def score(self, tensors: Sequence[Tensor], chunk: slice) -> Tensor:
        """Score a chunk of codes: (n_views, n_queries, n_shard, n_locations), float32 at least."""
        n_views, n_shard, n_locations, _ = tensors[1].shape
        scores = tensors[0].new_zeros(n_views, chunk.stop - chunk.start, n_shard * n_locations)
        for queries, keys in zip(tensors[::2], tensors[1::2], strict=True):
            for view in range(n_views):
                # Products of matrices, because products of stacks of matrices copy the keys.
                scores[view].addmm_(queries[view, chunk], keys[view].flatten(0, 1).t())
        return at_least_float32(scores.unflatten(-1, (n_shard, n_locations)))

    def positives(self, chunk: slice, scores: Tensor) -> Tensor:
        """View the scores of a chunk's codes with their own samples, if these are in the shard."""
        start, stop = max(chunk.start, self.shard.start), min(chunk.stop, self.shard.stop)
        stop = max(start, stop)
        queries = slice(start - chunk.start, stop - chunk.start)
        samples = slice(start - self.shard.start, stop - self.shard.start)
        square = scores[:, queries, samples]  # (n_views, n_joint, n_joint, n_locations)
        return square.diagonal(dim1=1, dim2=2).movedim(-1, 1)  # (n_views, n_joint, n_locations)

    def joint_and_marginal(self, tensors: Sequence[Tensor], chunk: slice) -> tuple[Tensor, Tensor]:
        """Score a chunk of codes.

        Joint scores are (n_views, n_joint, n_locations), marginal scores (n_views, n_queries,
        n_shard, n_locations). Pairs that are not negatives have the statistic's ``excluded_score``.
        """
        scores = self.score(tensors, chunk)
        positives = self.positives(chunk, scores)
        joint = positives.clone()
        if self.has_groups:
            is_excluded = ~self.is_negative(chunk, self.shard)[..., None]  # (n_queries, n_shard, 1)
            scores.masked_fill_(is_excluded, self.statistic.excluded_score)
        else:  # the same, without touching all scores
            positives.fill_(self.statistic.excluded_score)
        return joint, scores

    def is_negative(self, chunk: slice, samples: slice) -> Tensor:
        """Which of some samples are negatives of a chunk's codes: (n_queries, n_samples)."""
        return self.groups[chunk, None] != self.groups[samples]

    def reduce(self, chunk: slice, marginal: Tensor) -> Tensor:
        """Reduce the marginal scores of a chunk to statistics (n_views, n_queries)."""
        is_negative = self.is_negative(chunk, slice(0, self.n))  # (n_queries, n)
        n_negatives = is_negative.sum(1) * self.n_locations
        return self.statistic.reduce(
            marginal, is_negative[:, self.shard], n_negatives.to(marginal.dtype)
        )


class _Gradients:
    """Gradients of queries and keys, from those of the scores, one chunk of codes at a time."""

    def __init__(self, tensors: Sequence[Tensor], is_one_chunk: bool):
        self.tensors = tensors
        self.grad_queries = [torch.empty_like(queries) for queries in tensors[::2]]
        # Every chunk adds to all keys: sums of many small bfloat16 would lose the later ones.
        exact = torch.promote_types(tensors[0].dtype, torch.float32)
        self.grad_keys = [
            torch.empty_like(keys) if is_one_chunk else torch.zeros_like(keys, dtype=exact)
            for keys in tensors[1::2]
        ]
        self.is_one_chunk = is_one_chunk

    def add(self, chunk: slice, grad_scores: Tensor) -> None:
        """Add the gradient of a chunk's scores (n_views, n_queries, n_shard, n_locations)."""
        grads = zip(self.grad_queries, self.grad_keys, strict=True)
        for part, (grad_queries, grad_keys) in enumerate(grads):
            queries, keys = self.tensors[2 * part : 2 * part + 2]
            for view, grad in enumerate(grad_scores.flatten(-2)):  # (n_queries, n_shard * n_loc.)
                flat_keys, flat_grad = keys[view].flatten(0, 1), grad_keys[view].flatten(0, 1)
                torch.mm(grad, flat_keys, out=grad_queries[view, chunk])
                if self.is_one_chunk:
                    torch.mm(grad.t(), queries[view, chunk], out=flat_grad)
                else:
                    flat_grad += grad.t() @ queries[view, chunk]

    def times(self, grad_output: Tensor) -> list[Tensor]:
        """Gradients in the order and type of the tensors, multiplied by that of the bound."""
        pairs = zip(self.grad_queries, self.grad_keys, strict=True)
        # In place: a second tensor as large as the keys would cost as much as a layer.
        return [x.to(self.tensors[0].dtype).mul_(grad_output) for pair in pairs for x in pair]


# ------------------------------------------------------------ the bound


class _BoundInChunks(torch.autograd.Function):
    """The bound of all chunks, with gradients computed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, scorer, chunks, *tensors):
        needs_grad = any(ctx.needs_input_grad)
        gradients = _Gradients(tensors, is_one_chunk=len(chunks) == 1) if needs_grad else None
        statistic = scorer.statistic
        # A chunk that has everything its bound depends on is scored once and then forgotten.
        is_enough = statistic.is_mean_over_codes and (
            scorer.processes.is_single or not statistic.is_log
        )
        together = [[chunk] for chunk in chunks] if is_enough else [chunks]
        bounds = [_bound(scorer, some, tensors, gradients) for some in together]
        ctx.gradients = gradients
        return torch.stack(bounds).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output):
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("A bound in chunks can be differentiated once.")
        return None, None, *gradients.times(grad_output)


def _bound(
    scorer: _Scorer, chunks: list[slice], tensors: Sequence[Tensor], gradients: _Gradients | None
) -> Tensor:
    """Bound of chunks of codes whose statistics belong together; adds to the gradients."""
    is_one_chunk = len(chunks) == 1
    joints, statistics = [], []
    for chunk in chunks:
        joint, marginal = scorer.joint_and_marginal(tensors, chunk)
        with torch.set_grad_enabled(gradients is not None and is_one_chunk):
            marginal.requires_grad_(torch.is_grad_enabled())
            statistic = scorer.reduce(chunk, marginal)
        joints.append(joint)
        statistics.append(statistic)
    bound, grad_joint, grad_statistic = _bound_of_statistics(
        scorer, torch.cat(joints, 1), torch.cat([s.detach() for s in statistics], 1)
    )
    if gradients is None:
        return bound
    grad_joints = grad_joint.split([joint.shape[1] for joint in joints], 1)
    grad_statistics = grad_statistic.split([s.shape[1] for s in statistics], 1)
    for chunk, grad_joint, grad_statistic in zip(chunks, grad_joints, grad_statistics, strict=True):
        if not is_one_chunk:  # the scores of all chunks would not fit into memory
            _, marginal = scorer.joint_and_marginal(tensors, chunk)
            with torch.enable_grad():
                statistic = scorer.reduce(chunk, marginal.requires_grad_())
        (grad_scores,) = torch.autograd.grad(statistic, marginal, grad_statistic)
        grad_scores = grad_scores.contiguous()  # all locations may share one number
        scorer.positives(chunk, grad_scores).copy_(grad_joint)
        gradients.add(chunk, grad_scores.to(tensors[0].dtype))
    return bound


def _bound_of_statistics(
    scorer: _Scorer, joint: Tensor, statistic: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Bound, and its gradients by joint scores and by this process's statistics.

    Joint scores are (n_views, n_joint, n_locations), statistics (n_views, n_queries).
    """
    processes, is_mean_over_codes = scorer.processes, scorer.statistic.is_mean_over_codes
    is_exchanged = scorer.statistic.is_log and not processes.is_single
    total = processes.log_sum_exp(statistic) if is_exchanged else statistic
    with torch.enable_grad():
        leaves = [joint.requires_grad_(), total.requires_grad_()]
        own = total[:, scorer.shard] if is_exchanged and is_mean_over_codes else total
        bound = scorer.statistic.bound(joint, own, scorer.n)
        grad_joint, grad_total = torch.autograd.grad(bound, leaves, materialize_grads=True)
    if is_exchanged:
        processes.all_reduce([grad_total])
        grad_total = grad_total * (statistic - total.detach()).exp()
    return bound.detach(), grad_joint, grad_total
