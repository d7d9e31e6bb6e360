"""A transformer as a file that cannot run code: what is in it, and the checks of who reads it."""

import os
from collections.abc import Collection, Mapping
from typing import Any

from sklearn.utils._param_validation import validate_parameter_constraints

from skdim._files.safe import errors_of_file, read, write
from skdim._files.schema import anything, dict_of
from skdim._model.config import MODEL_PARAMETERS
from skdim._model.fitted import FittedModel
from skdim._model.schema import check_sizes, check_state, sklearn_state
from skdim.exceptions import FileError

# What scikit-learn itself stores on a fitted transformer; the last two are not always there.
SKLEARN_STATE = ("n_features_in_", "feature_names_in_", "_sklearn_output_config")
# Parameters that a file does not hold: it must not say where another machine's fit writes.
OF_THIS_MACHINE = ("checkpoint", "distributed")

IN_FIT = " in fit"  # after the name of a parameter, in a file: its value in fit


def select_sklearn_state(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Select the attributes that scikit-learn stores on a fitted transformer."""
    return {name: value for name, value in attributes.items() if name in SKLEARN_STATE}


def write_transformer(
    path: str | os.PathLike,
    params: Mapping[str, Any],
    attributes: Mapping[str, Any],
    model: FittedModel,
    further: Mapping[str, Any] | None = None,
) -> None:
    """Write a fitted transformer: its parameters, its model and those attributes in
    `SKLEARN_STATE`.

    ``further`` is what else the file is to hold.
    """
    plain = model.state()
    in_fit = {name + IN_FIT: value for name, value in plain.pop("given").items()}
    portable = {name: value for name, value in params.items() if name not in OF_THIS_MACHINE}
    portable["device"] = str(portable["device"])  # a torch.device means what its name means
    sklearn_state = select_sklearn_state(attributes)
    state = {**portable, **sklearn_state, **in_fit, **(further or {}), "model": plain}
    write(path, state, always=("model", *sklearn_state))


def read_transformer(
    path: str | os.PathLike,
    custom_objects: Mapping[str, Any],
    params: Mapping[str, Any],
    constraints: Mapping[str, Any],
    further: Collection[str] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a fitted transformer, and check that everything fits together.

    Parameters
    ----------
    path : path
    custom_objects : mapping of str to object
        Parameters that a file cannot hold.
    params : mapping
        Parameters of the constructor, with their defaults.
    constraints : mapping
        Legal values of parameters, as scikit-learn writes them.
    further : collection of str
        Names of what else the file must hold.

    Returns
    -------
    state : dict
        Parameters, what scikit-learn stores, and ``model_``, the `FittedModel.state`.
    rest : dict of name in ``further`` to value
        Unchecked.
    """
    in_fit = {name + IN_FIT: custom for name, custom in custom_objects.items()}
    state = read(path, {**in_fit, **custom_objects}, {"encoder_params": "encoder"})
    names = set(params) - set(OF_THIS_MACHINE)
    always = {*(name + IN_FIT for name in MODEL_PARAMETERS), "model", SKLEARN_STATE[0]}
    required = {*names, *always, *further}
    for name in sorted(required - set(state)):
        raise FileError(f"{path} is not a file of skdim: it lacks {name!r}.")
    for name in sorted(set(state) - required - set(SKLEARN_STATE)):
        raise FileError(f"{path} is not a file of skdim: it holds {name!r}, which is unknown.")
    with errors_of_file(path):
        _take_encoder_params(path, state, custom_objects)
        in_fit = {name: state.pop(name + IN_FIT) for name in MODEL_PARAMETERS}
        for values in ({name: state[name] for name in sorted(names)}, in_fit):
            validate_parameter_constraints(constraints, values, "DIMTransformer")
            check_sizes(values)
        model = {**_as_dict(state.pop("model")), "given": in_fit}
        check_state(model)
        for name, rule in sklearn_state(model["layout"]["x_shape"][0]).items():
            if name in state:
                rule(state[name], name)
    rest = {name: state.pop(name) for name in further}
    return {**state, "model_": model}, rest


def _as_dict(value: Any) -> dict[str, Any]:
    dict_of(anything)(value, "model")
    return value


def _take_encoder_params(
    path: str | os.PathLike, state: dict[str, Any], custom_objects: Mapping[str, Any]
) -> None:
    """Give a custom encoder the arguments of the caller, never those that a file chooses."""
    encoder = custom_objects.get("encoder", state)  # no value of a state is the state
    custom = [suffix for suffix in (IN_FIT, "") if state["encoder" + suffix] is encoder]
    if not custom:
        return
    wanted, passed = state["encoder_params" + custom[0]], custom_objects.get("encoder_params")
    if (wanted or {}) != (passed or {}):
        raise FileError(
            f"{path} was saved with encoder_params={wanted!r} of a custom encoder. A file does not "
            "choose the arguments of your code: pass them, load(path, encoder=..., "
            "encoder_params=...), if you trust them."
        )
    for suffix in custom:
        state["encoder_params" + suffix] = passed
