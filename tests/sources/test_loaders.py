"""Both data loaders give the same batches; features do not depend on the batch."""

import numpy as np
import pytest
import torch
from torch import nn

from skdim._model.inference import SMALLER_BATCHES, encode_padded
from skdim.encoders import ENCODERS, Encoding
from skdim.sources._loaders import DeviceLoader, StreamingLoader, choose_loader, to_tensor

CPU = torch.device("cpu")


def samples(dtype, shape=(30, 2, 4, 4)):
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_both_loaders_give_the_same_batches(dtype, axes):
    X = samples(dtype).transpose(axes)
    mean, scale = X.mean((0, 2, 3), dtype=np.float64), X.std((0, 2, 3), dtype=np.float64)
    indices = torch.tensor([3, 29, 3, 0])
    batches = [
        loader.standardize(loader.take(indices))
        for loader in (kind(X, mean, scale, CPU) for kind in (DeviceLoader, StreamingLoader))
    ]
    assert batches[0].equal(batches[1])
    wide = (-1, 1, 1)
    expected = (X[indices.numpy()] - mean.reshape(wide)) / scale.reshape(wide)
    np.testing.assert_allclose(batches[0].numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("with_groups", [False, True])
def test_the_loader_never_changes_a_fit(quick, images, dtype, with_groups):
    X = images.astype(dtype)
    groups = np.arange(len(X)) % 7 if with_groups else None
    codes = [
        quick(data_on_device=loader).fit(X, groups=groups).transform(X) for loader in (True, False)
    ]
    np.testing.assert_array_equal(*codes)


def test_auto_streams_what_would_fill_half_of_the_memory_of_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    gpu = torch.device("cuda")
    assert choose_loader("auto", np.empty(499, np.uint8), gpu) is DeviceLoader
    assert choose_loader("auto", np.empty(500, np.uint8), gpu) is StreamingLoader
    assert choose_loader(True, np.empty(500, np.uint8), gpu) is DeviceLoader
    assert choose_loader("auto", np.empty(500, np.uint8), CPU) is DeviceLoader
    assert choose_loader(False, np.empty(1, np.uint8), CPU) is StreamingLoader


def test_arrays_that_torch_can_hold_are_shared_and_others_copied():
    X = samples(np.float32)
    backwards, read_only = X[:, ::-1], X.copy()
    read_only.flags.writeable = False
    for array, is_shared in ((X, True), (X.transpose(0, 2, 3, 1), True), (backwards, False)):
        assert np.shares_memory(to_tensor(array).numpy(), array) == is_shared
        np.testing.assert_array_equal(to_tensor(array).numpy(), array)
    assert not np.shares_memory(to_tensor(read_only).numpy(), read_only)


# ---------------------------------------------------------------------- padded batches

SHAPES = {
    "mlp": (5,),
    "signal": (2, 40),
    "conv": (3, 16, 16),
    "resnet": (3, 16, 16),
    "paper32": (3, 32, 32),
}


def codes(encoder, X, batch_size):
    mean, scale = np.zeros(X.shape[1]), np.ones(X.shape[1])
    batches = encode_padded(encoder, X, mean, scale, batch_size, CPU)
    return torch.cat([encoding.code[:n] for n, encoding in batches])


@pytest.mark.parametrize("name", SHAPES)
def test_a_code_does_not_depend_on_the_batch(name):
    torch.manual_seed(0)
    encoder = ENCODERS[name](SHAPES[name], 8).eval()
    X = np.random.default_rng(0).standard_normal((150, *SHAPES[name])).astype(np.float32)
    together = codes(encoder, X, 128)
    for first, n in ((0, 1), (149, 1), (7, 3), (20, 5), (100, 17), (0, 149)):
        assert codes(encoder, X[first : first + n], 128).equal(together[first : first + n])


class Echo(nn.Module):
    """Returns samples as codes; a dependent one adds the size of the batch."""

    def __init__(self, is_dependent):
        super().__init__()
        self.is_dependent = is_dependent
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        code = x.flatten(1)[:, :2] + (len(x) if self.is_dependent else 0)
        return Encoding(code, code, (code[:, None],))


@pytest.mark.parametrize(("is_dependent", "smallest"), [(False, 4), (True, 32)])
def test_smaller_batches_are_used_where_they_change_nothing(is_dependent, smallest):
    encoder = Echo(is_dependent)
    X = samples(np.float32)[:3]
    codes(encoder, X, 32)
    assert encoder.seen[-1] == smallest
    n_calls = len(encoder.seen)
    codes(encoder, X, 32)
    assert len(encoder.seen) == n_calls + 1  # the smallest size is remembered
    assert set(encoder.seen) <= {*SMALLER_BATCHES, 32}
