"""Structural similarity of images, on one and on several scales."""

from collections.abc import Callable
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, validate_params

# Constants of Wang et al., 2004, as fractions of the data range: they keep quotients stable.
K1, K2 = 0.01, 0.03

# Weights of the scales, the finest first, of Wang et al., 2003.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

# Number of images that are compared at once, to bound memory.
CHUNK_SIZE = 256

SIMILARITY_CONSTRAINTS: dict[str, list] = {
    "data_range": [Interval(Real, 0, None, closed="neither")],
    "window": [Interval(Integral, 1, None, closed="left")],
    "sigma": [Interval(Real, 0, None, closed="neither")],
}


@validate_params(SIMILARITY_CONSTRAINTS, prefer_skip_nested_validation=True)
def ssim(a, b, *, data_range, window=11, sigma=1.5, channel_axis=None) -> np.ndarray:
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
    channel_axis : int or None, default=None
        The axis of channels, counted with the sample axis as 0; None for grey images.

    Returns
    -------
    similarities : ndarray of shape (n,)

    References
    ----------
    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from benchmarks.paper.image_similarity import ssim
    >>> images = np.random.default_rng(0).random((3, 16, 16))
    >>> ssim(images, images, data_range=1.0).tolist()
    [1.0, 1.0, 1.0]
    """
    a, b = _check_pair(a, b, channel_axis)
    check_window(a.shape, window, n_scales=1)

    def measure(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        luminance, structure = _compare_windows(a, b, data_range, window, sigma)
        return (luminance * structure).mean((1, 2, 3))

    return _in_chunks(measure, a, b)


@validate_params(
    {
        **SIMILARITY_CONSTRAINTS,
        "n_scales": [Interval(Integral, 1, len(SCALE_WEIGHTS), closed="both")],
    },
    prefer_skip_nested_validation=True,
)
def ms_ssim(a, b, *, data_range, n_scales=3, window=7, sigma=1.5, channel_axis=None) -> np.ndarray:
    r"""Multi-scale structural similarity of each image in ``a`` and its counterpart in ``b``.

    .. math:: s_M^{w_M} \prod_{j<M} c_j^{w_j}

    with s the value of `ssim` and c its second factor, both averaged over windows. Each scale has
    sides half as long as the previous one, by the mean of 2 x 2 pixels. Averages below 0 count as
    0.

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
        From 1 to 5. With 1 the measure is `ssim`, except that averages below 0 count as 0.
    window : int, default=7
        Side of the window at every scale, in pixels.
    sigma : float, default=1.5
        Standard deviation of the Gaussian, in pixels.
    channel_axis : int or None, default=None
        The axis of channels, counted with the sample axis as 0; None for grey images.

    Returns
    -------
    similarities : ndarray of shape (n,)
        From 0 to 1.

    References
    ----------
    Wang et al., "Multi-scale structural similarity for image quality assessment", 2003.
    """
    a, b = _check_pair(a, b, channel_axis)
    check_window(a.shape, window, n_scales)
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


def check_images(images, name: str, channel_axis: int | None) -> np.ndarray:
    """Return images as (n, channels, height, width), a view if ``images`` is an array.

    Parameters
    ----------
    images : array-like of shape (n, height, width), or with channels
    name : str
        Name of the parameter, for the error.
    channel_axis : int or None
    """
    images = check_array(images, allow_nd=True, input_name=name)
    if images.ndim != (3 if channel_axis is None else 4):
        raise ValueError(
            f"The {name!r} must be images of shape (n, height, width), or with one more axis that "
            f"the 'channel_axis' parameter names. Got shape {images.shape} and "
            f"channel_axis={channel_axis!r}."
        )
    return images[:, None] if channel_axis is None else np.moveaxis(images, channel_axis, 1)


def _check_pair(a, b, channel_axis: int | None) -> tuple[np.ndarray, np.ndarray]:
    a, b = check_images(a, "a", channel_axis), check_images(b, "b", channel_axis)
    if a.shape != b.shape:
        raise ValueError(
            f"The images 'a' and 'b' must have the same shape. Got {a.shape} and {b.shape}."
        )
    return a, b


def check_window(shape: tuple[int, ...], window: int, n_scales: int) -> None:
    """Raise ValueError if images (n, channels, *sides) are too small at the coarsest scale."""
    smallest = window * 2 ** (n_scales - 1)
    if min(shape[2:]) < smallest:
        raise ValueError(
            f"The 'window' parameter {window} needs sides of at least {smallest} px"
            + (f" if n_scales={n_scales}" if n_scales > 1 else "")
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
    vertical, horizontal = (_gaussian_means(side, window, sigma) for side in a.shape[2:])

    def mean(images: np.ndarray) -> np.ndarray:
        return vertical @ images @ horizontal.T

    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def _gaussian_means(n: int, window: int, sigma: float) -> np.ndarray:
    """Return the matrix (n - window + 1, n) that takes Gaussian means along a line of n pixels."""
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
