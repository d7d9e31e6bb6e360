"""Data loaders: samples in device memory, or streamed to the device a batch at a time.

Both give the same results.
"""

import numpy as np
import torch
from torch import Tensor

from skdim.sources.standardization import Standardization
from skdim.sources.stored import Samples


class DeviceLoader:
    """Keeps all samples in the memory of the device.

    Parameters
    ----------
    samples : ndarray or StoredSamples, of shape (n, n_channels, *sides)
    standardization : Standardization
        It also determines the device.

    Attributes
    ----------
    standardize : callable (batch) -> batch
        Completes the standardisation of a batch on the device.
    indices_device : torch.device
        Device on which the indices of a batch must be.
    """

    def __init__(self, samples: Samples, standardization: Standardization):
        in_memory = samples if isinstance(samples, np.ndarray) else samples[:]
        self.samples = standardization.on_host(in_memory).to(standardization.device)
        self.standardize = standardization.on_device(samples.dtype)
        self.indices_device = standardization.device

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, indices: Tensor) -> Tensor:
        """Return samples (n_indices, n_channels, *sides) on the device, before ``standardize``."""
        return self.samples[indices]


class StreamingLoader:
    """Leaves samples where they are; copies a batch while the device works on the previous one.

    It has the same parameters and attributes as `DeviceLoader`.
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
        """Return samples (n_indices, n_channels, *sides) on the device, before ``standardize``."""
        batch = self.standardization.on_host(self.samples[indices.numpy()])
        device = self.standardization.device
        if self.stream is None:
            return batch.to(device)
        # Pinned memory comes from a pool, which reuses a buffer only after its copy is complete.
        pinned = batch.pin_memory()
        with torch.cuda.stream(self.stream):
            batch = pinned.to(device, non_blocking=True)
        working_stream = torch.cuda.current_stream(device)
        working_stream.wait_stream(self.stream)
        batch.record_stream(working_stream)
        return batch


Loader = DeviceLoader | StreamingLoader


def load(
    samples: Samples, standardization: Standardization, data_on_device: bool | str = "auto"
) -> Loader:
    """Load samples as ``data_on_device`` says.

    "auto" streams samples that are not in memory, or that would fill half of a GPU's free memory.
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
