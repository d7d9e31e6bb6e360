"""From samples to features: tiles of one shape, so that no sample depends on its company."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from skdim.encoders import Encoding
from skdim.validation import place

OUTPUTS = ("code", "hidden", "local")

Statistics = tuple[np.ndarray, np.ndarray]


def encode_padded(
    encoder: nn.Module,
    samples: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    size: int,
    device: torch.device,
) -> Iterator[tuple[int, Encoding]]:
    """Encode samples, ``size`` at a time, the last tile filled up with zeros.

    Parameters
    ----------
    encoder : nn.Module
        In evaluation mode, on the device.
    samples : ndarray of shape (n, channels, *sides)
    mean, scale : ndarray of shape (n_channels,)
    size : int
    device : torch.device

    Yields
    ------
    n : int
        Samples in the tile; what follows them is filling.
    encoding : Encoding
        Of the tile, filling and all.
    """
    for start in range(0, len(samples), size):
        rows = samples[start : start + size]
        tile = np.zeros((size, *rows.shape[1:]), rows.dtype)
        tile[: len(rows)] = rows
        stored, standardize = place(tile, mean, scale, device)
        with torch.inference_mode():
            encoding = encoder(standardize(stored))
        yield len(rows), encoding


def encode_tiles(tiles: Iterator[tuple[int, Encoding]]) -> Iterator[dict[str, np.ndarray]]:
    """Return every output of `encode_padded` as arrays, without the filling.

    Yields
    ------
    outputs : dict of name in `OUTPUTS` to ndarray of shape (n, n_features), float32
    """
    for n, (code, hidden, local_maps) in tiles:
        outputs = {"code": code, "hidden": hidden, "local": local_maps[-1].flatten(1)}
        yield {name: x[:n].float().cpu().numpy() for name, x in outputs.items()}


def output_statistics(tiles: Iterator[dict[str, np.ndarray]]) -> dict[str, Statistics]:
    """Mean and standard deviation of every feature of every output; 1 for constants.

    Returns
    -------
    statistics : dict of name in `OUTPUTS` to (mean, scale), each of shape (n_features,), float32
    """
    n = 0
    sums = dict.fromkeys(OUTPUTS, np.zeros(1))
    squares = dict.fromkeys(OUTPUTS, np.zeros(1))
    for tile in tiles:
        n += len(tile["code"])
        for output, features in tile.items():
            sums[output] = sums[output] + features.sum(0, dtype=np.float64)
            squares[output] = squares[output] + np.square(features, dtype=np.float64).sum(0)
    statistics = {}
    for output in OUTPUTS:
        mean = sums[output] / n
        variance = squares[output] / n - mean**2
        is_constant = variance <= 1e-10 * np.maximum(mean**2, 1)
        scale = np.sqrt(np.where(is_constant, 1, variance))
        statistics[output] = mean.astype(np.float32), scale.astype(np.float32)
    return statistics
