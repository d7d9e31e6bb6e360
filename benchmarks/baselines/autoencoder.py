"""An autoencoder on the encoder that `DIMTransformer` takes by default, at as many steps."""

import math

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from torch import nn

from benchmarks.common import channels_first
from skdim._training.loop import Terms, run_epoch
from skdim.encoders import ENCODERS, adapt
from skdim.modalities import modality_of
from skdim.optimization import backward_and_step
from skdim.sources.standardization import channel_statistics

BATCH_SIZE = 128


class Autoencoder(TransformerMixin, BaseEstimator):
    """Reconstruct standardised samples from a code; `transform` returns the code, standardised.

    Parameters
    ----------
    n_components : int, default=64
    channel_axis : int, None or "auto", default="auto"
    n_hidden : int, default=512
        Units of the decoder, one hidden layer.
    random_state : int, default=0
    """

    def __init__(self, n_components=64, channel_axis="auto", n_hidden=512, random_state=0):
        self.n_components = n_components
        self.channel_axis = channel_axis
        self.n_hidden = n_hidden
        self.random_state = random_state

    def fit(self, X, y=None):
        """Train for as many epochs as a default `DIMTransformer`."""
        samples = channels_first(X, self.channel_axis)
        mean, scale, _ = channel_statistics(samples)
        wide = (-1, *[1] * (samples.ndim - 2))
        self.mean_, self.scale_ = mean.reshape(wide), scale.reshape(wide)
        torch.manual_seed(self.random_state)
        shape = samples.shape[1:]
        modality = modality_of(shape)
        self.encoder_ = ENCODERS[modality.encoder](shape, self.n_components)
        adapt(self.encoder_, self._standardize(samples[:1000]))
        n_values = math.prod(shape)
        decoder = nn.Sequential(
            nn.Linear(self.n_components, self.n_hidden),
            nn.GELU(),
            nn.Linear(self.n_hidden, n_values),
        )
        parameters = [*self.encoder_.parameters(), *decoder.parameters()]
        n_batches = max(1, len(samples) // BATCH_SIZE)
        n_shown = modality.count_shown(shape[1:])
        n_epochs = int(min(3 + math.ceil(n_shown / len(samples)), modality.max_epochs))
        n_steps = n_epochs * n_batches
        optimizer = torch.optim.AdamW(parameters, lr=2e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, n_steps, pct_start=0.1)

        def step(indices: np.ndarray) -> Terms:
            batch = self._standardize(samples[indices])
            error = (decoder(self.encoder_(batch).code) - batch.flatten(1)).square().mean()
            backward_and_step(optimizer, error)
            return {"reconstruction": error}

        self.encoder_.train()
        for epoch in range(n_epochs):
            rng = np.random.default_rng([self.random_state, epoch * n_batches])
            batches = np.array_split(rng.permutation(len(samples)), n_batches)
            run_epoch(
                ((indices,) for indices in batches),
                n_batches,
                step,
                before_step=lambda i, batch: True,
                after_step=lambda batch, terms: schedule.step(),
            )
        self.encoder_.eval()
        codes = self._encode(samples)
        self.code_mean_, self.code_scale_ = codes.mean(0), codes.std(0) + 1e-6
        return self

    def transform(self, X):
        """Return codes of shape (n, n_components)."""
        codes = self._encode(channels_first(X, self.channel_axis))
        return (codes - self.code_mean_) / self.code_scale_

    @torch.no_grad()
    def _encode(self, samples: np.ndarray) -> np.ndarray:
        starts = range(0, len(samples), 256)
        parts = [self.encoder_(self._standardize(samples[i : i + 256])).code for i in starts]
        return torch.cat(parts).numpy()

    def _standardize(self, samples: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(((samples - self.mean_) / self.scale_).astype(np.float32))
