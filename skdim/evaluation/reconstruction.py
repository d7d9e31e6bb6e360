"""Similarity of images, and reconstruction of images from their features.

All functions read images as `skdim.DIMTransformer` does: of shape (n, height, width), or with an
axis of channels. ``channel_axis`` is the number of that axis, "auto", or None for grey images.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, validate_params
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from skdim.evaluation._training import (
    TRAINING,
    check_one_each,
    read_features,
    read_numbers,
    seeded_device,
    standardize,
    train,
)
from skdim.sources.layout import find_layout

# Constants of Wang et al., 2004, as fractions of the data range: they keep quotients stable.
K1, K2 = 0.01, 0.03

# Weights of the scales, the finest first, of Wang et al., 2003.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

# Images that are compared at once, to bound memory.
CHUNK_SIZE = 256

SIMILARITY: dict[str, list] = {
    "data_range": [Interval(Real, 0, None, closed="neither")],
    "window": [Interval(Integral, 1, None, closed="left")],
    "sigma": [Interval(Real, 0, None, closed="neither")],
}


@validate_params(SIMILARITY, prefer_skip_nested_validation=True)
def ssim(a, b, *, data_range, window=11, sigma=1.5, channel_axis="auto") -> np.ndarray:
    r"""Structural similarity of each image in ``a`` and its counterpart in ``b``.

    .. math:: \frac{2 \mu_a \mu_b + C_1}{\mu_a^2 + \mu_b^2 + C_1} \cdot
              \frac{2 \sigma_{ab} + C_2}{\sigma_a^2 + \sigma_b^2 + C_2},
              \qquad C_i = (K_i L)^2, \quad K_1 = 0.01, \quad K_2 = 0.03

    with means, variances and covariance weighted by a Gaussian window, and L the data range. The
    result is the mean over all windows inside the image and over channels. It is above -1, and 1
    for equal images.

    Parameters
    ----------
    a, b : array-like of shape (n, height, width), or with channels
    data_range : float
        Largest minus smallest value that pixels can have: 255 for uint8.
    window : int, default=11
        Side of the window, in pixels.
    sigma : float, default=1.5
        Standard deviation of the Gaussian, in pixels.
    channel_axis : int, None or "auto", default="auto"

    Returns
    -------
    similarities : ndarray of shape (n,)

    References
    ----------
    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import ssim
    >>> images = np.random.default_rng(0).random((3, 16, 16))
    >>> ssim(images, images, data_range=1.0).tolist()
    [1.0, 1.0, 1.0]
    """
    a, b = _read_pair(a, b, channel_axis)
    _check_window(a.shape, window, n_scales=1)

    def measure(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        luminance, structure = _compare_windows(a, b, data_range, window, sigma)
        return (luminance * structure).mean((1, 2, 3))

    return _in_chunks(measure, a, b)


@validate_params(
    {**SIMILARITY, "n_scales": [Interval(Integral, 1, len(SCALE_WEIGHTS), closed="both")]},
    prefer_skip_nested_validation=True,
)
def ms_ssim(
    a, b, *, data_range, n_scales=3, window=7, sigma=1.5, channel_axis="auto"
) -> np.ndarray:
    r"""Multi-scale structural similarity of each image in ``a`` and its counterpart in ``b``.

    .. math:: s_M^{w_M} \prod_{j<M} c_j^{w_j}

    with s the value of `ssim` and c its second factor, both averaged over windows. Each scale has
    half the sides of the one before it, by the mean of 2 x 2 pixels. Averages below 0 count as 0.

    The published measure has five scales and a window of 11 px, and needs sides of 176 px. Images
    of 32 px are large enough for three scales with a window of 7 px. The weights are then the first
    three published ones, 0.0448, 0.2856 and 0.3001, divided by their sum. Values with different
    scales or windows cannot be compared.

    Parameters
    ----------
    a, b : array-like of shape (n, height, width), or with channels
    data_range : float
        Largest minus smallest value that pixels can have: 255 for uint8.
    n_scales : int, default=3
        From 1 to 5; with 1 it is `ssim`, except that averages below 0 count as 0.
    window : int, default=7
        Side of the window at every scale, in pixels.
    sigma : float, default=1.5
        Standard deviation of the Gaussian, in pixels.
    channel_axis : int, None or "auto", default="auto"

    Returns
    -------
    similarities : ndarray of shape (n,)
        From 0 to 1.

    References
    ----------
    Wang et al., "Multi-scale structural similarity for image quality assessment", 2003.
    """
    a, b = _read_pair(a, b, channel_axis)
    _check_window(a.shape, window, n_scales)
    weights = np.array(SCALE_WEIGHTS[:n_scales]) / sum(SCALE_WEIGHTS[:n_scales])

    def measure(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        product = np.ones(a.shape[:2])  # (n, channels)
        for scale, weight in enumerate(weights):
            if scale:
                a, b = _halve(a), _halve(b)
            luminance, structure = _compare_windows(a, b, data_range, window, sigma)
            factor = luminance * structure if scale == n_scales - 1 else structure
            product *= factor.mean((2, 3)).clip(0) ** weight
        return product.mean(1)

    return _in_chunks(measure, a, b)


def _read_images(images, name: str, channel_axis) -> np.ndarray:
    """Return images as (n, channels, height, width), a view if ``images`` is an array."""
    images = _channels_first(read_numbers(images, name), channel_axis)
    if images.ndim != 4:
        raise ValueError(
            f"The {name!r} must be images, of shape (n, height, width) or with one more axis that "
            "the 'channel_axis' parameter names. Got samples of "
            f"{images.ndim - 2} axes and channel_axis={channel_axis!r}."
        )
    return images


def _channels_first(images: np.ndarray, channel_axis) -> np.ndarray:
    return find_layout(images.shape, channel_axis=channel_axis).as_samples(images)


def _read_pair(a, b, channel_axis) -> tuple[np.ndarray, np.ndarray]:
    a, b = _read_images(a, "a", channel_axis), _read_images(b, "b", channel_axis)
    if a.shape != b.shape:
        raise ValueError(f"The images 'a' and 'b' must have one shape. Got {a.shape}, {b.shape}.")
    return a, b


def _check_window(shape: tuple[int, ...], window: int, n_scales: int) -> None:
    """Raise ValueError if images (n, channels, *sides) are too small at the coarsest scale."""
    needed = window * 2 ** (n_scales - 1)
    if min(shape[2:]) < needed:
        raise ValueError(
            f"The 'window' parameter {window} needs sides of {needed} px"
            + (f" where n_scales={n_scales}" if n_scales > 1 else "")
            + f". Got images of {shape[2]} x {shape[3]} px: reduce 'window'"
            + (" or 'n_scales'." if n_scales > 1 else ".")
        )


def _in_chunks(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray], a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """Measure pairs of images in float64, `CHUNK_SIZE` at a time."""
    chunks = (slice(start, start + CHUNK_SIZE) for start in range(0, len(a), CHUNK_SIZE))
    return np.concatenate([measure(a[k].astype(float), b[k].astype(float)) for k in chunks])


def _compare_windows(
    a: np.ndarray, b: np.ndarray, data_range: float, window: int, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return both factors of the structural similarity for every window.

    Parameters
    ----------
    a, b : ndarray of shape (n, channels, height, width)

    Returns
    -------
    luminance, structure : ndarray of shape (n, channels, height - window + 1, width - window + 1)
    """
    vertical, horizontal = (_averages(side, window, sigma) for side in a.shape[2:])

    def mean(images: np.ndarray) -> np.ndarray:
        return vertical @ images @ horizontal.T

    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def _averages(n: int, window: int, sigma: float) -> np.ndarray:
    """Return the matrix (n - window + 1, n) of Gaussian means along a line of n pixels."""
    offset = np.arange(window) - (window - 1) / 2
    gaussian = np.exp(-0.5 * (offset / sigma) ** 2)
    matrix = np.zeros((n - window + 1, n))
    for i, row in enumerate(matrix):
        row[i : i + window] = gaussian / gaussian.sum()
    return matrix


def _halve(images: np.ndarray) -> np.ndarray:
    """Return means of 2 x 2 pixels; an odd last row or column of pixels is dropped."""
    height, width = (side // 2 * 2 for side in images.shape[2:])
    even = images[..., :height, :width]
    pairs = even[..., ::2, :] + even[..., 1::2, :]
    return (pairs[..., ::2] + pairs[..., 1::2]) / 4


class Decoder(nn.Module):
    """From codes to images, like the generator of DCGAN.

    A linear layer gives a map of at most 4 x 4. Transposed convolutions double its sides until it
    is as large as the image, and halve its channels down to ``n_filters``. The image is cut out of
    its centre.

    Parameters
    ----------
    n_code : int
    image_shape : tuple of (channels, height, width)
    n_filters : int
        Channels of the last map; each earlier one has twice as many, up to 512.
    """

    def __init__(self, n_code: int, image_shape: tuple[int, ...], n_filters: int):
        super().__init__()
        n_channels, *self.sides = image_shape
        n_doublings = max(0, math.ceil(math.log2(max(self.sides) / 4)))
        start = [-(-side // 2**n_doublings) for side in self.sides]
        most = max(512, n_filters)
        widths = [min(most, n_filters * 2**i) for i in reversed(range(n_doublings + 1))]
        layers: list[nn.Module] = [
            nn.Linear(n_code, widths[0] * math.prod(start), bias=False),
            nn.BatchNorm1d(widths[0] * math.prod(start)),
            nn.ReLU(),
            nn.Unflatten(1, (widths[0], *start)),
        ]
        for n_in, n_out in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(),
            ]
        last = nn.Conv2d(widths[-1], n_channels, 3, padding=1, bias=False)
        self.layers = nn.Sequential(*layers, last, nn.Tanh())

    def forward(self, codes: Tensor) -> Tensor:
        """Return images of shape (n, channels, height, width), from -1 to 1."""
        images = self.layers(codes)
        for axis, side in zip((2, 3), self.sides, strict=True):
            images = images.narrow(axis, (images.shape[axis] - side) // 2, side)
        return images


@validate_params(
    {**TRAINING, "n_filters": [Interval(Integral, 1, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def reconstruct(
    codes,
    images,
    codes_test,
    *,
    channel_axis="auto",
    n_filters=64,
    max_epochs=50,
    batch_size=128,
    learning_rate=1e-3,
    random_state=None,
    device="auto",
) -> np.ndarray:
    """Reconstruct images from their features, by a decoder trained on other images.

    As in the paper, a `Decoder` is trained to minimise the squared error. Features are standardised
    and not trained.

    Parameters
    ----------
    codes : array-like of shape (n, ...)
        Features of any layer; the axes of a sample are flattened.
    images : array-like of shape (n, height, width), or with channels
        At least two.
    codes_test : array-like of shape (n_test, ...)
    channel_axis : int, None or "auto", default="auto"
    n_filters : int, default=64
        Channels of the last map of the decoder.
    max_epochs : int, default=50
    batch_size : int, default=128
    learning_rate : float, default=1e-3
        The highest learning rate.
    random_state : int, RandomState or None, default=None
        An int makes reconstructions reproducible; on a GPU up to rounding.
    device : str or torch.device, default="auto"

    Returns
    -------
    images_test : ndarray of shape (n_test, *shape of an image), float32
        Within the range of ``images``.

    References
    ----------
    Radford et al., "Unsupervised representation learning with deep convolutional generative
    adversarial networks", ICLR 2016; Hjelm et al., ICLR 2019, table 4.
    """
    codes = read_features(codes, "codes")
    codes_test = read_features(codes_test, "codes_test", like=codes)
    images = read_numbers(images, "images")
    originals = _read_images(images, "images", channel_axis).astype(np.float32)
    check_one_each(codes, "codes", originals, "images")
    if len(originals) < 2:
        raise ValueError("The 'images' must be two at least, to train a decoder. Got 1.")
    training = {"max_epochs": max_epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    with seeded_device(random_state, device, batch_size) as generator:
        decoded = _decode(codes, originals, codes_test, n_filters, generator, **training)
    images_test = np.empty((len(codes_test), *images.shape[1:]), np.float32)
    # A view with channels first, through which the array is filled.
    _channels_first(images_test, channel_axis)[:] = decoded
    return images_test


def _decode(
    codes: np.ndarray,
    originals: np.ndarray,
    codes_test: np.ndarray,
    n_filters: int,
    generator: torch.Generator,
    *,
    batch_size: int,
    **training,
) -> np.ndarray:
    """Train a decoder on codes and images; return images of the test codes, channels first.

    Parameters
    ----------
    codes : ndarray of shape (n, n_code), float32
    originals : ndarray of shape (n, channels, height, width), float32
    codes_test : ndarray of shape (n_test, n_code), float32
    n_filters : int
    generator : torch.Generator
    batch_size : int
    **training
        Other parameters of `train`.
    """
    center = (originals.max() + originals.min()) / 2
    half_range = (originals.max() - originals.min()) / 2 or np.float32(1)
    inputs, inputs_test, targets = (
        torch.from_numpy(array).to(generator.device)
        for array in (*standardize(codes, codes_test), (originals - center) / half_range)
    )
    decoder = Decoder(codes.shape[1], originals.shape[1:], n_filters).to(generator.device)
    train(
        decoder,
        lambda batch: mse_loss(decoder(inputs[batch]), targets[batch]),
        len(inputs),
        batch_size=batch_size,
        generator=generator,
        **training,
    )
    with torch.inference_mode():
        decoded = torch.cat([decoder(batch).cpu() for batch in inputs_test.split(batch_size)])
    return decoded.numpy() * half_range + center


def reconstruction_similarity(
    codes,
    images,
    codes_test,
    images_test,
    *,
    data_range=None,
    n_scales=3,
    window=7,
    channel_axis="auto",
    **training,
) -> float:
    """Mean `ms_ssim` of images and their reconstructions by `reconstruct`.

    Parameters
    ----------
    codes : array-like of shape (n, ...)
    images : array-like of shape (n, height, width), or with channels
    codes_test : array-like of shape (n_test, ...)
    images_test : array-like of shape (n_test, height, width), or with channels
    data_range : float or None, default=None
        Largest minus smallest value that pixels can have; None takes those in ``images``.
    n_scales, window : int
        As in `ms_ssim`.
    channel_axis : int, None or "auto", default="auto"
    **training
        Other parameters of `reconstruct`, such as ``max_epochs`` and ``random_state``.

    Returns
    -------
    similarity : float
        From 0 to 1; higher means that features hold more information about the images.

    References
    ----------
    Hjelm et al., ICLR 2019, table 4, "MS-SSIM".
    """
    # Check everything first: training of the decoder takes long.
    shape_test = _read_images(images_test, "images_test", channel_axis).shape
    images = read_numbers(images, "images")
    if shape_test[1:] != _read_images(images, "images", channel_axis).shape[1:]:
        raise ValueError(
            f"The 'images_test' must have the shape of the 'images', {images.shape[1:]}. "
            f"Got {np.shape(images_test)[1:]}."
        )
    check_one_each(codes_test, "codes_test", images_test, "images_test")
    _check_window(shape_test, window, n_scales)
    reconstructed = reconstruct(codes, images, codes_test, channel_axis=channel_axis, **training)
    if data_range is None:
        data_range = float(images.max()) - float(images.min()) or 1.0
    similarities = ms_ssim(
        images_test,
        reconstructed,
        data_range=data_range,
        n_scales=n_scales,
        window=window,
        channel_axis=channel_axis,
    )
    return float(similarities.mean())
