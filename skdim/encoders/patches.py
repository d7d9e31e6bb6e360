"""Fixed patches of images: features without gradients, with filters cut from the data.

References
----------
Coates, Lee, Ng, "An analysis of single-layer networks in unsupervised feature learning",
AISTATS 2011. Coates, Ng, "The importance of encoding versus training with sparse coding and vector
quantization", ICML 2011. Wiskott, Sejnowski, "Slow feature analysis: unsupervised learning of
invariances", Neural Computation, 2002. Chen et al., "Minimalistic unsupervised representation
learning with sparse manifold transform", ICLR 2023.
"""

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.nn import functional

from skdim.encoders.pooling import average_parts

SIDE = 6
# Filters respond at about this many positions along each side; larger images have larger strides.
N_POSITIONS = 27
# Added to the variance in a patch, so that noise of less contrast does not count as a pattern.
LEAST_VARIANCE = 0.01
# Whitening is computed from patches with this many values in all: 50,000 patches in colour.
N_VALUES = 5_400_000
# Parts along each side of an image: of slow features, and of the responses themselves.
N_PARTS, N_QUARTERS = 4, 2
# Slow features are computed from the responses at about this many positions in all, and at once.
N_RESPONSES, N_AT_ONCE = 729_000, 36_450
# Responses are compared with their mean over windows of this part of the image along each side.
NEIGHBORHOOD = 0.5
# Added to the variance of every response, as a fraction of their mean variance.
REGULARIZATION = 1e-3


class PatchBank(nn.Module):
    """How closely each part of an image resembles patches of the data.

    Patches of 6 x 6 pixels are normalised to the same mean and contrast, then whitened. Responses
    to random patches of the samples count only as far as they exceed one standard deviation.

    Responses are averaged over 4 x 4 parts of the image, and projected to their ``n_slow`` slowest
    features: those of all linear features that neighbouring patches share most, as in slow feature
    analysis, with places instead of times. What neighbours share says what is in the image; the
    rest says where exactly. The features of each part are scaled to length 1.

    If ``n_slow`` is 0, features are the responses, averaged over each quarter of the image. All
    features are 0 until `adapt` is called.
    """

    filters: Tensor
    thresholds: Tensor
    slow: Tensor
    bias: Tensor

    def __init__(self, sample_shape: tuple[int, ...], n_patches: int, n_slow: int):
        super().__init__()
        n_channels, *sides = sample_shape
        self.stride = max(1, min(sides) // N_POSITIONS)
        self.n_slow = min(n_slow, n_patches)
        self.register_buffer("filters", torch.zeros(n_patches, n_channels, SIDE, SIDE))
        self.register_buffer("thresholds", torch.zeros(n_patches))
        if self.n_slow:
            self.register_buffer("slow", torch.zeros(self.n_slow, n_patches))
            self.register_buffer("bias", torch.zeros(self.n_slow))

    @torch.no_grad()
    def adapt(self, samples: Tensor) -> None:
        """Cut the patches from samples (n, n_channels, *sides), and learn what is slow in them."""
        self._cut(samples)
        if self.n_slow:
            mean, covariance, shared = self._covariances(samples)
            slow = slowest_features(covariance, shared, self.n_slow)
            self.slow.copy_(torch.from_numpy(slow.T))
            self.bias.copy_(torch.from_numpy(-mean @ slow))

    def _cut(self, samples: Tensor) -> None:
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

    def _covariances(self, samples: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean (n_patches,) and covariance (n_patches, n_patches) of the responses, and the
        covariance of their means over neighbourhoods.
        """
        n_patches = len(self.filters)
        n_positions = self.respond(samples[:1])[0, 0].numel()
        samples = samples[: max(1, N_RESPONSES // n_positions)]
        mean = np.zeros(n_patches)
        squares, shared = np.zeros((2, n_patches, n_patches))
        for part in samples.split(max(1, N_AT_ONCE // n_positions)):
            weight = len(part) / len(samples)
            responses = self.respond(part)
            window = [max(1, round(NEIGHBORHOOD * side)) for side in responses.shape[2:]]
            means = functional.avg_pool2d(responses, window, 2)
            responses = responses[:, :, ::2, ::2]
            mean += weight * responses.mean((0, 2, 3)).cpu().double().numpy()
            squares += weight * _mean_products(responses)
            shared += weight * _mean_products(means)
        outer = np.outer(mean, mean)
        return mean, squares - outer, shared - outer

    def respond(self, x: Tensor) -> Tensor:
        """How far responses exceed the thresholds, (n, n_patches, *positions)."""
        response = functional.conv2d(x, self.filters, stride=self.stride)
        mean, square = (
            functional.avg_pool2d(v.mean(1, keepdim=True), SIDE, self.stride) for v in (x, x * x)
        )
        contrast = ((square - mean * mean).clamp(min=0) + LEAST_VARIANCE).sqrt()
        return functional.relu(response / contrast - self.thresholds[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, n_channels, height, width) to features (n, 16 * n_slow).

        (n, 4 * n_patches) if ``n_slow`` is 0.
        """
        responses = self.respond(x)
        if not self.n_slow:
            return average_parts(responses, N_QUARTERS).flatten(1)
        parts = average_parts(responses, N_PARTS).flatten(2).transpose(1, 2)  # (n, 16, n_patches)
        slow = functional.linear(parts, self.slow, self.bias)
        return functional.normalize(slow, dim=2).flatten(1)


def _mean_products(maps: Tensor) -> np.ndarray:
    """Means of products of two channels of maps (n, n_channels, *sides), over samples and places.

    Shape (n_channels, n_channels), float64.
    """
    channels = maps.transpose(0, 1).flatten(1)
    return (channels @ channels.T).cpu().double().numpy() / channels.shape[1]


def slowest_features(covariance: np.ndarray, shared: np.ndarray, n: int) -> np.ndarray:
    """Directions (n_units, n) in which the shared variance is the largest part of the whole.

    Features are uncorrelated and have variance 1; the slowest is the first.

    Parameters
    ----------
    covariance : ndarray of shape (n_units, n_units)
        Of the units.
    shared : ndarray of shape (n_units, n_units)
        Covariance of the units' means over neighbours.
    """
    n_units = len(covariance)
    least = REGULARIZATION * covariance.diagonal().mean() + 1e-12
    _, directions = scipy.linalg.eigh(
        shared, covariance + least * np.eye(n_units), subset_by_index=[n_units - n, n_units - 1]
    )
    slowest_first = torch.from_numpy(directions[:, ::-1].copy())
    return _with_fixed_signs(slowest_first).numpy()


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
    flat_indices = np.arange(0, grid.numel(), max(1, grid.numel() // n_patches))
    indices = torch.from_numpy(np.stack(np.unravel_index(flat_indices, grid))).to(samples.device)
    return windows[tuple(indices)].float().flatten(1).cpu().double()  # only these are copied


def principal_patches(patches: Tensor, regularization: float) -> tuple[Tensor, Tensor]:
    """Principal components of patches, the largest first, and their standard deviations.

    From patches (n_patches, n_values) to components (n_values, n_values), in columns, and scales
    (n_values,). ``regularization`` is added to every variance, as a fraction of the mean variance.
    """
    variances, components = torch.linalg.eigh(patches.T.cov(correction=0))
    variances, components = variances.flip(0), components.flip(1)  # largest first
    return _with_fixed_signs(components), (
        variances.clamp(min=0) + regularization * variances.mean() + 1e-12
    ).sqrt()


def _with_fixed_signs(vectors: Tensor) -> Tensor:
    """Turn each eigenvector, a column, so that its largest number is positive.

    The sign of an eigenvector is arbitrary. This choice is the same on every machine.
    """
    largest = vectors.abs().argmax(0, keepdim=True)
    return vectors * vectors.gather(0, largest).sign()
