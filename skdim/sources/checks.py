"""Check X as scikit-learn does, and convert it to samples."""

from typing import Any

import numpy as np
from sklearn.utils import check_array

from skdim.exceptions import DataWarning, warn
from skdim.sources.arrays import DTYPES, as_numpy, explain_bad_numbers, widen_exactly
from skdim.sources.layout import Layout, find_layout
from skdim.sources.mistakes import check_not_mistaken
from skdim.sources.readers import as_source
from skdim.sources.smoothness import find_channels, has_ordered_channels, is_smooth
from skdim.sources.stored import Samples, StoredSamples

# The part of X that is looked at: points along each axis, and values in all samples.
LONGEST, N_VALUES = 512, 2**21


def as_samples(
    X: Any,
    sample_shape: tuple[int, ...] | None,
    channel_axis: int | str | None,
    allow_nan: bool,
    *,
    n_min: int = 1,
) -> tuple[Samples, Layout]:
    """Check X and convert it to samples, channels first, and their layout.

    An X in memory is checked now, a source only when it is read.

    Parameters
    ----------
    X : array-like, or anything that `skdim.sources.as_source` recognises
    sample_shape, channel_axis, allow_nan
        As in `skdim.DIMTransformer`.
    n_min : int, default=1
        Smallest number of samples.

    Raises
    ------
    ValueError, TypeError
        If X is invalid; the message says why.
    """
    check_not_mistaken(X)
    source = as_source(X)
    if source is not None:
        if source.ndim < 2 or len(source) < n_min:
            raise ValueError(
                f"X must hold at least {n_min} samples, each with at least one axis. Got X of "
                f"shape {source.shape}."
            )
        layout = find_layout(source.shape, sample_shape, channel_axis, allow_nan)
        return StoredSamples(source, layout), layout
    with explain_bad_numbers(X):
        array = check_array(
            widen_exactly(as_numpy(X)),
            dtype=list(DTYPES),
            allow_nd=True,
            ensure_all_finite="allow-nan" if allow_nan else True,
            ensure_min_samples=n_min,
            input_name="X",
            estimator="DIMTransformer",
        )
    layout = find_layout(array.shape, sample_shape, channel_axis, allow_nan)
    return layout.as_samples(array), layout


def warn_of_another_reading(samples: Samples, layout: Layout) -> None:
    """Warn if ``channel_axis="auto"`` reads X as something that it likely is not.

    Signals may be read as rows or grey images, and volumes as images of many channels. Only a part
    of X is read.
    """
    sides = layout.unflat_shape
    shape = (len(samples), *sides)
    if isinstance(samples, StoredSamples) and samples.source.are_signals:
        kind, axis = ("a table", None) if len(sides) == 1 else ("images", 1)
        warn(
            f"X holds sounds, but is read as {kind} of shape {shape}: set channel_axis={axis}.",
            DataWarning,
        )
        return
    if len(sides) == 1 and is_smooth(_some_of(samples)):
        warn(
            f"X of shape {shape} is read as a table, but neighbouring columns are as alike as in "
            "signals. If it holds signals of one channel, set channel_axis=None; if it holds flat "
            "signals or images, set sample_shape, and channel_axis for signals; if it holds a "
            "table, set channel_axis=1.",
            DataWarning,
        )
    if layout.channel_axis is not None:
        axis, n_channels = layout.channel_axis, layout.sample_shape[0]
        if len(sides) == 3 and has_ordered_channels(_some_of(samples)):
            warn(
                f"X of shape {shape} is read as images of {n_channels} channels, but "
                "neighbouring channels are as alike as slices of a volume. If it holds volumes, "
                f"set channel_axis=None; if it holds images, set channel_axis={axis}.",
                DataWarning,
            )
        return
    axis = layout.modality.channels_of_signals(sides)
    if axis is None and len(sides) == 2:
        axis = find_channels(_some_of(samples)[:, 0])
    if axis is not None:
        warn(
            f"X of shape {shape} is read as grey images of {sides[0]} x {sides[1]}. "
            f"If it holds signals of {sides[axis - 1]} channels, set channel_axis={axis}; if it "
            "holds images, set channel_axis=None.",
            DataWarning,
        )


def _some_of(samples: Samples) -> np.ndarray:
    """Read some hundred samples, and at most the first `LONGEST` points along each axis."""
    n_values = int(np.prod([min(side, LONGEST) for side in samples.shape[1:]]))
    n = min(len(samples), max(20, min(300, N_VALUES // max(n_values, 1))))
    numbers = np.linspace(0, len(samples) - 1, n).astype(np.intp)
    return samples[numbers][(slice(None), *[slice(LONGEST)] * (samples.ndim - 1))]
