"""Fits in threads, under other defaults of torch, and under Ctrl-C: as alone, and nothing lost."""

import copy
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from helpers.products import cover
from skorch.callbacks import Callback
from torch import nn

from skdim import DIMClassifier, DIMTransformer
from skdim._runtime.distributed import ProcessGroup
from skdim._runtime.interrupts import SAME_PRESS, InterruptGuard
from skdim._runtime.seeding import may_draw_globally
from skdim.encoders import MLPEncoder

ROWS = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)


class DropoutEncoder(MLPEncoder):
    """Draws from torch's global generator in every step."""

    def __init__(self, sample_shape, n_components):
        super().__init__(sample_shape, n_components, width=32, n_hidden=32)
        self.hidden.insert(3, nn.Dropout(0.5))


def noisy(batch, generator):
    """Views that draw from torch's global generator, which they should not."""
    return batch + 0.1 * torch.randn(batch.shape)


VARIANTS = {
    "default": {},
    "dropout": {"encoder": DropoutEncoder},
    "views that draw globally": {"augment": noisy},
    "prior": {"prior_weight": 0.1, "gradient_penalty": 1.0},
    "concat": {"critic": "concat", "coordinate_weight": 0.0},
}


def fit(**params):
    settings = {"n_components": 4, "max_epochs": 2, "batch_size": 32, "device": "cpu"}
    if "encoder" not in params:
        settings["encoder_params"] = {"width": 16, "n_hidden": 64}
    return DIMTransformer(**{**settings, **params}).fit(ROWS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_fits_in_threads_are_those_of_one_thread(variant):
    def run(seed):
        return fit(random_state=seed, **VARIANTS[variant]).transform(ROWS)

    alone = [run(seed) for seed in range(4)]
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, range(4)))
    assert all(map(np.array_equal, alone, together))
    assert torch.equal(before, torch.get_rng_state())


def test_joblib_threads_repeat_too():
    run = joblib.delayed(lambda seed: fit(random_state=seed).transform(ROWS))
    first, second = (joblib.Parallel(3, prefer="threads")(map(run, range(3))) for _ in range(2))
    assert all(map(np.array_equal, first, second))


def test_only_what_is_known_trains_without_the_lock():
    known = MLPEncoder((6,), 4)
    assert not may_draw_globally([known], [torch.sigmoid, None])
    assert may_draw_globally([DropoutEncoder((6,), 4)], [])
    assert may_draw_globally([known], [noisy])
    assert may_draw_globally([nn.Sequential(known, nn.LSTM(3, 3))], [])


def test_a_fit_on_the_cpu_leaves_generators_of_gpus_alone(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", seeds.append)
    dim = fit()
    DIMClassifier(dim, max_epochs=1).fit(ROWS, ROWS[:, 0] > 0)
    copy.deepcopy(dim)
    assert seeds == []


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_fits_train_where_gradients_are_switched_off(switch):
    with switch():
        off = fit(random_state=0)
    np.testing.assert_array_equal(off.transform(ROWS), fit(random_state=0).transform(ROWS))


def test_torch_may_have_another_default_type(tmp_path):
    expected = fit(random_state=0)
    expected.save(tmp_path / "dim.safetensors")
    torch.set_default_dtype(torch.float64)
    try:
        dim = fit(random_state=0)
        found = dim.transform(ROWS), dim.score(ROWS), dim.score_samples(ROWS)
        again = DIMTransformer.load(tmp_path / "dim.safetensors").transform(ROWS)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found[0], expected.transform(ROWS))
    assert found[1] == expected.score(ROWS)
    np.testing.assert_array_equal(found[2], expected.score_samples(ROWS))
    np.testing.assert_array_equal(again, found[0])


class Raises(Callback):
    """Ends training at a hook, in an epoch."""

    def __init__(self, error, hook, epoch):
        self.error, self.epoch, self.n = error, epoch, 0
        setattr(self, hook, self.count)

    def count(self, net, **kwargs):
        if net.n_whole_epochs == self.epoch:
            raise self.error("in the middle")


HOOKS = ["on_epoch_begin", "on_batch_begin", "on_batch_end"]


@pytest.mark.parametrize(("error", "hook"), cover([ValueError, KeyboardInterrupt], HOOKS))
def test_partial_fit_that_fails_leaves_everything_as_it_was(error, hook):
    def new():
        return DIMTransformer(4, batch_size=32, random_state=0).partial_fit(ROWS)

    dim, same = new(), new()
    shallow = copy.copy(dim)
    for transformer in (dim, shallow):
        with pytest.raises(error):
            transformer.set_params(callbacks=[Raises(error, hook, 0)]).partial_fit(ROWS)
        transformer.set_params(callbacks=None)
    for _ in range(2):
        np.testing.assert_array_equal(
            dim.partial_fit(ROWS).transform(ROWS), same.partial_fit(ROWS).transform(ROWS)
        )


@pytest.mark.filterwarnings("error")
def test_a_warning_made_an_error_leaves_the_transformer_as_it_was():
    dim = DIMTransformer(4, max_epochs=1, random_state=0)
    with pytest.raises(Warning):
        dim.fit(ROWS[:50])
    assert not dim.__sklearn_is_fitted__()


def test_a_second_interrupt_is_raised_at_once():
    def interrupted_twice():
        with InterruptGuard() as guard:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)  # the same press, passed on by a launcher
            assert guard.is_pending
            guard.noted_at -= SAME_PRESS
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("a second Ctrl-C was not raised")

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_does_not_part_several_processes():
    done = []

    def interrupted_twice():
        with InterruptGuard() as guard:
            guard.processes = ProcessGroup(0, 2)
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                guard.noted_at -= SAME_PRESS
            done.append("a step")

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert done == ["a step"]


def test_an_interrupt_is_raised_at_the_end_of_the_block_at_the_latest():
    done = []

    def interrupted():
        with InterruptGuard():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("bookkeeping")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["bookkeeping"]


def test_handlers_of_others_and_other_threads_are_left_alone():
    seen = []
    previous = signal.signal(signal.SIGINT, lambda *_: seen.append("own handler"))
    try:
        with InterruptGuard() as guard:
            os.kill(os.getpid(), signal.SIGINT)
            assert not guard.is_pending
    finally:
        signal.signal(signal.SIGINT, previous)
    assert seen == ["own handler"]

    def inside():
        with InterruptGuard():
            seen.append(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == ["own handler", True]


SCRIPT = """
import os, signal, sys, threading, time
import numpy as np
from skdim import DIMTransformer
X = np.random.default_rng(0).normal(size=(400, 6)).astype("f4")
dim = DIMTransformer(4, max_epochs=500, batch_size=50, random_state=0, device="cpu")
DIMTransformer(4, max_epochs=1, device="cpu").fit(X)  # imports are done
rng = np.random.default_rng(int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    timer = threading.Timer(rng.uniform(0.05, 0.5), os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    fresh = DIMTransformer(**dim.get_params())
    try:
        fresh.fit(X)
    except KeyboardInterrupt:
        pass
    timer.join()
    if fresh.__sklearn_is_fitted__():
        assert fresh.n_iter_ == len(fresh.history_) >= 1
        assert np.isfinite(fresh.transform(X)).all()
        print("kept", fresh.n_iter_)
    else:
        print("none", 0)
"""


def test_real_interrupts_lose_no_whole_epoch(tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, "0", "6"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]
    outcomes = [line.split() for line in run.stdout.splitlines()]
    assert len(outcomes) == 6
    assert [kept for kept, _ in outcomes].count("kept") >= 4  # the first 50 ms may have no epoch
