"""DIMClassifier: an encoder trained without labels, fine-tuned with a few labels."""

import logging
import math
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import torch
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
)
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.extmath import softmax
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d
from torch import nn
from torch.nn import functional

from skdim._files.safe import errors_of_file
from skdim._model.readout import ReadoutLayer, linear_layer
from skdim._model.schema import check_classifier
from skdim._names import known_names_only
from skdim._owner import TransformerOwner
from skdim._runtime.devices import PRECISIONS, freed_memory_kept, memory_advice
from skdim._runtime.seeding import seeded
from skdim._runtime.surroundings import autocast, torch_defaults
from skdim._training.loop import Batches, train_epochs
from skdim.augmentation import make_views
from skdim.encoders import encode
from skdim.onnx_export import write_graph
from skdim.optimization import without_compiler
from skdim.sources.arrays import as_labels, check_holds_numbers, check_none_missing
from skdim.sources.loaders import load
from skdim.sources.readers import as_rereadable
from skdim.sources.stored import Samples, take_subset
from skdim.transformer import DIMTransformer, check_samples

logger = logging.getLogger("skdim")

# With max_epochs="auto", samples shown in training, in addition to three epochs.
N_SHOWN = 20_000


# Largest weights between which sums over samples are far from the limits of float32. Others are
# scaled: regularisation by ``C`` then has its full effect, or next to none, in either case.
MODERATE = (1e-25, 1e25)


class LinearHead(NamedTuple):
    """What ``fit`` learns in addition to the transformer.

    The attributes are those of `DIMClassifier` with the same names, without the underscore.
    """

    coef: np.ndarray
    intercept: np.ndarray
    classes: np.ndarray
    history: list[dict[str, float]]


class DIMClassifier(ClassifierMixin, TransformerOwner):
    """A linear classifier on the hidden layer of a `DIMTransformer`, with the encoder fine-tuned.

    First a ``LogisticRegression`` is fitted to the features of the transformer. Then classifier and
    encoder are trained together to minimise the cross-entropy. Batch statistics stay those of the
    transformer, so that few labels are enough. The paper uses few labels in the same way
    (semi-supervised learning), with a small network instead of a linear classifier.

    Parameters
    ----------
    transformer : DIMTransformer, FrozenEstimator of one, or None, default=None
        The transformer to start from. If it is fitted, a copy of it is fine-tuned; otherwise a
        clone is fitted to X first. ``clone`` and searches discard a fit: to keep it, wrap the
        fitted transformer in ``sklearn.frozen.FrozenEstimator``. None means ``DIMTransformer()``.
    max_epochs : int or "auto", default="auto"
        "auto" shows about 20,000 samples, plus three epochs.
    batch_size : int, default=64
        Largest number of samples in a step, at least 2.
    augment : None, "auto" or callable, default=None
        How to make random views to train on. "auto" is that of the transformer. Use it only if such
        changes keep the label: it improves accuracy on colour photographs, and lowers it on tables.
    learning_rate : float, default=3e-4
        Highest learning rate of AdamW.
    weight_decay : float, default=0.01
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn's classifiers.
    C : float, default=0.01
        Inverse strength of regularisation of the initial linear classifier. If it is large, the
        initial classifier already fits the labels, and the gradient for the encoder is small.
    random_state : int, RandomState or None, default=None
        Seeds batches and views, and the transformer if it is fitted here and has no seed.

    Attributes
    ----------
    transformer_ : DIMTransformer
        The transformer with the fine-tuned encoder. Fine-tuning does not change the scale of its
        features. Its ``score_samples`` compares samples with those of X.
    coef_ : ndarray of shape (n_classes, n_hidden)
    intercept_ : ndarray of shape (n_classes,)
        The classifier on the hidden layer of ``transformer_``.
    classes_ : ndarray of shape (n_classes,)
    history_ : list of dict
        One dict for each epoch, with ``epoch`` and ``loss``, the cross-entropy.
    n_features_in_ : int
        ``X.shape[1]``.
    feature_names_in_ : ndarray of str
        Names of the columns, if X had names.

    References
    ----------
    Hjelm et al., ICLR 2019, table 2, column "SS".

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdim import DIMClassifier, DIMTransformer
    >>> X, y = load_digits().images, load_digits().target
    >>> dim = DIMTransformer(max_epochs=2, random_state=0).fit(X)  # no labels
    >>> classifier = DIMClassifier(dim, max_epochs=3, random_state=0).fit(
    ...     X[:300], y[:300]
    ... )
    >>> classifier.score(X[300:], y[300:]) > 0.85
    True
    """

    _kind = "classifier"
    _parameter_constraints: dict = {
        "transformer": [HasMethods(["fit", "transform"]), None],
        "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "augment": [StrOptions({"auto"}), None, callable],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "C": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }

    @known_names_only
    def __init__(
        self,
        transformer=None,
        *,
        max_epochs="auto",
        batch_size=64,
        augment=None,
        learning_rate=3e-4,
        weight_decay=0.01,
        class_weight=None,
        C=0.01,
        random_state=None,
    ):
        self.transformer = transformer
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.augment = augment
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.class_weight = class_weight
        self.C = C
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    @torch_defaults()
    def fit(self, X, y, sample_weight=None, groups=None):
        """Fine-tune the encoder on labelled samples.

        Parameters
        ----------
        X : array-like of the kind that `DIMTransformer` takes
            Sources are read a batch at a time; see `skdim.sources`.
        y : array-like of shape (n_samples,)
            Labels of any kind, from at least two classes. If all labels are whole numbers of any
            type, from at least two classes, a further -1 marks samples without a label, as in
            `sklearn.semi_supervised`. The transformer learns from them if it is fitted here; the
            classifier does not.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the cross-entropy; samples of weight 0 are left out.
        groups : array-like of shape (n_samples,), default=None
            For the transformer, if it is fitted here; see `DIMTransformer.fit`.

        Returns
        -------
        self : DIMClassifier
        """
        if y is None:
            raise ValueError("DIMClassifier requires y to be passed, but the target y is None.")
        y = check_labels(y)
        X = as_rereadable(X)
        check_consistent_length(X, y)
        weights = self._weights(y, sample_weight)
        random = check_random_state(self.random_state)
        transformer = self._fitted_transformer(X, groups, random)
        samples = everything = check_samples(transformer, X)
        is_used = is_labelled(y) if weights is None else is_labelled(y) & (weights > 0)
        if not is_used.all():
            samples, y = take_subset(samples, np.flatnonzero(is_used)), y[is_used]
            weights = None if weights is None else weights[is_used]
        weights = None if weights is None else as_moderate(weights)
        classes, targets = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y must hold at least 2 classes. Got one class, {classes[0]!r}.")
        seed = int(random.randint(2**31 - 1))
        with memory_advice(transformer.device_, batch_size=self.batch_size):
            features = transformer.model_.features(
                samples, "hidden", transformer.transform_batch_size
            )
            start = LogisticRegression(C=self.C, max_iter=1000)
            start.fit(features, targets, sample_weight=weights)
            n_numbers = min(len(samples), self.batch_size) * math.prod(samples.shape[1:])
            with freed_memory_kept(transformer.device_, n_numbers):
                head, history = self._tune(transformer, samples, targets, weights, start, seed)
            if transformer.model_.objective is not None:  # not trimmed: it scores samples
                transformer.model_.remember(everything, transformer.transform_batch_size)
        coef, intercept = (x.detach().cpu().numpy() for x in (head.weight, head.bias))
        return self._install(transformer, LinearHead(coef, intercept, classes, history))

    def _install(self, transformer: DIMTransformer, head: LinearHead) -> "DIMClassifier":
        self.transformer_ = transformer
        for name, value in head._asdict().items():
            setattr(self, f"{name}_", value)
        return self

    def _weights(self, y: np.ndarray, sample_weight) -> np.ndarray | None:
        """Weight of each sample, times the weight of its class; None if all are 1."""
        if sample_weight is None and self.class_weight is None:
            return None
        check_holds_numbers(sample_weight, "'sample_weight'")
        weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
        if weights.shape != y.shape:
            raise ValueError(
                f"'sample_weight' must hold one number for each of {len(y)} samples. Got "
                f"sample_weight.shape == {weights.shape}."
            )
        if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
            raise ValueError(
                "'sample_weight' must hold finite numbers of at least 0, not all of them zero. Got "
                f"a weight of {weights.min():.3g}."
            )
        labelled = is_labelled(y)
        class_weights = np.ones(len(y))
        class_weights[labelled] = compute_sample_weight(self.class_weight, y[labelled])
        if not (np.isfinite(class_weights) & (class_weights >= 0)).all():
            raise ValueError(
                "The 'class_weight' parameter must hold finite numbers of at least 0. Got a weight "
                f"of {class_weights.min():.3g}."
            )
        weights = as_moderate(weights) * class_weights
        if not weights[labelled].any():
            raise ValueError(
                "'sample_weight' and the 'class_weight' parameter must leave a sample with a label "
                "and a positive weight. Got none."
            )
        return weights

    def _tune(
        self,
        transformer: DIMTransformer,
        samples: Samples,
        targets: np.ndarray,
        weights: np.ndarray | None,
        start: LogisticRegression,
        seed: int,
    ) -> tuple[nn.Linear, list[dict[str, float]]]:
        """Minimise the cross-entropy, which changes the encoder of the transformer in place."""
        model, device = transformer.model_, transformer.device_
        precision = PRECISIONS[model.precision]
        augment = model.config.augment if self.augment == "auto" else self.augment
        loader = load(samples, model.standardization, transformer.data_on_device)
        labels = torch.from_numpy(targets).to(device)
        readout = ReadoutLayer(model.readouts["hidden"]).to(device)
        head = linear_layer(start.coef_, start.intercept_).to(device)
        optimizer = without_compiler(torch.optim.AdamW)(
            [*model.encoder.parameters(), *head.parameters()],
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        history: list[dict[str, float]] = []
        with seeded(seed, device) as generator:

            def loss(indices: torch.Tensor) -> torch.Tensor:
                batch = loader.standardize(loader.take(indices))
                views = make_views(batch, augment, generator, n_views=1)[0]
                with autocast(device, precision):
                    encoding = encode(model.encoder, views)
                logits, indices = head(readout(encoding)), indices.to(device)
                if weights is None:
                    return functional.cross_entropy(logits, labels[indices])
                losses = functional.cross_entropy(logits, labels[indices], reduction="none")
                own = torch.from_numpy(scale_weights(weights[indices.cpu().numpy()]))
                own = own.float().to(device)
                return (losses * own).sum() / own.sum()

            batches = Batches(loader, None, self.batch_size, generator)
            n_epochs = self._n_epochs(len(samples))
            for mean_loss in train_epochs(optimizer, loss, batches, n_epochs, clip_norm=10.0):
                _check_converged(mean_loss, f"in epoch {len(history) + 1}")
                history.append({"epoch": len(history) + 1, "loss": mean_loss})
                logger.debug("epoch %(epoch)d: cross-entropy %(loss).4f", history[-1])
            first = torch.arange(min(len(samples), self.batch_size), device=loader.indices_device)
            with torch.no_grad():
                _check_converged(loss(first).item(), "in the last step")
        return head, history

    def _n_epochs(self, n_samples: int) -> int:
        return 3 + math.ceil(N_SHOWN / n_samples) if self.max_epochs == "auto" else self.max_epochs

    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        return softmax(self._logits(X), copy=False)

    def _logits(self, X) -> np.ndarray:
        check_is_fitted(self)
        samples = check_samples(self.transformer_, X)
        model, batch_size = self.transformer_.model_, self.transformer_.transform_batch_size
        hidden = model.features(samples, "hidden", batch_size)
        return hidden @ self.coef_.T + self.intercept_  # (n_samples, n_classes)

    def decision_function(self, X) -> np.ndarray:
        """Return the logit of each class for each sample.

        Parameters
        ----------
        X : array-like of the kind and sample shape that ``fit`` saw

        Returns
        -------
        logits : ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            Probabilities are their softmax. For two classes, the logarithm of the odds of the
            second class, which is predicted if it is positive.
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X) -> np.ndarray:
        """Return the most probable class of each sample, of shape (n_samples,)."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def save(self, path) -> None:
        """Write a file whose reading cannot run code, as `DIMTransformer.save` does.

        The file holds the parameters of the fine-tuned transformer as those of ``transformer``.

        Parameters
        ----------
        path : path
        """
        check_is_fitted(self)
        head = LinearHead(*(getattr(self, f"{name}_") for name in LinearHead._fields))
        self._write(path, head._asdict())

    @classmethod
    def load(cls, path, **custom_objects) -> "DIMClassifier":
        """Read a file that `save` wrote; files from untrusted sources are safe to read.

        Parameters
        ----------
        path : path
        **custom_objects
            Parameters of the classifier or its transformer that hold custom classes or functions.
            Change other parameters after loading, by ``set_params``.

        Returns
        -------
        classifier : DIMClassifier
            Its ``transformer`` parameter is a `FrozenEstimator` of the fine-tuned one.

        Raises
        ------
        TypeError, ValueError
            If a parameter is unknown, or is in the file.
        skdim.exceptions.FileError
            If it is not such a file, or damaged, or a custom object is missing; the message says
            which.
        """
        transformer, params, head = cls._read(path, custom_objects)
        with errors_of_file(path):
            check_classifier(head, transformer.model_.readouts["hidden"].n_features)
        classifier = cls(FrozenEstimator(transformer), **params)
        return classifier._install(transformer, LinearHead(**head))

    def export_onnx(self, path, *, dtype="float32") -> None:
        """Write an ONNX graph from raw X to probabilities and the index of the most probable class.

        Parameters
        ----------
        path : path
        dtype : {"float32", "float64", "uint8"}, default="float32"
            Type of X.
        """
        check_is_fitted(self)
        head = linear_layer(self.coef_, self.intercept_)
        write_graph(path, self.transformer_.model_, "hidden", dtype, head, self.classes_)


def scale_weights(weights: np.ndarray) -> np.ndarray:
    """Multiply weights by the power of 2 that brings the largest to between 1/2 and 1.

    This rounds no number, except those that are too small to count next to the largest.
    """
    _, exponent = np.frexp(weights.max())
    return np.ldexp(weights, -exponent)


def as_moderate(weights: np.ndarray) -> np.ndarray:
    """Scale weights if float32 could not hold their sum."""
    return weights if MODERATE[0] < weights.max() < MODERATE[1] else scale_weights(weights)


def _check_converged(loss: float, when: str) -> None:
    """Raise FloatingPointError if a loss is not finite."""
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"The cross-entropy became {loss} {when}. Reduce the 'learning_rate' parameter."
        )


def check_labels(y) -> np.ndarray:
    """Labels as an array (n_samples,); numbers have a type of numbers."""
    y = as_labels(y, "y")
    check_none_missing(y, "y")
    y = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"), warn=True)
    if y.dtype == object and all(isinstance(label, Real) for label in y):
        y = np.array(y.tolist())  # of a column that held something else as well
    check_classification_targets(y)
    return y


def is_labelled(y: np.ndarray) -> np.ndarray:
    """Which samples have a label: all but -1, if there are two other classes of whole numbers.

    Whole numbers may be of any type: a column with missing labels was one of floats.
    """
    classes = np.unique(y).tolist()
    is_whole = all(isinstance(label, Real) and float(label).is_integer() for label in classes)
    marks = is_whole and len(classes) > 2 and -1 in classes
    return y != -1 if marks else np.ones(len(y), bool)
