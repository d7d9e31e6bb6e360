"""What all displays share: checks, panels, samples as pictures, and colours."""

import os
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skdim.modalities import MODALITIES, modality_of
from skdim.sources.readers import Part
from skdim.sources.stored import Samples
from skdim.transformer import DIMTransformer, check_samples

# Petroff, "Accessible color sequences for data visualization", 2021: also for the colour-blind.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
INK, MUTED = "0.2", "0.55"
SMALL = {"color": INK, "fontsize": "small"}  # text
LEGEND = {"frameon": False, "fontsize": "small", "labelcolor": INK}
# How samples are drawn that are pictures by themselves; rows of a table are not.
PICTURES = ("picture", "slice", "curves")
# Characters of a name that fit below a picture.
LONGEST_NAME = 10


def check_matplotlib() -> None:
    """Raise ImportError, which says how to install matplotlib, if it is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError(
            "Displays need the package matplotlib, which is missing: pip install matplotlib."
        ) from None


def check_kind(estimator) -> None:
    """Raise unless matplotlib is installed and ``estimator`` is a transformer."""
    check_matplotlib()
    if not isinstance(estimator, DIMTransformer):
        raise TypeError(
            "The 'estimator' parameter must be a fitted DIMTransformer; of a Pipeline, pass the "
            f"step itself, and X as it reaches it. Got {type(estimator).__name__}."
        )


def check_transformer(estimator) -> None:
    """Raise unless matplotlib is installed and ``estimator`` is a fitted transformer."""
    check_kind(estimator)
    check_is_fitted(estimator)


def check_inputs(estimator, X) -> Samples:
    """Check a transformer and X, and return the samples (n, channels, *sides)."""
    check_transformer(estimator)
    return check_samples(estimator, X)


def check_number(parameter: str, number: int, most: int, what: str) -> None:
    """Raise ValueError unless a number of samples is from 1 to ``most``."""
    if not 1 <= number <= most:
        raise ValueError(
            f"The {parameter!r} parameter must be from 1 to the {most} {what} of X. Got {number}."
        )


def evenly_spaced(n_samples: int, n_chosen: int) -> np.ndarray:
    """Return increasing indices (n_chosen,) of samples that are as far apart as possible."""
    return np.arange(n_chosen) * n_samples // n_chosen


def take(samples: Samples, indices: np.ndarray) -> np.ndarray:
    """Read samples by indices of any shape: (*indices.shape, channels, *sides)."""
    flat = samples[np.ravel(indices)]
    return flat.reshape(*np.shape(indices), *flat.shape[1:])


def file_names(X: Any) -> np.ndarray | None:
    """Return the names (n,) of the files that X was read from, below their common folder.

    None if X is not a source of files, such as `skdim.sources.ImageFolder`, or a part of one.
    """
    if isinstance(X, Part):
        names = file_names(X.source)
        return None if names is None else names[X.indices]
    paths = getattr(X, "paths", None)
    if paths is None:
        return None
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    return np.array([os.path.relpath(path, folder) for path in paths])


def shorten(name: str) -> str:
    """Return the end of a name, by which files differ, as long as fits below a picture."""
    return (
        name if len(name) <= LONGEST_NAME else f"\N{HORIZONTAL ELLIPSIS}{name[1 - LONGEST_NAME :]}"
    )


# ---- Axes ----


def axes_and_figure(ax, figsize: tuple[float, float]):
    """Return ``ax`` and its figure; None makes a new figure, of a size in inches."""
    if ax is None:
        check_matplotlib()
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    return ax, ax.figure


def grid_shape(n_panels: int, max_columns: int) -> tuple[int, int]:
    """Return the numbers of rows and columns of a grid: as few rows, then columns, as possible."""
    n_rows = -(-n_panels // max_columns)
    return n_rows, -(-n_panels // n_rows)


def make_panels(ax, n_panels: int, n_columns: int = 1, *, hspace, wspace=0.12, aspect=None):
    """Make a grid of panels inside ``ax``, and return them row by row, as an array of Axes.

    ``hspace`` and ``wspace`` are the gaps between rows and columns, as fractions of the height and
    width of a panel. ``aspect`` is the height of a panel divided by its width; None fills ``ax``,
    whose own frame is hidden. The last row may be incomplete. A single panel is ``ax`` itself.
    """
    from matplotlib.gridspec import GridSpec

    n_rows = -(-n_panels // n_columns)
    if aspect is not None:
        height, width = n_rows + (n_rows - 1) * hspace, n_columns + (n_columns - 1) * wspace
        ax.set_box_aspect(aspect * height / width)
    if n_panels == 1:
        return np.array([ax])
    ax.set_axis_off()
    cells = GridSpec(
        n_rows, n_columns, left=0, right=1, bottom=0, top=1, hspace=hspace, wspace=wspace
    )
    boxes = [cells[i].get_position(ax.figure) for i in range(n_panels)]
    return np.array([ax.inset_axes(box.bounds) for box in boxes])


def link_panels(panels, n_columns: int, xlabel: str, ylabel: str, *, sharey=True) -> None:
    """Let panels share their x axis and, if ``sharey``, their y axis; label only the outer panels.

    The lowest panel of each column has labels below, unless ``xlabel`` is empty. The first panel of
    each row has labels on the left.
    """
    for i, panel in enumerate(panels):
        if i:
            panel.sharex(panels[0])
        if i and sharey:
            panel.sharey(panels[0])
        is_lowest = bool(xlabel) and i + n_columns >= len(panels)
        is_first = i % n_columns == 0
        panel.set_xlabel(xlabel if is_lowest else "", **SMALL)
        panel.set_ylabel(ylabel if is_first else "", **SMALL)
        panel.tick_params(color=MUTED, labelcolor=INK, labelsize="small")
        panel.tick_params(labelbottom=is_lowest, labelleft=is_first)
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(MUTED)


def draw_colorbar(ax, mappable, label: str):
    """Draw a colour bar to the right of ``ax``, and return it."""
    bar = ax.figure.colorbar(mappable, ax=ax, shrink=0.7, aspect=30)
    bar.set_label(label, **SMALL)
    bar.solids.set_alpha(1)
    bar.outline.set_visible(False)
    bar.ax.tick_params(color=MUTED, labelcolor=INK, labelsize="small")
    return bar


# ---- Samples as pictures ----


def drawing_of(samples: Samples) -> str:
    """Return how samples (n, channels, *sides) are drawn: the ``drawing`` of their `Modality`."""
    return modality_of(samples.shape[1:]).drawing


def check_drawable(samples: Samples, drawings=PICTURES) -> None:
    """Raise ValueError unless samples (n, channels, *sides) are drawn in one of these ways."""
    if drawing_of(samples) not in drawings:
        names = {modality.drawing: modality.name for modality in MODALITIES}
        *others, last = (names[drawing] for drawing in drawings)
        raise ValueError(
            f"X must hold {', '.join(others)} or {last}, to be drawn as pictures. Got samples of "
            f"shape {samples.shape[1:]} (channels first)."
        )


def channel_colors(n_channels: int) -> tuple[str, ...]:
    """Return the colours of the channels of a signal, to be used in turn."""
    return (INK,) if n_channels == 1 else PALETTE


def _as_drawn(samples: np.ndarray) -> np.ndarray:
    """Return the values that are drawn of samples (n, channels, *sides), in the units of X.

    Three channels of images are red, green and blue (n, height, width, 3). Other numbers of
    channels are averaged to grey (n, height, width). A volume is shown by the middle slice of its
    first side. Signals and rows of a table are drawn as they are.
    """
    samples, drawing = np.asarray(samples, dtype=np.float64), drawing_of(samples)
    if drawing == "slice":
        samples = samples[:, :, samples.shape[2] // 2]
    if drawing in ("picture", "slice"):
        return np.moveaxis(samples, 1, -1) if samples.shape[1] == 3 else samples.mean(1)
    return samples


def limits_of(samples: np.ndarray) -> tuple[Any, Any]:
    """Return the smallest and the largest value that is drawn; of a table, for each column."""
    axis = 0 if drawing_of(samples) == "bars" else None
    drawn = _as_drawn(samples)
    return np.fmin.reduce(drawn, axis=axis), np.fmax.reduce(drawn, axis=axis)


def stack_channels(signals: np.ndarray, limits=None) -> tuple[np.ndarray, np.ndarray]:
    """Shift the channels of signals (n, channels, length) apart, the first on top.

    Return the shifted signals, and the middle (channels,) of the values of each channel. The first
    channel is not shifted. ``limits`` are the smallest and the largest value; None takes those of
    the signals.
    """
    low, high = limits_of(signals) if limits is None else limits
    shifts = -1.1 * ((high - low) or 1.0) * np.arange(signals.shape[1])
    return signals + shifts[:, None], (low + high) / 2 + shifts


def as_pictures(samples: np.ndarray, limits=None) -> np.ndarray:
    """Turn samples (n, channels, *sides) into pictures, with values from 0 to 1 over all of them.

    Images and slices of volumes are (n, height, width, 3) or, grey, (n, height, width). Signals
    become curves (n, channels, length). Rows of a table become heights of bars (n, columns), on a
    scale of its own for each column. A constant becomes 0.

    ``limits`` are the values that become 0 and 1, as `limits_of` returns them; values beyond them
    are cut off. None takes those of the samples.
    """
    low, high = limits_of(samples) if limits is None else limits
    drawn = _as_drawn(samples)
    if drawing_of(samples) == "curves":
        drawn, middles = stack_channels(drawn, (low, high))
        low = low + middles[-1] - middles[0]
    extent = np.where(high > low, high - low, 1.0)
    return np.clip((drawn - low) / extent, 0, 1)


def picture_box(samples: np.ndarray, center=(0.0, 0.0), size: float = 1.0) -> tuple[float, ...]:
    """Return (left, right, bottom, top) of a picture whose longer side has length ``size``."""
    sides = samples.shape[-2:] if drawing_of(samples) in ("picture", "slice") else (1, 1)
    half_height, half_width = size / 2 * np.array(sides) / max(sides)
    x, y = center
    return x - half_width, x + half_width, y - half_height, y + half_height


def draw_samples(axes, samples: np.ndarray, cmap, boxes=None, limits=None) -> list:
    """Draw a sample (channels, *sides) in each of the axes, which are limited to its box.

    ``boxes`` are in data coordinates; None takes a `picture_box` around the origin. ``limits`` are
    those of `as_pictures`. Return a list of AxesImage, or of LineCollection for signals and
    StepPatch for rows of a table.
    """
    boxes = [picture_box(samples)] * len(samples) if boxes is None else boxes
    artists = []
    for ax, picture, box in zip(axes, as_pictures(samples, limits), boxes, strict=True):
        if drawing_of(samples) == "curves":
            artists.append(draw_curves(ax, picture, box))
        elif drawing_of(samples) == "bars":
            artists.append(draw_bars(ax, picture, box))
        else:
            limits_of_colors = {"vmin": 0, "vmax": 1}
            artists.append(ax.imshow(picture, cmap=cmap, extent=box, zorder=3, **limits_of_colors))
        ax.set(xlim=box[:2], ylim=box[2:], xticks=[], yticks=[], aspect="equal")
    return artists


def make_rows(ax, n_rows: int, n_columns: int):
    """Return ``ax``, its figure, and panels (n_rows, n_columns) without frames, for pictures."""
    ax, figure = axes_and_figure(ax, (0.9 * n_columns, 0.5 + 1.1 * n_rows))
    panels = make_panels(ax, n_rows * n_columns, n_columns, hspace=0.4, wspace=0.1, aspect=1)
    for panel in panels:
        panel.spines[:].set_visible(False)
    return ax, figure, panels.reshape(n_rows, n_columns)


def draw_rows(ax, samples: np.ndarray, neighbors: np.ndarray, cmap):
    """Draw a row for each sample: the sample, then its neighbours, on one scale of values.

    Return ``ax``, its figure, and panels and artists, both (n_samples, 1 + n_neighbors).
    """
    pictures = np.concatenate([samples[:, None], neighbors], 1)
    ax, figure, panels = make_rows(ax, *pictures.shape[:2])
    artists = draw_samples(panels.flat, pictures.reshape(-1, *pictures.shape[2:]), cmap)
    return ax, figure, panels, np.array(artists, dtype=object).reshape(panels.shape)


def draw_frame(panel, color: str) -> None:
    """Frame the picture in a panel."""
    panel.spines[:].set(visible=True, color=color, linewidth=3)


def draw_bars(ax, heights: np.ndarray, box):
    """Draw a bar for each column of a row, with heights (columns,) from 0 to 1, in a box."""
    left, right, bottom, top = box
    edges = np.linspace(left, right, len(heights) + 1)
    values = bottom + (top - bottom) * np.nan_to_num(heights)
    return ax.stairs(values, edges, baseline=bottom, fill=True, color=PALETTE[0], zorder=3)


def draw_curves(ax, curves: np.ndarray, box):
    """Draw curves (channels, length) of values from 0 to 1 in a box."""
    from matplotlib.collections import LineCollection

    left, right, bottom, top = box
    time = np.linspace(left, right, curves.shape[1])
    lines = [np.column_stack([time, bottom + (top - bottom) * curve]) for curve in curves]
    colors = channel_colors(len(lines))
    return ax.add_collection(LineCollection(lines, colors=colors, linewidths=1, zorder=3))
