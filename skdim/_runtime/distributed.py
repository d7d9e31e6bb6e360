"""Processes that train one encoder together, each on its shard of every batch.

They learn the same as one process would from the whole batch: every code is compared with the local
features of all processes, batch statistics are computed over the whole batch, and gradients are
summed. Each process computes its part of the loss; the loss is the sum of these parts.
"""

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

if distributed.is_available():
    # Functions of this module hold the process group of the time of import as a default argument.
    # If training imported it first, they would hold the group of the fit: it would never be freed,
    # and its threads would abort the interpreter at exit.
    import torch.distributed.nn.functional

T = TypeVar("T")

# Gradients are sent as soon as backward has computed this many bytes of them.
BUCKET_SIZE = 2**21

# How long a process that is done waits for the others.
EXIT_TIMEOUT = timedelta(seconds=10)


class ProcessGroup:
    """The processes of a fit, seen from one of them.

    Attributes
    ----------
    rank : int
        Rank of this process.
    world_size : int
        Number of processes. A single process exchanges nothing.
    device : torch.device
        Device of the tensors that are exchanged.
    shard_sizes : list of int
        Number of samples of each process in the current batch; see `shard`.
    """

    def __init__(self, rank: int = 0, world_size: int = 1, device: torch.device | str = "cpu"):
        self.rank, self.world_size, self.device = rank, world_size, device
        self.is_single = world_size == 1
        self.shard_sizes = [1] * world_size
        on_gpu = torch.device(device).type == "cuda"
        self.stream = torch.cuda.Stream(device) if on_gpu else None  # for `ask`

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes and reports."""
        return self.rank == 0

    # ------------------------------------------------------------ the current batch

    def shard(self, indices: Tensor) -> Tensor:
        """Return this process's part of a batch, and remember the sizes of all parts."""
        if self.is_single:
            return indices
        shards = indices.tensor_split(self.world_size)
        self.shard_sizes = [len(shard) for shard in shards]
        return shards[self.rank]

    @property
    def shard_slice(self) -> slice:
        """The slice of the whole batch that holds this process's samples."""
        start = sum(self.shard_sizes[: self.rank])
        return slice(start, start + self.shard_sizes[self.rank])

    def weight_by_shard(self, mean: Tensor) -> Tensor:
        """Turn a mean over this shard into its part of the mean over the whole batch."""
        if self.is_single:
            return mean
        return mean * (self.shard_sizes[self.rank] / sum(self.shard_sizes))

    def gather_samples(self, tensor: Tensor) -> Tensor:
        """Concatenate the samples of all processes; differentiable.

        From a tensor (n_views, n_shard, ...) to one (n_views, n, ...).
        """
        if self.is_single:
            return tensor
        return _GatherSamples.apply(tensor.movedim(1, 0), self).movedim(0, 1)

    # ------------------------------------------------------------ collectives

    @torch.no_grad()
    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their sums over processes, in one message."""
        if self.is_single or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    @torch.no_grad()
    def log_sum_exp(self, tensor: Tensor) -> Tensor:
        """Return the logarithm of the sum over processes of the exponentials of a tensor."""
        highest = tensor.clone()
        distributed.all_reduce(highest, distributed.ReduceOp.MAX)
        total = (tensor - highest).exp()
        distributed.all_reduce(total)
        return highest + total.log()

    @contextmanager
    def summed_gradients(self, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
        """Sum gradients over processes while backward, in the ``with`` block, computes the rest."""
        if self.is_single:
            yield
            return
        messages = _GradientMessages()
        trained = [p for p in parameters if p.requires_grad]
        handles = [p.register_post_accumulate_grad_hook(messages.add) for p in trained]
        try:
            yield
            messages.finish()
        finally:
            for handle in handles:
                handle.remove()

    def ask(self, value: bool) -> Callable[[], bool]:
        """Ask whether a value is true in any process; return a function that gets the answer."""
        if self.is_single:
            return lambda: value
        # In a stream of its own on a GPU, so that the answer waits for this message, not for steps.
        with torch.cuda.stream(self.stream):
            flag = torch.tensor([float(value)], device=self.device)
            message = distributed.all_reduce(flag, async_op=True)

        def answer() -> bool:
            with torch.cuda.stream(self.stream):
                message.wait()
                return bool(flag.item())

        return answer

    def any(self, value: bool) -> bool:
        """Return whether a value is true in any process."""
        return self.ask(value)()

    def sum_arrays(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of an array over processes."""
        if self.is_single:
            return array
        # As objects: every CPU can add float64, but not every device can.
        return np.sum(self.all_gather(array), axis=0)

    def all_gather(self, value: T) -> list[T]:
        """Return the values of all processes, in the order of their rank."""
        if self.is_single:
            return [value]
        values: list[Any] = [None] * self.world_size
        with _current(self.device):
            distributed.all_gather_object(values, value)
        return values

    def broadcast(self, value: T) -> T:
        """Return rank 0's value in every process."""
        if self.is_single:
            return value
        values = [value]
        with _current(self.device):
            distributed.broadcast_object_list(values, device=torch.device(self.device))
        return values[0]

    def broadcast_buffers(self, *modules: nn.Module) -> None:
        """Give all processes rank 0's buffers, such as statistics that a custom layer keeps."""
        if not self.is_single:
            for module in modules:
                for buffer in module.buffers():
                    distributed.broadcast(buffer, 0)

    def broadcast_weights(self, *modules: nn.Module) -> None:
        """Give all processes rank 0's weights."""
        if not self.is_single:
            for module in modules:
                for tensor in module.state_dict().values():
                    distributed.broadcast(tensor, 0)

    def check_same(self, value: Any, name: str) -> None:
        """Raise ValueError if processes have different values."""
        values = self.all_gather(value)
        if any(other != value for other in values):
            raise ValueError(
                f"Every process of a distributed fit must get the same {name}. Got {values}."
            )


SINGLE_PROCESS = ProcessGroup()


def _current(device: torch.device | str) -> AbstractContextManager:
    """Make a GPU the current one in the ``with`` block: NCCL sends objects through that one."""
    return torch.cuda.device(device) if torch.device(device).type == "cuda" else nullcontext()


def join_process_group(device: torch.device) -> ProcessGroup:
    """Connect the processes that ``torchrun`` started, unless they are connected; return them.

    Raises
    ------
    ValueError
        If this process is not connected and ``torchrun`` did not start it.
    """
    if not distributed.is_initialized():
        if "RANK" not in os.environ:
            raise ValueError(
                "The 'distributed' parameter needs processes that torchrun started (torchrun "
                "--nproc-per-node 2 script.py) or that torch.distributed has connected. Got True "
                "in a single process."
            )
        if device.type == "cuda":
            distributed.init_process_group("nccl", device_id=device)
        else:
            distributed.init_process_group("gloo")
        atexit.register(leave_process_group)
    return ProcessGroup(distributed.get_rank(), distributed.get_world_size(), device)


def leave_process_group() -> None:
    """Wait for the other processes and disconnect, if there is a connection."""
    if not distributed.is_initialized():
        return
    if distributed.get_backend() == "gloo":  # its threads abort if another process ends first
        with suppress(RuntimeError):
            _wait_for_others()
    distributed.destroy_process_group()


def _wait_for_others() -> None:
    """Wait until all processes call this; torch's own barrier has a timeout in rank 0 only."""
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    others = [other for other in range(world_size) if other != rank]
    tokens = [torch.zeros(1) for _ in others]
    sent = [distributed.isend(torch.zeros(1), other) for other in others]
    received = map(distributed.irecv, tokens, others)
    for message in filter(None, [*sent, *received]):
        message.wait(EXIT_TIMEOUT)


@contextmanager
def explain_lost_process(processes: ProcessGroup, advice: str) -> Iterator[None]:
    """Turn the error of a broken connection into an error that says what to do."""
    try:
        yield
    except RuntimeError as error:
        signs = ("onnection closed", "onnection reset", "gloo", "NCCL", "Timed out", "Broken pipe")
        if processes.is_single or not any(sign in str(error) for sign in signs):
            raise
        raise RuntimeError(
            f"Rank {processes.rank} of {processes.world_size} lost another process of this fit, "
            f"whose own output says why. {advice} ({str(error).splitlines()[0]})"
        ) from error


class _GradientMessages:
    """Messages that sum gradients. Each is sent when it is full; the end waits for all of them.

    Backward runs through the same graph in every process, so all send messages in the same order.
    """

    def __init__(self) -> None:
        self.waiting: list[Tensor] = []
        self.sent: list[tuple[list[Tensor], Tensor, Any]] = []

    def add(self, parameter: nn.Parameter) -> None:
        """Add the gradient of a parameter, once it is complete."""
        if parameter.grad is not None:
            self.waiting.append(parameter.grad)
        if sum(gradient.nbytes for gradient in self.waiting) >= BUCKET_SIZE:
            self.send()

    def send(self) -> None:
        """Send the waiting gradients; backward continues meanwhile."""
        flat = torch.cat([gradient.flatten() for gradient in self.waiting])
        work = distributed.all_reduce(flat, async_op=True)
        self.sent.append((self.waiting, flat, work))
        self.waiting = []

    @torch.no_grad()
    def finish(self) -> None:
        """Send the rest, and replace all gradients by their sums."""
        if self.waiting:
            self.send()
        for gradients, flat, work in self.sent:
            work.wait()
            sums = flat.split([gradient.numel() for gradient in gradients])
            for gradient, total in zip(gradients, sums, strict=True):
                gradient.copy_(total.view_as(gradient))


class _GatherSamples(torch.autograd.Function):
    """Forward, concatenate over processes; backward, sum over processes and keep this shard."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, processes: ProcessGroup):
        ctx.shard, ctx.dtype = processes.shard_slice, tensor.dtype
        # Shards may differ by one sample, but messages must have the same size.
        sizes = processes.shard_sizes
        padded = tensor.new_zeros(max(sizes), *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        shards = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(shards, padded)
        return torch.cat([shard[:n] for shard, n in zip(shards, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor):
        dtype = torch.promote_types(grad_output.dtype, torch.float32)
        total = grad_output.to(dtype).clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[ctx.shard].to(ctx.dtype), None
