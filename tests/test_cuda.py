"""What a GPU alone can show; skipped where there is none."""

import pickle
import time

import numpy as np
import pytest
import torch

from skdim._training.cuda_graph import WORTHWHILE, CUDAGraphCapturer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

LONG = {"max_epochs": WORTHWHILE, "learning_rate": 2**-9, "lr_schedule": "constant"}


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    "params",
    [{}, {"prior_weight": 0.5, "global_weight": 0.5}, {"augment": None}, {"critic": "concat"}],
)
def test_a_recorded_fit_is_the_fit(quick, images, deterministic, monkeypatch, params):
    seconds, record = [], CUDAGraphCapturer.record

    def timed(self, function):
        start = time.perf_counter()
        replay = record(self, function)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
        return replay

    monkeypatch.setattr(CUDAGraphCapturer, "record", timed)
    recorded = quick(device="cuda", **LONG, **params).fit(images)
    assert seconds
    assert sum(seconds) < 2
    monkeypatch.setattr("skdim.transformer.choose_capturer", lambda *_: None)
    plain = quick(device="cuda", **LONG, **params).fit(images)
    np.testing.assert_allclose(recorded.history_[-1]["loss"], plain.history_[-1]["loss"], rtol=1e-2)


def test_fits_repeat_bit_for_bit_under_deterministic_algorithms(quick, images, deterministic):
    codes = [quick(device="cuda", **LONG).fit(images).transform(images) for _ in range(2)]
    np.testing.assert_array_equal(*codes)


def test_streamed_samples_are_the_samples(quick, images, deterministic):
    codes = [
        quick(device="cuda", data_on_device=loader).fit(images).transform(images)
        for loader in (True, False)
    ]
    np.testing.assert_array_equal(*codes)


def test_what_was_fitted_on_a_gpu_loads_on_a_cpu(quick, images):
    dim = quick(device="cuda").fit(images)
    codes = dim.transform(images)
    dim.set_params(device="cpu")
    np.testing.assert_allclose(
        pickle.loads(pickle.dumps(dim)).transform(images), codes, rtol=0, atol=1e-3
    )
