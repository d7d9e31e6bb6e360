"""A transformer as a file that cannot run code: what is in it, and the checks of who reads it."""

import os
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sklearn.utils._param_validation import validate_parameter_constraints

from skdim._files.safe import Origin, read, write
from skdim._files.schema import anything, dict_of
from skdim._model.config import MODEL_PARAMETERS
from skdim._model.fitted import FittedModel
from skdim._model.migrations import BEFORE, check_not_later, stamp, upgrade
from skdim._model.schema import check_sizes, check_state, sklearn_state
from skdim.exceptions import FileError

# What scikit-learn itself stores on a fitted transformer; the last two are not always there.
SKLEARN_STATE = ("n_features_in_", "feature_names_in_", "_sklearn_output_config")
# Parameters that a file does not hold: it must not say where another machine's fit writes.
OF_THIS_MACHINE = ("checkpoint", "distributed")

# After the name of a parameter, in a file: its value in fit.
IN_FIT = " in fit"


class Owner(NamedTuple):
    """An estimator that has the transformer of a file, such as a classifier.

    Attributes
    ----------
    kind : str
        Its kind in `skdim._files.safe.READERS`.
    params : mapping of str to object
        Its own parameters; if it is to be read, any mapping with their names.
    learned : mapping of str to object
        What it has learned in addition: its attributes, without the underscore.
    """

    kind: str
    params: Mapping[str, Any]
    learned: Mapping[str, Any] = {}

    @property
    def suffix(self) -> str:
        """What follows the names of its parameters in a file."""
        return f" of {self.kind}"


def select_sklearn_state(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Select the attributes that scikit-learn stores on a fitted transformer."""
    return {name: value for name, value in attributes.items() if name in SKLEARN_STATE}


def write_transformer(
    path: str | os.PathLike,
    params: Mapping[str, Any],
    attributes: Mapping[str, Any],
    model: FittedModel,
    owner: Owner | None = None,
) -> None:
    """Write a fitted transformer: its parameters, its model and those attributes in
    `SKLEARN_STATE`.

    ``owner`` is the estimator that has it, if the file is to hold one.
    """
    kind, further = "transformer", {}
    if owner is not None:
        own = {name + owner.suffix: value for name, value in owner.params.items()}
        kind, further = owner.kind, {**own, owner.kind: dict(owner.learned)}
    plain = model.state()
    in_fit = {name + IN_FIT: value for name, value in plain.pop("given").items()}
    portable = {name: value for name, value in params.items() if name not in OF_THIS_MACHINE}
    portable["device"] = str(portable["device"])  # a torch.device means what its name means
    sklearn_state = select_sklearn_state(attributes)
    state = {**portable, **sklearn_state, **in_fit, **further, "model": plain}
    write(path, state, always=("model", *sklearn_state), kind=kind)


def read_transformer(
    path: str | os.PathLike,
    custom_objects: Mapping[str, Any],
    params: Mapping[str, Any],
    constraints: Mapping[str, Any],
    owner: Owner | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a fitted transformer of any version, and check that everything fits together.

    Parameters
    ----------
    path : path
    custom_objects : mapping of str to object
        Parameters that a file cannot hold.
    params : mapping
        Parameters of the constructor, with their defaults.
    constraints : mapping
        Legal values of parameters, as scikit-learn writes them.
    owner : Owner or None
        The estimator that the file must hold too; None if it must hold none.

    Returns
    -------
    state : dict
        As in a pickle: parameters, what scikit-learn stores, and ``model_``, the
        `FittedModel.state`.
    own : dict
        Parameters and attributes of the owner, unchecked; empty if there is none.
    """
    suffixes = ("", IN_FIT) if owner is None else ("", IN_FIT, owner.suffix)
    custom = {name + suffix: o for name, o in custom_objects.items() for suffix in suffixes}

    def check(content: dict[str, Any], origin: Origin) -> dict[str, Any]:
        own = {} if owner is None else _take_owner(path, content, origin, owner)
        state = _as_pickled(path, content, origin, params)
        model = state["model_"]
        _take_encoder_params(path, state, model["given"], custom_objects)
        for values in ({name: state[name] for name in sorted(params)}, model["given"]):
            validate_parameter_constraints(constraints, values, "DIMTransformer")
            check_sizes(values)
        check_state(model)
        for name, rule in sklearn_state(model["layout"]["x_shape"][0]).items():
            if name in state:
                rule(state[name], name)
        return {"state": stamp(state), "own": own}

    kind = "transformer" if owner is None else owner.kind
    parts = read(path, custom, {"encoder_params": "encoder"}, kind=kind, upgrade=check)
    return parts["state"], parts["own"]


def _as_pickled(
    path: str | os.PathLike, content: dict[str, Any], origin: Origin, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Convert the content of a file of any version to the state of a pickle of this version."""
    for name in ("model", SKLEARN_STATE[0]):
        if name not in content:
            raise FileError(f"{path} is not a file of skdim: it lacks {name!r}.")
    _check_known(path, origin, set(content) & {*OF_THIS_MACHINE, "model_"})
    model = {**_as_dict(content.pop("model"), "model"), "given": _take(content, IN_FIT)}
    state = upgrade("transformer", {**content, "model_": model}, origin.format)
    unknown = set(state) - {*params, *SKLEARN_STATE, "model_"}
    unknown |= set(state["model_"]["given"]) - set(MODEL_PARAMETERS)
    _check_known(path, origin, unknown)
    return {**params, **state}


def _take_owner(
    path: str | os.PathLike, content: dict[str, Any], origin: Origin, owner: Owner
) -> dict[str, Any]:
    """Take parameters and attributes of the owner from the content of a file."""
    kind = owner.kind
    if kind not in content:
        raise FileError(f"{path} is not a file of skdim: it lacks {kind!r}.")
    learned = _as_dict(content.pop(kind), kind)
    attributes = {f"{name}_": value for name, value in learned.items()}
    own = _take(content, owner.suffix)
    _check_known(path, origin, set(own) & {"transformer", *attributes})
    own = upgrade(kind, {**own, **attributes}, origin.format)
    unknown = {name for name in own if not name.endswith("_")}
    _check_known(path, origin, unknown - {*owner.params, *BEFORE[kind]})
    return own


def _take(content: dict[str, Any], suffix: str) -> dict[str, Any]:
    """Take the values of names that end with a suffix, by their names without it."""
    names = [name for name in content if name.endswith(suffix)]
    return {name.removesuffix(suffix): content.pop(name) for name in names}


def _check_known(path: str | os.PathLike, origin: Origin, unknown: Collection[str]) -> None:
    """Raise FileError if there are unknown names."""
    check_not_later(str(path), origin.version, unknown)
    for name in sorted(unknown):
        raise FileError(f"{path} is not a file of skdim: it holds {name!r}, which is unknown.")


def _as_dict(value: Any, name: str) -> dict[str, Any]:
    dict_of(anything)(value, name)
    return value


def _take_encoder_params(
    path: str | os.PathLike,
    state: dict[str, Any],
    in_fit: dict[str, Any],
    custom_objects: Mapping[str, Any],
) -> None:
    """Give a custom encoder the arguments of the caller, never those that a file chooses."""
    encoder = custom_objects.get("encoder", state)  # no value of a state is the state
    custom = [values for values in (in_fit, state) if values["encoder"] is encoder]
    if not custom:
        return
    wanted, passed = custom[0]["encoder_params"], custom_objects.get("encoder_params")
    if (wanted or {}) != (passed or {}):
        raise FileError(
            f"{path} was saved with encoder_params={wanted!r} of a custom encoder. A file does not "
            "choose the arguments of your code: pass them, load(path, encoder=..., "
            "encoder_params=...), if you trust them."
        )
    for values in custom:
        values["encoder_params"] = passed
