"""Priors: distributions that codes are trained to follow, and the discriminator for them.

A prior draws codes with ``sample(shape, generator)`` and maps a code into its support with
``squash``. To add a prior, list it in `PRIORS`; its name is then a valid ``prior``. A function
``sample`` alone is valid too: codes are then compared unchanged.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch
from sklearn.utils._param_validation import Interval, validate_parameter_constraints
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from skdim._names import lookup


def unchanged(code: Tensor) -> Tensor:
    """Return the code unchanged, for priors without bounds."""
    return code


@dataclass(frozen=True)
class Prior:
    """A distribution over codes, and how codes are trained to follow it.

    Set it as the ``prior`` parameter of `DIMTransformer` if a name alone is not enough.

    Parameters
    ----------
    sample : {"uniform", "normal", "sphere"} or callable (shape, generator) -> Tensor
        Draws from the distribution, on the generator's device.
    squash : callable (code) -> Tensor, or None, default=None
        Maps an unbounded code into the support of the prior. Used only in the adversarial loss
        between encoder and discriminator, never by ``transform``. None is the function that belongs
        to a name; with a callable ``sample``, it leaves codes unchanged.
    gradient_penalty : float, default=0.0
        Weight of the zero-centred gradient penalty on the discriminator.
    learning_rate : float or None, default=None
        Highest learning rate of the discriminator. None is the learning rate of the encoder.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it.

    Examples
    --------
    >>> from skdim import DIMTransformer
    >>> from skdim.priors import Prior
    >>> dim = DIMTransformer(
    ...     prior_weight=0.1, prior=Prior("uniform", gradient_penalty=1.0)
    ... )
    """

    sample: Any  # str or callable
    squash: Callable[[Tensor], Tensor] | None = None
    gradient_penalty: float = 0.0
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        constraints = {
            "sample": [str, callable],
            "squash": [callable, None],
            "gradient_penalty": [Interval(Real, 0, None, closed="left")],
            "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        }
        validate_parameter_constraints(constraints, vars(self), caller_name="Prior")


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform on [0, 1], independent in every component."""
    return torch.rand(shape, generator=generator, device=generator.device)


def normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal, independent in every component."""
    return torch.randn(shape, generator=generator, device=generator.device)


def sphere(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform on the unit sphere around the origin."""
    return normalize(normal(shape, generator), dim=-1)


PRIORS: dict[str, Prior] = {
    "uniform": Prior(uniform, torch.sigmoid),
    "normal": Prior(normal, unchanged),
    "sphere": Prior(sphere, normalize),
}


def as_prior(prior: str | Callable[..., Tensor] | Prior) -> Prior:
    """Convert a ``prior`` parameter to a `Prior` that has functions in place of names.

    Raises
    ------
    ValueError, TypeError
        If it is neither a `Prior`, nor a name in `PRIORS`, nor callable.
    """
    settings = prior if isinstance(prior, Prior) else Prior(prior)
    functions = lookup(settings.sample, PRIORS, "prior")
    if not isinstance(functions, Prior):
        functions = Prior(functions, unchanged)
    return replace(settings, sample=functions.sample, squash=settings.squash or functions.squash)


class Discriminator(nn.Sequential):
    """Distinguish draws of the prior from squashed codes, with one logit for each code.

    The network of Hjelm et al., ICLR 2019: two hidden layers of 1000 and 200 units.
    """

    def __init__(self, n_code: int):
        super().__init__(
            nn.Linear(n_code, 1000), nn.ReLU(), nn.Linear(1000, 200), nn.ReLU(), nn.Linear(200, 1)
        )


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    r"""Loss of the discriminator, from its logits for draws of the prior and for codes.

    .. math:: E_V[\mathrm{sp}(-D)] + E_U[\mathrm{sp}(D)]
    """
    return softplus(-real).mean() + softplus(fake).mean()


def encoder_loss(fake: Tensor) -> Tensor:
    r"""Non-saturating loss of the encoder: :math:`E_U[\mathrm{sp}(-D)]`."""
    return softplus(-fake).mean()


def gradient_penalty(discriminator: nn.Module, codes: Tensor) -> Tensor:
    r"""Zero-centred penalty :math:`E\,\|\nabla_x D(x)\|^2`, the mean over all codes.

    Parameters
    ----------
    discriminator : nn.Module
        Maps (n, n_code) to (n, 1). The logit of a code must not depend on other codes.
    codes : Tensor of shape (n, n_code)
        Draws of the prior or squashed codes.

    Returns
    -------
    penalty : Tensor of shape ()

    References
    ----------
    Mescheder et al., "Which training methods for GANs do actually converge?", ICML 2018.
    """
    codes = codes.detach().requires_grad_()
    # Logits do not depend on other codes, so the gradient of their sum holds each one's gradient.
    (gradients,) = torch.autograd.grad(discriminator(codes).sum(), codes, create_graph=True)
    return gradients.square().sum(1).mean()
