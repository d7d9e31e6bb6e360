"""Nearest neighbours in feature space, which show what features take for similar."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from skdim.evaluation._training import read_features


def nearest_neighbors(
    features, queries, n_neighbors: int = 4, metric: str = "manhattan"
) -> tuple[np.ndarray, np.ndarray]:
    """Find the samples whose features are closest to those of the queries.

    Parameters
    ----------
    features : array-like of shape (n, ...)
        The axes of a sample are flattened.
    queries : array-like of shape (n_queries, ...)
        A query that is one of the samples finds itself first.
    n_neighbors : int, default=4
    metric : str or callable, default="manhattan"
        Any of `sklearn.neighbors.NearestNeighbors`; the paper's is "manhattan".

    Returns
    -------
    distances : ndarray of shape (n_queries, n_neighbors)
        Ascending.
    indices : ndarray of shape (n_queries, n_neighbors), int64
        Indices of samples in ``features``.

    References
    ----------
    Hjelm et al., ICLR 2019, appendix, nearest neighbours by the L1 distance of codes.

    Examples
    --------
    >>> from skdim.evaluation import nearest_neighbors
    >>> distances, indices = nearest_neighbors(
    ...     [[0.0], [1.0], [5.0]], [[0.9]], n_neighbors=2
    ... )
    >>> indices.tolist()
    [[1, 0]]
    """
    features = read_features(features, "features")
    queries = read_features(queries, "queries", like=features)
    if n_neighbors > len(features):
        raise ValueError(
            f"The 'n_neighbors' parameter must be at most the {len(features)} samples there are. "
            f"Got {n_neighbors}."
        )
    search = NearestNeighbors(n_neighbors=n_neighbors, metric=metric).fit(features)
    return search.kneighbors(queries)
