"""Callbacks of a fit: divergence, early stopping, log and progress bar."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import ShuffleSplit


def test_verbose_shows_loss_rate_and_time_left(quick, images, capsys):
    quick(verbose=1).fit(images)
    bar = capsys.readouterr().err
    assert "epoch=2/2" in bar
    assert "loss=" in bar
    assert "samples/s" in bar
    quick().fit(images)
    assert capsys.readouterr() == ("", "")


def test_every_epoch_is_logged(quick, images, caplog):
    with caplog.at_level("INFO", logger="skdim"):
        quick().fit(images)
    assert [record.message.split(",")[0] for record in caplog.records] == ["epoch 1", "epoch 2"]
    assert all("samples_per_second" in record.message for record in caplog.records)


def infinite(joint, marginal):
    return joint.mean() / 0


def test_divergence_names_epoch_and_term_and_leaves_the_last_fit_alone(quick, images):
    transformer = quick().fit(images)
    before = transformer.transform(images)
    transformer.set_params(mi_estimator=infinite)
    with pytest.raises(FloatingPointError, match=r"local term became .* in epoch 1.*learning_rate"):
        transformer.fit(images)
    np.testing.assert_array_equal(transformer.transform(images), before)


def drawn_from_nowhere(shape, generator):
    return torch.full(shape, torch.inf)


def test_divergence_of_any_number_is_noticed(quick, images):
    """In one step: the terms of the next would all be spoilt."""
    with pytest.raises(FloatingPointError, match="The prior term became nan in epoch 1"):
        quick(max_epochs=1, batch_size=90, prior=drawn_from_nowhere, prior_weight=0.1).fit(images)


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


def test_the_best_epoch_counts_as_the_history_does(quick, digits):
    dim = quick(early_stopping=True, warm_start=True, validation_fraction=0.2)
    for n_before in (0, 2):
        dim.fit(digits.images[:100])
        scores = [epoch["validation_score"] for epoch in dim.history_]
        assert dim.best_epoch_ == n_before + np.argmax(scores[n_before:]) + 1
