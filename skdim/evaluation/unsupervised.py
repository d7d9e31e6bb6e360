"""Measures for choosing settings without labels or with a few, and scorers for a search.

`view_agreement` and its parts compare the features of random views of the same samples. They
measure how well features distinguish a sample from others in any of its views, which is the aim of
training. The published measures `lidar`, `alpha_req` and `skdim.evaluation.effective_rank` (RankMe)
depend on spectra only. They are included for comparison.

The scorers compare all candidates on the same views: the default views of the modality, whichever
views a candidate was trained on.
"""

import warnings
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, column_or_1d

from skdim.sources.arrays import as_labels, check_none_missing
from skdim.spectra import count_effectively, effective_rank

# A scorer compares at most this many samples, in this many views each.
N_SAMPLES, N_VIEWS = 600, 4
SEED = 0  # draws samples, views and folds, so that scores repeat


# ------------------------------------------------------------ measures


def view_nearest_neighbor(views) -> float:
    """Share of samples whose nearest neighbour in another view is the sample itself.

    Parameters
    ----------
    views : array-like of shape (n_views, n_samples, n_features)
        Features of at least two views of at least two samples. The share falls as the number of
        samples grows. A sample that is as near as k - 1 others counts 1 / k.

    Returns
    -------
    share : float
        0 to 1; the chance level is ``1 / n_samples``.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import view_nearest_neighbor
    >>> features = np.random.default_rng(0).normal(size=(50, 8))
    >>> view_nearest_neighbor([features, features + 0.01])
    1.0
    """
    nearer, tied = _count_nearer(_check_views(views))
    return float(np.mean((nearer == 0) / tied))


def view_retrieval(views, regularization: float = 0.1) -> float:
    r"""How early a search among the views of all samples finds the same sample.

    .. math:: 1 - \frac{\operatorname{mean} \log r}{\log n}

    with :math:`r` the position of the sample itself, 1 to n, when the samples of another view are
    sorted by distance, and :math:`\log r` its mean over all orders of samples at the same distance.
    Distances are Mahalanobis distances with the covariance of views around the mean of their
    sample: the more views vary in a direction, the less it counts, as in linear discriminant
    analysis. A linear classifier would weight directions in the same way.

    Parameters
    ----------
    views : array-like of shape (n_views, n_samples, n_features)
        Features of at least two views of at least two samples.
    regularization : float, default=0.1
        Share of the mean variance of features that is added to the variance of views in every
        direction; greater than 0.

    Returns
    -------
    retrieval : float
        0 to 1; the chance level is about ``1 / log(n_samples)``.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import view_retrieval
    >>> features = np.random.default_rng(0).normal(size=(50, 8))
    >>> view_retrieval([features, features])
    1.0
    """
    views = _check_views(views)
    n = views.shape[1]
    within, between = _covariances(views)
    variance = np.trace(within + between) / len(within)
    if variance == 0:  # features are constant, and all distances 0
        return 0.0
    values, vectors = np.linalg.eigh(within + regularization * variance * np.eye(len(within)))
    nearer, tied = _count_nearer(views @ (vectors / np.sqrt(values)))
    log_factorials = np.log(np.maximum(np.arange(n + 1), 1)).cumsum()
    # The mean logarithm of the positions from nearer + 1 to nearer + tied.
    logs = (log_factorials[nearer + tied] - log_factorials[nearer]) / tied
    return float(1 - logs.mean() / np.log(n))


def neighbor_overlap(views, n_neighbors: int = 10) -> float:
    """Share of a sample's nearest neighbours that two of its views have in common.

    Parameters
    ----------
    views : array-like of shape (n_views, n_samples, n_features)
        Features of at least two views of the same samples. The neighbours of a sample are other
        samples in the same view.
    n_neighbors : int, default=10
        Less than ``n_samples``. Samples at the same distance are neighbours with the same
        probability.

    Returns
    -------
    share : float
        0 to 1; the chance level is ``n_neighbors / (n_samples - 1)``.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import neighbor_overlap
    >>> features = np.random.default_rng(0).normal(size=(50, 8))
    >>> neighbor_overlap([features, 3 * features])
    1.0
    """
    views = _check_views(views)
    n = views.shape[1]
    if not 1 <= n_neighbors < n:
        raise ValueError(
            f"The 'n_neighbors' parameter must be from 1 to {n - 1}, the number of other samples. "
            f"Got {n_neighbors}."
        )
    probabilities = [_probabilities_of_neighbors(view, n_neighbors) for view in views]
    common = [(a * b).sum() for a, b in combinations(probabilities, 2)]
    return float(np.mean(common) / (n * n_neighbors))


def shared_dimension(views) -> float:
    r"""Number of directions of the features in which views of a sample agree.

    .. math:: \operatorname{tr}\left((W + B)^{-1} B\right)

    with :math:`W` the covariance of views around the mean of their sample and :math:`B` the
    covariance of samples. This is the sum of the intraclass correlations of all directions. A
    direction that is the same in all views counts 1, a direction of noise counts 0.

    Parameters
    ----------
    views : array-like of shape (n_views, n_samples, n_features)

    Returns
    -------
    dimension : float
        0 to ``n_features``, or slightly below 0 by chance. Directions in which nothing varies
        count 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import shared_dimension
    >>> features = np.random.default_rng(0).normal(size=(50, 8))
    >>> round(shared_dimension([features, features]), 6)
    8.0
    """
    within, between = _covariances(_check_views(views))
    between -= within / len(views)  # the part of the variance of means that is due to noise
    return float(np.trace(np.linalg.pinv(within + between, rcond=1e-9, hermitian=True) @ between))


def view_agreement(views) -> float:
    """Geometric mean of `view_retrieval`, `neighbor_overlap` and `shared_dimension`.

    They measure different things: whether a sample is found in another view, whether its
    neighbours stay the same, and in how many directions views agree. `neighbor_overlap` compares
    ten neighbours, or a fifth of the samples if there are fewer than 50. The shared dimension is
    divided by the number of features.

    Parameters
    ----------
    views : array-like of shape (n_views, n_samples, n_features)

    Returns
    -------
    agreement : float
        0 to 1; 1 if all views have the same features.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import view_agreement
    >>> features = np.random.default_rng(0).normal(size=(50, 8))
    >>> round(view_agreement([features, features]), 6)
    1.0
    """
    views = _check_views(views)
    parts = (
        view_retrieval(views),
        _overlap_of_ten_or_fewer(views),
        shared_dimension(views) / views.shape[2],
    )
    return float(np.prod(np.maximum(parts, 0)) ** (1 / 3))


def _overlap_of_ten_or_fewer(views: np.ndarray) -> float:
    """`neighbor_overlap` of ten neighbours, or of a fifth of the samples if that is fewer."""
    return neighbor_overlap(views, n_neighbors=min(10, max(1, views.shape[1] // 5)))


def lidar(views, regularization: float = 1e-4) -> float:
    r"""Effective rank of the directions that distinguish samples, by linear discriminant analysis.

    .. math:: \exp\left(-\sum_k p_k \log p_k\right), \qquad p_k = \lambda_k / \sum_j \lambda_j

    with :math:`\lambda` the eigenvalues of :math:`(W + \delta I)^{-1/2} B (W + \delta I)^{-1/2}`,
    :math:`W` the covariance of views around the mean of their sample, and :math:`B` the covariance
    of these means.

    Parameters
    ----------
    views : array-like of shape (n_views, n_samples, n_features)
    regularization : float, default=1e-4
        :math:`\delta`.

    Returns
    -------
    rank : float
        0 to ``n_features``; 0 if nothing varies.

    References
    ----------
    Thilak et al., "LiDAR: sensing linear probing performance in joint embedding SSL architectures",
    ICLR 2024.
    """
    within, between = _covariances(_check_views(views))
    values, vectors = np.linalg.eigh(within + regularization * np.eye(len(within)))
    whiten = vectors / np.sqrt(values)
    return count_effectively(np.linalg.eigvalsh(whiten.T @ between @ whiten), 1e-12)


def alpha_req(features) -> float:
    r"""Decay of the spectrum of features: :math:`\alpha` in :math:`\lambda_k \propto k^{-\alpha}`.

    A line is fitted to the logarithms of all eigenvalues of the covariance that are not zero. For
    the authors of the measure, features with an :math:`\alpha` close to 1 are the best.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)

    Returns
    -------
    alpha : float
        0 for a flat spectrum; NaN if fewer than two eigenvalues are not zero.

    References
    ----------
    Agrawal et al., "alpha-ReQ: assessing representation quality in self-supervised learning by
    measuring eigenspectrum decay", NeurIPS 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import alpha_req
    >>> basis = np.linalg.qr(np.random.default_rng(0).normal(size=(40, 8)))[0]
    >>> features = np.concatenate([basis, -basis]) / np.arange(1, 9)
    >>> round(alpha_req(features), 6)
    2.0
    """
    features = check_array(features, dtype=np.float64, input_name="features")
    values = np.linalg.svd(features - features.mean(0), compute_uv=False) ** 2
    values = values[values > values.max() * max(features.shape) * 1e-15]
    if len(values) < 2:
        return float("nan")
    decay, _ = np.polyfit(np.log(np.arange(1, len(values) + 1)), np.log(values), 1)
    return float(-decay)


def _check_views(views) -> np.ndarray:
    """Return views (n_views, n_samples, n_features), centred, in float64.

    Raises
    ------
    ValueError
        If they have another shape, or are not finite.
    """
    views = check_array(np.asarray(views), dtype=np.float64, allow_nd=True, input_name="views")
    if views.ndim != 3 or min(views.shape[:2]) < 2:
        raise ValueError(
            "The 'views' must have the shape (n_views, n_samples, n_features), with at least two "
            f"views and two samples. Got shape {views.shape}."
        )
    views = views - views[0, 0]  # leaves exact zeros of constants
    return views - views.mean((0, 1))


# Distances that differ by this share are the same, but for rounding.
ROUNDING = 1e-12


def _euclidean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances (n_a, n_b), computed by differences: equal samples are at distance 0."""
    return np.sqrt(pairwise_distances(a, b, metric="sqeuclidean"))


def _count_nearer(views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the samples of another view that are nearer to a sample than the sample itself.

    From (n_views, n, d) to the number of nearer samples, and the number of samples as near as the
    sample itself, which is one of them: (n_pairs, n) each, for all ordered pairs of views.
    """
    nearer, tied = [], []
    for a, b in combinations(views, 2):
        distances = _euclidean(a, b)
        own = distances.diagonal()
        tolerance = ROUNDING * (own + np.linalg.norm(a, axis=1))
        for others in (distances.T, distances):  # to a sample in the columns
            nearer.append(np.count_nonzero(others < own - tolerance, axis=0))
            tied.append(np.count_nonzero(others <= own + tolerance, axis=0) - nearer[-1])
    return np.array(nearer), np.array(tied)


def _probabilities_of_neighbors(view: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Probability that a sample is among the nearest ones of another, if ties are broken at random.

    From (n, d) to (n, n). In a row, all are 0 or 1 except those of ties for the last places.
    """
    distances = _euclidean(view, view)
    np.fill_diagonal(distances, np.inf)
    last = np.partition(distances, n_neighbors - 1, axis=1)[:, n_neighbors - 1, None]
    is_nearer = distances < last * (1 - ROUNDING)
    is_tied = (distances <= last * (1 + ROUNDING)) & ~is_nearer
    n_places = n_neighbors - is_nearer.sum(1, keepdims=True)
    return is_nearer + is_tied * (n_places / is_tied.sum(1, keepdims=True))


def _covariances(views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of views around the mean of their sample, and of these means: (d, d) each."""
    n_views, n, _ = views.shape
    means = views.mean(0)  # (n, d)
    deviations = (views - means).reshape(n_views * n, -1)
    centred = means - means.mean(0)
    return deviations.T @ deviations / ((n_views - 1) * n), centred.T @ centred / (n - 1)


# ------------------------------------------------------------ scorers


SCORER_DOC = """`{name}` of four views of X; may be passed as ``scoring``.{note}

Parameters
----------
estimator : DIMTransformer, or a Pipeline that ends in one
X : array-like
    At least two samples. If there are more than 600, 600 of them are compared.
y : None
    Ignored.

Returns
-------
score : float
    Higher is better.
"""


def _view_scorer(
    measure: Callable[[np.ndarray], float], *, name: str | None = None, note: str = ""
) -> Callable[..., float]:
    """Turn a measure of views into a scorer of estimators.

    Pickled searches and parallel processes look the scorer up by its name: assign it to
    ``<name>_scorer`` in this module.

    Parameters
    ----------
    measure : callable (views) -> float
    name : str or None
        The public measure that the scorer is named after; None is ``measure`` itself.
    note : str
        A further sentence of the docstring.
    """

    def scorer(estimator, X, y=None) -> float:
        return measure(_features_of_views(estimator, X))

    name = name or measure.__name__
    scorer.__name__ = scorer.__qualname__ = f"{name}_scorer"
    scorer.__doc__ = SCORER_DOC.format(name=name, note=f"\n\n{note}" if note else "")
    return scorer


view_nearest_neighbor_scorer = _view_scorer(view_nearest_neighbor)
view_agreement_scorer = _view_scorer(
    view_agreement, note="The measure to choose settings by if there are no labels."
)
view_retrieval_scorer = _view_scorer(view_retrieval)
neighbor_overlap_scorer = _view_scorer(
    _overlap_of_ten_or_fewer,
    name="neighbor_overlap",
    note="It compares ten neighbours, or a fifth of the samples if there are fewer than 50.",
)
shared_dimension_scorer = _view_scorer(shared_dimension)


def effective_rank_scorer(estimator, X, y=None) -> float:
    """Effective rank of ``estimator.transform(X)``; may be passed as ``scoring``.

    Parameters
    ----------
    estimator : transformer
    X : array-like
    y : None
        Ignored.

    Returns
    -------
    rank : float
        Higher is better.
    """
    return effective_rank(estimator.transform(X))


def few_labels_scorer(estimator, X, y) -> float:
    """Cross-validated accuracy of `LogisticRegression` on features of the labelled samples.

    For data with few labelled samples. The encoder is fitted once, on all samples. Only the
    classifier is fitted repeatedly: twenty times, on four fifths of the labels. The encoder does
    not see labels, so a search may fit and score it on the same samples: ``cv=[(rows, rows)]`` with
    ``rows = np.arange(len(X))`` uses every label, and fits each candidate once.

    Parameters
    ----------
    estimator : transformer
    X : array-like
    y : array-like of shape (n_samples,)
        Labels of at least two classes, at least one of which has two or more labels; -1 marks
        samples without a label, as in `sklearn.semi_supervised`.

    Returns
    -------
    accuracy : float
        Higher is better.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skdim import DIMTransformer
    >>> from skdim.evaluation import few_labels_scorer
    >>> X, y = load_digits(return_X_y=True)
    >>> y[50:] = -1
    >>> rows = np.arange(len(X))
    >>> search = GridSearchCV(
    ...     DIMTransformer(max_epochs=1, random_state=0),
    ...     {"n_components": [2, 32]},
    ...     scoring=few_labels_scorer,
    ...     cv=[(rows, rows)],
    ... ).fit(X, y)
    >>> search.best_params_
    {'n_components': 32}
    """
    y = column_or_1d(as_labels(y, "y"))
    check_none_missing(y, "y")
    is_labelled = y != -1
    labels, counts = np.unique(y[is_labelled], return_counts=True)
    if len(labels) < 2 or counts.max() < 2:
        raise ValueError(
            "The 'y' of few_labels_scorer must have labels of at least two classes, and at least "
            "two labels of one of them; -1 marks samples without a label. Got "
            f"{is_labelled.sum()} labels of {len(labels)} classes."
        )
    features = estimator.transform(X)[is_labelled]
    n_splits = int(min(5, counts.max()))
    folds = RepeatedStratifiedKFold(n_splits=n_splits, n_repeats=4, random_state=SEED)
    classifier = LogisticRegression(max_iter=1000)
    with warnings.catch_warnings():  # some classes have fewer labels than there are folds
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        scores = cross_val_score(classifier, features, y[is_labelled], cv=folds)
    return float(scores.mean())


def _features_of_views(estimator: Any, X: Any) -> np.ndarray:
    """Return features of random views of some samples: (N_VIEWS, n, n_features)."""
    steps = list(estimator) if isinstance(estimator, Pipeline) else [estimator]
    *before, transformer = steps
    if not hasattr(transformer, "transform_views"):
        raise TypeError(
            "The 'estimator' must be a DIMTransformer or a Pipeline that ends in one, so that "
            f"features of views can be compared. Got {type(transformer).__name__}."
        )
    for step in before:
        X = X if step in (None, "passthrough") else step.transform(X)
    return transformer.transform_views(X, n_views=N_VIEWS, max_samples=N_SAMPLES, random_state=SEED)
