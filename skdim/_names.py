"""Names that users type: the objects they stand for, and which name was meant by an unknown one."""

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from skdim.exceptions import IneffectiveParameterWarning, warn

# Parameters as other libraries call them, for which `difflib` has no good suggestion.
SYNONYMS = {
    "alpha": "global_weight",
    "amp": "precision",
    "backbone": "encoder",
    "beta": "local_weight",
    "criterion": "mi_estimator",
    "cuda": "device",
    "ddp": "distributed",
    "ema": "weight_averaging",
    "embedding_dim": "n_components",
    "encoder": "transformer",
    "estimator": "transformer",
    "gamma": "prior_weight",
    "gpu": "device",
    "image_size": "sample_shape",
    "latent_dim": "n_components",
    "loss": "mi_estimator",
    "lr": "learning_rate",
    "max_iter": "max_epochs",
    "min_delta": "tol",
    "model": "encoder",
    "momentum": "optimizer_params",
    "n_iter": "max_epochs",
    "patience": "n_iter_no_change",
    "progress": "verbose",
    "seed": "random_state",
    "transform": "augment",
    "transforms": "augment",
    "val_size": "validation_fraction",
    "weight_decay": "optimizer_params",
}

# Settings of the prior that were parameters of the constructor in development versions.
SETTINGS_OF_PRIOR = {"gradient_penalty": "gradient_penalty", "prior_learning_rate": "learning_rate"}

Constructor = TypeVar("Constructor", bound=Callable[..., None])


def lookup(
    choice: Any, registry: Mapping[str, Any], parameter: str, *, or_callable: bool = True
) -> Any:
    """Return the entry that ``choice`` names, or ``choice`` itself if it is callable.

    Raises
    ------
    ValueError
        If it is a name that ``registry`` does not hold; the message names the parameter.
    TypeError
        If it is neither a name nor callable.
    """
    if isinstance(choice, str) and choice in registry:
        return registry[choice]
    if or_callable and callable(choice):
        return choice
    legal = f"one of {sorted(registry)}" + (" or a callable" if or_callable else "")
    sentence = f"The {parameter!r} parameter must be {legal}. Got {choice!r} instead."
    if not isinstance(choice, str):
        raise TypeError(sentence)
    raise ValueError(sentence + suggest(choice, registry))


def known_names_only(constructor: Constructor) -> Constructor:
    """Make a constructor's error for an unknown parameter suggest the one that was meant."""
    names = list(inspect.signature(constructor).parameters)[1:]

    @functools.wraps(constructor)  # scikit-learn reads the names of the parameters through it
    def checked(self: Any, *args: Any, **params: Any) -> None:
        kind = type(self).__name__
        if "prior" in names:
            params = _without_settings_of_prior(params, kind)
        check_names(params, names, kind)
        constructor(self, *args, **params)

    return checked  # type: ignore[return-value]  # of the same signature


def default_parameters(estimator: type) -> dict[str, Any]:
    """Return the defaults of the constructor of an estimator, without what has none."""
    parameters = inspect.signature(estimator).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def check_names(params: Iterable[str], names: Collection[str], kind: str) -> None:
    """Raise TypeError for a parameter that a kind of estimator does not have."""
    for name in params:
        if name not in names:
            raise TypeError(f"{kind} has no parameter {name!r}.{suggest(name, names)}")


def _without_settings_of_prior(params: dict[str, Any], kind: str) -> dict[str, Any]:
    """Leave out what is now a setting of the prior, with a warning that says so."""
    for name in set(params) & set(SETTINGS_OF_PRIOR):
        warn(
            f"{kind} has no parameter {name!r}, so that it has no effect: it is a setting of the "
            f"prior. Set prior=Prior(sample, {SETTINGS_OF_PRIOR[name]}={params[name]!r}); see "
            "skdim.priors.Prior.",
            IneffectiveParameterWarning,
        )
    return {name: value for name, value in params.items() if name not in SETTINGS_OF_PRIOR}


def suggest(name: str, names: Collection[str]) -> str:
    """Return the sentence that suggests one of the known names; empty if none is close."""
    synonyms = [SYNONYMS[name]] if SYNONYMS.get(name) in names else []
    meant = synonyms or get_close_matches(name, names, n=1)
    return f" Did you mean {meant[0]!r}?" if meant else ""


def call_custom(parameter: str, function: Callable[..., Any], names: str, *arguments: Any) -> Any:
    """Call a custom function; if it does not take the arguments, the error names the parameter."""
    try:
        return function(*arguments)
    except TypeError as error:
        if takes(function, *arguments):
            raise
        reason = str(error)
    raise TypeError(f"The {parameter!r} parameter must be a function of {names}: {reason}.")


def takes(function: Callable[..., Any], *arguments: Any) -> bool:
    """Whether a function takes so many arguments, as far as it says."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # it has no signature
        return True
    return True
