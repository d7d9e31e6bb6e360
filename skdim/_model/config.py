"""What it takes to build an encoder and its objective: resolved once, by ``fit``, and saved."""

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from skdim._names import lookup
from skdim._runtime.seeding import seeded_globally
from skdim.augmentation import Augmentation
from skdim.critics import CRITICS
from skdim.encoders import ENCODERS, Encoding, FlipAverage, encode, evaluating
from skdim.modalities import TABLES, Modality
from skdim.mutual_information import ESTIMATORS
from skdim.objective import DIMObjective, ObjectiveConfig
from skdim.objective.coordinates import COORDINATES
from skdim.priors import as_prior
from skdim.sources.groups import index_column_groups
from skdim.sources.layout import Layout

# Numbers in a layer that is computed only to know its shape: 32 MiB.
SMALL_LAYER = 2**23

# Functions by which the layers of skdim get their first weights.
INITIALIZERS = {"kaiming_uniform_", "uniform_", "normal_", "zero_", "fill_"}


@dataclass(frozen=True)
class ModelConfig:
    """The choices behind a network, resolved from names to the objects they name.

    The attributes are the parameters of `DIMTransformer` with the same names, except the first
    three.

    Attributes
    ----------
    layout : Layout
        How samples lie in X.
    params : dict
        The parameters as the user gave them, which is what a file holds.
    objective : ObjectiveConfig
    """

    layout: Layout
    params: Mapping[str, Any]
    objective: ObjectiveConfig
    n_components: int | None
    encoder: type[nn.Module]
    encoder_params: dict
    flip_averaging: bool
    neighbor_averaging: bool | str
    column_groups: tuple[tuple[int, ...], ...]
    allow_nan: bool
    augment: Augmentation | None
    n_views: int
    n_crops: int
    occlusion: bool

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of a sample, channels first."""
        return self.layout.sample_shape

    @property
    def modality(self) -> Modality:
        """The modality of the samples."""
        return self.layout.modality

    @property
    def n_grids(self) -> int:
        """Number of crop grids of each sample in a step."""
        return self.n_crops // self.modality.n_crops_per_grid if self.n_crops else 0

    @property
    def fills_missing(self) -> bool:
        """Whether missing values may be filled; those of signals are their end, and are not."""
        return self.allow_nan and self.modality is TABLES

    @property
    def readout_views(self) -> Augmentation | None:
        """Makes the views that components should agree on: of full size, unless they are custom."""
        if not self.modality.compares_views or self.augment is None:
            return None
        return self.modality.augment if self.params["augment"] == "auto" else self.augment

    def averages_neighbors(self, n_samples: int) -> bool:
        """Whether a fit to so many samples averages features over similar ones."""
        if self.neighbor_averaging == "auto":
            return n_samples >= self.modality.fewest_averaged
        return bool(self.neighbor_averaging)

    def build_encoder(self, device: torch.device) -> nn.Module:
        """Build the encoder, with fresh weights from torch's global generator."""
        encoder = self.encoder(self.sample_shape, self.n_components, **self.encoder_params)
        if self.flip_averaging:
            encoder = FlipAverage(encoder)
        memory_format = self.modality.memory_format
        if memory_format is torch.channels_last:
            encoder.to(memory_format=memory_format)  # type: ignore[call-overload]  # in docs
        encoder.to(device)
        for parameter in encoder.parameters():
            if parameter.ndim == 4:  # filters of images, also those of one pixel, have one order
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return encoder

    def build_objective(self, encoder: nn.Module, device: torch.device) -> DIMObjective:
        """Build critics and discriminator that fit what the encoder returns."""
        return self.objective_of(outline(encoder, self.sample_shape, device), device)

    def objective_of(self, shapes: "Outline", device: torch.device) -> DIMObjective:
        """Build critics and discriminator that fit the `outline` of an encoder."""
        n_code, local_shapes = shapes
        n_sides = self.modality.n_sides
        return DIMObjective(self.objective, n_code, local_shapes, n_sides).to(device)

    def check_same_encoder(self, other: "ModelConfig") -> None:
        """Raise ValueError if the weights of one encoder could not go on as the other's."""
        names = ["sample_shape", "encoder", "n_components", "flip_averaging", "allow_nan"]
        if takes_column_groups(self.encoder):
            names.append("column_groups")
        for name in (*names, "encoder_params"):  # last: the others may add to them
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                raise ValueError(
                    f"The {name!r} parameter was {ours!r} when this transformer was fitted; "
                    f"training cannot go on with {theirs!r}. Fit afresh with warm_start=False."
                )


OBJECTIVE_PARAMETERS = tuple(field.name for field in fields(ObjectiveConfig))

# Parameters of `DIMTransformer` that a network is built from; the first three fields are not any.
MODEL_PARAMETERS = (*OBJECTIVE_PARAMETERS, *(field.name for field in fields(ModelConfig)[3:]))


# The length of a code, and the (n_locations, n_channels) of each local map.
Outline = tuple[int, list[tuple[int, int]]]


def outline(encoder: nn.Module, sample_shape: tuple[int, ...], device: torch.device) -> Outline:
    """The shapes of what an encoder returns for a sample."""
    return _outline_of(encode_zeros(encoder, sample_shape, device, with_fixed=False))


def _outline_of(encoding: Encoding) -> Outline:
    return encoding.code.shape[1], [(m.shape[1], m.shape[2]) for m in encoding.local_maps]


@torch.no_grad()
def encode_zeros(
    encoder: nn.Module,
    sample_shape: tuple[int, ...],
    device: torch.device,
    *,
    with_fixed: bool = True,
) -> Encoding:
    """Encode two samples of zeros."""
    zeros = torch.zeros(2, *sample_shape, device=device, dtype=torch.float32)
    with evaluating(encoder):
        return encode(encoder, zeros, with_fixed=with_fixed)


class Shapes(NamedTuple):
    """The shapes of networks that take no memory.

    Attributes
    ----------
    encoding : Encoding or None
        Of two samples; None if a custom encoder cannot compute shapes only.
    parameters : dict of str to list of tuple
        Shapes of the parameters that each optimiser updates, in order.
    """

    encoding: Encoding | None
    parameters: dict[str, list[tuple[int, ...]]]


def check_weights(config: ModelConfig, weights: Mapping[str, Mapping[str, np.ndarray]]) -> Shapes:
    """Check a file's weights against the configuration, before memory is allocated.

    ``weights`` holds the arrays of "encoder" and, unless the model was trimmed, "objective", by
    name.

    Raises
    ------
    ValueError
        If the networks of the configuration have other weights, or are far larger.
    """
    if config.encoder in ENCODERS.values():  # for a custom encoder, the caller chose them
        numbers = list(_numbers_in(config.encoder_params))
        n_values = sum(array.size for array in weights["encoder"].values())
        n_layers = config.encoder_params.get("depth", 0)
        # Every layer has weights: building the network must not take longer than reading them.
        if max([*numbers, len(numbers)]) > n_values or n_layers > len(weights["encoder"]):
            raise ValueError("the 'encoder_params' ask for a far larger encoder than its weights")
    meta, encoding = torch.device("meta"), None
    trained: dict[str, list[nn.Parameter]] = {}
    with meta, _NothingWritten():
        encoder = config.build_encoder(meta)
    _check_weights_of(encoder, weights["encoder"], "encoder")
    with suppress(Exception):  # a user's layer may need real numbers, and raise anything
        encoding = _encode_shapes(config, encoder)
    if encoding is not None and "objective" in weights:
        with meta, _NothingWritten():
            objective = config.objective_of(_outline_of(encoding), meta)
        _check_weights_of(objective, weights["objective"], "objective")
        trained["optimizer"] = [*encoder.parameters(), *objective.critic_parameters()]
        if config.objective.prior_weight:
            trained["discriminator_optimizer"] = [*objective.discriminator.parameters()]
    if not all(np.isfinite(array).all() for array in weights["encoder"].values()):
        raise ValueError("the weights of the encoder must be finite numbers")
    return Shapes(encoding, {name: [tuple(p.shape) for p in ps] for name, ps in trained.items()})


class _NothingWritten(TorchFunctionMode):
    """A context in which tensors without memory are not initialised.

    Torch would import its compiler to find out that there is nothing to do, which takes seconds.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call ``func``, unless it writes into such a tensor."""
        kwargs = kwargs or {}
        written = next(iter((*args, *kwargs.values())), None)
        is_initializer = getattr(func, "__name__", "") in INITIALIZERS
        if is_initializer and isinstance(written, Tensor) and written.is_meta:
            return written
        return func(*args, **kwargs)


def _encode_shapes(config: ModelConfig, encoder: nn.Module) -> Encoding:
    """Encode two samples of zeros, of which only shapes count; ``encoder`` has no memory."""
    if not is_small(config, encoder):
        return encode_zeros(encoder, config.sample_shape, torch.device("meta"))
    cpu = torch.device("cpu")
    with seeded_globally(0, cpu):
        return encode_zeros(config.build_encoder(cpu), config.sample_shape, cpu)


def is_small(config: ModelConfig, encoder: nn.Module) -> bool:
    """Whether layers are small enough to compute them only to know their shapes.

    For tensors without memory, torch would import its compiler, which takes longer.
    """
    if config.encoder not in ENCODERS.values():
        return False
    n_positions = math.prod(config.sample_shape[1:])
    weights = chain(encoder.parameters(), encoder.buffers())
    n_channels = max(chain(config.sample_shape[:1], *(weight.shape for weight in weights)))
    return n_channels * n_positions <= SMALL_LAYER


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


def _check_weights_of(module: nn.Module, weights: Mapping[str, np.ndarray], name: str) -> None:
    expected = {
        name: (tuple(tensor.shape), tensor.is_floating_point())
        for name, tensor in module.state_dict().items()
    }
    if expected != {name: (w.shape, w.dtype.kind == "f") for name, w in weights.items()}:
        raise ValueError(f"the weights do not fit the {name} that it names")


def resolve(
    params: Mapping[str, Any], layout: Layout, column_names: np.ndarray | None = None
) -> ModelConfig:
    """Resolve everything that parameters of `DIMTransformer` and the shape of a sample determine.

    ``column_names`` are those that ``column_groups`` may use.

    Raises
    ------
    ValueError, TypeError
        If a parameter is unfit, for such samples or in general; the message names it.
    """
    params = {name: params[name] for name in MODEL_PARAMETERS}
    column_groups = _column_groups(params["column_groups"], layout, column_names)
    params["column_groups"] = column_groups or None  # by number: a file need not know the names
    _check_supported(params, layout)
    encoder = _encoder(params["encoder"], layout)
    resolved = {
        "n_components": _as_int(params["n_components"]),
        "encoder": encoder,
        "encoder_params": _encoder_params(encoder, params, column_groups),
        "flip_averaging": _flip_averaging(params["flip_averaging"], params["augment"], layout),
        "column_groups": column_groups,
        "augment": _augmentation(params, layout, encoder),
        "n_views": 1 if params["augment"] is None else int(params["n_views"]),
        "occlusion": bool(params["occlusion"]),
    }
    choices = {**params, **resolved}
    return ModelConfig(
        layout=layout,
        params=params,
        objective=_objective(params, layout.modality),
        **{name: value for name, value in choices.items() if name not in OBJECTIVE_PARAMETERS},
    )


def _objective(params: Mapping[str, Any], modality: Modality) -> ObjectiveConfig:
    weights = ("global_weight", "local_weight", "prior_weight", "coordinate_weight")
    if not any(params[weight] for weight in weights):
        raise ValueError(
            "One of the 'global_weight', 'local_weight', 'prior_weight' and 'coordinate_weight' "
            "parameters must be positive. Got 0 for all four."
        )
    critic = modality.critic if params["critic"] == "auto" else params["critic"]
    resolved = {
        **{weight: float(params[weight]) for weight in weights},  # torch has no larger integers
        "mi_estimator": lookup(params["mi_estimator"], ESTIMATORS, "mi_estimator"),
        "critic": lookup(critic, CRITICS, "critic"),
        "critic_width": int(params["critic_width"]),
        "n_locations": _as_int(params["n_locations"]),
        "prior": as_prior(params["prior"]),
        "coordinates": lookup(params["coordinates"], COORDINATES, "coordinates", or_callable=False),
    }
    return ObjectiveConfig(**{**{name: params[name] for name in OBJECTIVE_PARAMETERS}, **resolved})


def _as_int(size: Any) -> int | None:
    """Return a size as a plain int: True is an int for Python, but not for torch."""
    return None if size is None else int(size)


def _encoder(name: Any, layout: Layout) -> type[nn.Module]:
    if isinstance(name, nn.Module):
        raise TypeError(
            "The 'encoder' parameter must be a class, so that every fit starts afresh. Got "
            f"an instance; pass encoder={type(name).__name__} and its arguments as "
            "'encoder_params'."
        )
    if name == "auto":
        name = layout.modality.encoder
        if name is None:
            raise ValueError(
                f"There is no default encoder for samples of shape {layout.sample_shape} (channels "
                "first): pass an encoder class as the 'encoder' parameter."
            )
    return lookup(name, ENCODERS, "encoder")


def _encoder_params(
    encoder: type[nn.Module],
    params: Mapping[str, Any],
    column_groups: tuple[tuple[int, ...], ...],
) -> dict:
    """Arguments of an encoder, after a check that it takes them."""
    name = getattr(encoder, "__name__", type(encoder).__name__)
    signature = inspect.signature(encoder)
    encoder_params = dict(params["encoder_params"] or {})
    if column_groups and takes_column_groups(encoder):
        encoder_params = {"column_groups": column_groups, **encoder_params}
    if params["allow_nan"]:
        encoder_params["allow_nan"] = True
    try:
        signature.bind((), None, **encoder_params)
    except TypeError as error:
        if "allow_nan" in encoder_params and "allow_nan" not in signature.parameters:
            raise ValueError(
                "The 'allow_nan' parameter must be False for encoders without a parameter of that "
                f"name. Got {name}."
            ) from None
        raise TypeError(
            "The 'encoder_params' parameter must hold keyword arguments of the encoder, in "
            f"addition to 'sample_shape' and 'n_components'. {name} {error}."
        ) from None
    return encoder_params


def takes_column_groups(encoder: type[nn.Module]) -> bool:
    """Whether an encoder is to be told which columns belong together."""
    return "column_groups" in inspect.signature(encoder).parameters


def _augmentation(
    params: Mapping[str, Any], layout: Layout, encoder: type[nn.Module]
) -> Augmentation | None:
    modality = layout.modality
    if params["augment"] != "auto":
        return params["augment"]
    if modality.augment is None:
        raise ValueError(
            f"There are no default views of samples of shape {layout.sample_shape} (channels "
            "first): set the 'augment' parameter to None or to a function."
        )
    # The global critic and positions in a map belong to maps of samples, of one size only.
    has_one_size = params["global_weight"] or params["coordinate_weight"]
    if getattr(encoder, "takes_any_size", False) and not has_one_size:
        return modality.augment_smaller or modality.augment
    return modality.augment


def _column_groups(
    column_groups: Any, layout: Layout, names: np.ndarray | None
) -> tuple[tuple[int, ...], ...]:
    if column_groups is None:
        return ()
    if not layout.modality.has_columns:
        raise ValueError(
            "The 'column_groups' parameter must be None except for tables. Got it for samples of "
            f"shape {layout.sample_shape} (channels first)."
        )
    return index_column_groups(column_groups, layout.sample_shape[0], names)


def _flip_averaging(flip_averaging: Any, augment: Any, layout: Layout) -> bool:
    if flip_averaging == "auto":
        return augment == "auto" and layout.modality.views_flip(layout.sample_shape[0])
    return bool(flip_averaging)


def _check_supported(params: Mapping[str, Any], layout: Layout) -> None:
    """Raise ValueError if a parameter asks for what the modality of the samples does not have."""
    modality = layout.modality
    got = f"for {modality.name}. Got"
    is_averaged = _flip_averaging(params["flip_averaging"], params["augment"], layout)
    if is_averaged and not modality.has_left_and_right:
        raise ValueError(f"The 'flip_averaging' parameter must be 'auto' or False {got} True.")
    if params["occlusion"] and not modality.has_occlusion:
        raise ValueError(f"The 'occlusion' parameter must be False {got} True.")
    n_crops, n_per_grid = params["n_crops"], modality.n_crops_per_grid
    if n_crops and (not n_per_grid or n_crops % n_per_grid):
        legal = f"a multiple of {n_per_grid}" if n_per_grid else "0"
        raise ValueError(f"The 'n_crops' parameter must be {legal} {got} {n_crops}.")
    if n_crops and params["allow_nan"]:
        raise ValueError(
            "The 'n_crops' parameter must be 0 if allow_nan=True, because a small crop may lie "
            f"after the end of a signal. Got {n_crops}."
        )


def carry_over(old: nn.Module, new: nn.Module) -> bool:
    """Give a new network those weights of an old one whose name and shape agree.

    Returns whether all weights of both agree.
    """
    known = new.state_dict()
    weights = {
        name: tensor
        for name, tensor in old.state_dict().items()
        if name in known and known[name].shape == tensor.shape
    }
    new.load_state_dict(weights, strict=False)
    return len(weights) == len(known) == len(old.state_dict())
