"""From samples to encodings: padded batches of one shape, so that no sample affects another.

A sample's features must not depend on the other samples in X. Kernels may round differently for
another shape of the batch, or for another position in it. So batches are padded to a few sizes that
were found to round alike.
"""

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from skdim.encoders import Encoding, encode
from skdim.sources.comparison import Comparison
from skdim.sources.standardization import Standardization
from skdim.sources.stored import Samples

# A batch that is not full is padded to one of these sizes, if that changes no result.
SMALLER_BATCHES = (4, 16, 64, 256)

# Encodings of padded batches: the number of samples, and the encoding of the whole batch.
EncodedBatches = Iterator[tuple[int, Encoding]]

# Answers to earlier questions about each encoder.
_AGREEING: WeakKeyDictionary[nn.Module, dict[tuple, bool]] = WeakKeyDictionary()
_STEADY: WeakKeyDictionary[nn.Module, dict[tuple, int]] = WeakKeyDictionary()


def inference_batch_size(sample_shape: tuple[int, ...], device: torch.device) -> int:
    """Number of samples to encode at once: what fits the caches of a CPU, 1024 elsewhere."""
    if device.type != "cpu":
        return 1024
    n_fitting = 2**19 // int(np.prod(sample_shape))
    return min(1024, max(16, 2 ** (n_fitting.bit_length() - 1)))


def largest_batch(sample_shape: tuple[int, ...]) -> int:
    """Largest number of samples to encode at once: layers are larger than samples."""
    return max(1, min(2**16, int(2**25 / np.prod(sample_shape, dtype=float))))


def choose_batch_size(
    wanted: int | None, sample_shape: tuple[int, ...], device: torch.device
) -> int:
    """Number of samples that ``transform_batch_size`` means."""
    size = wanted or inference_batch_size(sample_shape, device)
    return min(int(size), largest_batch(sample_shape))


def encode_padded(
    encoder: nn.Module,
    samples: Samples,
    standardization: Standardization | Comparison,
    batch_size: int,
    *,
    with_fixed: bool = True,
) -> EncodedBatches:
    """Encode samples, ``batch_size`` at a time, the last batch padded with zeros.

    The encoder is in evaluation mode, on the device of the standardisation; ``with_fixed`` says
    whether fixed features are wanted. Yields the number of samples in each batch, and the encoding
    of the batch with the padding that follows them.
    """
    sample_shape, device = samples.shape[1:], standardization.device
    batch_size = _steady_batch(encoder, batch_size, sample_shape, device)
    for start in range(0, len(samples), batch_size):
        with torch.inference_mode():
            batch = standardization(samples[start : start + batch_size])
            n = len(batch)
            if n < batch_size:
                n_padded = _smallest_batch(encoder, n, batch_size, sample_shape, device)
                batch = torch.cat([batch, batch.new_zeros(n_padded - n, *sample_shape)])
            encoding = encode(encoder, batch, with_fixed=with_fixed)
        yield n, encoding


def concatenate(batches: EncodedBatches) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Codes (n, n_code) and local maps (n, n_locations, n_channels), without padding."""
    codes, maps = [], []
    for n, encoding in batches:
        codes.append(encoding.code[:n])
        maps.append([local_map[:n] for local_map in encoding.local_maps])
    return torch.cat(codes), tuple(torch.cat(parts) for parts in zip(*maps, strict=True))


def _steady_batch(
    encoder: nn.Module, batch_size: int, sample_shape: tuple[int, ...], device: torch.device
) -> int:
    """The largest batch of at most ``batch_size`` in which all positions round alike."""
    known = _STEADY.setdefault(encoder, {})
    key = (batch_size, str(device))
    if key not in known:
        smaller = [2**k for k in reversed(range(1, 16)) if 2**k < batch_size]
        sizes = (batch_size, *smaller)
        agreeing = (n for n in sizes if _positions_agree(encoder, n, sample_shape, device))
        known[key] = next(agreeing, 1)
    return known[key]


@torch.inference_mode()
def _positions_agree(
    encoder: nn.Module, batch_size: int, sample_shape: tuple[int, ...], device: torch.device
) -> bool:
    """Whether noise rounds alike when every sample moves on by one position.

    Kernels may treat the last samples of a small batch or layer differently.
    """
    noise = _noise(batch_size, sample_shape, device)
    fixed, moved = _layers(encode(encoder, noise)), _layers(encode(encoder, noise.roll(1, 0)))
    return all(torch.equal(a.roll(1, 0), b) for a, b in zip(fixed, moved, strict=True))


def _smallest_batch(
    encoder: nn.Module, n: int, batch_size: int, sample_shape: tuple[int, ...], device: torch.device
) -> int:
    """The smallest batch for n samples whose results equal those of a full batch bit for bit."""
    known = _AGREEING.setdefault(encoder, {})
    for smaller in SMALLER_BATCHES:
        if n <= smaller < batch_size:
            key = (smaller, batch_size, str(device))
            if key not in known:
                known[key] = _sizes_agree(encoder, smaller, batch_size, sample_shape, device)
            if known[key]:
                return smaller
    return batch_size


@torch.inference_mode()
def _sizes_agree(
    encoder: nn.Module,
    smaller: int,
    batch_size: int,
    sample_shape: tuple[int, ...],
    device: torch.device,
) -> bool:
    """Whether this encoder on this machine rounds alike in batches of both sizes.

    Kernels may add in another order for another shape. So the first and the last samples of a full
    batch of noise are encoded in both sizes.
    """
    noise = _noise(batch_size, sample_shape, device)
    full = _layers(encode(encoder, noise))
    for part in (slice(None, smaller), slice(batch_size - smaller, None)):
        small = _layers(encode(encoder, noise[part]))
        if not all(torch.equal(a[part], b) for a, b in zip(full, small, strict=True)):
            return False
    return True


def _noise(n: int, sample_shape: tuple[int, ...], device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, *sample_shape, generator=generator, dtype=torch.float32).to(device)


def _layers(encoding: Encoding) -> tuple[Tensor, ...]:
    fixed = () if encoding.fixed is None else (encoding.fixed,)
    return (encoding.code, encoding.hidden, *encoding.local_maps, *fixed)
