"""The training loop: every network that skdim trains is trained here.

`Batches` says which samples meet in a step, `run_epoch` only loops. What happens before and after a
step (schedules, time, callbacks) is passed in; the losses stay on the device until the epoch ends.
"""

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

import torch
from torch import Tensor

from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup
from skdim.optimization import (
    backward_and_step,
    remember_learning_rates,
    set_learning_rates,
    warmup_cosine,
)
from skdim.sources.loaders import Loader

Terms = dict[str, Tensor]


class Batches:
    """Random batches, as the indices of their samples.

    Every epoch shows every sample once, in batches whose sizes differ by at most one: none is
    dropped, and none is a single sample, which would have no negatives. With groups, the members of
    each group are spread evenly over the batches, so that they meet as rarely as possible.

    Parameters
    ----------
    dataset : DeviceLoader, StreamingLoader or anything with a length
        Indices lie on its ``indices_device``, else on the device of ``generator``.
    groups : Tensor of shape (n,), int64, on the device of the generator, or None
    batch_size : int
        Largest size of a batch, at least 2.
    generator : torch.Generator
    processes : ProcessGroup
        Each gets its shard of the samples of a batch, and the groups of the whole batch.
    """

    def __init__(
        self,
        dataset: Sized,
        groups: Tensor | None,
        batch_size: int,
        generator: torch.Generator,
        processes: ProcessGroup = SINGLE_PROCESS,
    ):
        self.n_samples = len(dataset)
        self.indices_device = getattr(dataset, "indices_device", generator.device)
        self.groups = groups
        self.n_batches = count_batches(self.n_samples, batch_size)
        self.generator = generator
        self.processes = processes

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        order = self._shuffle(self.n_samples)
        if self.groups is None:
            for indices in order.to(self.indices_device).tensor_split(self.n_batches):
                yield self.processes.shard(indices), None
        else:
            by_group = order[self.groups[order].argsort(stable=True)]
            for i in range(self.n_batches):
                indices = by_group[i :: self.n_batches]
                # Negatives are listed by their order: leave none to the order of groups.
                indices = indices[self._shuffle(len(indices))]
                shard = self.processes.shard(indices.to(self.indices_device))
                yield shard, self.groups[indices]

    def take_from(self, loader: Loader) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the samples of each batch, as a loader takes them, and their groups.

        With several processes, groups and a `StreamingLoader`, each batch waits for the device.
        """
        is_shuffled_elsewhere = self.indices_device != self.generator.device
        if self.groups is None or not self.processes.is_single or not is_shuffled_elsewhere:
            yield from ((loader.take(indices), groups) for indices, groups in self)
            return
        order = self._shuffle(self.n_samples)
        by_group = order[self.groups[order].argsort(stable=True)]
        on_host = by_group.to(self.indices_device)
        for i in range(self.n_batches):
            indices = by_group[i :: self.n_batches]
            # Samples are shuffled after they were taken: shuffled indices would have to come from
            # the device, and every step would wait for them.
            shuffle = self._shuffle(len(indices))
            samples = loader.take(on_host[i :: self.n_batches])
            yield samples[shuffle], self.groups[indices[shuffle]]

    def _shuffle(self, n: int) -> Tensor:
        return torch.randperm(n, generator=self.generator, device=self.generator.device)


def count_batches(n_samples: int, batch_size: int) -> int:
    """Number of batches in an epoch, of at most ``batch_size`` and at least 2 samples."""
    return max(1, min(-(-n_samples // batch_size), n_samples // 2))


class TermTable:
    """The terms of up to ``n_steps`` steps of an epoch, in one tensor on the device.

    A tensor for each step would fragment the memory that later steps need.
    """

    def __init__(self, n_steps: int):
        self.n_steps = n_steps
        self.n_filled = 0
        self.names: list[str] = []
        self.values = torch.empty(0)

    def add(self, terms: Terms) -> None:
        """Append the terms of a step."""
        row = torch.stack(list(terms.values()))
        if not self.n_filled:
            self.names, self.values = list(terms), row.new_empty(self.n_steps, len(row))
        self.values[self.n_filled] = row
        self.n_filled += 1

    def read(self, processes: ProcessGroup = SINGLE_PROCESS) -> dict[str, Tensor]:
        """Return each term by step, (n_filled,), on the CPU; summed over processes."""
        table = self.values[: self.n_filled]
        processes.all_reduce([table])
        # The only synchronisation with the device in an epoch.
        return dict(zip(self.names, table.cpu().unbind(1), strict=True))


def run_epoch(
    batches: Iterable[tuple],
    n_batches: int,
    step: Callable[..., Terms],
    *,
    before_step: Callable[[int, tuple], bool],
    after_step: Callable[[tuple, Terms], None] = lambda batch, terms: None,
) -> TermTable:
    """Call ``step(*batch)`` on every batch; it returns terms, tensors of shape ().

    ``before_step(i, batch)`` returns whether the epoch goes on.
    """
    table = TermTable(n_batches)
    for i, batch in enumerate(batches):
        if not before_step(i, batch):
            break
        terms = {name: term.detach() for name, term in step(*batch).items()}
        table.add(terms)
        after_step(batch, terms)
    return table


def train_epochs(
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Tensor], Tensor],
    batches: Batches,
    n_epochs: int,
    *,
    lr_schedule: Callable[[float], float] = warmup_cosine,
    clip_norm: float | None = None,
) -> Iterator[float]:
    """Minimise a loss over random batches; yield its mean after every epoch.

    ``loss`` maps the indices of a batch to a tensor of shape (). The learning rates of the
    optimiser are the highest; ``lr_schedule`` maps the finished part of training to a factor.
    Gradients longer than ``clip_norm`` are shortened to it.
    """
    remember_learning_rates(optimizer)

    def step(indices: Tensor, groups: Any) -> Terms:
        value = loss(indices)
        backward_and_step(optimizer, value, clip_norm)
        return {"loss": value}

    for epoch in range(n_epochs):

        def before_step(i: int, batch: tuple, epoch: int = epoch) -> bool:
            progress = (epoch + i / len(batches)) / n_epochs
            set_learning_rates([optimizer], lr_schedule(progress))
            return True

        table = run_epoch(batches, len(batches), step, before_step=before_step)
        yield table.read()["loss"].mean().item()
