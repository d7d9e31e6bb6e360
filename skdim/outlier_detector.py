"""DIMOutlierDetector: which samples are unlike those of fit."""

import copy
from numbers import Real

import numpy as np
from sklearn.base import OutlierMixin, _fit_context
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skdim._files.safe import errors_of_file
from skdim._model.schema import check_detector
from skdim._names import known_names_only
from skdim._owner import TransformerOwner
from skdim._runtime.surroundings import torch_defaults
from skdim.sources.readers import as_rereadable
from skdim.transformer import DIMTransformer, check_samples


class DIMOutlierDetector(OutlierMixin, TransformerOwner):
    """A threshold on `DIMTransformer.score_samples`: samples below it are outliers.

    ``fit`` remembers at most 2000 samples of X. The score of a sample is minus its mean distance to
    the 5 nearest of them, in the hidden layer of the transformer. The threshold comes from the
    scores that the remembered samples have among themselves. Use it for novelty detection (all
    samples of X are normal) and for outlier detection (X has a few outliers).

    Parameters
    ----------
    transformer : DIMTransformer, FrozenEstimator of one, or None, default=None
        The transformer that computes the hidden layer. If it is fitted, a copy of it is used, and
        it is not trained again: it may be one that was fitted to more samples, normal or not.
        Otherwise a clone is fitted to X first. ``clone`` and searches discard a fit: to keep it,
        wrap the fitted transformer in ``sklearn.frozen.FrozenEstimator``. None means
        ``DIMTransformer()``.
    contamination : float or "auto", default="auto"
        The part of X that is below the threshold, more than 0 and at most 0.5. About the same part
        of later normal samples is. With "auto", the threshold is the lower fence of a box plot: the
        first quartile of the scores, minus 1.5 times the distance between first and third quartile.
    random_state : int, RandomState or None, default=None
        Seeds the transformer if it is fitted here and has no seed.

    Attributes
    ----------
    transformer_ : DIMTransformer
        The transformer, which remembers samples of X.
    offset_ : float
        The threshold, at most 0.
    n_features_in_ : int
        ``X.shape[1]``.
    feature_names_in_ : ndarray of str
        Names of the columns, if X had names.

    See Also
    --------
    sklearn.neighbors.LocalOutlierFactor : Also by neighbours, in the columns of X.

    References
    ----------
    Sun, Ming, Zhu, Li, "Out-of-distribution detection with deep nearest neighbors", ICML 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdim import DIMOutlierDetector, DIMTransformer
    >>> X = load_digits().images
    >>> dim = DIMTransformer(max_epochs=2, random_state=0)
    >>> detector = DIMOutlierDetector(dim, contamination=0.05).fit(X[:1000])
    >>> set(detector.predict(16 - X[1000:]).tolist())  # black on white
    {-1}
    >>> detector.predict(X[1000:]).mean() > 0.6  # most are 1
    np.True_
    """

    _kind = "detector"
    _parameter_constraints: dict = {
        "transformer": [HasMethods(["fit", "transform"]), None],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "random_state": ["random_state"],
    }

    @known_names_only
    def __init__(self, transformer=None, *, contamination="auto", random_state=None):
        self.transformer = transformer
        self.contamination = contamination
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    @torch_defaults()
    def fit(self, X, y=None, groups=None):
        """Remember samples of X, and find the threshold.

        Parameters
        ----------
        X : array-like of the kind that `DIMTransformer` takes
            Normal samples; a few outliers among them do little harm.
        y : None
            Ignored.
        groups : array-like of shape (n_samples,), default=None
            For the transformer, if it is fitted here; see `DIMTransformer.fit`.

        Returns
        -------
        self : DIMOutlierDetector
        """
        X = as_rereadable(X)
        transformer = self._fitted_transformer(X, groups, check_random_state(self.random_state))
        samples = check_samples(transformer, X)
        transformer.model_.remember(samples, transformer.transform_batch_size)
        return self._install(transformer, transformer.model_.threshold(self.contamination))

    @classmethod
    def from_transformer(cls, transformer, contamination="auto") -> "DIMOutlierDetector":
        """Return a detector that compares with the samples of the transformer's own ``fit``.

        It needs no X, because a transformer remembers some of its samples.

        Parameters
        ----------
        transformer : DIMTransformer
            Fitted, and not trimmed.
        contamination : float or "auto", default="auto"

        Returns
        -------
        detector : DIMOutlierDetector
            Its ``transformer`` parameter is a `FrozenEstimator` of the transformer.
        """
        check_is_fitted(transformer)
        detector = cls(FrozenEstimator(transformer), contamination=contamination)
        detector._validate_params()
        offset = transformer.model_.threshold(contamination)
        return detector._install(copy.deepcopy(transformer), offset)

    def _install(self, transformer: DIMTransformer, offset: float) -> "DIMOutlierDetector":
        self.transformer_ = transformer
        self.offset_ = offset
        return self

    def score_samples(self, X) -> np.ndarray:
        """Return how similar each sample is to those of ``fit``; outliers score lowest.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
            At most 0, as in `DIMTransformer.score_samples`.
        """
        check_is_fitted(self)
        return self.transformer_.score_samples(X)

    def decision_function(self, X) -> np.ndarray:
        """Return the scores minus the threshold: outliers are below 0.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw

        Returns
        -------
        decisions : ndarray of shape (n_samples,), float64
            ``score_samples(X) - offset_``.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X) -> np.ndarray:
        """Return -1 for each outlier and 1 for all other samples, of shape (n_samples,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def save(self, path) -> None:
        """Write a file whose reading cannot run code, as `DIMTransformer.save` does.

        The file holds the parameters of ``transformer_`` as those of ``transformer``.

        Parameters
        ----------
        path : path
        """
        check_is_fitted(self)
        self._write(path, {"offset": self.offset_})

    @classmethod
    def load(cls, path, **custom_objects) -> "DIMOutlierDetector":
        """Read a file that `save` wrote; files from untrusted sources are safe to read.

        Parameters
        ----------
        path : path
        **custom_objects
            Parameters of the transformer that hold custom classes or functions. Change other
            parameters after loading, by ``set_params``.

        Returns
        -------
        detector : DIMOutlierDetector
            Its ``transformer`` parameter is a `FrozenEstimator` of that of the file.

        Raises
        ------
        TypeError, ValueError
            If a parameter is unknown, or is in the file.
        skdim.exceptions.FileError
            If it is not such a file, or damaged, or a custom object is missing; the message says
            which.
        """
        transformer, params, learned = cls._read(path, custom_objects)
        with errors_of_file(path):
            check_detector(learned)
            transformer.model_.check_not_trimmed("scoring")
        detector = cls(FrozenEstimator(transformer), **params)
        return detector._install(transformer, **learned)
