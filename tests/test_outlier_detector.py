"""The outlier detector: a threshold on the scores, which later normal samples pass as often."""

import pickle

import numpy as np
import pytest
from helpers.hostile import redescribed
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdim import DIMOutlierDetector, DIMTransformer
from skdim.exceptions import FileError, IneffectiveParameterWarning

SMALL = {"width": 16, "n_hidden": 64}
NEW = (8, 9)  # digits that are not in fit


@parametrize_with_checks(
    [DIMOutlierDetector(DIMTransformer(4, max_epochs=1, encoder_params=SMALL, device="cpu"))]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def parts(digits):
    """Normal images for fit, more of them, and images of new classes."""
    is_new = np.isin(digits.target, NEW)
    normal = np.random.default_rng(0).permutation(digits.images[~is_new])  # of all writers
    return normal[:900], normal[900:], digits.images[is_new]


@pytest.fixture(scope="module")
def dim(parts):
    return DIMTransformer(8, max_epochs=4, encoder_params=SMALL, random_state=0).fit(parts[0])


@pytest.fixture(scope="module")
def detector(dim, parts):
    return DIMOutlierDetector(dim, contamination=0.1).fit(parts[0])


def test_the_score_is_that_of_a_transformer_that_was_fitted_to_the_same_samples(
    dim, detector, parts
):
    for X in parts:
        np.testing.assert_allclose(detector.score_samples(X), dim.score_samples(X), rtol=1e-12)


def test_decisions_and_predictions_follow_from_scores_and_threshold(detector, parts):
    X = np.concatenate(parts[1:])
    decisions = detector.score_samples(X) - detector.offset_
    np.testing.assert_array_equal(detector.decision_function(X), decisions)
    np.testing.assert_array_equal(detector.predict(X), np.where(decisions < 0, -1, 1))
    assert set(detector.predict(X)) == {-1, 1}


@pytest.mark.parametrize("contamination", [0.02, 0.1, 0.5])
def test_that_part_of_the_samples_of_fit_and_about_that_part_of_later_ones_are_outliers(
    dim, parts, contamination
):
    fit, held_out, _ = parts
    detector = DIMOutlierDetector(dim, contamination=contamination).fit(fit)
    assert (detector.predict(fit) == -1).sum() == pytest.approx(contamination * len(fit), abs=1)
    deviation = np.sqrt(contamination * (1 - contamination) / len(held_out))
    found = (detector.predict(held_out) == -1).mean()
    assert found == pytest.approx(contamination, abs=4 * deviation)


def test_new_classes_are_found(detector, parts):
    _, held_out, new = parts
    is_normal = np.repeat([1, 0], [len(held_out), len(new)])
    scores = detector.decision_function(np.concatenate([held_out, new]))
    assert roc_auc_score(is_normal, scores) > 0.85


def test_the_automatic_threshold_is_the_lower_fence_of_a_box_plot(dim, parts):
    scores = dim.score_samples(parts[0])
    lower, upper = np.quantile(scores, [0.25, 0.75])
    detector = DIMOutlierDetector(dim).fit(parts[0])
    assert detector.offset_ == pytest.approx(lower - 1.5 * (upper - lower))


def test_a_fitted_transformer_is_not_trained_and_compares_with_the_samples_of_fit(dim, parts):
    _, held_out, new = parts
    before = dim.score_samples(new)
    detector = DIMOutlierDetector(FrozenEstimator(dim)).fit(new)
    features = detector.transformer_.transform(held_out)
    np.testing.assert_array_equal(features, dim.transform(held_out))
    np.testing.assert_array_equal(dim.score_samples(new), before)
    assert dim.score_samples(held_out).mean() > before.mean()
    assert detector.score_samples(held_out).mean() < detector.score_samples(new).mean()
    with pytest.warns(IneffectiveParameterWarning, match="groups"):
        DIMOutlierDetector(dim).fit(new, groups=np.arange(len(new)))


def test_no_more_samples_are_remembered_than_by_a_transformer(dim, parts):
    many = np.concatenate([parts[0]] * 3)
    detector = DIMOutlierDetector(dim).fit(many)
    assert len(detector.transformer_.model_.reference) == 2000
    assert detector.predict(parts[1]).mean() > 0.5


def test_a_detector_of_a_transformer_needs_no_samples(dim, detector, parts):
    made = DIMOutlierDetector.from_transformer(dim, 0.1)
    assert made.offset_ == pytest.approx(detector.offset_)
    np.testing.assert_array_equal(made.predict(parts[2]), detector.predict(parts[2]))
    with pytest.raises(ValueError, match="'contamination' parameter"):
        DIMOutlierDetector.from_transformer(dim, 0.7)


def test_a_seed_makes_the_fit_of_a_transformer_repeat(quick, parts):
    X = parts[0][:80]
    fits = [DIMOutlierDetector(quick(random_state=None), random_state=1).fit(X) for _ in range(2)]
    np.testing.assert_array_equal(fits[0].score_samples(X), fits[1].score_samples(X))
    assert fits[0].offset_ == fits[1].offset_
    other = DIMOutlierDetector(quick(random_state=None), random_state=2).fit(X)
    assert not np.array_equal(other.score_samples(X), fits[0].score_samples(X))


def test_detectors_come_back_from_files_and_pickles(detector, parts, tmp_path):
    detector.save(tmp_path / "detector.safetensors")
    for again in (
        DIMOutlierDetector.load(tmp_path / "detector.safetensors"),
        pickle.loads(pickle.dumps(detector)),
    ):
        assert again.offset_ == detector.offset_
        assert again.contamination == 0.1
        np.testing.assert_array_equal(again.predict(parts[2]), detector.predict(parts[2]))
    assert clone(again).fit(parts[0]).offset_ == detector.offset_


@pytest.mark.parametrize("offset", [0.5, None, "low", {"float": "nan"}, {"float": "-inf"}])
def test_a_threshold_that_no_scores_have_is_refused(detector, tmp_path, offset):
    detector.save(tmp_path / "detector")

    def change(document):
        document["state"]["detector"]["dict"] = [["offset", offset]]

    (tmp_path / "other").write_bytes(redescribed((tmp_path / "detector").read_bytes(), change))
    with pytest.raises(FileError, match="offset"):
        DIMOutlierDetector.load(tmp_path / "other")


def test_a_trimmed_transformer_detects_nothing(quick, parts):
    trimmed = quick().fit(parts[0][:60]).trim()
    with pytest.raises(ValueError, match="trimmed"):
        DIMOutlierDetector(trimmed).fit(parts[0][:60])
    with pytest.raises(ValueError, match="trimmed"):
        DIMOutlierDetector.from_transformer(trimmed)
