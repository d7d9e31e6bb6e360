"""Priors: distributions that codes are trained to follow, and the discriminator for them.

A prior draws codes with ``sample(shape, generator)`` and maps a code into its support with
``squash``. To add a prior, list it in `PRIORS`; it is then a legal ``prior``. A function
``sample`` without a ``squash`` is legal too: codes are then compared as they are.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus


def as_they_are(code: Tensor) -> Tensor:
    """Return the code unchanged, for priors without bounds."""
    return code


class Prior(NamedTuple):
    """A distribution over codes.

    Attributes
    ----------
    sample : callable (shape, generator) -> Tensor
        Draws from the distribution, on the generator's device.
    squash : callable (code) -> Tensor
        Maps an unbounded code into the support of the prior. Used only in the adversarial loss
        between encoder and discriminator, never by ``transform``.
    """

    sample: Callable[..., Tensor]
    squash: Callable[[Tensor], Tensor] = as_they_are


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
    "normal": Prior(normal),
    "sphere": Prior(sphere, normalize),
}


class Discriminator(nn.Sequential):
    """Tell draws of the prior from squashed codes; returns one logit for each code.

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
        From (n, n_code) to (n, 1); the logit of a code must not depend on other codes.
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
    # Logits do not depend on other codes: the gradient of their sum holds that of each logit.
    (gradients,) = torch.autograd.grad(discriminator(codes).sum(), codes, create_graph=True)
    return gradients.square().sum(1).mean()
