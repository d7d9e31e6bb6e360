"""Nearest neighbours in feature space: the samples that features treat as similar."""

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array


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
        At most ``n``.
    metric : str or callable, default="manhattan"
        Any metric of `sklearn.neighbors.NearestNeighbors`. The paper uses "manhattan".

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
    features, queries = _as_rows(features, "features"), _as_rows(queries, "queries")
    if queries.shape[1] != features.shape[1]:
        raise ValueError(
            f"The 'queries' must have {features.shape[1]} features, like the samples. "
            f"Got {queries.shape[1]}."
        )
    if n_neighbors > len(features):
        raise ValueError(
            f"The 'n_neighbors' parameter must be at most {len(features)}, the number of samples. "
            f"Got {n_neighbors}."
        )
    search = NearestNeighbors(n_neighbors=n_neighbors, metric=metric).fit(features)
    return search.kneighbors(queries)


def _as_rows(array, name: str) -> np.ndarray:
    """Return finite numbers of shape (n, ...) as rows: (n, n_features)."""
    array = check_array(
        array,
        dtype=[np.float64, np.float32],
        ensure_2d=False,
        allow_nd=True,
        input_name=name,
    )
    return array.reshape(len(array), -1)
