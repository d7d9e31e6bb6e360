"""The schema of a file: what a transformer and a classifier can hold, in one place.

Rules give types, ranges and shapes. Lengths come from the weights: the networks are built without
memory for numbers, and say how long their outputs are.
"""

from collections.abc import Mapping
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np
import torch

from skdim._files.schema import (
    LARGEST,
    Rule,
    anything,
    array,
    boolean,
    dict_of,
    duration,
    either,
    fixed_list,
    integer,
    list_of,
    nothing,
    number,
    optional,
    record,
    text,
)
from skdim._model.averaging import N_COMPARED, N_REMEMBERED
from skdim._model.closeness import N_PROJECTED, N_REFERENCE
from skdim._model.components import N_DAMPED
from skdim._model.config import ModelConfig, check_weights, encode_zeros, is_small, resolve
from skdim._model.fitted import FittedModel
from skdim._model.inference import TRIED_LAYER, Computation
from skdim._model.readout import OUTPUTS, units_of
from skdim._runtime.devices import PRECISIONS
from skdim._runtime.seeding import make_generator
from skdim.encoders import Encoding
from skdim.encoders.contract import copy_to_meta
from skdim.sources.layout import Layout

# A file that asks for more is an attack on memory.
LARGEST_SIZES = {"n_views": 100, "n_crops": 1000, "critic_width": 2**14}

sides = list_of(integer(1), tuple, least=1)

# ------------------------------------------------------------ what does not depend on the weights

LAYOUT = record(
    {
        "x_shape": sides,
        "unflat_shape": sides,
        "channel_axis": optional(integer(1)),
        "allow_nan": boolean,
        "oscillate": boolean,
    }
)

WEIGHTS = dict_of(array("biuf", any_shape=True))

EPOCH = dict_of(anything, required={"epoch": integer(1), "loss": number})

# What an optimiser remembers, by the number of a weight; some of it has the shape of the weight.
MOMENTA = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")
OPTIMIZER = record(
    {
        "state": dict_of(dict_of(anything), key=int),
        "param_groups": list_of(dict_of(anything, required={"params": list_of(integer())})),
    }
)
# States of generators have the names of devices.
TRAINING_STATE = dict_of(
    array("u1", None),
    required={
        "optimizers": record({"optimizer": OPTIMIZER}, {"discriminator_optimizer": OPTIMIZER})
    },
)

PARTS = dict_of(
    anything,
    required={
        "layout": LAYOUT,
        "given": dict_of(anything),
        "weights": record({"encoder": WEIGHTS}, {"objective": WEIGHTS}),
        "mean": array("f8", None),
    },
)


def sklearn_state(n_features: int) -> dict[str, Rule]:
    """What scikit-learn stores on a fitted transformer."""
    return {
        "n_features_in_": integer(n_features, n_features),
        "feature_names_in_": array("O", n_features),
        "_sklearn_output_config": record({}, {"transform": text("default", "pandas", "polars")}),
    }


# ------------------------------------------------------------ what depends on the weights


def model_state(
    config: ModelConfig, encoding: Encoding | None, *, is_trimmed: bool, is_averaged: bool
) -> Rule:
    """The state of a `FittedModel`; ``encoding`` has the shapes, None if they are not known."""
    n_channels = config.sample_shape[0]
    n_hidden = None if encoding is None else units_of("hidden", encoding).shape[1]
    return record(
        {
            "version": text(),
            "layout": LAYOUT,
            "given": anything,
            "device": text(),
            "precision": text(*PRECISIONS),
            "mean": array("f8", n_channels),
            "scale": array("f8", n_channels, positive=True),  # inf if constant, NaN if empty
            "is_complete": optional(array("b", n_channels)),
            "weights": anything,
            "readouts": record(
                {
                    output: _readout(output, config.n_components, encoding, is_averaged)
                    for output in OUTPUTS
                }
            ),
            "neighbors": _neighbors(n_hidden) if is_averaged else nothing,
            "reference": _reference(n_hidden, is_trimmed),
            "history": fixed_list() if is_trimmed else list_of(EPOCH),
            "n_iter": integer(),
            "best_epoch": optional(integer()),
            "training_state": record({}) if is_trimmed else either(record({}), TRAINING_STATE),
        }
    )


def _readout(
    output: str, n_components: int | None, encoding: Encoding | None, is_averaged: bool
) -> Rule:
    layer = OUTPUTS[output]
    n_units = None if encoding is None else units_of(layer, encoding).shape[1]
    is_rotated = output == "components" and n_components is not None
    damped: Rule = nothing  # the directions of components are part of their rotation
    if layer == "hidden" and not is_rotated:
        damped = optional(array("f4", n_units, range(1, N_DAMPED + 1), finite=True))
    n_features = n_components if n_units is None else min(n_components or n_units, n_units)
    shift: Rule = nothing
    if layer == "hidden" and is_averaged:
        n_compared = _shortened(n_units, N_COMPARED)
        shift = array("f4", n_compared, n_features if is_rotated else n_units, finite=True)
    return record(
        {
            "layer": text(layer),
            "mean": array("f4", n_units, finite=True),
            "scale": array("f4", n_units, positive=True),
            "damped": damped,
            "rotation": array("f4", n_units, n_features, finite=True) if is_rotated else nothing,
            "shift": shift,
        }
    )


def _neighbors(n_hidden: int | None) -> Rule:
    """Samples that others are averaged with."""
    n_compared = _shortened(n_hidden, N_COMPARED)
    return record(
        {
            "directions": array("f4", n_hidden, n_compared, finite=True),
            "samples": array("f4", range(2, N_REMEMBERED + 1), n_compared, finite=True),
        }
    )


def _reference(n_hidden: int | None, is_trimmed: bool) -> Rule:
    """Hidden layers of some samples, shortened; of none if the model was trimmed."""
    n_samples = range(1) if is_trimmed else range(2, N_REFERENCE + 1)
    return array("f4", n_samples, _shortened(n_hidden, N_PROJECTED), finite=True)


def _shortened(n_hidden: int | None, n_most: int) -> int | range:
    """Length of a hidden layer that is not longer than ``n_most``."""
    return range(1, n_most + 1) if n_hidden is None else min(n_hidden, n_most)


LABELS = "biufUMmO"


def classifier(n_hidden: int, n_classes: int) -> Rule:
    """What `DIMClassifier` learns in addition to its transformer."""
    return record(
        {
            "coef": array("f4", n_classes, n_hidden, finite=True),
            "intercept": array("f4", n_classes, finite=True),
            "classes": array(LABELS, n_classes),
            "history": list_of(EPOCH),
        }
    )


def detector() -> Rule:
    """What `DIMOutlierDetector` learns in addition to its transformer."""
    return record({"offset": number})


# ------------------------------------------------------------ the checks


def check_state(state: Mapping[str, Any]) -> None:
    """Check that a state from a file fits together, before memory is allocated.

    Raises
    ------
    ValueError, TypeError
        If something is missing, or has a wrong type or shape.
    """
    PARTS(state, "model")
    layout = check_layout(state["layout"])
    # There are as many channels as numbers in the file, before anything is built for them.
    array("f8", layout.sample_shape[0])(state["mean"], "mean")
    config = resolve(state["given"], layout)
    weights = state["weights"]
    encoding, parameters = check_weights(config, weights)
    is_trimmed = "objective" not in weights
    is_averaged = state.get("neighbors") is not None
    rule = model_state(config, encoding, is_trimmed=is_trimmed, is_averaged=is_averaged)
    rule(state, "model")
    if not is_trimmed and len(state["history"]) != state["n_iter"]:
        raise ValueError("'n_iter' must be the number of epochs of the 'history'")
    training_state = state["training_state"]
    if "cpu generator" in training_state:
        generator = torch.from_numpy(training_state["cpu generator"].copy())
        make_generator(0, torch.device("cpu"), generator)
    if encoding is not None:
        for name, optimizer in training_state.get("optimizers", {}).items():
            _check_momenta(optimizer, parameters.get(name, []))


def _check_momenta(optimizer: dict[str, Any], shapes: list[tuple[int, ...]]) -> None:
    """Raise ValueError if what an optimiser remembers of weights does not fit the weights."""
    numbered = [index for group in optimizer["param_groups"] for index in group["params"]]
    if numbered != list(range(len(shapes))) or not set(optimizer["state"]) <= set(numbered):
        raise ValueError("the groups of the optimiser must hold every weight once")
    filters_last = sorted(shapes, key=lambda shape: len(shape) > 3)  # the order of Muon
    for index, state in optimizer["state"].items():
        for name, value in state.items():
            if name in MOMENTA:
                rules = (array("f", *shape) for shape in (shapes[index], filters_last[index]))
                optional(either(*rules))(value, f"{name} of weight {index}")
            elif name == "step":
                either(array("f", finite=True), duration)(value, f"step of weight {index}")


def check_layout(state: Mapping[str, Any]) -> Layout:
    """Build the layout that a file describes; raise ValueError if it is not one of samples."""
    layout = Layout(**state)
    is_same = layout.x_shape == layout.unflat_shape
    if not (is_same or (layout.is_flat and prod(layout.x_shape) == prod(layout.unflat_shape))):
        raise ValueError("the shapes of the 'layout' do not fit together")
    if layout.channel_axis is not None and layout.channel_axis > len(layout.unflat_shape):
        raise ValueError("the 'layout' names an axis of channels that there is not")
    return layout


def check_sizes(params: Mapping[str, Any]) -> None:
    """Raise ValueError if parameters in a file ask for more than any model has."""
    for name, largest in LARGEST_SIZES.items():
        if params[name] > largest:
            raise ValueError(f"{name!r} must be at most {largest} in a file. Got {params[name]}.")


def check_usable(model: FittedModel) -> None:
    """Try a model on two samples of zeros, unless its layers are large.

    Raises
    ------
    ValueError, TypeError, RuntimeError, IndexError
        If its parts do not fit together, or its features are not finite.
    """
    if not is_small(model.config, model.encoder):
        meta, layer_size = torch.device("meta"), prod(model.sample_shape)
        with suppress(Exception):  # a user's layer may need real numbers, and raise anything
            encoder = copy_to_meta(model.encoder)
            layer_size = Computation(encoder, model.sample_shape, meta).layer_size
        if 2 * layer_size > TRIED_LAYER:
            return
    encoding = encode_zeros(model.encoder, model.sample_shape, model.device)
    for output, readout in model.readouts.items():
        if readout.features_of_batch(2, encoding).shape != (2, readout.n_features):
            raise ValueError(f"the readout of {output!r} does not fit the encoder")


def check_classifier(state: Any, n_hidden: int) -> None:
    """Check what a file says of a classifier on a hidden layer; raise ValueError if it is unfit."""
    dict_of(anything, required={"classes": array(LABELS, range(2, LARGEST))})(state, "classifier")
    classes = state["classes"]
    classifier(n_hidden, len(classes))(state, "classifier")
    if not np.array_equal(np.unique(classes), classes):
        raise ValueError("'classifier/classes' must be different and in order")


def check_detector(state: Any) -> None:
    """Check what a file says of an outlier detector; raise ValueError if it is unfit."""
    detector()(state, "detector")
    if not -np.inf < state["offset"] <= 0:
        raise ValueError("'detector/offset' must be finite and at most 0, as scores are")
