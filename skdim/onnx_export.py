"""Export of a fitted transformer, classifier or Pipeline as an ONNX graph."""

import copy
import io
import json
import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from skdim._files.atomic_write import replace_when_done
from skdim._model.fitted import FittedModel
from skdim._model.readout import ReadoutLayer, linear_layer
from skdim._names import lookup
from skdim._runtime.surroundings import torch_defaults
from skdim._version import __version__
from skdim.encoders import Encoding, add_fixed

# Legal types of X.
DTYPES = {"float32": torch.float32, "float64": torch.float64, "uint8": torch.uint8}

REDUCTIONS: dict[Callable, Callable] = {
    functional.adaptive_avg_pool1d: torch.mean,
    functional.adaptive_avg_pool2d: torch.mean,
    functional.adaptive_avg_pool3d: torch.mean,
    functional.adaptive_max_pool1d: torch.amax,
    functional.adaptive_max_pool2d: torch.amax,
    functional.adaptive_max_pool3d: torch.amax,
}


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

    ``X`` has the axes that the X of ``fit`` had.

    Examples
    --------
    >>> import onnxruntime  # doctest: +SKIP
    >>> export_onnx(dim, "dim.onnx")  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("dim.onnx")  # doctest: +SKIP
    >>> X32 = X.astype("float32")  # doctest: +SKIP
    >>> (features,) = session.run(None, {"X": X32})  # doctest: +SKIP
    """
    estimator = _unwrap_frozen(estimator)
    steps = [estimator]
    if isinstance(estimator, Pipeline):
        steps = [
            _unwrap_frozen(step) for _, step in estimator.steps if step not in (None, "passthrough")
        ]
    match steps:
        case [exported] if hasattr(exported, "export_onnx"):
            exported.export_onnx(path, dtype=dtype)
        case [transformer, LogisticRegression() as classifier] if hasattr(transformer, "model_"):
            check_is_fitted(classifier)
            model, output = transformer.model_, transformer.output
            head = _head(classifier, model.readout(output).n_features)
            write_graph(path, model, output, dtype, head, classifier.classes_)
        case _:
            check_is_fitted(estimator)
            kinds = " of ".join(
                dict.fromkeys(
                    [type(estimator).__name__, ", ".join(type(step).__name__ for step in steps)]
                )
            )
            raise TypeError(
                "The 'estimator' must be a DIMTransformer, a DIMClassifier, or a Pipeline of a "
                f"DIMTransformer and a LogisticRegression. Got {kinds}."
            )


def _unwrap_frozen(estimator):
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


def _head(classifier: LogisticRegression, n_features: int) -> nn.Linear:
    one_versus_rest = getattr(classifier, "multi_class", None) == "ovr"
    # With two classes and one logit, both ways to compute probabilities are the same.
    if len(classifier.classes_) > 2 and (one_versus_rest or classifier.solver == "liblinear"):
        raise ValueError(
            "The LogisticRegression must be multinomial, so that its probabilities are a softmax: "
            "solver='lbfgs', for instance. Got one of each class against the rest."
        )
    if classifier.coef_.shape[1] != n_features:
        raise ValueError(
            "The LogisticRegression must be fitted on the features of the transformer. Got one of "
            f"{classifier.coef_.shape[1]} features, and {n_features} features of the transformer."
        )
    is_sparse = scipy.sparse.issparse(classifier.coef_)
    coef = classifier.coef_.toarray() if is_sparse else classifier.coef_
    return linear_layer(coef, classifier.intercept_)


@torch_defaults()
def write_graph(
    path,
    model: FittedModel,
    output: str,
    dtype: str,
    head: nn.Linear | None = None,
    classes: np.ndarray | None = None,
) -> None:
    """Write the graph of a model, or of a model and a linear classifier on its features.

    ``head`` maps features to the logits of ``classes``. An X of float64 is standardised in float64.
    """
    torch_dtype = lookup(dtype, DTYPES, "dtype", or_callable=False)
    onnx = _import_onnx()
    graph: nn.Module = FeatureGraph(model, output, torch_dtype)
    outputs, metadata = ["features"], {"skdim": __version__}
    if head is not None and classes is not None:
        graph = nn.Sequential(graph, ProbabilityHead(head))
        outputs = ["probabilities", "label_index"]
        metadata["classes"] = json.dumps(classes.tolist(), default=str)  # dates
    # Two samples: with one, the exporter could take the batch for an axis of length 1.
    example = torch.zeros(2, *model.config.layout.x_shape, dtype=torch_dtype)
    model = onnx.load_from_string(_trace(graph, example, outputs))
    onnx.helper.set_model_props(model, metadata)
    with replace_when_done(path) as temporary:
        onnx.save(model, temporary)


class FeatureGraph(nn.Module):
    """``transform`` as one network on the CPU: layout of X, scale, encoder (copied), readout."""

    mean: Tensor
    rest: Tensor  # what rounding took from the mean
    scale: Tensor
    is_complete: Tensor | None

    def __init__(self, model: FittedModel, output: str, dtype: torch.dtype):
        super().__init__()
        self.layout = model.config.layout
        self.wide = torch.float64 if dtype == torch.float64 else torch.float32
        sides = [1] * (len(model.sample_shape) - 1)
        wide_mean = torch.from_numpy(model.mean).to(self.wide).double().numpy()
        statistics = {"mean": model.mean, "rest": model.mean - wide_mean, "scale": model.scale}
        for name, array in statistics.items():
            statistic = torch.from_numpy(array).to(self.wide)
            self.register_buffer(name, statistic.reshape(-1, *sides))
        is_complete = model.standardization.is_complete
        fills = is_complete is not None and is_complete.any()
        self.register_buffer("is_complete", torch.from_numpy(is_complete) if fills else None)
        self.encoder = copy.deepcopy(model.encoder).cpu().eval()
        self.readout = ReadoutLayer(model.readout(output))

    def forward(self, x: Tensor) -> Tensor:
        """From X of shape (n, ...) to features (n, n_features)."""
        x = (x.unflatten(1, self.layout.unflat_shape) if self.layout.is_flat else x).to(self.wide)
        axis = self.layout.channel_axis
        x = x.unsqueeze(1) if axis is None else x.movedim(axis, 1)  # (n, channels, *sides)
        x = ((x - self.mean - self.rest) / self.scale).float()
        if self.is_complete is not None:
            x = x.masked_fill(x.isnan() & self.is_complete, 0.0)
        return self.readout(add_fixed(self.encoder, x, Encoding(*self.encoder(x))))


class ProbabilityHead(nn.Module):
    """A linear classifier on features."""

    def __init__(self, head: nn.Linear):
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (n, n_classes) and the index (n,) of the highest."""
        probabilities = self.head(features).softmax(1)
        return probabilities, probabilities.argmax(1)


def pool_slices(x: Tensor, sizes: int | Sequence[int | None], reduce: Callable) -> Tensor:
    """Pool the last axes of x in slices of about equal length, like torch's adaptive pooling.

    There are ``sizes`` slices on each side; None keeps a side, and a single number is for all sides
    of (n, channels, *sides). ``reduce`` is `torch.mean` or `torch.amax`.
    """
    if isinstance(sizes, int):
        sizes = [sizes] * (x.ndim - 2)
    for axis, size in enumerate(sizes, start=x.ndim - len(sizes)):
        if size is not None:
            length = int(x.shape[axis])
            starts = [i * length // size for i in range(size)]
            stops = [-(-(i + 1) * length // size) for i in range(size)]  # rounded up
            bounds = zip(starts, stops, strict=True)
            slices = [reduce(x.narrow(axis, start, stop - start), axis) for start, stop in bounds]
            x = torch.stack(slices, axis)
    return x


def unfold_slices(x: Tensor, axis: int, size: int, step: int) -> Tensor:
    """Return the windows along an axis, as a new last axis, like ``Tensor.unfold``."""
    starts = range(0, int(x.shape[axis]) - size + 1, step)
    return torch.stack([x.narrow(axis, start, size).movedim(axis, -1) for start in starts], axis)


class InSlices(TorchFunctionMode):
    """A context in which adaptive pooling and ``Tensor.unfold`` are computed by slices.

    The exporter supports adaptive pooling only if it divides a side evenly, and ``unfold`` only if
    the size of the map is known. What it writes for ``flatten`` does not take an empty batch.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call ``func``, or its equivalent in slices."""
        kwargs = kwargs or {}
        if func in REDUCTIONS and len(args) == 2 and not any(kwargs.values()):
            x, sizes = args
            return pool_slices(x, sizes, REDUCTIONS[func])
        if func is Tensor.unfold and len(args) == 4:
            return unfold_slices(*args)
        if func is Tensor.flatten and len(args) == 2 and args[1] > 1 and not kwargs:
            x, start = args
            sizes = [int(size) for size in x.shape[1:]]
            return x.reshape(-1, *sizes[: start - 1], math.prod(sizes[start - 1 :]))
        return func(*args, **kwargs)


def _trace(graph: nn.Module, example: Tensor, outputs: list[str]) -> bytes:
    """Return the graph as ONNX, for any number of samples."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), InSlices(), torch.no_grad():
        # These warnings of torch are not for users.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            graph.eval(),
            (example,),
            buffer,  # type: ignore[arg-type]  # legal for this exporter
            # The newer exporter takes seconds instead of tenths of a second, needs another package,
            # and does not support this in torch 2.4.
            dynamo=False,
            input_names=["X"],
            output_names=outputs,
            dynamic_axes={name: {0: "n_samples"} for name in ("X", *outputs)},
        )
    return buffer.getvalue()


def _import_onnx():
    try:
        import onnx
    except ImportError:
        raise ImportError(
            "Export needs the package onnx, which is missing: pip install onnx onnxruntime."
        ) from None
    return onnx
