"""Tables, signals, images and volumes: everything that depends on the modality, in one row each.

The sides of a sample are its axes without the axis of channels; their number is the modality. To
add a modality, add a row to `MODALITIES`. The functions that a row names are in this module or in
the module of their kind. All other code calls `modality_of` and never compares numbers of axes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from skdim.augmentation import (
    CROPPED_SIDE,
    Augmentation,
    are_photographs,
    augment_images,
    augment_oscillations,
    augment_signals,
    jitter_cells,
    move,
)

# ``max_epochs="auto"`` shows this many samples in addition to three epochs.
N_SHOWN, N_SHOWN_CROPPED = 30_000, 60_000
# Default views of colour images have sides of this fraction, which halves the work of a step.
VIEW_SIZE = 0.75
# A signal must have at least this many points before it ends in NaN.
SHORTEST_SIGNAL = 4


@dataclass(frozen=True)
class Modality:
    """How skdim treats samples of one kind, unless a parameter says otherwise.

    Attributes
    ----------
    name : str
        In the plural, for messages.
    n_sides : int
        Number of axes of a sample without the axis of channels.
    x_ndims : tuple of int
        Numbers of dimensions of X that ``channel_axis="auto"`` interprets as this modality.
    encoder : str or None
        Name of the default encoder, in `skdim.encoders.ENCODERS`.
    critic : str
        Name of the default critic, in `skdim.critics.CRITICS`.
    augment : callable (batch, generator) -> batch, or None
        Makes the default views.
    augment_smaller : callable (batch, generator) -> batch, or None
        Makes default views that are smaller than samples, for encoders that take any size.
    count_shown : callable (sides) -> int
        Number of samples that the default budget shows, in addition to three epochs.
    max_epochs : float
        Largest number of epochs of the default budget.
    few_samples : int
        With fewer samples, features are not expected to be better than those of PCA, according to
        benchmarks/accuracy/bench_few_samples.py.
    views_flip : callable (n_channels) -> bool
        Whether default views of samples of so many channels are flipped left to right.
    compares_views : bool
        Whether directions that change from view to view are damped in the hidden layer.
    fewest_averaged : float
        From so many samples on, features are averaged over similar samples of ``fit``. With fewer,
        neighbours are too far away to be of the same kind.
    has_large_layers : bool
        Whether layers are large enough for bfloat16 to be faster than float32.
    memory_format : torch.memory_format
        The order of weights in memory in which convolutions are fastest.
    check_missing : callable (samples) -> None
        Checks samples if ``allow_nan`` is set. Raises ValueError if NaN is where it may not be.
    channels_of_signals : callable (sides) -> int or None
        Finds the axis of samples without channels that looks like the channels of signals, if any.
    drawing : {"bars", "curves", "picture", "slice", ""}
        How displays draw a sample; empty if they cannot.
    note : str
        What to expect of features of this modality; logged by ``fit``.
    """

    name: str
    n_sides: int
    x_ndims: tuple[int, ...] = ()
    encoder: str | None = None
    critic: str = "separable"
    augment: Augmentation | None = None
    augment_smaller: Augmentation | None = None
    count_shown: Callable[[Sequence[int]], int] = lambda sides: N_SHOWN
    max_epochs: float = math.inf
    few_samples: int = 15
    views_flip: Callable[[int], bool] = lambda n_channels: False
    compares_views: bool = True
    fewest_averaged: float = 200
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
    """Raise ValueError if signals hold NaN before their end, or end too early.

    Parameters
    ----------
    samples : ndarray of shape (n, channels, length)
    """
    is_missing = np.isnan(samples)
    has_ended = is_missing.all(1, keepdims=True)  # (n, 1, length)
    if (is_missing != has_ended).any() or (has_ended[..., :-1] & ~has_ended[..., 1:]).any():
        raise ValueError(
            "X may hold NaN only at the end of a signal, starting at the same point in time in all "
            "of its channels. Got NaN elsewhere: fill them first, for instance by interpolation."
        )
    shortest = (~has_ended).sum(2).min()
    if shortest < SHORTEST_SIGNAL:
        raise ValueError(
            f"X must hold signals of at least {SHORTEST_SIGNAL} points in time before they end in "
            f"NaN. Got one of {shortest}."
        )


def short_axis(sides: Sequence[int]) -> int | None:
    """Return the axis of grey images that is far shorter than the other: likely signal channels.

    Parameters
    ----------
    sides : tuple (height, width)

    Returns
    -------
    axis : int or None
        Counted with samples as axis 0. None if neither is far shorter.
    """
    shorter, longer = sorted(sides)
    is_likely = shorter and (longer >= 8 * shorter or (shorter <= 16 and longer >= 4 * shorter))
    return 1 + tuple(sides).index(shorter) if is_likely else None


def count_shown_images(sides: Sequence[int]) -> int:
    """Return the number of images to show, which is larger if views crop them."""
    return N_SHOWN_CROPPED if min(sides) >= CROPPED_SIDE else N_SHOWN


TABLES = Modality(
    "tables",
    n_sides=0,
    x_ndims=(2,),
    encoder="mlp",
    augment=jitter_cells,
    count_shown=lambda sides: N_SHOWN_CROPPED,  # steps are cheap
    max_epochs=60,  # fixed features hold most of the information in a few hundred rows
    few_samples=100,
    compares_views=False,  # their views change what distinguishes rows
    fewest_averaged=math.inf,  # linear classifiers need single columns as they are
    has_large_layers=False,
    drawing="bars",
    note="Features of a table owe most of their gain over its columns to parts that are computed "
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
    critic="cosine",
    augment=augment_images,
    augment_smaller=partial(augment_images, size=VIEW_SIZE),
    count_shown=count_shown_images,
    views_flip=are_photographs,
    memory_format=torch.channels_last,
    channels_of_signals=short_axis,
    drawing="picture",
)
VOLUMES = Modality(
    "volumes", n_sides=3, x_ndims=(5,), encoder="conv", augment=move, drawing="slice"
)

MODALITIES = (TABLES, SIGNALS, IMAGES, VOLUMES)


# Signals for which `skdim.sources.oscillation.are_oscillations` holds.
OSCILLATIONS = replace(SIGNALS, encoder="spectrogram", augment=augment_oscillations)


def modality_of(sample_shape: Sequence[int], *, oscillate: bool = False) -> Modality:
    """Return the modality of samples of a shape, channels first; without defaults if not listed.

    ``oscillate`` says whether signals are long and oscillate.
    """
    n_sides = len(sample_shape) - 1
    if oscillate and n_sides == OSCILLATIONS.n_sides:
        return OSCILLATIONS
    rows = (modality for modality in MODALITIES if modality.n_sides == n_sides)
    return next(rows, Modality(f"samples of {n_sides} sides", n_sides))


def modality_of_x(shape: Sequence[int]) -> Modality | None:
    """Return the modality that ``channel_axis="auto"`` assigns to an X of this shape, or None."""
    rows = (modality for modality in MODALITIES if len(shape) in modality.x_ndims)
    return next(rows, None)
