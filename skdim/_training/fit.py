"""Fitting: from samples and parameters to a `FittedModel`, or to an error and nothing.

`fit_model` is the table of contents; its parts are the functions below it, in order.
"""

import copy
import logging
import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from skorch.callbacks import Callback

from skdim._model.config import outline
from skdim._model.fitted import FittedModel
from skdim._model.inference import (
    EncodedBatches,
    choose_batch_size,
    concatenate,
    encode_padded,
)
from skdim._model.readout import fit_readouts
from skdim._model.scoring import N_NEGATIVES, draw_negatives, hold_for_scoring
from skdim._runtime.devices import (
    freed_memory_kept,
    memory_advice,
)
from skdim._runtime.distributed import (
    ProcessGroup,
    explain_lost_process,
)
from skdim._runtime.interrupts import InterruptGuard
from skdim._training.advice import (
    advise_on_budget,
    advise_on_codes,
    advise_on_components,
    advise_on_locations,
    advise_on_samples,
)
from skdim._training.batches import count_batches
from skdim._training.callbacks import EarlyStopping, EpochLog, ProgressBar, StopOnDivergence
from skdim._training.checkpoint import (
    Checkpoint,
    StateFile,
    WriteCheckpoints,
    as_checkpoint,
    key_of,
)
from skdim._training.net import DIMNet
from skdim._training.setup import Params, Setup
from skdim._training.trainer import Trainer
from skdim.objective import DIMObjective
from skdim.sources._arrays import read_groups
from skdim.sources._lazy import Samples, take_subset
from skdim.sources._loaders import choose_loader
from skdim.sources._statistics import channel_statistics

logger = logging.getLogger("skdim")

Assemble = Callable[[DIMNet], FittedModel]


class Fit(NamedTuple):
    """What `fit_model` returns.

    Attributes
    ----------
    model : FittedModel
    net : DIMNet
        That trained it.
    interrupt : KeyboardInterrupt or None
        That ended training, after at least one epoch.
    """

    model: FittedModel
    net: DIMNet
    interrupt: KeyboardInterrupt | None


def fit_model(
    samples: Samples,
    groups: np.ndarray | None,
    setup: Setup,
    listen: Callable[[int, Assemble], list[Callback]],
    guard: InterruptGuard,
) -> Fit:
    """Train encoder and objective on samples.

    Parameters
    ----------
    samples : ndarray or StoredSamples, of shape (n, channels, *sides)
    groups : ndarray of shape (n,), int64, or None
        As `skdim.sources._arrays.read_groups` numbers them.
    setup : Setup
    listen : callable (n_epochs, assemble) -> list of skorch.callbacks.Callback
        Returns further callbacks; ``assemble(net)`` is the model if training ended now.
    guard : InterruptGuard
        Active; Ctrl-C that comes after training is left to it.

    Returns
    -------
    fit : Fit

    Raises
    ------
    KeyboardInterrupt
        If training was interrupted before the first epoch was complete.
    """
    params, processes = setup.params, setup.processes
    with ExitStack() as stack:
        _enter_contexts(stack, setup)
        checkpoint = None if setup.one_epoch else as_checkpoint(params["checkpoint"])
        file = progress = None
        if checkpoint is not None:
            file = StateFile(checkpoint.path, _key(setup, samples, groups), processes)
            stack.enter_context(file.locked(guard.check))
            progress = _last_state(file, checkpoint, params)
        seed = setup.seed if progress is None else progress["seed"]
        samples, groups, held_out = _hold_out(samples, groups, setup, seed)
        if groups is not None:
            _check_negatives(groups, params["batch_size"])
        mean, scale = _statistics(setup, samples)
        stopping = _early_stopping(setup, held_out, mean, scale)

        def assemble(net: DIMNet) -> FittedModel:
            return _assemble(net, setup, samples, mean, scale, stopping)

        loader_type = choose_loader(params["data_on_device"], samples, setup.device)
        loader = loader_type(samples, mean, scale, setup.device)
        trainer = Trainer(setup, loader, groups, seed, guard)
        callbacks = _callbacks(params, stopping, processes)
        callbacks += listen(trainer.config.n_epochs, assemble)
        if file is not None and checkpoint is not None:
            callbacks.append(("checkpoint", WriteCheckpoints(file, checkpoint, {"seed": seed})))
        net, interrupt, training_state = trainer.run(callbacks, progress)
        model = assemble(net)
        model.training_state = training_state
        guard.settle()
    return Fit(model, net, interrupt)


def _enter_contexts(stack: ExitStack, setup: Setup) -> None:
    """Train with gradients, whatever the caller set, and say what errors of torch mean."""
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    stack.enter_context(explain_lost_process(setup.processes, _advice_on_loss(setup.params)))
    advice = {name: setup.params[name] for name in ("batch_size", "critic_width")}
    stack.enter_context(memory_advice(setup.device, **advice))
    stack.enter_context(freed_memory_kept(setup.device))


# ------------------------------------------------------------ checkpoints


def _advice_on_loss(params: Params) -> str:
    checkpoint = as_checkpoint(params["checkpoint"])
    if checkpoint is None:
        return "Set the 'checkpoint' parameter, so that a fit can be resumed."
    return f"The last state is intact, in {str(checkpoint.path)!r}: start all processes again."


def _key(setup: Setup, samples: Samples, groups: np.ndarray | None) -> str:
    """Return the name of this fit in the folder of checkpoints."""
    previous = setup.previous
    objective = None if previous is None else previous.check_not_trimmed("training")
    resolved = {
        "seed": None if setup.params["random_state"] is None else setup.seed,
        "device": setup.device.type,
        "precision": setup.precision,
        "encoder": None if previous is None else previous.encoder.state_dict(),
        "objective": None if objective is None else objective.state_dict(),
        "column_groups": setup.config.column_groups,  # by number, whatever names they have
    }
    return key_of(setup.params, resolved, samples, groups)


def _last_state(file: StateFile, checkpoint: Checkpoint, params: Params) -> dict | None:
    """Return the state to resume from, if there is one and that is wanted."""
    if not checkpoint.resume:
        return None
    progress = file.read()
    if progress is None:
        return None
    if params["callbacks"]:
        raise ValueError(
            "The 'callbacks' parameter must be None where a fit is resumed: callbacks may hold "
            f"state of their own, which no checkpoint has. Got {len(params['callbacks'])} of them; "
            f"set 'checkpoint' to Checkpoint({str(checkpoint.path)!r}, resume=False) to start "
            "afresh."
        )
    logger.info("Resuming after epoch %d.", len(progress["net"]["epochs"]))
    return progress


# ------------------------------------------------------------ samples


def _hold_out(
    samples: Samples, groups: np.ndarray | None, setup: Setup, seed: int
) -> tuple[Samples, np.ndarray | None, Samples | None]:
    """Set samples aside for early stopping, if it is wanted; whole groups, if there are any."""
    if setup.one_epoch or not setup.params["early_stopping"]:
        return samples, groups, None
    fraction = setup.params["validation_fraction"]
    n_units = len(samples) if groups is None else len(np.unique(groups))
    what = "samples" if groups is None else "groups"
    if math.ceil(fraction * n_units) >= n_units:
        raise ValueError(
            "The 'validation_fraction' parameter must leave something to train on. Got "
            f"{fraction} of {n_units} {what}."
        )
    splitter = ShuffleSplit if groups is None else GroupShuffleSplit
    split = splitter(1, test_size=fraction, random_state=seed)
    train, held_out = next(split.split(np.empty(len(samples)), groups=groups))
    if min(len(train), len(held_out)) < 2:
        raise ValueError(
            f"The 'validation_fraction' parameter must leave at least 2 samples to train on "
            f"and to hold out. Got {fraction} of {len(samples)} samples."
        )
    remaining = None if groups is None else read_groups(groups[train], len(train))
    return take_subset(samples, train), remaining, take_subset(samples, held_out)


def _check_negatives(groups: np.ndarray, batch_size: int) -> None:
    """Every batch must hold two groups; the largest, number 0, is the one that may fill it."""
    n_samples = len(groups)
    n_outside = int(np.count_nonzero(groups))
    n_batches = count_batches(n_samples, batch_size)
    if n_outside == 0:
        raise ValueError(
            "The 'groups' must hold at least two groups: samples of one group are never each "
            f"other's negatives. Got one group of {n_samples} samples."
        )
    if n_outside < n_batches:
        raise ValueError(
            f"The largest of the 'groups' holds all but {n_outside} of {n_samples} samples, "
            f"too few to give each of {n_batches} batches a negative: set the 'batch_size' "
            f"parameter to at least {-(-n_samples // n_outside)}. Got {batch_size}."
        )


def _statistics(setup: Setup, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale: those of the model that training starts from, else of the samples."""
    if setup.previous is not None:
        return setup.previous.mean, setup.previous.scale
    return channel_statistics(samples, setup.processes)


# ------------------------------------------------------------ callbacks


def _early_stopping(
    setup: Setup, held_out: Samples | None, mean: np.ndarray, scale: np.ndarray
) -> EarlyStopping | None:
    if held_out is None:
        return None
    watched = hold_for_scoring(held_out, setup.config, mean, scale, setup.device)
    return EarlyStopping(watched, setup.params["n_iter_no_change"], setup.params["tol"])


def _callbacks(
    params: Params, stopping: EarlyStopping | None, processes: ProcessGroup
) -> list[Any]:
    """List the callbacks in order: the log tells what was recorded before it."""
    for given in params["callbacks"] or []:
        callback = given[1] if isinstance(given, tuple) and len(given) == 2 else given
        if not isinstance(callback, Callback):
            raise TypeError(
                "The 'callbacks' parameter must hold instances of skorch.callbacks.Callback, "
                f"or pairs of a name and one. Got {given!r}."
            )
    shows_progress = params["verbose"] and processes.is_main
    return [
        ("divergence", StopOnDivergence()),
        *([("early_stopping", stopping)] if stopping is not None else []),
        *([("log", EpochLog())] if processes.is_main else []),
        *([("progress", ProgressBar())] if shows_progress else []),
        *map(_shallow_copy, params["callbacks"] or []),
    ]


def _shallow_copy(given: Any) -> Any:
    """Copy a callback, alone or behind its name, but not what it holds: a trial, a writer."""
    if isinstance(given, tuple):
        name, callback = given
        return name, copy.copy(callback)
    return copy.copy(given)


# ------------------------------------------------------------ the result


def _assemble(
    net: DIMNet,
    setup: Setup,
    samples: Samples,
    mean: np.ndarray,
    scale: np.ndarray,
    stopping: EarlyStopping | None,
) -> FittedModel:
    """Make a model of what the net has learned."""
    encoder, objective = net.module_.eval(), net.criterion_.eval()
    batch_size = choose_batch_size(
        setup.params["transform_batch_size"], setup.config.sample_shape, setup.device
    )

    def encode(part: Samples, with_fixed: bool = False) -> EncodedBatches:
        return encode_padded(
            encoder, part, mean, scale, batch_size, setup.device, with_fixed=with_fixed
        )

    history = [] if setup.previous is None else list(setup.previous.history)
    history += [net.epoch(i) for i in range(len(net.history))]
    history = [{**epoch, "epoch": number} for number, epoch in enumerate(history, start=1)]
    processes = setup.processes
    share = np.array_split(np.arange(len(samples)), processes.world_size)[processes.rank]
    part = samples if processes.is_single else take_subset(samples, share)
    encoded = encode(part, with_fixed=True)
    n_components = setup.config.n_components
    readouts = fit_readouts(encoded, len(samples), n_components, share[0], processes)
    best_epoch = None
    if stopping is not None:
        best_epoch = len(history) - len(net.history) + stopping.best_epoch
    return FittedModel(
        config=setup.config,
        device=setup.device,
        precision=setup.precision,
        mean=mean,
        scale=scale,
        encoder=encoder,
        objective=objective,
        readouts=readouts,
        negatives=_draw_negatives(objective, samples, encode),
        history=history,
        n_iter=len(history),
        best_epoch=best_epoch,
    )


def _draw_negatives(
    objective: DIMObjective, samples: Samples, encode: Callable[[Samples], EncodedBatches]
) -> list[np.ndarray]:
    """Keep local vectors of a few samples, for `FittedModel.score_samples`."""
    if not objective.has_critics:
        return []
    chosen = np.random.default_rng(0).permutation(len(samples))[:N_NEGATIVES]
    _, local_maps = concatenate(encode(samples[np.sort(chosen)]))
    return [vectors.cpu().numpy() for vectors in draw_negatives(objective, local_maps)]


# ------------------------------------------------------------ afterwards


def advise_on_fit(fit: Fit, setup: Setup, samples: Samples) -> None:
    """Warn of what a look at the finished fit shows, and say what to expect of a table."""
    params, model, net = setup.params, fit.model, fit.net
    if setup.n_axes == 1:
        logger.info(
            "Of a table, most of what the features gain over the columns is read off them without "
            "training; see docs/when_not.md."
        )
    advise_on_samples(len(samples), setup.n_axes)
    if params["n_components"] not in (None, setup.defaults["n_components"]):
        n_hidden = model.readouts["hidden"].n_features
        advise_on_components(params["n_components"], n_hidden, len(samples))
    if params["n_locations"] is not None and params["local_weight"]:
        _, map_shapes = outline(model.encoder, model.sample_shape, model.device)
        advise_on_locations(params["n_locations"], [n_locations for n_locations, _ in map_shapes])
    advise_on_codes(model.features(samples[:1000], "code", params["transform_batch_size"]))
    if net.is_stopping:
        return  # a callback ended it, not the budget
    if net.n_whole_epochs < net.max_epochs:
        advise_on_budget(net.step_losses, f"max_time={params['max_time']}")
    elif params["max_epochs"] != "auto":
        advise_on_budget(net.step_losses, f"max_epochs={params['max_epochs']}")
