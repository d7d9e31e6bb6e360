"""Measures of features: known values, and what they must not depend on."""

import joblib
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdim.evaluation import ProbeClassifier, nearest_neighbors, probes


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# ---- Classifiers ----------------------------------------------------------------------------


@parametrize_with_checks([ProbeClassifier(device="cpu")])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def split(digits):
    return digits.data[:1000], digits.target[:1000], digits.data[1000:], digits.target[1000:]


def test_a_probe_learns_what_no_line_separates():
    X = noise(1000, 2)
    y = np.where(X.prod(1) > 0, "same", "other")
    probe = ProbeClassifier(learning_rate=1e-2, random_state=0).fit(X[:800], y[:800])
    assert probe.score(X[800:], y[800:]) > 0.9
    assert LogisticRegression().fit(X[:800], y[:800]).score(X[800:], y[800:]) < 0.7


def test_a_probe_is_two_matrices_that_repeat_and_can_be_saved(split, tmp_path):
    X, y, X_test, y_test = split
    probe, twin = (ProbeClassifier(max_epochs=10, random_state=0).fit(X, y) for _ in range(2))
    assert probe.score(X_test, y_test) > 0.9
    np.testing.assert_array_equal(probe.predict_proba(X_test), twin.predict_proba(X_test))
    joblib.dump(probe, tmp_path / "probe.joblib")
    loaded = joblib.load(tmp_path / "probe.joblib")
    np.testing.assert_array_equal(loaded.predict(X_test), probe.predict(X_test))
    assert not any(isinstance(value, torch.Tensor | torch.nn.Module) for value in vars(loaded))
    assert [coef.shape for coef in probe.coefs_] == [(64, 200), (200, 10)]


def test_folding_into_two_matrices_changes_nothing(monkeypatch, split):
    X, y, X_test, _ = split
    networks, train = [], probes.train

    def remember(network, *args, **kwargs):
        networks.append(network)
        return train(network, *args, **kwargs)

    monkeypatch.setattr(probes, "train", remember)
    probe = ProbeClassifier(max_epochs=3, random_state=0, device="cpu").fit(X, y)
    with torch.inference_mode():
        scaled = torch.from_numpy(StandardScaler().fit(X).transform(X_test)).float()
        expected = networks[0](scaled).softmax(1).numpy()
    np.testing.assert_allclose(probe.predict_proba(X_test), expected, atol=1e-5)


def test_scale_and_offset_of_columns_do_not_matter_to_classifiers(split):
    X, y, X_test, y_test = (part[:300] for part in split)
    probe = ProbeClassifier(max_epochs=5, random_state=0)
    expected = probe.fit(X, y).score(X_test, y_test)
    moved = probe.fit(X * 1000 + 50, y).score(X_test * 1000 + 50, y_test)
    assert moved == pytest.approx(expected, abs=0.01)


def test_no_batch_holds_a_single_sample():
    X, y = noise(9, 3), np.arange(9) % 2
    ProbeClassifier(batch_size=2, max_epochs=2).fit(X, y)  # batch normalisation would refuse one


# ---- Neighbours -----------------------------------------------------------------------------


def test_a_sample_is_its_own_nearest_neighbor():
    features = noise(50, 6)
    distances, indices = nearest_neighbors(features, features[10:20])
    assert distances.shape == indices.shape == (10, 4)
    np.testing.assert_array_equal(indices[:, 0], range(10, 20))
    np.testing.assert_array_equal(distances[:, 0], 0)
    assert (np.diff(distances) >= 0).all()


def test_neighbors_equal_those_of_plain_arithmetic():
    features, queries = noise(40, 5), noise(7, 5, seed=1)
    apart = np.abs(queries[:, None] - features).sum(2)  # (7, 40)
    distances, indices = nearest_neighbors(features, queries, n_neighbors=3)
    np.testing.assert_array_equal(indices, apart.argsort(1)[:, :3])
    np.testing.assert_allclose(distances, np.sort(apart, 1)[:, :3], rtol=1e-5)


def test_neighbors_of_images_and_of_tensors_are_those_of_their_rows():
    images = noise(20, 4, 5)
    expected = nearest_neighbors(images.reshape(20, 20), images[:3].reshape(3, 20))
    for samples in (images, torch.from_numpy(images)):
        for array, rows in zip(nearest_neighbors(samples, samples[:3]), expected, strict=True):
            np.testing.assert_array_equal(array, rows)


def test_neighbors_are_those_in_double_precision():
    features = 1e9 + np.arange(4.0)[:, None]
    _, indices = nearest_neighbors(features, features, n_neighbors=1)
    np.testing.assert_array_equal(indices[:, 0], range(4))


# ---- Randomness and errors ------------------------------------------------------------------

ROWS, LABELS = noise(20, 3), np.arange(20) % 2


def test_a_probe_does_not_touch_global_randomness():
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # the global one is the point
    state = torch.get_rng_state()
    ProbeClassifier(max_epochs=2, random_state=0).fit(ROWS, LABELS)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.get_rng_state().equal(state)


ERRORS = [
    (lambda: ProbeClassifier(dropout=1.0).fit(ROWS, LABELS), "'dropout'.* Got 1.0"),
    (lambda: ProbeClassifier(device="abacus").fit(ROWS, LABELS), "'device'.* Got 'abacus'"),
    (lambda: ProbeClassifier(batch_size=1).fit(ROWS, LABELS), "'batch_size'.* Got 1"),
    (lambda: nearest_neighbors(ROWS, ROWS, n_neighbors=21), "'n_neighbors' .* 20.* Got 21"),
    (lambda: nearest_neighbors(ROWS, ROWS[:, 1:]), "'queries' .* 3 features.* Got 2"),
    (lambda: nearest_neighbors(ROWS, ROWS * np.nan), "queries contains NaN"),
    (lambda: nearest_neighbors([["a"]], ROWS), "could not convert string to float: 'a'"),
]


@pytest.mark.parametrize(("provoke", "sentence"), ERRORS)
def test_an_error_names_the_parameter(provoke, sentence):
    with pytest.raises(ValueError, match=f"(?s){sentence}"):
        provoke()


def test_a_probe_ends_a_pipeline(quick, digits):
    pipeline = make_pipeline(quick(), ProbeClassifier(batch_size=32, random_state=0))
    X, y = digits.images[:200], digits.target[:200]
    assert pipeline.fit(X, y).score(X, y) > 0.8
