"""Shared by all displays: axes, samples as pictures, thumbnails and colours."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skdim.sources.stored import Samples
from skdim.transformer import DIMTransformer

# Petroff, "Accessible color sequences for data visualization", 2021: also for the colour-blind.
PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
INK, MUTED = "0.2", "0.55"


def check_transformer(estimator) -> None:
    """Raise unless matplotlib is installed and ``estimator`` is a fitted transformer."""
    check_matplotlib()
    if not isinstance(estimator, DIMTransformer):
        raise TypeError(
            "The 'estimator' parameter must be a fitted DIMTransformer; of a Pipeline, pass the "
            f"step itself, and X as it reaches it. Got {type(estimator).__name__}."
        )
    check_is_fitted(estimator)


def check_matplotlib() -> None:
    """Raise ImportError, with how to install it, if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError(
            "Displays need the package matplotlib, which is missing: pip install matplotlib."
        ) from None


def axes_or_new(ax, figsize: tuple[float, float]):
    """Return ``ax``, or the axes of a new figure of this size, in inches, if it is None."""
    if ax is not None:
        return ax
    check_matplotlib()
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=figsize, layout="constrained")
    return ax


def divide(ax, n_rows: int, n_columns: int, gaps: tuple[float, float]) -> np.ndarray:
    """Make a grid of panels inside ``ax``, whose own frame is hidden.

    Parameters
    ----------
    ax : matplotlib Axes
    n_rows, n_columns : int
    gaps : tuple (vertical, horizontal)
        Between panels, as fractions of the height and width of a panel.

    Returns
    -------
    panels : ndarray of shape (n_rows, n_columns) of matplotlib Axes
        They share the x axis. A single panel is ``ax`` itself.
    """
    panels = np.empty((n_rows, n_columns), dtype=object)
    if panels.size == 1:
        panels[0, 0] = ax
        return panels
    ax.set_axis_off()
    vertical, horizontal = gaps
    height = 1 / (n_rows + (n_rows - 1) * vertical)
    width = 1 / (n_columns + (n_columns - 1) * horizontal)
    for row, column in np.ndindex(n_rows, n_columns):
        left = column * width * (1 + horizontal)
        top = 1 - row * height * (1 + vertical)
        panels[row, column] = ax.inset_axes(
            (left, top - height, width, height), sharex=panels[0, 0]
        )
    for panel in panels[:-1].flat:
        panel.tick_params(labelbottom=False)
    return panels


def tidy(ax) -> None:
    """Keep only the left and bottom sides of the frame, in a muted colour."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(color=MUTED, labelcolor=INK, labelsize="small")


def check_drawable(samples: Samples) -> None:
    """Raise ValueError unless samples (n, channels, *sides) can be drawn as pictures."""
    if samples.ndim not in (3, 4, 5):
        raise ValueError(
            "X must hold images, volumes or signals, to be drawn as pictures. Got samples of shape "
            f"{samples.shape[1:]} (channels first)."
        )


def scale_to_unit(samples: np.ndarray) -> np.ndarray:
    """Scale so that the smallest of all values is 0 and the largest 1; a constant becomes 0."""
    samples = np.asarray(samples, dtype=np.float64)
    low, high = samples.min(), samples.max()
    return (samples - low) / ((high - low) or 1.0)


def as_pictures(samples: np.ndarray) -> np.ndarray:
    """Turn images or volumes into pictures, with values from 0 to 1 over all of them.

    Three channels are red, green and blue. Other numbers of channels are averaged to grey. Of a
    volume, the middle slice of its first side is drawn.

    Parameters
    ----------
    samples : ndarray of shape (n, channels, height, width) or (n, channels, depth, height, width)

    Returns
    -------
    pictures : ndarray of shape (n, height, width) or (n, height, width, 3), float64
    """
    if samples.ndim == 5:
        samples = samples[:, :, samples.shape[2] // 2]
    samples = np.asarray(samples, dtype=np.float64)
    if samples.shape[1] != 3:
        return scale_to_unit(samples.mean(1))
    return scale_to_unit(np.moveaxis(samples, 1, -1))


def draw_thumbnails(
    ax, samples: np.ndarray, centers: np.ndarray, size: float, cmap, edges=None
) -> list:
    """Draw each sample as a thumbnail, in the data coordinates of ``ax``.

    Parameters
    ----------
    ax : matplotlib Axes
        The caller sets its limits afterwards.
    samples : ndarray of shape (n, channels, *sides)
    centers : ndarray of shape (n, 2)
    size : float
        Longer side of a thumbnail.
    cmap : str or matplotlib Colormap
        Colour map of grey pictures.
    edges : sequence of n colors, default=None
        Colours of frames around the thumbnails; None draws none.

    Returns
    -------
    artists : list of n AxesImage, or of n LineCollection for signals
    """
    is_signal = samples.ndim == 3
    sides = (1, 1) if is_signal else samples.shape[-2:]
    boxes = [box_around(center, sides, size) for center in centers]
    for box, edge in zip(boxes, [] if edges is None else edges, strict=edges is not None):
        _draw_frame(ax, box, edge)
    if is_signal:
        return _draw_signals(ax, samples, boxes)
    return [
        ax.imshow(picture, cmap=cmap, vmin=0, vmax=1, extent=box, zorder=3)
        for picture, box in zip(as_pictures(samples), boxes, strict=True)
    ]


def box_around(center, sides, size: float) -> tuple[float, float, float, float]:
    """Return (left, right, bottom, top) of a picture whose longer side has length ``size``."""
    half_height, half_width = size / 2 * np.array(sides) / max(sides)
    x, y = center
    return x - half_width, x + half_width, y - half_height, y + half_height


def _draw_frame(ax, box: tuple[float, float, float, float], edge) -> None:
    from matplotlib.patches import Rectangle

    left, right, bottom, top = box
    ax.add_patch(
        Rectangle(
            (left, bottom),
            right - left,
            top - bottom,
            facecolor="white",
            edgecolor=edge,
            linewidth=2.5,  # the picture covers half of it
            zorder=2.5,
        )
    )


def _draw_signals(ax, samples: np.ndarray, boxes: list) -> list:
    from matplotlib.collections import LineCollection

    n_channels, length = samples.shape[1:]
    colors = [INK] if n_channels == 1 else [PALETTE[i % len(PALETTE)] for i in range(n_channels)]
    time = np.linspace(0, 1, length)
    artists = []
    # each channel has a lane of its own, the first on top
    lanes = np.arange(n_channels)[::-1, None]
    for sample, (left, right, bottom, top) in zip(scale_to_unit(samples), boxes, strict=True):
        x, y = left + (right - left) * time, bottom + (top - bottom) * (lanes + sample) / n_channels
        curves = [np.column_stack([x, channel]) for channel in y]
        lines = LineCollection(curves, colors=colors, linewidths=1, zorder=3)
        artists.append(ax.add_collection(lines, autolim=False))
    return artists
