"""What the baselines share: an encoder of skdim, trained by skorch on another objective than DIM's.

An objective is an `Objective`: the networks that a method trains beside the encoder, and what each
player has to backward_and_step in its turn. A method is a `Baseline` that names its objective.
"""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from skorch import NeuralNet
from torch import Tensor, nn

from skdim._utils.devices import PRECISIONS, choose_device, choose_precision, freed_memory_kept
from skdim.encoders import ENCODERS, adapt, encode, evaluating
from skdim._model.inference import encode_padded, inference_batch_size
from skdim._training.net import Batches, backward_and_step, seeded
from skdim.sources._loaders import DeviceLoader
from skdim._utils.registry import lookup
from skdim.sources._statistics import channel_statistics
from skdim.sources._arrays import read_samples

# Who descends, and the terms whose sum that player descends; turn after turn.
Turns = Iterator[tuple[str, dict[str, Tensor]]]


class Task(NamedTuple):
    """What an objective is built for.

    Attributes
    ----------
    sample_shape : tuple (channels, height, width)
    n_samples : int
    n_code, n_hidden : int
        Lengths of the encoder's code and of the layer before it.
    scale : float
        Factor on channels and units, that of the encoder.
    y : array-like of shape (n_samples,) or None
    generator : torch.Generator
    """

    sample_shape: tuple[int, ...]
    n_samples: int
    n_code: int
    n_hidden: int
    scale: float
    y: Any
    generator: torch.Generator


class Objective(nn.Module):
    """The networks that learn beside the encoder, and the turns of a step.

    Parameters under ``discriminator`` learn in its own turns, all others in the encoder's.
    """

    def __init__(self):
        super().__init__()
        self.discriminator = nn.Identity()  # nobody, unless a method has one

    def forward(
        self, encoder: nn.Module, x: Tensor, rows: Tensor, generator: torch.Generator
    ) -> Turns:
        """Yield the turns of a step; each is descended before the next is computed.

        Parameters
        ----------
        encoder : nn.Module
        x : Tensor of shape (n, channels, height, width)
            Standardised samples.
        rows : Tensor of shape (n,)
            Their numbers among all samples.
        generator : torch.Generator

        Yields
        ------
        player : {"encoder", "discriminator"}
        terms : dict of str to Tensor of shape ()
        """
        raise NotImplementedError


class BaselineNet(NeuralNet):
    """Players backward_and_step in turns, each by its own Adam.

    Parameters
    ----------
    module : nn.Module
        The encoder, built.
    criterion : Objective
        Built.
    samples : DeviceLoader
    generator : torch.Generator
        Draws batches and noise.
    precision : torch.dtype
        Of the networks' arithmetic.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: Objective,
        *,
        samples: DeviceLoader,
        generator: torch.Generator,
        precision: torch.dtype,
        **kwargs,
    ):
        super().__init__(
            module,
            criterion,
            iterator_train=Batches,
            iterator_train__groups=None,
            iterator_train__generator=generator,
            dataset=lambda samples, y: samples,
            train_split=None,
            verbose=0,
            **kwargs,
        )
        self.samples = samples
        self.generator = generator
        self.precision = precision

    @property
    def _default_callbacks(self) -> list:
        return []

    def initialize_optimizer(self, *args, **kwargs):
        """One optimiser for the encoder and its helpers, one for their adversary."""
        everyone = [*self.module_.parameters(), *self.criterion_.parameters()]
        adversary = list(self.criterion_.discriminator.parameters())
        parameters = [p for p in everyone if not any(p is other for other in adversary)]
        self.optimizer_ = self._build_optimizer(parameters)
        self.discriminator_optimizer_ = self._build_optimizer(adversary)
        return self

    def _build_optimizer(self, parameters: list) -> torch.optim.Optimizer:
        # A group may be empty, a list of parameters may not.
        return torch.optim.Adam([{"params": parameters}], self.lr, betas=(0.5, 0.999), fused=True)

    def train_step(self, batch, **fit_params) -> dict[str, Tensor]:
        """Let everyone take their turns; return all terms."""
        rows, _ = batch
        x = self.samples.standardize(self.samples.take(rows))
        optimizers = {"encoder": self.optimizer_, "discriminator": self.discriminator_optimizer_}
        step = {}
        turns = self.criterion_(self.module_, x, rows, self.generator)
        for player, terms in in_precision(turns, x.device, self.precision):
            backward_and_step(optimizers[player], sum(terms.values()))
            step |= {name: term.detach() for name, term in terms.items()}
        return step

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """One pass; the terms stay on the device until it is over."""
        if iterator is None:  # that of a validation set
            return
        self._set_training(True)
        start = time.perf_counter()
        steps = [step_fn(batch) for batch in iterator]
        for name in steps[0]:
            mean = torch.stack([step[name] for step in steps]).mean().item()
            if not np.isfinite(mean):
                raise FloatingPointError(
                    f"The loss {name!r} is {mean} in epoch {len(self.history)}: "
                    f"reduce 'learning_rate' (now {self.lr})."
                )
            self.history.record(name, mean)
        self.history.record("seconds", time.perf_counter() - start)


def in_precision(turns: Turns, device: torch.device, precision: torch.dtype) -> Turns:
    """Compute each turn in a precision, and leave that for the step.

    Inside, torch keeps rounded copies of weights, which the step makes obsolete.
    """
    while True:
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            turn = next(turns, None)
        if turn is None:
            return
        yield turn


class Baseline(TransformerMixin, BaseEstimator):
    """Train an encoder by another method than DIM; `transform` returns its code.

    Parameters
    ----------
    encoder : str or callable, default="paper32"
        One of `skdim.encoders.ENCODERS`, or a class like theirs.
    encoder_params : dict or None, default=None
        Its keyword arguments; a ``scale`` holds for the networks beside it too.
    objective_params : dict or None, default=None
        Keyword arguments of the method's `Objective`.
    n_components : int or None, default=64
        Length of the code; None makes the last hidden layer the code.
    max_epochs : int, default=100
    batch_size : int, default=64
    learning_rate : float, default=1e-4
        Of Adam with betas 0.5 and 0.999, as in the paper.
    random_state : int, RandomState or None, default=None
    device : str or torch.device, default="auto"
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of arithmetic in training, as for `skdim.DIMTransformer`.

    Attributes
    ----------
    encoder_ : nn.Module
        In evaluation mode.
    objective_ : Objective
        The networks beside it, likewise.
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

    def fit(self, X, y=None):
        """Train on images of shape (n, height, width) or (n, height, width, channels)."""
        samples = read_samples(np.asarray(X), None, "auto")
        if len(samples) < 2:
            raise ValueError(f"X must hold at least two samples. Got {len(samples)}.")
        self.sample_shape_ = samples.shape[1:]
        self.mean_, self.scale_ = channel_statistics(samples)
        self.device_ = choose_device(self.device)
        precision = choose_precision(self.precision, self.device_, len(self.sample_shape_))
        loader = DeviceLoader(samples, self.mean_, self.scale_, self.device_)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with seeded(seed, self.device_) as generator, freed_memory_kept(self.device_):
            encoder = self._build_encoder(loader)
            task = self._describe(encoder, len(samples), y, generator)
            objective = self.objective(task, **(self.objective_params or {}))
            net = BaselineNet(
                encoder,
                objective,
                samples=loader,
                generator=generator,
                precision=PRECISIONS[precision],
                lr=self.learning_rate,
                max_epochs=self.max_epochs,
                batch_size=self.batch_size,
                device=self.device_,
            )
            net.initialize().fit_loop(loader)
        self.encoder_, self.objective_ = net.module_.eval(), net.criterion_.eval()
        hidden = ("batches", "epoch")
        self.history_ = [
            {name: value for name, value in epoch.items() if name not in hidden}
            for epoch in net.history
        ]
        return self

    def transform(self, X):
        """Return codes of shape (n, n_components)."""
        samples = read_samples(np.asarray(X), None, "auto")
        if samples.shape[1:] != self.sample_shape_:
            raise ValueError(
                f"X must hold samples of shape {self.sample_shape_} (channels first), as in fit. "
                f"Got {samples.shape[1:]}."
            )
        size = inference_batch_size(self.sample_shape_, self.device_)
        tiles = encode_padded(self.encoder_, samples, self.mean_, self.scale_, size, self.device_)
        return np.concatenate([encoding.code[:n].cpu().numpy() for n, encoding in tiles])

    def _build_encoder(self, loader: DeviceLoader) -> nn.Module:
        make = lookup(self.encoder, ENCODERS, "encoder")
        encoder = make(self.sample_shape_, self.n_components, **(self.encoder_params or {}))
        adapt(encoder.to(self.device_), loader.standardize(loader.stored[:1000]))
        return encoder

    def _describe(self, encoder: nn.Module, n_samples: int, y, generator) -> Task:
        blank = torch.zeros(1, *self.sample_shape_, device=self.device_)
        with torch.no_grad(), evaluating(encoder):
            encoding = encode(encoder, blank)
        return Task(
            sample_shape=self.sample_shape_,
            n_samples=n_samples,
            n_code=encoding.code.shape[1],
            n_hidden=encoding.hidden.shape[1],
            scale=(self.encoder_params or {}).get("scale", 1.0),
            y=y,
            generator=generator,
        )
