"""The ONNX graph: memory layout, scale, encoder, readout and, optionally, a classifier."""

import copy
import io
import json
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from skdim._files.atomic_write import replace_when_done
from skdim._model.readout import ReadoutLayer
from skdim._names import lookup
from skdim._version import __version__
from skdim.encoders import Encoding, add_fixed
from skdim.sources._arrays import read_samples

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


def write_graph(
    path,
    transformer: Any,
    output: str,
    dtype: str,
    head: nn.Linear | None = None,
    classes: np.ndarray | None = None,
) -> None:
    """Write the graph of a fitted transformer, or of one and a linear classifier on its features.

    Parameters
    ----------
    path : path
    transformer : DIMTransformer, fitted
    output : str in `skdim._model.readout.OUTPUTS`
    dtype : str in `DTYPES`
        Of X; float64 is standardised in float64.
    head : nn.Linear or None
        From features to the logits of ``classes``.
    classes : ndarray of shape (n_classes,) or None
    """
    torch_dtype = lookup(dtype, DTYPES, "dtype", or_callable=False)
    onnx = _import_onnx()
    graph: nn.Module = FeatureGraph(transformer, output, torch_dtype)
    outputs, metadata = ["features"], {"skdim": __version__}
    if head is not None and classes is not None:
        graph = nn.Sequential(graph, ProbabilityHead(head))
        outputs = ["probabilities", "label_index"]
        metadata["classes"] = json.dumps(classes.tolist())
    # Two samples: with one, the exporter could take the batch for an axis of length 1.
    example = torch.zeros(2, *shape_of_x(transformer), dtype=torch_dtype)
    model = onnx.load_from_string(_trace(graph, example, outputs))
    onnx.helper.set_model_props(model, metadata)
    with replace_when_done(path) as temporary:
        onnx.save(model, temporary)


class FeatureGraph(nn.Module):
    """``transform`` as one network on the CPU: memory layout, scale, encoder and readout.

    Parameters
    ----------
    transformer : DIMTransformer, fitted
        Its encoder is copied.
    output : str in `skdim._model.readout.OUTPUTS`
    dtype : torch.dtype
        Of X; float64 is standardised in float64.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, transformer: Any, output: str, dtype: torch.dtype):
        super().__init__()
        self.stored_shape, self.axes = layout_of_x(transformer)
        self.wide = torch.float64 if dtype == torch.float64 else torch.float32
        n_sides = len(transformer.sample_shape_) - 1
        for name in ("mean", "scale"):
            statistics = torch.from_numpy(getattr(transformer, f"{name}_")).to(self.wide)
            self.register_buffer(name, statistics.reshape(-1, *[1] * n_sides))
        self.encoder = copy.deepcopy(transformer.encoder_).cpu().eval()
        self.readout = ReadoutLayer(transformer.model_.readouts[output])

    def forward(self, x: Tensor) -> Tensor:
        """From X of shape (n, ...) to features (n, n_features)."""
        x = x.reshape(-1, *self.stored_shape).permute(self.axes).to(self.wide)  # channels first
        x = ((x - self.mean) / self.scale).float()
        return self.readout(add_fixed(self.encoder, x, Encoding(*self.encoder(x))))


class ProbabilityHead(nn.Module):
    """A linear classifier on features.

    Parameters
    ----------
    head : nn.Linear
    """

    def __init__(self, head: nn.Linear):
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (n, n_classes) and the index (n,) of the highest."""
        probabilities = self.head(features).softmax(1)
        return probabilities, probabilities.argmax(1)


def shape_of_x(transformer: Any) -> tuple[int, ...]:
    """Return the shape of a sample in the X of ``fit``, before it was read as channels first.

    Only ``sample_shape_`` and ``X.shape[1]`` are known. The first of these layouts that agrees with
    both is taken: columns, no axis of channels, channels first, last, or between the sides.
    """
    n_channels, *sides = transformer.sample_shape_
    n_sides = len(sides)
    flat = int(np.prod(transformer.sample_shape_))
    channel_axes = dict.fromkeys([0, n_sides, *range(n_sides)])  # each once
    shapes = [(flat,), tuple(sides)] + [(*sides[:i], n_channels, *sides[i:]) for i in channel_axes]
    for shape in shapes:
        if shape and shape[0] == transformer.n_features_in_ and _reads_as(transformer, shape):
            return shape
    raise ValueError(
        "The 'sample_shape' and 'channel_axis' parameters must be such that X is read as in fit, "
        f"as samples of shape {transformer.sample_shape_} (channels first). Got "
        f"sample_shape={transformer.sample_shape!r}, channel_axis={transformer.channel_axis!r}."
    )


def layout_of_x(transformer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape in which X is stored, and the order of axes that puts channels first.

    Returns
    -------
    stored_shape : tuple of int
        Shape of a sample with its axes in the order of X.
    axes : tuple of int
        The permutation, batch included, from there to (n, *sample_shape_).
    """
    # Samples are a view of X: their strides tell the order of their axes in X.
    zeros = np.zeros((1, *shape_of_x(transformer)), np.uint8)
    (sample,) = read_samples(zeros, transformer.sample_shape, transformer.channel_axis)
    order = np.argsort([-stride for stride in sample.strides], kind="stable")
    stored_shape = tuple(sample.shape[axis] for axis in order)
    return stored_shape, (0, *(int(axis) + 1 for axis in np.argsort(order)))


def _reads_as(transformer: Any, shape: tuple[int, ...]) -> bool:
    """Whether X with samples of this shape is read as samples of ``sample_shape_``."""
    zeros = np.broadcast_to(np.uint8(0), (1, *shape))
    try:
        samples = read_samples(zeros, transformer.sample_shape, transformer.channel_axis)
    except ValueError:
        return False
    return samples.shape[1:] == transformer.sample_shape_


def pool_slices(x: Tensor, sizes: int | Sequence[int | None], reduce: Callable) -> Tensor:
    """Pool the last axes of x in slices of about equal length, like torch's adaptive pooling.

    Parameters
    ----------
    x : Tensor of shape (..., channels, *sides)
    sizes : int or sequence of (int or None)
        Number of slices for each side; None keeps a side. A single number is for all sides of
        (n, channels, *sides).
    reduce : callable (Tensor, axis) -> Tensor
        `torch.mean` or `torch.amax`.

    Returns
    -------
    pooled : Tensor of shape (..., channels, *sizes)
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
    the size of the map is known.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call ``func``, or its equivalent in slices."""
        kwargs = kwargs or {}
        if func in REDUCTIONS and len(args) == 2 and not any(kwargs.values()):
            x, sizes = args
            return pool_slices(x, sizes, REDUCTIONS[func])
        if func is Tensor.unfold and len(args) == 4:
            return unfold_slices(*args)
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
