"""Encoders turn a batch of samples into codes and the local maps they are compared with.

An encoder is an ``nn.Module`` class built as ``Encoder(sample_shape, n_components,
**encoder_params)`` and called on a batch of shape (n, *sample_shape), channels first; it returns
an `Encoding`. Write one, list it in `ENCODERS`, and it is a legal ``encoder``; to make it the
default of a modality, name it in `DEFAULT_ENCODERS`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Encoding(NamedTuple):
    """What an encoder says of a batch.

    Attributes
    ----------
    code : Tensor of shape (n, n_components)
    hidden : Tensor of shape (n, n_hidden)
        The layer before the code.
    local_maps : tuple of Tensor of shape (n, n_locations, n_channels)
        One for each tapped layer: spatial axes flattened, channels last.
    """

    code: Tensor
    hidden: Tensor
    local_maps: tuple[Tensor, ...]


class ConvEncoder(nn.Module):
    """Strided convolutions down to a small map, a hidden layer, a linear code.

    Every level halves the image until its shorter side is 4 to 7 pixels, so that 8 x 8 digits
    and 64 x 64 photographs end in maps of about the same size.

    Parameters
    ----------
    sample_shape : tuple (channels, height, width)
        Both sides at least 8.
    n_components : int or None
        Length of the code; None makes the hidden layer the code.
    width : int, default=32
        Channels of the first layer; every level doubles them.
    n_hidden : int, default=512
        Units of the hidden layer.
    local_size : int, default=4
        The local map is the last one whose shorter side is at least this.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        n_components: int | None,
        width: int = 32,
        n_hidden: int = 512,
        local_size: int = 4,
    ):
        super().__init__()
        channels, *sides = sample_shape
        if len(sides) != 2 or min(sides) < 8:
            raise ValueError(
                "The convolutional encoder needs images of at least 8 x 8 pixels. "
                f"Got samples of shape {tuple(sample_shape)} (channels first)."
            )
        # The stem keeps the resolution of small images, which have none to lose.
        stride = 1 if min(sides) < 16 else 2
        n_channels = width * stride
        self.levels = nn.ModuleList([_conv(channels, n_channels, stride)])
        side = min(sides) // stride
        self.local_level = 0
        while side >= 8:
            self.levels.append(_conv(n_channels, 2 * n_channels, 2))
            n_channels, side = 2 * n_channels, side // 2
            if side >= local_size:
                self.local_level = len(self.levels) - 1
        self.levels.append(_conv(n_channels, 2 * n_channels, 1))
        n_flat = 2 * n_channels * 4
        self.hidden = nn.Sequential(
            nn.Linear(n_flat, n_hidden, bias=False), nn.BatchNorm1d(n_hidden), nn.GELU()
        )
        self.code = _code(n_hidden, n_components)

    def forward(self, x: Tensor) -> Encoding:
        """Encode images of shape (n, channels, height, width)."""
        for level, layer in enumerate(self.levels):
            x = layer(x)
            if level == self.local_level:
                local_map = x.flatten(2).transpose(1, 2)  # (n, n_locations, n_channels)
        hidden = self.hidden(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))
        return Encoding(self.code(hidden), hidden, (local_map,))


def _conv(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    kernel = 3 if stride == 1 else 4
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.GELU(),
    )


class MLPEncoder(nn.Module):
    """Two hidden layers over all columns; the locations are columns, or groups of them.

    Parameters
    ----------
    sample_shape : tuple (n_columns,)
    n_components : int or None
        Length of the code; None makes the hidden layer the code.
    width : int, default=512
        Units of the first layer.
    n_hidden : int, default=256
        Units of the second.
    max_locations : int, default=32
        Tables with more columns than this have neighbours share a location.
    n_local_channels : int, default=64
        Length of the local vector made of each location's columns.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        n_components: int | None,
        width: int = 512,
        n_hidden: int = 256,
        max_locations: int = 32,
        n_local_channels: int = 64,
    ):
        super().__init__()
        if len(sample_shape) != 1:
            raise ValueError(
                "The encoder for rows needs samples of one axis, their columns. "
                f"Got samples of shape {tuple(sample_shape)} (channels first)."
            )
        (n_columns,) = sample_shape
        self.group_size = math.ceil(n_columns / max_locations)
        n_locations = math.ceil(n_columns / self.group_size)
        self.n_padding = n_locations * self.group_size - n_columns
        bound = 1 / math.sqrt(self.group_size)
        shape = (n_locations, self.group_size, n_local_channels)
        self.token_weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.token_bias = nn.Parameter(torch.empty(n_locations, shape[-1]).uniform_(-bound, bound))
        self.hidden = nn.Sequential(
            nn.Linear(n_columns, width, bias=False),
            nn.BatchNorm1d(width),
            nn.GELU(),
            nn.Linear(width, n_hidden, bias=False),
            nn.BatchNorm1d(n_hidden),
            nn.GELU(),
        )
        self.code = _code(n_hidden, n_components)

    def forward(self, x: Tensor) -> Encoding:
        """Encode rows of shape (n, n_columns)."""
        groups = nn.functional.pad(x, (0, self.n_padding)).unflatten(1, (-1, self.group_size))
        tokens = torch.einsum("nls,lsc->nlc", groups, self.token_weight) + self.token_bias
        hidden = self.hidden(x)
        return Encoding(self.code(hidden), hidden, (nn.functional.gelu(tokens),))


def _code(n_hidden: int, n_components: int | None) -> nn.Module:
    if n_components is None:
        return nn.Identity()
    return nn.Sequential(
        nn.Linear(n_hidden, n_components, bias=False), nn.BatchNorm1d(n_components)
    )


ENCODERS: dict[str, type[nn.Module]] = {"conv": ConvEncoder, "mlp": MLPEncoder}

# Number of axes of a sample, channels included, to the encoder that ``encoder="auto"`` means.
DEFAULT_ENCODERS: dict[int, str] = {1: "mlp", 3: "conv"}


def encode(encoder: nn.Module, x: Tensor) -> Encoding:
    """Run an encoder and hold its answer against the contract.

    Raises
    ------
    TypeError
        If the encoder does not return (code, hidden, local_maps) of the shapes that
        `Encoding` names.
    """
    encoding = encoder(x)
    n = len(x)
    try:
        code, hidden, local_maps = encoding
        shapes = [tuple(code.shape), tuple(hidden.shape), *(tuple(m.shape) for m in local_maps)]
    except (TypeError, ValueError, AttributeError):
        shapes = None
    if (
        shapes is None
        or [len(shape) for shape in shapes] != [2, 2] + [3] * (len(shapes) - 2)
        or any(shape[0] != n for shape in shapes)
        or len(shapes) < 3
    ):
        raise TypeError(
            f"The encoder {type(encoder).__name__} must return a code of shape (n, n_components), "
            "a hidden layer of shape (n, n_hidden) and a tuple of local maps of shape "
            f"(n, n_locations, n_channels), with n = {n}. Got "
            f"{shapes if shapes is not None else type(encoding).__name__} instead."
        )
    return Encoding(*encoding)
