"""Classification of features by a small network."""

from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelEncoder, StandardScaler
from sklearn.utils._param_validation import Interval
from sklearn.utils.extmath import softmax
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.paper.training import TRAINING_CONSTRAINTS, seeded_device, train


class ProbeClassifier(ClassifierMixin, BaseEstimator):
    """A network with one hidden layer that classifies features, as in the paper.

    The layers are the same as in the authors' code: linear without bias, dropout, batch
    normalisation, ReLU, linear. Columns are standardised. Adam minimises the cross-entropy with a
    learning rate that falls to zero. A fitted probe is two matrices and their intercepts: it
    predicts without torch.

    Parameters
    ----------
    n_hidden : int, default=200
        Units of the hidden layer.
    dropout : float, default=0.1
        Probability that a hidden unit is dropped in a step: at least 0 and less than 1.
    max_epochs : int, default=50
    batch_size : int, default=128
        Largest number of samples in a step.
    learning_rate : float, default=3e-3
        The highest learning rate. The paper uses 1e-4 and more epochs.
    random_state : int, RandomState or None, default=None
        An int makes fits reproducible, on a GPU up to rounding.
    device : str or torch.device, default="auto"
        Device to train on. "auto" is CUDA if there is a GPU, else the CPU.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coefs_ : list of ndarray of shapes (n_features, n_hidden) and (n_hidden, n_classes)
        Weights of both layers. Standardisation and batch normalisation are folded into them.
    intercepts_ : list of ndarray of shapes (n_hidden,) and (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Names of the columns, if X was a data frame.

    References
    ----------
    Hjelm et al., ICLR 2019, table 1.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from benchmarks.paper.probe import ProbeClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = ProbeClassifier(max_epochs=10, random_state=0).fit(
    ...     X[:1000], y[:1000]
    ... )
    >>> bool(probe.score(X[1000:], y[1000:]) > 0.9)
    True
    """

    _parameter_constraints: dict = {
        **TRAINING_CONSTRAINTS,
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        *,
        n_hidden=200,
        dropout=0.1,
        max_epochs=50,
        batch_size=128,
        learning_rate=3e-3,
        random_state=None,
        device="auto",
    ):
        self.n_hidden = n_hidden
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.device = device

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            At least two samples.
        y : array-like of shape (n_samples,)
            Labels of any kind.

        Returns
        -------
        self : ProbeClassifier
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], ensure_min_samples=2)
        check_classification_targets(y)
        encoder = LabelEncoder().fit(y)
        scaler = StandardScaler().fit(X)
        with seeded_device(self.random_state, self.device, self.batch_size) as generator:
            device = generator.device
            network = nn.Sequential(
                nn.Linear(X.shape[1], self.n_hidden, bias=False),
                nn.Dropout(self.dropout),
                nn.BatchNorm1d(self.n_hidden),
                nn.ReLU(),
                nn.Linear(self.n_hidden, len(encoder.classes_)),
            ).to(device)
            features = torch.from_numpy(scaler.transform(X)).float().to(device)
            labels = torch.from_numpy(encoder.transform(y)).to(device)
            train(
                network,
                lambda batch: cross_entropy(network(features[batch]), labels[batch]),
                len(features),
                max_epochs=self.max_epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                generator=generator,
            )
        self.classes_ = encoder.classes_
        self.coefs_, self.intercepts_ = _as_two_matrices(scaler, network)
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; each row sums to 1.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        hidden = np.maximum(X @ self.coefs_[0] + self.intercepts_[0], 0)
        return softmax(hidden @ self.coefs_[1] + self.intercepts_[1])

    def predict(self, X) -> np.ndarray:
        """Return the most probable class of each sample: ndarray of shape (n_samples,)."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]


def _as_two_matrices(
    scaler: StandardScaler, network: nn.Sequential
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Fold standardisation and batch normalisation into the linear layers, as float64."""
    weights = {name: w.cpu().double().numpy() for name, w in network.state_dict().items()}
    first = weights["0.weight"] / scaler.scale_  # (n_hidden, n_features)
    gain = weights["2.weight"] / np.sqrt(weights["2.running_var"] + network[2].eps)
    mean = first @ scaler.mean_ + weights["2.running_mean"]  # (n_hidden,)
    coefs = [(first * gain[:, None]).T, weights["4.weight"].T]
    return coefs, [weights["2.bias"] - mean * gain, weights["4.bias"]]
