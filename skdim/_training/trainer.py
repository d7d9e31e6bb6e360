"""From a setup and samples to a net that has been trained."""

import logging
from contextlib import ExitStack

import numpy as np
import torch

from skdim._model.config import carry_over
from skdim._model.inference import largest_batch
from skdim._runtime.devices import compiler_advice
from skdim._runtime.interrupts import InterruptGuard
from skdim._runtime.seeding import (
    make_generator,
    may_draw_globally,
    seed_globally,
    seeded_globally,
)
from skdim._training.batches import count_batches
from skdim._training.config import obstacle_to_capture, resolve_training
from skdim._training.cuda_graph import choose_capturer
from skdim._training.net import DIMNet
from skdim._training.setup import Setup
from skdim.critics import is_separable
from skdim.encoders import adapt, has_adapt
from skdim.mutual_information import additive_form_of
from skdim.sources._loaders import Loader, to_tensor

logger = logging.getLogger("skdim")

# Samples that an encoder sees before training, if it asks for some.
N_ADAPTED_TO = 1000


class Trainer:
    """Builds encoder, objective and net, and lets the net train.

    Parameters
    ----------
    setup : Setup
    loader : DeviceLoader or StreamingLoader
    groups : ndarray of shape (n,) or None
    seed : int
    guard : InterruptGuard
    """

    def __init__(
        self,
        setup: Setup,
        loader: Loader,
        groups: np.ndarray | None,
        seed: int,
        guard: InterruptGuard,
    ):
        self.guard = guard
        self.setup = setup
        self.loader = loader
        self.groups = None if groups is None else to_tensor(groups).to(setup.device)
        self.seed = seed
        self.config = resolve_training(
            setup.params,
            len(loader),
            setup.config.sample_shape,
            setup.precision,
            one_epoch=setup.one_epoch,
        )

    def run(
        self, callbacks: list, progress: dict | None
    ) -> tuple[DIMNet, KeyboardInterrupt | None, dict]:
        """Train; return the net, an interrupt after whole epochs, and the state to go on from."""
        previous, device = self.setup.previous, self.setup.device
        name = f"{device.type} generator"
        state = {} if previous is None else previous.training_state
        self.default_dtype = torch.get_default_dtype()
        self._log_what_is_gathered()
        generator, global_seed = make_generator(self.seed, device, state.get(name))
        with ExitStack() as stack:
            stack.enter_context(seeded_globally(global_seed, device))
            net, is_same = self._build_net(generator, callbacks)
            if is_same and "optimizers" in state:
                net.load_optimizer_states(state["optimizers"])
            if progress is not None:
                net.load_state(progress["net"])
            if not net.draws_globally:
                stack.close()  # fits in other threads need not wait for this one
            interrupt = None
            try:
                with compiler_advice():
                    net.train(self.loader)
            except KeyboardInterrupt as raised:
                if not net.history:
                    raise
                interrupt = raised
            if not self.setup.one_epoch:
                return net, interrupt, {}
            return (
                net,
                interrupt,
                {"optimizers": net.optimizer_states(), name: generator.get_state()},
            )

    def _build_net(self, generator: torch.Generator, callbacks: list) -> tuple[DIMNet, bool]:
        """Return an initialised net, and whether all of its weights are the previous model's."""
        setup, processes = self.setup, self.setup.processes
        encoder = setup.config.build_encoder(setup.device)
        objective = setup.config.build_objective(encoder, setup.device)
        if setup.previous is None:
            self._adapt(encoder, generator)
        processes.broadcast_weights(encoder, objective)
        is_same = setup.previous is not None and all(
            [
                carry_over(setup.previous.encoder, encoder),
                carry_over(setup.previous.check_not_trimmed("training"), objective),
            ]
        )
        n_steps = self.config.n_epochs * count_batches(len(self.loader), self.config.batch_size)
        net = DIMNet(
            encoder,
            objective,
            model_config=setup.config,
            training_config=self.config,
            generator=generator,
            draws=self._draws(generator),
            processes=processes,
            groups=self.groups,
            capturer=choose_capturer(generator, n_steps, obstacle_to_capture(setup.params)),
            device=setup.device,
            draws_globally=self._draws_globally(encoder, objective),
            guard=self.guard,
            callbacks=callbacks,
        )
        return net.initialize(), is_same

    def _log_what_is_gathered(self) -> None:
        """Say what an MI estimator costs that does not say how its marginal scores add up."""
        config = self.setup.config
        has_pairs = (config.global_weight or config.local_weight) and is_separable(config.critic)
        if not has_pairs or additive_form_of(config.mi_estimator) is not None:
            return
        effects = []
        if self.groups is not None:
            effects.append("negatives are repeated, so that all codes have as many")
        if not self.setup.processes.is_single:
            effects.append("processes exchange keys, which are longer than codes")
        if effects and self.setup.processes.is_main:
            logger.warning(
                "The 'mi_estimator' does not say how its marginal scores add up (see "
                "skdim.mutual_information): %s.",
                "; ".join(effects),
            )

    def _adapt(self, encoder: torch.nn.Module, generator: torch.Generator) -> None:
        """Show the encoder some samples, if it asks for them."""
        order = torch.randperm(len(self.loader), generator=generator, device=generator.device)
        if has_adapt(encoder):
            n_seen = min(N_ADAPTED_TO, largest_batch(self.setup.config.sample_shape))
            stored = self.loader.take(order[:n_seen].to(self.loader.indices_device))
            adapt(encoder, self.loader.standardize(stored))

    def _draws(self, generator: torch.Generator) -> torch.Generator:
        """Return what draws views and negatives: with several processes, a generator for each."""
        processes = self.setup.processes
        if processes.is_single:
            return generator
        seed_globally(self.seed + 1 + processes.rank, self.setup.device)
        return torch.Generator(self.setup.device).manual_seed(self.seed + 1 + processes.rank)

    def _draws_globally(self, *modules: torch.nn.Module) -> bool:
        """Whether training needs torch's global state for itself."""
        config, params = self.setup.config, self.setup.params
        if params["callbacks"] or self.default_dtype != torch.float32:
            return True
        functions = (config.augment, config.mi_estimator, config.prior.sample, config.prior.squash)
        further = (self.config.optimizer, self.config.lr_schedule)
        return may_draw_globally(modules, (*functions, *further))
