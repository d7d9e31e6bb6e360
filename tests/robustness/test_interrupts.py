"""Ctrl-C and errors in the middle of a fit: nothing is lost, nothing is half done."""

import copy
import os
import signal
import threading
import time

import numpy as np
import pytest
from skorch.callbacks import Callback

from skdim import DIMTransformer

ROWS = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)
NARROW = {"width": 16, "n_hidden": 32}


class At(Callback):
    """Does something at the first call of a hook."""

    def __init__(self, hook, do):
        self.do, self.is_done = do, False
        setattr(self, hook, self.call)

    def call(self, net, **kwargs):
        if not self.is_done:
            self.is_done = True
            self.do()


def fail():
    raise ValueError("in the middle")


def press():
    os.kill(os.getpid(), signal.SIGINT)


HOOKS = ["on_epoch_begin", "on_batch_begin", "on_batch_end"]
WAYS = [(fail, ValueError), (press, KeyboardInterrupt)]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(("do", "error"), WAYS, ids=["an error", "Ctrl-C"])
def test_partial_fit_that_fails_leaves_everything_as_it_was(do, error, hook):
    def new():
        return DIMTransformer(4, encoder_params=NARROW, batch_size=32, random_state=0).partial_fit(
            ROWS
        )

    dim, same = new(), new()
    shallow = copy.copy(dim)
    for transformer in (dim, shallow):
        with pytest.raises(error):
            transformer.set_params(callbacks=[At(hook, do)]).partial_fit(ROWS)
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


@pytest.mark.filterwarnings("ignore")
def test_real_interrupts_lose_no_whole_epoch():
    X = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    params = {"encoder_params": NARROW, "batch_size": 50, "random_state": 0, "device": "cpu"}
    for _ in range(2):  # the first imports
        start = time.perf_counter()
        DIMTransformer(4, max_epochs=1, **params).fit(X)
    seconds = time.perf_counter() - start  # of one epoch, and of all that comes before and after
    kept = []
    for delay in np.random.default_rng(0).uniform(0.5, 10, 6) * seconds:
        dim = DIMTransformer(4, max_epochs=500, **params)
        timer = threading.Timer(delay, press)
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                dim.fit(X)
        finally:
            timer.cancel()
        if dim.__sklearn_is_fitted__():
            assert dim.n_iter_ == len(dim.history_) >= 1
            assert np.isfinite(dim.transform(X)).all()
            kept.append(dim.n_iter_)
    assert len(kept) >= 4  # the first moments have no epoch
