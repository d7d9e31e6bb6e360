"""What views of one sample share counts more: damped directions, and principal components."""

from collections.abc import Iterator

import numpy as np
from sklearn.decomposition import PCA

# Directions in which views differ by this many times the mean over all directions are shortened by
# the square root of two.
DAMPED_FROM = 3.0
# Number of directions that are shortened, at most; those in which views differ most.
N_DAMPED = 64
# Samples that are changed at once, so that no copy of all of them is needed.
N_AT_ONCE = 1000


def damped_directions(changes: np.ndarray) -> np.ndarray | None:
    """Directions in which views differ most; their lengths say how far samples are shortened.

    With the variance v of changes in a direction and the mean m over all units, `damp` multiplies
    samples in this direction by 1 / sqrt(1 + v / (3 m)). In linear discriminant analysis, where
    classes take the place of samples and m is infinitely small, the factor is 1 / sqrt(v).

    Parameters
    ----------
    changes : ndarray of shape (n_pairs, n_units)
        By how much two views of one sample differ.

    Returns
    -------
    directions : ndarray of shape (n_units, n_directions), float32, or None
        Orthogonal columns, the longest first. None if views do not differ.

    References
    ----------
    Fisher, "The use of multiple measurements in taxonomic problems", 1936; Friedman, "Regularized
    discriminant analysis", 1989.
    """
    if not changes.any():
        return None
    changes = changes.astype(np.float64)
    n_units = changes.shape[1]
    squares, vectors = np.linalg.eigh(changes @ changes.T)  # there are fewer pairs than units
    spanned = np.flatnonzero(squares > 1e-9 * squares[-1])  # the rest is rounding
    largest = spanned[::-1][:N_DAMPED]  # in falling order
    squares, vectors = squares[largest], vectors[:, largest]
    basis = changes.T @ (vectors / np.sqrt(squares))  # orthonormal columns
    relative = squares / (np.square(changes).sum() / n_units)
    factors = 1 / np.sqrt(1 + relative / DAMPED_FROM)
    return (basis * np.sqrt(1 - factors)).astype(np.float32)


def damp(rows: np.ndarray, directions: np.ndarray) -> None:
    """Shorten each row (n, n_units), in place, along directions of `damped_directions`."""
    for part in in_parts(rows):
        part -= (part @ directions) @ directions.T


def in_parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Some rows after the other, so that what is computed from them needs little memory."""
    for start in range(0, len(rows), N_AT_ONCE):
        yield rows[start : start + N_AT_ONCE]


def principal_directions(units: np.ndarray, n_components: int) -> np.ndarray:
    """The leading principal directions, each of length 1.

    From centred units (n, n_units) to directions (n_units, min(n_components, n_units)), float32. A
    column is 0 if the samples do not span so many directions.
    """
    n, n_units = units.shape
    n_features = min(n_components, n_units)
    directions = np.zeros((n_units, n_features), np.float32)
    if not n_features or not units.any():  # constant, all of them: no direction leads
        return directions
    pca = PCA(min(n_features, n), random_state=0).fit(units)
    spanned = pca.singular_values_ > 1e-6 * pca.singular_values_[0]  # the rest is rounding
    directions[:, : spanned.sum()] = pca.components_[spanned].T
    return directions
