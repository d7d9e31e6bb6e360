"""Random batches: which samples meet in a step."""

from collections.abc import Iterator, Sized

import torch
from torch import Tensor

from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup


class Batches:
    """Random batches, as the indices of their samples.

    Every epoch shows every sample once, in batches whose sizes differ by at most one: none is
    dropped, and none is a single sample, which would have no negatives. With groups, the members
    of each group are spread evenly over the batches, so that they meet as rarely as possible.

    Parameters
    ----------
    dataset : DeviceLoader, StreamingLoader or anything with a length
        Indices lie where its ``indices_device`` says, else on the device of ``generator``.
    groups : Tensor of shape (n,), int64, or None
    batch_size : int
        Largest size of a batch, at least 2.
    generator : torch.Generator
        On the device of ``groups``.
    processes : ProcessGroup
        Each gets its shard of the samples of a batch, and the groups of all.
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

    def _shuffle(self, n: int) -> Tensor:
        return torch.randperm(n, generator=self.generator, device=self.generator.device)


def count_batches(n_samples: int, batch_size: int) -> int:
    """Return how many batches of at most ``batch_size`` and at least 2 samples an epoch takes."""
    return max(1, min(-(-n_samples // batch_size), n_samples // 2))
