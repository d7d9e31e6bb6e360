"""The settings of the paper's experiments; its networks are in `skdim.encoders.paper`."""

import copy

from skdim._names import lookup
from skdim.encoders import ENCODERS
from skdim.encoders.paper import PaperEncoder
from skdim.priors import Prior

PAPER_WEIGHTS: dict[str, dict[str, float]] = {
    "global": {"global_weight": 1.0, "local_weight": 0.0, "prior_weight": 1.0},
    "local": {"global_weight": 0.0, "local_weight": 1.0, "prior_weight": 0.1},
    # The paper gives no weight of the prior for this one.
    "local+global": {"global_weight": 0.5, "local_weight": 0.1, "prior_weight": 0.1},
}

PAPER_SETTINGS: dict = {
    "encoder": "paper32",
    "output": "code",
    "neighbor_averaging": False,
    "mi_estimator": "jsd",
    "critic": "separable_published",
    "critic_width": 2048,
    "prior": Prior("uniform", gradient_penalty=1.0),
    "augment": None,
    "max_epochs": 1000,
    "batch_size": 64,
    "optimizer": "adam",
    "optimizer_params": {"betas": (0.5, 0.999)},
    "learning_rate": 1e-4,
    "gradient_clip_norm": None,
    "lr_schedule": "constant",
    "precision": "float32",
}

# DIM(G) has another critic: three layers over the code and the last convolution.
PAPER_GLOBAL_SETTINGS: dict = {
    "encoder_params": {"local_layer": -1},
    "critic": "concat",
    "critic_width": 512,
}


def paper_settings(variant: str, params: dict) -> dict:
    """Parameters of a variant, with ``params`` instead of the paper's values.

    A network of the paper keeps those of the paper's ``encoder_params`` that ``params`` does not
    name. Other encoders have only those of ``params``. The paper's settings of a term whose weight
    is 0 are left out.
    """
    weights = lookup(variant, PAPER_WEIGHTS, "variant", or_callable=False)
    settings = copy.deepcopy(PAPER_SETTINGS)  # each instance has dicts of its own
    settings |= copy.deepcopy(PAPER_GLOBAL_SETTINGS) if variant == "global" else {}
    paper_params = settings.pop("encoder_params", {})
    settings |= {**weights, **params}
    for name in _unused(settings):
        if name not in params or params[name] == PAPER_SETTINGS[name]:
            del settings[name]
    if paper_params and _is_from_paper(settings["encoder"]):
        settings["encoder_params"] = paper_params | (settings.get("encoder_params") or {})
    return settings


def _unused(settings: dict) -> list[str]:
    """Settings that have no effect, because the weight of their term is 0."""
    names = [] if settings["prior_weight"] else ["prior"]
    if not (settings["global_weight"] or settings["local_weight"]):
        names += ["mi_estimator", "critic", "critic_width"]
    return names


def _is_from_paper(encoder) -> bool:
    make = ENCODERS.get(encoder) if isinstance(encoder, str) else encoder
    return isinstance(make, type) and issubclass(make, PaperEncoder)
