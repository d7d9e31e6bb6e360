"""The contract of scikit-learn: its own suite, then the stories users live by."""

import inspect
import os

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdim import DIMClassifier, DIMOutlierDetector, DIMTransformer

# The contract knows no width.
NARROW = {"encoder_params": {"width": 16, "n_hidden": 32}, "max_epochs": 1, "device": "cpu"}


@parametrize_with_checks(
    [
        DIMTransformer(8, **NARROW),
        DIMTransformer(8, allow_nan=True, **NARROW),
        DIMTransformer(None, global_weight=1, prior_weight=0.1, **NARROW),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_determinism_is_claimed():
    assert not DIMTransformer().__sklearn_tags__().non_deterministic


@pytest.fixture
def pipeline(quick):
    return Pipeline([("dim", quick()), ("clf", LogisticRegression(max_iter=1000))])


GRID = {
    "dim__local_weight": [0.5, 1.0],
    "dim__global_weight": [0.0, 1.0],
    "dim__prior_weight": [0.0, 0.1],
}


def test_grid_search_over_the_three_weights(pipeline, digits):
    X, y = digits.images[:120], digits.target[:120]
    search = GridSearchCV(pipeline, GRID, cv=2).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == 8
    assert np.isfinite(scores).all()
    assert search.best_estimator_.score(X, y) > 0.5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_search_is_the_same_in_one_process_and_in_two(pipeline, digits):
    """In forked processes; `tests/evaluation/test_unsupervised.py` searches in new ones."""
    X, y = digits.images[:80], digits.target[:80]
    grid = {"dim__local_weight": [0.5, 1.0]}
    with joblib.parallel_config("multiprocessing"):
        scores = [
            GridSearchCV(pipeline, grid, cv=2, n_jobs=n).fit(X, y).cv_results_["mean_test_score"]
            for n in (1, 2)
        ]
    np.testing.assert_allclose(scores[0], scores[1], atol=0.05)


def test_cross_val_score(pipeline, digits):
    scores = cross_val_score(pipeline, digits.images[:150], digits.target[:150], cv=3)
    assert scores.mean() > 0.4


def test_clone_forgets_the_fit_and_keeps_the_parameters(quick, images):
    fitted = quick(global_weight=0.3).fit(images)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.transform(images)


@pytest.mark.parametrize(
    ("container", "frame"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)]
)
def test_set_output(quick, rows, container, frame):
    X, _ = rows
    features = quick().set_output(transform=container).fit_transform(X)
    assert isinstance(features, frame)
    assert list(features.columns) == [f"dimtransformer{i}" for i in range(8)]


def test_data_frames_give_their_names(quick, rows):
    X, _ = rows
    frame = pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
    transformer = quick().fit(frame)
    assert list(transformer.feature_names_in_) == list(frame.columns)
    np.testing.assert_array_equal(transformer.transform(frame), quick().fit(X).transform(X))
    with pytest.raises(ValueError, match="feature names should match"):
        transformer.transform(frame.rename(columns={"column 0": "other"}))


FITS = []


def count_fits(batch, generator):
    FITS.append(len(batch))
    return batch + 0.1


def test_memory_hits_its_cache(quick, digits, tmp_path):
    X, y = digits.images[:60], digits.target[:60]
    FITS.clear()

    def fit():
        steps = [("dim", quick(augment=count_fits)), ("clf", LogisticRegression(max_iter=1000))]
        Pipeline(steps, memory=str(tmp_path)).fit(X, y)
        return len(FITS)

    once = fit()
    assert once > 0
    assert fit() == once


def test_groups_reach_the_transformer_by_metadata_routing(quick, digits):
    X, y = digits.images[:80], digits.target[:80]
    groups = np.arange(80) // 4
    with sklearn.config_context(enable_metadata_routing=True):
        dim = quick(random_state=1).set_fit_request(groups=True)
        pipeline = Pipeline([("dim", dim), ("clf", LogisticRegression(max_iter=1000))])
        routed = pipeline.fit(X, y, groups=groups)["dim"].transform(X)
        scores = cross_val_score(pipeline, X, y, cv=GroupKFold(2), params={"groups": groups})
    direct = quick(random_state=1).fit(X, groups=groups).transform(X)
    np.testing.assert_array_equal(routed, direct)
    assert not np.array_equal(routed, quick(random_state=1).fit(X).transform(X))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("kind", [DIMTransformer, DIMClassifier, DIMOutlierDetector])
def test_scikit_learn_sees_the_parameters(kind):
    class Child(kind):
        """It inherits the constructor."""

    for some in (kind, Child):
        names = set(inspect.signature(some).parameters)
        assert names == set(some().get_params(deep=False))
        assert "kwargs" not in names
        assert clone(some(random_state=7)).random_state == 7
    with pytest.raises(TypeError, match="Child has no parameter 'seed'"):
        Child(seed=0)
