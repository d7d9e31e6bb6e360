"""Parameters that are changed after a fit are checked where they are used."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skdim import DIMClassifier, DIMTransformer
from skdim.displays import CodeDisplay, NearestNeighborsDisplay
from skdim.onnx_export import export_onnx
from skdim.transformer import USED_AFTER_FIT

X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
Y = np.arange(60) % 2

METHODS = {
    "transform": lambda dim, path: dim.transform(X),
    "transform_to": lambda dim, path: dim.transform_to(X, path),
    "transform_views": lambda dim, path: dim.transform_views(X),
    "score": lambda dim, path: dim.score(X),
    "score_samples": lambda dim, path: dim.score_samples(X),
    "score_terms": lambda dim, path: dim.score_terms(X),
    "save": lambda dim, path: dim.save(path),
    "codes": lambda dim, path: CodeDisplay.from_estimator(dim, X),
    "neighbours": lambda dim, path: NearestNeighborsDisplay.from_estimator(dim, X),
}
# These use the output alone.
OF_OUTPUT = {
    "get_feature_names_out": lambda dim, path: dim.get_feature_names_out(),
    "export_onnx": lambda dim, path: dim.export_onnx(path),
    "export of a pipeline": lambda dim, path: export_onnx(
        make_pipeline(dim, FITTED_CLASSIFIER), path
    ),
    "a dask array": lambda dim, path: dim.transform(
        pytest.importorskip("dask.array").from_array(X)
    ),
}
FITTED_CLASSIFIER = LogisticRegression().fit(X[:, :4], Y)

ILLEGAL = {
    "output": ["component", "Code", None, 3],
    "transform_batch_size": [-1, 0, 2.5, "all"],
    "sample_shape": [6, "6"],
    "channel_axis": ["last", 1.5],
    "allow_nan": ["no", 2],
}


@pytest.fixture(scope="module")
def fitted():
    return DIMTransformer(4, max_epochs=1, random_state=0).fit(X)


def cases():
    for name, values in ILLEGAL.items():
        methods = METHODS | OF_OUTPUT if name == "output" else METHODS
        yield from ((method, name, value) for method in methods for value in values)


def test_every_parameter_that_is_used_is_tried():
    assert set(ILLEGAL) == set(USED_AFTER_FIT)


@pytest.mark.parametrize(("method", "name", "value"), list(cases()))
def test_an_illegal_value_is_named(method, name, value, fitted, tmp_path):
    before = fitted.get_params()
    fitted.set_params(**{name: value})
    try:
        with pytest.raises((ValueError, TypeError), match=f"'{name}'"):
            (METHODS | OF_OUTPUT)[method](fitted, str(tmp_path / "file.npy"))
    finally:
        fitted.set_params(**before)
    assert not list(tmp_path.iterdir())


def test_a_typing_error_gets_the_right_name(fitted):
    fitted.set_params(output="component")
    try:
        with pytest.raises(ValueError, match="'components'"):
            fitted.get_feature_names_out()
    finally:
        fitted.set_params(output="components")


def test_a_classifier_checks_its_transformer(fitted):
    classifier = DIMClassifier(fitted, max_epochs=1, random_state=0).fit(X, Y)
    classifier.transformer_.set_params(transform_batch_size=-1)
    with pytest.raises(ValueError, match="'transform_batch_size'"):
        classifier.predict(X)
