"""Processes that train one encoder together, each on its part of every batch.

What they learn is what one process learns from the whole batch: every code is compared with the
locals of all ranks, layers are normalised by the statistics of all ranks, gradients are added up.
The loss of a rank is its part of the whole, so that the sum over ranks is the loss.
"""

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

from skdim.devices import at_least_float32

T = TypeVar("T")

# How long a process that is done waits for the others to be done too.
PATIENCE = timedelta(seconds=10)


class Ranks:
    """The processes of a fit, seen from one of them.

    Parameters
    ----------
    rank : int, default=0
    n_ranks : int, default=1
        A lone one exchanges nothing.
    device : torch.device
        Where what they exchange must lie.

    Attributes
    ----------
    counts : list of int
        Samples of each rank in the batch at hand; see `share_out`.
    """

    def __init__(self, rank: int = 0, n_ranks: int = 1, device: torch.device | str = "cpu"):
        self.rank, self.n_ranks, self.device = rank, n_ranks, device
        self.counts = [1] * n_ranks

    @property
    def is_alone(self) -> bool:
        """Whether there is one process only."""
        return self.n_ranks == 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and reports."""
        return self.rank == 0

    # ------------------------------------------------------------ the batch at hand

    def share_out(self, rows: Tensor) -> Tensor:
        """Return this rank's part of a batch, and remember how large all parts are."""
        if self.is_alone:
            return rows
        parts = rows.tensor_split(self.n_ranks)
        self.counts = [len(part) for part in parts]
        return parts[self.rank]

    @property
    def own(self) -> slice:
        """Where this rank's samples are in the whole batch."""
        start = sum(self.counts[: self.rank])
        return slice(start, start + self.counts[self.rank])

    def weigh(self, mean: Tensor) -> Tensor:
        """Turn a mean over own samples into their part of the mean over the whole batch."""
        return mean if self.is_alone else mean * (self.counts[self.rank] / sum(self.counts))

    def gather(self, tensor: Tensor) -> Tensor:
        """Put the samples of all ranks beside each other; gradients find the way back.

        Parameters
        ----------
        tensor : Tensor of shape (n_views, n_own, ...)

        Returns
        -------
        whole : Tensor of shape (n_views, n, ...)
        """
        if self.is_alone:
            return tensor
        return _Gather.apply(tensor.movedim(1, 0), self).movedim(0, 1)

    # ------------------------------------------------------------ numbers

    @torch.no_grad()
    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their sums over ranks, in one message."""
        if self.is_alone or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def add_up_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give every rank the gradient of the whole batch."""
        self.add_up([p.grad for p in parameters if p.grad is not None])

    def sum_of(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of an array over ranks."""
        if self.is_alone:
            return array
        # Doubles are not known to every device, but to every processor.
        return np.sum(self.collect(array), axis=0)

    def from_first(self, value: T) -> T:
        """Return the first rank's value, whatever this one's is."""
        if self.is_alone:
            return value
        values = [value]
        distributed.broadcast_object_list(values, device=torch.device(self.device))
        return values[0]

    def collect(self, value: T) -> list[T]:
        """Return the values of all ranks, in their order."""
        if self.is_alone:
            return [value]
        values: list[Any] = [None] * self.n_ranks
        distributed.all_gather_object(values, value)
        return values

    def spread(self, *modules: nn.Module) -> None:
        """Give all ranks the first one's weights."""
        if not self.is_alone:
            for module in modules:
                for tensor in module.state_dict().values():
                    distributed.broadcast(tensor, 0)

    def check_same(self, value: Any, what: str) -> None:
        """Raise ValueError if ranks have different ones."""
        values = self.collect(value)
        if any(other != value for other in values):
            raise ValueError(
                f"Every process of a distributed fit must get the same {what}. Got {values}."
            )


ALONE = Ranks()


def join(device: torch.device) -> Ranks:
    """Return the ranks that ``torchrun`` started, connected.

    Raises
    ------
    ValueError
        If this process was started otherwise.
    """
    if not distributed.is_initialized():
        if "RANK" not in os.environ:
            raise ValueError(
                "The 'distributed' parameter needs processes that torchrun started: "
                "torchrun --nproc-per-node 2 script.py. Got True in a process by itself."
            )
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)
    return Ranks(distributed.get_rank(), distributed.get_world_size(), device)


def _leave() -> None:
    if not distributed.is_initialized():
        return
    if distributed.get_backend() == "gloo":  # whose threads abort if others are gone before them
        with suppress(RuntimeError):
            distributed.monitored_barrier(timeout=PATIENCE)
    distributed.destroy_process_group()


@contextmanager
def loss_of_a_rank(ranks: Ranks, advice: str) -> Iterator[None]:
    """Say in a sentence that another process is gone, inside the block."""
    try:
        yield
    except RuntimeError as error:
        signs = ("onnection closed", "onnection reset", "gloo", "NCCL", "Timed out", "Broken pipe")
        if ranks.is_alone or not any(sign in str(error) for sign in signs):
            raise
        raise RuntimeError(
            f"Rank {ranks.rank} of {ranks.n_ranks} lost another process of this fit, whose own "
            f"output says why. {advice} ({str(error).splitlines()[0]})"
        ) from error


class _Gather(torch.autograd.Function):
    """Concatenate over ranks forward; add up over ranks backward, and keep the own part."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, ranks: Ranks):
        ctx.own, ctx.dtype = ranks.own, tensor.dtype
        # Parts differ by a sample at most, messages may not.
        padded = tensor.new_zeros(max(ranks.counts), *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        parts = [torch.empty_like(padded) for _ in ranks.counts]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, ranks.counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, slope: Tensor):
        total = at_least_float32(slope).clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[ctx.own].to(ctx.dtype), None


class _Sum(torch.autograd.Function):
    """Add up over ranks, forward and backward."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor):
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor):
        total = slope.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total


class _Joined(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation by the statistics of all ranks; torch has one for GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x of shape (n, n_channels, ...)."""
        if not self.training:
            return super().forward(x)
        exact = at_least_float32(x)
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1] + [1] * (x.ndim - 2)
        n_own = exact.new_full((1,), x.numel() // x.shape[1])
        *sums, n = _Sum.apply(torch.cat([exact.sum(axes), n_own])).split([x.shape[1], 1])
        mean = sums[0] / n
        centred = exact - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(axes)) / n
        self._remember(mean.detach(), (variance * n / (n - 1)).detach())
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return  # a layer that keeps no statistics
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        step = self.momentum
        if step is None:  # the mean over all batches so far
            step = 1 / float(self.num_batches_tracked or 1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), step)
        self.running_var.lerp_(variance.to(self.running_var.dtype), step)


class _Joined1d(_Joined, nn.BatchNorm1d):
    pass


class _Joined2d(_Joined, nn.BatchNorm2d):
    pass


class _Joined3d(_Joined, nn.BatchNorm3d):
    pass


JOINED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _Joined1d,
    nn.BatchNorm2d: _Joined2d,
    nn.BatchNorm3d: _Joined3d,
}


@contextmanager
def statistics_joined(ranks: Ranks, *modules: nn.Module) -> Iterator[None]:
    """Let layers of batch normalisation see the whole batch, inside the block."""
    layers = [layer for module in modules for layer in module.modules() if type(layer) in JOINED]
    changed = [] if ranks.is_alone else [(layer, type(layer)) for layer in layers]
    try:
        for layer, kind in changed:
            layer.__class__ = JOINED[kind]
        yield
    finally:
        for layer, kind in changed:
            layer.__class__ = kind
