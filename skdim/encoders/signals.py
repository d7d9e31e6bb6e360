"""The encoder for signals: one time axis and any number of channels."""

import torch
from torch import Tensor, nn

from skdim.encoders.contract import (
    Encoding,
    as_local_map,
    check_sizes,
    hidden_layer,
    normalized_code,
)
from skdim.encoders.kernels import KernelBank
from skdim.encoders.pooling import average_parts, largest_of_parts


class SignalEncoder(nn.Module):
    """Three convolutions, a hidden layer and a linear code, next to a bank of fixed kernels.

    The convolutions end at 16 to 31 locations. The hidden layer sees the mean and the maximum of
    each quarter of the signal. Features include the shares of time that the bank computes. The bank
    is not trained.

    Parameters
    ----------
    sample_shape : tuple (channels, length)
        The length is at least 4.
    n_components : int or None
        Length of the code; None makes the hidden layer the code.
    width : int, default=32
        Channels of the first layer; the second has twice, the third four times as many.
    n_hidden : int, default=512
        Trained units of the hidden layer.
    n_thresholds : int, default=5
        Number of thresholds of each of the 84 fixed kernels at each dilation; see
        `skdim.encoders.kernels.KernelBank`. 0 omits the bank.
    allow_nan : bool, default=False
        Whether signals may end in NaN. Locations are then spread over each signal's own length.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        n_components: int | None,
        width: int = 32,
        n_hidden: int = 512,
        n_thresholds: int = 5,
        allow_nan: bool = False,
    ):
        super().__init__()
        if len(sample_shape) != 2 or sample_shape[1] < 4:
            raise ValueError(
                "The encoder for signals needs samples of channels and at least 4 points in time. "
                f"Got samples of shape {tuple(sample_shape)} (channels first)."
            )
        check_sizes(width=width, n_hidden=n_hidden)
        check_sizes(lowest=0, n_thresholds=n_thresholds)
        channels, length = sample_shape
        self.layers = convolutions(channels, length, width)
        self.hidden = hidden_layer(8 * 4 * width, n_hidden)
        self.code = normalized_code(n_hidden, n_components)
        self.bank = KernelBank(sample_shape, n_thresholds)
        self.allow_nan = allow_nan

    def adapt(self, samples: Tensor) -> None:
        """Compute the thresholds of the fixed kernels from samples (n, channels, length)."""
        self.bank.adapt(samples)

    def fixed_features(self, x: Tensor) -> Tensor:
        """Return the shares of time (n, n_fixed) in which responses exceed their thresholds."""
        return self.bank(x)

    def forward(self, x: Tensor) -> Encoding:
        """Encode signals of shape (n, channels, length)."""
        # (n, n_channels, n_locations)
        feature_map = run_until_end(self.layers, x) if self.allow_nan else self.layers(x)
        hidden = self.hidden(pool_quarters(feature_map))
        return Encoding(self.code(hidden), hidden, (as_local_map(feature_map),))


def pool_quarters(feature_map: Tensor) -> Tensor:
    """Mean and maximum of each quarter of a map: (n, 8 * n_channels)."""
    pooled = [average_parts(feature_map, 4), largest_of_parts(feature_map, 4)]
    return torch.cat(pooled, 1).flatten(1)


def convolutions(channels: int, length: int, width: int) -> nn.Sequential:
    """Three convolutions over signals (n, channels, length), each with its norm and activation.

    Their strides end at 16 to 31 locations, or at ``length`` if it is less than 32. The last has
    ``4 * width`` channels.
    """
    n_halvings = max(0, (length // 16).bit_length() - 1)
    layers = []
    for i, kernel in enumerate((9, 5, 3)):
        stride = 2 ** (n_halvings // 3 + (i < n_halvings % 3))
        kernel = max(kernel, 2 * stride - 1)  # large strides skip no point
        n_channels = width * 2**i
        layers += [
            nn.Conv1d(channels, n_channels, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(n_channels),
            nn.GELU(),
        ]
        channels = n_channels
    return nn.Sequential(*layers)


def run_until_end(convolutions: nn.Sequential, x: Tensor) -> Tensor:
    """Compute the last map of signals that may end in NaN, from the points before NaN only."""
    has_ended = x[:, 0].isnan()  # (n, length)
    lengths = (~has_ended).sum(1, keepdim=True)  # (n, 1)
    layers = list(zip(*[iter(convolutions)] * 3, strict=True))
    for convolution, norm, activation in layers:
        x = convolution(x.masked_fill(has_ended[:, None], 0.0))
        stride = convolution.stride[0]
        lengths = (lengths + stride - 1) // stride
        t = torch.arange(x.shape[2], device=x.device)
        has_ended = t >= lengths
        # Padding must not enter the batch's statistics: after its end, a signal is repeated. In
        # the last map, it is spread over all locations.
        is_last = activation is layers[-1][-1]
        times = t * lengths // len(t) if is_last else t % lengths  # (n, length)
        x = activation(norm(x.gather(2, times[:, None].expand(-1, x.shape[1], -1))))
    return x
