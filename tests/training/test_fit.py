"""What a fit starts from, what it holds out, and what it leaves."""

import pickle

import numpy as np
import pytest
from skorch.callbacks import Callback

from skdim.encoders import MLPEncoder


class Data(Callback):
    """Notes the first pixel of the samples that are trained on and of those that are held out."""

    seen: dict = {}

    def on_train_begin(self, net, **kwargs):
        held_out = dict(net.callbacks_)["early_stopping"].held_out
        for name, samples in (("train", net.loader.samples), ("held out", held_out.samples)):
            Data.seen[name] = {float(sample[0, 0, 0]) for sample in samples}


def test_early_stopping_holds_out_whole_groups(quick, digits):
    images, groups = digits.images[:100].astype(np.float32), np.arange(100) // 5
    images[:, 0, 0] = groups
    quick(early_stopping=True, callbacks=[Data()]).fit(images, groups=groups)
    assert Data.seen["train"] | Data.seen["held out"] == set(groups)
    assert not Data.seen["train"] & Data.seen["held out"]


@pytest.mark.parametrize(("groups", "part"), [(np.zeros(6), 0.5), (None, 0.999)])
def test_a_fraction_that_leaves_nothing_to_train_on_is_named(quick, images, groups, part):
    with pytest.raises(ValueError, match="'validation_fraction' parameter must leave"):
        quick(early_stopping=True, validation_fraction=part).fit(images[:6], groups=groups)


def test_the_batch_size_that_the_sentence_names_is_enough(quick, images):
    groups = np.arange(90) < 1
    with pytest.raises(ValueError, match=r"'batch_size' parameter to at least 90\. Got 32"):
        quick(batch_size=32).fit(images, groups=groups)
    quick(batch_size=90).fit(images, groups=groups)


class AdaptingEncoder(MLPEncoder):
    """Remembers what it was shown before training."""

    shown: list = []

    def adapt(self, samples):
        AdaptingEncoder.shown.append(samples)


def test_an_encoder_sees_standardised_samples_once_before_training(quick, rows):
    X = np.repeat(rows[0], 10, axis=0)
    AdaptingEncoder.shown.clear()
    dim = quick(encoder=AdaptingEncoder, encoder_params={"width": 8}, warm_start=True).fit(X)
    (samples,) = AdaptingEncoder.shown
    assert samples.shape == (1000, 9)
    known = {tuple(row) for row in ((X - dim.mean_) / dim.scale_).round(3).tolist()}
    assert {tuple(row) for row in samples.double().numpy().round(3).tolist()} <= known
    dim.fit(X).partial_fit(X)
    assert len(AdaptingEncoder.shown) == 1


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


def test_a_second_fit_remembers_nothing_of_the_first(quick, images, rows):
    dim = quick(early_stopping=True, validation_fraction=0.2).fit(images)
    dim.set_params(early_stopping=False, validation_fraction=0.1).fit(rows[0])
    assert not hasattr(dim, "best_epoch_")
    assert len(dim.history_) == 2


def test_training_leaves_fixed_features_alone(quick):
    signals = np.random.default_rng(0).normal(size=(60, 2, 70)).cumsum(2)
    without, with_bank = (
        quick(
            channel_axis=1,
            output="code",
            encoder_params={"width": 8, "n_hidden": 32, "n_thresholds": n_thresholds},
        ).fit(signals)
        for n_thresholds in (0, 2)
    )
    assert np.array_equal(without.transform(signals), with_bank.transform(signals))
    bank = with_bank.encoder_.bank
    assert not any(parameter.requires_grad for parameter in bank.parameters())
