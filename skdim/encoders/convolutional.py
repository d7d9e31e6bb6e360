"""Convolutional encoders for images and volumes of any size, plain and residual."""

from torch import Tensor, nn
from torch.nn import functional

from skdim.encoders.contract import Encoding, as_local_map, normalized_code

# Number of sides of a sample: 2 for images, 3 for volumes.
CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLS = {2: functional.adaptive_avg_pool2d, 3: functional.adaptive_avg_pool3d}


class ConvEncoder(nn.Module):
    """Strided convolutions down to a small map, a hidden layer, a linear code.

    Every level halves the sample until its shortest side is 4 to 7, so that 8 x 8 digits and
    64 x 64 photographs end in maps of about the same size.

    Parameters
    ----------
    sample_shape : tuple (channels, height, width) or (channels, depth, height, width)
        All sides at least 8.
    n_components : int or None
        Length of the code; None makes the hidden layer the code.
    width : int, default=32
        Channels of the first layer; every level doubles them.
    n_hidden : int, default=512
        Units of the hidden layer.
    local_size : int, default=4
        The local map is the last one whose shortest side is at least this.
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
        if len(sides) not in CONVOLUTIONS or min(sides) < 8:
            raise ValueError(
                "The convolutional encoder needs images or volumes of at least 8 on every side. "
                f"Got samples of shape {tuple(sample_shape)} (channels first). If they are "
                "signals or rows, say so with the 'channel_axis' parameter."
            )
        self.n_sides = len(sides)
        # The stem keeps the resolution of small images, which have none to lose.
        stride = 1 if min(sides) < 16 else 2
        n_channels = width * stride
        self.levels = nn.ModuleList([_convolve(self.n_sides, channels, n_channels, stride)])
        side = min(sides) // stride
        self.local_level = 0
        while side >= 8:
            self.levels.append(self.make_level(n_channels, 2 * n_channels, stride=2))
            n_channels, side = 2 * n_channels, side // 2
            if side >= local_size:
                self.local_level = len(self.levels) - 1
        self.levels.append(self.make_level(n_channels, 2 * n_channels, stride=1))
        n_flat = 2 * n_channels * 2**self.n_sides
        self.hidden = nn.Sequential(
            nn.Linear(n_flat, n_hidden, bias=False), nn.BatchNorm1d(n_hidden), nn.GELU()
        )
        self.code = normalized_code(n_hidden, n_components)

    def make_level(self, n_in: int, n_out: int, stride: int) -> nn.Module:
        """One convolution, normalised and activated."""
        return _convolve(self.n_sides, n_in, n_out, stride)

    def forward(self, x: Tensor) -> Encoding:
        """Encode samples of shape (n, *sample_shape)."""
        for level, layer in enumerate(self.levels):
            x = layer(x)
            if level == self.local_level:
                local_map = as_local_map(x)  # (n, n_locations, n_channels)
        hidden = self.hidden(POOLS[self.n_sides](x, 2).flatten(1))
        return Encoding(self.code(hidden), hidden, (local_map,))


class ResidualEncoder(ConvEncoder):
    """The convolutional encoder with a residual block at every level: deeper, slower.

    Parameters
    ----------
    sample_shape, n_components, width, n_hidden, local_size
        As in `ConvEncoder`.

    References
    ----------
    He et al., "Deep residual learning for image recognition", CVPR 2016.
    """

    def make_level(self, n_in: int, n_out: int, stride: int) -> nn.Module:
        """Two convolutions beside a shortcut."""
        return _ResidualBlock(self.n_sides, n_in, n_out, stride)


class _ResidualBlock(nn.Module):
    def __init__(self, n_sides: int, n_in: int, n_out: int, stride: int):
        super().__init__()
        convolution, batch_norm = CONVOLUTIONS[n_sides], BATCH_NORMS[n_sides]
        self.first = _convolve(n_sides, n_in, n_out, stride)
        last_norm = batch_norm(n_out)
        # A block starts as its shortcut, so that depth costs nothing at first.
        nn.init.zeros_(last_norm.weight)
        self.second = nn.Sequential(convolution(n_out, n_out, 3, padding=1, bias=False), last_norm)
        self.shortcut = nn.Sequential(
            convolution(n_in, n_out, stride, stride, bias=False), batch_norm(n_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        residual = self.second(self.first(x))
        return functional.gelu(residual + self.shortcut(x))


def _convolve(n_sides: int, n_in: int, n_out: int, stride: int) -> nn.Sequential:
    kernel = 3 if stride == 1 else 4
    return nn.Sequential(
        CONVOLUTIONS[n_sides](n_in, n_out, kernel, stride, padding=1, bias=False),
        BATCH_NORMS[n_sides](n_out),
        nn.GELU(),
    )
