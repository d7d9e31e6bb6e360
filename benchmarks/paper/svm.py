"""Linear classification of features, as in the paper's table of measures."""

from numbers import Integral

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params


@validate_params(
    {"n_repeats": [Interval(Integral, 1, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def svm_accuracy(
    features, y, features_test, y_test, *, n_repeats=5, C=1.0, max_iter=1000, random_state=None
) -> np.ndarray:
    """Test accuracy of linear support vector machines with the hinge loss.

    Features are standardised with the mean and variance of the training samples.

    Parameters
    ----------
    features : array-like of shape (n, n_features)
        Features of training samples.
    y : array-like of shape (n,)
    features_test : array-like of shape (n_test, n_features)
    y_test : array-like of shape (n_test,)
    n_repeats : int, default=5
        Number of fits, which differ in the order of the training samples.
    C : float, default=1.0
        Weight of the hinge loss relative to the L2 penalty.
    max_iter : int, default=1000
        Maximum number of epochs. If a fit has not converged by then, scikit-learn warns, and
        accuracies differ more between repeats, as they do in the paper.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    accuracies : ndarray of shape (n_repeats,)
        From 0 to 1; the paper reports their mean and standard deviation.

    References
    ----------
    Hjelm et al., ICLR 2019, table 4, "SVM".
    """
    seeds = check_random_state(random_state).randint(2**31 - 1, size=n_repeats)
    svms = (
        make_pipeline(
            StandardScaler(),
            LinearSVC(loss="hinge", C=C, max_iter=max_iter, random_state=int(seed)),
        )
        for seed in seeds
    )
    return np.array([svm.fit(features, y).score(features_test, y_test) for svm in svms])
