"""From samples to encodings: padded batches of one shape, so that no sample affects another.

A sample's features must not depend on the other samples in X. Kernels may round differently for
another shape of the batch, or for another position in it. So batches are padded to a few sizes that
were found to round alike.
"""

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from skdim.encoders import Encoding, encode, fixed_features
from skdim.sources.comparison import Comparison
from skdim.sources.standardization import Standardization
from skdim.sources.stored import Samples

# A batch that is not full is padded to one of these sizes, if that changes no result.
SMALLER_BATCHES = (4, 16, 64, 256)

# Encodings of padded batches: the number of samples, and the encoding of the whole batch.
EncodedBatches = Iterator[tuple[int, Encoding]]

# Numbers in the largest layer of a batch: at most 128 MiB if the user sets the size of batches. If
# not, 16 MiB, or up to 256 MiB for at most 16 samples, such as volumes in a wide encoder. The batch
# that is tried on noise, even for a single sample, has 16 MiB, or is the default.
LARGEST_LAYER, LARGEST_USUAL_LAYER, TRIED_LAYER = 2**25, 2**26, 2**22

# Likewise, of fixed features that are computed at once: what fits into the caches of a CPU, or 256
# MiB on another device, because every part has to launch its kernels.
CACHED_LAYER, LARGEST_FIXED_LAYER = 2**20, 2**26

# Answers to earlier questions. They are the same for all encoders of an architecture.
_NUMBERS: dict[Hashable, int] = {}
_ARCHITECTURES: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
_LAYER_SIZES: dict[Hashable, int] = {}
_AGREEING: dict[Hashable, bool] = {}
_STEADY: dict[Hashable, int] = {}


@dataclass(frozen=True)
class Computation:
    """What is computed for each sample of a batch: the trained layers, or the fixed features.

    Attributes
    ----------
    encoder : nn.Module
        In evaluation mode.
    sample_shape : tuple of int
    device : torch.device
    is_fixed : bool
        Whether fixed features are computed, by themselves.
    """

    encoder: nn.Module
    sample_shape: tuple[int, ...]
    device: torch.device
    is_fixed: bool = False

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the layers for samples (n, *sample_shape), each with n in front."""
        if self.is_fixed:
            return (fixed_features(self.encoder, x),)
        encoding = encode(self.encoder, x, with_fixed=False)
        return (encoding.code, encoding.hidden, *encoding.local_maps)

    @cached_property
    def key(self) -> Hashable:
        """What decides how results are rounded, in addition to the size of the batch."""
        conditions = self.sample_shape, str(self.device), torch.get_num_threads()
        return self.is_fixed, _architecture(self.encoder), conditions

    @property
    def layer_size(self) -> int:
        """About how many numbers the largest layer has for one sample; at least the sample's."""
        key = self.key
        if key not in _LAYER_SIZES:
            sizes = []
            for n in (1, 2):  # results that grow with the number of samples are layers
                with _ResultSizes() as results, torch.inference_mode():
                    self(torch.zeros(n, *self.sample_shape, device=self.device))
                sizes.append(results.sizes)
            growth = (two - one for one, two in zip(*sizes, strict=False))
            _LAYER_SIZES[key] = max(1, math.prod(self.sample_shape), *growth)
        return _LAYER_SIZES[key]


def _architecture(encoder: nn.Module) -> int:
    """A number for all that an encoder computes with, but for the values of its weights."""
    if encoder not in _ARCHITECTURES:
        modules = [
            (name, type(module), repr([item for item in vars(module).items() if item[0][0] != "_"]))
            for name, module in encoder.named_modules()
        ]
        weights = chain(encoder.named_parameters(), encoder.named_buffers())
        shapes = [(name, tensor.shape, tensor.stride(), tensor.dtype) for name, tensor in weights]
        # Every transform asks several times: a number is compared at once, this tuple is not.
        _ARCHITECTURES[encoder] = _NUMBERS.setdefault((*modules, *shapes), len(_NUMBERS))
    return _ARCHITECTURES[encoder]


class _ResultSizes(TorchFunctionMode):
    """A context that notes how many numbers the result of each function has."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call ``func``, and note the size of what it returns."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.sizes.append(result.numel())
        return result


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
    computation = Computation(encoder, sample_shape, device)
    usual = _usual_batch(computation)
    fitting = max(usual, LARGEST_LAYER // computation.layer_size)
    return min(int(wanted or usual), largest_batch(sample_shape), fitting)


def _usual_batch(computation: Computation) -> int:
    """The default number, but fewer samples if an encoder is far larger than the usual ones."""
    usual = inference_batch_size(computation.sample_shape, computation.device)
    if computation.device.type != "cpu":
        return usual
    layer_size = computation.layer_size
    fitting = max(TRIED_LAYER // layer_size, min(16, LARGEST_USUAL_LAYER // layer_size))
    return min(usual, _power_of_two(fitting))


def _power_of_two(n: int) -> int:
    """The largest power of two of at most n, and at least 1."""
    return 2 ** (max(1, n).bit_length() - 1)


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
    computation = Computation(encoder, samples.shape[1:], standardization.device)
    batch_size = _agreeing_batch(computation, len(samples), batch_size)
    for start in range(0, len(samples), batch_size):
        with torch.inference_mode():
            batch = standardization(samples[start : start + batch_size])
            n_padded = _smallest_batch(computation, len(batch), batch_size)
            encoding = encode_in_parts(encoder, batch, n_padded, with_fixed=with_fixed)
        yield len(batch), encoding


def encode_in_parts(
    encoder: nn.Module, batch: Tensor, n_padded: int, *, with_fixed: bool = True
) -> Encoding:
    """Encode a batch padded to ``n_padded`` samples; add fixed features, if they are wanted."""
    encoding = encode(encoder, _pad(batch, n_padded), with_fixed=False)
    return add_fixed_in_parts(encoder, batch, encoding) if with_fixed else encoding


def add_fixed_in_parts(encoder: nn.Module, x: Tensor, encoding: Encoding) -> Encoding:
    """Add the fixed features of samples x, if the encoder has any, to their padded encoding.

    Their layers are large. So they are computed for a few samples at a time.
    """
    if not hasattr(encoder, "fixed_features"):
        return encoding
    computation = Computation(encoder, tuple(x.shape[1:]), x.device, is_fixed=True)
    largest = CACHED_LAYER if x.device.type == "cpu" else LARGEST_FIXED_LAYER
    n_at_once = min(1024, _power_of_two(largest // computation.layer_size))
    n_at_once = _steady_batch(computation, n_at_once)
    parts = []
    for part in x.split(n_at_once):
        padded = _pad(part, _smallest_batch(computation, len(part), n_at_once))
        parts.append(computation(padded)[0][: len(part)])
    fixed = _pad(torch.cat(parts), len(encoding.code))
    return encoding._replace(fixed=fixed) if fixed.shape[1] else encoding


def _pad(x: Tensor, n: int) -> Tensor:
    """Append zeros to samples, up to n in all."""
    return torch.cat([x, x.new_zeros(n - len(x), *x.shape[1:])]) if len(x) < n else x


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


# ------------------------------------------------------------ batches that round alike


def _agreeing_batch(computation: Computation, n: int, batch_size: int) -> int:
    """The largest batch of at most ``batch_size`` that rounds alike for any number of samples.

    To try it takes the memory of a batch. So a large batch is tried only on as many samples, and
    must agree with a smaller one.
    """
    tried = max(_usual_batch(computation), TRIED_LAYER // computation.layer_size)
    tried = min(batch_size, tried)
    steady = _steady_batch(computation, tried)
    if n < batch_size or batch_size == tried:
        return steady
    larger = _steady_batch(computation, batch_size)
    return larger if larger > steady and _agree(computation, steady, larger) else steady


def _steady_batch(computation: Computation, batch_size: int) -> int:
    """The largest batch of at most ``batch_size`` in which all positions round alike."""
    key = (computation.key, batch_size)
    if key not in _STEADY:
        smaller = [2**k for k in reversed(range(1, 16)) if 2**k < batch_size]
        agreeing = (n for n in (batch_size, *smaller) if _positions_agree(computation, n))
        _STEADY[key] = next(agreeing, 1)
    return _STEADY[key]


@torch.inference_mode()
def _positions_agree(computation: Computation, batch_size: int) -> bool:
    """Whether noise rounds alike when every sample moves on by one position.

    Kernels may treat the last samples of a small batch or layer differently.
    """
    noise = _noise(computation, batch_size)
    unmoved, moved = computation(noise), computation(noise.roll(1, 0))
    return all(torch.equal(a.roll(1, 0), b) for a, b in zip(unmoved, moved, strict=True))


def _smallest_batch(computation: Computation, n: int, batch_size: int) -> int:
    """The smallest batch for n samples whose results equal those of a full batch bit for bit."""
    if n == batch_size:
        return n
    # Batches of one sample often round differently; fixed features rarely do.
    sizes = (1, *SMALLER_BATCHES) if computation.is_fixed else SMALLER_BATCHES
    fitting = (size for size in sizes if n <= size < batch_size)
    return next((size for size in fitting if _agree(computation, size, batch_size)), batch_size)


def _agree(computation: Computation, smaller: int, batch_size: int) -> bool:
    """Whether batches of both sizes round alike; remembered."""
    key = (computation.key, smaller, batch_size)
    if key not in _AGREEING:
        _AGREEING[key] = _sizes_agree(computation, smaller, batch_size)
    return _AGREEING[key]


@torch.inference_mode()
def _sizes_agree(computation: Computation, smaller: int, batch_size: int) -> bool:
    """Whether this encoder on this machine rounds alike in batches of both sizes.

    Kernels may add in another order for another shape. So the first and the last samples of a full
    batch of noise are encoded in both sizes.
    """
    noise = _noise(computation, batch_size)
    full = computation(noise)
    for part in (slice(None, smaller), slice(batch_size - smaller, None)):
        small = computation(noise[part])
        if not all(torch.equal(a[part], b) for a, b in zip(full, small, strict=True)):
            return False
    return True


def _noise(computation: Computation, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n, *computation.sample_shape, generator=generator, dtype=torch.float32)
    return noise.to(computation.device)
