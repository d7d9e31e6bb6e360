"""Tables, signals, images and volumes: everything that depends on the modality, in one row each.

The modality of samples is the number of their sides: axes besides the axis of channels. To add a
modality, add a row to `MODALITIES`; the functions that a row names stand beside it or in the module
of their kind. Everything else asks `modality_of`, and compares nothing with a number of axes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from skdim.augmentation import (
    CROPPED_SIDE,
    Augmentation,
    augment_images,
    augment_signals,
    jitter_cells,
    move,
)

# Samples that ``max_epochs="auto"`` shows in addition to three epochs.
N_SHOWN, N_SHOWN_CROPPED = 30_000, 60_000
# Sides of the default views of colour images, relative to the image: half the work of a step.
VIEW_SIZE = 0.75
# Fewest points of a signal before it ends in NaN.
SHORTEST_SIGNAL = 4


@dataclass(frozen=True)
class Modality:
    """What skdim does with samples of one kind, unless a parameter says otherwise.

    Attributes
    ----------
    name : str
        In the plural, for messages.
    n_sides : int
        Axes of a sample besides that of channels.
    x_ndims : tuple of int
        Numbers of dimensions of X that ``channel_axis="auto"`` reads as this modality.
    encoder : str or None
        Name of the default encoder, in `skdim.encoders.ENCODERS`.
    augment : callable (batch, generator) -> batch, or None
        Makes the default views.
    augment_smaller : callable (batch, generator) -> batch, or None
        Makes default views that are smaller than samples, for encoders that take any size.
    count_shown : callable (sides) -> int
        Number of samples that the default budget shows, in addition to three epochs.
    max_epochs : float
        Largest number of epochs of the default budget.
    few_samples : int
        With fewer samples, features are not expected to be better than those of PCA. From
        benchmarks/accuracy/bench_few_samples.py.
    has_large_layers : bool
        Whether layers are large enough for bfloat16 to be faster than float32.
    memory_format : torch.memory_format
        The order of weights in memory in which convolutions are fastest.
    check_missing : callable (samples) -> None
        Raises ValueError if NaN in samples are not where they may be, if ``allow_nan`` is set.
    channels_of_signals : callable (sides) -> int or None
        Which axis of samples without channels looks like the channels of signals, if one does.
    drawing : {"curves", "picture", "slice", ""}
        How displays draw a sample; empty if they do not.
    note : str
        What to expect of features of this modality; logged by ``fit``.
    """

    name: str
    n_sides: int
    x_ndims: tuple[int, ...] = ()
    encoder: str | None = None
    augment: Augmentation | None = None
    augment_smaller: Augmentation | None = None
    count_shown: Callable[[Sequence[int]], int] = lambda sides: N_SHOWN
    max_epochs: float = math.inf
    few_samples: int = 15
    has_large_layers: bool = True
    memory_format: torch.memory_format = torch.contiguous_format
    check_missing: Callable[[np.ndarray], None] = lambda samples: None
    channels_of_signals: Callable[[Sequence[int]], int | None] = lambda sides: None
    drawing: str = ""
    note: str = ""

    @property
    def has_columns(self) -> bool:
        """Whether samples are rows, whose columns may have names and belong to groups."""
        return self.n_sides == 0

    @property
    def has_occlusion(self) -> bool:
        """Whether a box of a sample can be hidden."""
        return self.n_sides >= 1

    @property
    def has_left_and_right(self) -> bool:
        """Whether the last axis of a sample can be flipped."""
        return self.n_sides >= 2

    @property
    def n_crops_per_grid(self) -> int:
        """How many small crops fill a sample: two along each side; 0 if there are no sides."""
        return 2**self.n_sides if self.n_sides else 0


def check_ends(samples: np.ndarray) -> None:
    """Raise ValueError if NaN in signals are not where a shorter signal has ended.

    Parameters
    ----------
    samples : ndarray of shape (n, channels, length)
    """
    is_missing = np.isnan(samples)
    has_ended = is_missing.all(1, keepdims=True)  # (n, 1, length)
    if (is_missing != has_ended).any() or (has_ended[..., :-1] & ~has_ended[..., 1:]).any():
        raise ValueError(
            "X may hold NaN only at the end of a signal, from one point in time on and in all of "
            "its channels. Got NaN elsewhere: fill them first, for instance by interpolation."
        )
    shortest = (~has_ended).sum(2).min()
    if shortest < SHORTEST_SIGNAL:
        raise ValueError(
            f"X must hold signals of at least {SHORTEST_SIGNAL} points in time before they end in "
            f"NaN. Got one of {shortest}."
        )


def short_axis(sides: Sequence[int]) -> int | None:
    """The axis of grey images that is far shorter than the other: likely channels of signals.

    Parameters
    ----------
    sides : tuple (height, width)

    Returns
    -------
    axis : int or None
        Counted with samples as axis 0.
    """
    shorter, longer = sorted(sides)
    is_likely = shorter and (longer >= 8 * shorter or (shorter <= 16 and longer >= 4 * shorter))
    return 1 + tuple(sides).index(shorter) if is_likely else None


def count_shown_images(sides: Sequence[int]) -> int:
    """Images that views crop have more to show than images that views only move."""
    return N_SHOWN_CROPPED if min(sides) >= CROPPED_SIDE else N_SHOWN


TABLES = Modality(
    "tables",
    n_sides=0,
    x_ndims=(2,),
    encoder="mlp",
    augment=jitter_cells,
    count_shown=lambda sides: N_SHOWN_CROPPED,  # steps are cheap
    max_epochs=60,  # fixed features hold most of what a few hundred rows show
    few_samples=100,
    has_large_layers=False,
    note="Most of what the features of a table gain over its columns is computed from the columns "
    "without training; see docs/when_not.md.",
)
SIGNALS = Modality(
    "signals",
    n_sides=1,
    encoder="signal",
    augment=augment_signals,
    max_epochs=120,
    check_missing=check_ends,
    drawing="curves",
)
IMAGES = Modality(
    "images",
    n_sides=2,
    x_ndims=(3, 4),
    encoder="conv",
    augment=augment_images,
    augment_smaller=partial(augment_images, size=VIEW_SIZE),
    count_shown=count_shown_images,
    memory_format=torch.channels_last,
    channels_of_signals=short_axis,
    drawing="picture",
)
VOLUMES = Modality(
    "volumes", n_sides=3, x_ndims=(5,), encoder="conv", augment=move, drawing="slice"
)

MODALITIES = (TABLES, SIGNALS, IMAGES, VOLUMES)


def modality_of(sample_shape: Sequence[int]) -> Modality:
    """The modality of samples of a shape, channels first; one without defaults if it has no row."""
    n_sides = len(sample_shape) - 1
    rows = (modality for modality in MODALITIES if modality.n_sides == n_sides)
    return next(rows, Modality(f"samples of {n_sides} sides", n_sides))


def modality_of_x(shape: Sequence[int]) -> Modality | None:
    """The modality as which ``channel_axis="auto"`` reads an X of this shape; None if it cannot."""
    rows = (modality for modality in MODALITIES if len(shape) in modality.x_ndims)
    return next(rows, None)
