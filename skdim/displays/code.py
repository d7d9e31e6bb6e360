"""A map of features: samples as points in a plane."""

import math
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils import column_or_1d

from skdim.classifier import is_labelled
from skdim.displays.drawing import (
    INK,
    LEGEND,
    MUTED,
    PALETTE,
    PICTURES,
    axes_and_figure,
    check_drawable,
    check_inputs,
    draw_colorbar,
    draw_samples,
    drawing_of,
    picture_box,
)
from skdim.sources.arrays import as_labels
from skdim.sources.stored import Samples

# One for each colour of the palette: colours alone are hard to distinguish.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", "*")
MAX_CLASSES = len(PALETTE) * len(MARKERS)
# Whole numbers of more different values are numbers, such as ages. Others are numbers if there are
# more than colours.
MAX_WHOLE_CLASSES = 40
UNLABELLED = "0.8"  # lighter than every colour of a class
# Classes that one column of a legend holds.
LEGEND_ROWS = 25


class Labels(NamedTuple):
    """What ``y`` of a map says.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,) or None
        None if ``y`` holds numbers.
    values : ndarray of shape (n,)
        The index of each sample's class, or its number.
    is_present : ndarray of shape (n,), bool
        Which samples have a label.
    """

    classes: np.ndarray | None
    values: np.ndarray
    is_present: np.ndarray


@dataclass(eq=False, repr=False)
class CodeDisplay:
    """Samples in a plane, coloured by class or number, some of them shown as thumbnails.

    Both axes have the same scale. Each class has a colour and a marker; together, they tell up to
    100 classes apart. Samples without a label are light grey. A thumbnail is drawn in an area
    without points, with a line to its sample.

    Parameters
    ----------
    embedding : array-like of shape (n, 2)
        Position of each sample.
    samples : ndarray of shape (n, channels, *sides), default=None
        Images, volumes or signals, shown as thumbnails.
    y : array-like of shape (n,), default=None
        Classes, at most 100, or numbers. They determine the colours of samples. Numbers are classes
        if there are at most 10 different ones, or 40 if all are whole. A sample has no label if its
        value is NaN or None, or -1 as in `skdim.DIMClassifier.fit`.
    axis_labels : tuple of two str, default=("first dimension", "second dimension")

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_ : matplotlib PathCollection
        All samples.
    thumbnails_ : list of matplotlib artists
        AxesImage, or LineCollection for signals.
    leaders_ : matplotlib LineCollection or None
        A line from each thumbnail to its sample.
    legend_ : matplotlib Legend or None
        If ``y`` holds classes.
    colorbar_ : matplotlib Colorbar or None
        If ``y`` holds numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdim import DIMTransformer
    >>> from skdim.displays import CodeDisplay
    >>> digits = load_digits()
    >>> X, y = digits.images[:500], digits.target[:500]
    >>> dim = DIMTransformer(max_epochs=2, random_state=0).fit(X)
    >>> display = CodeDisplay.from_estimator(dim, X, y=y)
    >>> display.embedding.shape
    (500, 2)

    ``embedding=TSNE()`` of ``sklearn.manifold`` often shows more than principal components.
    """

    embedding: ArrayLike
    _: KW_ONLY
    samples: Samples | None = None
    y: ArrayLike | None = None
    axis_labels: tuple[str, str] = ("first dimension", "second dimension")

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        y=None,
        embedding=None,
        ax=None,
        n_thumbnails=40,
        thumbnail_size=0.06,
        cmap="gray",
    ):
        """Draw a map of the features of X by a fitted transformer, and return the display.

        Parameters
        ----------
        estimator : DIMTransformer
            Fitted. Its ``output`` parameter selects the features.
        X : array-like of the kind and sample shape that ``fit`` saw
            At least two samples. Rows of a table are drawn as points only.
        y : array-like of shape (n_samples,), default=None
        embedding : array-like of shape (n_samples, 2), transformer or callable, default=None
            Positions of the samples, or how to compute them. A copy of a transformer, such as
            `sklearn.manifold.TSNE`, is fitted to the features. A transformer without
            ``fit_transform``, such as `sklearn.frozen.FrozenEstimator`, is used as it is. A
            callable maps features (n_samples, n_features) to positions. None takes the first two
            principal components.
        ax, n_thumbnails, thumbnail_size, cmap
            As in `plot`.
        """
        samples = check_inputs(estimator, X)
        features = estimator.model_.features(samples, estimator.output)
        positions, axis_labels = embed(features, embedding)
        pictured = samples if drawing_of(samples) in PICTURES else None
        display = cls(positions, samples=pictured, y=y, axis_labels=axis_labels)
        return display.plot(ax, n_thumbnails=n_thumbnails, thumbnail_size=thumbnail_size, cmap=cmap)

    def plot(self, ax=None, *, n_thumbnails=40, thumbnail_size=0.06, cmap="gray"):
        """Draw the map, and return the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        n_thumbnails : int or None, default=40
            Largest number of thumbnails. There are fewer if samples are too close to each other.
            None draws as many as there is room for.
        thumbnail_size : float, default=0.06
            Longer side of a thumbnail, as a fraction of the longer side of the map.
        cmap : str or matplotlib Colormap, default="gray"
            Colour map of grey thumbnails; "gray_r" draws dark on white.
        """
        embedding = check_embedding(self.embedding)
        if not thumbnail_size > 0:
            raise ValueError(
                f"The 'thumbnail_size' parameter must be positive. Got {thumbnail_size}."
            )
        labels = None if self.y is None else check_y(self.y, len(embedding))
        self.ax_, self.figure_ = axes_and_figure(ax, (7, 6))
        self._draw_points(embedding, labels)
        size = thumbnail_size * (np.ptp(embedding, axis=0).max() or 1.0)
        self.thumbnails_, self.leaders_ = [], None
        if self.samples is not None and n_thumbnails != 0:
            check_drawable(self.samples)
            shown, centers = arrange_thumbnails(embedding, 1.2 * size, n_thumbnails)
            self._draw_thumbnails(self.samples[shown], shown, centers, size, cmap)
            embedding = np.concatenate([embedding, centers])
        low, high = embedding.min(0) - size, embedding.max(0) + size
        self.ax_.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
        self.ax_.set_aspect("equal")
        self.ax_.spines[:].set_color("0.85")
        self.ax_.set_xlabel(self.axis_labels[0], color=INK)
        self.ax_.set_ylabel(self.axis_labels[1], color=INK)
        return self

    def _draw_points(self, embedding: np.ndarray, labels: Labels | None) -> None:
        """Draw all samples, and the legend of classes or the colour bar of numbers."""
        style = {"s": 24, "linewidths": 0, "alpha": 0.8}
        self.legend_ = self.colorbar_ = None
        if labels is None:
            self.scatter_ = self.ax_.scatter(*embedding.T, c=[MUTED] * len(embedding), **style)
        elif labels.classes is not None:
            self._draw_classes(embedding, labels, labels.classes, style)
        else:
            numbers = {"c": labels.values, "plotnonfinite": True}
            self.scatter_ = self.ax_.scatter(*embedding.T, **numbers, **style)
            self.scatter_.set_cmap(self.scatter_.get_cmap().with_extremes(bad=UNLABELLED))
            self.colorbar_ = draw_colorbar(self.ax_, self.scatter_, "y")

    def _draw_classes(
        self, embedding: np.ndarray, labels: Labels, classes: np.ndarray, style: dict
    ) -> None:
        """Draw samples in the colour and the shape of their class, and the legend."""
        from matplotlib.lines import Line2D

        styles = [style_of(number) for number in range(len(classes))]
        styles.append((UNLABELLED, "o"))  # has the index -1
        colors = [styles[number][0] for number in labels.values]
        self.scatter_ = self.ax_.scatter(*embedding.T, c=colors, **style)
        paths = [marker_path(marker) for _, marker in styles]
        self.scatter_.set_paths([paths[number] for number in labels.values])
        names = [*map(str, classes.tolist()), "no label"]
        handles = [
            Line2D([], [], linestyle="", marker=marker, color=color, label=name)
            for name, (color, marker) in zip(names, styles, strict=True)
        ]
        if labels.is_present.all():
            del handles[-1]
        self.legend_ = self.ax_.legend(
            handles=handles,
            title="y",
            ncols=math.ceil(len(handles) / LEGEND_ROWS),
            loc="upper left",
            bbox_to_anchor=(1, 1),
            **LEGEND,
        )

    def _draw_thumbnails(self, samples, shown, centers, size: float, cmap) -> None:
        """Draw some samples as framed pictures, with a line from each to its position."""
        from matplotlib.collections import LineCollection
        from matplotlib.patches import Rectangle

        self.scatter_.update_scalarmappable()  # numbers become colours
        colors = self.scatter_.get_facecolors()[shown]
        lines = list(np.stack([centers, self.scatter_.get_offsets()[shown]], axis=1))
        leaders = LineCollection(lines, colors=colors, linewidths=0.8, alpha=0.6, zorder=0.5)
        self.leaders_ = self.ax_.add_collection(leaders)
        boxes = [picture_box(samples, center, size) for center in centers]
        for (left, right, bottom, top), color in zip(boxes, colors, strict=True):
            frame = Rectangle((left, bottom), right - left, top - bottom, facecolor="white")
            frame.set(edgecolor=color, linewidth=2.5, zorder=2.5)  # the picture covers half of it
            self.ax_.add_patch(frame)
        self.thumbnails_ = draw_samples([self.ax_] * len(samples), samples, cmap, boxes)


def embed(features: np.ndarray, embedding) -> tuple[np.ndarray, tuple[str, str]]:
    """Return positions (n, 2) of samples, and labels of the axes; see `CodeDisplay`."""
    if embedding is None:
        if min(features.shape) < 2:
            raise ValueError(
                "A map needs two samples of two features at least. Got features of shape "
                f"{features.shape}: set the 'embedding' parameter."
            )
        pca = PCA(2, random_state=0)
        positions = pca.fit_transform(features)
        first, second = (f"({ratio:.0%} of variance)" for ratio in pca.explained_variance_ratio_)
        labels = f"first principal component {first}", f"second principal component {second}"
        return positions, labels
    name = type(embedding).__name__
    if hasattr(embedding, "fit_transform"):
        positions = clone(embedding).fit_transform(features)
    elif hasattr(embedding, "transform"):
        positions = embedding.transform(features)
    elif callable(embedding):
        name, positions = getattr(embedding, "__name__", name), embedding(features)
    else:
        name, positions = "", embedding
    positions = check_embedding(positions)
    if len(positions) != len(features):
        raise ValueError(
            f"The 'embedding' must have a position for each of the {len(features)} samples of X. "
            f"Got {len(positions)}."
        )
    return positions, (f"{name} first dimension".strip(), f"{name} second dimension".strip())


def check_embedding(positions) -> np.ndarray:
    """Return positions as a finite array (n, 2), float64."""
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 2 or not np.isfinite(positions).all():
        raise ValueError(
            "The 'embedding' must be finite numbers of shape (n_samples, 2). Got "
            f"{positions.shape}{'' if np.isfinite(positions).all() else ', with some not finite'}."
        )
    return positions


def check_y(y, n: int) -> Labels:
    """Decide whether y holds classes or numbers, and which samples have none."""
    y = column_or_1d(as_labels(y, "'y'"))
    if len(y) != n:
        raise ValueError(f"'y' must have a value for each of the {n} samples. Got {len(y)}.")
    is_present = np.array([value is not None and value == value for value in y.tolist()], bool)
    present = np.array(y[is_present].tolist())  # numbers of a column of objects become numbers
    has_label = is_labelled(present)
    classes, indices = np.unique(present[has_label], return_inverse=True)
    is_number = present.dtype.kind in "iuf"
    is_whole = is_number and bool(np.isfinite(present).all() and (present % 1 == 0).all())
    if is_number and len(classes) > (MAX_WHOLE_CLASSES if is_whole else len(PALETTE)):
        numbers = np.full(n, np.nan)
        numbers[is_present] = present
        return Labels(None, numbers, is_present)
    if len(classes) > MAX_CLASSES:
        raise ValueError(
            f"'y' must hold numbers, or {MAX_CLASSES} classes at most, as many as colours and "
            f"shapes can distinguish. Got {len(classes)} classes."
        )
    is_present[is_present] = has_label
    numbers = np.full(n, -1)
    numbers[is_present] = indices
    return Labels(classes, numbers, is_present)


def style_of(number: int) -> tuple[str, str]:
    """Return the colour and the marker of a class; no two of 100 classes have both in common."""
    turn, color = divmod(number, len(PALETTE))
    return PALETTE[color], MARKERS[(color + turn) % len(MARKERS)]


def marker_path(marker: str):
    """Return the outline of a marker."""
    from matplotlib.markers import MarkerStyle

    style = MarkerStyle(marker)
    return style.get_path().transformed(style.get_transform())


def arrange_thumbnails(
    positions: np.ndarray, side: float, max_thumbnails: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the samples to show (m,), and the centres of their thumbnails (m, 2).

    The map and a margin are divided into square cells. At most one sample of each cell is chosen,
    at random but with a fixed seed. Its thumbnail takes the nearest cell that contains neither
    samples nor another thumbnail.
    """
    low = positions.min(0)
    cells = np.rint((positions - low) / side).astype(int)  # (n, 2)
    order = np.random.default_rng(0).permutation(len(positions))
    _, first = np.unique(cells[order], axis=0, return_index=True)
    indices = order[np.sort(first)[:max_thumbnails]]
    margin = math.ceil(math.sqrt(len(indices)) / 2)  # in cells: room for all outside of the map
    is_free = np.ones(cells.max(0) + 1 + 2 * margin, dtype=bool)
    is_free[tuple((cells + margin).T)] = False
    free = low + side * (np.argwhere(is_free) - margin)
    centers = np.empty((len(indices), 2))
    for i, position in enumerate(positions[indices]):
        nearest = np.square(free - position).sum(1).argmin()
        centers[i] = free[nearest]
        free = np.delete(free, nearest, axis=0)
    return indices, centers
