"""What it takes to build an encoder and its objective: decided once, by ``fit``, and kept."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from skdim.augmentation import Augmentation
from skdim.encoders import MirrorAverage, encode, evaluating
from skdim.mutual_information import Estimator
from skdim.objective import DIMObjective
from skdim.pickling import refer
from skdim.priors import Prior


@dataclass(frozen=True)
class Recipe:
    """The choices behind a network, resolved from names to the things they name.

    The attributes are the parameters of `DIMTransformer` of the same names, apart from
    ``sample_shape``, the shape of a sample, channels first.
    """

    sample_shape: tuple[int, ...]
    encoder: type[nn.Module]
    n_components: int | None
    encoder_params: dict
    augment: Augmentation | None
    n_views: int
    n_crops: int
    mirror: bool
    global_weight: float
    local_weight: float
    prior_weight: float
    mi_estimator: Estimator
    critic: type[nn.Module]
    critic_width: int
    n_locations: int | None
    prior: Prior
    gradient_penalty: float
    coordinate_weight: float
    coordinates: tuple[type[nn.Module], ...]

    def build_encoder(self, device: torch.device) -> nn.Module:
        """Build the encoder, with fresh weights from torch's global generator."""
        encoder = self.encoder(self.sample_shape, self.n_components, **self.encoder_params)
        if self.mirror:
            encoder = MirrorAverage(encoder)
        if len(self.sample_shape) == 3:
            encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # in docs
        encoder.to(device)
        for parameter in encoder.parameters():
            if parameter.ndim == 4:  # of images, which are laid out alike
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return encoder

    def build_objective(self, encoder: nn.Module, device: torch.device) -> DIMObjective:
        """Build critics and discriminator that fit what the encoder returns."""
        with torch.no_grad(), evaluating(encoder):
            pair = torch.zeros(2, *self.sample_shape, device=device)
            encoding = encode(encoder, pair)
        return DIMObjective(
            n_code=encoding.code.shape[1],
            local_shapes=[(m.shape[1], m.shape[2]) for m in encoding.local_maps],
            global_weight=self.global_weight,
            local_weight=self.local_weight,
            prior_weight=self.prior_weight,
            mi_estimator=self.mi_estimator,
            critic=self.critic,
            critic_width=self.critic_width,
            n_locations=self.n_locations,
            prior=self.prior,
            gradient_penalty=self.gradient_penalty,
            coordinate_weight=self.coordinate_weight,
            coordinates=self.coordinates,
            n_axes=len(self.sample_shape) - 1,
        ).to(device)

    def check_same_encoder(self, other: "Recipe") -> None:
        """Raise ValueError if the weights of one encoder could not go on as the other's."""
        for name in ("sample_shape", "encoder", "n_components", "encoder_params", "mirror"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                raise ValueError(
                    f"The {name!r} parameter was {ours!r} when this transformer was fitted; "
                    f"training cannot go on with {theirs!r}. Fit afresh with warm_start=False."
                )

    def for_pickle(self) -> "Recipe":
        """Return the recipe with references in the place of functions and classes."""
        parts: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return replace(self, **{name: refer(part, name) for name, part in parts.items()})


def carry_over(old: nn.Module, new: nn.Module) -> bool:
    """Give a new network the weights of an old one, wherever name and shape agree.

    Returns
    -------
    is_same : bool
        Whether that was everywhere, in both.
    """
    known = new.state_dict()
    weights = {
        name: tensor
        for name, tensor in old.state_dict().items()
        if name in known and known[name].shape == tensor.shape
    }
    new.load_state_dict(weights, strict=False)
    return len(weights) == len(known) == len(old.state_dict())
