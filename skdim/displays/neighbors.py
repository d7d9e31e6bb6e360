"""Samples and their nearest neighbours in feature space."""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from skdim.displays.drawing import (
    INK,
    PALETTE,
    SMALL,
    check_drawable,
    check_inputs,
    check_number,
    draw_frame,
    draw_rows,
    evenly_spaced,
    file_names,
    shorten,
    take,
)
from skdim.evaluation import nearest_neighbors
from skdim.sources.readers import as_rereadable
from skdim.transformer import check_samples


@dataclass(eq=False, repr=False)
class NearestNeighborsDisplay:
    """A row of pictures for each query: the query, then its nearest neighbours in feature space.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, channels, *sides)
        Images, volumes or signals.
    neighbors : ndarray of shape (n_queries, n_neighbors, channels, *sides)
        Nearest first.
    distances : ndarray of shape (n_queries, n_neighbors)
    query_names : array-like of shape (n_queries,) of str, default=None
    neighbor_names : array-like of shape (n_queries, n_neighbors) of str, default=None
        Names of the samples, such as those of their files. The end of each is drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Contains all pictures.
    figure_ : matplotlib Figure
    thumbnails_ : ndarray of shape (n_queries, 1 + n_neighbors) of matplotlib artists
        AxesImage, or LineCollection for signals.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdim import DIMTransformer
    >>> from skdim.displays import NearestNeighborsDisplay
    >>> images = load_digits().images[:500]
    >>> dim = DIMTransformer(max_epochs=2, random_state=0).fit(images)
    >>> display = NearestNeighborsDisplay.from_estimator(
    ...     dim, images, n_queries=5, n_neighbors=7
    ... )
    >>> display.thumbnails_.shape
    (5, 8)
    """

    queries: np.ndarray
    neighbors: np.ndarray
    distances: np.ndarray
    _: KW_ONLY
    query_names: np.ndarray | None = None
    neighbor_names: np.ndarray | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        queries=None,
        n_queries=6,
        n_neighbors=7,
        metric="manhattan",
        ax=None,
        cmap="gray",
    ):
        """Draw samples and their neighbours in feature space, and return the display.

        Parameters
        ----------
        estimator : DIMTransformer
            Fitted. Its ``output`` parameter selects the features.
        X : array-like of the kind and sample shape that ``fit`` saw
            Images, volumes or signals. Neighbours are taken from them. Names of files are drawn if
            X has some, like `skdim.sources.ImageFolder`.
        queries : array-like of the same kind, default=None
            Samples whose neighbours are shown. None takes evenly spaced samples of X, and a sample
            does not count as its own neighbour.
        n_queries : int, default=6
            Number of queries, if ``queries`` is None.
        n_neighbors : int, default=7
        metric : str or callable, default="manhattan"
            As in `skdim.evaluation.nearest_neighbors`.
        ax, cmap
            As in `plot`.
        """
        X = as_rereadable(X)
        samples, names = check_inputs(estimator, X), file_names(X)
        check_drawable(samples)
        features = estimator.model_.features(samples, estimator.output)
        if queries is None:
            check_number("n_neighbors", n_neighbors, len(samples) - 1, "other samples")
            check_number("n_queries", n_queries, len(samples), "samples")
            rows = evenly_spaced(len(samples), n_queries)
            drawn, query_names = take(samples, rows), None if names is None else names[rows]
            distances, indices = neighbors_within(features, rows, n_neighbors, metric)
        else:
            queries = as_rereadable(queries)
            query_samples, query_names = check_samples(estimator, queries), file_names(queries)
            query_features = estimator.model_.features(query_samples, estimator.output)
            drawn = query_samples[:]
            distances, indices = nearest_neighbors(features, query_features, n_neighbors, metric)
        display = cls(
            drawn,
            take(samples, indices),
            distances,
            query_names=query_names,
            neighbor_names=None if names is None else names[indices],
        )
        return display.plot(ax, cmap=cmap)

    def plot(self, ax=None, *, cmap="gray"):
        """Draw the queries and their neighbours, and return the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        cmap : str or matplotlib Colormap, default="gray"
            Colour map of grey pictures; "gray_r" draws dark on white.
        """
        check_drawable(self.queries)
        rows = draw_rows(ax, self.queries, self.neighbors, cmap)
        self.ax_, self.figure_, panels, self.thumbnails_ = rows
        for row, panel in enumerate(panels[:, 0]):
            label = "query" if self.query_names is None else shorten(self.query_names[row])
            panel.set_xlabel(label, **SMALL, labelpad=2)
            draw_frame(panel, PALETTE[0])
        for position, distance in np.ndenumerate(self.distances):
            label = f"{distance:#.3g}"
            if self.neighbor_names is not None:
                label = f"{shorten(str(self.neighbor_names[position]))}\n{label}"
            row, column = position
            panels[row, 1 + column].set_xlabel(label, **SMALL, labelpad=2)
        title = "Nearest neighbours, with distances"
        panels[0, 1].set_title(title, loc="left", fontsize="medium", color=INK)
        return self


def neighbors_within(
    features: np.ndarray, rows: np.ndarray, n_neighbors: int, metric
) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and indices of the nearest other samples of some rows of ``features``."""
    distances, indices = nearest_neighbors(features, features[rows], n_neighbors + 1, metric)
    is_other = indices != rows[:, None]
    # Many equal samples may push a query out of its own list: drop the farthest sample instead.
    is_other[is_other.all(1), -1] = False
    shape = len(rows), n_neighbors
    return distances[is_other].reshape(shape), indices[is_other].reshape(shape)
