"""What it takes to build an encoder and its objective: resolved once, by ``fit``, and kept."""

import copy
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from skdim._names import lookup
from skdim.augmentation import (
    DEFAULT_AUGMENTATIONS,
    Augmentation,
    augment_images,
    crops_per_grid,
)
from skdim.coordinates import COORDINATES
from skdim.critics import CRITICS
from skdim.encoders import (
    DEFAULT_ENCODERS,
    ENCODERS,
    Encoding,
    FlipAverage,
    MLPEncoder,
    encode,
    evaluating,
)
from skdim.mutual_information import ESTIMATORS, Estimator
from skdim.objective import DIMObjective
from skdim.priors import PRIORS, Prior
from skdim.sources._arrays import read_column_groups

# Sides of the default views of colour images, relative to the image: half the work of a step.
VIEW_SIZE = 0.75


@dataclass(frozen=True)
class ModelConfig:
    """The choices behind a network, resolved from names to the objects they name.

    The attributes are the parameters of `DIMTransformer` of the same names, besides the first two.

    Attributes
    ----------
    sample_shape : tuple of int
        Shape of a sample, channels first.
    given : dict
        The parameters as the user gave them, which is what a file holds.
    """

    sample_shape: tuple[int, ...]
    given: Mapping[str, Any]
    n_components: int | None
    encoder: type[nn.Module]
    encoder_params: dict
    flip_averaging: bool
    column_groups: tuple[tuple[int, ...], ...]
    allow_nan: bool
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
    augment: Augmentation | None
    n_views: int
    n_crops: int
    occlusion: bool

    def build_encoder(self, device: torch.device) -> nn.Module:
        """Build the encoder, with fresh weights from torch's global generator."""
        encoder = self.encoder(self.sample_shape, self.n_components, **self.encoder_params)
        if self.flip_averaging:
            encoder = FlipAverage(encoder)
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

    def check_same_encoder(self, other: "ModelConfig") -> None:
        """Raise ValueError if the weights of one encoder could not go on as the other's."""
        for name in ("sample_shape", "encoder", "n_components", "encoder_params", "flip_averaging"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                raise ValueError(
                    f"The {name!r} parameter was {ours!r} when this transformer was fitted; "
                    f"training cannot go on with {theirs!r}. Fit afresh with warm_start=False."
                )


# Parameters of `DIMTransformer` that a network is built from.
MODEL_PARAMETERS = tuple(field.name for field in fields(ModelConfig)[2:])


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
        return encode(encoder, torch.zeros(2, *sample_shape, device=device, dtype=torch.float32))


def check_weights(config: ModelConfig, weights: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Check a file's weights against the configuration, before memory is allocated.

    Parameters
    ----------
    config : ModelConfig
    weights : mapping of "encoder" and "objective" to mapping of str to ndarray
        Without an objective, where a model was trimmed.

    Raises
    ------
    ValueError
        If the configuration is of networks of other weights, or of far larger ones.
    """
    numbers = list(_numbers_in(config.encoder_params))
    n_values = sum(array.size for array in weights["encoder"].values())
    depth = config.encoder_params.get("depth", 0)
    if max(numbers, default=0) > n_values or len(numbers) > n_values or depth > n_values:
        raise ValueError("the 'encoder_params' are of a far larger encoder than its weights")
    meta = torch.device("meta")
    with meta:  # shapes only
        encoder = config.build_encoder(meta)
        _check_shapes(encoder, weights["encoder"], "encoder")
        if "objective" in weights:
            objective = config.build_objective(encoder, meta)
            _check_shapes(objective, weights["objective"], "objective")


def _numbers_in(value: Any) -> Iterator[int]:
    """Yield every whole number in dicts, lists and tuples."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _numbers_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers_in(item)


def _check_shapes(module: nn.Module, weights: Mapping[str, np.ndarray], name: str) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if expected != {name: array.shape for name, array in weights.items()}:
        raise ValueError(f"the weights are not those of the {name} that it names")


def resolve(
    params: Mapping[str, Any],
    sample_shape: tuple[int, ...],
    column_names: np.ndarray | None = None,
) -> ModelConfig:
    """Resolve everything that parameters and the shape of a sample determine.

    Parameters
    ----------
    params : mapping
        Parameters of `DIMTransformer`, the `MODEL_PARAMETERS` at least.
    sample_shape : tuple of int
        Channels first.
    column_names : ndarray of str, or None
        By which ``column_groups`` may name columns.

    Returns
    -------
    config : ModelConfig

    Raises
    ------
    ValueError, TypeError
        If a parameter is unfit, for such samples or in general; the message names it.
    """
    given = {name: params[name] for name in MODEL_PARAMETERS}
    weights = ("global_weight", "local_weight", "prior_weight", "coordinate_weight")
    if not any(given[weight] for weight in weights):
        raise ValueError(
            "One of the 'global_weight', 'local_weight', 'prior_weight' and 'coordinate_weight' "
            "parameters must be positive. Got 0 for all four."
        )
    encoder = _encoder(given["encoder"], sample_shape)
    column_groups = _column_groups(given["column_groups"], sample_shape, column_names)
    given["column_groups"] = column_groups or None  # by number: a file need not know the names
    encoder_params = dict(given["encoder_params"] or {})
    if column_groups and encoder is MLPEncoder:
        encoder_params = {"column_groups": column_groups, **encoder_params}
    if given["allow_nan"]:
        encoder_params = {**encoder_params, "allow_nan": True}
    _check_arguments(encoder, encoder_params)
    resolved = {
        "n_components": _as_int(given["n_components"]),
        "encoder": encoder,
        "encoder_params": encoder_params,
        "flip_averaging": _flip_averaging(given["flip_averaging"], sample_shape),
        "column_groups": column_groups,
        "mi_estimator": lookup(given["mi_estimator"], ESTIMATORS, "mi_estimator"),
        "critic": lookup(given["critic"], CRITICS, "critic"),
        "critic_width": int(given["critic_width"]),
        "n_locations": _as_int(given["n_locations"]),
        "prior": _prior(given["prior"]),
        "coordinates": lookup(given["coordinates"], COORDINATES, "coordinates", or_callable=False),
        "augment": _augmentation(given, sample_shape, encoder),
        "n_views": 1 if given["augment"] is None else int(given["n_views"]),
        "n_crops": _n_crops(given, sample_shape),
        "occlusion": _occlusion(given["occlusion"], sample_shape),
    }
    return ModelConfig(sample_shape=sample_shape, given=given, **{**given, **resolved})


def _as_int(size: Any) -> int | None:
    """Return a size as a plain int: True is an int for Python, but not for torch."""
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
    name = getattr(encoder, "__name__", type(encoder).__name__)
    signature = inspect.signature(encoder)
    try:
        signature.bind((), None, **encoder_params)
    except TypeError as error:
        if "allow_nan" in encoder_params and "allow_nan" not in signature.parameters:
            raise ValueError(
                "The 'allow_nan' parameter must be False for encoders without a parameter of that "
                f"name. Got {name}."
            ) from None
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
) -> Augmentation | None:
    n_axes = len(sample_shape)
    if given["augment"] != "auto":
        return given["augment"]
    if n_axes not in DEFAULT_AUGMENTATIONS:
        raise ValueError(
            f"There are no default views of samples of shape {sample_shape} (channels first): "
            "set the 'augment' parameter to None or to a function."
        )
    # The global critic and positions in a map belong to whole maps, of one size only.
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


def _n_crops(given: Mapping[str, Any], sample_shape: tuple[int, ...]) -> int:
    n_crops, n_axes = given["n_crops"], len(sample_shape)
    if n_crops and (n_axes == 1 or n_crops % crops_per_grid(n_axes)):
        wanted = "0 for rows" if n_axes == 1 else f"a multiple of {crops_per_grid(n_axes)}"
        raise ValueError(
            f"The 'n_crops' parameter must be {wanted}, for samples of shape {sample_shape} "
            f"(channels first). Got {n_crops}."
        )
    if n_crops and given["allow_nan"]:
        raise ValueError(
            "The 'n_crops' parameter must be 0 beside allow_nan=True, because a small crop may lie "
            f"behind the end of a signal. Got {n_crops}."
        )
    return n_crops


def _flip_averaging(flip_averaging: bool, sample_shape: tuple[int, ...]) -> bool:
    if flip_averaging and len(sample_shape) < 3:
        raise ValueError(
            "The 'flip_averaging' parameter is for images and volumes. Got it for samples of shape "
            f"{sample_shape} (channels first)."
        )
    return bool(flip_averaging)


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
