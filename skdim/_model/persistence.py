"""A transformer as a file that cannot run code: what is in it, and the checks of who reads it."""

import os
from collections.abc import Collection, Mapping
from typing import Any

from sklearn.utils._param_validation import validate_parameter_constraints

from skdim._files.safe import read, write
from skdim._model.config import MODEL_PARAMETERS
from skdim._model.fitted import FittedModel, check_state, check_usable
from skdim._model.onnx_graph import shape_of_x
from skdim.exceptions import FileError

# What scikit-learn itself keeps on a fitted transformer; the last two are not always there.
SKLEARN_STATE = ("n_features_in_", "feature_names_in_", "_sklearn_output_config")
# Parameters that a file does not hold: it must not say where another machine's fit writes.
OF_THIS_MACHINE = ("checkpoint", "distributed")

IN_FIT = " in fit"  # after the name of a parameter, in a file: its value in fit


def select_sklearn_state(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return those attributes that scikit-learn keeps on a fitted transformer."""
    return {name: value for name, value in attributes.items() if name in SKLEARN_STATE}


def write_transformer(
    path: str | os.PathLike,
    params: Mapping[str, Any],
    attributes: Mapping[str, Any],
    model: FittedModel,
    beside: Mapping[str, Any] | None = None,
) -> None:
    """Write a fitted transformer.

    Parameters
    ----------
    path : path
    params : mapping
        Of the constructor.
    attributes : mapping
        Those of `SKLEARN_STATE` are written.
    model : FittedModel
    beside : mapping or None
        What else the file is to hold.
    """
    plain = model.state()
    in_fit = {name + IN_FIT: value for name, value in plain.pop("given").items()}
    kept = {name: value for name, value in params.items() if name not in OF_THIS_MACHINE}
    kept["device"] = str(kept["device"])  # a torch.device means what its name means
    further = {**select_sklearn_state(attributes), **in_fit, **(beside or {})}
    write(path, {**kept, **further, "model": plain})


def read_transformer(
    path: str | os.PathLike,
    custom_objects: Mapping[str, Any],
    params: Mapping[str, Any],
    constraints: Mapping[str, Any],
    beside: Collection[str] = (),
) -> dict[str, Any]:
    """Read a fitted transformer, and check that everything fits together.

    Parameters
    ----------
    path : path
    custom_objects : mapping of str to object
        Parameters that a file cannot hold.
    params : mapping
        Of the constructor, with their defaults.
    constraints : mapping
        Legal values of parameters, as scikit-learn writes them.
    beside : collection of str
        Names of what else the file holds, which is returned unchecked.

    Returns
    -------
    state : dict
        Parameters, what scikit-learn keeps, and ``model_``, the `FittedModel.state`.

    Raises
    ------
    FileError
        If it is no such file, or damaged, or a custom object is missing; the message says which.
    """
    in_fit = {name + IN_FIT: custom for name, custom in custom_objects.items()}
    state = read(path, {**in_fit, **custom_objects})
    names = set(params) - set(OF_THIS_MACHINE)
    required = {*names, *(name + IN_FIT for name in MODEL_PARAMETERS), "model", *SKLEARN_STATE}
    required |= set(beside)
    for name in sorted((set(state) | set(SKLEARN_STATE[1:])) ^ required):
        raise FileError(f"{path} is no file of skdim: it holds no {name!r}, or should not.")
    if state["encoder" + IN_FIT] is custom_objects.get("encoder", state):
        _take_encoder_params(path, state, custom_objects)
    try:
        given = {name: state.pop(name + IN_FIT) for name in MODEL_PARAMETERS}
        for values in ({name: state[name] for name in sorted(names)}, given):
            validate_parameter_constraints(constraints, values, "DIMTransformer")
        if not isinstance(state["n_features_in_"], int):
            raise ValueError("'n_features_in_' is no number")
        model = {**state.pop("model"), "given": given}
        check_state(model)
    except Exception as error:  # whatever a crafted file may provoke
        raise does_not_fit(path, error) from None
    return {**state, "model_": model}


def _take_encoder_params(
    path: str | os.PathLike, state: dict[str, Any], custom_objects: Mapping[str, Any]
) -> None:
    """Give a custom encoder the arguments of the caller, never those that a file chooses."""
    wanted, passed = state["encoder_params" + IN_FIT], custom_objects.get("encoder_params")
    if (wanted or {}) != (passed or {}):
        raise FileError(
            f"{path} was saved with encoder_params={wanted!r} of a custom encoder. A file does not "
            "choose the arguments of your code: pass them, load(path, encoder=..., "
            "encoder_params=...), if you trust them."
        )
    state["encoder_params"] = state["encoder_params" + IN_FIT] = passed


def read_into(
    transformer: Any,
    path: str | os.PathLike,
    constraints: Mapping[str, Any],
    custom_objects: Mapping[str, Any],
    beside: Collection[str] = (),
) -> dict[str, Any]:
    """Make a new transformer the one that a file holds, and try what it is for.

    Parameters
    ----------
    transformer : DIMTransformer
        With the default parameters.
    path, constraints, custom_objects, beside
        As in `read_transformer`.

    Returns
    -------
    found : dict of str to value
        What stands beside the transformer, unchecked.

    Raises
    ------
    FileError
        As in `read_transformer`.
    """
    params = transformer.get_params(deep=False)
    state = read_transformer(path, custom_objects, params, constraints, beside)
    found = {name: state.pop(name) for name in beside}
    try:
        transformer.__setstate__(state)
        check_usable(transformer.model_)
        shape_of_x(transformer)
    except Exception as error:  # whatever a crafted file may provoke
        raise does_not_fit(path, error) from None
    return found


def does_not_fit(path: str | os.PathLike, error: Exception) -> FileError:
    """Return the error of a file whose parts do not fit together."""
    return FileError(f"{path} does not fit together: {error}")
