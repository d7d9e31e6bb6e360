"""What it takes to build an encoder and its objective: decided once, by ``fit``, and kept."""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from skdim.augmentation import (
    DEFAULT_AUGMENTATIONS,
    Augmentation,
    augment_images,
    augment_rows,
    crops_in_a_mosaic,
)
from skdim.coordinates import COORDINATES
from skdim.critics import CRITICS
from skdim.encoders import (
    DEFAULT_ENCODERS,
    ENCODERS,
    Encoding,
    MirrorAverage,
    MLPEncoder,
    encode,
    evaluating,
)
from skdim.mutual_information import ESTIMATORS, Estimator
from skdim.objective import DIMObjective
from skdim.priors import PRIORS, Prior
from skdim.registry import lookup
from skdim.validation import read_column_groups

# Sides of the default views of colour images, as a part of the image's: half the work of a step.
VIEW_SIZE = 0.75

# Parameters of DIMTransformer that a recipe is made of.
INGREDIENTS = (
    "n_components",
    "encoder",
    "encoder_params",
    "column_groups",
    "mirror",
    "global_weight",
    "local_weight",
    "prior_weight",
    "coordinate_weight",
    "coordinates",
    "mi_estimator",
    "critic",
    "critic_width",
    "n_locations",
    "prior",
    "gradient_penalty",
    "augment",
    "n_views",
    "n_crops",
    "occlusion",
)


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
    occlusion: bool
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
        n_code, local_shapes = outline(encoder, self.sample_shape, device)
        return DIMObjective(
            n_code=n_code,
            local_shapes=local_shapes,
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


def outline(
    encoder: nn.Module, sample_shape: tuple[int, ...], device: torch.device
) -> tuple[int, list[tuple[int, int]]]:
    """Return the length of a code and the (n_locations, n_channels) of each local map.

    Without arithmetic, where every layer can say its shapes without; by encoding zeros, where one
    cannot.
    """
    try:
        encoding = encode_zeros(copy.deepcopy(encoder).to("meta"), sample_shape, "meta")
    except Exception:  # whatever a user's layer may raise: the next line says it of real numbers
        encoding = encode_zeros(encoder, sample_shape, device)
    return encoding.code.shape[1], [(m.shape[1], m.shape[2]) for m in encoding.local_maps]


@torch.no_grad()
def encode_zeros(
    encoder: nn.Module, sample_shape: tuple[int, ...], device: torch.device | str
) -> Encoding:
    """Encode two samples of zeros."""
    with evaluating(encoder):
        return encode(encoder, torch.zeros(2, *sample_shape, device=device))


def check_weights(recipe: Recipe, weights: Mapping[str, np.ndarray]) -> None:
    """Hold a file's weights of an encoder against the recipe beside them, before memory is taken.

    Parameters
    ----------
    recipe : Recipe
    weights : mapping of str to ndarray

    Raises
    ------
    ValueError
        If the recipe is of an encoder of other weights, or of far larger ones.
    """
    numbers = [n for n in recipe.encoder_params.values() if isinstance(n, int)]
    n_values = sum(array.size for array in weights.values())
    if max(numbers, default=0) > n_values or recipe.encoder_params.get("depth", 0) > len(weights):
        raise ValueError("the 'encoder_params' are of a far larger encoder than its weights")
    with torch.device("meta"):  # shapes only
        encoder = recipe.build_encoder(torch.device("meta"))
    expected = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
    found = {name: array.shape for name, array in weights.items()}
    if expected != found:
        raise ValueError("the weights are not those of the encoder that it names")


def decide(
    given: Mapping[str, Any],
    sample_shape: tuple[int, ...],
    column_names: np.ndarray | None = None,
) -> Recipe:
    """Decide on everything that parameters and the shape of a sample decide.

    Parameters
    ----------
    given : mapping
        Parameters of `DIMTransformer`, the `INGREDIENTS` at least.
    sample_shape : tuple of int
        Channels first.
    column_names : ndarray of str, or None
        By which ``column_groups`` may name columns.

    Returns
    -------
    recipe : Recipe

    Raises
    ------
    ValueError, TypeError
        If a parameter is unfit, for such samples or altogether; the message names it.
    """
    weights = ("global_weight", "local_weight", "prior_weight", "coordinate_weight")
    if not any(given[weight] for weight in weights):
        raise ValueError(
            "One of the 'global_weight', 'local_weight', 'prior_weight' and 'coordinate_weight' "
            "parameters must be positive. Got 0 for all four."
        )
    encoder = _encoder(given["encoder"], sample_shape)
    column_groups = _column_groups(given["column_groups"], sample_shape, column_names)
    encoder_params = dict(given["encoder_params"] or {})
    if column_groups and encoder is MLPEncoder:
        encoder_params = {"column_groups": column_groups, **encoder_params}
    _check_arguments(encoder, encoder_params)
    return Recipe(
        sample_shape=sample_shape,
        encoder=encoder,
        n_components=_plain(given["n_components"]),
        encoder_params=encoder_params,
        augment=_augmentation(given, sample_shape, encoder, column_groups),
        n_views=1 if given["augment"] is None else int(given["n_views"]),
        n_crops=_n_crops(given["n_crops"], sample_shape),
        occlusion=_occlusion(given["occlusion"], sample_shape),
        mirror=_mirror(given["mirror"], sample_shape),
        global_weight=given["global_weight"],
        local_weight=given["local_weight"],
        prior_weight=given["prior_weight"],
        mi_estimator=lookup(given["mi_estimator"], ESTIMATORS, "mi_estimator"),
        critic=lookup(given["critic"], CRITICS, "critic"),
        critic_width=int(given["critic_width"]),
        n_locations=_plain(given["n_locations"]),
        prior=_prior(given["prior"]),
        gradient_penalty=given["gradient_penalty"],
        coordinate_weight=given["coordinate_weight"],
        coordinates=lookup(given["coordinates"], COORDINATES, "coordinates", or_callable=False),
    )


def _plain(size: Any) -> int | None:
    """A size as a plain whole number: True is one for Python, but not for torch."""
    return None if size is None else int(size)


def _encoder(name: Any, sample_shape: tuple[int, ...]) -> type[nn.Module]:
    if name == "auto":
        if len(sample_shape) not in DEFAULT_ENCODERS:
            raise ValueError(
                f"There is no default encoder for samples of shape {sample_shape} (channels "
                "first): pass an encoder class as the 'encoder' parameter."
            )
        name = DEFAULT_ENCODERS[len(sample_shape)]
    if isinstance(name, nn.Module):
        raise TypeError(
            "The 'encoder' parameter must be a class, so that every fit starts afresh. Got "
            f"an instance; pass encoder={type(name).__name__} and its arguments as "
            "'encoder_params'."
        )
    return lookup(name, ENCODERS, "encoder")


def _check_arguments(encoder: type[nn.Module], encoder_params: dict) -> None:
    try:
        inspect.signature(encoder).bind((), None, **encoder_params)
    except TypeError as error:
        name = getattr(encoder, "__name__", type(encoder).__name__)
        raise TypeError(
            "The 'encoder_params' parameter must hold keyword arguments of the encoder, beside "
            f"'sample_shape' and 'n_components'. {name} {error}."
        ) from None


def _prior(prior: Any) -> Prior:
    if isinstance(prior, Prior):
        return prior
    chosen = lookup(prior, PRIORS, "prior")
    return chosen if isinstance(chosen, Prior) else Prior(chosen)


def _augmentation(
    given: Mapping[str, Any],
    sample_shape: tuple[int, ...],
    encoder: type[nn.Module],
    column_groups: tuple[tuple[int, ...], ...],
) -> Augmentation | None:
    n_axes = len(sample_shape)
    if given["augment"] != "auto":
        return given["augment"]
    if n_axes not in DEFAULT_AUGMENTATIONS:
        raise ValueError(
            f"There are no default views of samples of shape {sample_shape} (channels first): "
            "set the 'augment' parameter to None or to a function."
        )
    if column_groups:
        return partial(augment_rows, column_groups=column_groups)
    # The global critic and places in a map know whole maps, of one size only.
    has_one_size = given["global_weight"] or given["coordinate_weight"]
    if n_axes == 3 and getattr(encoder, "takes_any_size", False) and not has_one_size:
        return partial(augment_images, size=VIEW_SIZE)
    return DEFAULT_AUGMENTATIONS[n_axes]


def _column_groups(
    column_groups: Any, sample_shape: tuple[int, ...], names: np.ndarray | None
) -> tuple[tuple[int, ...], ...]:
    if column_groups is None:
        return ()
    if len(sample_shape) != 1:
        raise ValueError(
            "The 'column_groups' parameter is for rows. Got it for samples of shape "
            f"{sample_shape} (channels first)."
        )
    return read_column_groups(column_groups, sample_shape[0], names)


def _n_crops(n_crops: int, sample_shape: tuple[int, ...]) -> int:
    n_axes = len(sample_shape)
    if n_crops and (n_axes == 1 or n_crops % crops_in_a_mosaic(n_axes)):
        wanted = "0 for rows" if n_axes == 1 else f"a multiple of {crops_in_a_mosaic(n_axes)}"
        raise ValueError(
            f"The 'n_crops' parameter must be {wanted}, for samples of shape {sample_shape} "
            f"(channels first). Got {n_crops}."
        )
    return n_crops


def _mirror(mirror: bool, sample_shape: tuple[int, ...]) -> bool:
    if mirror and len(sample_shape) < 3:
        raise ValueError(
            "The 'mirror' parameter is for images and volumes. Got it for samples of shape "
            f"{sample_shape} (channels first)."
        )
    return bool(mirror)


def _occlusion(occlusion: bool, sample_shape: tuple[int, ...]) -> bool:
    if occlusion and len(sample_shape) < 2:
        raise ValueError(
            "The 'occlusion' parameter is for signals, images and volumes. Got it for rows."
        )
    return bool(occlusion)


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
