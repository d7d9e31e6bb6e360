"""How close samples are to those of ``fit``, by their nearest neighbours."""

import numpy as np
import torch

from skdim._model.inference import exact_product

N_NEIGHBORS, N_PROJECTED = 5, 128
SEED = 0  # of the projection, which must be the same in every version
N_AT_ONCE = 256  # so that distances fit into memory
# A smaller distance is that of a sample to itself, but for rounding. So is one that is smaller as a
# part of the sample's length.
SAME, ROUNDING = 1e-4, 1e-5
N_REFERENCE = 2000  # largest number of samples that others are compared with


def project(hidden: np.ndarray) -> np.ndarray:
    """Shorten hidden layers (n, n_hidden) to (n, n_projected), float32, and keep distances.

    The projection is random, and always the same. Principal components would not show what is far
    from the samples of ``fit`` in a direction in which these do not vary.
    """
    n_hidden = hidden.shape[1]
    if n_hidden <= N_PROJECTED:
        return hidden
    directions = np.random.RandomState(SEED).standard_normal((n_hidden, N_PROJECTED))
    return exact_product(hidden, directions)


def draw_reference(n_samples: int) -> np.ndarray:
    """Indices of the samples that others are compared with: all, or `N_REFERENCE`, in order."""
    if n_samples <= N_REFERENCE:
        return np.arange(n_samples)
    return np.sort(np.random.RandomState(SEED).permutation(n_samples)[:N_REFERENCE])


def closeness(projected: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Minus the mean Euclidean distance of each sample to the nearest samples of a reference.

    From (n, n_projected) and (n_reference, n_projected) to scores (n,), float64. The unit is the
    root mean square of the reference. Each score is computed by itself, whatever the other samples.
    A sample of the reference is not compared with itself, so that its score is what it would be if
    it were new. With a reference of n <= 5 samples, the nearest are n - 1.

    References
    ----------
    Sun, Ming, Zhu, Li, "Out-of-distribution detection with deep nearest neighbors", ICML 2022.
    """
    others = torch.from_numpy(reference).double()
    unit = others.square().sum(1).mean().sqrt() or torch.ones(())  # 0 if they are all the same
    n_nearest = min(N_NEIGHBORS + 1, len(others))
    scores = []
    for part in torch.from_numpy(projected).double().split(N_AT_ONCE):
        # Products of matrices would round differently for another number of samples.
        distances = torch.cdist(part, others, compute_mode="donot_use_mm_for_euclid_dist") / unit
        nearest = distances.topk(n_nearest, largest=False).values  # (n, n_nearest), in order
        lengths = part.square().sum(1, keepdim=True).sqrt() / unit
        is_itself = nearest[:, :1] < SAME + ROUNDING * lengths
        scores.append(-torch.where(is_itself, nearest[:, 1:], nearest[:, :-1]).mean(1))
    return torch.cat(scores).numpy()


def threshold(scores: np.ndarray, contamination: float | str) -> float:
    """Return the score below which a sample is an outlier, from scores of the reference (n,).

    With a number, that part of the reference is below it. With "auto", it is the lower fence of a
    box plot: the first quartile minus 1.5 times the distance between the quartiles.
    """
    if isinstance(contamination, str):
        lower, upper = np.quantile(scores, [0.25, 0.75])
        return float(lower - 1.5 * (upper - lower))
    return float(np.quantile(scores, contamination))
