"""Every pair of a batch scored, a few codes at a time: memory grows with the batch, not its square.

A separable critic gives queries and keys; the score of a pair is their dot product, summed over
parts. The scores of a whole batch are n * n * n_locations numbers. Here those of a block of codes
are made, estimated, turned into gradients of queries and keys, and forgotten before the next block
is made. The result is the bound on all pairs at once, to rounding.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skdim.mutual_information import Estimator, row_form_of
from skdim.pairs import join_pairs, split_pairs

Part = tuple[Tensor, Tensor]

# Scores held at once: 16 MiB of float32. The same on every device, so that sums have one order.
BLOCK_SIZE = 2**22


def bound_all_pairs(
    estimator: Estimator,
    parts: Sequence[Part],
    strangers: Tensor | None = None,
    first: int = 0,
    block_size: int = BLOCK_SIZE,
) -> Tensor:
    """Estimate from the scores of codes against the locals of every sample.

    Parameters
    ----------
    estimator : callable (joint, marginal) -> bound
        One without a row form (see `skdim.mutual_information`) gets all scores at once.
    parts : sequence of (queries, keys)
        Of shapes (n_views, n_codes, width) and (n_views, n, n_locations, width), one width a part.
    strangers : Tensor of shape (n_codes, n_others), int64, or None
        The marginal pairs of each code; None means all other samples.
    first : int, default=0
        The sample of the first code, where there are codes of some samples only.
    block_size : int
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
    n_rows = max(1, block_size // (n_views * n * n_locations))
    with torch.autocast(device.type, enabled=False):
        tensors = [tensor.to(dtype).contiguous() for part in parts for tensor in part]
        row_form = row_form_of(estimator)
        if n_rows >= n_codes or row_form is None:
            n_rows = n_codes
        else:
            with torch.no_grad():
                blocks = _blocks(tensors, strangers, first, n_rows)
                estimator = row_form(marginal for _, _, marginal in blocks)
        return _BoundAllPairs.apply(estimator, strangers, first, n_rows, *tensors)


class _BoundAllPairs(torch.autograd.Function):
    """The bound as a mean over blocks, with gradients made on the way forward."""

    @staticmethod
    def forward(ctx: Any, estimator, strangers, first, n_rows, *tensors):
        n_codes, n = len(tensors[0][0]), len(tensors[1][0])
        is_learning = any(ctx.needs_input_grad)
        gradients = _Gradients(tensors, one_block=n_rows == n_codes) if is_learning else None
        bounds = []
        for rows, *pairs in _blocks(tensors, strangers, first, n_rows):
            with torch.set_grad_enabled(is_learning):
                leaves = [scores.requires_grad_(is_learning) for scores in pairs]
                bound = estimator(*leaves) * ((rows.stop - rows.start) / n_codes)
            bounds.append(bound.detach())
            if gradients is not None:
                joint, marginal = torch.autograd.grad(bound, leaves, materialize_grads=True)
                here = None if strangers is None else strangers[rows]
                start = first + rows.start
                gradients.add(rows, join_pairs(joint, marginal, n, here, start, tensors[0].dtype))
        ctx.gradients = None if gradients is None else gradients.tensors()
        return torch.stack(bounds).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope):
        # In place and once: a second tensor of the keys' size would cost as much as a layer.
        if ctx.gradients is None:
            raise RuntimeError("A bound on all pairs can be differentiated once.")
        gradients, ctx.gradients = ctx.gradients, None
        return None, None, None, None, *(gradient.mul_(slope) for gradient in gradients)


def score_parts(parts: Sequence[Part]) -> Tensor:
    """Score every code against the locals of every sample.

    Parameters
    ----------
    parts : sequence of (queries, keys)
        Of shapes (..., n, width) and (..., n, n_locations, width), one width a part.

    Returns
    -------
    scores : Tensor of shape (..., n, n, n_locations)
        Entry (i, j, k) scores code i against location k of sample j.
    """
    products = [q @ k.flatten(-3, -2).transpose(-1, -2) for q, k in parts]
    return sum(products[1:], products[0]).unflatten(-1, parts[0][1].shape[-3:-1])


def _blocks(
    tensors: Sequence[Tensor], strangers: Tensor | None, first: int, n_rows: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Score ``n_rows`` codes at a time.

    Yields
    ------
    rows : slice
    joint : Tensor of shape (n_views, n_rows, n_locations), float32 or float64
    marginal : Tensor of shape (n_views, n_rows, n_others, n_locations), likewise
    """
    n_views, n, n_locations, _ = tensors[1].shape
    n_codes = tensors[0].shape[1]
    exact = torch.promote_types(tensors[0].dtype, torch.float32)
    for start in range(0, n_codes, n_rows):
        rows = slice(start, min(start + n_rows, n_codes))
        scores = tensors[0].new_zeros(n_views, rows.stop - start, n * n_locations)
        for queries, keys in zip(tensors[::2], tensors[1::2], strict=True):
            for view in range(n_views):
                # Products of matrices: those of stacks of matrices would copy the keys.
                scores[view].addmm_(queries[view, rows], keys[view].flatten(0, 1).t())
        here = None if strangers is None else strangers[rows]
        joint, marginal = split_pairs(scores.unflatten(-1, (n, n_locations)), here, first + start)
        yield rows, joint.to(exact), marginal.to(exact)


class _Gradients:
    """Gradients of queries and keys, from those of the scores, a block of codes after another."""

    def __init__(self, tensors: Sequence[Tensor], one_block: bool):
        self.given = tensors
        self.of_queries = [torch.empty_like(queries) for queries in tensors[::2]]
        # Every block adds to all keys: sums of many small bfloat16 would lose the later ones.
        exact = torch.promote_types(tensors[0].dtype, torch.float32)
        self.of_keys = [
            torch.empty_like(keys) if one_block else torch.zeros_like(keys, dtype=exact)
            for keys in tensors[1::2]
        ]
        self.one_block = one_block

    def add(self, rows: slice, of_scores: Tensor) -> None:
        """Take in the gradient of a block's scores, of shape (n_views, n_rows, n, n_locations)."""
        of_parts = zip(self.of_queries, self.of_keys, strict=True)
        for part, (of_queries, of_keys) in enumerate(of_parts):
            queries, keys = self.given[2 * part : 2 * part + 2]
            for view, slope in enumerate(of_scores.flatten(-2)):  # (n_rows, n * n_locations)
                table, of_table = keys[view].flatten(0, 1), of_keys[view].flatten(0, 1)
                torch.mm(slope, table, out=of_queries[view, rows])
                if self.one_block:
                    torch.mm(slope.t(), queries[view, rows], out=of_table)
                else:
                    of_table += slope.t() @ queries[view, rows]

    def tensors(self) -> list[Tensor]:
        """Return the gradients in the order and type of what they are of."""
        pairs = zip(self.of_queries, self.of_keys, strict=True)
        return [x.to(self.given[0].dtype) for pair in pairs for x in pair]
