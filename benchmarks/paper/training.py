"""Training of the small networks that measure features."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real

import torch
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from skdim._runtime.devices import choose_device, freed_memory_kept, memory_advice
from skdim._runtime.seeding import seeded
from skdim._training.loop import Batches, train_epochs
from skdim.optimization import for_device

# Legal values of the parameters that all these networks have.
TRAINING_CONSTRAINTS: dict[str, list] = {
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "random_state": ["random_state"],
    "device": [str, torch.device],
}


@contextmanager
def seeded_device(
    random_state, device: str | torch.device, batch_size: int
) -> Iterator[torch.Generator]:
    """Choose a device and yield a seeded generator on it; torch's global random state is restored.

    Parameters
    ----------
    random_state : int, RandomState or None
    device : str or torch.device
    batch_size : int
        Named in the error if memory is exhausted.
    """
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    chosen = choose_device(device)
    with (
        memory_advice(chosen, batch_size=batch_size),
        freed_memory_kept(chosen),
        seeded(seed, chosen) as generator,
    ):
        yield generator


def train(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    n_samples: int,
    *,
    max_epochs: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Minimise the loss over random batches with Adam; leave the network in evaluation mode.

    The learning rate rises over the first tenth of training and then falls to zero along a cosine.

    Parameters
    ----------
    network : nn.Module
        On the device of ``generator``.
    loss : callable (indices) -> Tensor of shape ()
        Loss of a batch of at least 2 and at most ``batch_size`` samples.
    n_samples : int
        At least 2.
    max_epochs, batch_size : int
    learning_rate : float
        The highest learning rate.
    generator : torch.Generator
        Draws the batches.
    after_epoch : callable ()
        Called after every epoch, with the network in evaluation mode.
    """
    params = for_device(torch.optim.Adam, {"lr": learning_rate}, generator.device, captured=False)
    optimizer = torch.optim.Adam(network.parameters(), **params)
    batches = Batches(range(n_samples), None, batch_size, generator)
    network.train()
    for _ in train_epochs(optimizer, loss, batches, max_epochs):
        network.eval()
        after_epoch()
        network.train()
    network.eval()
