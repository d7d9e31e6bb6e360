"""``allow_nan``: what is missing is neither seen nor counted, wherever a transformer goes."""

import numpy as np
import pytest
from helpers.signals import ENDED, UNCUT

from skdim import DIMClassifier, DIMTransformer
from skdim.sources import as_source

ROWS = np.random.default_rng(0).normal(size=(80, 5))
ROWS[np.random.default_rng(1).random(ROWS.shape) < 0.2] = np.nan


def dim(**params):
    quick = {"n_components": 8, "max_epochs": 2, "random_state": 0, "allow_nan": True}
    quick["encoder_params"] = {"width": 8, "n_hidden": 16}
    return DIMTransformer(**{**quick, **params})


def dim_of_signals(**params):
    return dim(channel_axis=1, **params)


def test_without_ends_nothing_changes():
    small = {"width": 8, "n_hidden": 16}
    params = {"channel_axis": 1, "random_state": 0, "max_epochs": 2, "encoder_params": small}
    features = [DIMTransformer(allow_nan=a, **params).fit_transform(UNCUT) for a in (False, True)]
    np.testing.assert_allclose(*features, atol=1e-4)


def test_features_do_not_depend_on_the_batch():
    fitted = dim_of_signals(output="hidden").fit(ENDED)
    one_by_one = np.concatenate([fitted.transform(ENDED[i : i + 1]) for i in range(60)])
    np.testing.assert_array_equal(fitted.transform(ENDED), one_by_one)
    assert np.isfinite(one_by_one).all()


def test_training_beats_an_untrained_encoder_on_signals_of_unequal_length():
    untrained = dim_of_signals(learning_rate=1e-12, max_epochs=1).fit(ENDED)
    assert dim_of_signals(max_epochs=15).fit(ENDED).score(ENDED) > untrained.score(ENDED)


def test_groups_of_columns_hold_their_missing_cells():
    params = {"column_groups": [[0, 3]], "encoder_params": {"width": 8, "n_hidden": 8}}
    assert np.isfinite(dim(**params).fit_transform(ROWS)).all()


def test_a_column_that_is_missing_throughout():
    rows = ROWS.copy()
    rows[:, 1] = np.nan
    assert np.isfinite(dim().fit_transform(rows)).all()


@pytest.fixture(scope="module", params=["signals", "rows"])
def fitted(request):
    X = {"signals": ENDED, "rows": ROWS}[request.param]
    build = {"signals": dim_of_signals, "rows": dim}[request.param]
    return build().fit(X), X


def test_a_source_gives_what_an_array_gives(fitted, tmp_path):
    fitted, X = fitted
    np.save(tmp_path / "X.npy", X)
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert as_source(stored) is not None
    twin = DIMTransformer(**fitted.get_params()).fit(stored)
    np.testing.assert_allclose(twin.transform(X), fitted.transform(X), atol=1e-5)


def test_a_file_keeps_it(fitted, tmp_path):
    fitted, X = fitted
    fitted.save(tmp_path / "dim.safetensors")
    loaded = DIMTransformer.load(tmp_path / "dim.safetensors")
    assert loaded.allow_nan
    np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))
    assert loaded.score(X) == fitted.score(X)


def test_an_onnx_graph_reads_it(fitted, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    fitted, X = fitted
    fitted.export_onnx(tmp_path / "dim.onnx")
    session = runtime.InferenceSession(tmp_path / "dim.onnx")
    (features,) = session.run(None, {session.get_inputs()[0].name: X.astype(np.float32)})
    np.testing.assert_allclose(features, fitted.transform(X.astype(np.float32)), atol=1e-4)


def test_a_classifier_of_it(fitted):
    fitted, X = fitted
    classifier = DIMClassifier(transformer=DIMTransformer(**fitted.get_params()), max_epochs=1)
    assert classifier.fit(X, np.arange(len(X)) % 2).predict(X).shape == (len(X),)


def test_the_tag_says_it():
    for allow_nan in (False, True):
        transformer = dim(allow_nan=allow_nan)
        for estimator in (transformer, DIMClassifier(transformer)):
            assert estimator.__sklearn_tags__().input_tags.allow_nan == allow_nan
