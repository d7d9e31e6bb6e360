"""Samples and their nearest neighbours in feature space."""

from dataclasses import dataclass

import numpy as np

from skdim.displays.drawing import (
    INK,
    PALETTE,
    SMALL,
    axes_and_figure,
    check_drawable,
    check_inputs,
    draw_samples,
    make_panels,
)
from skdim.evaluation import nearest_neighbors
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
            Images, volumes or signals. Neighbours are taken from them.
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
        samples = check_inputs(estimator, X)
        check_drawable(samples)
        features = estimator.model_.features(samples, estimator.output)
        if queries is None:
            check_number("n_neighbors", n_neighbors, len(samples) - 1, "other samples")
            check_number("n_queries", n_queries, len(samples), "samples")
            rows = np.arange(n_queries) * len(samples) // n_queries  # evenly spaced
            queries = samples[rows]
            distances, indices = neighbors_within(features, rows, n_neighbors, metric)
        else:
            queries = check_samples(estimator, queries)
            query_features = estimator.model_.features(queries, estimator.output)
            distances, indices = nearest_neighbors(features, query_features, n_neighbors, metric)
        return cls(queries, samples[indices], distances).plot(ax, cmap=cmap)

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
        pictures = np.concatenate([self.queries[:, None], self.neighbors], 1)
        n_rows, n_columns = pictures.shape[:2]
        self.ax_, self.figure_ = axes_and_figure(ax, (0.9 * n_columns, 0.5 + 1.1 * n_rows))
        n_pictures = n_rows * n_columns
        panels = make_panels(self.ax_, n_pictures, n_columns, hspace=0.4, wspace=0.1, aspect=1)
        artists = draw_samples(panels, pictures.reshape(n_pictures, *pictures.shape[2:]), cmap)
        self.thumbnails_ = np.array(artists, dtype=object).reshape(n_rows, n_columns)
        for row, distances in zip(panels.reshape(n_rows, n_columns), self.distances, strict=True):
            labels = ["query", *(f"{distance:#.3g}" for distance in distances)]
            for panel, label in zip(row, labels, strict=True):
                panel.spines[:].set_visible(False)
                panel.set_xlabel(label, **SMALL, labelpad=2)
            row[0].spines[:].set(visible=True, color=PALETTE[0], linewidth=3)
        title = "Nearest neighbours, with distances"
        panels[1].set_title(title, loc="left", fontsize="medium", color=INK)
        return self


def check_number(parameter: str, number: int, most: int, what: str) -> None:
    """Raise ValueError unless a number of samples is from 1 to ``most``."""
    if not 1 <= number <= most:
        raise ValueError(
            f"The {parameter!r} parameter must be from 1 to the {most} {what} of X. Got {number}."
        )


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
