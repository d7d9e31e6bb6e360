"""Samples and their nearest neighbours in feature space."""

import numpy as np

from skdim.displays.drawing import (
    INK,
    axes_or_new,
    check_drawable,
    check_transformer,
    draw_thumbnails,
)
from skdim.evaluation import nearest_neighbors
from skdim.transformer import check_samples

# Distances in thumbnails: from one to the next, and from a query to its first neighbour.
STEP, QUERY_STEP = 1.1, 1.4


class NearestNeighborsDisplay:
    """A line of pictures for each query: the query, then its nearest neighbours in feature space.

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

    def __init__(self, queries, neighbors, distances):
        self.queries = queries
        self.neighbors = neighbors
        self.distances = distances

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
        """Draw samples and their nearest neighbours in the features of a fitted transformer.

        Parameters
        ----------
        estimator : DIMTransformer
            Fitted. Its ``output`` parameter selects the features.
        X : array-like of the kind and sample shape that ``fit`` saw
            Images, volumes or signals, from which neighbours are taken.
        queries : array-like of that kind, default=None
            Samples whose neighbours are shown. None takes evenly spaced samples of X, which are
            not counted as their own neighbours.
        n_queries : int, default=6
            Number of queries, if ``queries`` is None.
        n_neighbors : int, default=7
        metric : str or callable, default="manhattan"
            As in `skdim.evaluation.nearest_neighbors`.
        ax, cmap
            As in `plot`.

        Returns
        -------
        display : NearestNeighborsDisplay
        """
        check_transformer(estimator)
        samples = check_samples(estimator, X)
        check_drawable(samples)
        features = estimator.model_.features(samples, estimator.output)
        if queries is None:
            if not 1 <= n_neighbors < len(samples):
                raise ValueError(
                    "The 'n_neighbors' parameter must be from 1 to the "
                    f"{len(samples) - 1} other samples of X. Got {n_neighbors}."
                )
            chosen = _evenly_spaced(len(samples), n_queries)
            found = nearest_neighbors(features, features[chosen], n_neighbors + 1, metric)
            distances, indices = _drop_queries(chosen, *found)
            queries = samples[chosen]
        else:
            queries = check_samples(estimator, queries)
            query_features = estimator.model_.features(queries, estimator.output)
            distances, indices = nearest_neighbors(features, query_features, n_neighbors, metric)
        return cls(queries, samples[indices], distances).plot(ax, cmap=cmap)

    def plot(self, ax=None, *, cmap="gray"):
        """Draw the queries and their neighbours.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        cmap : str or matplotlib Colormap, default="gray"
            Colour map of grey pictures; "gray_r" draws dark on white.

        Returns
        -------
        display : NearestNeighborsDisplay
            The same object.
        """
        check_drawable(self.queries)
        n_queries, n_neighbors = self.distances.shape
        left = np.array([0, *(QUERY_STEP + STEP * np.arange(n_neighbors))])
        down = -(STEP + 0.2) * np.arange(n_queries)  # with room for the distances
        ax = axes_or_new(ax, (0.8 * (left[-1] + 1), 0.8 * (1.7 - down[-1])))
        self.ax_, self.figure_ = ax, ax.figure
        shown = np.concatenate([self.queries[:, None], self.neighbors], 1)
        y, x = np.meshgrid(down, left, indexing="ij")
        centers = np.stack([x, y], -1)  # (n_queries, 1 + n_neighbors, 2)
        artists = draw_thumbnails(
            ax, shown.reshape(-1, *shown.shape[2:]), centers.reshape(-1, 2), 1.0, cmap
        )
        self.thumbnails_ = np.empty(x.shape, dtype=object)
        self.thumbnails_[...] = np.array(artists, dtype=object).reshape(x.shape)
        above, small = {"ha": "left", "va": "bottom", "color": INK}, {"color": INK, "size": 9}
        ax.text(-0.5, 0.6, "Query", **above)
        ax.text(QUERY_STEP - 0.5, 0.6, "Nearest neighbours, with distances", **above)
        for center, distance in zip(
            centers[:, 1:].reshape(-1, 2), np.ravel(self.distances), strict=True
        ):
            ax.text(center[0], center[1] - 0.53, f"{distance:#.3g}", ha="center", va="top", **small)
        ax.set(xlim=(-0.6, left[-1] + 0.6), ylim=(down[-1] - 0.8, 1.0), aspect="equal")
        ax.set_axis_off()
        return self


def _evenly_spaced(n: int, n_wanted: int) -> np.ndarray:
    if not 1 <= n_wanted <= n:
        raise ValueError(
            f"The 'n_queries' parameter must be from 1 to the {n} samples of X. Got {n_wanted}."
        )
    return np.arange(n_wanted) * n // n_wanted


def _drop_queries(
    queries: np.ndarray, distances: np.ndarray, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Drop each query from its own neighbours; if it is not among them, drop the farthest one.

    A query may be missing if there are many equal samples.
    """
    is_other = indices != queries[:, None]
    is_other[is_other.all(1), -1] = False
    n, n_found = indices.shape
    return distances[is_other].reshape(n, n_found - 1), indices[is_other].reshape(n, n_found - 1)
