"""Any X, any parameters, any order of calls give a right result or a clear error.

A case is plain data, drawn by Hypothesis; its repr is enough to run it again. A property is a
function of a case that raises `Fault`.

    python tests/helpers/campaign.py --examples 10000

prints how many cases of each property were tried, and the faults that were found: there should be
none.
"""

import argparse
import contextlib
import copy
import io
import pickle
import re
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import skorch.callbacks
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions

from skdim import DIMClassifier, DIMTransformer
from skdim._model.readout import OUTPUTS
from skdim.critics import CRITICS, ConcatCritic
from skdim.encoders import ENCODERS, MLPEncoder
from skdim.exceptions import (
    CollapseWarning,
    DataWarning,
    FewSamplesWarning,
    FileError,
    IneffectiveParameterWarning,
)
from skdim.mutual_information import ESTIMATORS, infonce
from skdim.objective.coordinates import COORDINATES
from skdim.optimization import OPTIMIZERS, SCHEDULES
from skdim.priors import PRIORS, Prior, normal

PARAMETERS: dict[str, list] = vars(DIMTransformer)["_parameter_constraints"]
DOCUMENTED = (ValueError, TypeError, FloatingPointError, MemoryError)
ADVICE = (
    DataWarning,
    ConvergenceWarning,
    FewSamplesWarning,
    CollapseWarning,
    IneffectiveParameterWarning,
)

# What a message must name: a parameter in quotes, or the argument that is at fault.
OFFENDER = re.compile(
    "|".join(
        [
            *(f"'{name}'" for name in PARAMETERS),
            *(r"\bX\b", "'groups'", "encoder", "Paper"),
            *("'width'", "'n_hidden'", "'depth'", "'max_filters'", "'n_local_maps'", "'scale'"),
            *("'max_locations'", "'n_local_channels'"),
        ]
    )
)
# Messages that all estimators of scikit-learn have in common, and one of skdim.
COMMON = (
    "Found array with",
    "Expected 2D array",
    "The feature names should match",
    "np.matrix",
    "This DIMTransformer instance is not fitted yet",
    "This transformer was trimmed",
)


class Fault(AssertionError):  # noqa: N818
    """What no case may lead to."""


# --------------------------------------------------------------------------------------- samples


class Modality(NamedTuple):
    """Shapes of one kind of samples, and the parameters that they need."""

    shapes: st.SearchStrategy[tuple[int, ...]]  # of a sample
    params: dict
    encoder_params: dict


# In layers of less than 16 units, products may round differently at different positions.
SMALL_CONV = {"width": 8, "n_hidden": 16, "max_filters": 8}
SMALL_MLP = {"width": 16, "n_hidden": 16, "n_local_channels": 16}
SMALL_SIGNAL = {"width": 16, "n_hidden": 16}
SMALL_PAPER = {"scale": 1 / 64}

side, few, length = st.integers(8, 11), st.integers(1, 4), st.integers(4, 40)
colour = st.integers(1, 3)

MODALITIES = {
    "rows": Modality(st.tuples(st.integers(1, 7)), {}, SMALL_MLP),
    "grey": Modality(st.tuples(side, side), {}, SMALL_CONV),
    "channels first": Modality(st.tuples(few, side, side), {"channel_axis": 1}, SMALL_CONV),
    "channels last": Modality(st.tuples(side, side, colour), {}, SMALL_CONV),
    "signal": Modality(st.tuples(length), {"channel_axis": None}, SMALL_SIGNAL),
    "signals first": Modality(st.tuples(few, length), {"channel_axis": 1}, SMALL_SIGNAL),
    "signals last": Modality(st.tuples(length, few), {"channel_axis": -1}, SMALL_SIGNAL),
    "volumes": Modality(
        st.just((8, 8, 9)), {"channel_axis": None, "precision": "float32"}, SMALL_CONV
    ),
    "flat": Modality(st.just((72,)), {"sample_shape": (8, 9)}, SMALL_CONV),
    "flat colours": Modality(st.just((192,)), {"sample_shape": [8, 8, 3]}, SMALL_CONV),
}

DTYPES = (
    *("f4", "f8", "f2", "g", "O", ">f4", ">f8", ">i4", "?"),
    *("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"),
)


class Sketch(NamedTuple):
    """How to make an X."""

    shape: tuple[int, ...]
    values: str = "normal"
    dtype: str = "f8"
    layout: str = "C"
    container: str = "array"
    seed: int = 0


def with_one(value: float) -> Callable:
    def numbers(rng, shape):
        X = rng.normal(size=shape)
        X.reshape(-1)[: min(1, X.size)] = value
        return X

    return numbers


def constant_column(rng, shape):
    X = rng.normal(size=shape)
    X[..., :1] = 3.0
    return X


def duplicates(rng, shape):
    X = rng.normal(size=shape)
    X[1::2] = X[::2][: len(X[1::2])]
    return X


def largest(dtype: np.dtype) -> float:
    return float(np.finfo(dtype if dtype.char in "efd" else np.float64).max)


# By name: callable (rng, shape) -> array of floats.
VALUES: dict[str, Callable] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "integers": lambda rng, shape: rng.integers(0, 256, shape).astype(float),
    "far from zero": lambda rng, shape: 1e9 + rng.normal(size=shape),
    "one differs": lambda rng, shape: (
        with_one(1.0)(rng, shape) * 0 + with_one(1.0)(rng, shape) // 9
    ),
    "one is 1e20": with_one(1e20),
    "constant column": constant_column,
    "duplicates": duplicates,
    "all the same": lambda rng, shape: np.full(shape, 0.1),
    "one nan": with_one(np.nan),
    "one inf": with_one(np.inf),
    "one -inf": with_one(-np.inf),
}


# Likewise, near the limits of floats.
EXTREMES: dict[str, Callable] = {
    "huge": lambda rng, shape: 1e30 * rng.normal(size=shape),
    "of float32, the largest": lambda rng, shape: rng.choice([-3.4e38, 3.4e38, 0.0], shape),
    "of float64, the largest": lambda rng, shape: rng.choice([-1.7e308, 1.7e308, 0.0], shape),
    "tiny": lambda rng, shape: 1e-30 * rng.normal(size=shape),
    "denormal in float32": lambda rng, shape: rng.choice([0.0, 1.4e-45, -2.8e-45], shape),
    "denormal in float64": lambda rng, shape: rng.choice([0.0, 5e-324, -1e-323], shape),
    "all scales": lambda rng, shape: rng.normal(size=shape) * 10 ** rng.uniform(-30, 30, shape),
    "one is the smallest": lambda rng, shape: one_is(1.4e-45, shape),
}


def one_is(value: float, shape) -> np.ndarray:
    X = np.zeros(shape)
    X.reshape(-1)[: min(1, X.size)] = value
    return X


def broadcast(X):
    """Repeat the first entry of the last axis without memory."""
    return np.broadcast_to(X[..., :1], X.shape)


def unaligned(X):
    if X.dtype.hasobject:
        return X
    memory = np.zeros(X.nbytes + 1, np.uint8)
    moved = memory[1:].view(X.dtype) if X.nbytes else X.reshape(-1)
    moved = moved.reshape(X.shape)
    moved[...] = X
    return moved


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def mapped(X):
    if X.dtype.hasobject or not X.size:
        return X
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file.name, X)
        return np.load(file.name, mmap_mode="r")


LAYOUTS: dict[str, Callable] = {
    "C": lambda X: X,
    "Fortran": np.asfortranarray,
    "backwards": lambda X: np.flip(np.flip(X).copy()),
    "samples backwards": lambda X: X[::-1].copy()[::-1],
    "transposed": lambda X: np.moveaxis(np.moveaxis(X, 0, -1).copy(), -1, 0),
    "every second": lambda X: np.repeat(X, 2, axis=-1)[..., ::2],
    "broadcast": broadcast,
    "unaligned": unaligned,
    "read-only": read_only,
    "mapped": mapped,
}


def frame(X):
    return pd.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])]) if X.ndim == 2 else X


def polars_frame(X):
    is_table = X.ndim == 2 and X.dtype.char not in "Oge" and X.dtype.isnative
    return pl.DataFrame(np.array(X), schema=[f"c{i}" for i in range(X.shape[1])]) if is_table else X


def tensor(X):
    return X if X.dtype.char in "Og" or not X.dtype.isnative else torch.from_numpy(np.array(X))


def as_tensor(change: Callable) -> Callable:
    def container(X):
        made = tensor(X)
        return change(made) if isinstance(made, torch.Tensor) else X

    return container


def floating(change: Callable) -> Callable:
    return as_tensor(lambda made: change(made.float()))


CONTAINERS: dict[str, Callable] = {
    "array": lambda X: X,
    "list": lambda X: X.tolist(),
    "list of arrays": list,
    "tuple": lambda X: tuple(X),
    "frame": frame,
    "frame of objects": lambda X: frame(X.astype(object)),
    "polars": polars_frame,
    "masked": lambda X: np.ma.masked_array(X),
    "tensor": tensor,
    "tensor with gradient": floating(lambda t: t.requires_grad_()),
    "tensor of bfloat16": as_tensor(lambda t: t.to(torch.bfloat16)),
    "transposed tensor": as_tensor(lambda t: t.movedim(0, -1).contiguous().movedim(-1, 0)),
    "negated tensor": floating(lambda t: torch._neg_view(t)),
}

# Containers without numbers, or without the shape of an array.
STRANGE: dict[str, Callable] = {
    "sparse tensor": floating(lambda t: t.to_sparse()),
    "meta tensor": as_tensor(lambda t: t.to("meta")),
    "tensor of float8": floating(lambda t: t.to(torch.float8_e4m3fn)),
    "conjugate tensor": floating(lambda t: t.to(torch.complex64).conj()),
    "complex tensor": floating(lambda t: t.to(torch.complex64)),
    "complex": lambda X: X.astype(complex) if X.dtype.char != "O" else X,
    "ragged": lambda X: [*X.tolist(), [1.0]] if X.ndim > 1 else [[1.0], [1.0, 2.0]],
    "matrix": lambda X: np.matrix(X) if X.ndim == 2 else X,
    "words": lambda X: X.astype(str),
    "bytes": lambda X: np.full(X.shape, b"a"),
    "dates": lambda X: np.full(X.shape, np.datetime64("2020-01-01")),
    "durations": lambda X: np.full(X.shape, np.timedelta64(3, "s")),
    "records": lambda X: np.zeros(X.shape, [("a", "f4"), ("b", "i4")]),
    "a huge integer": lambda X: with_object(X, 10**400),
    "None inside": lambda X: with_object(X, None),
    "a list inside": lambda X: with_object(X, [1, 2]),
    "frame with missing": lambda X: frame(with_object(X, pd.NA)),
    "None": lambda X: None,
    "a number": lambda X: 3,
    "a word": lambda X: "X",
    "a dict": lambda X: {"a": [1, 2, 3]},
    "a set": lambda X: {1, 2, 3},
    "a function": lambda X: len,
}


def with_object(X, value):
    X = X.astype(object)
    if X.size:
        X[(0,) * X.ndim] = value
    return X


def make(sketch: Sketch) -> Any:
    """Return the X of a sketch."""
    rng = np.random.default_rng(sketch.seed)
    dtype = np.dtype(sketch.dtype)
    X = {**VALUES, **EXTREMES}[sketch.values](rng, sketch.shape)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            X = np.nan_to_num(X).clip(float(limits.min), float(limits.max) * (1 - 2**-10))
        elif dtype.kind == "f" and np.isfinite(X).all():
            X = X.clip(-largest(dtype), largest(dtype))
        X = LAYOUTS[sketch.layout](np.asarray(X).astype(dtype))
        return {**CONTAINERS, **STRANGE}[sketch.container](X)


def names(registry: dict) -> st.SearchStrategy[str]:
    return st.sampled_from(list(registry))


@st.composite
def sketches(draw, shapes: st.SearchStrategy[tuple[int, ...]], values=VALUES, n_max: int = 9):
    """Sketches of X with up to four odd traits."""
    shape = (draw(st.integers(2, n_max)), *draw(shapes))
    odd = {"seed": draw(st.integers(0, 3))}
    traits = {
        "values": names(values),
        "dtype": st.sampled_from(DTYPES),
        "layout": names(LAYOUTS),
        "container": names(CONTAINERS),
    }
    for trait in draw(st.sets(names(traits), max_size=4)):
        odd[trait] = draw(traits[trait])
    return Sketch(shape, **odd)


strange_shapes = st.lists(st.integers(0, 9), max_size=6).map(tuple)
strange_sketches = st.one_of(
    st.tuples(strange_shapes, st.sampled_from(["array", "list", "tensor"])),
    st.tuples(
        st.sampled_from([(6, 3), (6, 8, 8), (6, 8, 8, 3), (1, 3), (3, 1), (2, 1)]), names(STRANGE)
    ),
).map(lambda drawn: Sketch(drawn[0], container=drawn[1]))


# ------------------------------------------------------------------------------------ parameters


def unchanged(batch, generator):
    """A custom augmentation that changes nothing."""
    return batch


def to_one(batch, generator):
    """An augmentation that is not allowed: it changes the number of samples."""
    return batch[:1]


def to_none(batch, generator):
    """An augmentation that is not allowed: it returns nothing."""


def half(progress):
    """A custom schedule."""
    return 0.5


BEYOND = 10**18  # more than any memory


def of_interval(interval: Interval) -> list:
    """The ends, their neighbours on both sides, and numbers of other types."""
    ends = [end for end in (interval.left, interval.right) if end is not None]
    if issubclass(interval.type, Integral):
        inside = [end + step for end in ends for step in (-1, 0, 1, 2)]
        return [*inside, BEYOND, np.int64(ends[0] + 1), float(ends[0] + 1), True]
    near = [end + step for end in ends for step in (-1, -1e-9, 0, 1e-9, 0.25)]
    others = [1e-300, 1e300, float("nan"), float("inf"), -0.0, np.float32(0.5), np.float64(0.5)]
    return [*near, *others, 1, True]


def of_constraint(constraint: Any) -> list:
    """Values inside and outside of what a constraint allows."""
    if isinstance(constraint, Interval):
        return of_interval(constraint)
    if isinstance(constraint, StrOptions):
        return [*sorted(constraint.options), "worng", ""]
    simple = {
        "boolean": [True, False, np.True_, 1, 0, "yes"],
        "verbose": [0, 1, True, -1, 2**40],
        "random_state": [0, 1, 2**32 - 1, 2**32, -1, 0.5, np.int64(3)],
        None: [None],
    }
    return simple[constraint] if constraint is None or constraint in simple else []


MORE_VALUES: dict[str, list] = {
    "encoder": [*ENCODERS, MLPEncoder, unchanged],
    "encoder_params": [
        *({name: value} for name in ("width", "n_hidden") for value in (0, 1, 2, -1, 2.5, "x")),
        *({name: value} for name in ("depth", "max_filters") for value in (-1, 0, 1)),
        *({name: value} for name in ("n_local_maps", "max_locations") for value in (-1, 0, 1, 2)),
        *({"n_local_channels": value} for value in (0, 1, -1)),
        *({"column_groups": value} for value in ([[0]], [[0, 99]], [[]], 3)),
        *({"scale": value} for value in (0.02, 0.0, -1.0, "x")),
        *({}, {"odd": 1}, {1: 2}, {"sample_shape": (3,)}, {"width": BEYOND}),
    ],
    "optimizer": [*OPTIMIZERS, torch.optim.RMSprop],
    "optimizer_params": [
        *({"weight_decay": value} for value in (0.01, 0, -1, "x", 1e30)),
        *(
            {"betas": value}
            for value in ((0.5, 0.9), (2, 0), "x", (0.5,), (0.5, 0.9, 0.9), {"a": 1})
        ),
        *({"lr": value} for value in (1e-3, -1, "x", 1e30)),
        *({name: True} for name in ("fused", "foreach", "maximize", "amsgrad", "capturable")),
        *({"eps": 0}, {"momentum": 0.9}, {"momentum": -1}, {"filter_momentum": 2}),
        *({}, {"odd": 1}, {1: 2}, {"params": 3}, {"fused": False}, {"differentiable": True}),
        *({"filter_lr_factor": value} for value in (0, -1, "x")),
    ],
    "sample_shape": [(), (0,), (3,), (-1,), (-1, -8), (8, 9), (2.0, 4.0), ("a",), (None,), [[8]]],
    "channel_axis": [0, 1, 2, 3, -1, -2, -5, 9, np.int64(1), True, 1.0, BEYOND],
    "column_groups": [
        *([], [[]], [[0]], [[0, 1]], ((0,), (1, 2)), [[0], [0]], [[99]], [[-1]], [[0.0]]),
        *([["c0"]], [["c0", 1]], ["c0"], [0], [None], [[[0]]], [{0}], [[True]], [np.array([0, 1])]),
    ],
    "mi_estimator": [*ESTIMATORS, infonce],
    "critic": [*CRITICS, ConcatCritic],
    "prior": [
        *(*PRIORS, normal, Prior(normal), ("a", "b"), Prior("worng")),
        *(Prior("uniform", gradient_penalty=1.0), Prior("sphere", learning_rate=1e-3)),
    ],
    "coordinates": [*COORDINATES],
    "augment": [unchanged, to_one, to_none],
    "lr_schedule": [*SCHEDULES, half],
    "callbacks": [
        *([], (), [skorch.callbacks.Callback()], [("name", skorch.callbacks.Callback())]),
        *([skorch.callbacks.Callback], [1], ["name"], [("name", 1)], [None]),
    ],
    "device": ["cpu", "cpu:0", "auto", "tpu9", "cuda", "meta", "", "mps", torch.device("cpu")],
    "random_state": [np.random.RandomState(0)],
    "max_time": [0.01],
}

# Values that are legal and take for ever, or write files into the working directory.
NEVER = {
    "max_epochs": ["auto", BEYOND],
    "n_views": [BEYOND],
    "compile": [True, np.True_, 1],
    "checkpoint": ["worng"],
}


def of_parameter(name: str) -> list:
    """Values of a parameter: inside and outside of its limits, and of wrong types."""
    values = [v for constraint in PARAMETERS[name] for v in of_constraint(constraint)]
    values += [*MORE_VALUES.get(name, []), "worng", 1.5, [1], {"a": 1}]
    values += [] if callable in PARAMETERS[name] else [object]
    return [v for v in values if not any(v is never or v == never for never in NEVER.get(name, []))]


VALUES_OF = {name: of_parameter(name) for name in PARAMETERS}

odd_parameters = st.dictionaries(names(VALUES_OF), st.none(), min_size=1, max_size=4).flatmap(
    lambda chosen: st.fixed_dictionaries({n: st.sampled_from(VALUES_OF[n]) for n in chosen})
)

# Values that a fit is likely to accept, also together.
good_parameters = st.fixed_dictionaries(
    {},
    optional={
        "n_components": st.sampled_from([1, 2, 5, None]),
        "output": names(OUTPUTS),
        "global_weight": st.sampled_from([0.0, 0.5]),
        "prior_weight": st.sampled_from([0.0, 0.1]),
        "mi_estimator": names(ESTIMATORS),
        "critic": names(CRITICS),
        "critic_width": st.integers(1, 3),
        "n_locations": st.integers(1, 3),
        "prior": st.builds(
            Prior,
            names(PRIORS),
            st.none(),
            st.sampled_from([0.0, 1.0]),
            st.sampled_from([None, 1.0]),
        ),
        "augment": st.sampled_from(["auto", None, unchanged]),
        "n_views": st.integers(1, 3),
        "max_epochs": st.integers(1, 2),
        "batch_size": st.integers(2, 10),
        "optimizer": names(OPTIMIZERS),
        "learning_rate": st.sampled_from([1e-12, 1e-3, 1.0, 1e6]),
        "gradient_clip_norm": st.sampled_from([None, 1e-9]),
        "lr_schedule": st.sampled_from([*SCHEDULES, half, None]),
        "weight_averaging": st.sampled_from([0.5, 1.0]),
        "precision": st.sampled_from(["float32", "bfloat16", "auto"]),
        "transform_batch_size": st.sampled_from([1, 16]),
        "data_on_device": st.booleans(),
        "random_state": st.integers(0, 2**32 - 1),
        "warm_start": st.booleans(),
    },
)
# For images and volumes.
sided_parameters = st.fixed_dictionaries(
    {},
    optional={
        "flip_averaging": st.booleans(),
        "occlusion": st.booleans(),
        "n_crops": st.sampled_from([2, 4, 8]),
        "coordinate_weight": st.just(0.5),
        "coordinates": names(COORDINATES),
        "encoder": st.sampled_from(["conv", "resnet", "paper28"]),
    },
)
early_stopping = st.just(
    {"early_stopping": True, "validation_fraction": 0.5, "n_iter_no_change": 1}
)

GROUPS: dict[str, Callable[[int], Any]] = {
    "none": lambda n: None,
    "pairs": lambda n: np.arange(n) // 2,
    "one each": lambda n: list(range(n)),
    "words": lambda n: [f"g{i % 2}" for i in range(n)],
    "series": lambda n: pd.Series(np.arange(n) % 2),
    "tensor": lambda n: torch.arange(n) % 2,
    "bools": lambda n: np.arange(n) % 2 == 0,
    "with nan": lambda n: [np.nan, *range(n - 1)],
    "one": lambda n: np.zeros(n),
    "all but one": lambda n: np.arange(n) < 1,
    "too many": lambda n: np.arange(n + 1),
    "of two axes": lambda n: np.zeros((n, 2)),
    "a column": lambda n: np.arange(n)[:, None],
    "mixed": lambda n: ["a", None, *range(n - 2)],
    "lists": lambda n: [[1]] * (n - 1) + [[1, 2]],
    "a word": lambda n: "groups",
    "a number": lambda n: 3,
    "empty": lambda n: [],
    "dates": lambda n: np.full(n, np.datetime64("2020-01-01")) + np.arange(n),
}


class Case(NamedTuple):
    """Samples, parameters that differ from the defaults, groups, and what follows the fit."""

    modality: str
    X: Sketch
    params: dict = {}
    groups: str = "none"
    calls: tuple[str, ...] = ()
    later: tuple[str | int, ...] = ()  # names of changes of samples, sizes of batches


def transformer(case: Case) -> DIMTransformer:
    """Build a transformer whose fits take a moment; the parameters of the case come last."""
    plain = {"n_components": 2, "max_epochs": 1, "batch_size": 4, "critic_width": 4}
    # Batches of 16, for speed: of each encoder it is tested whether smaller ones round alike.
    plain |= {"random_state": 0, "device": "cpu", "transform_batch_size": 16}
    modality = MODALITIES[case.modality]
    small = modality.encoder_params
    encoder = case.params.get("encoder")
    if isinstance(encoder, str) and encoder in ENCODERS:
        kinds = {
            "mlp": SMALL_MLP,
            "signal": SMALL_SIGNAL,
            "spectrogram": SMALL_SIGNAL,
            "conv": SMALL_CONV,
            "resnet": SMALL_CONV,
        }
        small = kinds.get(encoder, SMALL_PAPER)
    return DIMTransformer(**{**plain, **modality.params, "encoder_params": small, **case.params})


# -------------------------------------------------------------------------------------- outcomes


@contextlib.contextmanager
def within(seconds: int, gibibytes: int) -> Iterator[None]:
    """Raise Fault where a call hangs, MemoryError where it asks for far too much memory."""

    def hang(signum, stack):
        raise Fault(f"hangs: more than {seconds} s")

    usual = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(seconds)
    resource.setrlimit(resource.RLIMIT_AS, (used + gibibytes * 2**30, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, usual)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Outcome(NamedTuple):
    """What a call returned, or the documented error it ended with, and what it warned of."""

    value: Any
    error: Exception | None
    warned: str = ""


def attempt(call: Callable[[], Any]) -> Outcome:
    """Call; raise `Fault` for an undocumented warning, or an error that is not clear."""
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("always")
        try:
            value, error = call(), None
        except Fault:
            raise
        except Exception as raised:
            value, error = None, raised
    message = f"{type(error).__name__}: {str(error)[:300]}"
    if error is not None and not isinstance(error, DOCUMENTED):
        raise Fault(f"undocumented {message}") from error
    is_named = OFFENDER.search(str(error)) or str(error).startswith(
        (tempfile.gettempdir(), *COMMON)
    )
    if error is not None and not is_named:
        raise Fault(f"names nothing: {message}") from error
    for warning in caught:
        text = str(warning.message)
        if not isinstance(warning.message, ADVICE) and "feature names" not in text:
            raise Fault(f"warns: {warning.category.__name__}: {text[:200]}")
    return Outcome(value, error, "\n".join(str(warning.message) for warning in caught))


def insist(call: Callable[[], Any], what: str) -> Any:
    """Call what must not fail."""
    value, error, _ = attempt(call)
    if error is not None:
        raise Fault(f"{what} fails: {type(error).__name__}: {str(error)[:300]}") from error
    return value


def must(is_so: Any, law: str) -> None:
    if not is_so:
        raise Fault(f"does not hold: {law}")


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b)


def check_features(dim: DIMTransformer, X: Any) -> np.ndarray:
    """Return the features of X, after checks of type, shape and names."""
    features = insist(lambda: dim.transform(X), f"transform to {dim.output!r}")
    must(isinstance(features, np.ndarray), "features are an array")
    must(features.dtype == np.float32, "features are float32")
    must(features.shape == (len(X), len(dim.get_feature_names_out())), "features have names")
    must(np.isfinite(features).all(), "features are finite")
    return features


def check_fitted(dim: DIMTransformer, X: Any) -> None:
    """Check what holds of every transformer that was fitted on X."""
    features = check_features(dim, X)
    must(same(features, dim.transform(X)), "transform repeats")
    if isinstance(X, np.ndarray | torch.Tensor) and X.ndim > 1:
        order = np.random.default_rng(0).permutation(len(X))
        must(
            same(dim.transform(X[order]), features[order]),
            "transform does not depend on the order of samples",
        )
        must(
            same(dim.transform(X[1:]), features[1:]),
            "transform does not depend on the other samples",
        )
        must(
            same(dim.transform(X[:1]), features[:1]),
            "a single sample has the same features",
        )
    for output in OUTPUTS:
        check_features(copy.copy(dim).set_params(output=output), X)
    score = insist(lambda: dim.score(X), "score")
    must(0 <= score <= 1, "score is a probability")
    scores = insist(lambda: dim.score_samples(X), "score_samples")
    must(scores.shape == (len(X),) and (np.isfinite(scores) & (scores <= 0)).all(), "distances")


def check_kept(dim: DIMTransformer, X: Any, calls: tuple[str, ...] = ("pickle", "save")) -> None:
    """Check that pickles and files give the same features."""
    features = dim.transform(X)
    for call in calls:
        value, error, _ = attempt(lambda call=call: KEEPING[call](dim))
        if error is None:
            must(same(value.transform(X), features), f"{call} keeps features")
        else:
            must(call == "save" and isinstance(error, FileError), f"{call} fails with a FileError")


def is_custom(value: Any) -> bool:
    """Whether a file cannot hold a parameter, so that it must be given to load."""
    return callable(value) or (
        isinstance(value, Prior) and (callable(value.sample) or value.squash is not None)
    )


def saved(dim: DIMTransformer) -> DIMTransformer:
    with tempfile.TemporaryDirectory() as folder:
        dim.save(Path(folder) / "dim")
        custom = {n: v for n, v in dim.get_params(deep=False).items() if is_custom(v)}
        return DIMTransformer.load(Path(folder) / "dim", **custom)


KEEPING: dict[str, Callable[[DIMTransformer], DIMTransformer]] = {
    "pickle": lambda dim: pickle.loads(pickle.dumps(dim)),
    "save": saved,
    "copy": copy.deepcopy,
}


def repeats(dim: DIMTransformer) -> bool:
    return isinstance(dim.random_state, Integral) and dim.max_time is None


# ------------------------------------------------------------------------------------- properties


def check_fit(case: Case) -> None:
    """Fit a new transformer."""
    dim = transformer(case)
    params = dim.get_params()
    X = make(case.X)
    n = case.X.shape[0] if case.X.shape else 0
    groups = GROUPS[case.groups](n)
    before = dict(vars(dim))
    repr(dim)
    must(clone(dim).get_params().keys() == params.keys(), "a clone has the same parameters")
    _, error, _ = attempt(lambda: dim.fit(X, groups=groups))
    must(all(dim.get_params()[name] is value for name, value in params.items()), "fit sets nothing")
    if error is not None:
        must(vars(dim) == before, "a fit that fails leaves nothing")
        return
    check_fitted(dim, X)
    if repeats(dim):
        again = insist(lambda: clone(dim).fit(X, groups=groups), "a second fit")
        must(same(again.transform(X), dim.transform(X)), "a seed repeats a fit")
    check_kept(dim, X)


def check_layout(case: Case) -> None:
    """The layout in memory changes no feature."""
    X = make(case.X)
    plain = np.array(X, order="C")
    value, error, _ = attempt(lambda: transformer(case).fit(X))
    expected, also, _ = attempt(lambda: transformer(case).fit(plain))
    must(type(error) is type(also), "a layout changes no error")
    if error is None:
        must(same(value.transform(X), expected.transform(plain)), "a layout changes no feature")


@cache
def fitted_on_plain(modality: str, shape: tuple[int, ...]) -> DIMTransformer:
    case = Case(modality, Sketch((8, *shape)))
    return insist(lambda: transformer(case).fit(make(case.X)), "a plain fit")


def check_transform(case: Case) -> None:
    """Transform other samples than those of fit."""
    shape = PLAIN_SHAPES[case.modality]
    dim = fitted_on_plain(case.modality, shape)
    known = make(Sketch((8, *shape)))
    features, X = dim.transform(known), make(case.X)
    before = dict(vars(dim))
    value, error, _ = attempt(lambda: dim.transform(X))
    if error is None:
        must(value.dtype == np.float32 and value.ndim == 2, "features are float32")
        must(np.isfinite(value).all(), "features are finite")
        must(same(dim.transform(X), value), "transform repeats")
        scores, _, _ = attempt(lambda: dim.score_samples(X))
        must(scores is not None and np.isfinite(scores).all(), "scores are finite")
        attempt(lambda: dim.score(X))
    must(all(vars(dim)[name] is before[name] for name in before), "transform changes nothing")
    must(same(dim.transform(known), features), "transform does not change the encoder")


PLAIN_SHAPES = {
    "rows": (3,),
    "grey": (8, 9),
    "channels first": (3, 8, 9),
    "channels last": (8, 9, 3),
    "signal": (12,),
    "signals first": (2, 12),
    "signals last": (12, 2),
    "volumes": (8, 8, 9),
    "flat": (72,),
    "flat colours": (192,),
}


# By name: callable (transformer, sketch of its X, other X, groups). These train, the next do not.
TRAINING: dict[str, Callable] = {
    "fit": lambda dim, sketch, other, groups: dim.fit(other, groups=groups),
    "fit_transform": lambda dim, sketch, other, groups: dim.fit_transform(other),
    "partial_fit": lambda dim, sketch, other, groups: dim.partial_fit(other, groups=groups),
    "partial_fit of two": lambda dim, sketch, other, groups: dim.partial_fit(other[:2]),
    "partial_fit of nan": lambda dim, sketch, other, groups: dim.partial_fit(
        make(sketch._replace(values="one nan"))
    ),
    "partial_fit of large": lambda dim, sketch, other, groups: dim.partial_fit(1e6 * other),
}
USING: dict[str, Callable] = {
    "transform": lambda dim, sketch, other, groups: dim.transform(other),
    "score": lambda dim, sketch, other, groups: dim.score(other),
    "score_samples": lambda dim, sketch, other, groups: dim.score_samples(other),
    "trim": lambda dim, sketch, other, groups: dim.trim(),
    "to": lambda dim, sketch, other, groups: dim.to("cpu"),
}
CALLS = (*TRAINING, *USING, *KEEPING, "set_params")


def check_calls(case: Case) -> None:
    """Make several calls; each works or leaves the transformer as it was."""
    dim, known = transformer(case._replace(params={})), make(case.X)
    for i, call in enumerate(case.calls):
        dim = after(dim, call, case, known, i)
        if dim.__sklearn_is_fitted__():
            value, error, _ = attempt(partial(dim.transform, known))
            must(error is not None or np.isfinite(value).all(), f"features are finite after {call}")


def after(
    dim: DIMTransformer, call: str, case: Case, known: np.ndarray, number: int
) -> DIMTransformer:
    """Return the transformer after a call; check that it changed only what it may change."""
    if call == "set_params":
        return dim.set_params(**case.params)
    features, _, _ = attempt(lambda: dim.transform(known))
    before = dict(vars(dim))
    if call in KEEPING:
        value, error, _ = attempt(lambda: KEEPING[call](dim))
        found = dim if error is not None else value
    else:
        other, groups = make(case.X._replace(seed=number)), GROUPS[case.groups](len(known))
        _, error, _ = attempt(lambda: {**TRAINING, **USING}[call](dim, case.X, other, groups))
        found = dim
    if error is not None:
        must(vars(dim).keys() == before.keys(), f"{call} that fails leaves nothing")
        must(all(vars(dim)[k] is before[k] for k in before), f"{call} that fails sets nothing")
    if features is not None and (error is not None or call not in TRAINING):
        must(same(found.transform(known), features), f"{call} changes no feature")
    return found


# One channel of samples, as the user gives them; of those modalities that have several.
FIRST_CHANNEL: dict[str, tuple] = {
    "rows": np.s_[:, 0],
    "channels first": np.s_[:, 0],
    "channels last": np.s_[..., 0],
    "signals first": np.s_[:, 0],
    "signals last": np.s_[..., 0],
    "flat colours": np.s_[:, ::3],
}
# By name: callable (rng, shape) -> values of the first channel in fit, all but the same or missing.
CONSTANT: dict[str, Callable] = {
    "zero": lambda rng, shape: np.zeros(shape),
    "a tenth": lambda rng, shape: np.full(shape, 0.1),
    "a large number": lambda rng, shape: np.full(shape, -1e9),
    "rounded": lambda rng, shape: 0.1 + np.spacing(0.1) * rng.integers(-4, 5, shape),
}
# Likewise, values in later samples.
ANYTHING: dict[str, Callable] = {
    "zeros": lambda rng, shape: np.zeros(shape),
    "a thousand": lambda rng, shape: np.full(shape, 1000.0),
    "noise": lambda rng, shape: rng.normal(size=shape),
    "huge noise": lambda rng, shape: 1e30 * rng.normal(size=shape),
}
# Likewise, of tables that may have missing values.
CONSTANT_OR_MISSING = {**CONSTANT, "missing": lambda rng, shape: np.full(shape, np.nan)}
ANYTHING_OR_MISSING = {
    **ANYTHING,
    "a few missing": lambda rng, shape: np.where(rng.random(shape) < 0.1, np.nan, 1.0),
    "missing": lambda rng, shape: np.full(shape, np.nan),
}


def check_constant(case: Case) -> None:
    """A channel that carried nothing in fit carries nothing later, and a change is told once."""
    in_fit, afterwards = case.later
    dim = transformer(case)
    rng, channel = np.random.default_rng(case.X.seed), FIRST_CHANNEL[case.modality]
    X, later = make(case.X), make(case.X._replace(seed=case.X.seed + 1))
    X[channel] = CONSTANT_OR_MISSING[in_fit](rng, X[channel].shape)
    insist(lambda: dim.fit(X), "a fit with a constant channel")
    later[channel] = X[channel]
    expected, scores = dim.transform(later), dim.score_samples(later)
    changed = later.copy()
    changed[channel] = ANYTHING_OR_MISSING[afterwards](rng, changed[channel].shape)
    value, error, warned = attempt(lambda: dim.transform(changed))
    must(error is None and same(value, expected), "what carried nothing in fit carries nothing")
    must(same(dim.score_samples(changed), scores), "what carried nothing in fit has no score")
    differs = abs(changed[channel] - X[channel][0].flat[0]) > 1e-6 * abs(X[channel][0].flat[0])
    differs |= np.isnan(X[channel]) & ~np.isnan(changed[channel])
    is_told = warned.count("'fit' did not see") == 1
    n_changed = differs.reshape(len(X), -1).any(1).sum()
    must(is_told == (n_changed > 0.1 * len(X)), "a change of what was constant is told once")
    for call in KEEPING:
        kept, error, _ = attempt(lambda call=call: KEEPING[call](dim))
        must(error is None and same(kept.transform(changed), expected), f"{call} keeps constants")


# By name: callable (X) -> later samples, which are not like those of fit, or are.
OTHER_UNITS: dict[str, Callable] = {
    "a 255th": lambda X: X / 255,
    "255 times": lambda X: X * 255,
    "a tenth": lambda X: X / 10,
    "negative, ten times": lambda X: -10 * X,
    "shifted": lambda X: X + 20,
    "shifted down": lambda X: X - 1e6,
}
SAME_UNITS: dict[str, Callable] = {
    "reversed": lambda X: X[::-1],
    "the first half": lambda X: X[: len(X) // 2],
    "five percent more": lambda X: 1.05 * X,
    "slightly shifted": lambda X: X + 0.5,
    "in single precision": lambda X: X.astype(np.float32),
}


def check_units(case: Case) -> None:
    """Other units are told, the same are not."""
    (change,) = case.later
    X = make(case.X)
    dim = insist(lambda: transformer(case).fit(X), "a plain fit")
    later = {**OTHER_UNITS, **SAME_UNITS}[change](X)
    for call in (dim.transform, dim.score_samples):
        _, error, warned = attempt(lambda call=call: call(later))
        must(error is None, "other units can be transformed")
        n_told = warned.count("in other units than in 'fit'")
        must(n_told == (change in OTHER_UNITS), f"{change}: units are told if they are others")


def check_graph(case: Case) -> None:
    """An exported graph is valid, and gives the features of any number of samples."""
    import onnx
    import onnxruntime

    X = make(case.X).astype(np.float32)
    dim = insist(lambda: transformer(case).fit(X), "a fit")
    readout = dim.model_.readouts[dim.output]
    rounding = 1e-7 / readout.scale  # of units that hardly vary
    if readout.rotation is not None:
        rounding = np.sqrt(np.square(rounding) @ np.square(readout.rotation))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "graph.onnx")
        insist(lambda: dim.export_onnx(path), "export")
        graph = onnx.load(path)
        onnx.checker.check_model(graph, full_check=True)
        onnx.shape_inference.infer_shapes(graph, strict_mode=True, data_prop=True)
        session = onnxruntime.InferenceSession(path)
        for n in case.later:
            batch = X[np.arange(n) % len(X)]
            (features,) = session.run(None, {"X": batch})
            expected = dim.transform(batch) if n else np.empty((0, features.shape[1]), np.float32)
            must(features.shape == expected.shape, "a graph takes any number of samples")
            error = np.abs(features - expected)
            must((error <= 1e-4 + rounding).all(), "a graph gives the features of transform")


# By name: callable (classes 0, 1, 2 of samples) -> labels; those of class 0 have no label if the
# name says so.
LABELS: dict[str, Callable] = {
    **{
        f"{dtype}": lambda y, dtype=dtype: (y + 3).astype(dtype)
        for dtype in ("i1", "i8", "u1", "f2", "f4", "f8", ">i4")
    },
    "words": lambda y: np.array(["ant", "bee", "a cat"])[y],
    "objects": lambda y: np.array(["ant", "bee", "cat"], object)[y],
    "list": lambda y: y.tolist(),
    "list of words": lambda y: [f"c{i}" for i in y],
    "bools": lambda y: y > 0,
    "categories": lambda y: pd.Series(y).map({0: "x", 1: "y", 2: "z"}).astype("category"),
    "nullable": lambda y: pd.Series(y).astype("Int64"),
    "strings": lambda y: pd.Series(y).astype(str).astype("string"),
    "tensor": lambda y: torch.from_numpy(y),
    "without, i8": lambda y: y - 1,
    "without, f8": lambda y: (y - 1).astype(float),
    "without, f4": lambda y: (y - 1).astype(np.float32),
    "without, nullable": lambda y: pd.Series(y - 1).astype("Int64"),
    "without, objects": lambda y: (y - 1).astype(object),
    "without, list": lambda y: (y - 1).tolist(),
    "without, list of floats": lambda y: (y - 1.0).tolist(),
    "without, series": lambda y: pd.Series(y - 1, index=[f"r{i}" for i in range(len(y))]),
}


def check_labels(case: Case) -> None:
    """Labels of any type are classes of that type, also after a file; -1 is none of them."""
    (name,) = case.later
    X, classes = make(case.X), np.arange(case.X.shape[0]) % 3
    y = LABELS[name](classes)
    labels = np.asarray(y)[classes > 0] if "without" in name else np.asarray(y)
    tuned = DIMClassifier(transformer(case), max_epochs=1, random_state=0)
    insist(lambda: tuned.fit(X, y), "fit with labels")
    must(tuned.classes_.tolist() == sorted(set(labels.tolist())), "classes are the labels")
    predicted = insist(lambda: tuned.predict(X), "predict")
    must(np.isin(predicted, tuned.classes_).all(), "a prediction is one of the classes")
    must(predicted.dtype == tuned.classes_.dtype, "predictions have the type of the classes")
    with tempfile.TemporaryDirectory() as folder:
        insist(lambda: tuned.save(Path(folder) / "tuned"), "save")
        again = insist(lambda: DIMClassifier.load(Path(folder) / "tuned"), "load")
    for other in (again, pickle.loads(pickle.dumps(tuned))):
        # A pickle of an array has the order of bytes of the machine.
        is_same_type = np.can_cast(other.classes_.dtype, tuned.classes_.dtype, "equiv")
        must(is_same_type, "a file keeps the type of classes")
        must(np.array_equal(other.predict(X), predicted), "a file keeps predictions")
        must(same(other.predict_proba(X), tuned.predict_proba(X)), "a file keeps probabilities")


class Property(NamedTuple):
    """A law, and the cases that it is tried with."""

    law: Callable[[Case], None]
    cases: st.SearchStrategy[Case]
    share: float  # of a campaign's examples


def any_modality(build: Callable[[str], st.SearchStrategy[Case]]) -> st.SearchStrategy[Case]:
    return names(MODALITIES).flatmap(build)


def plain_samples(modality: str) -> st.SearchStrategy[Sketch]:
    return st.builds(
        lambda n, shape: Sketch((n, *shape)), st.integers(2, 9), MODALITIES[modality].shapes
    )


def merged(*parts: st.SearchStrategy[dict]) -> st.SearchStrategy[dict]:
    return st.tuples(*parts).map(lambda dicts: {k: v for d in dicts for k, v in d.items()})


def cases_of(
    X: Callable[[str], st.SearchStrategy[Sketch]],
    params: Callable[[str], st.SearchStrategy[dict]] = lambda modality: st.just({}),
    groups: tuple[str, ...] = ("none",),
    calls: st.SearchStrategy[tuple[str, ...]] | None = None,
) -> st.SearchStrategy[Case]:
    return any_modality(
        lambda m: st.tuples(
            *(
                st.just(m),
                X(m),
                params(m),
                st.sampled_from(groups),
                st.just(()) if calls is None else calls,
            )
        ).map(lambda traits: Case(*traits))
    )


def with_later(
    modalities: Iterable[str],
    later: st.SearchStrategy[tuple],
    params: Callable[[str], st.SearchStrategy[dict]] = lambda modality: st.just({}),
) -> st.SearchStrategy[Case]:
    """Cases of 20 plain samples of one of the modalities, and what comes after their fit."""
    return st.sampled_from(list(modalities)).flatmap(
        lambda m: st.builds(
            lambda number, params, later: Case(
                m, Sketch((20, *PLAIN_SHAPES[m]), seed=number), params, later=later
            ),
            st.integers(0, 3),
            params(m),
            later,
        )
    )


outputs = st.fixed_dictionaries({}, optional={"output": names(OUTPUTS)})
sizes = st.lists(st.integers(0, 40), min_size=2, max_size=4).map(tuple)


def good(modality: str) -> st.SearchStrategy[dict]:
    is_image = MODALITIES[modality].encoder_params is SMALL_CONV
    more = sided_parameters if is_image else st.just({})
    return merged(good_parameters, more, st.one_of(st.just({}), early_stopping))


def of_modality(values: dict = VALUES) -> Callable[[str], st.SearchStrategy[Sketch]]:
    return lambda modality: sketches(MODALITIES[modality].shapes, values)


def for_transform(modality: str) -> st.SearchStrategy[Sketch]:
    known = sketches(st.just(PLAIN_SHAPES[modality]))
    return st.one_of(known, known, of_modality()(modality), strange_sketches)


def in_any_layout(modality: str) -> st.SearchStrategy[Sketch]:
    traits = st.tuples(st.sampled_from(DTYPES), names(LAYOUTS), names(VALUES))
    return st.tuples(plain_samples(modality), traits).map(
        lambda drawn: drawn[0]._replace(dtype=drawn[1][0], layout=drawn[1][1], values=drawn[1][2])
    )


PROPERTIES = {
    "fit, any X": Property(check_fit, cases_of(of_modality()), 0.12),
    "fit, extreme X": Property(check_fit, cases_of(of_modality(EXTREMES)), 0.08),
    "fit, strange X": Property(check_fit, cases_of(lambda modality: strange_sketches), 0.06),
    "fit, odd parameters": Property(
        check_fit, cases_of(plain_samples, lambda m: odd_parameters), 0.18
    ),
    "fit, good parameters": Property(check_fit, cases_of(plain_samples, good, tuple(GROUPS)), 0.1),
    "fit, any X and parameters": Property(
        check_fit,
        cases_of(of_modality(), lambda m: st.one_of(good(m), odd_parameters), tuple(GROUPS)),
        0.1,
    ),
    "layouts": Property(check_layout, cases_of(in_any_layout), 0.05),
    "transform, any X": Property(check_transform, cases_of(for_transform), 0.08),
    "transform, extreme X": Property(
        check_transform,
        cases_of(lambda m: sketches(st.just(PLAIN_SHAPES[m]), EXTREMES)),
        0.05,
    ),
    "calls in any order": Property(
        check_calls,
        cases_of(
            plain_samples,
            good,
            ("none", "pairs", "one", "too many"),
            st.lists(st.sampled_from(CALLS), min_size=2, max_size=5).map(tuple),
        ),
        0.05,
    ),
    "constant in fit": Property(
        check_constant,
        with_later(
            FIRST_CHANNEL, st.tuples(names(CONSTANT), names(ANYTHING)), lambda modality: outputs
        ),
        0.05,
    ),
    "constant in fit, values missing": Property(
        check_constant,
        with_later(
            ["rows"],
            st.tuples(names(CONSTANT_OR_MISSING), names(ANYTHING_OR_MISSING)),
            lambda modality: outputs.map(lambda params: {**params, "allow_nan": True}),
        ),
        0.02,
    ),
    "other units": Property(
        check_units,
        with_later(MODALITIES, st.tuples(names({**OTHER_UNITS, **SAME_UNITS}))),
        0.02,
    ),
    "exported graphs": Property(
        check_graph, with_later(MODALITIES, sizes, lambda modality: outputs), 0.02
    ),
    "labels": Property(check_labels, with_later(MODALITIES, st.tuples(names(LABELS))), 0.02),
}


def examine(law: Callable[[Case], None], case: Case) -> None:
    """Try a law with a case, within limits of time and memory."""
    with within(seconds=60, gibibytes=4):
        try:
            law(case)
        except Fault:
            raise
        except Exception as error:
            raise Fault(f"crashes: {type(error).__name__}: {str(error)[:300]}") from error


def survey(name: str, n_examples: int, first: int = 0, verbose: bool = True) -> dict[str, list]:
    """Try a property with many cases; return the smallest case of each fault, and their number."""
    law, cases, _ = PROPERTIES[name]
    found: dict[str, list] = {}
    start, n_done = time.perf_counter(), 0

    @seed(first)
    @settings(
        max_examples=n_examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def run(case):
        nonlocal n_done
        n_done += 1
        try:
            examine(law, case)
        except Fault as fault:
            kind = re.sub(r"\d+", "#", str(fault))
            text = repr(case)
            known = found.setdefault(kind, [text, 0])
            known[1] += 1
            known[0] = min(known[0], text, key=len)
            if known[1] == 1 and verbose:
                print(f"  FAULT in {name!r}: {fault}\n    {text}", flush=True)
        if verbose and not n_done % 200:
            seconds = time.perf_counter() - start
            print(f"  {name}: {n_done} of {n_examples}, {seconds:.0f} s", flush=True)

    run()
    return found


def main():
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=PROPERTIES, action="append")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, any_fault = [], False
    for name in arguments.only or PROPERTIES:
        start = time.perf_counter()
        n_examples = max(1, round(arguments.examples * PROPERTIES[name].share))
        found = survey(name, n_examples, arguments.seed)
        rows.append((name, n_examples, len(found), time.perf_counter() - start))
        any_fault |= bool(found)
        for fault, (case, n) in found.items():
            print(f"{n} x {fault}\n    {case}")
    print(f"\n{'property':<28}{'examples':>10}{'faults':>8}{'seconds':>9}")
    for name, n_examples, n_faults, seconds in rows:
        print(f"{name:<28}{n_examples:>10}{n_faults:>8}{seconds:>9.0f}")
    sys.exit(int(any_fault))


if __name__ == "__main__":
    main()
