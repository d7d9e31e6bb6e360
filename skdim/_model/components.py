"""Components: directions in which samples differ most, and views of one sample little."""

import numpy as np
from sklearn.decomposition import PCA

# Directions in which views differ by this many times the mean over all directions are shortened by
# the square root of two.
DAMPED_FROM = 3.0
# Samples that are damped at once, so that no copy of all of them is needed.
N_AT_ONCE = 1000


def component_directions(
    units: np.ndarray, n_components: int, changes: np.ndarray | None = None
) -> np.ndarray:
    """The leading directions of samples, after those that change between views are damped.

    Parameters
    ----------
    units : ndarray of shape (n, n_units)
        Centred; damped in place.
    n_components : int
    changes : ndarray of shape (n_pairs, n_units), or None
        By how much two views of one sample differ. None damps nothing.

    Returns
    -------
    directions : ndarray of shape (n_units, min(n_components, n_units)), float32
        Projections of units on them have mean variance 1. A column is 0 if the samples do not span
        so many directions.
    """
    if changes is None or not changes.any():
        return principal_directions(units, n_components)
    basis, factors = damping(changes)
    _damp(units, basis, factors)
    directions = principal_directions(units, n_components)
    _damp(directions.T, basis, factors)
    return directions


def damping(changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions in which views differ, and a factor for each.

    With the variance v of changes in a direction and the mean m over all units, the factor is
    1 / sqrt(1 + v / (3 m)). In linear discriminant analysis, where classes take the place of
    samples and m is infinitely small, it is 1 / sqrt(v).

    Parameters
    ----------
    changes : ndarray of shape (n_pairs, n_units), not all 0

    Returns
    -------
    basis : ndarray of shape (n_units, n_directions), float32
        Orthonormal columns; in all other directions, views do not differ.
    factors : ndarray of shape (n_directions,), float32
        Above 0, at most 1.

    References
    ----------
    Fisher, "The use of multiple measurements in taxonomic problems", 1936; Friedman, "Regularized
    discriminant analysis", 1989.
    """
    changes = changes.astype(np.float64)
    n_units = changes.shape[1]
    squares, vectors = np.linalg.eigh(changes @ changes.T)  # there are fewer pairs than units
    spanned = squares > 1e-9 * squares[-1]  # the rest is rounding
    squares, vectors = squares[spanned], vectors[:, spanned]
    basis = changes.T @ (vectors / np.sqrt(squares))
    relative = squares / (np.square(changes).sum() / n_units)
    factors = 1 / np.sqrt(1 + relative / DAMPED_FROM)
    return basis.astype(np.float32), factors.astype(np.float32)


def _damp(rows: np.ndarray, basis: np.ndarray, factors: np.ndarray) -> None:
    """Shorten each row (n, n_units), in place, by a factor along each direction of a basis."""
    for start in range(0, len(rows), N_AT_ONCE):
        part = rows[start : start + N_AT_ONCE]
        part -= (part @ basis * (1 - factors)) @ basis.T


def principal_directions(units: np.ndarray, n_components: int) -> np.ndarray:
    """The leading principal directions, scaled so that projections have mean variance 1.

    From centred units (n, n_units) to directions (n_units, min(n_components, n_units)), float32. A
    column is 0 if the samples do not span so many directions.
    """
    n, n_units = units.shape
    n_features = min(n_components, n_units)
    if not units.any():  # constant, all of them: no direction leads
        return np.zeros((n_units, n_features), np.float32)
    pca = PCA(min(n_features, n), random_state=0).fit(units)
    variance = np.square(pca.singular_values_).sum() / (n * n_features)
    directions = np.zeros((n_units, n_features), np.float32)
    spanned = pca.singular_values_ > 1e-6 * pca.singular_values_[0]  # the rest is rounding
    directions[:, : spanned.sum()] = pca.components_[spanned].T / np.sqrt(variance or 1.0)
    return directions
