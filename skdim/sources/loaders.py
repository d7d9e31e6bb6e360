"""Data loaders: samples in device memory, or streamed to the device a batch at a time.

Results are the same with both.
"""

import numpy as np
import torch
from torch import Tensor

from skdim.sources.standardization import Standardization
from skdim.sources.stored import Samples


class DeviceLoader:
    """All samples lie in the memory of the device.

    Parameters
    ----------
    samples : ndarray or StoredSamples, of shape (n, n_channels, *sides)
    standardization : Standardization
        Names the device.

    Attributes
    ----------
    standardize : callable (batch) -> batch
        What remains to be done to a batch on the device.
    indices_device : torch.device
        Where the indices of a batch must lie.
    """

    def __init__(self, samples: Samples, standardization: Standardization):
        in_memory = samples if isinstance(samples, np.ndarray) else samples[:]
        self.samples = standardization.on_host(in_memory).to(standardization.device)
        self.standardize = standardization.on_device(samples.dtype)
        self.indices_device = standardization.device

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, indices: Tensor) -> Tensor:
        """Return samples (n_indices, n_channels, *sides) on the device, not yet standardised."""
        return self.samples[indices]


class StreamingLoader:
    """Samples stay where they are; a batch is copied while the device works on the one before.

    Parameters and attributes are those of `DeviceLoader`.
    """

    def __init__(self, samples: Samples, standardization: Standardization):
        self.samples, self.standardization = samples, standardization
        self.standardize = standardization.on_device(samples.dtype)
        self.indices_device = torch.device("cpu")
        device = standardization.device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, indices: Tensor) -> Tensor:
        """Return samples (n_indices, n_channels, *sides) on the device, not yet standardised."""
        batch = self.standardization.on_host(self.samples[indices.numpy()])
        device = self.standardization.device
        if self.stream is None:
            return batch.to(device)
        # Pinned memory comes from a pool that knows which copies are under way: buffers in turn.
        pinned = batch.pin_memory()
        with torch.cuda.stream(self.stream):
            copied = pinned.to(device, non_blocking=True)
        working = torch.cuda.current_stream(device)
        working.wait_stream(self.stream)
        copied.record_stream(working)
        return copied


Loader = DeviceLoader | StreamingLoader


def load(
    samples: Samples, standardization: Standardization, data_on_device: bool | str = "auto"
) -> Loader:
    """Load samples as ``data_on_device`` says.

    "auto" streams what does not lie in memory, and what would fill half of a GPU's free memory.
    """
    if data_on_device == "auto":
        if not isinstance(samples, np.ndarray):
            data_on_device = False
        elif standardization.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(standardization.device)
            data_on_device = samples.nbytes < free / 2
        else:
            data_on_device = True
    return (DeviceLoader if data_on_device else StreamingLoader)(samples, standardization)
