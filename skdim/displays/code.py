"""A map of features: samples as points in a plane."""

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils import column_or_1d

from skdim.displays.drawing import (
    INK,
    MUTED,
    PALETTE,
    axes_or_new,
    check_drawable,
    check_transformer,
    draw_thumbnails,
)
from skdim.transformer import check_samples

# Of classes, in the order of the palette: colours alone are hard to tell apart.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", "*")


class CodeDisplay:
    """Samples in a plane, coloured by class or number, some of them shown as thumbnails.

    Both axes have the same scale. A class has a colour and a shape. Thumbnails hide no point: they
    are drawn where there is none, with a line to their sample.

    Parameters
    ----------
    embedding : array-like of shape (n, 2)
        Position of each sample.
    samples : ndarray of shape (n, channels, *sides), default=None
        Images, volumes or signals, to draw thumbnails.
    y : array-like of shape (n,), default=None
        Classes, at most 10, or numbers, by which samples are coloured.
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

    def __init__(
        self,
        embedding,
        *,
        samples=None,
        y=None,
        axis_labels=("first dimension", "second dimension"),
    ):
        self.embedding = embedding
        self.samples = samples
        self.y = y
        self.axis_labels = axis_labels

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
        """Draw a map of the features of X by a fitted transformer.

        Parameters
        ----------
        estimator : DIMTransformer
            Fitted. Its ``output`` parameter selects the features.
        X : array-like of the kind and sample shape that ``fit`` saw
            At least two samples. Rows of a table are drawn as points only.
        y : array-like of shape (n_samples,), default=None
        embedding : array-like of shape (n_samples, 2), transformer or callable, default=None
            Positions of the samples, or how to compute them. A copy of a transformer, such as
            `sklearn.manifold.TSNE`, is fitted to the features. If it has no ``fit_transform``, as a
            `sklearn.frozen.FrozenEstimator`, it transforms the features as it is. A callable maps
            features (n_samples, n_features) to positions. None takes the first two principal
            components.
        ax, n_thumbnails, thumbnail_size, cmap
            As in `plot`.

        Returns
        -------
        display : CodeDisplay
        """
        check_transformer(estimator)
        samples = check_samples(estimator, X)
        features = estimator.model_.features(samples, estimator.output)
        positions, axis_labels = embed(features, embedding)
        display = cls(positions, samples=samples, y=y, axis_labels=axis_labels)
        if samples.ndim == 2:  # rows of a table have no thumbnails
            display.samples = None
        return display.plot(ax, n_thumbnails=n_thumbnails, thumbnail_size=thumbnail_size, cmap=cmap)

    def plot(self, ax=None, *, n_thumbnails=40, thumbnail_size=0.06, cmap="gray"):
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        n_thumbnails : int, default=40
            Largest number of thumbnails; there are fewer if their samples are too close.
        thumbnail_size : float, default=0.06
            Longer side of a thumbnail, as a fraction of the longer side of the map.
        cmap : str or matplotlib Colormap, default="gray"
            Colour map of grey thumbnails; "gray_r" draws dark on white.

        Returns
        -------
        display : CodeDisplay
            The same object.
        """
        embedding = check_embedding(self.embedding)
        if not thumbnail_size > 0:
            raise ValueError(
                f"The 'thumbnail_size' parameter must be positive. Got {thumbnail_size}."
            )
        colors, key, numbers = color_by(self.y, len(embedding))
        ax = axes_or_new(ax, (7, 6))
        self.ax_, self.figure_ = ax, ax.figure
        self.scatter_ = ax.scatter(*embedding.T, c=colors, s=24, linewidths=0, alpha=0.8)
        if numbers is not None:
            self.scatter_.set_paths([marker_path(number) for number in numbers])
        size = thumbnail_size * (np.ptp(embedding, axis=0).max() or 1.0)
        self.thumbnails_, self.leaders_ = [], None
        if self.samples is not None and n_thumbnails:
            check_drawable(self.samples)
            chosen = choose_apart(embedding, 1.2 * size, n_thumbnails)
            centers = choose_free(embedding, chosen, 1.2 * size)
            self.leaders_ = self._draw_leaders(centers, embedding[chosen], colors[chosen])
            self.thumbnails_ = draw_thumbnails(
                ax, self.samples[chosen], centers, size, cmap, edges=colors[chosen]
            )
            embedding = np.concatenate([embedding, centers])
        self._set_scales(embedding, size)
        self._draw_key(key)
        return self

    def _draw_leaders(self, centers: np.ndarray, positions: np.ndarray, colors: np.ndarray):
        """Draw a line from each thumbnail to its sample."""
        from matplotlib.collections import LineCollection

        lines = np.stack([centers, positions], axis=1)  # (n, 2, 2)
        return self.ax_.add_collection(
            LineCollection(list(lines), colors=colors, linewidths=0.8, alpha=0.6, zorder=0.5)
        )

    def _set_scales(self, embedding: np.ndarray, margin: float) -> None:
        low, high = embedding.min(0) - margin, embedding.max(0) + margin
        self.ax_.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
        self.ax_.set_aspect("equal")
        self.ax_.spines[:].set_color("0.85")
        self.ax_.set_xlabel(self.axis_labels[0], color=INK)
        self.ax_.set_ylabel(self.axis_labels[1], color=INK)

    def _draw_key(self, key) -> None:
        """Draw the legend of classes, or the colour bar of numbers."""
        from matplotlib.lines import Line2D

        self.legend_ = self.colorbar_ = None
        if isinstance(key, dict):
            markers = [
                Line2D([], [], marker=marker, linestyle="", color=color, label=str(name))
                for (name, color), marker in zip(key.items(), MARKERS, strict=False)
            ]
            self.legend_ = self.ax_.legend(
                handles=markers,
                title="y",
                loc="upper left",
                bbox_to_anchor=(1, 1),
                frameon=False,
                labelcolor=INK,
            )
        elif key is not None:
            self.colorbar_ = self.figure_.colorbar(key, ax=self.ax_, label="y", shrink=0.7)
            self.colorbar_.outline.set_visible(False)


def embed(features: np.ndarray, embedding) -> tuple[np.ndarray, tuple[str, str]]:
    """Compute the positions of samples in a plane.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
    embedding : array-like of shape (n, 2), transformer, callable (features) -> positions, or None
        As in `CodeDisplay.from_estimator`.

    Returns
    -------
    positions : ndarray of shape (n, 2)
    axis_labels : tuple of two str
    """
    if embedding is None:
        if min(features.shape) < 2:
            raise ValueError(
                "A map needs two samples of two features at least. Got features of shape "
                f"{features.shape}: set the 'embedding' parameter."
            )
        pca = PCA(2, random_state=0)
        positions = pca.fit_transform(features)
        ratios = pca.explained_variance_ratio_
        labels = [
            f"{order} principal component ({ratio:.0%} of variance)"
            for order, ratio in zip(("first", "second"), ratios, strict=True)
        ]
        return positions, (labels[0], labels[1])
    name = type(embedding).__name__
    if hasattr(embedding, "fit_transform"):
        positions = clone(embedding).fit_transform(features)
    elif hasattr(embedding, "transform"):
        positions = embedding.transform(features)
    elif callable(embedding):
        name = getattr(embedding, "__name__", name)
        positions = embedding(features)
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


def choose_apart(positions: np.ndarray, distance: float, n_most: int) -> np.ndarray:
    """Choose random positions, such that squares around them do not overlap.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
    distance : float
        Side of the squares.
    n_most : int
        Largest number of positions to choose.

    Returns
    -------
    indices : ndarray of int64, of shape (n_chosen,)
        The same in every call. If fewer than ``n_most``, every other square would overlap.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.displays.code import choose_apart
    >>> line = np.array([[0.0, 0.0], [0.4, 0.0], [2.0, 0.0]])
    >>> len(choose_apart(line, 1.0, 3))
    2
    """
    chosen: list[int] = []
    for index in np.random.default_rng(0).permutation(len(positions)):
        if len(chosen) == n_most:
            break
        if (np.abs(positions[chosen] - positions[index]).max(1) >= distance).all():
            chosen.append(index)
    return np.array(chosen, dtype=np.int64)


def choose_free(positions: np.ndarray, chosen: np.ndarray, size: float) -> np.ndarray:
    """Choose where thumbnails are drawn: near their samples, and over no sample.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Of all samples.
    chosen : ndarray of int, of shape (n_chosen,)
        The samples that have a thumbnail.
    size : float
        Side of the square that a thumbnail needs.

    Returns
    -------
    centers : ndarray of shape (n_chosen, 2)
        Of squares that contain no sample, and do not overlap.

    Examples
    --------
    >>> import numpy as np
    >>> from skdim.displays.code import choose_free
    >>> centers = choose_free(np.zeros((3, 2)), np.array([0]), 1.0)
    >>> float(np.abs(centers).max())  # the next square
    1.0
    """
    # A ring of free squares around the map has room for all, also if no square within is free.
    n_ring = 1 + len(chosen) // 4
    low, high = positions.min(0), positions.max(0)
    n_inside = np.ceil((high - low) / size).astype(int) + 1
    axes = [low[axis] + size * np.arange(-n_ring, n_inside[axis] + n_ring) for axis in range(2)]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    numbers = np.rint((positions - low) / size).astype(int) + n_ring  # of the cell of each sample
    is_free = np.ones(len(cells), dtype=bool)
    is_free[numbers[:, 0] * len(axes[1]) + numbers[:, 1]] = False
    free = cells[is_free]
    centers = np.empty((len(chosen), 2))
    for i, position in enumerate(positions[chosen]):
        nearest = np.square(free - position).sum(1).argmin()
        centers[i] = free[nearest]
        free = np.delete(free, nearest, axis=0)
    return centers


def marker_path(number: int):
    """Return the outline of the marker of a class, by its number."""
    from matplotlib.markers import MarkerStyle

    marker = MarkerStyle(MARKERS[number % len(MARKERS)])
    return marker.get_path().transformed(marker.get_transform())


def color_by(y, n: int):
    """Return a colour for every sample.

    Parameters
    ----------
    y : array-like of shape (n,) or None
    n : int

    Returns
    -------
    colors : ndarray of shape (n, 4)
        Red, green, blue and opacity.
    key : dict from class to color, ScalarMappable for numbers, or None
        Meaning of the colours.
    numbers : ndarray of int, of shape (n,), or None
        Number of the class of each sample; None where there are no classes.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, to_rgba, to_rgba_array

    if y is None:
        return np.tile(to_rgba(MUTED), (n, 1)), None, None
    y = column_or_1d(y)
    if len(y) != n:
        raise ValueError(f"'y' must have a value for each of the {n} samples. Got {len(y)}.")
    classes, numbers = np.unique(y, return_inverse=True)
    if len(classes) <= len(PALETTE):
        colors = to_rgba_array(PALETTE)
        return colors[numbers], dict(zip(classes.tolist(), PALETTE, strict=False)), numbers
    if y.dtype.kind not in "iuf":
        raise ValueError(
            f"'y' must hold numbers, or {len(PALETTE)} classes at most, as many as colours can "
            f"tell apart. Got {len(classes)} classes."
        )
    scale = ScalarMappable(Normalize(y.min(), y.max()), "viridis")
    return scale.to_rgba(y), scale, None
