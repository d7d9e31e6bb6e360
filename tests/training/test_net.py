"""The net: what ends training, which weights it leaves, and what an interrupt keeps."""

import logging
import time

import numpy as np
import pytest
import torch
from helpers import campaign
from helpers.campaign import Case, Sketch
from skorch.callbacks import Callback

STEPS = []


class SnapshotCallback(Callback):
    def on_batch_end(self, net, **kwargs):
        STEPS.append(net.snapshot()[0]["code.0.weight"])


@pytest.mark.parametrize("part", [1.0, 0.5])
def test_weights_are_averaged_over_the_last_part_of_training(quick, images, part):
    STEPS.clear()
    dim = quick(max_epochs=4, weight_averaging=part, callbacks=[SnapshotCallback()]).fit(images)
    averaged = STEPS[len(STEPS) - round(part * len(STEPS)) :]
    expected = torch.stack(averaged).mean(0)
    torch.testing.assert_close(dim.encoder_.state_dict()["code.0.weight"], expected)
    assert not expected.allclose(STEPS[-1])


def test_time_ends_a_fit_and_the_schedule_ends_with_it(quick, images):
    start = time.perf_counter()
    dim = quick(max_epochs=1_000_000, max_time=1.0).fit(images)
    assert time.perf_counter() - start < 20  # a million epochs take an hour
    assert dim.n_iter_ < 1_000_000
    assert dim.history_[-1]["learning_rate"] < 0.1 * dim.learning_rate


class SleepingCallback(Callback):
    def on_epoch_end(self, net, **kwargs):
        time.sleep(1.0)


def test_time_may_run_out_between_epochs(quick, images):
    """After the first epoch, or, on a slow machine, in its middle."""
    assert (
        quick(max_epochs=99, max_time=0.7, callbacks=[SleepingCallback()]).fit(images).n_iter_ == 1
    )


def test_epochs_end_a_fit_before_the_time(quick, images):
    assert quick(max_epochs=3, max_time=1e6).fit(images).n_iter_ == 3


def interrupt_after(n_calls):
    def augment(batch, generator):
        augment.calls += 1
        if augment.calls > n_calls:
            raise KeyboardInterrupt
        return batch + 0.1 * torch.randn(batch.shape, generator=generator)

    augment.calls = 0
    return augment


@pytest.mark.parametrize("n_steps", [3, 4, 5, 8])
def test_an_interrupt_leaves_the_last_whole_epoch(quick, images, n_steps, caplog):
    """Three steps make an epoch of 90 images."""
    dim = quick(augment=interrupt_after(n_steps), max_epochs=9, lr_schedule="constant")
    with caplog.at_level(logging.INFO, logger="skdim"), pytest.raises(KeyboardInterrupt):
        dim.fit(images)
    whole = n_steps // 3
    assert dim.n_iter_ == len(dim.history_) == whole
    assert f"weights of epoch {whole}" in caplog.text
    expected = quick(augment=interrupt_after(99), max_epochs=whole, lr_schedule="constant")
    np.testing.assert_array_equal(dim.transform(images), expected.fit(images).transform(images))


def test_an_interrupt_before_the_first_epoch_leaves_things_as_they_were(quick, images):
    dim = quick(augment=interrupt_after(2))
    with pytest.raises(KeyboardInterrupt):
        dim.fit(images)
    assert not dim.__sklearn_is_fitted__()
    dim = quick().fit(images)
    before = dim.transform(images)
    with pytest.raises(KeyboardInterrupt):
        dim.set_params(augment=interrupt_after(2)).fit(images)
    np.testing.assert_array_equal(dim.transform(images), before)


pytestmark = pytest.mark.filterwarnings("ignore")  # cases check their warnings themselves


ROWS = Sketch((6, 3))


def fit(sketch, groups=None, modality="rows", **params):
    dim = campaign.transformer(Case(modality, sketch, params))
    return dim.fit(campaign.make(sketch), groups=groups)


@pytest.mark.parametrize("params", [{"odd": 1}, {"weight_decay": -1}, {"betas": "x"}])
def test_arguments_that_the_optimiser_refuses_are_named(params):
    with pytest.raises((TypeError, ValueError), match="'optimizer_params' parameter"):
        fit(ROWS, optimizer_params=params)
