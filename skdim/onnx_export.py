"""Export of a fitted transformer, classifier or Pipeline as an ONNX graph."""

from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skdim._model.onnx_graph import write_graph
from skdim.classifier import DIMClassifier, linear_layer
from skdim.transformer import DIMTransformer


def export_onnx(estimator, path, *, dtype: str = "float32") -> None:
    """Write an estimator as an ONNX graph, from raw X to features or to probabilities.

    The graph runs without skdim and torch. Its input ``X`` is that of ``transform`` or
    ``predict_proba``, with any number of samples. The graph of a transformer has the output
    ``features``, selected by its ``output`` parameter. The graph of a classifier has the outputs
    ``probabilities`` of shape (n_samples, n_classes) and ``label_index`` of shape (n_samples,), the
    index of the class in ``classes_``. The classes are in the metadata as JSON, under
    ``"classes"``.

    Parameters
    ----------
    estimator : DIMTransformer, DIMClassifier or Pipeline
        Fitted. A Pipeline must consist of a `DIMTransformer`, or of one and a
        ``LogisticRegression``.
    path : path
    dtype : {"float32", "float64", "uint8"}, default="float32"
        Type of ``X``. With "float64" it is standardised in float64, which keeps the precision of
        large numbers such as time stamps.

    Raises
    ------
    ImportError
        If the package onnx is missing.
    TypeError
        If the estimator is none of these.
    ValueError
        If ``dtype`` is none of these, or the probabilities of the classifier are not a softmax.

    Notes
    -----
    Features agree with those of ``transform`` within 1e-4. Differences may be larger for units that
    hardly varied in ``fit``, as their scale magnifies rounding errors in both.

    ``X`` has its axis of channels where the X of ``fit`` had it. Grey images with a last axis of
    one channel cannot be told from grey images without that axis. They are taken for the latter,
    unless the ``channel_axis`` parameter is set, which is also possible after ``fit``.

    Examples
    --------
    >>> import onnxruntime  # doctest: +SKIP
    >>> export_onnx(dim, "dim.onnx")  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("dim.onnx")  # doctest: +SKIP
    >>> X32 = X.astype("float32")  # doctest: +SKIP
    >>> (features,) = session.run(None, {"X": X32})  # doctest: +SKIP
    """
    write_graph(path, *_graph_arguments(estimator, dtype))


def _graph_arguments(estimator, dtype: str) -> tuple:
    """Return the arguments of `write_graph` after the path."""
    estimator = _unwrap_frozen(estimator)
    check_is_fitted(estimator)
    if isinstance(estimator, DIMTransformer):
        return estimator, estimator.output, dtype
    if isinstance(estimator, DIMClassifier):
        head = linear_layer(estimator.coef_, estimator.intercept_)
        return estimator.transformer_, "hidden", dtype, head, estimator.classes_
    kinds = type(estimator).__name__
    if isinstance(estimator, Pipeline):
        steps = [
            _unwrap_frozen(step) for _, step in estimator.steps if step not in (None, "passthrough")
        ]
        match steps:
            case [DIMTransformer() as transformer]:
                return transformer, transformer.output, dtype
            case [DIMTransformer() as transformer, LogisticRegression() as classifier]:
                head = _head(classifier)
                return transformer, transformer.output, dtype, head, classifier.classes_
        kinds += " of " + ", ".join(type(step).__name__ for step in steps)
    raise TypeError(
        "The 'estimator' must be a DIMTransformer, a DIMClassifier, or a Pipeline of a "
        f"DIMTransformer and a LogisticRegression. Got {kinds}."
    )


def _unwrap_frozen(estimator):
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


def _head(classifier: LogisticRegression) -> nn.Linear:
    one_versus_rest = getattr(classifier, "multi_class", None) == "ovr"
    # With two classes and one logit, both ways to compute probabilities are the same.
    if len(classifier.coef_) > 1 and (one_versus_rest or classifier.solver == "liblinear"):
        raise ValueError(
            "The LogisticRegression must be multinomial, so that its probabilities are a softmax: "
            "solver='lbfgs', for instance. Got one of each class against the rest."
        )
    return linear_layer(classifier.coef_, classifier.intercept_)
