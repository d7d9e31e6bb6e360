"""Fitting: from samples and a plan to a `FittedModel`, or to an error and nothing.

`fit_model` is the table of contents; its parts are the functions below it, in order.
"""

import copy
import logging
import math
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from skorch.callbacks import Callback
from torch import nn

from skdim._files.safe import errors_of_file
from skdim._model.config import carry_over, outline
from skdim._model.fitted import FittedModel
from skdim._model.inference import choose_batch_size, encode_padded, largest_batch
from skdim._model.readout import Readout, choose_samples, fit_readouts
from skdim._model.scoring import HeldOut
from skdim._model.views import features_of_views
from skdim._runtime.devices import compiler_advice, freed_memory_kept, memory_advice
from skdim._runtime.distributed import explain_lost_process
from skdim._runtime.interrupts import InterruptGuard
from skdim._runtime.seeding import (
    make_generator,
    may_draw_globally,
    seed_globally,
    seeded_globally,
)
from skdim._training.advice import (
    advise_on_budget,
    advise_on_codes,
    advise_on_components,
    advise_on_locations,
    advise_on_samples,
)
from skdim._training.callbacks import EarlyStopping, EpochLog, ProgressBar, StopOnDivergence
from skdim._training.checkpoint import StateFile, WriteCheckpoints, key_of
from skdim._training.cuda_graph import choose_capturer
from skdim._training.loop import count_batches
from skdim._training.net import DIMNet
from skdim._training.plan import FitPlan
from skdim.encoders import adapt, has_adapt
from skdim.sources.groups import number_groups
from skdim.sources.loaders import Loader, load
from skdim.sources.standardization import Standardization, as_tensor, learn_standardization
from skdim.sources.stored import Samples, take_subset

logger = logging.getLogger("skdim")

# Samples that an encoder sees before training, if it asks for some.
N_ADAPTED_TO = 1000
# Samples of which two views are compared, in all processes together.
N_PAIRS = 1000


class Fit(NamedTuple):
    """A fitted model, its net, and an interrupt that came after at least one whole epoch."""

    model: FittedModel
    net: DIMNet
    interrupt: KeyboardInterrupt | None


def fit_model(
    samples: Samples,
    groups: np.ndarray | None,
    plan: FitPlan,
    listeners: Sequence[Callback],
    guard: InterruptGuard,
) -> Fit:
    """Train encoder and objective on samples.

    Parameters
    ----------
    samples : ndarray or StoredSamples, of shape (n, channels, *sides)
    groups : ndarray of shape (n,), int64, or None
        As `skdim.sources.groups.number_groups` numbers them.
    plan : FitPlan
    listeners : sequence of skorch.callbacks.Callback
        Further callbacks, which do not change what is learned.
    guard : InterruptGuard
        Active; Ctrl-C that comes after training is left to it.

    Raises
    ------
    KeyboardInterrupt
        If training was interrupted before the first epoch was complete.
    """
    with ExitStack() as stack, ExitStack() as random:
        _explain_errors(stack, plan)
        file = _open_state_file(stack, plan, samples, groups, guard)
        n_views = min(len(samples), plan.training.batch_size) * plan.model.n_views
        n_numbers = n_views * math.prod(plan.model.sample_shape)
        stack.enter_context(freed_memory_kept(plan.runtime.device, n_numbers))
        progress = None if file is None else _last_state(file, plan)
        seed = plan.runtime.seed if progress is None else progress["seed"]
        data = _prepare(samples, groups, plan, seed)
        callbacks = _callbacks(plan, data, listeners, file, seed)
        net = _build_net(plan, data, callbacks, guard, seed, random)
        if file is not None and progress is not None:
            with errors_of_file(file.path):
                net.load_state(progress["net"])
        if not net.draws_globally:
            random.close()  # fits in other threads need not wait for this one
        interrupt = None
        try:
            with net.training(), compiler_advice():
                net.fit_loop(net.loader, epochs=net.n_epochs_left)
        except KeyboardInterrupt as raised:
            if not net.history or not guard.is_agreed:
                raise  # from the middle of a step, the other processes cannot go on with this one
            interrupt = raised
        random.close()
        model = net.build_model(net)
        guard.settle()
    return Fit(model, net, interrupt)


def _explain_errors(stack: ExitStack, plan: FitPlan) -> None:
    """Say what errors of torch mean."""
    advice = "Set the 'checkpoint' parameter, so that a fit can be resumed."
    if plan.training.checkpoint is not None:
        folder = str(plan.training.checkpoint.path)
        advice = f"The last state is intact, in {folder!r}: start all processes again."
    device = plan.runtime.device
    largest = {
        "batch_size": plan.training.batch_size,
        "critic_width": plan.model.objective.critic_width,
    }
    stack.enter_context(explain_lost_process(plan.runtime.processes, advice))
    stack.enter_context(memory_advice(device, **largest))


# ------------------------------------------------------------ checkpoints


def _open_state_file(
    stack: ExitStack,
    plan: FitPlan,
    samples: Samples,
    groups: np.ndarray | None,
    guard: InterruptGuard,
) -> StateFile | None:
    """Reserve the file that this fit writes its state to, if it writes any."""
    checkpoint = plan.training.checkpoint
    if checkpoint is None:
        return None
    key = key_of(_choices(plan), plan.training.callbacks, samples, groups, guard.check)
    file = StateFile(checkpoint.path, key, plan.runtime.processes)
    stack.enter_context(file.locked(guard.check))
    return file


def _choices(plan: FitPlan) -> dict[str, Any]:
    """Everything except samples and callbacks that determines what a fit learns."""
    previous, training = plan.previous, dict(vars(plan.training))
    for name in ("callbacks", "checkpoint"):
        del training[name]
    objective = None if previous is None else previous.check_not_trimmed("training")
    return {
        **plan.model.params,
        **training,
        "layout": asdict(plan.model.layout),
        "seed": plan.runtime.seed if plan.runtime.is_seeded else None,
        "device": plan.runtime.device.type,
        "encoder weights": None if previous is None else previous.encoder.state_dict(),
        "objective weights": None if objective is None else objective.state_dict(),
    }


def _last_state(file: StateFile, plan: FitPlan) -> dict | None:
    """Return the state to resume from, if there is one and that is wanted."""
    checkpoint, n_callbacks = plan.training.checkpoint, len(plan.training.callbacks)
    if checkpoint is None or not checkpoint.resume:
        return None
    progress = file.read()
    if progress is None:
        return None
    if n_callbacks:
        raise ValueError(
            "The 'callbacks' parameter must be None if a fit is resumed: callbacks may hold "
            f"state of their own, which is not in a checkpoint. Got {n_callbacks} of them; "
            f"set 'checkpoint' to Checkpoint({str(checkpoint.path)!r}, resume=False) to start "
            "afresh."
        )
    logger.info("Resuming after epoch %d.", len(progress["net"]["epochs"]))
    return progress


# ------------------------------------------------------------ samples


@dataclass(frozen=True)
class TrainingData:
    """Samples and groups to train on, samples held out for early stopping, and their statistics."""

    samples: Samples
    groups: np.ndarray | None
    held_out: Samples | None
    standardization: Standardization


def _prepare(samples: Samples, groups: np.ndarray | None, plan: FitPlan, seed: int) -> TrainingData:
    """Set samples aside if early stopping needs some, and learn the statistics of the others."""
    held_out = None
    if plan.training.early_stopping:
        train, test = _split(len(samples), groups, plan.training.validation_fraction, seed)
        held_out, samples = take_subset(samples, test), take_subset(samples, train)
        groups = None if groups is None else number_groups(groups[train], len(train))
    if groups is not None:
        _check_negatives(groups, plan.training.batch_size)
    if plan.previous is not None:
        standardization = replace(plan.previous.standardization, device=plan.runtime.device)
    else:
        standardization = learn_standardization(
            samples, plan.runtime.device, plan.model.fills_missing, plan.runtime.processes
        )
    return TrainingData(samples, groups, held_out, standardization)


def _split(
    n_samples: int, groups: np.ndarray | None, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of samples to train on and to hold out; groups stay together."""
    n_units = n_samples if groups is None else len(np.unique(groups))
    units = "samples" if groups is None else "groups"
    if math.ceil(fraction * n_units) >= n_units:
        raise ValueError(
            "The 'validation_fraction' parameter must leave something to train on. Got "
            f"{fraction} of {n_units} {units}."
        )
    splitter = ShuffleSplit if groups is None else GroupShuffleSplit
    split = splitter(1, test_size=fraction, random_state=seed)
    train, test = next(split.split(np.empty(n_samples), groups=groups))
    if min(len(train), len(test)) < 2:
        raise ValueError(
            f"The 'validation_fraction' parameter must leave at least 2 samples to train on "
            f"and to hold out. Got {fraction} of {n_samples} samples."
        )
    return train, test


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


# ------------------------------------------------------------ the net


def _callbacks(
    plan: FitPlan,
    data: TrainingData,
    listeners: Sequence[Callback],
    file: StateFile | None,
    seed: int,
) -> list[Any]:
    """List the callbacks in order: the log shows what was recorded before it."""
    training, runtime = plan.training, plan.runtime
    is_main = runtime.processes.is_main
    callbacks: list[Any] = [("divergence", StopOnDivergence())]
    if data.held_out is not None:
        held_out = HeldOut(data.held_out, plan.model, data.standardization)
        stopping = EarlyStopping(held_out, training.n_iter_no_change, training.tol)
        callbacks.append(("early_stopping", stopping))
    if is_main:
        callbacks.append(("log", EpochLog()))
    if is_main and runtime.verbose:
        callbacks.append(("progress", ProgressBar()))
    callbacks += [*map(_copy_callback, training.callbacks), *listeners]
    if file is not None and training.checkpoint is not None:
        writer = WriteCheckpoints(file, training.checkpoint, {"seed": seed})
        callbacks.append(("checkpoint", writer))
    return callbacks


def _copy_callback(item: Any) -> Any:
    """Copy a callback, alone or behind its name, but not what it holds: a trial, a writer."""
    if isinstance(item, tuple):
        name, callback = item
        return name, copy.copy(callback)
    return copy.copy(item)


def _build_net(
    plan: FitPlan,
    data: TrainingData,
    callbacks: list[Any],
    guard: InterruptGuard,
    seed: int,
    random: ExitStack,
) -> DIMNet:
    """Build and initialise the net; ``random`` is left with torch's global generators seeded."""
    runtime, previous = plan.runtime, plan.previous
    device, processes = runtime.device, runtime.processes
    state = {} if previous is None else previous.training_state
    generator, global_seed = make_generator(seed, device, state.get(_generator_name(plan)))
    loader = load(data.samples, data.standardization, runtime.data_on_device)
    random.enter_context(seeded_globally(global_seed, device))
    encoder = plan.model.build_encoder(device)
    objective = plan.model.build_objective(encoder, device)
    if previous is None:
        _adapt(encoder, loader, plan, generator)
    processes.broadcast_weights(encoder, objective)
    is_same = previous is not None and all(
        [
            carry_over(previous.encoder, encoder),
            carry_over(previous.check_not_trimmed("training"), objective),
        ]
    )
    draws = generator
    if not processes.is_single:
        seed_globally(seed + 1 + processes.rank, device)
        draws = torch.Generator(device).manual_seed(seed + 1 + processes.rank)
    n_epochs = plan.training.count_epochs(len(loader), plan.model.layout)
    n_steps = n_epochs * count_batches(len(loader), plan.training.batch_size)
    net = DIMNet(
        encoder,
        objective,
        plan=plan,
        loader=loader,
        groups=None if data.groups is None else as_tensor(data.groups).to(device),
        generator=generator,
        draws=draws,
        draws_globally=_draws_globally(plan, encoder, objective),
        capturer=choose_capturer(generator, n_steps, plan.obstacle_to_capture),
        guard=guard,
        callbacks=callbacks,
    ).initialize()
    net.build_model = partial(_build_model, data)
    if is_same and "optimizers" in state:
        is_unchanged = not {"optimizer", "optimizer_params"} & plan.changed_since
        net.continue_optimizers(state["optimizers"], is_unchanged=is_unchanged)
    return net


def _generator_name(plan: FitPlan) -> str:
    """Under which ``partial_fit`` keeps the state of its generator: one for each type of device."""
    return f"{plan.runtime.device.type} generator"


def _adapt(encoder: nn.Module, loader: Loader, plan: FitPlan, generator: torch.Generator) -> None:
    """Show the encoder some samples, if it asks for them."""
    order = torch.randperm(len(loader), generator=generator, device=generator.device)
    if has_adapt(encoder):
        n_seen = min(N_ADAPTED_TO, largest_batch(plan.model.sample_shape))
        samples = loader.take(order[:n_seen].to(loader.indices_device))
        adapt(encoder, loader.standardize(samples))


def _draws_globally(plan: FitPlan, *modules: nn.Module) -> bool:
    """Whether training needs torch's global state for itself."""
    training, objective = plan.training, plan.model.objective
    functions = (
        plan.model.augment,
        objective.mi_estimator,
        objective.prior.sample,
        objective.prior.squash,
        training.optimizer,
        training.lr_schedule,
    )
    return bool(training.callbacks) or may_draw_globally(modules, functions)


# ------------------------------------------------------------ the result


def _build_model(data: TrainingData, net: DIMNet) -> FittedModel:
    """Make a model of what the net has learned so far."""
    plan, processes = net.plan, net.plan.runtime.processes
    encoder, objective = net.module_.eval(), net.criterion_.eval()
    batch_size = choose_batch_size(
        plan.runtime.transform_batch_size, encoder, plan.model.sample_shape, plan.runtime.device
    )
    rng = np.random.default_rng(0)
    chosen = choose_samples(len(data.samples), rng)
    share = np.array_split(chosen, processes.world_size)[processes.rank]
    batches = chain.from_iterable(
        encode_padded(
            encoder,
            take_subset(data.samples, share[start : start + batch_size]),
            data.standardization,
            batch_size,
        )
        for start in range(0, len(share), batch_size)
    )
    changes = None
    if plan.model.readout_views is not None:
        changes = partial(_changes_between_views, data, net, share, batch_size)
    readouts, reference = fit_readouts(
        batches,
        plan.model.n_components,
        rng,
        changes,
        plan.model.averages_neighbors(len(chosen)),
        processes,
    )
    earlier = [] if plan.previous is None else plan.previous.history
    history = [*earlier, *(net.epoch(i) for i in range(len(net.history)))]
    best_epoch = None
    if data.held_out is not None:
        best_epoch = len(earlier) + dict(net.callbacks_)["early_stopping"].best_epoch
    training_state = {}
    if plan.is_partial:
        training_state = {
            "optimizers": net.optimizer_states(),
            _generator_name(plan): net.generator.get_state(),
        }
    return FittedModel(
        config=plan.model,
        precision=plan.training.precision,
        standardization=data.standardization,
        encoder=encoder,
        objective=objective,
        readouts=readouts,
        reference=reference,
        history=[{**epoch, "epoch": number} for number, epoch in enumerate(history, start=1)],
        n_iter=len(history),
        best_epoch=best_epoch,
        training_state=training_state,
        trained_with=plan.trained_with,
    )


def _changes_between_views(
    data: TrainingData, net: DIMNet, share: np.ndarray, batch_size: int, readout: Readout
) -> np.ndarray:
    """By how much two views of a sample differ, for some of this process's samples."""
    plan, device = net.plan, net.plan.runtime.device
    rng = np.random.default_rng(0)
    n_pairs = -(-N_PAIRS // plan.runtime.processes.world_size)
    samples = take_subset(data.samples, np.sort(rng.permutation(share)[:n_pairs]))
    generator = torch.Generator(device).manual_seed(0)
    with seeded_globally(0, device) if net.draws_globally else nullcontext():
        first, second = features_of_views(
            readout,
            net.module_,
            samples,
            data.standardization,
            plan.model.readout_views,
            2,
            generator,
            batch_size,
        )
    return (first - second) / math.sqrt(2)


# ------------------------------------------------------------ afterwards


def advise_on_fit(fit: Fit, plan: FitPlan, samples: Samples) -> None:
    """Warn of what a look at the finished fit shows."""
    model, net, training = fit.model, fit.net, plan.training
    advise_on_samples(len(samples), plan.model.modality)
    if "n_components" in plan.changed and plan.model.n_components is not None:
        n_hidden = model.readouts["hidden"].n_features
        advise_on_components(plan.model.n_components, n_hidden, len(samples))
    if plan.model.objective.n_locations is not None and plan.model.objective.local_weight:
        _, map_shapes = outline(model.encoder, model.sample_shape, model.device)
        map_sizes = [n_locations for n_locations, _ in map_shapes]
        advise_on_locations(plan.model.objective.n_locations, map_sizes)
    advise_on_codes(model.features(samples[:1000], "code", plan.runtime.transform_batch_size))
    if net.is_stopping:
        return  # a callback ended it, not the budget
    if net.n_whole_epochs < net.max_epochs:
        advise_on_budget(net.step_losses, f"max_time={training.max_time}")
    elif training.max_epochs != "auto":
        advise_on_budget(net.step_losses, f"max_epochs={training.max_epochs}")
