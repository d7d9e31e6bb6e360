"""K-means on whitened patches, pooled: features of images without deep learning."""

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import MiniBatchKMeans
from torch.nn import functional


class KMeansPatches(TransformerMixin, BaseEstimator):
    """Triangle distances to k-means centroids of whitened patches, summed in quadrants.

    Parameters
    ----------
    n_centroids : int, default=400
    patch : int or None, default=None
        Side of a patch; None is 6, or half the side of an image that is smaller than 12.
    n_patches : int, default=100_000
        Drawn to learn from.
    random_state : int, default=0

    References
    ----------
    Coates, Lee, Ng, "An analysis of single-layer networks in unsupervised feature learning",
    AISTATS 2011.
    """

    def __init__(self, n_centroids=400, patch=None, n_patches=100_000, random_state=0):
        self.n_centroids = n_centroids
        self.patch = patch
        self.n_patches = n_patches
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn whitening and centroids from random patches."""
        images = _as_images(X[np.random.default_rng(self.random_state).permutation(len(X))[:5000]])
        self.patch_ = self.patch or min(6, images.shape[-1] // 2)
        patches = functional.unfold(images, self.patch_).transpose(1, 2).flatten(0, 1).numpy()
        rng = np.random.default_rng(self.random_state)
        patches = _normalize(patches[rng.permutation(len(patches))[: self.n_patches]])
        self.mean_ = patches.mean(0)
        values, vectors = np.linalg.eigh(np.cov(patches.T))
        self.whitening_ = (vectors / np.sqrt(np.maximum(values, 0) + 0.1)) @ vectors.T
        self.whitening_ = self.whitening_.astype(np.float32)
        means = MiniBatchKMeans(
            self.n_centroids, batch_size=10_000, n_init=1, random_state=self.random_state
        )
        self.centroids_ = means.fit((patches - self.mean_) @ self.whitening_).cluster_centers_
        return self

    def transform(self, X):
        """Return (n, 4 * n_centroids)."""
        return np.concatenate([self._encode(X[i : i + 100]) for i in range(0, len(X), 100)])

    def _encode(self, X) -> np.ndarray:
        images = _as_images(X)
        patches = functional.unfold(images, self.patch_).transpose(1, 2)  # (n, n_positions, size)
        n, n_positions, _ = patches.shape
        white = (_normalize(patches.flatten(0, 1).numpy()) - self.mean_) @ self.whitening_
        distance = torch.cdist(torch.from_numpy(white), torch.from_numpy(self.centroids_).float())
        near = (distance.mean(1, keepdim=True) - distance).relu()
        side = round(n_positions**0.5)
        maps = near.reshape(n, side, side, -1)
        half = side // 2
        halves = (slice(None, half), slice(half, None))
        return torch.cat([maps[:, a, b].sum((1, 2)) for a in halves for b in halves], 1).numpy()


def _as_images(X) -> torch.Tensor:
    images = torch.from_numpy(np.asarray(X, np.float32))
    return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)


def _normalize(patches: np.ndarray) -> np.ndarray:
    centered = patches - patches.mean(1, keepdims=True)
    return centered / np.sqrt(centered.var(1, keepdims=True) + 10)
