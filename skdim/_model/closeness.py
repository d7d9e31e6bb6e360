"""How close samples are to those of ``fit``, by their nearest neighbours."""

import numpy as np
import torch

from skdim._model.inference import exact_product

N_NEIGHBORS, N_PROJECTED = 5, 128
SEED = 0  # of the projection, which must be the same in every version
N_AT_ONCE = 256  # so that distances fit into memory


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


def closeness(projected: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Minus the mean Euclidean distance of each sample to the nearest samples of a reference.

    From (n, n_projected) and (n_reference, n_projected) to scores (n,), float64. The unit is the
    root mean square of the reference. Each score is computed by itself, whatever the other samples.

    References
    ----------
    Sun, Ming, Zhu, Li, "Out-of-distribution detection with deep nearest neighbors", ICML 2022.
    """
    others = torch.from_numpy(reference).double()
    unit = others.square().sum(1).mean().sqrt() or torch.ones(())  # 0 if they are all the same
    scores = []
    for part in torch.from_numpy(projected).double().split(N_AT_ONCE):
        # Products of matrices would round differently for another number of samples.
        distances = torch.cdist(part, others, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distances.topk(min(N_NEIGHBORS, len(others)), largest=False).values
        scores.append(-nearest.mean(1) / unit)
    return torch.cat(scores).numpy()
