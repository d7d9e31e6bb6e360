"""Both data loaders give the same batches."""

import numpy as np
import pytest
import torch

from skdim.sources.loaders import DeviceLoader, StreamingLoader, load
from skdim.sources.standardization import Standardization, channel_statistics

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_both_loaders_give_the_same_batches(dtype, axes):
    X = np.random.default_rng(0).integers(0, 200, (30, 2, 4, 4)).astype(dtype).transpose(axes)
    standardization = Standardization(*channel_statistics(X)[:2], CPU)
    indices = torch.tensor([3, 29, 3, 0])
    batches = [
        loader.standardize(loader.take(indices))
        for loader in (kind(X, standardization) for kind in (DeviceLoader, StreamingLoader))
    ]
    assert batches[0].equal(batches[1])
    assert batches[0].equal(standardization(X[indices.numpy()]))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("with_groups", [False, True])
def test_the_loader_never_changes_a_fit(quick, images, dtype, with_groups):
    X = images.astype(dtype)
    groups = np.arange(len(X)) % 7 if with_groups else None
    codes = [
        quick(data_on_device=loader).fit(X, groups=groups).transform(X) for loader in (True, False)
    ]
    np.testing.assert_array_equal(*codes)


@pytest.fixture
def gpu(monkeypatch):
    """Stands for a GPU with 1,000 bytes free: its name, and tensors that stay where they are."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *args, **kwargs: self)
    return Standardization(np.zeros(1), np.ones(1), torch.device("cuda"))


def test_auto_streams_what_would_fill_half_of_the_memory_of_a_gpu(gpu):
    assert isinstance(load(np.zeros((499, 1), np.uint8), gpu), DeviceLoader)
    assert isinstance(load(np.zeros((500, 1), np.uint8), gpu), StreamingLoader)
    assert isinstance(load(np.zeros((500, 1), np.uint8), gpu, True), DeviceLoader)


def test_samples_in_memory_stay_there_on_a_cpu():
    cpu = Standardization(np.zeros(1), np.ones(1), CPU)
    assert isinstance(load(np.zeros((500, 1), np.uint8), cpu), DeviceLoader)
    assert isinstance(load(np.zeros((1, 1), np.uint8), cpu, False), StreamingLoader)
