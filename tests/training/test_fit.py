"""What ends a fit, what the next one starts from, and callbacks."""

import logging
import pickle
import time
import weakref

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from skorch.callbacks import Callback, LRScheduler
from skorch.callbacks import EarlyStopping as SkorchEarlyStopping

from skdim._training.advice import is_settled

# ---------------------------------------------------------------- what ends a fit

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


def test_early_stopping_returns_to_the_best_weights(quick, digits):
    dim = quick(
        early_stopping=True, max_epochs=200, n_iter_no_change=3, validation_fraction=0.2
    ).fit(digits.images[:100])
    scores = [epoch["validation_score"] for epoch in dim.history_]
    assert dim.n_iter_ < 200
    assert dim.best_epoch_ == np.argmax(scores) + 1
    assert dim.n_iter_ - dim.best_epoch_ <= 3 or max(scores[-3:]) <= max(scores) + dim.tol
    assert dim.score(held_out_by(dim, digits.images[:100])) == pytest.approx(max(scores), abs=1e-6)


def held_out_by(dim, X):
    seed = np.random.RandomState(dim.random_state).randint(2**31 - 1)
    split = ShuffleSplit(1, test_size=dim.validation_fraction, random_state=seed)
    _, held_out = next(split.split(X))
    return X[held_out]


def test_early_stopping_holds_out_whole_groups(quick, digits, monkeypatch):
    seen = {}
    original = GroupShuffleSplit.split

    def spy(self, X, y=None, groups=None):
        for train, held_out in original(self, X, y, groups):
            seen["shared"] = set(groups[train]) & set(groups[held_out])
            yield train, held_out

    monkeypatch.setattr(GroupShuffleSplit, "split", spy)
    quick(early_stopping=True).fit(digits.images[:100], groups=np.arange(100) // 5)
    assert seen["shared"] == set()


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


def test_a_budget_that_was_enough_is_not_warned_of():
    steps = np.arange(200)
    assert is_settled(np.exp(-steps / 20))
    assert not is_settled(-steps / 200)  # falls as fast as ever
    assert not is_settled(np.exp(-steps[:10] / 2))  # too short to tell
    assert is_settled(steps / 200)  # does not fall: more of it would not help


# ---------------------------------------------- partial_fit and warm_start


@pytest.mark.parametrize("params", [{}, {"prior_weight": 0.1, "global_weight": 0.5}])
def test_partial_fit_continues_alike_with_a_pickle_in_the_middle(quick, images, params):
    straight, saved = quick(**params), quick(**params)
    for X in (images[:50], images[50:], images):
        straight.partial_fit(X)
        saved = pickle.loads(pickle.dumps(saved.partial_fit(X)))
    np.testing.assert_array_equal(saved.transform(images), straight.transform(images))
    assert straight.n_iter_ == 3
    assert [epoch["epoch"] for epoch in straight.history_] == [1, 2, 3]


def test_partial_fit_sees_the_new_samples_and_keeps_the_first_statistics(quick, images):
    first, second = images[:50], images[50:] * 3 + 1
    dim = quick().partial_fit(first)
    mean, weights = dim.mean_.copy(), dim.encoder_.state_dict()["code.0.weight"].clone()
    dim.partial_fit(second)
    other = quick().partial_fit(first).partial_fit(first)
    np.testing.assert_array_equal(dim.mean_, mean)
    assert not dim.encoder_.state_dict()["code.0.weight"].equal(weights)
    assert not dim.encoder_.state_dict()["code.0.weight"].equal(
        other.encoder_.state_dict()["code.0.weight"]
    )


def test_partial_fit_after_fit_continues_from_it(quick, digits):
    X = digits.images[:300]
    fitted = quick(max_epochs=10).fit(X)
    before = fitted.score(X)
    assert fitted.partial_fit(X).n_iter_ == 11
    assert fitted.score(X) > before - 0.1
    assert before > quick().partial_fit(X).score(X) + 0.05


def test_weights_may_change_between_partial_fits(quick, images):
    dim = quick(prior_weight=0.1).partial_fit(images)
    dim.set_params(prior_weight=0.0, global_weight=1.0, critic_width=16).partial_fit(images)
    assert set(dim.history_[-1]) >= {"global", "local"}
    assert "prior" not in dim.history_[-1]


def test_a_warm_start_continues_and_a_cold_one_does_not(quick, digits):
    X = digits.images[:300]
    warm, cold = quick(warm_start=True, max_epochs=4), quick(max_epochs=4)
    first = warm.fit(X).score(X)
    assert warm.fit(X).n_iter_ == 8
    assert warm.score(X) > first
    again = cold.fit(X).transform(X)
    np.testing.assert_array_equal(cold.fit(X).transform(X), again)
    assert cold.n_iter_ == 4


def test_the_best_epoch_counts_as_the_history_does(quick, digits):
    dim = quick(early_stopping=True, warm_start=True, validation_fraction=0.2)
    for n_before in (0, 2):
        dim.fit(digits.images[:100])
        scores = [epoch["validation_score"] for epoch in dim.history_]
        assert dim.best_epoch_ == n_before + np.argmax(scores[n_before:]) + 1


def test_a_second_fit_remembers_nothing_of_the_first(quick, images, rows):
    dim = quick(early_stopping=True, validation_fraction=0.2).fit(images)
    dim.set_params(early_stopping=False, validation_fraction=0.1).fit(rows[0])
    assert not hasattr(dim, "best_epoch_")
    assert len(dim.history_) == 2


# ------------------------------------------------------------------ callbacks


class CountingCallback(Callback):
    def __init__(self):
        self.epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1
        LOG.append((net.history[-1]["train_loss"], self.epochs))


LOG = []


def test_callbacks_of_skorch_are_copied_and_told_of_every_epoch(quick, images):
    LOG.clear()
    counter = CountingCallback()
    dim = quick(callbacks=[counter, ("named", CountingCallback())]).fit(images)
    assert counter.epochs == 0
    assert len(LOG) == 4
    assert LOG[-1] == (dim.history_[-1]["loss"], 2)
    assert b"CountingCallback" in pickle.dumps(dim)  # a parameter, and nothing of the net
    assert b"DIMNet" not in pickle.dumps(dim)


def test_early_stopping_of_skorch_ends_a_fit_without_an_interrupt(quick, images):
    stop = SkorchEarlyStopping(
        monitor="train_loss", patience=2, threshold=1e9, threshold_mode="abs", sink=lambda _: None
    )
    dim = quick(max_epochs=50, callbacks=[stop]).fit(images)
    assert dim.n_iter_ < 5
    assert np.isfinite(dim.transform(images)).all()


def test_schedules_of_skorch_are_used_without_an_own_one(quick, images):
    schedule = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.1)
    dim = quick(max_epochs=3, lr_schedule=None, learning_rate=1e-3, callbacks=[schedule])
    rates = [epoch["learning_rate"] for epoch in dim.fit(images).history_]
    np.testing.assert_allclose(rates, [1e-3, 1e-4, 1e-5])


# ---------------------------------------------------------------- lean state


def test_what_a_fit_leaves_is_freed_without_a_garbage_collector(quick, images):
    dim = quick(prior_weight=0.1).fit(images)
    parts = [weakref.ref(dim.encoder_), weakref.ref(dim.model_.objective)]
    dim.fit(images)
    assert [part() for part in parts] == [None, None]
    part = weakref.ref(dim.encoder_)
    del dim
    assert part() is None


def test_a_short_time_is_warned_of(quick, images):
    with pytest.warns(ConvergenceWarning, match="max_time"):
        quick(max_epochs=1000, max_time=1e-3).fit(images)
