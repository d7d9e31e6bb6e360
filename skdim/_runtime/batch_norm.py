"""Batch normalisation with the statistics of all processes; torch's needs an accelerator."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

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


def _batch_norm(
    function: Callable,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` with the moments of all processes."""
    if not training:
        return function(x, running_mean, running_var, weight, bias, False, momentum, eps)
    if weight is None:
        weight = x.new_ones(x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))
    bias = torch.zeros_like(weight) if bias is None else bias
    normalized, mean, variance, n = _BatchNorm.apply(x, weight, bias, eps)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * n / (n - 1)).to(running_var.dtype), momentum)
    return normalized


def _instance_norm(
    function: Callable,
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.instance_norm`, with running statistics of all processes.

    Each sample is normalised by itself. Running statistics are means over samples.
    """
    normalized = function(
        x, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )
    if use_input_stats and running_mean is not None and running_var is not None:
        with torch.no_grad():
            sums = torch.cat([running_mean, running_var, running_mean.new_ones(1)]) * len(x)
            distributed.all_reduce(sums)
            mean, variance = (sums[:-1] / sums[-1]).chunk(2)
            running_mean.copy_(mean)
            running_var.copy_(variance)
    return normalized


OVER_PROCESSES: dict[Callable, Callable] = {
    functional.batch_norm: _batch_norm,
    functional.instance_norm: _instance_norm,
}


class _OverProcesses(TorchFunctionMode):
    """A context in which torch's functions of normalisation see the samples of all processes."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call ``func``, or its equivalent over processes."""
        if func in OVER_PROCESSES:
            return OVER_PROCESSES[func](func, *args, **_renamed(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _renamed(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"x" if name == "input" else name: value for name, value in kwargs.items()}


@contextmanager
def sync_batch_norm(processes: ProcessGroup, *modules: nn.Module) -> Iterator[None]:
    """Make batch normalisation use statistics of the whole batch inside the ``with`` block.

    A layer keeps its own ``forward``, for instance one with an activation, in which the functions
    of torch are replaced.
    """
    # All layers of torch have this name, also those that keep no statistics.
    layers = [x for module in modules for x in module.modules() if hasattr(x, "running_var")]
    changed = [] if processes.is_single else [(layer, dict(vars(layer))) for layer in layers]
    try:
        for layer, _ in changed:
            vars(layer)["forward"] = _uncompiled(_over_processes(layer.forward))
        yield
    finally:
        for layer, attributes in changed:
            del vars(layer)["forward"]
            if "forward" in attributes:
                vars(layer)["forward"] = attributes["forward"]


def _over_processes(forward: Callable) -> Callable:
    @wraps(forward)
    def forward_over_processes(*args, **kwargs):
        with _OverProcesses():
            return forward(*args, **kwargs)

    return forward_over_processes


def _uncompiled(function: Callable) -> Callable:
    """Keep torch's compiler away from a function, without importing it, which takes seconds."""
    return torch.compiler.disable(function) if "torch._dynamo" in sys.modules else function
