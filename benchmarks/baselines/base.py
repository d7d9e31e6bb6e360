"""What all baselines share: an encoder of skdim, trained on another objective than that of DIM.

A method is a `Baseline` that names its `Objective`: the networks that are trained in addition to
the encoder, and the losses of a step. The loop over batches is that of skdim.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from torch import Tensor, nn

from benchmarks.common import channels_first, encode_images
from skdim._names import lookup
from skdim._runtime.devices import PRECISIONS, choose_device, choose_precision, freed_memory_kept
from skdim._runtime.seeding import seeded
from skdim._training.loop import Batches, Terms, run_epoch
from skdim.encoders import ENCODERS, Encoding, adapt, encode, evaluating
from skdim.modalities import modality_of
from skdim.optimization import backward_and_step
from skdim.sources.loaders import DeviceLoader
from skdim.sources.standardization import Standardization, channel_statistics

# The updates of a step, in order: whose parameters are updated ("encoder" or "discriminator"), and
# the terms whose sum is minimised.
Updates = Iterator[tuple[str, Terms]]


class Task(NamedTuple):
    """What an objective is built for.

    Attributes
    ----------
    sample_shape : tuple (channels, height, width)
    n_samples : int
    n_code, n_hidden : int
        Lengths of the encoder's code and of the layer before it.
    local_shape : tuple (n_locations, n_channels)
        Of its last local map.
    scale : float
        Factor on channels and units, that of the encoder.
    y : array-like of shape (n_samples,) or None
    generator : torch.Generator
    """

    sample_shape: tuple[int, ...]
    n_samples: int
    n_code: int
    n_hidden: int
    local_shape: tuple[int, int]
    scale: float
    y: Any
    generator: torch.Generator


class Objective(nn.Module):
    """The networks that are trained in addition to the encoder, and the losses of a step.

    Parameters under ``discriminator`` are trained by updates of their own, all others together with
    the encoder.
    """

    def __init__(self):
        super().__init__()
        self.discriminator = nn.Identity()  # no parameters, unless a method has a discriminator

    def forward(
        self, encoder: nn.Module, x: Tensor, indices: Tensor, generator: torch.Generator
    ) -> Updates:
        """Yield the updates of a step; each is made before the next is computed.

        Parameters
        ----------
        encoder : nn.Module
        x : Tensor of shape (n, channels, height, width)
            Standardised samples.
        indices : Tensor of shape (n,)
            Of these samples in the training set.
        generator : torch.Generator

        Yields
        ------
        name : {"encoder", "discriminator"}
            Whose parameters are updated.
        terms : dict of str to Tensor of shape ()
            Their sum is minimised.
        """
        raise NotImplementedError


class Trainer:
    """Trains an encoder on an objective: one Adam for both, one for the discriminator.

    Parameters
    ----------
    encoder : nn.Module
        On the device of ``loader``.
    objective : Objective
        Likewise.
    loader : DeviceLoader
    batch_size : int
    learning_rate : float
    generator : torch.Generator
        Draws batches and noise.
    precision : torch.dtype
        Of the networks' arithmetic.
    augment : callable (samples, generator) -> samples, or None
    """

    def __init__(
        self,
        encoder: nn.Module,
        objective: Objective,
        loader: DeviceLoader,
        *,
        batch_size: int,
        learning_rate: float,
        generator: torch.Generator,
        precision: torch.dtype,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    ):
        self.augment = augment
        self.encoder, self.objective, self.loader = encoder, objective, loader
        self.learning_rate = learning_rate
        self.generator = generator
        self.precision = precision
        self.batches = Batches(loader, None, batch_size, generator)
        discriminator_parameters = list(objective.discriminator.parameters())
        others = [
            p
            for p in [*encoder.parameters(), *objective.parameters()]
            if not any(p is other for other in discriminator_parameters)
        ]
        self.optimizers = {
            "encoder": self._build_optimizer(others),
            "discriminator": self._build_optimizer(discriminator_parameters),
        }

    def _build_optimizer(self, parameters: list) -> torch.optim.Optimizer:
        # A group may be empty, a list of parameters may not.
        groups = [{"params": parameters}]
        return torch.optim.Adam(groups, self.learning_rate, betas=(0.5, 0.999), fused=True)

    def run_epochs(self, n_epochs: int) -> list[dict[str, float]]:
        """Train; return the mean of every term and the seconds of each epoch.

        Raises
        ------
        FloatingPointError
            If a term is not finite.
        """
        self.encoder.train()
        self.objective.train()
        history: list[dict[str, float]] = []
        for epoch in range(1, n_epochs + 1):
            start = time.perf_counter()
            table = run_epoch(
                self.batches, len(self.batches), self.step, before_step=lambda i, batch: True
            )
            means = {name: values.mean().item() for name, values in table.read().items()}
            for name, mean in means.items():
                if not np.isfinite(mean):
                    raise FloatingPointError(
                        f"The loss {name!r} is {mean} in epoch {epoch}: "
                        f"reduce 'learning_rate' (now {self.learning_rate})."
                    )
            history.append({**means, "seconds": time.perf_counter() - start})
        return history

    def step(self, indices: Tensor, groups: None) -> Terms:
        """Make all updates of a batch; return all terms."""
        x = self.loader.standardize(self.loader.take(indices))
        if self.augment is not None:
            x = self.augment(x, self.generator)
        updates = self.objective(self.encoder, x, indices, self.generator)
        terms: Terms = {}
        for name, losses in in_precision(updates, x.device, self.precision):
            backward_and_step(self.optimizers[name], sum(losses.values()))
            terms |= losses
        return terms


def in_precision(updates: Updates, device: torch.device, precision: torch.dtype) -> Updates:
    """Compute the losses of each update in a precision; the update itself is made outside.

    Inside, torch keeps rounded copies of weights, which are out of date after an update.
    """
    while True:
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            update = next(updates, None)
        if update is None:
            return
        yield update


class Baseline(TransformerMixin, BaseEstimator):
    """Train an encoder by another method than DIM; `transform` returns its features.

    Parameters
    ----------
    encoder : str or callable, default="paper32"
        One of `skdim.encoders.ENCODERS`, or a class like theirs.
    encoder_params : dict or None, default=None
        Its keyword arguments. A ``scale`` also holds for the networks of the objective.
    objective_params : dict or None, default=None
        Keyword arguments of the method's `Objective`.
    n_components : int or None, default=64
        Length of the code; None makes the last hidden layer the code.
    max_epochs : int, default=100
    batch_size : int, default=64
    learning_rate : float, default=1e-4
        Learning rate of Adam with betas 0.5 and 0.999, as in the paper.
    random_state : int, RandomState or None, default=None
    device : str or torch.device, default="auto"
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of arithmetic in training, as for `skdim.DIMTransformer`.
    augment : callable (samples, generator) -> samples, or None, default=None
        Changes standardised samples anew in every step.

    Attributes
    ----------
    encoder_ : nn.Module
        In evaluation mode.
    objective_ : Objective
        The networks of the objective, in evaluation mode.
    mean_, scale_ : ndarray of shape (n_channels,)
        Of the samples in ``fit``.
    sample_shape_ : tuple (channels, height, width)
    device_ : torch.device
    history_ : list of dict
        For each epoch, the mean of every term and the seconds.
    """

    objective: type[Objective]

    def __init__(
        self,
        encoder="paper32",
        encoder_params=None,
        objective_params=None,
        n_components=64,
        max_epochs=100,
        batch_size=64,
        learning_rate=1e-4,
        random_state=None,
        device="auto",
        precision="auto",
        augment=None,
    ):
        self.encoder = encoder
        self.encoder_params = encoder_params
        self.objective_params = objective_params
        self.n_components = n_components
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.augment = augment

    def fit(self, X, y=None):
        """Train on images of shape (n, height, width) or (n, height, width, channels)."""
        samples = channels_first(X)
        if len(samples) < 2:
            raise ValueError(f"X must hold at least two samples. Got {len(samples)}.")
        self.sample_shape_ = samples.shape[1:]
        self.mean_, self.scale_, _ = channel_statistics(samples)
        self.device_ = choose_device(self.device)
        modality = modality_of(self.sample_shape_)
        precision = choose_precision(self.precision, self.device_, modality.has_large_layers)
        standardization = Standardization(self.mean_, self.scale_, self.device_)
        loader = DeviceLoader(samples, standardization)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with seeded(seed, self.device_) as generator, freed_memory_kept(self.device_):
            encoder = self._build_encoder(loader)
            task = self._describe(encoder, len(samples), y, generator)
            objective = self.objective(task, **(self.objective_params or {}))
            trainer = Trainer(
                encoder,
                objective.to(self.device_),
                loader,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                generator=generator,
                precision=PRECISIONS[precision],
                augment=self.augment,
            )
            self.history_ = trainer.run_epochs(self.max_epochs)
        self.encoder_, self.objective_ = encoder.eval(), objective.eval()
        return self

    def transform(self, X):
        """Return features (n, n_features): codes, if the method does not say otherwise."""
        parts = [self.features_of(encoding)[:n].cpu() for n, encoding in self._encode(X)]
        return torch.cat(parts).float().numpy()

    def features_of(self, encoding: Encoding) -> Tensor:
        """Return the features (n, n_features) of a batch: its codes."""
        return encoding.code

    def _encode(self, X) -> Iterator[tuple[int, Encoding]]:
        sample_shape = channels_first(X).shape[1:]
        if sample_shape != self.sample_shape_:
            raise ValueError(
                f"X must hold samples of shape {self.sample_shape_} (channels first), as in fit. "
                f"Got {sample_shape}."
            )
        return encode_images(self, X)

    def _build_encoder(self, loader: DeviceLoader) -> nn.Module:
        make = lookup(self.encoder, ENCODERS, "encoder")
        encoder = make(self.sample_shape_, self.n_components, **self._choose_params(make))
        adapt(encoder.to(self.device_), loader.standardize(loader.samples[:1000]))
        return encoder

    def _choose_params(self, make) -> dict:
        """Return the keyword arguments of the encoder's class."""
        return dict(self.encoder_params or {})

    def _describe(self, encoder: nn.Module, n_samples: int, y, generator) -> Task:
        blank = torch.zeros(1, *self.sample_shape_, device=self.device_)
        with torch.no_grad(), evaluating(encoder):
            encoding = encode(encoder, blank)
        return Task(
            sample_shape=self.sample_shape_,
            n_samples=n_samples,
            n_code=encoding.code.shape[1],
            n_hidden=encoding.hidden.shape[1],
            local_shape=tuple(encoding.local_maps[-1].shape[1:]),
            scale=(self.encoder_params or {}).get("scale", 1.0),
            y=y,
            generator=generator,
        )
