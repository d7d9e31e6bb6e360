"""The training loop: skorch runs it, this module says what one step does."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from skorch import NeuralNet
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from skdim.augmentation import Augmentation, make_views, occlude
from skdim.callbacks import asks_to_stop
from skdim.encoders import encode
from skdim.optimization import for_device
from skdim.placement import Placement
from skdim.ranks import ALONE, Ranks, statistics_joined
from skdim.recording import RecordedStep, Recorder


class Batches:
    """Random batches, as the numbers of their samples.

    Every pass shows every sample once, in batches whose sizes differ by at most one: none is
    dropped, and none is a lone sample, which would have no negatives. With groups, each group is
    dealt out over the batches like a suit of cards, so that its members meet as little as can be.

    Parameters
    ----------
    samples : OnDevice or Streamed
    groups : Tensor of shape (n,), int64, or None
    batch_size : int
        Largest size of a batch, at least 2.
    generator : torch.Generator
        On the device of ``groups``.
    ranks : Ranks
        Each gets its part of the samples of a batch, and the groups of all.
    """

    def __init__(
        self,
        samples: Placement,
        groups: Tensor | None,
        batch_size: int,
        generator: torch.Generator,
        ranks: Ranks = ALONE,
    ):
        self.n_samples = len(samples)
        self.rows_device = samples.rows_device
        self.groups = groups
        self.n_batches = count_batches(self.n_samples, batch_size)
        self.generator = generator
        self.ranks = ranks

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        order = self._shuffle(self.n_samples)
        if self.groups is None:
            for rows in order.to(self.rows_device).tensor_split(self.n_batches):
                yield self.ranks.share_out(rows), None
        else:
            by_group = order[self.groups[order].argsort(stable=True)]
            for i in range(self.n_batches):
                rows = by_group[i :: self.n_batches]
                # Strangers are listed by their order: leave none to the order of groups.
                rows = rows[self._shuffle(len(rows))]
                yield self.ranks.share_out(rows.to(self.rows_device)), self.groups[rows]

    def _shuffle(self, n: int) -> Tensor:
        return torch.randperm(n, generator=self.generator, device=self.generator.device)


def count_batches(n_samples: int, batch_size: int) -> int:
    """Return how many batches of at most ``batch_size`` and at least 2 samples a pass takes."""
    return max(1, min(-(-n_samples // batch_size), n_samples // 2))


class DIMNet(NeuralNet):
    """Train an encoder and its critics together, and a discriminator against the encoder.

    Parameters
    ----------
    module : nn.Module
        The encoder, built.
    criterion : DIMObjective
        The objective, built.
    augment : callable (batch, generator) -> batch, or None
        None takes every sample as it is.
    n_views, n_crops : int
        As in `skdim.augmentation.make_views`.
    occlusion : bool
        Whether codes are of views with a part hidden, and locals of whole ones.
    generator : torch.Generator
        Draws batches, alike on every rank.
    draws : torch.Generator
        Draws views, negatives and the prior; a lone process needs no other than ``generator``.
    ranks : Ranks
        Who trains.
    groups : Tensor of shape (n_samples,) or None
        Samples of one group are not compared with each other.
    optimizer_params, discriminator_optimizer_params : dict
        Keyword arguments of the two optimisers.
    gradient_clip_norm : float or None
        Longer gradients of encoder and critics are shortened to this.
    lr_schedule : callable (progress) -> factor, or None
        None leaves learning rates to the callbacks.
    average_last : float
        Last part of training, over whose steps weights are averaged; 0 takes the last weights.
    max_time : float or None
        Seconds after which training ends, if its epochs have not ended it before.
    precision : torch.dtype
        Of the encoder's and the critics' arithmetic.
    compiled : bool
        Whether ``torch.compile`` compiles the encoder.
    recorder : Recorder or None
        Records steps, where there are enough of them to repay it.

    Attributes
    ----------
    step_losses : list of float
        The loss of every step.
    is_stopping : bool
        Whether a callback ended training, or is about to.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: nn.Module,
        *,
        augment: Augmentation | None,
        n_views: int,
        n_crops: int,
        occlusion: bool,
        generator: torch.Generator,
        draws: torch.Generator,
        ranks: Ranks,
        groups: Tensor | None,
        optimizer_params: dict,
        discriminator_optimizer_params: dict,
        gradient_clip_norm: float | None,
        lr_schedule: Callable[[float], float] | None,
        average_last: float,
        max_time: float | None,
        precision: torch.dtype,
        compiled: bool,
        recorder: Recorder | None,
        **kwargs,
    ):
        super().__init__(
            module,
            criterion,
            iterator_train=Batches,
            iterator_train__generator=generator,
            iterator_train__groups=groups,
            iterator_train__ranks=ranks,
            dataset=lambda samples, y: samples,
            train_split=None,
            verbose=0,
            **kwargs,
        )
        self.augment = augment
        self.n_views = n_views
        self.n_crops = n_crops
        self.occlusion = occlusion
        self.generator = generator
        self.draws = draws
        self.ranks = ranks
        self.optimizer_params = optimizer_params
        self.discriminator_optimizer_params = discriminator_optimizer_params
        self.gradient_clip_norm = gradient_clip_norm
        self.lr_schedule = lr_schedule
        self.average_last = average_last
        self.max_time = max_time
        self.precision = precision
        self.compiled = compiled
        self.recorder = recorder
        self.step_losses: list[float] = []
        self.is_stopping = False
        self.n_whole_epochs = 0
        self.seconds_before = 0.0  # of training, before it was taken up again
        self.best: list[dict[str, Tensor]] = []

    def train(self, samples: Placement) -> "DIMNet":
        """Train an initialised net until the epochs, the time or a callback end it.

        An interrupt comes through, after a return to the last epoch that was whole.
        """
        self.samples = samples
        encoder: Any = torch.compile(self.module_) if self.compiled else self.module_
        self.encode = partial(encode, encoder)
        self.recorded = RecordedStep(self._step, self.recorder) if self.recorder else None
        self.started = time.perf_counter() - self.seconds_before
        self.notify("on_train_begin", X=samples, y=None)
        try:
            if not (self.is_stopping or self.is_over):
                with statistics_joined(self.ranks, self.module_, self.criterion_):
                    self._loop()
            for average, part in self.averages:
                if average.n_averaged and not self.is_stopping:
                    part.load_state_dict(average.module.state_dict())
        except KeyboardInterrupt:
            del self.history[self.n_whole_epochs :]
            if self.n_whole_epochs:
                self.restore(self.whole)
            raise
        finally:
            self.recorded = None  # it refers back to the net, and a circle outlives its use
            self.notify("on_train_end", X=samples, y=None)
        return self

    def _loop(self) -> None:
        try:
            self.fit_loop(self.samples)
        except _Stop:
            return

    @property
    def is_over(self) -> bool:
        """Whether epochs or time are used up."""
        return self.progress(self.n_whole_epochs) >= 1

    def epoch(self, index: int) -> dict:
        """Return what was recorded of an epoch."""
        hidden = ("batches", "train_loss")
        return {name: value for name, value in self.history[index].items() if name not in hidden}

    def stop(self) -> None:
        """End training with this epoch; for callbacks."""
        self.is_stopping = True

    def notify(self, method_name, **kwargs):
        """Tell the callbacks, and hear whether one wants to stop."""
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as interrupt:
            if not asks_to_stop(interrupt):
                raise
            self.stop()
        if method_name == "on_epoch_end":
            self.is_stopping = any(self.ranks.collect(self.is_stopping))
            if self.is_stopping or self.is_over:
                raise _Stop

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

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on, on any rank."""
        return {
            "weights": self.snapshot(),
            "best": self.best,
            "averages": [average.state_dict() for average, _ in self.averages],
            "optimizers": self.optimizer_states(),
            "generator": self.generator.get_state(),
            "draws": self.ranks.collect(self._draw_states()),
            "epochs": [self.epoch(i) for i in range(len(self.history))],
            "step_losses": torch.tensor(self.step_losses, dtype=torch.float64),
            "is_stopping": self.is_stopping,
            "seconds": time.perf_counter() - self.started,
        }

    def _draw_states(self) -> dict[str, Tensor | None]:
        device = self.draws.device
        return {
            "draws": self.draws.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on, initialised and not yet training, as the net whose state it was would have."""
        self.restore(state["weights"])
        self.best = state["best"]
        for (average, _), weights in zip(self.averages, state["averages"], strict=True):
            average.load_state_dict(weights)
        self.load_optimizer_states(state["optimizers"])
        self.generator.set_state(state["generator"])
        draws = state["draws"][self.ranks.rank]
        self.draws.set_state(draws["draws"])
        torch.set_rng_state(draws["torch"])
        if draws["cuda"] is not None:
            torch.cuda.set_rng_state(draws["cuda"], self.draws.device)
        for epoch in state["epochs"]:
            self.history.new_epoch()
            for name, value in epoch.items():
                self.history.record(name, value)
        self.step_losses = state["step_losses"].tolist()
        self.n_whole_epochs = len(state["epochs"])
        self.is_stopping = state["is_stopping"]
        self.seconds_before = state["seconds"]
        self.whole = self.snapshot()

    def progress(self, n_epochs: float) -> float:
        """Return the finished part of training, by epochs or by time, whichever is nearer 1."""
        by_epochs = n_epochs / self.max_epochs
        if self.max_time is None:
            return by_epochs
        seconds = self.ranks.from_first(time.perf_counter() - self.started)
        return min(1.0, max(by_epochs, seconds / self.max_time))

    @property
    def _default_callbacks(self) -> list:
        return []

    def initialize_optimizer(self, *args, **kwargs):
        """One optimiser for encoder and critics, one for their adversary; averages beside them."""
        averaged = self._parts() if self.average_last else []
        self.averages = [(AveragedModel(part, use_buffers=True), part) for part in averaged]
        learners = [*self.module_.parameters(), *self.criterion_.critic_parameters()]
        self.optimizer_ = self._build_optimizer(learners, self.optimizer_params)
        if self.criterion_.prior_weight:
            self.discriminator_optimizer_ = self._build_optimizer(
                self.criterion_.discriminator.parameters(), self.discriminator_optimizer_params
            )
        return self

    def _build_optimizer(self, learners, params: dict) -> torch.optim.Optimizer:
        arguments = for_device(
            self.optimizer, params, self.device, recorded=self.recorder is not None
        )
        try:
            optimizer = self.optimizer(learners, **arguments)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"The 'optimizer_params' parameter does not suit the optimiser: {error}."
            ) from error
        for group in optimizer.param_groups:
            group["initial_lr"] = float(group["lr"])
        return optimizer

    def optimizer_states(self) -> dict[str, dict]:
        """Return the state of each optimiser, by name."""
        return {name: getattr(self, name + "_").state_dict() for name in self._optimizers}

    def load_optimizer_states(self, states: dict[str, dict]) -> None:
        """Go on with other optimisers' momenta, at the learning rates of these."""
        for name in self._optimizers:
            optimizer = getattr(self, name + "_")
            rates = [(group["lr"], group["initial_lr"]) for group in optimizer.param_groups]
            optimizer.load_state_dict(states[name])
            for parameter, state in optimizer.state.items():
                for key, value in state.items():
                    # One kernel walks weights and momenta as they lie in memory: alike.
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        state[key] = torch.empty_like(parameter).copy_(value)
            for group, (rate, highest) in zip(optimizer.param_groups, rates, strict=True):
                group["lr"], group["initial_lr"] = rate, highest

    def _all_optimizers(self) -> list[torch.optim.Optimizer]:
        return [getattr(self, name + "_") for name in self._optimizers]

    def train_step(self, batch, **fit_params) -> dict[str, Tensor]:
        """One batch: fetch its samples, learn from them."""
        rows, groups = batch
        step = self.recorded or self._step
        return step(self.samples.take(rows), groups)

    def _step(self, stored: Tensor, groups: Tensor | None) -> dict[str, Tensor]:
        """First the discriminator learns from the codes, then everyone else."""
        standardized = self.samples.standardize(stored)
        views = make_views(standardized, self.augment, self.draws, self.n_views, self.n_crops)
        seen = views
        if self.occlusion:
            occluded = occlude(views[: self.n_views].flatten(0, 1), self.draws)
            seen = torch.cat([occluded.unflatten(0, (self.n_views, -1)), views])
        with torch.autocast(
            views.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            encoding = self.encode(seen.flatten(0, 1))
            code = encoding.draw_codes(self.draws).unflatten(0, (len(seen), -1))
            # Mosaics, which follow the views, have locals only; occluded views, before them, codes.
            code = code[: self.n_views]  # (n_views, n, n_code)
            local_maps = tuple(
                m.unflatten(0, (len(seen), -1))[-len(views) :] for m in encoding.local_maps
            )
            played = {}
            if self.criterion_.prior_weight:
                game = self.ranks.weigh(self.criterion_.adversary(code, self.draws))
                descend(self.discriminator_optimizer_, game, ranks=self.ranks)
                played["discriminator"] = game
            terms = self.criterion_(code, local_maps, self.draws, groups, self.ranks)
            loss = self.criterion_.loss(terms)
        descend(self.optimizer_, loss, self.gradient_clip_norm, self.ranks)
        return {"loss": loss, **terms, **played}

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """One pass; the terms stay on the device until it is over, in one table.

        A tensor that each step left behind would keep the memory it freed from the next ones.
        """
        if iterator is None:
            return
        self._set_training(True)
        start = time.perf_counter()
        names: list[str] = []
        table = torch.empty(0)
        n_steps = n_samples = 0
        for i, batch in enumerate(iterator):
            progress = self.progress(self.n_whole_epochs + i / len(iterator))
            if progress >= 1 and n_steps:  # the time is over; every epoch has a step at least
                break
            if self.lr_schedule is not None:
                self.set_learning_rates(self.lr_schedule(progress))
            self.notify("on_batch_begin", batch=batch, training=training)
            step = {name: term.detach() for name, term in step_fn(batch, **fit_params).items()}
            values = torch.stack(list(step.values()))
            if not n_steps:
                names, table = list(step), values.new_empty(len(iterator), len(step))
            table[n_steps] = values
            n_steps += 1
            if progress >= 1 - self.average_last:
                for average, part in self.averages:
                    average.update_parameters(part)
            n_samples += len(batch[0]) * self.ranks.n_ranks  # parts differ by one at most
            self.notify("on_batch_end", batch=batch, training=training, **step)
        # The only synchronisation with the device in an epoch.
        table = table[:n_steps]
        self.ranks.add_up([table])
        table = table.cpu()
        seconds = time.perf_counter() - start
        for name, column in zip(names, table.unbind(1), strict=True):
            self.history.record(name, column.mean().item())
        self.step_losses += table[:, 0].tolist()
        self.history.record("train_loss", self.history[-1]["loss"])  # where callbacks look for it
        self.history.record("learning_rate", float(self.optimizer_.param_groups[0]["lr"]))
        self.history.record("seconds", seconds)
        self.history.record("samples_per_second", n_samples / seconds)
        self.n_whole_epochs += 1
        self.whole = self.snapshot()

    def set_learning_rates(self, factor: float) -> None:
        """Multiply the highest learning rate of every group by the schedule's factor."""
        for optimizer in self._all_optimizers():
            for group in optimizer.param_groups:
                rate = group["initial_lr"] * factor
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)  # where a recorded step will read it
                else:
                    group["lr"] = rate


def _copy(value: Any) -> Any:
    # Cloning is several times cheaper; anything else is a module's extra state.
    return value.clone() if isinstance(value, Tensor) else deepcopy(value)


class _Stop(Exception):  # noqa: N818
    """Training is to end here; not an error."""


def descend(
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    clip_norm: float | None = None,
    ranks: Ranks = ALONE,
) -> None:
    """One step of one optimiser down one loss, along a gradient no longer than ``clip_norm``."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    learners = [p for group in optimizer.param_groups for p in group["params"]]
    ranks.add_up_gradients(learners)
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(learners, clip_norm)
    optimizer.step()


@contextmanager
def seeded(
    seed: int, device: torch.device, state: Tensor | None = None
) -> Iterator[torch.Generator]:
    """Seed torch inside the block, give a generator on the device, restore torch afterwards.

    With the state of an earlier block's generator, randomness goes on where that one ended.
    """
    generator = torch.Generator(device).manual_seed(seed)
    if state is not None:
        generator.set_state(state)
        seed = int(torch.randint(2**31, (), generator=generator, device=device))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield generator
