"""Few labels: an encoder fine-tuned behind the contract of a scikit-learn classifier."""

import copy
import pickle
from importlib.util import find_spec

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from helpers.products import cover
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdim import DIMClassifier, DIMOutlierDetector, DIMTransformer
from skdim.exceptions import FileError, IneffectiveParameterWarning

SMALL = {"width": 16, "n_hidden": 64}
# Steps are taken on random batches: a sample of weight 2 is not drawn as the same one twice is.
STOCHASTIC = {"check_sample_weight_equivalence_on_dense_data": "batches are random"}


@parametrize_with_checks(
    [
        DIMClassifier(
            DIMTransformer(4, max_epochs=1, encoder_params=SMALL, device="cpu"), max_epochs=2
        )
    ],
    expected_failed_checks=lambda estimator: STOCHASTIC,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def dim(digits):
    return DIMTransformer(8, max_epochs=3, random_state=0).fit(digits.images[:400])


def test_with_tiny_steps_it_is_logistic_regression_on_the_hidden_layer(dim, digits):
    X, y = digits.images[:90], digits.target[:90]
    still = DIMClassifier(dim, max_epochs=1, learning_rate=1e-12).fit(X, y)
    hidden = copy.deepcopy(dim).set_params(output="hidden")
    model = LogisticRegression(C=still.C, max_iter=1000).fit(hidden.transform(X), y)
    expected = model.predict_proba(hidden.transform(X))
    np.testing.assert_allclose(still.predict_proba(X), expected, atol=1e-3)


def test_fine_tuning_lowers_the_cross_entropy_and_leaves_the_transformer_as_it_was(dim, digits):
    X, y = digits.images[:90], digits.target[:90]
    before = dim.transform(X)
    tuned = DIMClassifier(dim, max_epochs=8, learning_rate=1e-3, random_state=0).fit(X, y)
    assert tuned.history_[-1]["loss"] < 0.5 * tuned.history_[0]["loss"]
    np.testing.assert_array_equal(dim.transform(X), before)
    assert not np.allclose(tuned.transformer_.transform(X), before, atol=1e-3)
    by_default = DIMClassifier(dim, max_epochs=8, random_state=0).fit(X, y)
    assert by_default.score(digits.images[400:800], digits.target[400:800]) > 0.8


def test_scores_after_tuning_are_of_the_tuned_encoder(dim, digits):
    X, y = digits.images[:400], digits.target[:400]
    tuned = DIMClassifier(FrozenEstimator(dim), max_epochs=8, learning_rate=1e-3, random_state=0)
    transformer = tuned.fit(X, np.where(np.arange(400) < 90, y, -1)).transformer_
    assert (DIMOutlierDetector.from_transformer(transformer).predict(X) == -1).mean() < 0.1
    trimmed = copy.deepcopy(dim).trim()
    DIMClassifier(FrozenEstimator(trimmed), max_epochs=1).fit(X[:60], y[:60])


def test_no_random_number_of_others_is_drawn(dim, digits, tmp_path):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    tuned = DIMClassifier(FrozenEstimator(dim), max_epochs=1, random_state=0)
    tuned.fit(digits.images[:60], digits.target[:60])
    if find_spec("onnx") is not None:
        tuned.export_onnx(tmp_path / "graph.onnx")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_a_class_weight_that_is_none_is_named(weight, fitted_rows):
    weights = {0: weight, 1: 1.0, 2: 1.0}
    with pytest.raises(ValueError, match="'class_weight' parameter must hold finite numbers"):
        classifier(class_weight=weights, transformer=fitted_rows).fit(ROWS_OF_LABELS, LABELS)


def test_a_label_needs_a_weight(fitted_rows):
    y = np.where(np.arange(150) < 50, -1, LABELS)
    for params, weights in (
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, None),
        ({}, (y == -1).astype(float)),
    ):
        with pytest.raises(ValueError, match="a label and a positive weight"):
            classifier(transformer=fitted_rows, **params).fit(
                ROWS_OF_LABELS, y, sample_weight=weights
            )


def test_frozen_transformers_survive_clones_and_searches(dim, digits):
    X, y = digits.images[:100], digits.target[:100]
    frozen = DIMClassifier(FrozenEstimator(dim), max_epochs=1, random_state=0)
    grid = {"learning_rate": [1e-4, 1e-3]}
    search = GridSearchCV(frozen, grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.7
    kept, forgotten = search.best_estimator_, clone(DIMClassifier(dim, max_epochs=1)).fit(X, y)
    np.testing.assert_array_equal(kept.transformer_.mean_, dim.mean_)  # of more than X
    assert not np.array_equal(forgotten.transformer_.mean_, dim.mean_)


@pytest.mark.parametrize("augment", [None, "auto", lambda batch, generator: batch])
def test_views_are_the_transformers_or_none_or_given(dim, digits, augment):
    X, y = digits.images[:60], digits.target[:60]
    fits = [DIMClassifier(dim, max_epochs=2, augment=augment, random_state=0) for _ in range(2)]
    losses = [fit.fit(X, y).history_ for fit in fits]
    assert losses[0] == losses[1]


def test_files_hold_numpy_only_and_predict_alike(dim, digits, tmp_path):
    X, names = digits.images[:60], np.array(["even", "odd"])[digits.target[:60] % 2]
    classifier = DIMClassifier(dim, max_epochs=2, random_state=0).fit(X, names)
    joblib.dump(classifier, tmp_path / "classifier.joblib")
    again = joblib.load(tmp_path / "classifier.joblib")
    assert again.predict(X).tolist() == classifier.predict(X).tolist()
    assert b"_rebuild_tensor" not in pickle.dumps(classifier)


def test_other_transformers_are_refused(digits):
    from sklearn.decomposition import PCA

    with pytest.raises(TypeError, match="'transformer' parameter must be a DIMTransformer"):
        DIMClassifier(PCA()).fit(digits.data[:20], digits.target[:20])


LABELS = np.arange(150) % 3
ROWS_OF_LABELS = np.random.default_rng(0).normal(size=(150, 6)) + LABELS[:, None]


def classifier(**params):
    transformer = DIMTransformer(
        4, max_epochs=2, encoder_params=SMALL, random_state=0, device="cpu"
    )
    return DIMClassifier(
        **{"transformer": transformer, "max_epochs": 3, "random_state": 0, **params}
    )


def test_weights_of_one_change_nothing_but_rounding():
    plain = classifier().fit(ROWS_OF_LABELS, LABELS)
    weighed = classifier().fit(ROWS_OF_LABELS, LABELS, sample_weight=np.ones(150))
    X = ROWS_OF_LABELS
    np.testing.assert_allclose(weighed.predict_proba(X), plain.predict_proba(X), atol=1e-3)


def test_samples_of_weight_zero_are_not_learned():
    X, y = ROWS_OF_LABELS, LABELS.copy()
    y[:30] = 0  # wrong, most of them
    weights = np.r_[np.zeros(30), np.ones(120)]
    dim = classifier().transformer.fit(X)
    weighed = classifier(transformer=dim).fit(X, y, sample_weight=weights)
    without = classifier(transformer=dim).fit(X[30:], y[30:], sample_weight=np.ones(120))
    np.testing.assert_array_equal(weighed.predict_proba(X), without.predict_proba(X))


@pytest.fixture(scope="module")
def fitted_rows():
    return classifier().transformer.fit(ROWS_OF_LABELS)


EXTREME_WEIGHTS = {
    "large": np.full(150, 1e38),
    "the largest": np.full(150, 1.7e308),
    "small": np.full(150, 1e-46),
    "the smallest": np.full(150, 5e-324),
    "half of them small": np.where(np.arange(150) % 2, 1.0, 1e-46),
    "far apart": np.where(np.arange(150) % 2, 1e300, 1e-300),
}


CLASS_WEIGHTS = [None, "balanced", {0: 1e30, 1: 1e-30}]


@pytest.mark.parametrize(("name", "class_weight"), cover(EXTREME_WEIGHTS, CLASS_WEIGHTS))
def test_weights_of_any_size_are_learned(name, class_weight, fitted_rows):
    weights = EXTREME_WEIGHTS[name]
    fitted = classifier(batch_size=2, class_weight=class_weight, transformer=fitted_rows)
    fitted.fit(ROWS_OF_LABELS, LABELS, sample_weight=weights)
    assert np.isfinite([epoch["loss"] for epoch in fitted.history_]).all()
    assert np.isfinite(fitted.predict_proba(ROWS_OF_LABELS)).all()


@pytest.mark.parametrize("factor", [2.0**-40, 2.0**40])
def test_fine_tuning_does_not_depend_on_the_scale_of_the_weights(factor):
    weights = np.random.default_rng(0).uniform(0.1, 1, 150)
    fits = [
        classifier(C=1.0 / scale).fit(ROWS_OF_LABELS, LABELS, sample_weight=scale * weights)
        for scale in (1.0, factor)
    ]
    expected, scaled = (fitted.predict_proba(ROWS_OF_LABELS) for fitted in fits)
    np.testing.assert_allclose(scaled, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("learning_rate", "max_epochs", "batch_size"), cover([1e6, 1e12, 1e30], [1, 3], [64, 1000])
)
def test_a_fit_that_diverges_is_an_error(learning_rate, max_epochs, batch_size, fitted_rows):
    params = {"learning_rate": learning_rate, "max_epochs": max_epochs, "batch_size": batch_size}
    fitted, error = classifier(**params, transformer=fitted_rows), None
    try:
        fitted.fit(ROWS_OF_LABELS, LABELS)
    except FloatingPointError as raised:
        error = raised
    if error is None:
        assert np.isfinite(fitted.predict_proba(ROWS_OF_LABELS)).all()
        assert learning_rate < 1e30
    else:
        assert "'learning_rate'" in str(error)
        assert not hasattr(fitted, "transformer_")


def test_class_weights_move_the_border():
    X, y = ROWS_OF_LABELS, (LABELS == 2).astype(int)
    shares = [
        classifier(class_weight=weight).fit(X, y).predict(X).mean()
        for weight in ({0: 20.0, 1: 1.0}, None, "balanced", {0: 1.0, 1: 20.0})
    ]
    assert shares[0] <= shares[1] <= shares[3]
    assert shares[0] < shares[3]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_decision_function_is_what_probabilities_are_made_of(n_classes):
    y = LABELS % n_classes
    fitted = classifier().fit(ROWS_OF_LABELS, y)
    logits, probabilities = (
        fitted.decision_function(ROWS_OF_LABELS),
        fitted.predict_proba(ROWS_OF_LABELS),
    )
    if n_classes == 2:
        assert logits.shape == (150,)
        np.testing.assert_allclose(
            logits, np.log(probabilities[:, 1] / probabilities[:, 0]), atol=1e-4
        )
    else:
        np.testing.assert_array_equal(logits.argmax(1), probabilities.argmax(1))


def test_samples_without_a_label_are_no_class():
    y = LABELS.copy()
    y[40:] = -1
    fitted = classifier().fit(ROWS_OF_LABELS, y)
    np.testing.assert_array_equal(fitted.classes_, [0, 1, 2])
    for kind in ("int8", "float32", "float64", "Int64", "Float64", "category"):
        labels = pd.Series(y).astype(kind)
        same = classifier().fit(ROWS_OF_LABELS, labels)
        np.testing.assert_array_equal(same.classes_, fitted.classes_)
        np.testing.assert_array_equal(same.coef_, fitted.coef_)
    same = classifier().fit(ROWS_OF_LABELS, y.astype(object))
    assert same.classes_.dtype.kind == "i"
    np.testing.assert_array_equal(same.coef_, fitted.coef_)
    signs = np.where(LABELS == 0, -1, 1)  # two classes, one of them called -1
    np.testing.assert_array_equal(classifier().fit(ROWS_OF_LABELS, signs).classes_, [-1, 1])


def test_other_labels_than_whole_numbers_are_classes():
    for labels in (np.where(LABELS == 0, "-1", LABELS.astype(str)), LABELS - 1 > 0):
        names = np.unique(labels)
        np.testing.assert_array_equal(classifier().fit(ROWS_OF_LABELS, labels).classes_, names)


def test_groups_are_for_the_transformer():
    groups = np.arange(len(LABELS)) // 3
    transformer = DIMTransformer(4, max_epochs=2, random_state=0)
    tuned = DIMClassifier(transformer, max_epochs=1, random_state=0)
    tuned.fit(ROWS_OF_LABELS, LABELS, groups=groups)
    expected = transformer.fit(ROWS_OF_LABELS, groups=groups)
    assert tuned.transformer_.history_[-1]["loss"] == expected.history_[-1]["loss"]
    with pytest.warns(IneffectiveParameterWarning, match="'groups'"):
        DIMClassifier(expected, max_epochs=1).fit(ROWS_OF_LABELS, LABELS, groups=groups)


def test_safe_files_of_classifiers(tmp_path):
    names = np.array(["ant", "bee", "cat"])[LABELS]
    by_number = dict.fromkeys(np.unique(LABELS), np.float64(2.0))  # numbers of numpy
    classifier(class_weight=by_number).fit(ROWS_OF_LABELS, LABELS).save(tmp_path / "numbers")
    assert DIMClassifier.load(tmp_path / "numbers").class_weight == by_number
    fitted = classifier(class_weight="balanced").fit(ROWS_OF_LABELS, names)
    fitted.save(tmp_path / "file")
    again = DIMClassifier.load(tmp_path / "file")
    np.testing.assert_array_equal(again.predict(ROWS_OF_LABELS), fitted.predict(ROWS_OF_LABELS))
    np.testing.assert_array_equal(
        again.predict_proba(ROWS_OF_LABELS), fitted.predict_proba(ROWS_OF_LABELS)
    )
    assert again.class_weight == "balanced"
    with pytest.raises(FileError):
        DIMTransformer.load(tmp_path / "file")
    fitted.transformer_.save(tmp_path / "transformer")
    with pytest.raises(FileError):
        DIMClassifier.load(tmp_path / "transformer")


LABELS_OF_TYPES = {
    **dict.fromkeys(["?", "i1", ">i4", "u8", "f4", "<M8[D]", "longdouble"], np.asarray),
    **dict.fromkeys(["<U3", "<U9", ">U4", "O"], lambda y: np.where(y, "yes", "no")),
}


@pytest.mark.parametrize("dtype", LABELS_OF_TYPES)
def test_classes_come_back_from_a_file_with_their_type(tmp_path, dtype):
    y = LABELS_OF_TYPES[dtype](LABELS > 0).astype(dtype)
    fitted = classifier(max_epochs=1).fit(ROWS_OF_LABELS, y)
    fitted.save(tmp_path / "file")
    again = DIMClassifier.load(tmp_path / "file")
    assert again.classes_.dtype == fitted.classes_.dtype == y.dtype
    predicted = again.predict(ROWS_OF_LABELS)
    assert predicted.dtype == y.dtype
    np.testing.assert_array_equal(predicted, fitted.predict(ROWS_OF_LABELS))


def noisy(batch, generator):
    return batch + 0.1


def test_load_takes_only_what_the_file_of_a_classifier_cannot_hold(tmp_path):
    fitted = classifier(augment=noisy, class_weight={True: 2.0, False: 1.0})
    fitted.fit(ROWS_OF_LABELS, LABELS > 0).save(tmp_path / "file")
    with pytest.raises(FileError, match=r"load\(path, augment=\.\.\.\)"):
        DIMClassifier.load(tmp_path / "file")
    again = DIMClassifier.load(tmp_path / "file", augment=noisy)
    assert again.augment is noisy
    assert again.class_weight == {True: 2.0, False: 1.0}
    for name in ("C", "transformer", "encoder", "device", "random_state"):
        with pytest.raises(ValueError, match=f"augment. Got {name};"):
            DIMClassifier.load(tmp_path / "file", augment=noisy, **{name: 1})
    with pytest.raises(TypeError, match="DIMClassifier has no parameter 'classweight'"):
        DIMClassifier.load(tmp_path / "file", augment=noisy, classweight=1)


def test_a_source_is_learned_as_the_array_is(tmp_path):
    np.save(tmp_path / "X.npy", ROWS_OF_LABELS)
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    plain, streamed = (classifier().fit(X, LABELS) for X in (ROWS_OF_LABELS, stored))
    np.testing.assert_array_equal(
        streamed.predict_proba(stored), plain.predict_proba(ROWS_OF_LABELS)
    )
