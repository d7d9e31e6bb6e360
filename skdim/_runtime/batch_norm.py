"""Batch normalisation with the statistics of all processes; torch's needs an accelerator."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

from skdim._runtime.distributed import ProcessGroup


class _BatchNorm(torch.autograd.Function):
    """Batch normalisation with moments over all processes, and one message in each direction."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float):
        """Return the normalised x, and the mean, biased variance and number of all values.

        x has the shape (n, n_channels, ...), all else (n_channels,) or ().
        """
        # On every device, this is the fastest kernel of torch that computes moments.
        _, mean, rsqrt = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        variance = (rsqrt**-2 - eps).clamp(min=0)
        n_own = x.numel() // x.shape[1]
        own = torch.cat([mean, variance, mean.new_tensor([n_own])])
        gathered = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(gathered, own)
        means, variances, counts = torch.stack(gathered).split([len(mean), len(mean), 1], 1)
        n = counts.sum()
        shares = counts / n  # (world_size, 1)
        mean = (shares * means).sum(0)
        # The variance within processes plus the variance between them: no large numbers cancel.
        variance = (shares * (variances + (means - mean).square())).sum(0)
        ctx.save_for_backward(x, weight, mean, variance, n)
        ctx.mark_non_differentiable(mean, variance, n)
        ctx.eps = eps
        return _scale(x, weight, bias, mean, variance, eps), mean, variance, n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor, *_: Any):
        x, weight, mean, variance, n = ctx.saved_tensors
        rsqrt = (variance + ctx.eps).rsqrt()
        grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            *(grad_output, x, weight, None, None, mean, rsqrt, True, ctx.eps), [True, True, True]
        )
        sums = torch.stack([grad_weight, grad_bias])  # (2, n_channels)
        total = sums.clone()
        distributed.all_reduce(total)
        # So far, grad_x depends on means over this process; it must depend on means over all.
        n_own = x.numel() // x.shape[1]
        factor, offset = weight * rsqrt * (sums / n_own - total / n)
        grad_x += _scale(x, factor, offset, mean, variance, ctx.eps)
        return grad_x, grad_weight, grad_bias, None


def _scale(
    x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float
) -> Tensor:
    """Normalise x with precomputed moments."""
    return torch.batch_norm(x, weight, bias, mean, variance, False, 0.0, eps, True)


class _SyncBatchNorm(nn.Module):
    """Mixin for batch normalisation with the statistics of all processes.

    It precedes a layer of torch among the bases of a class, and uses the attributes of the layer.
    """

    weight: Any
    bias: Any
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    momentum: float | None
    eps: float
    affine: bool

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x of shape (n, n_channels, ...)."""
        if not self.training:
            return super().forward(x)
        weight, bias = self.weight, self.bias
        if not self.affine:
            weight = x.new_ones(x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))
            bias = torch.zeros_like(weight)
        normalized, mean, variance, n = _BatchNorm.apply(x, weight, bias, self.eps)
        self._update_statistics(mean, variance * n / (n - 1))
        return normalized

    @torch.no_grad()
    def _update_statistics(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return  # a layer that keeps no statistics
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:  # the mean over all batches so far
            momentum = 1 / float(self.num_batches_tracked or 1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


class _SyncBatchNorm1d(_SyncBatchNorm, nn.BatchNorm1d):
    pass


class _SyncBatchNorm2d(_SyncBatchNorm, nn.BatchNorm2d):
    pass


class _SyncBatchNorm3d(_SyncBatchNorm, nn.BatchNorm3d):
    pass


SYNC_BATCH_NORMS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _SyncBatchNorm1d,
    nn.BatchNorm2d: _SyncBatchNorm2d,
    nn.BatchNorm3d: _SyncBatchNorm3d,
}


@contextmanager
def sync_batch_norm(processes: ProcessGroup, *modules: nn.Module) -> Iterator[None]:
    """Make batch normalisation use statistics of the whole batch inside the ``with`` block."""
    layers = [
        layer for module in modules for layer in module.modules() if type(layer) in SYNC_BATCH_NORMS
    ]
    changed = [] if processes.is_single else [(layer, type(layer)) for layer in layers]
    try:
        for layer, kind in changed:
            layer.__class__ = SYNC_BATCH_NORMS[kind]
        yield
    finally:
        for layer, kind in changed:
            layer.__class__ = kind
