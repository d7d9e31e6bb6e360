"""From a fitted transformer, classifier or Pipeline to one ONNX graph, without skdim and torch."""

from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skdim._model.onnx_graph import write_graph
from skdim.classifier import DIMClassifier, linear_layer
from skdim.transformer import DIMTransformer


def export_onnx(estimator, path, *, dtype: str = "float32") -> None:
    """Write an estimator as one ONNX graph, from raw X to features or to probabilities.

    The input ``X`` is what ``transform`` or ``predict_proba`` takes, of any number of samples.
    The output of a transformer is ``features``, those of its ``output``; a classifier's are
    ``probabilities`` of shape (n_samples, n_classes) and ``label_index`` of shape (n_samples,),
    into ``classes_``, which the graph holds as JSON in its metadata, under ``"classes"``.

    Parameters
    ----------
    estimator : DIMTransformer, DIMClassifier or Pipeline
        Fitted. A Pipeline of a `DIMTransformer` and a ``LogisticRegression``.
    path : path
    dtype : {"float32", "float64", "uint8"}, default="float32"
        Type of ``X``. Doubles are standardised as doubles, and keep the digits of a time stamp.

    Raises
    ------
    ImportError
        If the package onnx is missing.
    TypeError
        If the estimator is of another kind.
    ValueError
        If ``dtype`` is none of these, or the classifier's probabilities are no softmax.

    Notes
    -----
    Features are those of ``transform`` within 1e-4, but for units that hardly varied in ``fit``:
    in their units, the rounding of single precision may be more, for both.

    An axis of channels is where the X of ``fit`` had it. Grey images whose axis of one channel
    comes last look like grey images without one, and are taken for those unless ``channel_axis``
    says where it is; it may be set after ``fit``.

    Examples
    --------
    >>> import onnxruntime  # doctest: +SKIP
    >>> export_onnx(dim, "dim.onnx")  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("dim.onnx")  # doctest: +SKIP
    >>> (features,) = session.run(None, {"X": X.astype("float32")})  # doctest: +SKIP
    """
    write_graph(path, *_parts(estimator, dtype))


def _parts(estimator, dtype: str) -> tuple:
    """Return what `write_graph` takes after the path."""
    estimator = _thaw(estimator)
    check_is_fitted(estimator)
    if isinstance(estimator, DIMTransformer):
        return estimator, estimator.output, dtype
    if isinstance(estimator, DIMClassifier):
        head = linear_layer(estimator.coef_, estimator.intercept_)
        return estimator.transformer_, "hidden", dtype, head, estimator.classes_
    kinds = type(estimator).__name__
    if isinstance(estimator, Pipeline):
        steps = [_thaw(step) for _, step in estimator.steps if step not in (None, "passthrough")]
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


def _thaw(estimator):
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


def _head(classifier: LogisticRegression) -> nn.Linear:
    one_versus_rest = getattr(classifier, "multi_class", None) == "ovr"
    # Of two classes, by one logit, both ways to probabilities are the same.
    if len(classifier.coef_) > 1 and (one_versus_rest or classifier.solver == "liblinear"):
        raise ValueError(
            "The LogisticRegression must be multinomial, so that its probabilities are a softmax: "
            "solver='lbfgs', for instance. Got one of each class against the rest."
        )
    return linear_layer(classifier.coef_, classifier.intercept_)
