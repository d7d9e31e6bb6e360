"""Measures of features, computed from their singular values."""

import numpy as np
from sklearn.utils import check_array


def effective_rank(features: np.ndarray) -> float:
    r"""Number of directions that features effectively use.

    .. math:: \exp\left(-\sum_k p_k \log p_k\right), \qquad p_k = \sigma_k / \sum_j \sigma_j

    where :math:`\sigma` are the singular values of the centred features. The rank is 1 if all
    samples lie on a line, 0 if all are the same, and at most ``min(n_samples - 1, n_features)``.

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
    features = check_array(features, dtype=np.float64, input_name="features")
    values = np.linalg.svd(features - features.mean(0), compute_uv=False)
    return count_effectively(values, max(features.shape) * 1e-15)


def count_effectively(values: np.ndarray, rounding: float) -> float:
    """Exponential of the entropy of non-negative values, as shares of their sum; 0 without values.

    Values up to ``rounding`` times the largest are rounding errors, and are left out, because each
    would count a little.
    """
    values = values[values > values.max(initial=0.0) * rounding]
    if values.size == 0:
        return 0.0
    p = values / values.sum()
    return float(np.exp(-(p * np.log(p)).sum()))
