"""From samples to encodings: padded batches of one shape, so that no sample affects another.

A sample's features must not depend on the other samples in X. Kernels may round differently for
another shape of the batch, or for another position in it. So batches are padded to a few sizes that
were found to round alike.
"""

from collections.abc import Iterator
from contextlib import suppress
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from skdim.encoders import Encoding, encode
from skdim.encoders.contract import copy_to_meta
from skdim.sources.comparison import Comparison
from skdim.sources.standardization import Standardization
from skdim.sources.stored import Samples

# A batch that is not full is padded to one of these sizes, if that changes no result.
SMALLER_BATCHES = (4, 16, 64, 256)

# Encodings of padded batches: the number of samples, and the encoding of the whole batch.
EncodedBatches = Iterator[tuple[int, Encoding]]

# Numbers in the largest layer of a batch: at most 128 MiB if the user sets the size of batches, and
# 256 MiB if not, which is that of volumes in a wide encoder. The batch that is tried on noise, even
# for a single sample, has 16 MiB, or is the default.
LARGEST_LAYER, LARGEST_USUAL_LAYER, TRIED_LAYER = 2**25, 2**26, 2**22

# Answers to earlier questions about each encoder.
_LAYER_SIZES: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
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
    wanted: int | None, encoder: nn.Module, sample_shape: tuple[int, ...], device: torch.device
) -> int:
    """Number of samples that ``transform_batch_size`` means, so that no layer is too large."""
    usual = _usual_batch(encoder, sample_shape, device)
    fitting = max(usual, LARGEST_LAYER // layer_size(encoder, sample_shape))
    return min(int(wanted or usual), largest_batch(sample_shape), fitting)


def _usual_batch(encoder: nn.Module, sample_shape: tuple[int, ...], device: torch.device) -> int:
    """The default number, but fewer samples if an encoder is far larger than the usual ones."""
    usual = inference_batch_size(sample_shape, device)
    if device.type != "cpu":
        return usual
    fitting = max(1, LARGEST_USUAL_LAYER // layer_size(encoder, sample_shape))
    return min(usual, 2 ** (fitting.bit_length() - 1))


def layer_size(encoder: nn.Module, sample_shape: tuple[int, ...]) -> int:
    """About how many numbers the largest layer has for one sample; at least those of the sample.

    Fixed features, which are computed for a few samples at a time, do not count.
    """
    if encoder not in _LAYER_SIZES:
        sizes, n = _ResultSizes(), 256  # so many that weights hardly count
        with suppress(Exception):  # a user's layer may raise anything without numbers
            twin = copy_to_meta(encoder)
            with sizes, torch.no_grad():
                twin(torch.empty(n, *sample_shape, device="meta", dtype=torch.float32))
        _LAYER_SIZES[encoder] = max(sizes.largest // n, int(np.prod(sample_shape)), 1)
    return _LAYER_SIZES[encoder]


class _ResultSizes(TorchFunctionMode):
    """A context that notes how many numbers the largest result of a function has."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call ``func``, and measure what it returns."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.largest = max(self.largest, result.numel())
        return result


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
    batch_size = _agreeing_batch(encoder, len(samples), batch_size, sample_shape, device)
    for start in range(0, len(samples), batch_size):
        with torch.inference_mode():
            batch = standardization(samples[start : start + batch_size])
            n = len(batch)
            if n < batch_size:
                n_padded = _smallest_batch(encoder, n, batch_size, sample_shape, device)
                batch = torch.cat([batch, batch.new_zeros(n_padded - n, *sample_shape)])
            encoding = encode(encoder, batch, with_fixed=with_fixed)
        yield n, encoding


def exact_product(samples: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Multiply samples (n, n_units) by a matrix, in doubles, and return float32.

    Sums of doubles round to the same floats whatever the number of samples. Torch adds, because
    numpy's threads would busily wait in the way of the next batch.
    """
    product = torch.from_numpy(samples).double() @ torch.from_numpy(matrix).double()
    return product.float().numpy()


def concatenate(batches: EncodedBatches) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Codes (n, n_code) and local maps (n, n_locations, n_channels), without padding."""
    codes, maps = [], []
    for n, encoding in batches:
        codes.append(encoding.code[:n])
        maps.append([local_map[:n] for local_map in encoding.local_maps])
    return torch.cat(codes), tuple(torch.cat(parts) for parts in zip(*maps, strict=True))


def _agreeing_batch(
    encoder: nn.Module, n: int, batch_size: int, sample_shape: tuple[int, ...], device: torch.device
) -> int:
    """The largest batch of at most ``batch_size`` that rounds alike for any number of samples.

    To try it takes the memory of a batch. So a large batch is tried only on as many samples, and
    must agree with a smaller one.
    """
    usual = _usual_batch(encoder, sample_shape, device)
    tried = min(batch_size, max(usual, TRIED_LAYER // layer_size(encoder, sample_shape)))
    steady = _steady_batch(encoder, tried, sample_shape, device)
    if n < batch_size or batch_size == tried:
        return steady
    larger = _steady_batch(encoder, batch_size, sample_shape, device)
    agrees = larger > steady and _agree(encoder, steady, larger, sample_shape, device)
    return larger if agrees else steady


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
    for smaller in SMALLER_BATCHES:
        if n <= smaller < batch_size and _agree(encoder, smaller, batch_size, sample_shape, device):
            return smaller
    return batch_size


def _agree(
    encoder: nn.Module,
    smaller: int,
    batch_size: int,
    sample_shape: tuple[int, ...],
    device: torch.device,
) -> bool:
    """Whether batches of both sizes round alike; remembered."""
    known = _AGREEING.setdefault(encoder, {})
    key = (smaller, batch_size, str(device))
    if key not in known:
        known[key] = _sizes_agree(encoder, smaller, batch_size, sample_shape, device)
    return known[key]


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
