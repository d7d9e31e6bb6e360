"""Objectives that are built without a transformer."""

from skdim.critics import SeparableCritic
from skdim.mutual_information import jsd
from skdim.objective import ObjectiveConfig
from skdim.priors import PRIORS


def objective_config(**params) -> ObjectiveConfig:
    """Build a configuration in which every term has weight 0, unless ``params`` say otherwise."""
    defaults = {
        "global_weight": 0.0,
        "local_weight": 0.0,
        "prior_weight": 0.0,
        "mi_estimator": jsd,
        "critic": SeparableCritic,
        "critic_width": 8,
        "n_locations": None,
        "prior": PRIORS["uniform"],
        "coordinate_weight": 0.0,
        "coordinates": (),
    }
    return ObjectiveConfig(**{**defaults, **params})
