"""What only a GPU can show; skipped without one.

The suite of the pretended device (``tests/device``) runs the same branches without one.
"""

import os
import pickle
import time

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skdim._training.cuda_graph import WORTHWHILE, CUDAGraphCapturer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

# Without it, cuBLAS is not deterministic; read when its first handle is made.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

LONG = {"max_epochs": WORTHWHILE, "learning_rate": 2**-9, "lr_schedule": "constant"}


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"prior_weight": 0.5, "global_weight": 0.5},
        {"augment": None},
        {"critic": "concat"},
        {"data_on_device": False},
        {"optimizer": "adam", "weight_averaging": 0.2},
    ],
)
def test_a_captured_fit_equals_an_eager_one(quick, images, deterministic, monkeypatch, params):
    seconds, capture = [], CUDAGraphCapturer.capture

    def timed(self, function):
        start = time.perf_counter()
        replay = capture(self, function)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
        return replay

    monkeypatch.setattr(CUDAGraphCapturer, "capture", timed)
    captured = quick(device="cuda", **LONG, **params).fit(images)
    n_graphs = len(seconds)
    assert n_graphs
    assert sum(seconds) < 2
    plain = quick(device="cuda", callbacks=[Callback()], **LONG, **params).fit(images)
    assert len(seconds) == n_graphs  # callbacks may change what a step does
    np.testing.assert_allclose(captured.history_[-1]["loss"], plain.history_[-1]["loss"], rtol=1e-2)


SHAPES = {
    "tables": ((90, 9), {}),
    "signals": ((90, 2, 64), {"channel_axis": 1}),
    "images": ((90, 16, 16), {"channel_axis": None}),
    "volumes": ((90, 8, 8, 9), {"channel_axis": None}),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_fits_repeat_bit_for_bit_under_deterministic_algorithms(quick, deterministic, kind):
    shape, layout = SHAPES[kind]
    X = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    codes = [quick(device="cuda", **LONG, **layout).fit(X).transform(X) for _ in range(2)]
    np.testing.assert_array_equal(*codes)


def test_a_step_that_cannot_be_captured_leaves_the_fit_as_it_is(quick, images):
    """A failed capture, of an `augment` that reads a number, leaves generators usable."""

    def views(batch, generator):
        batch.sum().item()
        return batch + torch.randn(batch.shape, generator=generator, device=batch.device)

    dim = quick(device="cuda", augment=views, **LONG).fit(images)
    assert np.isfinite(dim.transform(images)).all()
    torch.rand(3, device="cuda")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_gpu_that_is_not_the_current_one(quick, images):
    dim = quick(device="cuda:1", **LONG).fit(images)
    assert dim.device_ == torch.device("cuda", 1)
    assert torch.cuda.current_device() == 0


def test_both_loaders_give_the_same_features(quick, images, deterministic):
    codes = [
        quick(device="cuda", data_on_device=on_device).fit(images).transform(images)
        for on_device in (True, False)
    ]
    np.testing.assert_array_equal(*codes)


def test_what_was_fitted_on_a_gpu_loads_on_a_cpu(quick, images):
    dim = quick(device="cuda").fit(images)
    codes = dim.transform(images)
    dim.set_params(device="cpu")
    np.testing.assert_allclose(
        pickle.loads(pickle.dumps(dim)).transform(images), codes, rtol=0, atol=1e-3
    )
