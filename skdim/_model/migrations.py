"""What files and pickles of earlier versions mean: parameters that they lack, states that changed.

A state is what a pickle holds: parameters, what scikit-learn stores and, after ``fit``, ``model_``,
the `FittedModel.state`; or the parameters and attributes of an estimator that has a transformer.
Files are converted to it first. A state from a file is not checked yet when it is migrated: a
migration must not allocate memory by a number that it reads.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from skdim import _version
from skdim._model.closeness import N_PROJECTED
from skdim._model.config import MODEL_PARAMETERS
from skdim.exceptions import FileError
from skdim.modalities import modality_of
from skdim.sources.layout import Layout

State = dict[str, Any]

# In a pickle: the format of its state, and the version that wrote it.
WRITTEN_BY = "_written_by"

# The value that each parameter has in a file or a pickle without it: it means "as it was before the
# parameter was there". The value never changes again, even if the default of the constructor does.
BEFORE: dict[str, State] = {
    "transformer": {
        "n_components": 64,
        "encoder": "auto",
        "encoder_params": None,
        "output": "components",
        "flip_averaging": False,
        "neighbor_averaging": False,
        "sample_shape": None,
        "channel_axis": "auto",
        "column_groups": None,
        "allow_nan": False,
        "global_weight": 0.0,
        "local_weight": 1.0,
        "prior_weight": 0.0,
        "mi_estimator": "infonce",
        "critic": "separable",
        "critic_width": 128,
        "n_locations": None,
        "prior": "uniform",
        "coordinate_weight": 0.0,
        "coordinates": "both",
        "augment": "auto",
        "n_views": 2,
        "n_crops": 0,
        "occlusion": False,
        "max_epochs": "auto",
        "max_time": None,
        "batch_size": 128,
        "optimizer": "muon",
        "optimizer_params": None,
        "learning_rate": 2e-3,
        "gradient_clip_norm": 10.0,
        "lr_schedule": "warmup_cosine",
        "weight_averaging": 0.0,
        "warm_start": False,
        "early_stopping": False,
        "validation_fraction": 0.1,
        "n_iter_no_change": 10,
        "tol": 1e-4,
        "checkpoint": None,
        "distributed": False,
        "callbacks": None,
        "device": "auto",
        "data_on_device": "auto",
        "precision": "auto",
        "compile": False,
        "transform_batch_size": None,
        "random_state": None,
        "verbose": 0,
    },
    "classifier": {
        "transformer": None,
        "max_epochs": "auto",
        "batch_size": 64,
        "augment": None,
        "learning_rate": 3e-4,
        "weight_decay": 0.01,
        "class_weight": None,
        "C": 0.01,
        "random_state": None,
    },
    "detector": {
        "transformer": None,
        "contamination": "auto",
        "random_state": None,
    },
}


# ------------------------------------------------------------ migrations


def trim_development_model(state: State) -> State:
    """Format 2: the model has ``is_complete`` and ``reference``, its layout has ``oscillate``.

    Development versions of 0.2.0 had none of them at first. Missing cells were not noticed, and no
    signal was treated as one that is long and oscillates. They had
    local vectors of negatives instead of the reference of `DIMTransformer.score_samples`, from
    which the reference cannot be computed: such a model is read as trimmed.
    """
    model = state.get("model_")
    if model is None:
        return state
    if "layout" not in model:
        raise ValueError(
            "a development version of skdim 0.2.0 wrote this model without the layout of its "
            "samples: fit it again with this version, or read it with that one"
        )
    layout = {"oscillate": False, **model["layout"]}
    model = {"is_complete": None, **model, "layout": layout}
    if model.pop("negatives", None) is not None:
        n_hidden = len(model["readouts"]["hidden"]["mean"])
        model |= {
            "weights": {"encoder": model["weights"]["encoder"]},
            "reference": np.empty((0, min(n_hidden, N_PROJECTED)), np.float32),
            "history": [],
            "training_state": {},
        }
    return {**state, "model_": model}


def leave_views_undamped(state: State) -> State:
    """Format 3: readouts have ``damped``, directions along which the hidden layer is shortened.

    Before, it was shortened along none.
    """
    model = state.get("model_")
    if model is None:
        return state
    readouts = {name: {"damped": None, **parts} for name, parts in model["readouts"].items()}
    return {**state, "model_": {**model, "readouts": readouts}}


def with_encoder_arguments(state: State, encoders: Collection[str], **values: Any) -> State:
    """Set arguments of some of skdim's encoders in a state of the time before them, for migrations.

    ``values`` are what means "as it was". ``encoders`` are names in `skdim.encoders.ENCODERS`;
    "auto" is among them if the encoder of the modality of the samples is.
    """
    model = state.get("model_")
    if model is None:
        return state
    default = modality_of(Layout(**model["layout"]).sample_shape).encoder
    names = {*encoders, "auto"} if default in encoders else {*encoders}

    def completed(params: State) -> State:
        if params.get("encoder", "auto") not in names:
            return params
        return {**params, "encoder_params": {**values, **(params.get("encoder_params") or {})}}

    return {**completed(state), "model_": {**model, "given": completed(model["given"])}}


def leave_patches_as_they_are(state: State) -> State:
    """Format 4: features of images are slow features of the responses to fixed patches.

    Before, they were the responses in each quarter.
    """
    return with_encoder_arguments(state, ("conv", "resnet"), n_slow=0)


def average_with_no_neighbors(state: State) -> State:
    """Format 5: outputs of the hidden layer may be averaged over similar samples of ``fit``.

    Before, none was.
    """
    model = state.get("model_")
    if model is None:
        return state
    readouts = {name: {**parts, "shift": None} for name, parts in model["readouts"].items()}
    return {**state, "model_": {**model, "readouts": readouts, "neighbors": None}}


def leave_out_the_map(state: State) -> State:
    """Format 6: features of images and volumes include the last map, and fewer hidden units.

    Before, they were 2,048 hidden units.
    """
    return with_encoder_arguments(state, ("conv", "resnet"), n_hidden=2048, reads_map=False)


Migration = Callable[[State], State]

# By the format that a migration leads to, from the format before it; a kind that did not change has
# none.
MIGRATIONS: dict[str, dict[int, Migration]] = {
    "transformer": {
        2: trim_development_model,
        3: leave_views_undamped,
        4: leave_patches_as_they_are,
        5: average_with_no_neighbors,
        6: leave_out_the_map,
    },
    "classifier": {},
    "detector": {},
}


def migrate(kind: str, state: State, written_in: int) -> State:
    """Convert a state of an earlier format to the present one, a format at a time."""
    for number in range(written_in + 1, _version.FORMAT + 1):
        state = MIGRATIONS[kind].get(number, lambda unchanged: unchanged)(state)
    return state


def upgrade(kind: str, state: State, written_in: int) -> State:
    """Convert a state of a format to one of this version, which it may be already.

    Parameters that it lacks, also those of the fitted model, get their values in `BEFORE`.
    """
    state = {**BEFORE[kind], **migrate(kind, state, written_in)}
    if "model_" in state:
        before = {name: BEFORE[kind][name] for name in MODEL_PARAMETERS}
        state["model_"] = {**state["model_"], "given": {**before, **state["model_"]["given"]}}
    return state


def check_not_later(source: str, version: str, unknown: Collection[str]) -> None:
    """Raise FileError if a later version wrote what has unknown parameters; the message lists them.

    ``source`` is what the error calls it.
    """
    if unknown and _version.is_later(version):
        raise FileError(
            f"{source} was written by skdim {version}, which knows "
            f"{', '.join(map(repr, sorted(unknown)))}; skdim {_version.__version__} does not. Read "
            f"it with skdim {version} or later."
        )


# ------------------------------------------------------------ pickles


def stamp(state: Mapping[str, Any]) -> State:
    """Return a state with what `upgrade_pickle` needs to know of it."""
    return {**state, WRITTEN_BY: {"format": _version.FORMAT, "version": _version.__version__}}


def upgrade_pickle(kind: str, state: Mapping[str, Any], known: Collection[str]) -> State:
    """Convert the state of a pickle of any version; ``known`` are the parameters of its class.

    Raises
    ------
    FileError
        If it has a later format, or is of a later version and has unknown parameters.
    """
    state = dict(state)
    # Development versions of 0.2.0 stated nothing.
    written_by = state.pop(WRITTEN_BY, {"format": 1, "version": "0.2.0"})
    source, version = f"This pickle of a {kind}", written_by["version"]
    if written_by["format"] > _version.FORMAT:
        raise FileError(
            f"{source} has format {written_by['format']} of skdim {version}; skdim "
            f"{_version.__version__} reads formats up to {_version.FORMAT}. Read it with skdim "
            f"{version} or later."
        )
    state = upgrade(kind, state, written_by["format"])
    unknown = {*state, *state.get("model_", {}).get("given", {})} - {*known, *BEFORE[kind]}
    # Attributes, which a user may have added, begin or end with an underscore.
    is_parameter = {name for name in unknown if not name.startswith("_") and not name.endswith("_")}
    check_not_later(source, version, is_parameter)
    return state
