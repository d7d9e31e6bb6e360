"""Chunked scoring: all pairs of a batch, a few codes at a time, in memory linear in the batch.

A separable critic gives queries and keys; the score of a pair is their dot product, summed over
parts. The scores of a whole batch are n * n * n_locations numbers. Here those of a chunk of codes
are computed, estimated, turned into gradients of queries and keys, and freed before the next chunk
is computed. The result is the bound on all pairs at once, to rounding.

This module serves any MI estimator; ``additive`` serves those whose marginal scores add up.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skdim._runtime.devices import at_least_float32
from skdim.critics import Part
from skdim.mutual_information import Estimator, is_mean_over_codes
from skdim.objective.negatives import join_pairs, split_pairs

# Scores held at once: 16 MiB of float32. The same on every device, so that sums have one order.
CHUNK_SIZE = 2**22


def bound_all_pairs(
    mi_estimator: Estimator,
    parts: Sequence[Part],
    negatives: Tensor | None = None,
    first: int = 0,
    chunk_size: int = CHUNK_SIZE,
) -> Tensor:
    """Bound from the scores of codes against the local features of every sample.

    Parameters
    ----------
    mi_estimator : callable (joint, marginal) -> bound
        One that is not `skdim.mutual_information.chunkable` gets all scores at once.
    parts : sequence of (queries, keys)
        Of shapes (n_views, n_codes, width) and (n_views, n, n_locations, width), one width a part.
    negatives : Tensor of shape (n_codes, n_others), int64, or None
        The negatives of each code; None means all other samples.
    first : int, default=0
        Index of the first code's sample, where there are codes of some samples only.
    chunk_size : int
        Scores held at once; those of one code at least.

    Returns
    -------
    bound : Tensor of shape ()
        Differentiable once.
    """
    with torch.autocast(parts[0][1].device.type, enabled=False):
        tensors = flatten_parts(parts)
        n_codes = tensors[0].shape[1]
        chunks = cut_codes(tensors, chunk_size if is_mean_over_codes(mi_estimator) else None)
        return _BoundAllPairs.apply(mi_estimator, negatives, first, n_codes, chunks, *tensors)


class _BoundAllPairs(torch.autograd.Function):
    """The bound as a mean over chunks, with gradients computed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, mi_estimator, negatives, first, n_codes, chunks, *tensors):
        n = tensors[1].shape[1]
        needs_grad = any(ctx.needs_input_grad)
        gradients = Gradients(tensors, one_chunk=len(chunks) == 1) if needs_grad else None
        bounds = []
        for chunk in chunks:
            here = None if negatives is None else negatives[chunk]
            start = first + chunk.start
            pairs = split_pairs(score_chunk(tensors, chunk), here, start)
            with torch.set_grad_enabled(needs_grad):
                leaves = [at_least_float32(x).requires_grad_(needs_grad) for x in pairs]
                bound = mi_estimator(*leaves) * ((chunk.stop - chunk.start) / n_codes)
            bounds.append(bound.detach())
            if gradients is not None:
                joint, marginal = torch.autograd.grad(bound, leaves, materialize_grads=True)
                gradients.add(chunk, join_pairs(joint, marginal, n, here, start, tensors[0].dtype))
        ctx.gradients = gradients
        return torch.stack(bounds).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output):
        gradients, ctx.gradients = ctx.gradients, None
        return None, None, None, None, None, *take_gradients(gradients, grad_output)


def flatten_parts(parts: Sequence[Part]) -> list[Tensor]:
    """List queries and keys in turn, in the type of the products that autocast would compute."""
    device, dtype = parts[0][1].device, parts[0][1].dtype
    if torch.is_autocast_enabled(device.type):
        dtype = torch.get_autocast_dtype(device.type)
    return [tensor.to(dtype).contiguous() for part in parts for tensor in part]


def cut_codes(tensors: Sequence[Tensor], chunk_size: int | None) -> list[slice]:
    """Cut the codes into chunks that have ``chunk_size`` scores at most; None is one chunk."""
    n_views, n, n_locations, _ = tensors[1].shape
    n_codes = tensors[0].shape[1]
    n_queries = n_codes
    if chunk_size is not None:
        n_queries = min(n_codes, max(1, chunk_size // (n_views * n * n_locations)))
    starts = range(0, n_codes, n_queries)
    return [slice(start, min(start + n_queries, n_codes)) for start in starts]


def score_chunk(tensors: Sequence[Tensor], chunk: slice) -> Tensor:
    """Score a chunk of codes against all local features.

    Parameters
    ----------
    tensors : sequence of Tensor
        Queries and keys in turn, as `flatten_parts` lists them.
    chunk : slice

    Returns
    -------
    scores : Tensor of shape (n_views, n_queries, n, n_locations)
    """
    n_views, n, n_locations, _ = tensors[1].shape
    scores = tensors[0].new_zeros(n_views, chunk.stop - chunk.start, n * n_locations)
    for queries, keys in zip(tensors[::2], tensors[1::2], strict=True):
        for view in range(n_views):
            # Products of matrices: those of stacks of matrices would copy the keys.
            scores[view].addmm_(queries[view, chunk], keys[view].flatten(0, 1).t())
    return scores.unflatten(-1, (n, n_locations))


class Gradients:
    """Gradients of queries and keys, from those of the scores, one chunk of codes at a time."""

    def __init__(self, tensors: Sequence[Tensor], one_chunk: bool):
        self.given = tensors
        self.of_queries = [torch.empty_like(queries) for queries in tensors[::2]]
        # Every chunk adds to all keys: sums of many small bfloat16 would lose the later ones.
        exact = torch.promote_types(tensors[0].dtype, torch.float32)
        self.of_keys = [
            torch.empty_like(keys) if one_chunk else torch.zeros_like(keys, dtype=exact)
            for keys in tensors[1::2]
        ]
        self.one_chunk = one_chunk

    def add(self, chunk: slice, of_scores: Tensor) -> None:
        """Add the gradient of a chunk's scores, of shape (n_views, n_queries, n, n_locations)."""
        of_parts = zip(self.of_queries, self.of_keys, strict=True)
        for part, (of_queries, of_keys) in enumerate(of_parts):
            queries, keys = self.given[2 * part : 2 * part + 2]
            for view, gradient in enumerate(of_scores.flatten(-2)):  # (n_queries, n * n_locations)
                matrix, of_matrix = keys[view].flatten(0, 1), of_keys[view].flatten(0, 1)
                torch.mm(gradient, matrix, out=of_queries[view, chunk])
                if self.one_chunk:
                    torch.mm(gradient.t(), queries[view, chunk], out=of_matrix)
                else:
                    of_matrix += gradient.t() @ queries[view, chunk]

    def tensors(self) -> list[Tensor]:
        """Return the gradients in the order and type of the tensors."""
        pairs = zip(self.of_queries, self.of_keys, strict=True)
        return [x.to(self.given[0].dtype) for pair in pairs for x in pair]


def take_gradients(gradients: Gradients | None, grad_output: Tensor) -> list[Tensor]:
    """Multiply the gradients of queries and keys by that of the bound.

    Raises
    ------
    RuntimeError
        If they were taken before.
    """
    if gradients is None:
        raise RuntimeError("A bound on all pairs can be differentiated once.")
    # In place and once: a second tensor of the keys' size would cost as much as a layer.
    return [gradient.mul_(grad_output) for gradient in gradients.tensors()]
