"""Measures of features that need no labels, and scorers of them for a search."""

from skdim._utils.spectra import effective_rank


def effective_rank_scorer(estimator, X, y=None) -> float:
    """Effective rank of what ``estimator.transform(X)`` returns: a legal ``scoring``.

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
