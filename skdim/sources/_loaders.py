"""Data loaders: samples in device memory, or streamed to the device a batch at a time.

Results are the same with both. Bytes and floats keep their type on the way and are standardised on
the device. Doubles are standardised before, as doubles, on the host: a year or a time stamp keeps
its digits, and no device needs to know doubles.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from skdim.sources._lazy import Samples

Standardize = Callable[[Tensor], Tensor]


class DeviceLoader:
    """All samples lie in the memory of the device.

    Parameters
    ----------
    samples : ndarray or StoredSamples, of shape (n, n_channels, ...)
    mean, scale : ndarray of shape (n_channels,)
    device : torch.device

    Attributes
    ----------
    indices_device : torch.device
        Where the indices of a batch must lie.
    """

    def __init__(self, samples: Samples, mean: np.ndarray, scale: np.ndarray, device: torch.device):
        in_memory = samples if isinstance(samples, np.ndarray) else samples[:]
        self.stored = to_host_tensor(in_memory, mean, scale).to(device)
        self.standardize = standardizer(samples, mean, scale, device)
        self.indices_device = device

    def __len__(self) -> int:
        return len(self.stored)

    def take(self, indices: Tensor) -> Tensor:
        """Return samples (n_indices, n_channels, ...) on the device, not yet standardised."""
        return self.stored[indices]


class StreamingLoader:
    """Samples stay where they are; a batch is copied while the device works on the one before.

    Parameters and attributes are those of `DeviceLoader`.
    """

    def __init__(self, samples: Samples, mean: np.ndarray, scale: np.ndarray, device: torch.device):
        self.samples, self.mean, self.scale, self.device = samples, mean, scale, device
        self.standardize = standardizer(samples, mean, scale, device)
        self.indices_device = torch.device("cpu")
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, indices: Tensor) -> Tensor:
        """Return samples (n_indices, n_channels, ...) on the device, not yet standardised."""
        batch = to_host_tensor(self.samples[indices.numpy()], self.mean, self.scale)
        if self.stream is None:
            return batch.to(self.device)
        # Pinned memory comes from a pool that knows which copies are under way: buffers in turn.
        pinned = batch.pin_memory()
        with torch.cuda.stream(self.stream):
            copied = pinned.to(self.device, non_blocking=True)
        working = torch.cuda.current_stream(self.device)
        working.wait_stream(self.stream)
        copied.record_stream(working)
        return copied


Loader = DeviceLoader | StreamingLoader


def choose_loader(
    data_on_device: bool | str, samples: Samples, device: torch.device
) -> type[DeviceLoader] | type[StreamingLoader]:
    """Return the loader that ``data_on_device`` means.

    "auto" streams what does not lie in memory, and what would fill half of a GPU's free memory.
    """
    if data_on_device == "auto":
        if not isinstance(samples, np.ndarray):
            data_on_device = False
        elif device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            data_on_device = samples.nbytes < free / 2
        else:
            data_on_device = True
    return DeviceLoader if data_on_device else StreamingLoader


def to_host_tensor(samples: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> Tensor:
    """Return samples as a tensor that shares their memory where it can; doubles standardised.

    Parameters
    ----------
    samples : ndarray of shape (n, n_channels, ...)
    mean, scale : ndarray of shape (n_channels,)
    """
    if samples.dtype != np.float64:
        return to_tensor(samples)
    wide_mean, wide_scale = _widen(samples, mean), _widen(samples, scale)
    standardized = np.empty(samples.shape, np.float32)
    for start in range(0, len(samples), 4096):
        chunk = slice(start, start + 4096)
        with np.errstate(over="ignore"):  # features are checked to be finite
            standardized[chunk] = (samples[chunk] - wide_mean) / wide_scale
    return to_tensor(standardized)


def standardizer(
    samples: Samples, mean: np.ndarray, scale: np.ndarray, device: torch.device
) -> Standardize:
    """Return what remains to be done to a batch on the device: callable (batch) -> float32."""
    if samples.dtype == np.float64:
        return already_standardized
    device_mean, device_scale = (
        torch.from_numpy(_widen(samples, part).astype(np.float32)).to(device)
        for part in (mean, scale)
    )

    def standardize(batch: Tensor) -> Tensor:
        return torch.sub(batch, device_mean).div_(device_scale)

    return standardize


def already_standardized(batch: Tensor) -> Tensor:
    """Return a batch as it is."""
    return batch


def to_tensor(array: np.ndarray) -> Tensor:
    """Share memory with an array, except where torch cannot: read-only, negative strides."""
    if min(array.strides, default=0) < 0 or not array.flags.aligned:
        array = array.copy()  # an axis of length 1 may run backwards and be contiguous
    return torch.from_numpy(np.require(array, requirements=["W"]))


def _widen(samples: Samples, statistics: np.ndarray) -> np.ndarray:
    return statistics.reshape(-1, *[1] * (samples.ndim - 2))
