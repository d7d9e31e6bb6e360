"""The layout of samples in X, and the conversion of X to samples with channels first."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from skdim.modalities import Modality, modality_of, modality_of_x


@dataclass(frozen=True)
class Layout:
    """The layout of samples in X.

    Attributes
    ----------
    x_shape : tuple of int
        Shape of a sample in X.
    unflat_shape : tuple of int
        Shape of a sample after flat samples are reshaped to ``sample_shape``; else ``x_shape``.
    channel_axis : int or None
        Axis of channels in X after this reshaping, with samples as axis 0. None without channels.
    allow_nan : bool
        Whether samples may hold NaN.
    oscillate : bool
        Whether samples are treated as signals that are long and oscillate. ``fit`` decides it.
    """

    x_shape: tuple[int, ...]
    unflat_shape: tuple[int, ...]
    channel_axis: int | None
    allow_nan: bool = False
    oscillate: bool = False

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of a sample, channels first."""
        if self.channel_axis is None:
            return (1, *self.unflat_shape)
        sides = list(self.unflat_shape)
        return (sides.pop(self.channel_axis - 1), *sides)

    @property
    def is_flat(self) -> bool:
        """Whether X has two axes."""
        return len(self.x_shape) == 1

    @property
    def modality(self) -> Modality:
        """The modality of the samples."""
        return modality_of(self.sample_shape, oscillate=self.oscillate)

    def as_samples(self, X: np.ndarray) -> np.ndarray:
        """Convert X (n, *x_shape) to samples (n, channels, *sides); a table has channels only.

        A copy is made only to change the byte order.

        Raises
        ------
        ValueError
            If ``allow_nan`` is set and NaN is where it may not be.
        """
        X = X.astype(X.dtype.newbyteorder("="), copy=False)
        X = X.reshape(len(X), *self.unflat_shape)
        samples = X[:, None] if self.channel_axis is None else np.moveaxis(X, self.channel_axis, 1)
        if self.allow_nan:
            self.modality.check_missing(samples)
        return samples


def find_layout(
    shape: Sequence[int],
    sample_shape: Sequence[int] | None = None,
    channel_axis: Any = "auto",
    allow_nan: bool = False,
) -> Layout:
    """Determine how samples lie in an X of this shape, by parameters of `skdim.DIMTransformer`.

    Raises
    ------
    ValueError
        If the parameters do not fit the shape.
    """
    x_shape = unflat_shape = tuple(int(side) for side in shape[1:])
    if 0 in x_shape:
        raise ValueError(f"X must hold values. Got X of shape {tuple(shape)}, without any.")
    if sample_shape is not None and len(shape) == 2:
        unflat_shape = _check_sample_shape(tuple(sample_shape), x_shape[0])
    full_shape = (shape[0], *unflat_shape)
    n_dims = len(full_shape)
    if channel_axis == "auto":
        channel_axis = _guess_channel_axis(full_shape)
    if channel_axis is None:
        return Layout(x_shape, unflat_shape, None, bool(allow_nan))
    axis = int(channel_axis)
    if not 0 < abs(axis) < n_dims:
        raise ValueError(
            f"The 'channel_axis' parameter must be an axis of X from 1 to {n_dims - 1}, or None. "
            f"Got {channel_axis} for X of shape {full_shape}."
        )
    return Layout(x_shape, unflat_shape, axis % n_dims, bool(allow_nan))


def _check_sample_shape(sample_shape: tuple[Any, ...], n_values: int) -> tuple[int, ...]:
    if not all(isinstance(side, Integral) and int(side) > 0 for side in sample_shape):
        raise ValueError(
            "The 'sample_shape' parameter must hold whole numbers of at least 1. "
            f"Got {sample_shape}."
        )
    if int(np.prod(sample_shape)) != n_values:
        raise ValueError(
            f"The 'sample_shape' parameter {sample_shape} holds {int(np.prod(sample_shape))} "
            f"values, but X has {n_values} features."
        )
    return tuple(int(side) for side in sample_shape)


def _guess_channel_axis(shape: tuple[int, ...]) -> int | None:
    modality, sides = modality_of_x(shape), shape[1:]
    if modality is None:
        raise ValueError(
            "X must hold rows (2 dimensions), images (3 or 4) or volumes (5) unless the "
            f"'channel_axis' parameter says where the channels are. Got X of shape {shape}."
        )
    if len(sides) == modality.n_sides:
        return None
    if len(sides) == 1:
        return 1
    is_first, is_last = _like_channels(sides[0], sides[1:]), _like_channels(sides[-1], sides[:-1])
    if is_first == is_last:
        as_first, as_last = (" x ".join(map(str, part)) for part in (sides[1:], sides[:-1]))
        raise ValueError(
            f"X of shape {shape} can be read as {as_first} {modality.name} of {sides[0]} channels "
            f"(channel_axis=1) or as {as_last} {modality.name} of {sides[-1]} channels "
            "(channel_axis=-1): set the 'channel_axis' parameter."
        )
    return 1 if is_first else -1


def _like_channels(n_channels: int, sides: Sequence[int]) -> bool:
    return n_channels < min(sides) and (n_channels <= 4 or 4 * n_channels <= min(sides))
