"""Mistakes of classifiers: which they are, and what is near them."""

import numpy as np
import pytest
from helpers.displays import ROWS, SHORT, SIGNALS, lay_out
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdim import DIMClassifier, DIMTransformer
from skdim.displays import MistakesDisplay
from skdim.displays.mistakes import features_of, reach


def labels_of(n):
    return np.array(["fox", "hare", "owl"])[np.random.default_rng(1).integers(3, size=n)]


def halves(X, n=40):
    """Random labels, which no classifier gets right: arguments of `from_estimator`."""
    y = labels_of(len(X))
    return (X[n:], y[n:]), {"X_train": X[:n], "y_train": y[:n]}


@pytest.fixture(scope="module")
def dim(images):
    return DIMTransformer(**SHORT).fit(images)


@pytest.fixture(scope="module")
def pipeline(dim, images):
    classifier = make_pipeline(FrozenEstimator(dim), KNeighborsClassifier(1, metric="manhattan"))
    return classifier.fit(images[:40], labels_of(len(images))[:40])


def test_mistakes_are_samples_that_the_classifier_gets_wrong(pipeline, images):
    (X, y), train = halves(images)
    display = MistakesDisplay.from_estimator(pipeline, X, y, n_mistakes=100, n_neighbors=1, **train)
    predicted = pipeline.predict(X)
    np.testing.assert_array_equal(display.indices, np.flatnonzero(predicted != y))
    np.testing.assert_array_equal(display.y_true, y[display.indices])
    np.testing.assert_array_equal(display.y_pred, predicted[display.indices])
    np.testing.assert_array_equal(display.samples[:, 0], X[display.indices])


def test_the_nearest_neighbour_of_a_mistake_is_what_a_nearest_neighbour_classifier_says(
    pipeline, images
):
    (X, y), train = halves(images)
    display = MistakesDisplay.from_estimator(pipeline, X, y, **train)
    assert len(display.samples) == 6
    np.testing.assert_array_equal(display.neighbor_labels[:, 0], display.y_pred)
    label_of = {image.tobytes(): label for image, label in zip(images, labels_of(90), strict=True)}
    for neighbors, labels in zip(display.neighbors, display.neighbor_labels, strict=True):
        assert [label_of[image.tobytes()] for image in neighbors[:, 0]] == labels.tolist()


def test_frames_say_of_which_class_a_neighbour_is(pipeline, images):
    from matplotlib.colors import to_hex

    (X, y), train = halves(images)
    display = MistakesDisplay.from_estimator(pipeline, X, y, **train)
    lay_out(display)
    for row, labels in zip(display.thumbnails_, display.neighbor_labels, strict=True):
        caption = row[0].axes.get_xlabel()
        true, predicted = caption.removeprefix("is ").split(",\nnot ")
        for artist, label in zip(row[1:], labels, strict=True):
            spine = artist.axes.spines["left"]
            color = to_hex(spine.get_edgecolor()) if spine.get_visible() else None
            assert artist.axes.get_xlabel() == label
            assert color == {true: "#3f90da", predicted: "#bd1f01"}.get(label)


def test_samples_without_a_label_are_neither_mistakes_nor_neighbours(dim, images):
    y = np.random.default_rng(1).integers(3, size=90)
    pipeline = make_pipeline(FrozenEstimator(dim), LogisticRegression()).fit(images[:40], y[:40])
    y[::2] = -1
    display = MistakesDisplay.from_estimator(
        pipeline,
        images[40:],
        y[40:],
        X_train=images[:40],
        y_train=y[:40],
        n_mistakes=50,
        n_neighbors=2,
    )
    assert (display.indices % 2 == 1).all()
    assert (display.neighbor_labels >= 0).all()


def tables(images):
    return images.reshape(len(images), -1)


CLASSIFIERS = {
    "DIMClassifier": lambda dim: DIMClassifier(FrozenEstimator(dim), max_epochs=1),
    "frozen": lambda dim: make_pipeline(FrozenEstimator(dim), LogisticRegression()),
    "steps around it": lambda dim: make_pipeline(
        FunctionTransformer(lambda X: X.reshape(-1, 8, 8)),
        FrozenEstimator(dim),
        StandardScaler(),
        LogisticRegression(),
    ),
    "DIMClassifier behind a step": lambda dim: make_pipeline(
        FunctionTransformer(lambda X: X.reshape(-1, 8, 8)),
        DIMClassifier(FrozenEstimator(dim), max_epochs=1),
    ),
}


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_features_are_those_that_the_classifier_sees(kind, dim, images):
    classifier = CLASSIFIERS[kind](dim).fit(images, labels_of(90))
    X = images if kind in ("DIMClassifier", "frozen") else tables(images)
    samples, features = features_of(*reach(classifier, X))
    np.testing.assert_array_equal(samples[:, 0], images)
    last = classifier if kind == "DIMClassifier" else classifier[-1]
    if isinstance(last, DIMClassifier):
        logits = features @ last.coef_.T + last.intercept_
        np.testing.assert_array_equal(
            logits.argmax(1), last.classes_.searchsorted(classifier.predict(X))
        )
    else:
        np.testing.assert_array_equal(last.predict(features), classifier.predict(X))
    (X_test, y), train = halves(X)
    # Steps of scikit-learn take arrays only.
    X_test = iter(X_test) if X is images else X_test
    MistakesDisplay.from_estimator(classifier, X_test, y, **train)


def test_signals_are_drawn_as_curves(of_signals):
    pipeline = make_pipeline(FrozenEstimator(of_signals), LogisticRegression())
    (X, y), train = halves(SIGNALS, 25)
    pipeline.fit(train["X_train"], train["y_train"])
    display = MistakesDisplay.from_estimator(pipeline, X, y, **train)
    assert display.thumbnails_.shape[1] == 6
    assert [len(curve) for curve in display.thumbnails_[0, 0].get_segments()] == [32, 32]


def test_an_error_names_what_is_wrong(pipeline, dim, of_rows, images):
    (X, y), train = halves(images)
    predicted = pipeline.predict(X)
    draw = MistakesDisplay.from_estimator
    with pytest.raises(ValueError, match=r"X must hold samples .* wrong.* Got 50 samples without"):
        draw(pipeline, X, predicted, **train)
    with pytest.raises(ValueError, match=r"'n_mistakes' .* Got 0"):
        draw(pipeline, X, y, n_mistakes=0, **train)
    with pytest.raises(ValueError, match=r"'n_neighbors' .* 40 labelled samples of X. Got 41"):
        draw(pipeline, X, y, n_neighbors=41, **train)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        draw(pipeline, X, y[1:], **train)
    for other in (KNeighborsClassifier(1), make_pipeline(StandardScaler(), LogisticRegression())):
        with pytest.raises(TypeError, match=r"'estimator' .* DIMTransformer .* Got (KN|Pipeline)"):
            draw(other.fit(tables(X), y), tables(X), y, X_train=tables(X), y_train=y)
    search = GridSearchCV(LogisticRegression(), {"C": [1, 2]}).fit(tables(X), y)
    with pytest.raises(TypeError, match=r"best_estimator_. Got GridSearchCV"):
        draw(search, tables(X), y, X_train=tables(X), y_train=y)
    of_table = make_pipeline(FrozenEstimator(of_rows), LogisticRegression())
    (X, y), train = halves(ROWS, 20)
    with pytest.raises(ValueError, match="X must hold images"):
        draw(of_table.fit(X, y), X, labels_of(41)[1:21], **train)
