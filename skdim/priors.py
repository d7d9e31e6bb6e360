"""The distribution that codes are asked to follow, and the adversary that compares them.

A prior draws with ``sample(shape, generator)`` and maps a code into its own range with
``squash``. Write one, list it in `PRIORS`, and it is a legal ``prior``.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


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
    squash: Callable[[Tensor], Tensor]


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform on [0, 1], independent in every component."""
    return torch.rand(shape, generator=generator, device=generator.device)


PRIORS: dict[str, Prior] = {"uniform": Prior(uniform, torch.sigmoid)}


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
