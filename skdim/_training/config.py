"""How a model is trained: resolved once from the parameters of a transformer, then only read."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from skdim._names import lookup
from skdim._runtime.devices import PRECISIONS
from skdim.augmentation import CROPPED_FROM
from skdim.optimization import OPTIMIZERS, SCHEDULES, has_one_kernel

# Samples that max_epochs="auto" shows besides three epochs; steps of tables are cheap, and images
# of which views are crops have more to show.
N_SHOWN, N_SHOWN_ROWS, N_SHOWN_CROPPED = 30_000, 60_000, 60_000
# Of rows and of signals: fixed features hold most of what a few hundred of them tell.
MAX_EPOCHS = {0: 60, 1: 120}


@dataclass(frozen=True)
class TrainingConfig:
    """The choices behind a training run, resolved from names to the objects they name.

    Attributes
    ----------
    n_epochs : int
    max_time : float or None
        Seconds after which training ends, if its epochs have not ended it before.
    batch_size : int
    optimizer : callable (parameters, **params) -> Optimizer
    optimizer_params, discriminator_optimizer_params : dict
        Keyword arguments of the two optimisers, learning rates included.
    gradient_clip_norm : float or None
        Longer gradients of encoder and critics are shortened to this norm.
    lr_schedule : callable (progress) -> factor, or None
        None leaves learning rates to the callbacks.
    weight_averaging : float
        Last part of training, over whose steps weights are averaged; 0 takes the last weights.
    precision : torch.dtype
        Of the encoder's and the critics' arithmetic.
    compile : bool
        Whether ``torch.compile`` compiles the encoder.
    """

    n_epochs: int
    max_time: float | None
    batch_size: int
    optimizer: Callable[..., torch.optim.Optimizer]
    optimizer_params: dict
    discriminator_optimizer_params: dict
    gradient_clip_norm: float | None
    lr_schedule: Callable[[float], float] | None
    weight_averaging: float
    precision: torch.dtype
    compile: bool


def resolve_training(
    params: Mapping[str, Any],
    n_samples: int,
    sample_shape: tuple[int, ...],
    precision: str,
    *,
    one_epoch: bool,
) -> TrainingConfig:
    """Resolve the parameters of `DIMTransformer` that say how to train.

    Parameters
    ----------
    params : mapping
        Parameters of `DIMTransformer`.
    n_samples : int
        To train on.
    sample_shape : tuple of int
        Channels first.
    precision : str
        In `skdim._runtime.devices.PRECISIONS`.
    one_epoch : bool
        Whether this is one call of ``partial_fit``, which has no end that a schedule could know.
    """
    schedule = "constant" if one_epoch else params["lr_schedule"]
    rate = params["learning_rate"]
    further = params["optimizer_params"] or {}
    return TrainingConfig(
        n_epochs=1 if one_epoch else count_epochs(params["max_epochs"], n_samples, sample_shape),
        max_time=None if one_epoch else params["max_time"],
        batch_size=params["batch_size"],
        optimizer=lookup(params["optimizer"], OPTIMIZERS, "optimizer"),
        optimizer_params={"lr": rate, **further},
        discriminator_optimizer_params={"lr": params["prior_learning_rate"] or rate, **further},
        gradient_clip_norm=params["gradient_clip_norm"],
        lr_schedule=None if schedule is None else lookup(schedule, SCHEDULES, "lr_schedule"),
        weight_averaging=0.0 if one_epoch else params["weight_averaging"],
        precision=PRECISIONS[precision],
        compile=params["compile"],
    )


def count_epochs(max_epochs: int | str, n_samples: int, sample_shape: tuple[int, ...]) -> int:
    """Return how many epochs ``max_epochs`` means."""
    if max_epochs != "auto":
        return int(max_epochs)
    _, *sides = sample_shape
    if not sides:
        n_shown = N_SHOWN_ROWS
    elif len(sides) == 2 and min(sides) >= CROPPED_FROM:
        n_shown = N_SHOWN_CROPPED
    else:
        n_shown = N_SHOWN
    n_epochs = 3 + math.ceil(n_shown / n_samples)
    return min(n_epochs, MAX_EPOCHS.get(len(sides), n_epochs))


def obstacle_to_capture(params: Mapping[str, Any]) -> str | None:
    """Return a clause that says why a step cannot be repeated as it was; None if it can."""
    if params["callbacks"]:
        return "the 'callbacks' may change what a step does"
    if params["distributed"]:
        return "the processes of a 'distributed' fit exchange messages"
    optimizer = lookup(params["optimizer"], OPTIMIZERS, "optimizer")
    if not has_one_kernel(optimizer, params["optimizer_params"] or {}):
        return "the 'optimizer' does not read its learning rate from a tensor"
    return None
