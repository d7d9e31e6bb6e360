"""Choosing without labels, or with a few: functions of features, and scorers for a search.

`view_agreement` and its parts compare features of random views of the same samples. They ask
whether features tell a sample from others whatever its view: what training is for. The published
`lidar`, `alpha_req` and `skdim.evaluation.effective_rank` (RankMe) look at spectra only; they are
here to be compared with.

The scorers compare all candidates on the same views: the default ones of the modality, whatever
views a candidate was trained on.
"""

import warnings
from itertools import combinations, permutations
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import euclidean_distances, pairwise_distances_argmin
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array

from skdim.spectra import count_effectively, effective_rank

# Of a scorer: samples that are compared, at most, and views of each.
N_SAMPLES, N_VIEWS = 600, 4
SEED = 0  # of samples, views and folds: scores repeat


# ------------------------------------------------------------ functions of features of views


def view_nearest_neighbor(views) -> float:
    """Share of views whose nearest neighbour in another view is the same sample.

    Parameters
    ----------
    views : array-like of shape (n_views, n_samples, n_features)
        Features of at least two views of at least two samples. The more samples, the harder.

    Returns
    -------
    share : float
        1 at best; ``1 / n_samples`` is chance.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import view_nearest_neighbor
    >>> features = np.random.default_rng(0).normal(size=(50, 8))
    >>> view_nearest_neighbor([features, features + 0.01])
    1.0
    """
    views = _read_views(views)
    own = np.arange(views.shape[1])
    found = [pairwise_distances_argmin(a, b) == own for a, b in permutations(views, 2)]
    return float(np.mean(found))


def view_retrieval(views, regularization: float = 0.1) -> float:
    r"""How early a search among views of all samples comes to the same sample.

    .. math:: 1 - \frac{\operatorname{mean} \log r}{\log n}

    with :math:`r` the position of the sample itself, 1 to n, when the samples of another view are
    sorted by their distance. Distances are Mahalanobis distances by the covariance of views around
    their sample's mean: a direction counts the less, the more views vary in it, as in linear
    discriminant analysis. So a linear classifier, too, would weigh it.

    Parameters
    ----------
    views : array-like of shape (n_views, n_samples, n_features)
        Features of at least two views of at least two samples.
    regularization : float, default=0.1
        Part of the mean variance of features that is added to the variance of views in every
        direction; more than 0.

    Returns
    -------
    retrieval : float
        1 at best; about ``1 / log(n_samples)`` is chance.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import view_retrieval
    >>> features = np.random.default_rng(0).normal(size=(50, 8))
    >>> view_retrieval([features, features])
    1.0
    """
    views = _read_views(views)
    n = views.shape[1]
    within, between = _covariances(views)
    variance = np.trace(within + between) / len(within)
    if variance == 0:  # features are constant, and all distances 0
        return 0.0
    values, vectors = np.linalg.eigh(within + regularization * variance * np.eye(len(within)))
    weighed = views @ (vectors / np.sqrt(values))
    positions = []
    for a, b in permutations(weighed, 2):
        distances = euclidean_distances(a, b, squared=True)  # (n, n)
        own = distances.diagonal()[:, None]
        positions.append(1 + np.count_nonzero(distances < own, axis=1))
    return float(1 - np.log(positions).mean() / np.log(n))


def neighbor_overlap(views, n_neighbors: int = 10) -> float:
    """Share of a sample's nearest neighbours that two of its views have in common.

    Parameters
    ----------
    views : array-like of shape (n_views, n_samples, n_features)
        Features of at least two views of the same samples. Neighbours are looked for among the
        other samples of the same view.
    n_neighbors : int, default=10
        Less than ``n_samples``.

    Returns
    -------
    share : float
        1 at best; ``n_neighbors / (n_samples - 1)`` is chance.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import neighbor_overlap
    >>> features = np.random.default_rng(0).normal(size=(50, 8))
    >>> neighbor_overlap([features, 3 * features])
    1.0
    """
    views = _read_views(views)
    n = views.shape[1]
    if not 1 <= n_neighbors < n:
        raise ValueError(
            f"The 'n_neighbors' parameter must be 1 to {n - 1}, the number of other samples. "
            f"Got {n_neighbors}."
        )
    are_neighbors = np.zeros((len(views), n, n), bool)
    for view, are_near in zip(views, are_neighbors, strict=True):
        nearest = NearestNeighbors(n_neighbors=n_neighbors).fit(view).kneighbors()[1]
        np.put_along_axis(are_near, nearest, True, axis=1)
    common = [np.count_nonzero(a & b) for a, b in combinations(are_neighbors, 2)]
    return float(np.mean(common) / (n * n_neighbors))


def shared_dimension(views) -> float:
    r"""Number of directions of the features in which views of a sample agree.

    .. math:: \operatorname{tr}\left((W + B)^{-1} B\right)

    with :math:`W` the covariance of views around their sample's mean and :math:`B` that of samples:
    the intraclass correlations of all directions, summed. A direction that views leave as it is
    counts 1, one of noise 0.

    Parameters
    ----------
    views : array-like of shape (n_views, n_samples, n_features)

    Returns
    -------
    dimension : float
        0 to ``n_features``. Directions in which nothing varies count 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import shared_dimension
    >>> features = np.random.default_rng(0).normal(size=(50, 8))
    >>> round(shared_dimension([features, features]), 6)
    8.0
    """
    within, between = _covariances(_read_views(views))
    between -= within / len(views)  # what noise adds to the variance of means
    return float(np.trace(np.linalg.pinv(within + between, rcond=1e-9, hermitian=True) @ between))


def view_agreement(views) -> float:
    """Geometric mean of `view_retrieval`, `neighbor_overlap` and `shared_dimension`.

    They see different things: whether a sample is found again, whether its neighbourhood stays the
    same, and in how many directions. Of `neighbor_overlap`, ten neighbours are compared, or, of
    less than 50 samples, a fifth of them; the shared dimension counts as a share of the features.

    Parameters
    ----------
    views : array-like of shape (n_views, n_samples, n_features)

    Returns
    -------
    agreement : float
        0 to 1; 1 where all views have the same features.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import view_agreement
    >>> features = np.random.default_rng(0).normal(size=(50, 8))
    >>> round(view_agreement([features, features]), 6)
    1.0
    """
    views = _read_views(views)
    _, n, n_features = views.shape
    parts = (
        view_retrieval(views),
        neighbor_overlap(views, n_neighbors=_count_neighbors(n)),
        shared_dimension(views) / n_features,
    )
    return float(np.prod(np.maximum(parts, 0)) ** (1 / 3))


def _count_neighbors(n: int) -> int:
    return min(10, max(1, n // 5))


def lidar(views, regularization: float = 1e-4) -> float:
    r"""Effective rank of the directions that tell samples from views, by discriminant analysis.

    .. math:: \exp\left(-\sum_k p_k \log p_k\right), \qquad p_k = \lambda_k / \sum_j \lambda_j

    with :math:`\lambda` the eigenvalues of :math:`(W + \delta I)^{-1/2} B (W + \delta I)^{-1/2}`.

    Parameters
    ----------
    views : array-like of shape (n_views, n_samples, n_features)
    regularization : float, default=1e-4
        :math:`\delta`.

    Returns
    -------
    rank : float
        0, where nothing varies, to ``n_features``.

    References
    ----------
    Thilak et al., "LiDAR: sensing linear probing performance in joint embedding SSL architectures",
    ICLR 2024.
    """
    within, between = _covariances(_read_views(views))
    values, vectors = np.linalg.eigh(within + regularization * np.eye(len(within)))
    whiten = vectors / np.sqrt(values)
    return count_effectively(np.linalg.eigvalsh(whiten.T @ between @ whiten), 1e-12)


def alpha_req(features) -> float:
    r"""Decay of the spectrum of features: :math:`\alpha` in :math:`\lambda_k \propto k^{-\alpha}`.

    Fitted to the logarithms of all eigenvalues of the covariance that are not zero. Its authors
    take features whose :math:`\alpha` is close to 1 for the best.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)

    Returns
    -------
    alpha : float
        0 for a flat spectrum. NaN, if fewer than two eigenvalues are not zero.

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


def _read_views(views) -> np.ndarray:
    """Return views (n_views, n_samples, n_features) as doubles; raise ValueError if unfit."""
    views = check_array(np.asarray(views), dtype=np.float64, allow_nd=True, input_name="views")
    if views.ndim != 3 or min(views.shape[:2]) < 2:
        raise ValueError(
            "The 'views' must have the shape (n_views, n_samples, n_features), with at least two "
            f"views and two samples. Got shape {views.shape}."
        )
    return views


def _covariances(views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of views around their sample's mean, and of these means: (d, d) each."""
    n_views, n, _ = views.shape
    means = views.mean(0)  # (n, d)
    around = (views - means).reshape(n_views * n, -1)
    centred = means - means.mean(0)
    return around.T @ around / ((n_views - 1) * n), centred.T @ centred / (n - 1)


# ------------------------------------------------------------ scorers


def view_nearest_neighbor_scorer(estimator, X, y=None) -> float:
    """`view_nearest_neighbor` of four views of X; may be passed as ``scoring``.

    Parameters
    ----------
    estimator : DIMTransformer, or a Pipeline that ends in one
    X : array-like
        At least two samples; 600 of them are compared, if there are more.
    y : None
        Ignored.

    Returns
    -------
    share : float
        Higher is better.
    """
    return view_nearest_neighbor(_features_of_views(estimator, X))


def view_agreement_scorer(estimator, X, y=None) -> float:
    """`view_agreement` of four views of X; may be passed as ``scoring``.

    The measure to choose settings by, where there are no labels.

    Parameters
    ----------
    estimator : DIMTransformer, or a Pipeline that ends in one
    X : array-like
        At least two samples; 600 of them are compared, if there are more.
    y : None
        Ignored.

    Returns
    -------
    agreement : float
        Higher is better.
    """
    return view_agreement(_features_of_views(estimator, X))


def view_retrieval_scorer(estimator, X, y=None) -> float:
    """`view_retrieval` of four views of X; may be passed as ``scoring``.

    Parameters
    ----------
    estimator : DIMTransformer, or a Pipeline that ends in one
    X : array-like
        At least two samples; 600 of them are compared, if there are more.
    y : None
        Ignored.

    Returns
    -------
    retrieval : float
        Higher is better.
    """
    return view_retrieval(_features_of_views(estimator, X))


def neighbor_overlap_scorer(estimator, X, y=None) -> float:
    """`neighbor_overlap` of four views of X; may be passed as ``scoring``.

    Ten neighbours are compared, or, of less than 50 samples, a fifth of them.

    Parameters
    ----------
    estimator : DIMTransformer, or a Pipeline that ends in one
    X : array-like
        At least two samples; 600 of them are compared, if there are more.
    y : None
        Ignored.

    Returns
    -------
    share : float
        Higher is better.
    """
    views = _features_of_views(estimator, X)
    return neighbor_overlap(views, n_neighbors=_count_neighbors(views.shape[1]))


def shared_dimension_scorer(estimator, X, y=None) -> float:
    """`shared_dimension` of four views of X; may be passed as ``scoring``.

    Parameters
    ----------
    estimator : DIMTransformer, or a Pipeline that ends in one
    X : array-like
        At least two samples; 600 of them are compared, if there are more.
    y : None
        Ignored.

    Returns
    -------
    dimension : float
        Higher is better.
    """
    return shared_dimension(_features_of_views(estimator, X))


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
    """Accuracy of `LogisticRegression` on features of the labelled samples, cross-validated.

    For data of which few samples are labelled: the encoder is fitted once, on all samples, and only
    the classifier is fitted anew, twenty times on four fifths of the labels. The encoder sees no
    labels, so a search may fit and score it on the same samples: ``cv=[(rows, rows)]`` with
    ``rows = np.arange(len(X))`` uses every label, and one fit a candidate.

    Parameters
    ----------
    estimator : transformer
    X : array-like
    y : array-like of shape (n_samples,)
        Labels; -1 marks samples without one, as in `sklearn.semi_supervised`. At least two classes
        of at least two samples.

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
    y = np.asarray(y)
    is_labelled = y != -1
    labels, counts = np.unique(y[is_labelled], return_counts=True)
    if len(labels) < 2 or counts.max() < 2:
        raise ValueError(
            "The 'y' of few_labels_scorer must label at least two classes, and one of them twice; "
            f"-1 marks samples without a label. Got {is_labelled.sum()} labels of {len(labels)} "
            "classes."
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
            "The 'estimator' must be a DIMTransformer, or a Pipeline that ends in one, whose "
            f"features of views can be compared. Got {type(transformer).__name__}."
        )
    for step in before:
        X = X if step in (None, "passthrough") else step.transform(X)
    return transformer.transform_views(X, n_views=N_VIEWS, max_samples=N_SAMPLES, random_state=SEED)
