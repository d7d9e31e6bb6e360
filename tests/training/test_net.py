"""The net: what ends training, which weights it leaves, and what an interrupt keeps."""

import logging
import time

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skdim.encoders import Encoding
from skdim.priors import Prior

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


class SlowToBegin(Callback):
    def on_train_begin(self, net, **kwargs):
        time.sleep(0.3)


class StopsAtOnce(Callback):
    def on_train_begin(self, net, **kwargs):
        net.stop()


@pytest.mark.parametrize("callback", [None, SlowToBegin, StopsAtOnce])
@pytest.mark.parametrize("max_time", [1e-9, 0.2, None])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_fit_trains_at_least_a_step(quick, images, callback, max_time, early_stopping):
    callbacks = None if callback is None else [callback()]
    params = {"max_time": max_time, "early_stopping": early_stopping}
    dim = quick(max_epochs=2, callbacks=callbacks, **params).fit(images)
    assert dim.n_iter_ == len(dim.history_) >= 1
    assert dim.history_[0]["learning_rate"] > 0
    untrained = quick(max_epochs=1, learning_rate=1e-30).fit(images)
    assert np.abs(dim.transform(images) - untrained.transform(images)).max() > 1e-3


def test_epochs_end_a_fit_before_the_time(quick, images):
    assert quick(max_epochs=3, max_time=1e6).fit(images).n_iter_ == 3


def interrupt_after(n_calls):
    def augment(batch, generator):
        augment.calls += 1
        if augment.calls == n_calls + 1:
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


@pytest.mark.parametrize("params", [{"odd": 1}, {"weight_decay": -1}, {"betas": "x"}])
def test_arguments_that_the_optimiser_refuses_are_named(quick, images, params):
    with pytest.raises((TypeError, ValueError), match="'optimizer_params' parameter"):
        quick(optimizer_params=params).fit(images)


class Stopping(EarlyStopping):
    """Ends training as this callback of skorch does, in the second epoch."""

    def __init__(self, hook):
        super().__init__(monitor="train_loss", patience=100)
        setattr(self, hook, self.stop)

    def stop(self, net, **kwargs):
        if net.n_whole_epochs == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_batch_begin", "on_batch_end"])
def test_a_callback_that_is_interrupted_interrupts_the_fit(quick, images, hook):
    class Interrupted(Callback):
        pass

    setattr(Interrupted, hook, Stopping.stop)
    dim = quick(max_epochs=9, callbacks=[Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        dim.fit(images)
    assert dim.n_iter_ == 1


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_batch_begin", "on_batch_end"])
def test_a_callback_that_raises_an_interrupt_ends_training_with_its_epoch(quick, images, hook):
    dim = quick(max_epochs=9, lr_schedule="constant", callbacks=[Stopping(hook)]).fit(images)
    assert dim.n_iter_ == 2
    expected = quick(max_epochs=2, lr_schedule="constant", weight_averaging=0.0).fit(images)
    np.testing.assert_array_equal(dim.transform(images), expected.transform(images))


def test_one_learning_rate_is_that_of_the_encoder_and_one_that_of_the_discriminator(quick, images):
    rates = []

    class Rates(Callback):
        def on_batch_end(self, net, **kwargs):
            optimizers = (net.optimizer_, net.discriminator_optimizer_)
            rates.append(tuple(float(o.param_groups[0]["lr"]) for o in optimizers))

    prior = Prior("uniform", learning_rate=3e-3)
    params = {"prior_weight": 0.1, "learning_rate": 1e-3, "lr_schedule": "constant"}
    quick(prior=prior, callbacks=[Rates()], **params).fit(images)
    quick(prior="uniform", callbacks=[Rates()], **params).fit(images)
    assert set(rates[:6]) == {(1e-3, 3e-3)}
    assert set(rates[6:]) == {(1e-3, 1e-3)}


class Telltale(nn.Module):
    """Encodes a sample as its number, which fills its second channel, and what is hidden of it."""

    def __init__(self, sample_shape, n_components):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_components))

    def forward(self, x):
        pixels = x[:, 1].flatten(1)
        number = pixels.gather(1, pixels.abs().argmax(1, keepdim=True))  # the others are hidden
        hidden_share = (x == 0).flatten(1).float().mean(1, keepdim=True)
        code = torch.cat([number, hidden_share], 1) + self.weight
        return Encoding(code, code, (code[:, None],))


class Listening(nn.Module):
    """Remembers the pairs that it scores."""

    pairs: list = []

    def __init__(self, n_code, n_channels, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, code, local_map):
        self.pairs.append((code.detach(), local_map.detach()))
        return self.scale * (code.unsqueeze(-2) - local_map).square().sum(-1)


@pytest.mark.filterwarnings("ignore::skdim.exceptions.CollapseWarning")
@pytest.mark.parametrize("occlusion", [False, True])
@pytest.mark.parametrize(("n_views", "n_crops"), [(1, 0), (2, 0), (2, 4)])
def test_codes_see_occluded_views_and_local_features_whole_ones(
    quick, images, n_views, n_crops, occlusion
):
    Listening.pairs.clear()
    numbers = np.broadcast_to(np.arange(1.0, 91.0)[:, None, None], images.shape)
    X = np.stack([images + 0.5, numbers], 1)  # once standardised, no pixel is 0
    quick(
        n_components=2,
        encoder=Telltale,
        critic=Listening,
        augment=lambda batch, generator: batch,
        n_views=n_views,
        n_crops=n_crops,
        occlusion=occlusion,
        learning_rate=1e-12,
        max_epochs=1,
    ).fit(X)
    joint, marginal = Listening.pairs[::2], Listening.pairs[1::2]
    assert len(joint) == len(marginal) == 3  # steps
    for code, local_map in joint:
        assert code.shape[0] == n_views
        assert ((code[..., 1] > 0.05) == occlusion).all()
        assert (local_map[..., 1] < 1e-6).all()
        torch.testing.assert_close(local_map[..., 0], code[..., :1].expand_as(local_map[..., 0]))
    for code, local_map in marginal:
        assert (local_map[..., 0] != code[..., :1]).all()
