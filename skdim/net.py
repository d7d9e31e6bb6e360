"""The training loop: skorch runs it, this module says what one step does."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn
from tqdm.auto import tqdm

from skdim.augmentation import Augmentation
from skdim.encoders import encode

logger = logging.getLogger("skdim")


class Batches:
    """Random batches of a tensor that is already where the encoder is.

    Every pass shows every sample once, in batches whose sizes differ by at most one: none is
    dropped, and none is a lone sample, which would have no negatives. With groups, each group is
    dealt out over the batches like a suit of cards, so that its members meet as little as can be.

    Parameters
    ----------
    X : Tensor of shape (n, ...)
    groups : Tensor of shape (n,), int64, or None
    batch_size : int
        Largest size of a batch, at least 2.
    generator : torch.Generator
        On the device of ``X``.
    """

    def __init__(
        self,
        X: Tensor,
        groups: Tensor | None,
        batch_size: int,
        generator: torch.Generator,
    ):
        self.X = X
        self.groups = groups
        self.n_batches = count_batches(len(X), batch_size)
        self.generator = generator

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        order = torch.randperm(len(self.X), generator=self.generator, device=self.X.device)
        if self.groups is None:
            for rows in order.tensor_split(self.n_batches):
                yield self.X[rows], None
        else:
            by_group = order[self.groups[order].argsort(stable=True)]
            for i in range(self.n_batches):
                rows = by_group[i :: self.n_batches]
                # Strangers are listed by their order: leave none to the order of groups.
                rows = rows[torch.randperm(len(rows), generator=self.generator, device=rows.device)]
                yield self.X[rows], self.groups[rows]


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
    standardize : callable (batch) -> Tensor
        From stored samples to what the encoder sees.
    augment : callable (batch, generator) -> batch, or None
        None trains on one view: every sample as it is.
    generator : torch.Generator
        Draws batches, views, negatives and the prior.
    groups : Tensor of shape (n_samples,) or None
        Samples of one group are not compared with each other.
    optimizer_params, discriminator_optimizer_params : dict
        Keyword arguments of the two optimisers.
    gradient_clip_norm : float or None
        Longer gradients of encoder and critics are shortened to this.
    lr_schedule : callable (progress) -> factor
    precision : torch.dtype
        Of the encoder's and the critics' arithmetic.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: nn.Module,
        *,
        standardize: Callable[[Tensor], Tensor],
        augment: Augmentation | None,
        generator: torch.Generator,
        groups: Tensor | None,
        optimizer_params: dict,
        discriminator_optimizer_params: dict,
        gradient_clip_norm: float | None,
        lr_schedule: Callable[[float], float],
        precision: torch.dtype,
        **kwargs,
    ):
        super().__init__(
            module,
            criterion,
            iterator_train=Batches,
            iterator_train__generator=generator,
            iterator_train__groups=groups,
            dataset=lambda X, y: X,
            train_split=None,
            verbose=0,
            **kwargs,
        )
        self.standardize = standardize
        self.augment = augment
        self.generator = generator
        self.optimizer_params = optimizer_params
        self.discriminator_optimizer_params = discriminator_optimizer_params
        self.gradient_clip_norm = gradient_clip_norm
        self.lr_schedule = lr_schedule
        self.precision = precision

    def train(self, X: Tensor) -> "DIMNet":
        """Train on X; unlike ``NeuralNet.fit``, let KeyboardInterrupt through."""
        self.initialize()
        self.notify("on_train_begin", X=X, y=None)
        try:
            self.fit_loop(X)
        finally:
            self.notify("on_train_end", X=X, y=None)
        return self

    @property
    def _default_callbacks(self) -> list:
        return []

    def initialize_optimizer(self, *args, **kwargs):
        """One optimiser for encoder and critics, one for their adversary."""
        learners = [*self.module_.parameters(), *self.criterion_.critic_parameters()]
        self.optimizer_ = self.optimizer(learners, **self.optimizer_params)
        if self.criterion_.prior_weight:
            self.discriminator_optimizer_ = self.optimizer(
                self.criterion_.discriminator.parameters(), **self.discriminator_optimizer_params
            )
        for optimizer in self._all_optimizers():
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        return self

    def _all_optimizers(self) -> list[torch.optim.Optimizer]:
        return [getattr(self, name + "_") for name in self._optimizers]

    def make_views(self, samples: Tensor) -> tuple[Tensor, int]:
        """Return standardised views of shape (n_views * n, ...) and their number."""
        samples = self.standardize(samples)
        if self.augment is None:
            return samples, 1
        return self.augment(torch.cat([samples, samples]), self.generator), 2

    def train_step(self, batch, **fit_params) -> dict[str, Tensor]:
        """One batch: first the discriminator learns from the codes, then everyone else."""
        self._set_training(True)
        samples, groups = batch
        views, n_views = self.make_views(samples)
        with torch.autocast(
            views.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            code, _, local_maps = encode(self.module_, views)
            code = code.unflatten(0, (n_views, -1))  # (n_views, n, n_code)
            local_maps = tuple(m.unflatten(0, (n_views, -1)) for m in local_maps)
            played = {}
            if self.criterion_.prior_weight:
                played["discriminator"] = self.criterion_.adversary(code, self.generator)
                descend(self.discriminator_optimizer_, played["discriminator"])
            terms = self.criterion_(code, local_maps, self.generator, groups)
            loss = self.criterion_.loss(terms)
        descend(self.optimizer_, loss, self.gradient_clip_norm)
        return {"loss": loss, **terms, **played}

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """One pass; the terms stay on the device until it is over."""
        if iterator is None:
            return
        start = time.perf_counter()
        steps = []
        n_epochs_done = len(self.history) - 1
        for i, batch in enumerate(iterator):
            factor = self.lr_schedule((n_epochs_done + i / len(iterator)) / self.max_epochs)
            for optimizer in self._all_optimizers():
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * factor
            self.notify("on_batch_begin", batch=batch, training=training)
            step = {name: term.detach() for name, term in step_fn(batch, **fit_params).items()}
            steps.append(step)
            self.notify("on_batch_end", batch=batch, training=training, **step)
        # The only synchronisation with the device in an epoch.
        means = torch.stack([torch.stack(list(step.values())) for step in steps]).mean(0).tolist()
        seconds = time.perf_counter() - start
        for name, mean in zip(steps[0], means, strict=True):
            self.history.record(name, mean)
        self.history.record("learning_rate", self.optimizer_.param_groups[0]["lr"])
        self.history.record("seconds", seconds)
        self.history.record("samples_per_second", len(iterator.X) / seconds)


def descend(
    optimizer: torch.optim.Optimizer, loss: Tensor, clip_norm: float | None = None
) -> None:
    """One step of one optimiser down one loss, along a gradient no longer than ``clip_norm``."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if clip_norm is not None:
        learners = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(learners, clip_norm)
    optimizer.step()


class StopOnDivergence(Callback):
    """End a fit whose loss is no longer a number, saying which term and what to change."""

    def on_epoch_end(self, net, **kwargs):
        """Look at the epoch's means."""
        epoch = net.history[-1]
        terms = ("local", "global", "prior", "discriminator", "loss")
        for name in terms:
            value = epoch.get(name, 0.0)
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"The {name} term became {value} in epoch {epoch['epoch']}. Reduce the "
                    f"'learning_rate' parameter or set precision='float32'."
                )


class EpochLog(Callback):
    """A line an epoch to the logger "skdim", at level INFO."""

    def on_epoch_end(self, net, **kwargs):
        """Log every number of the epoch."""
        epoch = {name: value for name, value in net.history[-1].items() if name != "batches"}
        logger.info(", ".join(f"{name} {value:.5g}" for name, value in epoch.items()))


class ProgressBar(Callback):
    """A bar over all samples of all epochs: loss, samples per second, time left."""

    def on_train_begin(self, net, X=None, **kwargs):
        """Open the bar."""
        self.bar = tqdm(total=net.max_epochs * len(X), unit=" samples", unit_scale=True)

    def on_batch_end(self, net, batch=None, **kwargs):
        """Move it by a batch."""
        self.bar.update(len(batch[0]))

    def on_epoch_end(self, net, **kwargs):
        """Show the loss of the epoch."""
        epoch = net.history[-1]
        self.bar.set_postfix(
            epoch=f"{epoch['epoch']}/{net.max_epochs}", loss=f"{epoch['loss']:.3f}"
        )

    def on_train_end(self, net, **kwargs):
        """Leave the full bar on the screen."""
        self.bar.close()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[torch.Generator]:
    """Seed torch inside the block, give a generator on the device, restore torch afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield torch.Generator(device).manual_seed(seed)
