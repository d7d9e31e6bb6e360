"""The paper's probe: a network that learns, repeats and is saved as two matrices."""

import joblib
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from benchmarks.paper.probe import ProbeClassifier
from benchmarks.paper.probe import _as_two_matrices as as_two_matrices


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


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
    assert not any(
        isinstance(value, torch.Tensor | torch.nn.Module) for value in vars(loaded).values()
    )
    assert [coef.shape for coef in probe.coefs_] == [(64, 200), (200, 10)]


def test_folding_into_two_matrices_changes_nothing():
    torch.manual_seed(0)
    X = 3 * noise(60, 5) + 7
    scaler = StandardScaler().fit(X)
    scaled = torch.from_numpy(scaler.transform(X)).float()
    network = nn.Sequential(
        nn.Linear(5, 8, bias=False), nn.Dropout(0.1), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
    )
    nn.init.normal_(network[2].weight), nn.init.normal_(network[2].bias)
    network(2 * scaled + 1)  # running statistics other than 0 and 1
    (first, second), (bias, last) = as_two_matrices(scaler, network.eval())
    logits = np.maximum(X @ first + bias, 0) @ second + last
    np.testing.assert_allclose(logits, network(scaled).detach().numpy(), atol=1e-5)


def test_scale_and_offset_of_columns_do_not_matter_to_classifiers(split):
    X, y, X_test, y_test = (part[:300] for part in split)
    probe = ProbeClassifier(max_epochs=5, random_state=0)
    expected = probe.fit(X, y).score(X_test, y_test)
    moved = probe.fit(X * 1000 + 50, y).score(X_test * 1000 + 50, y_test)
    assert moved == pytest.approx(expected, abs=0.01)


def test_no_batch_holds_a_single_sample():
    X, y = noise(9, 3), np.arange(9) % 2
    ProbeClassifier(batch_size=2, max_epochs=2).fit(X, y)  # batch normalisation would refuse one


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
]


@pytest.mark.parametrize(("provoke", "sentence"), ERRORS)
def test_an_error_names_the_parameter(provoke, sentence):
    with pytest.raises(ValueError, match=f"(?s){sentence}"):
        provoke()


def test_a_probe_ends_a_pipeline(quick, digits):
    pipeline = make_pipeline(quick(), ProbeClassifier(batch_size=32, random_state=0))
    X, y = digits.images[:200], digits.target[:200]
    assert pipeline.fit(X, y).score(X, y) > 0.8
