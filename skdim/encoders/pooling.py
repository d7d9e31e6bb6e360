"""Pooling, in kernels that repeat bit for bit on every device if the program asks for that.

Some gradients of torch's kernels on a GPU are sums in random order. After
``torch.use_deterministic_algorithms(True)``, these kernels raise an error. Then the same numbers
are computed from slices, in more kernels.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

# Keyed by the number of sides of a sample.
AVERAGES = {
    1: functional.adaptive_avg_pool1d,
    2: functional.adaptive_avg_pool2d,
    3: functional.adaptive_avg_pool3d,
}


def average_parts(x: Tensor, n_parts: int) -> Tensor:
    """Average each part of maps (n, channels, *sides): every side is cut into ``n_parts``.

    Parts overlap by one position if ``n_parts`` does not divide a side.
    """
    n_sides = x.ndim - 2
    return (
        _reduce_parts(x, n_parts, torch.mean) if _needs_slices(x) else AVERAGES[n_sides](x, n_parts)
    )


def largest_of_parts(x: Tensor, n_parts: int) -> Tensor:
    """Take the largest value of each part of maps (n, channels, length); see `average_parts`."""
    if _needs_slices(x):
        return _reduce_parts(x, n_parts, torch.amax)
    return functional.adaptive_max_pool1d(x, n_parts)


class MaxPool3d(nn.MaxPool3d):
    """Halve every side of volumes: the largest value of each cube of 2 x 2 x 2."""

    def forward(self, input: Tensor) -> Tensor:
        """Map volumes (n, channels, *sides) to (n, channels, *sides // 2)."""
        if not _needs_slices(input):
            return super().forward(input)
        for axis in range(2, 5):
            pairs = input.narrow(axis, 0, input.shape[axis] // 2 * 2).unflatten(axis, (-1, 2))
            input = torch.maximum(*pairs.unbind(axis + 1))
        return input


def _needs_slices(x: Tensor) -> bool:
    """Whether no kernel of the device will do; those of MPS need parts that do not overlap."""
    if x.device.type == "cpu":
        return False
    return x.device.type == "mps" or torch.are_deterministic_algorithms_enabled()


def _reduce_parts(x: Tensor, n_parts: int, reduce: Callable[[Tensor, int], Tensor]) -> Tensor:
    for axis in range(2, x.ndim):
        side = x.shape[axis]
        edges = [(i * side // n_parts, -(-(i + 1) * side // n_parts)) for i in range(n_parts)]
        parts = [reduce(x.narrow(axis, start, end - start), axis) for start, end in edges]
        x = torch.stack(parts, axis)
    return x
