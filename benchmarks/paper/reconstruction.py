"""Reconstruction of images from their codes by a decoder."""

import math
from itertools import pairwise
from numbers import Integral

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import Interval, validate_params
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from benchmarks.paper.image_similarity import check_images, check_window, ms_ssim
from benchmarks.paper.training import TRAINING_CONSTRAINTS, seeded_device, train


class Decoder(nn.Module):
    """From codes to images, like the generator of DCGAN.

    A linear layer gives a map of at most 4 x 4. Transposed convolutions double its sides until it
    is at least as large as the image, and halve its channels down to ``n_filters``. The image is
    cut out of the centre of the map.

    Parameters
    ----------
    n_code : int
    image_shape : tuple of (channels, height, width)
    n_filters : int
        Channels of the last map. Each earlier map has twice as many as the next one, up to 512.
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
    {**TRAINING_CONSTRAINTS, "n_filters": [Interval(Integral, 1, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def reconstruct(
    codes,
    images,
    codes_test,
    *,
    channel_axis=None,
    n_filters=64,
    max_epochs=50,
    batch_size=128,
    learning_rate=1e-3,
    random_state=None,
    device="auto",
) -> np.ndarray:
    """Reconstruct images from their codes by a decoder that was trained on other images.

    As in the paper, a `Decoder` is trained to minimise the squared error. Codes are standardised;
    the encoder that they come from is not trained.

    Parameters
    ----------
    codes : array-like of shape (n, n_code)
        At least two samples.
    images : array-like of shape (n, height, width), or with channels
    codes_test : array-like of shape (n_test, n_code)
    channel_axis : int or None, default=None
        The axis of channels, counted with the sample axis as 0; None for grey images.
    n_filters : int, default=64
        Channels of the last map of the decoder.
    max_epochs : int, default=50
    batch_size : int, default=128
    learning_rate : float, default=1e-3
        The highest learning rate.
    random_state : int, RandomState or None, default=None
        An int makes reconstructions reproducible, on a GPU up to rounding.
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
    codes = check_array(codes, dtype=np.float32, ensure_min_samples=2, input_name="codes")
    codes_test = check_array(codes_test, dtype=np.float32, input_name="codes_test")
    targets = check_images(images, "images", channel_axis).astype(np.float32)
    check_consistent_length(codes, targets)
    training = {"max_epochs": max_epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    with seeded_device(random_state, device, batch_size) as generator:
        decoded = _decode(codes, targets, codes_test, n_filters, generator, **training)
    return decoded[:, 0] if channel_axis is None else np.moveaxis(decoded, 1, channel_axis)


def _decode(
    codes: np.ndarray,
    images: np.ndarray,
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
    images : ndarray of shape (n, channels, height, width), float32
    codes_test : ndarray of shape (n_test, n_code), float32
    n_filters : int
    generator : torch.Generator
    batch_size : int
    **training
        Other parameters of `train`.
    """
    center = (images.max() + images.min()) / 2
    half_range = (images.max() - images.min()) / 2 or np.float32(1)
    scaler = StandardScaler().fit(codes)
    inputs, inputs_test, targets = (
        torch.from_numpy(array).to(generator.device)
        for array in (
            scaler.transform(codes),
            scaler.transform(codes_test),
            (images - center) / half_range,
        )
    )
    decoder = Decoder(codes.shape[1], images.shape[1:], n_filters).to(generator.device)
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
    channel_axis=None,
    **training,
) -> float:
    """Mean `ms_ssim` of images and their reconstructions by `reconstruct`.

    Parameters
    ----------
    codes : array-like of shape (n, n_code)
    images : array-like of shape (n, height, width), or with channels
    codes_test : array-like of shape (n_test, n_code)
    images_test : array-like of shape (n_test, height, width), or with channels
    data_range : float or None, default=None
        Largest minus smallest value that pixels can have. If None, the range of ``images``.
    n_scales, window : int
        As in `ms_ssim`.
    channel_axis : int or None, default=None
        The axis of channels, counted with the sample axis as 0; None for grey images.
    **training
        Other parameters of `reconstruct`, such as ``max_epochs`` and ``random_state``.

    Returns
    -------
    similarity : float
        From 0 to 1; higher means that codes hold more information about the images.

    References
    ----------
    Hjelm et al., ICLR 2019, table 4, "MS-SSIM".
    """
    # Check everything first: training of the decoder takes long.
    samples = check_images(images, "images", channel_axis)
    samples_test = check_images(images_test, "images_test", channel_axis)
    if samples_test.shape[1:] != samples.shape[1:]:
        raise ValueError(
            f"The 'images_test' must have the shape of the 'images', {np.shape(images)[1:]}. "
            f"Got {np.shape(images_test)[1:]}."
        )
    check_consistent_length(codes_test, images_test)
    check_window(samples_test.shape, window, n_scales)
    reconstructed = reconstruct(codes, images, codes_test, channel_axis=channel_axis, **training)
    if data_range is None:
        data_range = float(samples.max()) - float(samples.min()) or 1.0
    similarities = ms_ssim(
        images_test,
        reconstructed,
        data_range=data_range,
        n_scales=n_scales,
        window=window,
        channel_axis=channel_axis,
    )
    return float(similarities.mean())
