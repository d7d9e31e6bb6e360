"""The output that every encoder must return, and a check of it."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Encoding(NamedTuple):
    """The output of an encoder for a batch.

    Attributes
    ----------
    code : Tensor of shape (n, n_components)
    hidden : Tensor of shape (n, n_hidden)
        Output of the layer before the code, and any other trained units that features include.
    local_maps : tuple of Tensor of shape (n, n_locations, n_channels)
        One map for each layer that is compared with the code. Spatial axes are flattened, and
        channels come last.
    global_codes : Tensor of shape (n, n_globals, n_components) or None
        Several global codes of each sample, if the encoder has them. Training then uses them, and
        ``code`` is their summary.
    fixed : Tensor of shape (n, n_fixed) or None
        Features without trained weights, such as responses of fixed kernels. They are appended to
        the hidden layer when features are read. `encode` computes them with the encoder's method
        ``fixed_features``.
    """

    code: Tensor
    hidden: Tensor
    local_maps: tuple[Tensor, ...]
    global_codes: Tensor | None = None
    fixed: Tensor | None = None

    def draw_codes(self, generator: torch.Generator) -> Tensor:
        """Return codes (n, n_components) to train on: one random global code of each sample.

        The expected bound is the mean over all global codes. Without global codes, ``code`` is
        returned.
        """
        if self.global_codes is None:
            return self.code
        n, n_globals, _ = self.global_codes.shape
        positions = torch.randint(n_globals, (n,), generator=generator, device=generator.device)
        return self.global_codes[torch.arange(n, device=positions.device), positions]


def encode(encoder: nn.Module, x: Tensor, *, with_fixed: bool = True) -> Encoding:
    """Run an encoder and check what it returns.

    Images are converted to channels-last memory format, which makes convolutions faster.

    Parameters
    ----------
    encoder : nn.Module
    x : Tensor of shape (n, *sample_shape)
    with_fixed : bool, default=True
        Whether to compute ``fixed_features``. They take time, and neither training nor scoring
        needs them.

    Raises
    ------
    TypeError
        If the encoder does not return (code, hidden, local_maps), optionally followed by global
        codes, with the shapes given in `Encoding`.
    """
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    output = encoder(x)
    n = len(x)
    try:
        code, hidden, local_maps, *rest = output
        shapes = [tuple(code.shape), tuple(hidden.shape), *(tuple(m.shape) for m in local_maps)]
    except (TypeError, ValueError, AttributeError):
        shapes = None
    if (
        shapes is None
        or [len(shape) for shape in shapes] != [2, 2] + [3] * (len(shapes) - 2)
        or any(shape[0] != n for shape in shapes)
        or len(shapes) < 3
    ):
        raise TypeError(
            f"The encoder {type(encoder).__name__} must return a code of shape (n, n_components), "
            "a hidden layer of shape (n, n_hidden) and a tuple of local maps of shape "
            f"(n, n_locations, n_channels), with n = {n}. Got "
            f"{shapes if shapes is not None else type(output).__name__} instead."
        )
    if rest and rest[0] is not None and rest[0].shape[::2] != code.shape:
        raise TypeError(
            f"The encoder {type(encoder).__name__} must return global codes of shape "
            f"(n, n_globals, n_components) with a code of shape {tuple(code.shape)}. Got "
            f"{tuple(rest[0].shape)}."
        )
    encoding = Encoding(*output)
    if code.dtype == torch.float64 != x.dtype:
        raise TypeError(
            f"The encoder {type(encoder).__name__} must return numbers of the type of its input, "
            f"{x.dtype}. Got a code of {code.dtype}."
        )
    return add_fixed(encoder, x, encoding) if with_fixed else encoding


def add_fixed(encoder: nn.Module, x: Tensor, encoding: Encoding) -> Encoding:
    """Add ``encoder.fixed_features(x)``, of shape (n, n_fixed), if the encoder has any."""
    if not hasattr(encoder, "fixed_features"):
        return encoding
    fixed = fixed_features(encoder, x)
    return encoding._replace(fixed=fixed) if fixed.shape[1] else encoding


def fixed_features(encoder: nn.Module, x: Tensor) -> Tensor:
    """Return ``encoder.fixed_features(x)``; raise TypeError unless its shape is (n, n_fixed)."""
    fixed: Any = encoder.fixed_features(x)  # type: ignore[operator]  # a method, or a mistake
    if isinstance(fixed, Tensor) and fixed.ndim == 2:
        return fixed
    raise TypeError(
        f"The method 'fixed_features' of the encoder {type(encoder).__name__} must return features "
        f"of shape (n, n_fixed). Got {tuple(getattr(fixed, 'shape', ())) or type(fixed).__name__}."
    )


def has_adapt(encoder: nn.Module) -> bool:
    """Whether an encoder has a method ``adapt(samples)``, which is called before training.

    The method gets samples of shape (n, *sample_shape). It may set weights that are not trained,
    such as filters computed from the samples.
    """
    return hasattr(encoder, "adapt")


def adapt(encoder: nn.Module, samples: Tensor) -> None:
    """Call ``encoder.adapt(samples)``, if the encoder has this method."""
    if has_adapt(encoder):
        encoder.adapt(samples)  # type: ignore[operator]  # has_adapt


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Set modules to evaluation mode inside the ``with`` block, then restore their modes."""
    were_training = [module.training for module in modules]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for module, was_training in zip(modules, were_training, strict=True):
            module.train(was_training)


def copy_to_meta(module: nn.Module) -> nn.Module:
    """Copy a module without its numbers: it computes shapes only, and takes no memory."""
    shapes: dict[int, Any] = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad)
        for p in module.parameters()
    }
    shapes |= {id(b): torch.empty_like(b, device="meta") for b in module.buffers()}
    return copy.deepcopy(module, shapes)


def as_local_map(feature_map: Tensor) -> Tensor:
    """Convert a map (n, channels, *sides) to a local map (n, n_locations, channels)."""
    return feature_map.flatten(2).transpose(1, 2)


def hidden_layer(n_in: int, n_hidden: int) -> nn.Module:
    """Return a linear layer with batch normalisation and activation."""
    return nn.Sequential(nn.Linear(n_in, n_hidden, bias=False), nn.BatchNorm1d(n_hidden), nn.GELU())


def normalized_code(n_hidden: int, n_components: int | None) -> nn.Module:
    """Return a linear layer with batch normalisation; the identity if n_components is None."""
    if n_components is None:
        return nn.Identity()
    return nn.Sequential(
        nn.Linear(n_hidden, n_components, bias=False), nn.BatchNorm1d(n_components)
    )


def check_sizes(lowest: int = 1, **sizes: Any) -> None:
    """Raise ValueError if an argument is not a whole number of at least ``lowest``."""
    for name, size in sizes.items():
        if not isinstance(size, Integral) or size < lowest:
            raise ValueError(f"{name!r} must be a whole number of at least {lowest}. Got {size!r}.")
