"""Pooling from slices gives the numbers and gradients of torch's own kernels."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from skdim.encoders import pooling


@pytest.fixture
def from_slices(monkeypatch):
    monkeypatch.setattr(pooling, "_needs_slices", lambda x: True)


def check_equal(one, other, x):
    results = [function(x.requires_grad_()) for function in (one, other)]
    torch.testing.assert_close(*results)
    weights = torch.randn(results[0].shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(*(torch.autograd.grad(r, x, weights)[0] for r in results))


def noise(*shape):
    return torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sides", [(4,), (5,), (2,), (4, 4), (5, 7), (4, 5, 6), (5, 4, 7)])
@pytest.mark.parametrize("n_parts", [2, 4])
def test_averages_of_parts(from_slices, sides, n_parts):
    kernel = pooling.AVERAGES[len(sides)]
    check_equal(
        lambda x: pooling.average_parts(x, n_parts), lambda x: kernel(x, n_parts), noise(*sides)
    )


@pytest.mark.parametrize("length", [4, 5, 11, 16, 31])
def test_largest_of_parts(from_slices, length):
    check_equal(
        lambda x: pooling.largest_of_parts(x, 4),
        lambda x: functional.adaptive_max_pool1d(x, 4),
        noise(length),
    )


@pytest.mark.parametrize("sides", [(4, 4, 4), (5, 6, 7)])
def test_halved_volumes(from_slices, sides):
    check_equal(pooling.MaxPool3d(2), nn.MaxPool3d(2), noise(*sides))


def test_a_cpu_uses_the_kernels_of_torch():
    x = noise(6, 6)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(pooling.average_parts(x, 2), functional.adaptive_avg_pool2d(x, 2))
    finally:
        torch.use_deterministic_algorithms(False)
