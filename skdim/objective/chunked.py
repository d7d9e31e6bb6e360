"""Chunked scoring: all pairs of a batch, a few codes at a time, in memory linear in the batch.

A separable critic gives queries and keys; the score of a pair is their dot product, summed over
parts. The scores of a whole batch are n * n * n_locations numbers. Here those of a chunk of codes
are computed, estimated, turned into gradients of queries and keys, and freed before the next chunk
is computed. The result is the bound on all pairs at once, to rounding.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skdim.critics import Part
from skdim.mutual_information import Estimator, chunk_form_of
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
    device, dtype = parts[0][1].device, parts[0][1].dtype
    if torch.is_autocast_enabled(device.type):
        dtype = torch.get_autocast_dtype(device.type)
    n_views, n, n_locations, _ = parts[0][1].shape
    n_codes = parts[0][0].shape[1]
    n_queries = max(1, chunk_size // (n_views * n * n_locations))
    with torch.autocast(device.type, enabled=False):
        tensors = [tensor.to(dtype).contiguous() for part in parts for tensor in part]
        chunk_form = chunk_form_of(mi_estimator)
        if n_queries >= n_codes or chunk_form is None:
            n_queries = n_codes
        else:
            with torch.no_grad():
                chunks = _chunks(tensors, negatives, first, n_queries)
                mi_estimator = chunk_form(marginal for _, _, marginal in chunks)
        return _BoundAllPairs.apply(mi_estimator, negatives, first, n_queries, *tensors)


class _BoundAllPairs(torch.autograd.Function):
    """The bound as a mean over chunks, with gradients computed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, mi_estimator, negatives, first, n_queries, *tensors):
        n_codes, n = len(tensors[0][0]), len(tensors[1][0])
        needs_grad = any(ctx.needs_input_grad)
        gradients = _Gradients(tensors, one_chunk=n_queries == n_codes) if needs_grad else None
        bounds = []
        for chunk, *pairs in _chunks(tensors, negatives, first, n_queries):
            with torch.set_grad_enabled(needs_grad):
                leaves = [scores.requires_grad_(needs_grad) for scores in pairs]
                bound = mi_estimator(*leaves) * ((chunk.stop - chunk.start) / n_codes)
            bounds.append(bound.detach())
            if gradients is not None:
                joint, marginal = torch.autograd.grad(bound, leaves, materialize_grads=True)
                here = None if negatives is None else negatives[chunk]
                start = first + chunk.start
                gradients.add(chunk, join_pairs(joint, marginal, n, here, start, tensors[0].dtype))
        ctx.gradients = None if gradients is None else gradients.tensors()
        return torch.stack(bounds).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output):
        # In place and once: a second tensor of the keys' size would cost as much as a layer.
        if ctx.gradients is None:
            raise RuntimeError("A bound on all pairs can be differentiated once.")
        gradients, ctx.gradients = ctx.gradients, None
        return None, None, None, None, *(gradient.mul_(grad_output) for gradient in gradients)


def _chunks(
    tensors: Sequence[Tensor], negatives: Tensor | None, first: int, n_queries: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Score ``n_queries`` codes at a time.

    Yields
    ------
    chunk : slice
    joint : Tensor of shape (n_views, n_queries, n_locations), float32 or float64
    marginal : Tensor of shape (n_views, n_queries, n_others, n_locations), likewise
    """
    n_views, n, n_locations, _ = tensors[1].shape
    n_codes = tensors[0].shape[1]
    exact = torch.promote_types(tensors[0].dtype, torch.float32)
    for start in range(0, n_codes, n_queries):
        chunk = slice(start, min(start + n_queries, n_codes))
        scores = tensors[0].new_zeros(n_views, chunk.stop - chunk.start, n * n_locations)
        for queries, keys in zip(tensors[::2], tensors[1::2], strict=True):
            for view in range(n_views):
                # Products of matrices: those of stacks of matrices would copy the keys.
                scores[view].addmm_(queries[view, chunk], keys[view].flatten(0, 1).t())
        here = None if negatives is None else negatives[chunk]
        joint, marginal = split_pairs(scores.unflatten(-1, (n, n_locations)), here, first + start)
        yield chunk, joint.to(exact), marginal.to(exact)


class _Gradients:
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
