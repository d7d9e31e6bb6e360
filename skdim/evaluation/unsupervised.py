"""Scorers for a search over transformers that need no labels."""

from skdim._utils.spectra import effective_rank


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
