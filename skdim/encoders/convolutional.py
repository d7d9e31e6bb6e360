"""Convolutional encoders for images and volumes of any size, plain and residual."""

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
from skdim.encoders.patches import PatchBank, principal_patches, take_patches
from skdim.encoders.pooling import MaxPool3d, average_parts

# Keyed by the number of sides of a sample: 2 for images, 3 for volumes.
CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}
CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL_LAYERS = {2: nn.MaxPool2d, 3: MaxPool3d}

# Fixed patches need a shortest side of at least this many pixels. Beyond this number of channels,
# whitening them would be slow.
MIN_PATCHED_SIDE, MAX_PATCHED_CHANNELS = 16, 8


class WhiteningStem(nn.Module):
    """Principal components of small patches, each with both signs, scaled to equal variance.

    The filters are random until `adapt` is called. There are at most ``max_filters`` output
    channels; components of small variance are dropped first.

    References
    ----------
    Coates, Lee, Ng, "An analysis of single-layer networks in unsupervised feature learning",
    AISTATS 2011. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024.
    """

    def __init__(self, n_sides: int, n_channels: int, patch: int, stride: int, max_filters: int):
        super().__init__()
        self.n_sides, self.patch, self.stride = n_sides, patch, stride
        self.padding = (patch - stride + 1) // 2
        n_inputs = n_channels * patch**n_sides
        self.n_kept = min(n_inputs, max(1, max_filters // 2))
        self.n_filters = 2 * self.n_kept
        self.filters: Tensor
        filters = torch.empty(self.n_kept, n_channels, *[patch] * n_sides)
        self.register_buffer("filters", filters.normal_(std=n_inputs**-0.5))

    @torch.no_grad()
    def adapt(self, samples: Tensor, n_patches: int = 100_000, regularization: float = 0.01):
        """Compute the filters from about ``n_patches`` patches of samples (n, n_channels, *sides).

        ``regularization`` is added to the variance of every component, as a fraction of the mean
        variance.
        """
        patches = take_patches(samples, self.patch, n_patches)
        components, scale = principal_patches(patches, regularization)
        filters = (components / scale).T[: self.n_kept]
        self.filters.copy_(filters.reshape(self.filters.shape))

    def forward(self, x: Tensor) -> Tensor:
        """Filter samples (n, n_channels, *sides) to maps (n, n_filters, *sides / stride)."""
        response = CONVOLVE[self.n_sides](x, self.filters, stride=self.stride, padding=self.padding)
        return torch.cat([response, -response], 1)


class ConvEncoder(nn.Module):
    """A whitening layer, convolutions with pooling, a hidden layer and a code.

    Every level halves the sides of the map until the shortest side is 4 to 7. Digits of 8 x 8 and
    photographs of 64 x 64 pixels thus end in maps of about the same size. The hidden layer sees the
    last map, averaged over each half of every side. The first layer is not trained but computed
    from the samples; see `WhiteningStem`. If images have at least 16 pixels on every side, their
    features include responses to fixed patches; see `skdim.encoders.patches.PatchBank`.

    Parameters
    ----------
    sample_shape : tuple (channels, height, width) or (channels, depth, height, width)
        All sides are at least 8.
    n_components : int or None
        Length of the code; None makes the hidden layer the code.
    width : int, default=128
        Number of channels of the first trained level. Each further level doubles it.
    depth : int, default=0
        Number of convolutions after the last local map.
    n_hidden : int, default=1024
        Units of the hidden layer.
    reads_map : bool, default=True
        Whether features include what the hidden layer sees of the last map.
    max_filters : int, default=96
        Largest number of channels of the first layer.
    n_local_maps : int, default=1
        How many of the last levels give a local map.
    n_patches : int, default=200
        Number of fixed patches. Volumes, smaller images and images of more than 8 channels have
        none.
    n_slow : int, default=64
        Number of features of each of 16 parts of an image, learned from the responses to the fixed
        patches: those that neighbouring places share most. At most ``n_patches``. 0 takes the
        responses themselves, in each quarter of the image.
    """

    takes_any_size = True

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        n_components: int | None,
        width: int = 128,
        depth: int = 0,
        n_hidden: int = 1024,
        reads_map: bool = True,
        max_filters: int = 96,
        n_local_maps: int = 1,
        n_patches: int = 200,
        n_slow: int = 64,
    ):
        super().__init__()
        channels, *sides = sample_shape
        if len(sides) not in CONVOLUTIONS or min(sides) < 8:
            raise ValueError(
                "The convolutional encoder needs images or volumes of at least 8 on every side. "
                f"Got samples of shape {tuple(sample_shape)} (channels first). If they are "
                "signals or rows, say so with the 'channel_axis' parameter."
            )
        check_sizes(width=width, n_hidden=n_hidden, max_filters=max_filters)
        check_sizes(lowest=0, depth=depth, n_patches=n_patches, n_slow=n_slow)
        check_sizes(n_local_maps=n_local_maps)
        self.n_sides = len(sides)
        # The stem keeps the resolution of small images.
        stride, patch = (1, 3) if min(sides) < 16 else (2, 4)
        self.stem = WhiteningStem(self.n_sides, channels, patch, stride, max_filters)
        n_channels = self.stem.n_filters
        side, n_out = min(sides) // stride, width
        self.levels = nn.ModuleList()
        while side >= 8:
            self.levels.append(self.make_level(n_channels, n_out, POOL_LAYERS[self.n_sides](2)))
            n_channels, n_out, side = n_out, 2 * n_out, side // 2
        n_levels = len(self.levels)
        if not 1 <= n_local_maps <= n_levels:
            raise ValueError(
                f"'n_local_maps' must be 1 to {n_levels}, the number of levels for samples of "
                f"shape {tuple(sample_shape)} (channels first). Got {n_local_maps}."
            )
        self.local_levels = range(n_levels - n_local_maps, n_levels)
        for _ in range(depth):
            self.levels.append(self.make_level(n_channels, n_channels, nn.Identity()))
        n_flat = n_channels * 2**self.n_sides
        self.hidden = hidden_layer(n_flat, n_hidden)
        self.reads_map = reads_map
        self.code = normalized_code(n_hidden, n_components)
        has_room = len(sides) == 2 and min(sides) >= MIN_PATCHED_SIDE
        has_patches = has_room and sample_shape[0] <= MAX_PATCHED_CHANNELS and n_patches > 0
        self.bank = PatchBank(sample_shape, n_patches, n_slow) if has_patches else None

    def adapt(self, samples: Tensor) -> None:
        """Compute the first layer and the fixed patches from samples (n, *sample_shape)."""
        self.stem.adapt(samples)
        if self.bank is not None:
            self.bank.adapt(samples)

    def fixed_features(self, x: Tensor) -> Tensor:
        """Return features (n, n_fixed) of the responses to fixed patches."""
        return x.new_zeros(len(x), 0) if self.bank is None else self.bank(x)

    def make_level(self, n_in: int, n_out: int, pool: nn.Module) -> nn.Module:
        """Return a convolution, followed by pooling, normalisation and activation."""
        return nn.Sequential(
            _convolve(self.n_sides, n_in, n_out), pool, _normalize(self.n_sides, n_out)
        )

    def forward(self, x: Tensor) -> Encoding:
        """Encode samples of shape (n, *sample_shape)."""
        x = functional.gelu(self.stem(x))  # whitened, so that it needs no normalisation
        local_maps = []
        for level, layer in enumerate(self.levels):
            x = layer(x)
            if level in self.local_levels:
                local_maps.append(as_local_map(x))  # (n, n_locations, n_channels)
        parts = average_parts(x, 2).flatten(1)  # (n, 2**n_sides * n_channels)
        hidden = self.hidden(parts)
        features = torch.cat([hidden, parts], 1) if self.reads_map else hidden
        return Encoding(self.code(hidden), features, tuple(local_maps))


class ResidualEncoder(ConvEncoder):
    """The convolutional encoder with a residual block after every level: deeper and slower.

    Parameters
    ----------
    sample_shape, n_components, width, depth, n_hidden, reads_map
        As in `ConvEncoder`.
    max_filters, n_local_maps, n_patches, n_slow
        As in `ConvEncoder`.

    References
    ----------
    He et al., "Deep residual learning for image recognition", CVPR 2016.
    """

    def make_level(self, n_in: int, n_out: int, pool: nn.Module) -> nn.Module:
        """Return a level, followed by two convolutions with a shortcut."""
        return nn.Sequential(super().make_level(n_in, n_out, pool), _Residual(self.n_sides, n_out))


class _Residual(nn.Module):
    def __init__(self, n_sides: int, n_channels: int):
        super().__init__()
        last_norm = BATCH_NORMS[n_sides](n_channels)
        # At the start, the block returns its shortcut alone.
        nn.init.zeros_(last_norm.weight)
        self.residual = nn.Sequential(
            _convolve(n_sides, n_channels, n_channels),
            _normalize(n_sides, n_channels),
            _convolve(n_sides, n_channels, n_channels),
            last_norm,
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(x + self.residual(x))


def _convolve(n_sides: int, n_in: int, n_out: int) -> nn.Module:
    return CONVOLUTIONS[n_sides](n_in, n_out, 3, padding=1, bias=False)


def _normalize(n_sides: int, n_channels: int) -> nn.Module:
    return nn.Sequential(BATCH_NORMS[n_sides](n_channels), nn.GELU())
