"""Averages over neighbours: features move towards the mean of similar samples of ``fit``."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from skdim._model.closeness import N_AT_ONCE
from skdim._model.inference import exact_product

# Number of principal components in which samples are compared.
N_COMPARED = 64
# Largest number of samples that others are averaged with.
N_REMEMBERED = 8000
# Weights are those of a normal distribution with this standard deviation, if the root mean square
# distance of the remembered samples from their mean is 1.
BANDWIDTH = 0.22
# How much of the mean of few samples is added to each.
SMALLEST_STRENGTH = 0.5

# Samples of a smaller squared distance, in bandwidths, are the same but for rounding in float32; so
# are those of a smaller one as a part of their squared length.
SAME, ROUNDING = 1e-4, 4e-6


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Samples of ``fit`` that others are averaged with.

    Attributes
    ----------
    directions : ndarray of shape (n_units, n_compared), float32
        From standardised units of the hidden layer to the components that are compared. Their unit
        is the bandwidth.
    samples : ndarray of shape (n_remembered, n_compared), float32
        These components of some samples of ``fit``.
    """

    directions: np.ndarray
    samples: np.ndarray

    def mean_of_similar(self, units: np.ndarray) -> np.ndarray:
        """From standardised units (n, n_units) to means of neighbours (n, n_compared), float32."""
        return _in_doubles(exact_product(units, self.directions), *self._doubles)

    @cached_property
    def _doubles(self) -> tuple[Tensor, Tensor]:
        samples = torch.from_numpy(self.samples).double()
        return samples, half_squares(samples)


class NeighborsLayer(nn.Module):
    """What `Neighbors.mean_of_similar` does, for gradients or an exported graph."""

    directions: Tensor
    samples: Tensor
    halves: Tensor

    def __init__(self, neighbors: Neighbors):
        super().__init__()
        self.register_buffer("directions", torch.from_numpy(neighbors.directions))
        self.register_buffer("samples", torch.from_numpy(neighbors.samples))
        self.register_buffer("halves", half_squares(self.samples))

    def forward(self, units: Tensor) -> Tensor:
        """From standardised units (n, n_units) to means of neighbours (n, n_compared)."""
        return mean_of_similar(units @ self.directions, self.samples, self.halves)


def strength(n_remembered: int) -> float:
    """How much of the mean of similar samples is added: a half up to 2,000, all of it of 8,000.

    The more samples there are, the nearer are those that are similar.
    """
    return max(SMALLEST_STRENGTH, math.sqrt(n_remembered / N_REMEMBERED))


def bandwidth(samples: np.ndarray) -> float:
    """`BANDWIDTH` times the root mean square length of samples (n, n_compared); 1 if all are 0."""
    return BANDWIDTH * float(np.sqrt(np.square(samples).sum(1, dtype=np.float64).mean())) or 1.0


def means_of_similar(points: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """`mean_of_similar` of arrays, float32."""
    doubles = torch.from_numpy(samples).double()
    return _in_doubles(points, doubles, half_squares(doubles))


def _in_doubles(points: np.ndarray, samples: Tensor, halves: Tensor) -> np.ndarray:
    """Doubles round to the same floats whatever the number of points."""
    parts = torch.from_numpy(points).double().split(N_AT_ONCE)
    return torch.cat([mean_of_similar(part, samples, halves) for part in parts]).float().numpy()


def half_squares(points: Tensor) -> Tensor:
    """Half of the squared length of each point (n, n_compared): (n,)."""
    return points.square().sum(1) / 2


def mean_of_similar(points: Tensor, samples: Tensor, halves: Tensor) -> Tensor:
    """The mean of all samples for each point, weighted by how near they are: (n, n_compared).

    Weights fall with the distance as the density of a standard normal distribution. To move towards
    such a mean is a step of mean shift. A point that is one of the samples is not averaged with
    itself: its mean is what it would be if it were new.

    Parameters
    ----------
    points : Tensor of shape (n, n_compared)
    samples : Tensor of shape (n_remembered, n_compared)
    halves : Tensor of shape (n_remembered,)
        `half_squares` of the samples.

    References
    ----------
    Fukunaga, Hostetler, "The estimation of the gradient of a density function, with applications in
    pattern recognition", IEEE Transactions on Information Theory 21 (1975).
    """
    # Minus half of the squared distance, plus half of the point's squared length.
    logits = torch.addmm(-halves, points, samples.T)  # (n, n_remembered)
    squares = half_squares(points)
    is_same = logits > (squares * (1 - ROUNDING) - SAME / 2)[:, None]
    # Finite, so that samples that are all the same have a mean.
    return logits.masked_fill(is_same, -1e30).softmax(1) @ samples
