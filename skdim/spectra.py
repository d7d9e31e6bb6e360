"""What singular values tell of features."""

import numpy as np


def effective_rank(features: np.ndarray) -> float:
    r"""Number of directions that features effectively use.

    .. math:: \exp\left(-\sum_k p_k \log p_k\right), \qquad p_k = \sigma_k / \sum_j \sigma_j

    with :math:`\sigma` the singular values of the centred features. 1 when all samples lie on a
    line, at most ``min(n_samples - 1, n_features)``; 0 when all are the same.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)

    Returns
    -------
    rank : float

    References
    ----------
    Roy and Vetterli, "The effective rank", EUSIPCO 2007; Garrido et al., "RankMe", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.evaluation import effective_rank
    >>> on_a_line = np.outer(np.arange(9), [1.0, 2.0, 3.0])
    >>> round(effective_rank(on_a_line), 6)
    1.0
    """
    features = np.asarray(features, dtype=np.float64)
    values = np.linalg.svd(features - features.mean(0), compute_uv=False)
    return count_effectively(values, max(features.shape) * 1e-15)


def count_effectively(values: np.ndarray, rounding: float) -> float:
    """Return the exponential of the entropy of the shares of non-negative values; 0 without any.

    Parameters
    ----------
    values : ndarray of shape (n,)
    rounding : float
        Part of the largest value up to which others are rounding, and would count a little each.
    """
    values = values[values > values.max(initial=0.0) * rounding]
    if values.size == 0:
        return 0.0
    p = values / values.sum()
    return float(np.exp(-(p * np.log(p)).sum()))
