"""The plan of a fit: everything that is known before any number of X is used."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from skorch.callbacks import Callback

from skdim._model.config import ModelConfig, resolve
from skdim._model.fitted import FittedModel
from skdim._names import lookup
from skdim._runtime.devices import choose_device, choose_precision
from skdim._runtime.distributed import (
    SINGLE_PROCESS,
    ProcessGroup,
    explain_lost_process,
    join_process_group,
)
from skdim._training.advice import advise_on_parameters
from skdim._training.checkpoint import Checkpoint, as_checkpoint
from skdim._training.loop import count_batches
from skdim.optimization import OPTIMIZERS, SCHEDULES, BuildOptimizer, has_one_kernel
from skdim.sources.layout import Layout
from skdim.sources.stored import Samples

# Parameters that only take effect in further training if they were changed in between. A model may
# have been moved from the device that it was trained on, and an optimiser may count in its
# arguments.
TRAINED_WITH = ("device", "optimizer", "optimizer_params")


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained, resolved from names to the objects they name.

    The attributes are the parameters of `DIMTransformer` with the same names, except
    ``discriminator_optimizer_params``: keyword arguments of the optimiser of the prior's
    discriminator. Both dicts of keyword arguments include the learning rate.
    """

    max_epochs: int | str
    max_time: float | None
    batch_size: int
    optimizer: BuildOptimizer
    optimizer_params: dict
    discriminator_optimizer_params: dict
    gradient_clip_norm: float | None
    lr_schedule: Callable[[float], float] | None
    weight_averaging: float
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    checkpoint: Checkpoint | None
    callbacks: tuple[Any, ...]
    precision: str
    compile: bool

    def count_epochs(self, n_samples: int, layout: Layout) -> int:
        """Number of epochs that ``max_epochs`` means for so many samples."""
        if self.max_epochs != "auto":
            return int(self.max_epochs)
        modality = layout.modality
        n_shown = modality.count_shown(layout.sample_shape[1:])
        return int(min(3 + math.ceil(n_shown / n_samples), modality.max_epochs))


@dataclass(frozen=True)
class Runtime:
    """What a fit runs on, which does not change what it learns.

    ``is_seeded`` says whether the user gave a ``random_state``, so that the fit can be repeated.
    """

    device: torch.device
    processes: ProcessGroup
    seed: int
    is_seeded: bool
    data_on_device: bool | str
    transform_batch_size: int | None
    verbose: int


@dataclass(frozen=True)
class FitPlan:
    """The plan of a fit.

    Attributes
    ----------
    previous : FittedModel or None
        Its weights and statistics are where training starts.
    is_partial : bool
        Whether this is one call of ``partial_fit``.
    changed : frozenset of str
        Parameters that differ from their defaults.
    trained_with : mapping of str to object
        Parameters in `TRAINED_WITH`, with their values.
    """

    model: ModelConfig
    training: TrainingConfig
    runtime: Runtime
    previous: FittedModel | None
    is_partial: bool
    changed: frozenset[str]
    trained_with: Mapping[str, Any]

    @property
    def changed_since(self) -> frozenset[str]:
        """Parameters in `TRAINED_WITH` that differ from those of the earlier training."""
        return _changed_since(self.previous, self.trained_with)

    @property
    def obstacle_to_capture(self) -> str | None:
        """A clause that says why a CUDA graph cannot repeat a step; None if it can."""
        training = self.training
        if training.callbacks:
            return "the 'callbacks' may change what a step does"
        if not self.runtime.processes.is_single:
            return "the processes of a 'distributed' fit exchange messages"
        if not has_one_kernel(training.optimizer, training.optimizer_params):
            return "the 'optimizer' does not read its learning rate from a tensor"
        return None


def make_plan(
    params: Mapping[str, Any],
    defaults: Mapping[str, Any],
    samples: Samples,
    layout: Layout,
    column_names: np.ndarray | None,
    previous: FittedModel | None,
    *,
    is_partial: bool,
) -> FitPlan:
    """Resolve everything that does not depend on numbers in X.

    Parameters
    ----------
    params, defaults : mapping
        Parameters of `DIMTransformer`.
    samples : ndarray or StoredSamples, of shape (n, channels, *sides)

    Raises
    ------
    ValueError, TypeError
        If a parameter is unfit; the message names it.
    """
    seed = int(check_random_state(params["random_state"]).randint(2**31 - 1))
    model = resolve(params, layout, column_names)
    trained_with = {name: copy.copy(params[name]) for name in TRAINED_WITH}
    if previous is not None:
        previous.config.check_same_encoder(model)
    if previous is None or "device" in _changed_since(previous, trained_with):
        device = choose_device(params["device"])
    else:
        device = previous.device  # it may have been moved there
    precision = choose_precision(params["precision"], device, layout.modality.has_large_layers)
    changed = frozenset(name for name, value in params.items() if _differ(value, defaults[name]))
    advised = changed
    if is_partial:  # called again and again: what was said of earlier calls is known
        earlier = model.params if previous is None else previous.config.params
        advised = frozenset(k for k, v in model.params.items() if _differ(v, earlier[k]))
    resolved = {**params, "encoder": model.encoder}
    advise_on_parameters(resolved, advised, is_flat=layout.is_flat)
    processes = join_process_group(device) if params["distributed"] else SINGLE_PROCESS
    with explain_lost_process(processes, "Start all processes again."):
        _check_shards(processes, samples, params["batch_size"])
        seed = processes.broadcast(seed)
    runtime = Runtime(
        device=device,
        processes=processes,
        seed=seed,
        is_seeded=params["random_state"] is not None,
        data_on_device=params["data_on_device"],
        transform_batch_size=params["transform_batch_size"],
        verbose=params["verbose"],
    )
    training = _training(params, precision, model.objective.prior.learning_rate, is_partial)
    return FitPlan(model, training, runtime, previous, is_partial, changed, trained_with)


def _changed_since(previous: FittedModel | None, trained_with: Mapping[str, Any]) -> frozenset[str]:
    """Names of parameters that differ from those that a model was trained with."""
    earlier = trained_with if previous is None else previous.trained_with
    return frozenset(name for name in trained_with if _differ(trained_with[name], earlier[name]))


def _differ(value: Any, default: Any) -> bool:
    """Whether a parameter was changed; arrays in it are compared to nothing."""
    return value is not default and bool(np.any(value != default))


def _training(
    params: Mapping[str, Any], precision: str, prior_learning_rate: float | None, is_partial: bool
) -> TrainingConfig:
    if is_partial:  # it has no end that a schedule could know
        params = {
            **params,
            "max_epochs": 1,
            "max_time": None,
            "lr_schedule": None if params["lr_schedule"] is None else "constant",
            "weight_averaging": 0.0,
            "early_stopping": False,
            "checkpoint": None,
        }
    rate, further = params["learning_rate"], params["optimizer_params"] or {}
    schedule = params["lr_schedule"]
    resolved = {
        "optimizer": lookup(params["optimizer"], OPTIMIZERS, "optimizer"),
        "optimizer_params": {"lr": rate, **further},
        "discriminator_optimizer_params": {"lr": prior_learning_rate or rate, **further},
        "lr_schedule": None if schedule is None else lookup(schedule, SCHEDULES, "lr_schedule"),
        "checkpoint": as_checkpoint(params["checkpoint"]),
        "callbacks": tuple(params["callbacks"] or ()),
        "precision": precision,
    }
    _check_callbacks(resolved["callbacks"])
    choices = {**params, **resolved}
    return TrainingConfig(**{field.name: choices[field.name] for field in fields(TrainingConfig)})


def _check_callbacks(callbacks: tuple[Any, ...]) -> None:
    for item in callbacks:
        callback = item[1] if isinstance(item, tuple) and len(item) == 2 else item
        if not isinstance(callback, Callback):
            raise TypeError(
                "The 'callbacks' parameter must hold instances of skorch.callbacks.Callback, "
                f"or pairs of a name and one. Got {item!r}."
            )


def _check_shards(processes: ProcessGroup, samples: Samples, batch_size: int) -> None:
    """Raise ValueError if processes have different samples, or too few of each batch."""
    processes.check_same((samples.shape, samples.dtype.str), "X")
    smallest = len(samples) // count_batches(len(samples), batch_size)
    if smallest < processes.world_size:
        raise ValueError(
            f"The 'batch_size' parameter must leave every one of {processes.world_size} processes "
            f"a sample of each batch. Got {batch_size}, for {len(samples)} samples."
        )
