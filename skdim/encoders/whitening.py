"""A first layer that is read off the samples in the place of being learned."""

import torch
from torch import Tensor, nn
from torch.nn import functional

CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


class WhiteningStem(nn.Module):
    """The principal components of small patches, each with both signs, all of equal variance.

    Until `adapt` has seen samples, its filters are random.

    Parameters
    ----------
    n_sides : int
        1 for signals, 2 for images, 3 for volumes.
    n_channels : int
        Of a sample.
    patch : int
        Side of a patch.
    stride : int
    max_filters : int
        Most output channels; small components are left out first.

    Attributes
    ----------
    n_filters : int
        Output channels.

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
        filters = torch.randn(self.n_kept, n_channels, *[patch] * n_sides) / n_inputs**0.5
        self.register_buffer("filters", filters)

    @torch.no_grad()
    def adapt(self, samples: Tensor, n_patches: int = 100_000, regularization: float = 0.01):
        """Take the filters from the patches of samples.

        Parameters
        ----------
        samples : Tensor of shape (n, n_channels, *sides), standardised
        n_patches : int, default=100_000
            About how many to use, evenly spread.
        regularization : float, default=0.01
            Added to the variance of every component, as a part of their mean.
        """
        windows = samples
        for axis in range(self.n_sides):
            windows = windows.unfold(2 + axis, self.patch, 1)
        windows = windows.movedim(1, 1 + self.n_sides)  # (n, *places, n_channels, *patch), a view
        places = windows.shape[: 1 + self.n_sides]
        chosen = torch.arange(0, places.numel(), max(1, places.numel() // n_patches))
        where = torch.unravel_index(chosen.to(samples.device), places)
        patches = windows[where].float().flatten(1).double()  # the others are never made
        patches = patches - patches.mean(0)
        variances, components = torch.linalg.eigh(patches.T @ patches / len(patches))
        variances, components = variances.flip(0), components.flip(1)  # largest first
        # An eigenvector has no sign of its own; this one does not depend on the machine.
        largest = components.abs().argmax(0, keepdim=True)
        components = components * components.gather(0, largest).sign()
        scale = (variances.clamp(min=0) + regularization * variances.mean() + 1e-12).sqrt()
        filters = (components / scale).T[: self.n_kept]
        self.filters.copy_(filters.reshape(self.filters.shape))

    def forward(self, x: Tensor) -> Tensor:
        """From (n, n_channels, *sides) to (n, n_filters, *sides / stride)."""
        white = CONVOLVE[self.n_sides](x, self.filters, stride=self.stride, padding=self.padding)
        return torch.cat([white, -white], 1)
