"""Networks that take or make images, after DCGAN, for images of any size."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn


class Generator(nn.Module):
    """From codes to images, as a decoder or from noise.

    A linear layer makes a map of 512 x 4 x 4 for 32 x 32 pixels. Each transposed convolution halves
    its channels and doubles its sides, down to 64 channels; a last convolution makes the image.
    For other images the first map has 4 to 7 positions along its shortest side, which sets the
    number of doublings. The result is cropped if a side is not a multiple of two to that number.

    Parameters
    ----------
    n_code : int
    sample_shape : tuple (channels, height, width)
    scale : float, default=1.0
        Factor on the number of channels.

    References
    ----------
    Radford et al., "Unsupervised representation learning with deep convolutional generative
    adversarial networks", ICLR 2016.
    """

    def __init__(self, n_code: int, sample_shape: tuple[int, ...], scale: float = 1.0):
        super().__init__()
        n_channels, *self.sides = check_images(sample_shape, "Generator")
        n_doublings = count_halvings(sample_shape)
        start = [math.ceil(side / 2**n_doublings) for side in self.sides]
        widths = [scaled(64 * 2**i, scale) for i in range(n_doublings, -1, -1)]
        n_values = widths[0] * math.prod(start)
        self.layers = nn.Sequential(
            nn.Linear(n_code, n_values, bias=False),
            nn.BatchNorm1d(n_values),
            nn.ReLU(),
            nn.Unflatten(1, (widths[0], *start)),
            ChannelsLast(),
        )
        for n_in, n_out in pairwise(widths):
            up = nn.ConvTranspose2d(n_in, n_out, 4, 2, 1, bias=False)
            self.layers.extend([up, nn.BatchNorm2d(n_out), nn.ReLU()])
        self.layers.append(nn.Conv2d(widths[-1], n_channels, 3, 1, 1))

    def forward(self, code: Tensor) -> Tensor:
        """From (n, n_code) to (n, channels, height, width), without bounds."""
        height, width = self.sides
        return self.layers(code)[:, :, :height, :width]


class ChannelsLast(nn.Module):
    """Store maps channels last, which makes convolutions faster."""

    def forward(self, x: Tensor) -> Tensor:
        """From (n, channels, height, width) to the same."""
        return x.contiguous(memory_format=torch.channels_last)


class PairDiscriminator(nn.Module):
    """Discriminate between pairs of an image and a code; returns one logit a pair.

    Convolutions see the image, a linear layer the code, two more both.

    Parameters
    ----------
    n_code, sample_shape, scale
        As for `Generator`.
    """

    def __init__(self, n_code: int, sample_shape: tuple[int, ...], scale: float = 1.0):
        super().__init__()
        n_in, *sides = check_images(sample_shape, "PairDiscriminator")
        self.of_image = nn.Sequential()
        for i in range(count_halvings(sample_shape)):
            n_out = scaled(64 * 2**i, scale)
            self.of_image.extend([nn.Conv2d(n_in, n_out, 4, 2, 1), nn.LeakyReLU(0.2)])
            n_in, sides = n_out, [side // 2 for side in sides]
        self.of_image.append(nn.Flatten())
        n_units = scaled(1024, scale)
        self.of_code = nn.Sequential(nn.Linear(n_code, n_units), nn.LeakyReLU(0.2))
        self.of_both = nn.Sequential(
            nn.Linear(n_in * math.prod(sides) + n_units, n_units),
            nn.LeakyReLU(0.2),
            nn.Linear(n_units, 1),
        )

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        """From (n, channels, height, width) and (n, n_code) to (n, 1)."""
        return self.of_both(torch.cat([self.of_image(images), self.of_code(codes)], 1)).float()


def count_halvings(sample_shape: tuple[int, ...]) -> int:
    """Return how often the shortest side can be halved with 4 left."""
    return max(0, (min(sample_shape[1:]) // 4).bit_length() - 1)


def check_images(sample_shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """Return the shape of an image; raise ValueError if it is not one."""
    if len(sample_shape) != 3:
        raise ValueError(
            f"{name} needs images. Got samples of shape {tuple(sample_shape)} (channels first)."
        )
    return sample_shape


def scaled(number: int, scale: float) -> int:
    """Return a number of channels or units of a network of this scale."""
    return max(1, round(number * scale))
