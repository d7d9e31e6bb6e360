"""Fixed patches of images: untrained features, with filters cut from the data.

References
----------
Coates, Lee, Ng, "An analysis of single-layer networks in unsupervised feature learning",
AISTATS 2011. Coates, Ng, "The importance of encoding versus training with sparse coding and vector
quantization", ICML 2011.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skdim.encoders.contract import in_parts

SIDE = 6
# Filters respond at about this many positions along each side; larger images have larger strides.
N_POSITIONS = 27
# Added to the variance in a patch, so that noise of less contrast does not count as a pattern.
LEAST_VARIANCE = 0.01
# Whitening is computed from patches with this many values in all: 50,000 patches in colour.
N_VALUES = 5_400_000


class PatchBank(nn.Module):
    """How closely each quarter of an image resembles each of many patches of the data.

    Patches of 6 x 6 pixels are normalised to the same mean and contrast, then whitened. Responses
    to random patches of the samples count only as far as they exceed one standard deviation. They
    are averaged over each quarter of the image. All features are 0 until `adapt` is called.
    """

    filters: Tensor
    thresholds: Tensor

    def __init__(self, sample_shape: tuple[int, ...], n_patches: int):
        super().__init__()
        n_channels, *sides = sample_shape
        self.stride = max(1, min(sides) // N_POSITIONS)
        self.register_buffer("filters", torch.zeros(n_patches, n_channels, SIDE, SIDE))
        self.register_buffer("thresholds", torch.zeros(n_patches))

    @torch.no_grad()
    def adapt(self, samples: Tensor) -> None:
        """Cut the patches from samples (n, n_channels, *sides), and compute their thresholds."""
        patches = take_patches(samples, SIDE, N_VALUES // self.filters[0].numel())
        patches = patches - patches.mean(1, keepdim=True)
        patches = patches / (patches.square().mean(1, keepdim=True) + LEAST_VARIANCE).sqrt()
        mean = patches.mean(0)
        components, scale = principal_patches(patches, 0.01)
        whiten = components / scale @ components.T
        indices = np.random.default_rng(0).integers(len(patches), size=len(self.filters))
        whitened = (patches[torch.from_numpy(indices)] - mean) @ whiten
        whitened = whitened / (whitened.norm(dim=1, keepdim=True) + 1e-9)
        filters = whitened @ whiten
        responses = (patches[:: max(1, len(patches) // 5000)] - mean) @ filters.T
        self.thresholds.copy_(filters @ mean + responses.std())
        # Subtracting the mean from a filter is the same as subtracting it from every patch.
        filters = filters - filters.mean(1, keepdim=True)
        self.filters.copy_(filters.reshape(self.filters.shape))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, n_channels, height, width) to features (n, 4 * n_patches)."""
        n_numbers = len(self.filters) * (x.shape[2] // self.stride) * (x.shape[3] // self.stride)
        return in_parts(self._respond, x, n_numbers)

    def _respond(self, x: Tensor) -> Tensor:
        response = functional.conv2d(x, self.filters, stride=self.stride)
        mean, square = (
            functional.avg_pool2d(v.mean(1, keepdim=True), SIDE, self.stride) for v in (x, x * x)
        )
        contrast = ((square - mean * mean).clamp(min=0) + LEAST_VARIANCE).sqrt()
        excess = functional.relu(response / contrast - self.thresholds[:, None, None])
        return functional.adaptive_avg_pool2d(excess, 2).flatten(1)


def take_patches(samples: Tensor, side: int, n_patches: int) -> Tensor:
    """Cut about ``n_patches`` evenly spaced patches, with sides of equal length, from samples.

    From (n, n_channels, *sides) to (n_patches, n_channels * side**n_sides), float64, on the CPU:
    some devices have no float64.
    """
    n_sides = samples.ndim - 2
    windows = samples
    for axis in range(n_sides):
        windows = windows.unfold(2 + axis, side, 1)
    windows = windows.movedim(1, 1 + n_sides)  # (n, *grid, n_channels, *patch), a view
    grid = windows.shape[: 1 + n_sides]  # including the axis of samples
    flat_indices = torch.arange(0, grid.numel(), max(1, grid.numel() // n_patches))
    indices = torch.unravel_index(flat_indices.to(samples.device), grid)
    return windows[indices].float().flatten(1).cpu().double()  # only these are copied


def principal_patches(patches: Tensor, regularization: float) -> tuple[Tensor, Tensor]:
    """Principal components of patches, the largest first, and their standard deviations.

    From patches (n_patches, n_values) to components (n_values, n_values), in columns, and scales
    (n_values,). ``regularization`` is added to every variance, as a fraction of the mean variance.
    """
    variances, components = torch.linalg.eigh(patches.T.cov(correction=0))
    variances, components = variances.flip(0), components.flip(1)  # largest first
    # The sign of an eigenvector is arbitrary. This choice is the same on every machine.
    largest = components.abs().argmax(0, keepdim=True)
    components = components * components.gather(0, largest).sign()
    return components, (variances.clamp(min=0) + regularization * variances.mean() + 1e-12).sqrt()
