"""The net: skorch runs the epochs, this module says what one step does."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping as EarlyStoppingOfSkorch
from skorch.utils import TeeGenerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_swa_avg_fn

from skdim._model.fitted import FittedModel
from skdim._runtime.batch_norm import sync_batch_norm
from skdim._runtime.devices import PRECISIONS
from skdim._runtime.interrupts import InterruptGuard
from skdim._runtime.seeding import global_states, set_global_states
from skdim._runtime.surroundings import autocast
from skdim._training.advice import advise_on_schedule
from skdim._training.cuda_graph import Capturer, GraphedStep
from skdim._training.loop import Batches, Terms, TermTable, run_epoch
from skdim._training.plan import FitPlan
from skdim.augmentation import make_views, occlude
from skdim.encoders import encode
from skdim.exceptions import StopTraining
from skdim.objective import DIMObjective
from skdim.optimization import (
    OPTIMIZERS,
    backward_and_step,
    check_optimizer,
    check_optimizer_params,
    for_device,
    learning_rate_factor,
    load_state,
    remember_learning_rates,
    set_learning_rates,
    without_compiler,
)
from skdim.sources.loaders import Loader


class DIMNet(NeuralNet):
    """Train an encoder and its critics together, and a discriminator against the encoder.

    Parameters
    ----------
    module, criterion : nn.Module, DIMObjective
        Encoder and objective, built.
    plan : FitPlan
    loader : DeviceLoader or StreamingLoader
    groups : Tensor of shape (n_samples,) or None
        Samples of one group are not compared with each other.
    generator, draws : torch.Generator
        The first draws batches, alike in every process, the second views, negatives and the prior.
        In a single process, both are the same.
    draws_globally : bool
        Whether training may draw from torch's global generators, whose states then belong to the
        state of the net.
    capturer : Capturer or None
        Captures steps as CUDA graphs, if there are enough of them to repay it.
    guard : InterruptGuard
        Raises Ctrl-C between two steps.
    callbacks : list of skorch.callbacks.Callback or of (str, Callback)

    Attributes
    ----------
    build_model : callable (net) -> FittedModel
        Makes a model of what the net has learned so far.
    step_losses : list of float
        The loss of every step.
    is_stopping : bool
        Whether a callback ended training, or is about to.
    """

    build_model: Callable[["DIMNet"], FittedModel]

    def __init__(
        self,
        module: nn.Module,
        criterion: DIMObjective,
        *,
        plan: FitPlan,
        loader: Loader,
        groups: Tensor | None,
        generator: torch.Generator,
        draws: torch.Generator,
        draws_globally: bool,
        capturer: Capturer | None,
        guard: InterruptGuard,
        callbacks: list,
    ):
        super().__init__(
            module,
            criterion,
            optimizer=plan.training.optimizer,
            max_epochs=plan.training.count_epochs(len(loader), plan.model.layout),
            batch_size=plan.training.batch_size,
            iterator_train=Batches,
            iterator_train__generator=generator,
            iterator_train__groups=groups,
            iterator_train__processes=plan.runtime.processes,
            dataset=lambda samples, y: samples,
            train_split=None,
            callbacks=callbacks,
            device=plan.runtime.device,
            verbose=0,
        )
        self.plan = plan
        self.dtype = PRECISIONS[plan.training.precision]
        self.n_grids = plan.model.n_grids
        self.loader = loader
        self.groups = groups
        self.generator = generator
        self.draws = draws
        self.draws_globally = draws_globally
        self.capturer = capturer
        self.guard = guard
        self.step_losses: list[float] = []
        self.is_stopping = False
        self.n_whole_epochs = 0
        self.seconds_before = 0.0  # of training, before it was resumed
        self.best: list[dict[str, Tensor]] = []
        # The learning rates of the last step, by schedule; None after a warning.
        self.scheduled: list[float] | None = []

    # ------------------------------------------------------------ a training run

    @contextmanager
    def training(self) -> Iterator[None]:
        """Prepare for `fit_loop` in the ``with`` block, and leave the weights that were asked for.

        An interrupt comes through, after a return to the last epoch that was complete.
        """
        encoder: Any = torch.compile(self.module_) if self.plan.training.compile else self.module_
        self.encode: Callable = partial(encode, encoder, with_fixed=False)
        self.graphed_step = GraphedStep(self.step, self.capturer) if self.capturer else None
        self.notify("on_train_begin", X=self.loader, y=None)
        self.started = time.perf_counter() - self.seconds_before
        try:
            with (
                suppress(StopTraining),
                sync_batch_norm(self.plan.runtime.processes, self.module_, self.criterion_),
            ):
                yield
            self._take_averages()
        except KeyboardInterrupt:
            del self.history[self.n_whole_epochs :]
            if self.n_whole_epochs:
                self.restore(self.last_weights)
            raise
        finally:
            self.graphed_step = None  # it refers to the net: a cycle would outlive its use
            self.notify("on_train_end", X=self.loader, y=None)

    def notify(self, method_name, **kwargs):
        """Tell all callbacks, and hear whether one of them wants to stop."""
        getattr(self, method_name)(self, **kwargs)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **kwargs)
            except KeyboardInterrupt:
                # EarlyStopping of skorch ends training so. The guard only notes a first Ctrl-C.
                if isinstance(callback, EarlyStoppingOfSkorch) and not self.guard.is_pending:
                    self.stop()
                elif self.plan.runtime.processes.is_single:
                    raise
                else:
                    self.guard.is_pending = True  # all processes raise it together
        if method_name == "on_epoch_end":
            self.is_stopping = self.plan.runtime.processes.any(self.is_stopping)
            if self.is_stopping or self.is_over:
                raise StopTraining

    def stop(self) -> None:
        """End training with this epoch; for callbacks."""
        self.is_stopping = True

    @property
    def is_over(self) -> bool:
        """Whether epochs or time are used up."""
        return self.progress(self.n_whole_epochs) >= 1

    @property
    def n_epochs_left(self) -> int:
        """Number of epochs still to be trained, at most; every fit has at least one."""
        is_done = self.n_whole_epochs and (self.is_stopping or self.is_over)
        return 0 if is_done else self.max_epochs - self.n_whole_epochs

    def progress(self, n_epochs: float) -> float:
        """Finished part of training, by epochs or by time, whichever is nearer to 1.

        It is 0 before the first step, whose learning rate would be 0 if the time were over.
        """
        by_epochs, max_time = n_epochs / self.max_epochs, self.plan.training.max_time
        if max_time is None or not n_epochs:
            return by_epochs
        seconds = self.plan.runtime.processes.broadcast(time.perf_counter() - self.started)
        return min(1.0, max(by_epochs, seconds / max_time))

    def epoch(self, index: int) -> dict:
        """Everything that was recorded of an epoch."""
        hidden = ("batches", "train_loss")
        return {name: value for name, value in self.history[index].items() if name not in hidden}

    # ------------------------------------------------------------ an epoch

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """One epoch: `run_epoch` loops, this net prepares the steps and records the means."""
        if iterator is None:  # that of skorch's validation set
            return
        self._set_training(True)
        start, self.n_seen = time.perf_counter(), 0
        table = run_epoch(
            iterator.take_from(self.loader),
            len(iterator),
            self.graphed_step or self.step,
            before_step=partial(self._before_step, len(iterator)),
            after_step=self._after_step,
        )
        self._record_epoch(table, start)
        self.plan.runtime.processes.broadcast_buffers(*self._parts())
        self.last_weights, self.n_whole_epochs = self.snapshot(), self.n_whole_epochs + 1

    def _before_step(self, n_steps: int, i: int, batch: tuple) -> bool:
        self.guard.check()
        self.step_progress = self.progress(self.n_whole_epochs + i / n_steps)
        if self.step_progress >= 1 and i:  # the time is over; every epoch has at least one step
            return False
        lr_schedule = self.plan.training.lr_schedule
        if lr_schedule is not None:
            self._set_learning_rates(learning_rate_factor(lr_schedule, self.step_progress))
        self.notify("on_batch_begin", batch=batch, training=True)
        return True

    def _set_learning_rates(self, factor: float) -> None:
        """Follow the schedule; warn once if a callback has set other learning rates."""
        groups = [group for optimizer in self._all_optimizers() for group in optimizer.param_groups]
        if self.scheduled and [float(group["lr"]) for group in groups] != self.scheduled:
            advise_on_schedule(self.plan.training.lr_schedule)
            self.scheduled = None
        set_learning_rates(self._all_optimizers(), factor)
        if self.plan.training.callbacks and self.scheduled is not None:
            self.scheduled = [float(group["lr"]) for group in groups]

    def _after_step(self, batch: tuple, terms: Terms) -> None:
        if self.step_progress >= 1 - self.plan.training.weight_averaging:
            for average, part in self.averages:
                average.update_parameters(part)
        # Shards of processes differ by one sample at most.
        self.n_seen += len(batch[0]) * self.plan.runtime.processes.world_size
        self.notify("on_batch_end", batch=batch, training=True, y_pred=None, **terms)

    def _record_epoch(self, table: TermTable, start: float) -> None:
        """Put the means of the terms, the learning rate and the speed into the history."""
        terms = table.read(self.plan.runtime.processes)
        seconds = time.perf_counter() - start
        record = self.history.record
        for name, values in terms.items():
            record(name, values.mean().item())
        self.step_losses += terms["loss"].tolist()
        record("train_loss", self.history[-1]["loss"])  # callbacks of skorch look for it there
        record("learning_rate", float(self.optimizer_.param_groups[0]["lr"]))
        record("seconds", seconds)
        record("samples_per_second", self.n_seen / seconds)

    # ------------------------------------------------------------ a step

    def step(self, samples: Tensor, groups: Tensor | None) -> Terms:
        """Views, encodings, discriminator, objective, update.

        Parameters
        ----------
        samples : Tensor of shape (n, channels, *sides)
            A batch, not yet standardised.
        groups : Tensor of shape (n,) or None
        """
        model, processes = self.plan.model, self.plan.runtime.processes
        clip_norm = self.plan.training.gradient_clip_norm
        batch = self.loader.standardize(samples)
        # (n_views + n_grids, n, channels, *sides)
        views = make_views(batch, model.augment, self.draws, model.n_views, self.n_grids)
        with autocast(views.device, self.dtype):
            code, local_maps = self._encode_views(views)
            adversarial = self._update_discriminator(code)
            terms = self.criterion_(code, local_maps, self.draws, groups, processes)
            loss = self.criterion_.loss(terms)
        tell = partial(self._tell_of_gradients, (samples, groups))
        backward_and_step(self.optimizer_, loss, clip_norm, processes, after_backward=tell)
        return {"loss": loss, **terms, **adversarial}

    def _tell_of_gradients(self, batch: tuple) -> None:
        """Tell the user's callbacks of the gradients, which they may read repeatedly and change."""
        if not self.plan.training.callbacks:
            return
        trained = {id(p) for group in self.optimizer_.param_groups for p in group["params"]}
        parts = [part.named_parameters() for part in self._parts()]
        named = TeeGenerator(pair for part in parts for pair in part if id(pair[1]) in trained)
        self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)

    def _encode_views(self, views: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Codes (n_views, n, n_code) and local maps (n_maps, n, n_locations, n_channels)."""
        n_views, inputs = self.plan.model.n_views, views
        if self.plan.model.occlusion:
            occluded = occlude(views[:n_views].flatten(0, 1), self.draws)
            inputs = torch.cat([occluded.unflatten(0, (n_views, -1)), views])
        encoding = self.encode(inputs.flatten(0, 1))
        code = encoding.draw_codes(self.draws).unflatten(0, (len(inputs), -1))
        # Occluded views, which come first, give codes; crop grids, which come last, do not.
        local_maps = tuple(
            m.unflatten(0, (len(inputs), -1))[-len(views) :] for m in encoding.local_maps
        )
        return code[:n_views], local_maps

    def _update_discriminator(self, code: Tensor) -> Terms:
        """Train the prior's discriminator on the codes, if there is one."""
        if not self.plan.model.objective.prior_weight:
            return {}
        processes = self.plan.runtime.processes
        loss = processes.weight_by_shard(self.criterion_.discriminator_term(code, self.draws))
        backward_and_step(self.discriminator_optimizer_, loss, processes=processes)
        return {"discriminator": loss}

    # ------------------------------------------------------------ weights and states

    def snapshot(self) -> list[dict[str, Tensor]]:
        """Copy all weights of encoder, critics and discriminator."""
        return [
            {name: _copy(value) for name, value in part.state_dict().items()}
            for part in self._parts()
        ]

    def restore(self, snapshot: list[dict[str, Tensor]]) -> None:
        """Return to weights that were copied."""
        for part, weights in zip(self._parts(), snapshot, strict=True):
            part.load_state_dict(weights)

    def _parts(self) -> list[nn.Module]:
        return [self.module_, self.criterion_]

    def _take_averages(self) -> None:
        """Return to the averages of the last weights, unless a callback ended training."""
        for average, part in self.averages:
            if average.n_averaged and not self.is_stopping:
                part.load_state_dict(average.module.state_dict())

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, in any process."""
        return {
            "weights": self.snapshot(),
            "best": self.best,
            "averages": [average.state_dict() for average, _ in self.averages],
            "optimizers": self.optimizer_states(),
            "generator": self.generator.get_state(),
            "draws": self.plan.runtime.processes.all_gather(self._draw_states()),
            "epochs": [self.epoch(i) for i in range(len(self.history))],
            "step_losses": torch.tensor(self.step_losses, dtype=torch.float64),
            "is_stopping": self.is_stopping,
            "seconds": time.perf_counter() - self.started,
        }

    def _draw_states(self) -> dict[str, Any]:
        states = {"draws": self.draws.get_state()}
        return {**states, **global_states(self.draws.device)} if self.draws_globally else states

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue, initialised and not yet training, as the net whose state it was would have.

        Raises
        ------
        ValueError, RuntimeError, KeyError, IndexError
            If the state is not that of a net with the same plan.
        """
        if state["best"]:  # it is restored after training: it must fit now
            self.restore(state["best"])
        if self.plan.training.early_stopping:
            for epoch in state["epochs"]:
                float(epoch["validation_score"])
        self.restore(state["weights"])
        self.best = state["best"]
        for (average, _), weights in zip(self.averages, state["averages"], strict=True):
            average.load_state_dict(weights)
        self.load_optimizer_states(state["optimizers"])
        self.generator.set_state(state["generator"])
        draws = state["draws"][self.plan.runtime.processes.rank]
        self.draws.set_state(draws["draws"])
        if self.draws_globally:
            set_global_states(draws, self.draws.device)
        for epoch in state["epochs"]:
            self.history.new_epoch()
            for name, value in epoch.items():
                self.history.record(name, value)
        self.step_losses = state["step_losses"].tolist()
        self.n_whole_epochs = len(state["epochs"])
        self.is_stopping = state["is_stopping"]
        self.seconds_before = state["seconds"]
        self.last_weights = self.snapshot()

    # ------------------------------------------------------------ optimisers

    @property
    def _default_callbacks(self) -> list:
        return []

    def initialize_optimizer(self, *args, **kwargs):
        """Build an optimiser for encoder and critics, one for the discriminator, and averages."""
        config = self.plan.training
        averaged = self._parts() if config.weight_averaging else []
        self.averages = [
            (AveragedModel(part, multi_avg_fn=_update_averages, use_buffers=True), part)
            for part in averaged
        ]
        parameters = [*self.module_.parameters(), *self.criterion_.critic_parameters()]
        self.optimizer_ = self._build_optimizer(parameters, config.optimizer_params)
        if self.plan.model.objective.prior_weight:
            self.discriminator_optimizer_ = self._build_optimizer(
                self.criterion_.discriminator.parameters(), config.discriminator_optimizer_params
            )
        return self

    def _build_optimizer(self, parameters, params: dict) -> torch.optim.Optimizer:
        check_optimizer_params(self.optimizer, params, self.device)
        arguments = for_device(
            self.optimizer,
            params,
            self.device,
            captured=self.capturer is not None,
            precision=self.dtype,
        )
        is_known = self.optimizer in OPTIMIZERS.values()
        build = without_compiler(self.optimizer) if is_known else self.optimizer
        try:
            optimizer = build(parameters, **arguments)
        except Exception as error:  # a custom optimiser may raise anything
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f"The 'optimizer_params' parameter does not suit the optimiser: {error}."
            ) from error
        check_optimizer(optimizer)
        remember_learning_rates(optimizer)
        if self.capturer is not None:  # the first steps are not captured, which torch warns of
            vars(optimizer)["_warned_capturable_if_run_uncaptured"] = True
        return optimizer

    def optimizer_states(self) -> dict[str, dict]:
        """The state of each optimiser, by name."""
        return {name: getattr(self, name + "_").state_dict() for name in self._optimizers}

    def continue_optimizers(self, states: dict[str, dict], *, is_unchanged: bool) -> None:
        """Continue with momenta of an earlier call of ``partial_fit``, with today's arguments.

        An optimiser of another kind starts afresh. So does a custom one whose parameters changed,
        because its state may hold arguments, or counters among them.
        """
        continued = {}
        for name in set(states) & set(self._optimizers):
            state, groups = states[name], getattr(self, name + "_").state_dict()["param_groups"]
            if self.optimizer not in OPTIMIZERS.values():
                if is_unchanged:
                    continued[name] = state
            elif list(map(_kind_of, groups)) == list(map(_kind_of, state["param_groups"])):
                continued[name] = {**state, "param_groups": groups}
        self.load_optimizer_states(continued)

    def load_optimizer_states(self, states: dict[str, dict]) -> None:
        """Continue with other optimisers' momenta, at the learning rates of these."""
        for name, state_of_optimizer in states.items():
            optimizer = getattr(self, name + "_")
            rates = [(group["lr"], group["initial_lr"]) for group in optimizer.param_groups]
            load_state(optimizer, deepcopy(state_of_optimizer))  # counters are updated in place
            for parameter, state in optimizer.state.items():
                for key, value in state.items():
                    # One kernel reads weights and momenta in the order of memory: make them alike.
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        state[key] = torch.empty_like(parameter).copy_(value)
            for group, (rate, highest) in zip(optimizer.param_groups, rates, strict=True):
                group["lr"], group["initial_lr"] = rate, highest

    def _all_optimizers(self) -> list[torch.optim.Optimizer]:
        return [getattr(self, name + "_") for name in self._optimizers]


# Arguments of optimisers that choose how a step is computed.
KERNELS = {"fused", "foreach", "capturable", "differentiable"}


def _kind_of(group: dict) -> dict[str, Any]:
    """What an optimiser's momenta depend on: weights, names of arguments, and those that switch."""
    return {
        name: value if isinstance(value, bool | list) else None
        for name, value in group.items()
        if name not in KERNELS
    }


def _update_averages(averages: Any, values: Any, n_averaged: Tensor | int) -> None:
    """Update running means one by one: the kernel of torch for all of them refuses counters."""
    updated = get_swa_avg_fn()
    for average, value in zip(averages, values, strict=True):
        average.copy_(updated(average, value, n_averaged))


def _copy(value: Any) -> Any:
    # Cloning is several times cheaper; anything else is a module's extra state.
    return value.clone() if isinstance(value, Tensor) else deepcopy(value)
