"""Optimisers and learning-rate schedules, each a dict of names."""

import math
from collections.abc import Callable

import torch

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


def has_one_kernel(optimizer: Callable[..., torch.optim.Optimizer], params: dict) -> bool:
    """Whether an optimiser updates all weights in one kernel, that reads its rate from a tensor."""
    chosen = {"fused", "foreach", "differentiable", "capturable"} & set(params)
    return optimizer in OPTIMIZERS.values() and not chosen


def for_device(
    optimizer: Callable[..., torch.optim.Optimizer],
    params: dict,
    device: torch.device,
    recorded: bool,
) -> dict:
    """Return an optimiser's parameters with those that make it fast.

    Parameters
    ----------
    optimizer : callable
        One of `OPTIMIZERS`; those of others get what they were given.
    params : dict
        With ``lr``; whoever names a kernel gets that.
    device : torch.device
    recorded : bool
        Whether steps are recorded: the learning rate is then a tensor, and counters are.
    """
    if not has_one_kernel(optimizer, params) or device.type not in ("cpu", "cuda"):
        return params
    # One kernel for all weights: on a CPU an eighth of the time of Adam's update.
    params = {"fused": True, **params}
    if recorded:
        params["lr"] = torch.tensor(params["lr"], dtype=torch.float32, device=device)
        if optimizer is not torch.optim.SGD and device.type == "cuda":
            params["capturable"] = True
    return params


def constant(progress: float) -> float:
    """The learning rate as given, throughout."""
    return 1.0


def warmup_cosine(progress: float, warmup: float = 0.1) -> float:
    """Rise linearly over the first tenth, fall to zero along a cosine."""
    if progress < warmup:
        return (progress + 0.01) / (warmup + 0.01)
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


# From the part of training that is over, 0 to 1, to a factor on the learning rate.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "warmup_cosine": warmup_cosine,
}
