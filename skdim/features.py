"""From samples to encodings: tiles of one shape, so that no sample depends on its company."""

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from skdim.encoders import Encoding, encode
from skdim.placement import on_host, standardizer
from skdim.sources import Samples

# A tile that is not full is filled up to one of these sizes, if that changes no result.
SMALLER_TILES = (4, 16, 64, 256)

# What was asked of encoders before, and their answers.
_AGREEING: WeakKeyDictionary[nn.Module, dict[tuple, bool]] = WeakKeyDictionary()
_STEADY: WeakKeyDictionary[nn.Module, dict[tuple, int]] = WeakKeyDictionary()


def tile_size(sample_shape: tuple[int, ...], device: torch.device) -> int:
    """Return how many samples to encode at once: what fits the caches of a CPU, 1024 elsewhere."""
    if device.type != "cpu":
        return 1024
    n_fitting = 2**19 // int(np.prod(sample_shape))
    return min(1024, max(16, 2 ** (n_fitting.bit_length() - 1)))


def largest_tile(sample_shape: tuple[int, ...]) -> int:
    """Return how many samples to encode at once at most: layers are larger than samples are."""
    return max(1, min(2**16, int(2**25 / np.prod(sample_shape, dtype=float))))


def encode_padded(
    encoder: nn.Module,
    samples: Samples,
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
    samples : ndarray or StoredSamples, of shape (n, channels, *sides)
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
    standardize = standardizer(samples, mean, scale, device)
    size = _steady_tile(encoder, size, samples.shape[1:], device)
    for start in range(0, len(samples), size):
        rows = samples[start : start + size]
        n = len(rows)
        if n < size:
            filled = _smallest_tile(encoder, n, size, samples.shape[1:], device)
            tile = np.zeros((filled, *rows.shape[1:]), rows.dtype)
            tile[:n] = rows
            rows = tile
        stored = on_host(rows, mean, scale).to(device)
        with torch.inference_mode():
            encoding = encode(encoder, standardize(stored))
        yield n, encoding


def _steady_tile(
    encoder: nn.Module, size: int, sample_shape: tuple[int, ...], device: torch.device
) -> int:
    """Return the largest size up to ``size`` in which a sample's place changes no rounding."""
    known = _STEADY.setdefault(encoder, {})
    key = (size, str(device))
    if key not in known:
        smaller = [2**k for k in reversed(range(1, 16)) if 2**k < size]
        agreeing = (n for n in (size, *smaller) if _places_agree(encoder, n, sample_shape, device))
        known[key] = next(agreeing, 1)
    return known[key]


@torch.inference_mode()
def _places_agree(
    encoder: nn.Module, size: int, sample_shape: tuple[int, ...], device: torch.device
) -> bool:
    """Ask whether noise rounds alike when every sample moves on by one place.

    Kernels may treat the last rows of a product otherwise, where layers or tiles are small.
    """
    noise = torch.randn(size, *sample_shape, generator=torch.Generator().manual_seed(0)).to(device)
    code, hidden, local_maps, _ = encode(encoder, noise)
    code_too, hidden_too, maps_too, _ = encode(encoder, noise.roll(1, 0))
    pairs = zip((code, hidden, *local_maps), (code_too, hidden_too, *maps_too), strict=True)
    return all(torch.equal(one.roll(1, 0), moved) for one, moved in pairs)


def _smallest_tile(
    encoder: nn.Module, n: int, size: int, sample_shape: tuple[int, ...], device: torch.device
) -> int:
    """Return the smallest size for n samples that gives bit for bit what a full tile gives."""
    known = _AGREEING.setdefault(encoder, {})
    for smaller in SMALLER_TILES:
        if n <= smaller < size:
            key = (smaller, size, str(device))
            if key not in known:
                known[key] = _agree(encoder, smaller, size, sample_shape, device)
            if known[key]:
                return smaller
    return size


@torch.inference_mode()
def _agree(
    encoder: nn.Module, smaller: int, size: int, sample_shape: tuple[int, ...], device: torch.device
) -> bool:
    """Ask whether this encoder on this machine rounds alike in tiles of both sizes.

    Kernels may add in another order for another shape; here noise goes through both, first and
    last samples of a full tile.
    """
    noise = torch.randn(size, *sample_shape, generator=torch.Generator().manual_seed(0)).to(device)
    code, hidden, local_maps, _ = encode(encoder, noise)
    for rows in (slice(None, smaller), slice(size - smaller, None)):
        code_too, hidden_too, maps_too, _ = encode(encoder, noise[rows])
        pairs = zip((code, hidden, *local_maps), (code_too, hidden_too, *maps_too), strict=True)
        if not all(torch.equal(full[rows], small) for full, small in pairs):
            return False
    return True
