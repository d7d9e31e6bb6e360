"""The encoders of the paper's experiments, with the layers of its authors' code.

Convolutions have no bias and are followed by batch normalisation and ReLU. Fully connected layers
of the same kind come next; the code is a plain linear layer. Each docstring gives the image size
that a network was designed for. Other sizes work if the last map is not empty.
"""

import math
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skdim.encoders.contract import Encoding, as_local_map, evaluating


class Conv(NamedTuple):
    """A convolution, batch normalisation, ReLU and, if ``pool``, max-pooling of 3 with stride 2.

    ``dropout`` drops whole channels before the normalisation. ``deviation`` is the standard
    deviation of normally distributed initial weights; None leaves them as torch draws them.
    """

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    pool: bool = False
    dropout: float = 0.0
    deviation: float | None = None

    def build(self, n_in: int, scale: float) -> tuple[nn.Module, int]:
        """Return the layer and its number of channels."""
        n_out = _scaled(self.channels, scale)
        convolution, normalization = _convolve(n_in, n_out, *self[1:4])
        _draw_weights(convolution, self.deviation)
        dropout = [nn.Dropout2d(self.dropout)] if self.dropout else []
        layers = [convolution, *dropout, normalization, nn.ReLU()]
        if self.pool:
            layers.append(nn.MaxPool2d(3, 2))
        return nn.Sequential(*layers), n_out


class Bottlenecks(NamedTuple):
    """A sequence of residual blocks; the first may halve the map."""

    channels: int
    out_channels: int
    stride: int = 1
    repeat: int = 1

    def build(self, n_in: int, scale: float) -> tuple[nn.Module, int]:
        """Return the blocks and their number of channels."""
        n_inner, n_out = _scaled(self.channels, scale), _scaled(self.out_channels, scale)
        blocks = [Bottleneck(n_in, n_inner, n_out, self.stride)]
        blocks += [Bottleneck(n_out, n_inner, n_out, 1) for _ in range(self.repeat - 1)]
        return nn.Sequential(*blocks), n_out


class Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3, 1x1 with a shortcut, activated after the sum."""

    def __init__(self, n_in: int, n_inner: int, n_out: int, stride: int):
        super().__init__()
        self.stride = stride
        self.residual = nn.Sequential(
            *_convolve(n_in, n_inner, 1),
            nn.ReLU(),
            *_convolve(n_inner, n_inner, 3, stride, 1),
            nn.ReLU(),
            *_convolve(n_inner, n_out, 1),
        )
        is_same = n_in == n_out and stride == 1
        self.shortcut = nn.Identity() if is_same else nn.Sequential(*_convolve(n_in, n_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_in, height, width) to (n, n_out, ...)."""
        # Not a stride of the convolution: with fewer channels than a vector register holds, oneDNN
        # would then write beyond its memory in the backward pass (issue 6035).
        every_other = x[:, :, :: self.stride, :: self.stride]
        return (self.residual(x) + self.shortcut(every_other)).relu()


class OnCrops(NamedTuple):
    """Layers that see each crop of an image separately; each crop gives one location of the map.

    Neighbouring crops overlap by half. A location has no information from outside its crop.
    """

    size: int
    layers: tuple[Conv | Bottlenecks, ...]

    def build(self, n_in: int, scale: float) -> tuple[nn.Module, int]:
        """Return the layers and their number of channels."""
        modules, n_channels = [], n_in
        for layer in self.layers:
            module, n_channels = layer.build(n_channels, scale)
            modules.append(module)
        return CropLayers(self.size, nn.Sequential(*modules)), n_channels


class CropLayers(nn.Module):
    """Run layers on every crop, and arrange the results as a map."""

    def __init__(self, size: int, layers: nn.Module):
        super().__init__()
        self.size = size
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_in, height, width) to (n, n_out, n_rows, n_columns): a vector for each crop."""
        size, step = self.size, self.size // 2
        crops = x.unfold(2, size, step).unfold(3, size, step)  # (n, n_in, rows, columns, ...)
        n, _, n_rows, n_columns, *_ = crops.shape
        crops = crops.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)  # (n * rows * columns, n_in, ...)
        vectors = self.layers(crops).flatten(1)  # (n * rows * columns, n_out)
        return vectors.unflatten(0, (n, n_rows, n_columns)).permute(0, 3, 1, 2)


class PaperEncoder(nn.Module):
    """Base class of networks that are defined by their layers.

    Parameters
    ----------
    sample_shape : tuple (channels, height, width)
    n_components : int or None, 64 in the paper
        Length of the code; None makes the last hidden layer the code.
    scale : float, default=1.0
        Factor on the number of channels and units of every layer, for smaller networks.
    local_layer : int or None, default=None
        Position in ``layers`` of the convolution whose map is the local map. None is the paper's
        choice for DIM(L). -1 is the last convolution, which the paper's DIM(G) compares with the
        code.

    References
    ----------
    Hjelm et al., ICLR 2019, and its authors' code.
    """

    layers: tuple[Conv | Bottlenecks | OnCrops, ...]
    n_hidden: tuple[int, ...] = (1024,)
    dropout: float = 0.0  # of hidden units
    deviation: float | None = None  # of the initial weights of hidden layers, as in `Conv`
    local_layer: int

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        n_components: int | None,
        scale: float = 1.0,
        local_layer: int | None = None,
    ):
        super().__init__()
        if len(sample_shape) != 3:
            raise ValueError(
                f"{type(self).__name__} needs images. "
                f"Got samples of shape {tuple(sample_shape)} (channels first)."
            )
        if not (isinstance(scale, int | float) and 0 < scale < math.inf):
            raise ValueError(f"'scale' must be a number above 0. Got {scale!r}.")
        if local_layer is not None:
            self.local_layer = _check_position(local_layer, len(self.layers), type(self).__name__)
        n_channels = sample_shape[0]
        self.convolutions = nn.ModuleList()
        for layer in self.layers:
            module, n_channels = layer.build(n_channels, scale)
            self.convolutions.append(module)
        n_units = self._count_flat(sample_shape)
        self.hidden = nn.Sequential()
        for n_hidden in self.n_hidden:
            n_out = _scaled(n_hidden, scale)
            linear = nn.Linear(n_units, n_out, bias=False)
            _draw_weights(linear, self.deviation)
            dropout = [nn.Dropout(self.dropout)] if self.dropout else []
            self.hidden.extend([linear, *dropout, nn.BatchNorm1d(n_out), nn.ReLU()])
            n_units = n_out
        self.code = nn.Identity() if n_components is None else nn.Linear(n_units, n_components)

    def forward(self, x: Tensor) -> Encoding:
        """Encode images of shape (n, channels, height, width)."""
        local_map, top = self.run_convolutions(x)
        hidden = self.hidden(top.flatten(1))
        return Encoding(self.code(hidden), hidden, (local_map,))

    def run_convolutions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the local map (n, n_locations, n_channels) and the last map (n, channels, ...)."""
        for i, layer in enumerate(self.convolutions):
            x = layer(x)
            if i == self.local_layer:
                local_map = as_local_map(x)
        return local_map, x

    @torch.no_grad()
    def _count_flat(self, sample_shape: tuple[int, ...]) -> int:
        # A real sample: for a convolution of meta tensors, torch would import its compiler.
        x = torch.zeros(1, *sample_shape, device=next(self.convolutions.parameters()).device)
        try:
            with evaluating(self.convolutions):
                _, x = self.run_convolutions(x)
        except RuntimeError:
            raise ValueError(
                f"Images of shape {tuple(sample_shape)} (channels first) are too small for "
                f"{type(self).__name__}."
            ) from None
        return x.numel()


class Paper28(PaperEncoder):
    """For 28 x 28 pixels (MNIST); local map 128 x 7 x 7."""

    layers = (Conv(64, 5, 2, 2), Conv(128, 5, 2, 2))
    local_layer = 1


class Paper32(PaperEncoder):
    """For 32 x 32 pixels (CIFAR-10 and CIFAR-100); local map 128 x 8 x 8."""

    layers = (Conv(64, 4, 2, 1), Conv(128, 4, 2, 1), Conv(256, 4, 2, 1))
    local_layer = 1


class Paper64(PaperEncoder):
    """For 64 x 64 pixels; local map 256 x 8 x 8."""

    layers = (Conv(64, 4, 2, 1), Conv(128, 4, 2, 1), Conv(256, 4, 2, 1), Conv(512, 4, 2, 1))
    local_layer = 2


class PaperAlexNet64(PaperEncoder):
    """For 64 x 64 pixels (STL-10 and Tiny ImageNet); local map 384 x 15 x 15."""

    layers = (
        Conv(96, 3, 1, 1, pool=True),
        Conv(192, 3, 1, 1, pool=True),
        Conv(384, 3, 1, 1),
        Conv(384, 3, 1, 1),
        Conv(192, 3, 1, 1, pool=True),
    )
    n_hidden = (4096, 4096)
    local_layer = 2


class PaperResNet19(PaperEncoder):
    """Bottleneck network for 32 x 32 pixels; local map 512 x 8 x 8."""

    layers = (
        Conv(64, 3, 2, 1),
        Bottlenecks(64, 256, repeat=2),
        Bottlenecks(128, 512, stride=2),
        Bottlenecks(128, 512),
        Bottlenecks(256, 1024, stride=2),
        Bottlenecks(256, 1024),
    )
    local_layer = 2


class PaperResNet34(PaperEncoder):
    """Deeper bottleneck network for 32 x 32 pixels; local map 512 x 8 x 8."""

    layers = (
        Conv(64, 3, 2, 1),
        Bottlenecks(64, 256, repeat=3),
        Bottlenecks(128, 512, stride=2),
        Bottlenecks(128, 512, repeat=5),
        Bottlenecks(256, 1024, stride=2),
        Bottlenecks(256, 1024, repeat=2),
    )
    local_layer = 2


class PaperCropsAlexNet64(PaperEncoder):
    """For 64 x 64 pixels, in crops of 16 x 16, for comparison with CPC; local map 192 x 7 x 7."""

    layers = (
        OnCrops(16, tuple(conv._replace(deviation=0.02) for conv in PaperAlexNet64.layers)),
        Conv(384, 3, 2, 0, dropout=0.1),
    )
    n_hidden = (4096,)
    dropout = 0.1
    deviation = 0.02
    local_layer = 0


class PaperCropsResNet19(PaperEncoder):
    """For 32 x 32 pixels, in crops of 8 x 8, for comparison with CPC; local map 1024 x 7 x 7."""

    layers = (OnCrops(8, PaperResNet19.layers),)
    local_layer = 0


class SeveralGlobals(PaperEncoder):
    """Base class of networks with one global code for every 3 x 3 window of the local map.

    Training draws one of them for each sample and step. The hidden layer is the mean of the last
    map over its locations, and the code is the mean of the global codes.
    """

    n_hidden = ()

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        n_components: int | None,
        scale: float = 1.0,
        local_layer: int | None = None,
    ):
        super().__init__(sample_shape, None, scale, local_layer)
        last = self.layers[-1]
        n_channels = _scaled(last.channels, scale)  # type: ignore[union-attr]  # a convolution
        self.code = nn.Identity() if n_components is None else nn.Linear(n_channels, n_components)

    def forward(self, x: Tensor) -> Encoding:
        """Encode images of shape (n, channels, height, width)."""
        local_map, top = self.run_convolutions(x)
        windows = as_local_map(top)  # (n, n_globals, n_channels)
        global_codes = self.code(windows)
        return Encoding(global_codes.mean(1), windows.mean(1), (local_map,), global_codes)


class PaperGlobalsAlexNet64(SeveralGlobals):
    """`PaperCropsAlexNet64` with 25 global codes; local map 192 x 7 x 7."""

    layers = (OnCrops(16, PaperAlexNet64.layers), Conv(192, 3), Conv(192, 1))
    local_layer = 0


class PaperGlobalsResNet19(SeveralGlobals):
    """`PaperCropsResNet19` with 25 global codes; local map 1024 x 7 x 7."""

    layers = (OnCrops(8, PaperResNet19.layers), Conv(1024, 3), Conv(1024, 1))
    local_layer = 0


def _convolve(n_in: int, n_out: int, kernel: int, stride: int = 1, padding: int = 0) -> list:
    return [
        nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(n_out),
    ]


def _draw_weights(layer: nn.Module, deviation: float | None) -> None:
    if deviation is not None:
        nn.init.normal_(layer.weight, std=deviation)  # type: ignore[arg-type]  # a tensor


def _check_position(layer: int, n_layers: int, name: str) -> int:
    """Return a position counted from the front; raise ValueError if there is no such layer."""
    if not isinstance(layer, Integral) or not -n_layers <= layer < n_layers:
        raise ValueError(
            f"'local_layer' must be None or the position of one of the {n_layers} layers of "
            f"{name}, from {-n_layers} to {n_layers - 1}. Got {layer!r}."
        )
    return int(layer) % n_layers


def _scaled(number: int, scale: float) -> int:
    return max(1, round(number * scale))
