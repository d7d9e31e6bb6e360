"""The training loop: every network that skdim trains, it trains here.

`run_epoch` only loops. What happens before and after a step (schedules, time, callbacks) is passed
in; the losses stay on the device until the epoch is over.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup
from skdim._training.batches import Batches
from skdim.optimization import warmup_cosine

Terms = dict[str, Tensor]


class TermTable:
    """The terms of every step of an epoch, in one tensor on the device.

    A tensor that each step left behind would keep the memory it freed from the next ones.

    Parameters
    ----------
    n_steps : int
        At most.
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
    batches: Batches,
    step: Callable[[Any], Terms],
    *,
    before_step: Callable[[int, Any], bool],
    after_step: Callable[[Any, Terms], None] = lambda batch, terms: None,
) -> TermTable:
    """Call ``step`` on every batch.

    Parameters
    ----------
    batches : Batches
    step : callable (batch) -> dict of str to Tensor of shape ()
    before_step : callable (i, batch) -> bool
        False ends the epoch.
    after_step : callable (batch, terms)

    Returns
    -------
    table : TermTable
    """
    table = TermTable(len(batches))
    for i, batch in enumerate(batches):
        if not before_step(i, batch):
            break
        terms = {name: term.detach() for name, term in step(batch).items()}
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

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its learning rates are the highest.
    loss : callable (indices) -> Tensor of shape ()
        Of a batch.
    batches : Batches
    n_epochs : int
    lr_schedule : callable (progress) -> factor
    clip_norm : float or None
        Longer gradients are shortened to this norm.
    """
    remember_learning_rates(optimizer)

    def step(batch: tuple[Tensor, Any]) -> Terms:
        value = loss(batch[0])
        backward_and_step(optimizer, value, clip_norm)
        return {"loss": value}

    for epoch in range(n_epochs):

        def before_step(i: int, batch: Any, epoch: int = epoch) -> bool:
            progress = (epoch + i / len(batches)) / n_epochs
            set_learning_rates([optimizer], lr_schedule(progress))
            return True

        table = run_epoch(batches, step, before_step=before_step)
        yield table.read()["loss"].mean().item()


def backward_and_step(
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    clip_norm: float | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Compute the gradients of a loss, shorten them to ``clip_norm``, update the parameters."""
    optimizer.zero_grad(set_to_none=True)
    parameters: list[nn.Parameter] = [
        p for group in optimizer.param_groups for p in group["params"]
    ]
    with processes.summed_gradients(parameters):
        loss.backward()
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(parameters, clip_norm)
    optimizer.step()


def remember_learning_rates(optimizer: torch.optim.Optimizer) -> None:
    """Take the present learning rates as the highest, which schedules multiply."""
    for group in optimizer.param_groups:
        group["initial_lr"] = float(group["lr"])


def set_learning_rates(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Multiply the highest learning rate of every group by a factor."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            rate = group["initial_lr"] * factor
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)  # where a captured step will read it
            else:
                group["lr"] = rate
