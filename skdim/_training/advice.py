"""Warnings about fits that work, but not as users expect; they name what to change."""

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from skdim._model.config import takes_column_groups
from skdim.exceptions import (
    CollapseWarning,
    ConvergenceWarning,
    FewSamplesWarning,
    IneffectiveParameterWarning,
    warn,
)
from skdim.modalities import Modality
from skdim.spectra import effective_rank

logger = logging.getLogger("skdim")

Params = Mapping[str, Any]


# ------------------------------------------------------------ before training


class Rule(NamedTuple):
    """Names of parameters that have no effect if the rule applies, and the reason."""

    names: tuple[str, ...]
    applies: Callable[[Params], Any]
    reason: str


RULES = [
    Rule(
        ("prior",),
        lambda p: not p["prior_weight"],
        "prior_weight=0: no prior is trained",
    ),
    Rule(
        ("coordinates",),
        lambda p: not p["coordinate_weight"],
        "coordinate_weight=0: no coordinates are predicted",
    ),
    Rule(
        ("mi_estimator", "critic", "critic_width"),
        lambda p: not (p["global_weight"] or p["local_weight"]),
        "global_weight=0 and local_weight=0: no bound is maximised",
    ),
    Rule(
        ("n_locations",),
        lambda p: not p["local_weight"],
        "local_weight=0: no local features are compared",
    ),
    Rule(
        ("n_views",),
        lambda p: p["augment"] is None,
        "augment=None: every sample has one view, the sample itself",
    ),
    Rule(
        ("validation_fraction", "n_iter_no_change", "tol"),
        lambda p: not p["early_stopping"],
        "early_stopping=False: no samples are held out",
    ),
    Rule(
        ("weight_averaging",),
        lambda p: p["early_stopping"],
        "early_stopping=True: the weights of the best epoch are taken",
    ),
    Rule(
        ("column_groups",),
        lambda p: not takes_column_groups(p["encoder"]),
        "the custom 'encoder', which is not told of them",
    ),
]


def advise_on_parameters(params: Params, changed: Collection[str], *, is_flat: bool) -> None:
    """Warn of parameters that were changed and have no effect with the values of the others.

    In ``params``, the encoder is a class; ``changed`` names those that differ from their defaults,
    and ``is_flat`` says whether X has two axes.
    """
    for rule in RULES:
        for name in rule.names:
            if name in changed and rule.applies(params):
                _warn_ineffective(name, params[name], rule.reason)
    shape = params["sample_shape"]
    if shape is not None and not is_flat:
        _warn_ineffective("sample_shape", shape, "an X that is not flat: its samples have a shape")


def _warn_ineffective(name: str, value: Any, reason: str) -> None:
    warn(
        f"The {name!r} parameter ({value!r}) has no effect with {reason}.",
        IneffectiveParameterWarning,
    )


def advise_on_schedule(lr_schedule: Any) -> None:
    """Warn that the schedule overwrites the learning rates of a callback."""
    warn(
        "The 'callbacks' set learning rates, which have no effect: the 'lr_schedule' parameter "
        f"({lr_schedule.__name__ if hasattr(lr_schedule, '__name__') else lr_schedule!r}) "
        "overwrites them in every step. Set lr_schedule=None.",
        IneffectiveParameterWarning,
    )


# ------------------------------------------------------------ after training


def advise_on_components(n_components: int, n_hidden: int, n_samples: int) -> None:
    """Warn if there cannot be so many components."""
    if n_components > n_hidden:
        reason = f"a hidden layer of {n_hidden} units: there are no more components"
        _warn_ineffective("n_components", n_components, reason)
    elif n_components >= n_samples:
        reason = f"{n_samples} samples: component {n_samples} and all later ones are 0"
        _warn_ineffective("n_components", n_components, reason)


def advise_on_locations(n_locations: int | None, map_sizes: list[int]) -> None:
    """Warn if no local map has more locations than are drawn."""
    if n_locations is not None and n_locations >= max(map_sizes):
        reason = f"local maps of {max(map_sizes)} locations: all of them are taken"
        _warn_ineffective("n_locations", n_locations, reason)


def advise_on_samples(n_samples: int, modality: Modality) -> None:
    """Warn if there are few samples, and log what to expect of the modality."""
    if modality.note:
        logger.info(modality.note)
    if n_samples < modality.few_samples:
        warn(
            f"{n_samples} samples are few: PCA probably gives features that are as good. Fit on "
            "all samples that you have, also those without labels, or set a smaller "
            "'n_components'.",
            FewSamplesWarning,
        )


def advise_on_codes(codes: np.ndarray) -> None:
    """Warn if standardised codes (n_samples, n_components) use almost none of their components."""
    n_samples, n_components = codes.shape
    possible = min(n_samples - 1, n_components)
    rank = effective_rank(codes)
    if possible > 2 and rank < 1 + 0.02 * possible:
        warn(
            f"The codes of all samples are almost the same: they differ in {rank:.1f} of "
            f"{possible} possible directions (effective rank). Lower the 'learning_rate' "
            "parameter, raise 'prior_weight', or set 'augment' to views that change less.",
            CollapseWarning,
        )


def advise_on_budget(step_losses: list[float], budget: str) -> None:
    """Warn if the loss was still falling when ``budget``, a parameter and value, ended the fit."""
    if not is_settled(step_losses):
        warn(
            f"The loss was still falling when the fit ended at {budget}. Longer training probably "
            f"gives better features: set a larger '{budget.partition('=')[0]}'.",
            ConvergenceWarning,
        )


def is_settled(step_losses: list[float]) -> bool:
    """Whether the second quarter of training brought at most a quarter of the whole fall.

    The end says nothing, because schedules let every loss run out flat. Fewer than twenty steps are
    too few to tell.
    """
    losses = np.asarray(step_losses)
    if len(losses) < 20:
        return False
    n = len(losses)
    quarter, half, end = (
        losses[int(n * start) : int(n * (start + 0.1))].mean() for start in (0.2, 0.45, 0.9)
    )
    return bool(quarter - half <= (losses[0] - end) / 4)
