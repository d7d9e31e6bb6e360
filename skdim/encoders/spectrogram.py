"""The encoder for signals that are long and oscillate: audio, vibration, EEG, radio."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skdim.encoders.contract import (
    Encoding,
    as_local_map,
    check_sizes,
    hidden_layer,
    normalized_code,
)
from skdim.encoders.signals import convolutions, pool_quarters, run_until_end

# Points in a window: a short one says when, a long one says at which frequency.
WINDOWS = (16, 64)
# Points from one window to the next.
HOP = 32
# Added to the power, of which white noise of variance 1 has 1 in each band.
LEAST_POWER = 1e-3


class Spectrogram(nn.Module):
    """Logarithm of the power in bands of frequency, at two resolutions.

    Windows of 16 and 64 points, weighted by Hann, are centred at every 32nd point; before its start
    and after its end, a signal is 0. A window of w points has w / 2 bands. Each band of each
    channel is standardised once `adapt` was called.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_channels: int):
        super().__init__()
        self.n_bands = n_channels * sum(window // 2 for window in WINDOWS)
        for window in WINDOWS:
            self.register_buffer(f"filters_{window}", _waves(window), persistent=False)
        self.register_buffer("mean", torch.zeros(self.n_bands, 1))
        self.register_buffer("scale", torch.ones(self.n_bands, 1))

    @torch.no_grad()
    def adapt(self, samples: Tensor) -> None:
        """Compute the mean and the scale of each band from samples (n, n_channels, length)."""
        power = self.log_power(samples).transpose(0, 1)  # (n_bands, n, n_frames)
        power = power[:, ~power[0].isnan()]  # (n_bands, many)
        self.mean.copy_(power.mean(1, keepdim=True))
        self.scale.copy_(power.std(1, keepdim=True, correction=0).clamp(min=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        """Map signals (n, n_channels, length) to spectrograms (n, n_bands, n_frames).

        If a signal ends in NaN, so does its spectrogram.
        """
        return (self.log_power(x) - self.mean) / self.scale

    def log_power(self, x: Tensor) -> Tensor:
        """Return the spectrograms (n, n_bands, n_frames) before they are standardised."""
        n_channels, length = (int(side) for side in x.shape[1:])  # numbers, also for the exporter
        n_frames = count_frames(length)
        # The squares of half precision overflow.
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.mean.dtype)
            has_ended = x[:, :1, ::HOP].isnan()  # (n, 1, n_frames)
            signals = x.nan_to_num().reshape(-1, 1, length)
            spectrograms = []
            for window in WINDOWS:
                waves = getattr(self, f"filters_{window}")
                response = functional.conv1d(signals, waves, stride=HOP, padding=window // 2)
                real, imaginary = response[:, :, :n_frames].square().chunk(2, 1)
                power = torch.log(real + imaginary + LEAST_POWER)
                spectrograms.append(power.reshape(-1, n_channels * window // 2, n_frames))
            return torch.cat(spectrograms, 1).masked_fill(has_ended, torch.nan)


def count_frames(length: int) -> int:
    """Number of windows whose centre is in a signal."""
    return -(-length // HOP)


def _waves(window: int) -> Tensor:
    """Cosines and sines of all frequencies but zero, (window, 1, window): first all cosines.

    They are weighted so that white noise of variance 1 has a mean power of 1.
    """
    t = np.arange(window)
    weights = np.hanning(window + 1)[:-1]  # periodic
    weights = weights / np.linalg.norm(weights)
    phases = 2 * math.pi / window * np.arange(1, window // 2 + 1)[:, None]
    waves = np.concatenate([np.cos(phases * t), np.sin(phases * t)]) * weights
    return torch.from_numpy(waves[:, None].astype(np.float32))


class SpectrogramEncoder(nn.Module):
    """Three convolutions over time on a spectrogram, a hidden layer and a linear code.

    The convolutions end at 16 to 31 locations in long signals. The hidden layer sees the mean and
    the maximum of each quarter of the signal, of the spectrogram and of the last convolution.
    Features include those of the spectrogram, which are not trained.

    Parameters
    ----------
    sample_shape : tuple (channels, length)
        The length is at least 64.
    n_components : int or None
        Length of the code; None makes the hidden layer the code.
    width : int, default=64
        Channels of the first layer; the second has twice, the third four times as many.
    n_hidden : int, default=512
        Trained units of the hidden layer.
    allow_nan : bool, default=False
        Whether signals may end in NaN. Locations are then spread over each signal's own length.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        n_components: int | None,
        width: int = 64,
        n_hidden: int = 512,
        allow_nan: bool = False,
    ):
        super().__init__()
        if len(sample_shape) != 2 or sample_shape[1] < max(WINDOWS):
            raise ValueError(
                "The encoder for spectrograms needs samples of channels and at least "
                f"{max(WINDOWS)} points in time. "
                f"Got samples of shape {tuple(sample_shape)} (channels first)."
            )
        check_sizes(width=width, n_hidden=n_hidden)
        n_channels, length = sample_shape
        self.spectrogram = Spectrogram(n_channels)
        n_bands = self.spectrogram.n_bands
        self.layers = convolutions(n_bands, count_frames(length), width)
        self.hidden = hidden_layer(8 * (n_bands + 4 * width), n_hidden)
        self.code = normalized_code(n_hidden, n_components)
        self.allow_nan = allow_nan

    def adapt(self, samples: Tensor) -> None:
        """Standardise the spectrogram by samples (n, channels, length)."""
        self.spectrogram.adapt(samples)

    def fixed_features(self, x: Tensor) -> Tensor:
        """Return mean and maximum of each quarter of the spectrogram, (n, 8 * n_bands)."""
        return self._pool(self.spectrogram(x))

    def forward(self, x: Tensor) -> Encoding:
        """Encode signals of shape (n, channels, length)."""
        spectrogram = self.spectrogram(x)
        if self.allow_nan:
            feature_map = run_until_end(self.layers, spectrogram)
        else:
            feature_map = self.layers(spectrogram)
        quarters = [self._pool(spectrogram), pool_quarters(feature_map)]
        hidden = self.hidden(torch.cat(quarters, 1))
        return Encoding(self.code(hidden), hidden, (as_local_map(feature_map),))

    def _pool(self, spectrogram: Tensor) -> Tensor:
        """Pool a spectrogram (n, n_bands, n_frames), each signal's over its own length."""
        if self.allow_nan:
            n_frames = spectrogram.shape[2]
            lengths = (~spectrogram[:, 0].isnan()).sum(1, keepdim=True)
            times = torch.arange(n_frames, device=spectrogram.device) * lengths // n_frames
            spectrogram = spectrogram.gather(2, times[:, None].expand(spectrogram.shape))
        return pool_quarters(spectrogram)
