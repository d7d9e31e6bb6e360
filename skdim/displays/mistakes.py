"""Mistakes of a classifier, with the labelled samples that are nearest to them."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from skdim.classifier import DIMClassifier, check_labels, is_labelled
from skdim.displays.drawing import (
    INK,
    PALETTE,
    SMALL,
    check_drawable,
    check_matplotlib,
    check_number,
    draw_frame,
    draw_rows,
    evenly_spaced,
    shorten,
    take,
)
from skdim.evaluation import nearest_neighbors
from skdim.sources.readers import as_rereadable
from skdim.sources.stored import Samples
from skdim.transformer import DIMTransformer, check_samples

TRUE, PREDICTED = PALETTE[0], PALETTE[2]  # blue, red
TITLE = "Mistakes, then the nearest labelled samples\n(blue: of the true class, red: predicted)"


@dataclass(eq=False, repr=False)
class MistakesDisplay:
    """A row of pictures for each mistake: the sample, then its nearest labelled neighbours.

    The neighbours show why the classifier was wrong: the sample is unusual, another class has
    samples like it, or its own label or that of a neighbour is wrong. A frame is blue if a
    neighbour is of the true class, and red if it is of the predicted one.

    Parameters
    ----------
    samples : ndarray of shape (n, channels, *sides)
        Images, volumes or signals.
    neighbors : ndarray of shape (n, n_neighbors, channels, *sides)
        Nearest first.
    y_true, y_pred : ndarray of shape (n,)
        Labels of the samples, and what the classifier predicts.
    neighbor_labels : ndarray of shape (n, n_neighbors)
    indices : ndarray of shape (n,), default=None
        Indices of the samples in X.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Contains all pictures.
    figure_ : matplotlib Figure
    thumbnails_ : ndarray of shape (n, 1 + n_neighbors) of matplotlib artists
        AxesImage, or LineCollection for signals.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdim import DIMTransformer
    >>> from skdim.displays import MistakesDisplay
    >>> X, y = load_digits().images, load_digits().target
    >>> dim = DIMTransformer(max_epochs=2, random_state=0)
    >>> pipeline = make_pipeline(dim, LogisticRegression()).fit(X[:500], y[:500])
    >>> display = MistakesDisplay.from_estimator(
    ...     pipeline, X[500:], y[500:], X_train=X[:500], y_train=y[:500]
    ... )
    >>> (display.y_true != display.y_pred).all()
    np.True_
    """

    samples: np.ndarray
    neighbors: np.ndarray
    y_true: np.ndarray
    y_pred: np.ndarray
    neighbor_labels: np.ndarray
    _: KW_ONLY
    indices: np.ndarray | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        X_train,
        y_train,
        n_mistakes=6,
        n_neighbors=5,
        metric="manhattan",
        ax=None,
        cmap="gray",
    ):
        """Draw samples that a classifier gets wrong, and return the display.

        Distances are those of the features that the classifier sees.

        Parameters
        ----------
        estimator : Pipeline or DIMClassifier
            Fitted. A Pipeline must have a DIMTransformer among its steps, or a DIMClassifier at its
            end.
        X : array-like of the kind and sample shape that ``fit`` saw
            Images, volumes or signals, once they reach the DIMTransformer.
        y : array-like of shape (n_samples,)
            Labels, as in `DIMClassifier.fit`: a further -1 marks samples without one.
        X_train, y_train : array-like
            Samples from which neighbours are taken, and their labels. A further -1 marks samples
            without a label, which are left out.
        n_mistakes : int, default=6
            Largest number of mistakes to draw. If there are more, they are evenly spaced in X.
        n_neighbors : int, default=5
        metric : str or callable, default="manhattan"
            As in `skdim.evaluation.nearest_neighbors`.
        ax, cmap
            As in `plot`.
        """
        check_matplotlib()
        check_is_fitted(estimator)
        classifier, X = reach(estimator, X)
        X, X_train = as_rereadable(X), as_rereadable(reach(estimator, X_train)[1])
        y, y_train = check_labels(y), check_labels(y_train)
        check_consistent_length(X, y)
        check_consistent_length(X_train, y_train)
        y_pred = classifier.predict(X)
        wrong = np.flatnonzero((y_pred != y) & is_labelled(y))
        if not len(wrong):
            raise ValueError(
                "X must hold samples that the classifier gets wrong, to be drawn. Got "
                f"{len(y)} samples without a mistake."
            )
        if n_mistakes < 1:
            raise ValueError(f"The 'n_mistakes' parameter must be at least 1. Got {n_mistakes}.")
        indices = wrong[evenly_spaced(len(wrong), min(n_mistakes, len(wrong)))]
        samples, features = features_of(classifier, X)
        labelled = np.flatnonzero(is_labelled(y_train))
        check_number("n_neighbors", n_neighbors, len(labelled), "labelled samples")
        train, train_features = features_of(classifier, X_train)
        check_drawable(train)
        _, nearest = nearest_neighbors(
            train_features[labelled], features[indices], n_neighbors, metric
        )
        display = cls(
            take(samples, indices),
            take(train, labelled[nearest]),
            y[indices],
            y_pred[indices],
            y_train[labelled[nearest]],
            indices=indices,
        )
        return display.plot(ax, cmap=cmap)

    def plot(self, ax=None, *, cmap="gray"):
        """Draw the mistakes and their neighbours, and return the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        cmap : str or matplotlib Colormap, default="gray"
            Colour map of grey pictures; "gray_r" draws dark on white.
        """
        check_drawable(self.samples)
        rows = draw_rows(ax, self.samples, self.neighbors, cmap)
        self.ax_, self.figure_, panels, self.thumbnails_ = rows
        by_row = zip(panels, self.y_true, self.y_pred, self.neighbor_labels, strict=True)
        for (first, *others), true, predicted, labels in by_row:
            label = f"is {shorten(str(true))},\nnot {shorten(str(predicted))}"
            first.set_xlabel(label, **SMALL, labelpad=2)
            draw_frame(first, INK)
            for panel, label in zip(others, labels, strict=True):
                panel.set_xlabel(shorten(str(label)), **SMALL, labelpad=2)
                if label in (true, predicted):
                    draw_frame(panel, TRUE if label == true else PREDICTED)
        panels[0, 0].set_title(TITLE, loc="left", fontsize="medium", color=INK)
        return self


def reach(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the part of a classifier that begins with skdim's estimator, and X as it gets there.

    Raises
    ------
    TypeError
        If the classifier contains no estimator of skdim.
    """
    if isinstance(estimator, FrozenEstimator):
        return reach(estimator.estimator, X)
    if isinstance(estimator, DIMClassifier):
        return estimator, X
    steps = estimator.steps if isinstance(estimator, Pipeline) else []
    for number, (_, step) in enumerate(steps):
        inner = without_freezing(step)
        if isinstance(inner, DIMTransformer | DIMClassifier):
            reached = estimator[:number].transform(X) if number else X
            return (inner if isinstance(inner, DIMClassifier) else estimator[number:]), reached
    raise TypeError(
        "The 'estimator' parameter must be a fitted Pipeline with a DIMTransformer among its "
        "steps, or a fitted DIMClassifier; of a search, pass its best_estimator_. Got "
        f"{type(estimator).__name__}."
    )


def features_of(classifier: Any, X: Any) -> tuple[Samples, np.ndarray]:
    """Return the samples of X, and the features (n, n_features) that decide about their class.

    ``classifier`` is a `DIMClassifier`, whose features are those of the hidden layer, or a Pipeline
    that begins with a DIMTransformer.
    """
    if isinstance(classifier, DIMClassifier):
        transformer = classifier.transformer_
        samples = check_samples(transformer, X)
        return samples, transformer.model_.features(samples, "hidden")
    samples = check_samples(without_freezing(classifier[0]), X)
    return samples, np.asarray(classifier[:-1].transform(X))


def without_freezing(step: Any) -> Any:
    """Return the estimator inside of a FrozenEstimator."""
    return step.estimator if isinstance(step, FrozenEstimator) else step
