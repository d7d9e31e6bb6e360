"""How alike images are, and how alike to an image what can be rebuilt from its features is.

All functions read images as `skdim.DIMTransformer` does: (n, height, width), or with an axis of
channels, which ``channel_axis`` names: "auto", the axis of the array, or None for grey images.
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
    read_numbers,
    read_rows,
    seeded_device,
    standardize,
    train,
)
from skdim.sources._arrays import read_samples

# Of Wang et al., 2004, as parts of the data range: what keeps quotients of small numbers stable.
K1, K2 = 0.01, 0.03

# Of Wang et al., 2003: how much each scale counts, the finest first.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

# Images whose windows are compared at once, to bound memory.
BLOCK = 256

SIMILARITY: dict[str, list] = {
    "data_range": [Interval(Real, 0, None, closed="neither")],
    "window": [Interval(Integral, 1, None, closed="left")],
    "sigma": [Interval(Real, 0, None, closed="neither")],
}


@validate_params(SIMILARITY, prefer_skip_nested_validation=True)
def ssim(a, b, *, data_range, window=11, sigma=1.5, channel_axis="auto") -> np.ndarray:
    r"""Structural similarity of each image of ``a`` and its counterpart in ``b``.

    .. math:: \frac{2 \mu_a \mu_b + C_1}{\mu_a^2 + \mu_b^2 + C_1} \cdot
              \frac{2 \sigma_{ab} + C_2}{\sigma_a^2 + \sigma_b^2 + C_2},
              \qquad C_i = (K_i L)^2, \quad K_1 = 0.01, \quad K_2 = 0.03

    with means, variances and covariance of a Gaussian window and L the data range; its mean over
    all windows that lie inside of the image, and over channels. 1 for equal images, above -1.

    Parameters
    ----------
    a, b : array-like of shape (n, height, width), or with channels
    data_range : float
        Largest value that pixels can have minus the smallest: 255 for bytes.
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

    return _by_blocks(measure, a, b)


@validate_params(
    {**SIMILARITY, "n_scales": [Interval(Integral, 1, len(SCALE_WEIGHTS), closed="both")]},
    prefer_skip_nested_validation=True,
)
def ms_ssim(
    a, b, *, data_range, n_scales=3, window=7, sigma=1.5, channel_axis="auto"
) -> np.ndarray:
    r"""Structural similarity over several scales of each image and its counterpart.

    .. math:: s_M^{w_M} \prod_{j<M} c_j^{w_j}

    with c the second factor of `ssim`, s the whole of it, both averaged over windows, and each
    scale half as wide as the one before it, by the mean of four pixels. Averages below 0 count as
    0.

    The published measure has five scales and a window of 11 px, and needs sides of 176 px. Images
    of 32 px have room for three scales of a window of 7 px: the first three published weights,
    0.0448, 0.2856 and 0.3001, divided by their sum. Values of different scales or windows do not
    compare.

    Parameters
    ----------
    a, b : array-like of shape (n, height, width), or with channels
    data_range : float
        Largest value that pixels can have minus the smallest: 255 for bytes.
    n_scales : int, default=3
        From 1, which is `ssim`, to 5.
    window : int, default=7
        Side of the window on every scale, in pixels.
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

    return _by_blocks(measure, a, b)


def _read_images(images, name: str, channel_axis) -> np.ndarray:
    """Return images as (n, channels, height, width), a view of the array where it is one."""
    images = read_samples(read_numbers(images, name), None, channel_axis)
    if images.ndim != 4:
        raise ValueError(
            f"The {name!r} must be images, of shape (n, height, width) or with one more axis that "
            "the 'channel_axis' parameter names. Got samples of "
            f"{images.ndim - 2} axes and channel_axis={channel_axis!r}."
        )
    return images


def _read_pair(a, b, channel_axis) -> tuple[np.ndarray, np.ndarray]:
    a, b = _read_images(a, "a", channel_axis), _read_images(b, "b", channel_axis)
    if a.shape != b.shape:
        raise ValueError(f"The images 'a' and 'b' must have one shape. Got {a.shape}, {b.shape}.")
    return a, b


def _check_window(shape: tuple[int, ...], window: int, n_scales: int) -> None:
    """Raise ValueError if the coarsest of the images (n, channels, *sides) holds no window."""
    needed = window * 2 ** (n_scales - 1)
    if min(shape[2:]) < needed:
        raise ValueError(
            f"The 'window' parameter {window} needs sides of {needed} px"
            + (f" where n_scales={n_scales}" if n_scales > 1 else "")
            + f". Got images of {shape[2]} x {shape[3]} px: reduce 'window'"
            + (" or 'n_scales'." if n_scales > 1 else ".")
        )


def _by_blocks(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray], a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """Measure pairs of images, as doubles, a few at a time."""
    blocks = (slice(start, start + BLOCK) for start in range(0, len(a), BLOCK))
    return np.concatenate([measure(a[k].astype(float), b[k].astype(float)) for k in blocks])


def _compare_windows(
    a: np.ndarray, b: np.ndarray, data_range: float, window: int, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return both factors of the structural similarity, of every window.

    Parameters
    ----------
    a, b : ndarray of shape (n, channels, height, width)

    Returns
    -------
    luminance, structure : ndarray of shape (n, channels, height - window + 1, width - window + 1)
    """
    rows, columns = (_averages(side, window, sigma) for side in a.shape[2:])

    def mean(images: np.ndarray) -> np.ndarray:
        return rows @ images @ columns.T

    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def _averages(n: int, window: int, sigma: float) -> np.ndarray:
    """The matrix of shape (n - window + 1, n) that takes Gaussian means of n pixels in a line."""
    from_centre = np.arange(window) - (window - 1) / 2
    gaussian = np.exp(-0.5 * (from_centre / sigma) ** 2)
    matrix = np.zeros((n - window + 1, n))
    for i, row in enumerate(matrix):
        row[i : i + window] = gaussian / gaussian.sum()
    return matrix


def _halve(images: np.ndarray) -> np.ndarray:
    """Means of two by two pixels; an odd last row or column is left out."""
    height, width = (side // 2 * 2 for side in images.shape[2:])
    even = images[..., :height, :width]
    pairs = even[..., ::2, :] + even[..., 1::2, :]
    return (pairs[..., ::2] + pairs[..., 1::2]) / 4


class Decoder(nn.Module):
    """From codes to images, as the generator of DCGAN.

    A linear layer fills a map of at most 4 x 4; transposed convolutions double it until it holds
    the image, which is cut out of its centre, and halve its channels down to ``n_filters``.

    Parameters
    ----------
    n_code : int
    image_shape : tuple of (channels, height, width)
    n_filters : int
        Channels of the last map; earlier ones have twice as many each, 512 at most.
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
    """Rebuild images from their features, by a decoder trained on other images.

    The decoder is that of the paper, a `Decoder` trained on the squared error. Features are
    standardised and stay as they are.

    Parameters
    ----------
    codes : array-like of shape (n, ...)
        Features of any layer; all axes of a sample are read as one.
    images : array-like of shape (n, height, width), or with channels
        Two at least.
    codes_test : array-like of shape (n_test, ...)
    channel_axis : int, None or "auto", default="auto"
        The axis of ``images`` that holds the channels.
    n_filters : int, default=64
        Channels of the decoder's last map.
    max_epochs : int, default=50
    batch_size : int, default=128
    learning_rate : float, default=1e-3
        The highest.
    random_state : int, RandomState or None, default=None
        An int makes reconstructions repeat exactly; on a GPU up to rounding.
    device : str or torch.device, default="auto"

    Returns
    -------
    images_test : ndarray of shape (n_test, *shape of an image), float32
        Within the range of ``images``.

    References
    ----------
    Radford et al., "Unsupervised representation learning with deep convolutional generative
    adversarial networks", ICLR 2016; Hjelm et al., ICLR 2019, table 3.
    """
    codes = read_rows(codes, "codes")
    codes_test = read_rows(codes_test, "codes_test", like=codes)
    images = read_numbers(images, "images")
    originals = _read_images(images, "images", channel_axis).astype(np.float32)
    check_one_each(codes, "codes", originals, "images")
    if len(originals) < 2:
        raise ValueError("The 'images' must be two at least, to train a decoder. Got 1.")
    middle = (originals.max() + originals.min()) / 2
    reach = (originals.max() - originals.min()) / 2 or np.float32(1)
    with seeded_device(random_state, device, batch_size) as generator:
        rows, rows_test, targets = (
            torch.from_numpy(array).to(generator.device)
            for array in (*standardize(codes, codes_test), (originals - middle) / reach)
        )
        decoder = Decoder(codes.shape[1], originals.shape[1:], n_filters).to(generator.device)
        train(
            decoder,
            lambda batch: mse_loss(decoder(rows[batch]), targets[batch]),
            len(rows),
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            generator=generator,
        )
        with torch.inference_mode():
            rebuilt = torch.cat([decoder(some).cpu() for some in rows_test.split(batch_size)])
    images_test = np.empty((len(codes_test), *images.shape[1:]), np.float32)
    # Samples are a view: what is written to it comes to lie as images lie.
    read_samples(images_test, None, channel_axis)[:] = rebuilt.numpy() * reach + middle
    return images_test


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
    """Mean similarity, by `ms_ssim`, of images and what `reconstruct` makes of their features.

    Parameters
    ----------
    codes : array-like of shape (n, ...)
    images : array-like of shape (n, height, width), or with channels
    codes_test : array-like of shape (n_test, ...)
    images_test : array-like of shape (n_test, height, width), or with channels
    data_range : float or None, default=None
        Largest value that pixels can have minus the smallest; None takes what ``images`` have.
    n_scales, window : int
        As in `ms_ssim`.
    channel_axis : int, None or "auto", default="auto"
    **training
        Other parameters of `reconstruct`, such as ``max_epochs`` and ``random_state``.

    Returns
    -------
    similarity : float
        From 0 to 1; higher means that features hold more of the images.

    References
    ----------
    Hjelm et al., ICLR 2019, table 3, "MS-SSIM".
    """
    # All that can be wrong is, before the decoder trains for long.
    shape_test = _read_images(images_test, "images_test", channel_axis).shape
    images = read_numbers(images, "images")
    if shape_test[1:] != _read_images(images, "images", channel_axis).shape[1:]:
        raise ValueError(
            f"The 'images_test' must have the shape of the 'images', {images.shape[1:]}. "
            f"Got {np.shape(images_test)[1:]}."
        )
    check_one_each(codes_test, "codes_test", images_test, "images_test")
    _check_window(shape_test, window, n_scales)
    rebuilt = reconstruct(codes, images, codes_test, channel_axis=channel_axis, **training)
    if data_range is None:
        data_range = float(images.max()) - float(images.min()) or 1.0
    similarities = ms_ssim(
        images_test,
        rebuilt,
        data_range=data_range,
        n_scales=n_scales,
        window=window,
        channel_axis=channel_axis,
    )
    return float(similarities.mean())
