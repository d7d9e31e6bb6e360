"""The distribution that codes are asked to follow, and the adversary that compares them.

A prior draws with ``sample(shape, generator)`` and maps a code into its own range with
``squash``. Write one, list it in `PRIORS`, and it is a legal ``prior``; a bare function to draw
is one too, of codes as they are.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus


def as_they_are(code: Tensor) -> Tensor:
    """Leave codes unbounded."""
    return code


class Prior(NamedTuple):
    """A distribution over codes.

    Attributes
    ----------
    sample : callable (shape, generator) -> Tensor
        Draw on the generator's device.
    squash : callable (code) -> Tensor
        From an unbounded code to the support of the prior; used only in the game between encoder
        and discriminator, never by ``transform``.
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
    """Tell draws of the prior from squashed codes; returns one logit a row.

    The network of Hjelm et al., ICLR 2019: two hidden layers of 1000 and 200 units.
    """

    def __init__(self, n_code: int):
        super().__init__(
            nn.Linear(n_code, 1000), nn.ReLU(), nn.Linear(1000, 200), nn.ReLU(), nn.Linear(200, 1)
        )


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    r"""What the discriminator minimises, from its logits on draws and on codes.

    .. math:: E_V[\mathrm{sp}(-D)] + E_U[\mathrm{sp}(D)]
    """
    return softplus(-real).mean() + softplus(fake).mean()


def encoder_loss(fake: Tensor) -> Tensor:
    r"""What the encoder minimises, non-saturating: :math:`E_U[\mathrm{sp}(-D)]`."""
    return softplus(-fake).mean()


def gradient_penalty(discriminator: nn.Module, rows: Tensor) -> Tensor:
    r"""Zero-centred penalty :math:`E\,\|\nabla_x D(x)\|^2`, the mean over every row.

    Parameters
    ----------
    discriminator : nn.Module
        From (n, n_code) to (n, 1); each row is judged by itself.
    rows : Tensor of shape (n, n_code)

    Returns
    -------
    penalty : Tensor of shape ()

    References
    ----------
    Mescheder et al., "Which training methods for GANs do actually converge?", ICML 2018.
    """
    rows = rows.detach().requires_grad_()
    # Rows do not see each other, so the gradient of the sum holds each row's own gradient.
    (slopes,) = torch.autograd.grad(discriminator(rows).sum(), rows, create_graph=True)
    return slopes.square().sum(1).mean()
