"""Optimisers and learning-rate schedules by name, and one step of optimisation."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import cache
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor, nn

from skdim._names import call_custom, takes
from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup

BuildOptimizer = Callable[..., torch.optim.Optimizer]


class Muon(torch.optim.AdamW):
    """Orthogonalised steps for filters of images and volumes, AdamW for all other parameters.

    The momentum of a layer's filters is treated as a matrix with a row for each filter, and
    replaced by the nearest orthogonal matrix. All directions then change equally fast, not only a
    few strong ones.

    Parameters
    ----------
    params : iterable of Parameter
        Parameters with at least four axes are filters of images and volumes.
    lr : float, default=2e-3
        Learning rate of AdamW.
    filter_lr_factor : float, default=10.0
        Learning rate of filters, as a multiple of ``lr``.
    filter_momentum : float, default=0.95
    filter_precision : torch.dtype, default=None
        Precision in which the nearest orthogonal matrix is computed. None is that of the filters.
    **adamw_params
        Keyword arguments of AdamW, such as ``weight_decay``, which also applies to filters.

    Notes
    -----
    After a step, the gradients of filters are None.

    References
    ----------
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float | Tensor = 2e-3,
        filter_lr_factor: float = 10.0,
        filter_momentum: float = 0.95,
        filter_precision: torch.dtype | None = None,
        **adamw_params,
    ):
        parameters = list(params)
        filters = [p for p in parameters if p.ndim > 3]
        groups: list[dict] = [{"params": [p for p in parameters if p.ndim <= 3]}]
        if filters:
            groups.append({"params": filters, "lr": lr * filter_lr_factor})
        super().__init__(groups, lr=lr, **adamw_params)
        self.filter_momentum = filter_momentum
        self.filter_precision = filter_precision

    @torch.no_grad()
    def step(self, closure=None):
        """Update filters first, then all others; AdamW skips parameters without a gradient."""
        for group in self.param_groups[1:]:
            lr, decay = group["lr"], 1 - group["lr"] * group["weight_decay"]
            for filters in group["params"]:
                if filters.grad is not None:
                    self._step_filters(filters, filters.grad, lr, decay)
                    filters.grad = None
        return unwrap(torch.optim.AdamW.step)(self, closure)  # see `without_compiler`

    def _step_filters(
        self, filters: nn.Parameter, grad: Tensor, lr: float | Tensor, decay: float | Tensor
    ) -> None:
        state = self.state[filters]
        if not state:  # AdamW expects its own keys when it loads a state
            state["step"] = torch.zeros((), device=filters.device)
            state["exp_avg"] = torch.zeros_like(filters)
        momentum = state["exp_avg"].lerp_(grad, 1 - self.filter_momentum)
        ahead = torch.lerp(grad, momentum, self.filter_momentum).flatten(1)
        length = math.sqrt(max(1, ahead.shape[0] / ahead.shape[1]))
        step = orthogonalize(ahead, self.filter_precision) * length
        filters.mul_(decay).sub_(lr * step.view_as(filters))


def orthogonalize(matrix: Tensor, precision: torch.dtype | None = None, n_steps: int = 5) -> Tensor:
    """Bring all singular values near 1, by Newton-Schulz steps of degree five; keep the singular
    vectors.

    The singular values of the result are between about 0.7 and 1.2, unless they were tiny. It is
    computed, and returned, in ``precision``; None is that of the matrix.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = (x / x.norm().clamp_min(1e-30)).to(precision or x.dtype)  # zeros stay zeros
    for _ in range(n_steps):
        x = _newton_schulz(x)
    return x.T if is_tall else x


def _newton_schulz(x: Tensor) -> Tensor:
    gram = x @ x.T
    # Coefficients of Jordan et al.: small values grow fast, values near 1 stay there.
    factor = torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
    return torch.addmm(x, factor, x, beta=3.4445)


OPTIMIZERS: dict[str, BuildOptimizer] = {
    "muon": Muon,
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


@cache
def without_compiler(optimizer: BuildOptimizer) -> BuildOptimizer:
    """The class of an optimiser that does not import torch's compiler, which takes a second.

    Torch wraps these methods so that its compiler leaves them alone, and imports it for that.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    methods = {name: unwrap(getattr(optimizer, name)) for name in names}
    methods["step"] = torch.no_grad()(methods["step"])
    return type(optimizer.__name__, (optimizer,), methods)  # type: ignore[arg-type]  # a class


def is_known(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimiser is one of `OPTIMIZERS`, and not of a class derived from one."""
    return any(type(optimizer) in (kind, without_compiler(kind)) for kind in OPTIMIZERS.values())


def has_one_kernel(optimizer: BuildOptimizer, params: dict) -> bool:
    """Whether an optimiser can update all weights in one kernel, with a tensor as learning rate."""
    chosen = {"fused", "foreach", "differentiable", "capturable"} & set(params)
    return optimizer in OPTIMIZERS.values() and not chosen


def check_optimizer_params(
    optimizer: BuildOptimizer, params: Mapping, device: torch.device
) -> None:
    """Raise ValueError for parameters that an optimiser takes but a step does not support."""
    betas = params.get("betas", (0.9, 0.999))
    is_pair = isinstance(betas, tuple | list) and len(betas) == 2
    if optimizer in OPTIMIZERS.values() and not is_pair:
        raise ValueError(
            "The 'optimizer_params' parameter must hold two numbers as 'betas', such as "
            f"(0.9, 0.999). Got betas={betas!r}."
        )
    if params.get("differentiable"):
        raise ValueError(
            "The 'optimizer_params' parameter must not ask for updates that are differentiable: "
            "nothing is differentiated through them. Got differentiable=True."
        )
    if params.get("capturable") and device.type == "cpu":
        raise ValueError(
            "The 'optimizer_params' parameter must not hold capturable=True on a CPU: only CUDA "
            "graphs capture steps. Got device='cpu'."
        )


def check_optimizer(optimizer: Any) -> None:
    """Raise TypeError unless it is an optimiser that takes steps by itself."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            "The 'optimizer' parameter must return an optimiser of torch. Got a "
            f"{type(optimizer).__name__}."
        )
    if not takes(optimizer.step):
        raise TypeError(
            "The 'optimizer' parameter must return an optimiser whose step needs no function that "
            f"computes the loss again. Got a {type(optimizer).__name__}."
        )


def for_device(
    optimizer: BuildOptimizer,
    params: dict,
    device: torch.device,
    captured: bool,
    precision: torch.dtype = torch.float32,
) -> dict:
    """Add the parameters that make one of `OPTIMIZERS` fast on a device.

    No kernel is added if they choose one, for instance by ``foreach``. If steps are ``captured`` as
    CUDA graphs, learning rates and counters are tensors. ``precision`` is that of training.
    """
    if optimizer is Muon and precision != torch.float32:
        params = {"filter_precision": precision, **params}
    if not has_one_kernel(optimizer, params) or device.type not in ("cpu", "cuda"):
        return params
    # With one kernel for all weights, Adam's update takes an eighth of the time on a CPU.
    params = {"fused": True, **params}
    if captured:
        params["lr"] = torch.tensor(params["lr"], dtype=torch.float32, device=device)
        if optimizer is not torch.optim.SGD and device.type == "cuda":
            params["capturable"] = True
    return params


# ------------------------------------------------------------ states


def load_state(optimizer: torch.optim.Optimizer, state: Mapping) -> None:
    """Continue with a state that an optimiser of the same weights had, after a check of it.

    The arguments of `OPTIMIZERS` stay those of this optimiser. Others may count in them.

    Raises
    ------
    ValueError
        If the state is not one of these weights: kernels would read and write beyond it.
    """
    groups = optimizer.state_dict()["param_groups"]
    try:
        others = state["param_groups"]
        if [group["params"] for group in groups] != [other["params"] for other in others]:
            raise ValueError("it has other groups of weights")
        _check_momenta(optimizer, state["state"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            "The state of the optimiser, with which training continues, must be one of its weights "
            f"and of the 'optimizer' and 'optimizer_params' parameters. Got another: {error}. To "
            "change the optimiser, fit afresh with warm_start=False."
        ) from None
    if not is_known(optimizer):
        # Another version of torch may know fewer arguments.
        groups = [{**group, **other} for group, other in zip(groups, others, strict=True)]
    optimizer.load_state_dict({"state": dict(state["state"]), "param_groups": groups})


def _check_momenta(optimizer: torch.optim.Optimizer, momenta: Mapping) -> None:
    weights = [(group, p) for group in optimizer.param_groups for p in group["params"]]
    for number, state in momenta.items():
        if type(number) is not int or not 0 <= number < len(weights):
            raise ValueError(f"there is no weight {number!r}")
        group, parameter = weights[number]
        names = _names_of_momenta(optimizer, group, parameter)
        if names is not None and state and set(state) != names:
            raise ValueError(f"weight {number} has {sorted(state)}")
        for name, value in state.items():
            if names is not None or group.get("fused"):
                _check_momentum(name, value, parameter)


def _names_of_momenta(
    optimizer: torch.optim.Optimizer, group: Mapping, parameter: Tensor
) -> set[str] | None:
    """Names of what an optimiser remembers of a weight; None if it is not in `OPTIMIZERS`."""
    if isinstance(optimizer, Muon) and parameter.ndim > 3:
        return {"step", "exp_avg"}
    if isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW):
        largest = {"max_exp_avg_sq"} if group["amsgrad"] else set()
        return {"step", "exp_avg", "exp_avg_sq"} | largest
    return {"momentum_buffer"} if isinstance(optimizer, torch.optim.SGD) else None


def _check_momentum(name: str, value: Any, parameter: Tensor) -> None:
    if name == "step":
        steps = float(value)
        is_legal = math.isfinite(steps) and steps >= 0
    elif value is None:
        is_legal = name == "momentum_buffer"
    else:
        is_legal = value.is_floating_point() and value.shape == parameter.shape
    if not is_legal:
        raise ValueError(f"{name!r} of a weight of shape {tuple(parameter.shape)} does not fit it")


def constant(progress: float) -> float:
    """Keep the learning rate constant."""
    return 1.0


def warmup_cosine(progress: float, warmup: float = 0.1) -> float:
    """Rise linearly over the first tenth, then fall to zero along a cosine."""
    if progress < warmup:
        return (progress + 0.01) / (warmup + 0.01)
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


# Each maps the progress of training, from 0 to 1, to a factor on the learning rate.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "warmup_cosine": warmup_cosine,
}


def learning_rate_factor(lr_schedule: Callable[[float], float], progress: float) -> float:
    """Return the factor of a schedule.

    Raises
    ------
    ValueError
        If it is not a finite number of at least 0.
    """
    factor = call_custom("lr_schedule", lr_schedule, "the finished part of training", progress)
    try:
        is_fit = math.isfinite(factor) and factor >= 0
    except (TypeError, ValueError):
        is_fit = False
    if not is_fit:
        raise ValueError(
            "The 'lr_schedule' parameter must return a finite number of at least 0, a factor on "
            f"the learning rate. Got {factor!r} at {progress:.3g}."
        )
    return float(factor)


# ------------------------------------------------------------ a step


def backward_and_step(
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    clip_norm: float | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
    after_backward: Callable[[], None] = lambda: None,
) -> None:
    """Compute the gradients of a loss, clip their norm, and update the parameters.

    ``after_backward`` is called before gradients are clipped, and may change them.
    """
    optimizer.zero_grad(set_to_none=True)
    parameters: list[nn.Parameter] = [
        p for group in optimizer.param_groups for p in group["params"]
    ]
    with nullcontext() if processes.is_single else processes.summed_gradients(parameters):
        loss.backward()
    after_backward()
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(parameters, clip_norm)
    optimizer.step()


def remember_learning_rates(optimizer: torch.optim.Optimizer) -> None:
    """Remember the current learning rates as the highest, which schedules scale."""
    for group in optimizer.param_groups:
        group["initial_lr"] = float(group["lr"])


def set_learning_rates(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Set the learning rate of every group to a factor times its highest learning rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            rate = group["initial_lr"] * factor
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)  # a captured step reads this tensor
            else:
                group["lr"] = rate
