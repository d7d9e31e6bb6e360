"""Coordinate prediction: predict the position of a local vector from the vector and a code.

A task is an ``nn.Module`` built as ``task(n_code, local_shape, n_axes)`` and called as
``task(code, local_map, generator)``. It returns a mean log-likelihood, which training maximises.
To add a task, list it in `COORDINATES`; its name is then a valid value of ``coordinates``.
"""

import numpy as np
import torch
from torch import Tensor, nn

from skdim.critics import at_least_float32


class CoordinateTask(nn.Module):
    """Base class of tasks: positions in a map, and a network that predicts one for each axis.

    Parameters
    ----------
    n_code : int
    local_shape : tuple (n_locations, n_channels)
    n_axes : int
        Axes of the map, all of the same length.

    References
    ----------
    Hjelm et al., ICLR 2019, table 5.
    """

    n_vectors: int  # number of local vectors in the network's input, in addition to the code
    positions: Tensor  # (n_locations, n_axes)

    def __init__(self, n_code: int, local_shape: tuple[int, int], n_axes: int):
        super().__init__()
        n_locations, n_channels = local_shape
        self.register_buffer("positions", positions_in_map(n_locations, n_axes), persistent=False)
        self.side = round(n_locations ** (1 / n_axes))
        self.predictor = predictor(n_code + self.n_vectors * n_channels, n_axes * self.n_positions)

    @property
    def n_positions(self) -> int:
        """Number of classes for each axis: its length."""
        return self.side


class AbsoluteCoordinates(CoordinateTask):
    r"""The position of a local vector in the map.

    .. math:: E[\log p(i, j \mid y, c_{ij})]

    with a categorical distribution for each axis, all from one network.
    """

    n_vectors = 1

    def forward(self, code: Tensor, local_map: Tensor, generator: torch.Generator) -> Tensor:
        """Mean log-likelihood of the positions of all local vectors, a tensor of shape (), at most
        0.

        The code is (..., n, n_code), the local map (..., n, n_locations, n_channels); the generator
        is not used.
        """
        inputs = concatenate_code(local_map, code)
        return log_likelihood(self.predictor(inputs), self.positions, self.n_positions)


class RelativeCoordinates(CoordinateTask):
    r"""The offset of one local vector from another.

    .. math:: E[\log p(i - i', j - j' \mid y, c_{ij}, c_{i'j'})]

    One random local vector of each sample is compared with all local vectors of the sample.
    """

    n_vectors = 2

    @property
    def n_positions(self) -> int:
        """Number of classes for each axis: offsets in both directions, and 0."""
        return 2 * self.side - 1

    def forward(self, code: Tensor, local_map: Tensor, generator: torch.Generator) -> Tensor:
        """Mean log-likelihood of the offsets of all local vectors from a random one of their
        sample.

        The arguments are those of `AbsoluteCoordinates`; the generator draws the random local
        vectors.
        """
        *batch, n_locations, n_channels = local_map.shape
        origins = torch.randint(n_locations, batch, generator=generator, device=generator.device)
        index = origins[..., None, None].expand(*batch, 1, n_channels)
        origin_vectors = local_map.gather(-2, index).squeeze(-2)  # (..., n, n_channels)
        inputs = concatenate_code(local_map, torch.cat([code, origin_vectors], -1))
        # (..., n, n_locations, n_axes)
        offsets = self.positions - self.positions[origins].unsqueeze(-2)
        return log_likelihood(self.predictor(inputs), offsets + self.side - 1, self.n_positions)


COORDINATES: dict[str, tuple[type[nn.Module], ...]] = {
    "absolute": (AbsoluteCoordinates,),
    "relative": (RelativeCoordinates,),
    "both": (AbsoluteCoordinates, RelativeCoordinates),
}


def positions_in_map(n_locations: int, n_axes: int) -> Tensor:
    """Return the coordinates of every location of a map, in the order of the flattened map.

    Returns
    -------
    positions : Tensor of shape (n_locations, n_axes), int64
        From 0 to the length of an axis minus 1.

    Raises
    ------
    ValueError
        If there are no axes, or no map with axes of equal length has that many locations.
    """
    side = round(n_locations ** (1 / n_axes)) if n_axes else 0
    if n_axes == 0 or side**n_axes != n_locations:
        raise ValueError(
            "The 'coordinate_weight' parameter must be 0, unless all sides of the local maps are "
            f"equally long. Got maps of {n_locations} locations on {n_axes} axes."
        )
    positions = np.indices([side] * n_axes).reshape(n_axes, n_locations)
    return torch.from_numpy(positions.T.copy())


def predictor(n_in: int, n_logits: int, n_hidden: int = 512) -> nn.Module:
    """Return a network of two hidden layers with batch normalisation over samples and locations."""
    return nn.Sequential(
        nn.Flatten(0, -2),
        nn.Linear(n_in, n_hidden, bias=False),
        nn.BatchNorm1d(n_hidden),
        nn.ReLU(),
        nn.Linear(n_hidden, n_hidden, bias=False),
        nn.BatchNorm1d(n_hidden),
        nn.ReLU(),
        nn.Linear(n_hidden, n_logits),
    )


def concatenate_code(local_map: Tensor, code: Tensor) -> Tensor:
    """Concatenate each local vector and the code of its sample, (..., n, n_code)."""
    repeated = code.unsqueeze(-2).expand(*local_map.shape[:-1], -1)
    return torch.cat([repeated.to(local_map.dtype), local_map], -1)


def log_likelihood(logits: Tensor, positions: Tensor, n_positions: int) -> Tensor:
    r"""Log-likelihood of positions, summed over axes and averaged over local vectors.

    For a uniform guess it is :math:`-n_{axes} \log n_{positions}`. Logits are (n_vectors, n_axes *
    n_positions). Positions (..., n_axes), from 0 to n_positions - 1, are repeated until there is
    one for each local vector.
    """
    by_axis = at_least_float32(logits).unflatten(1, (-1, n_positions)).log_softmax(-1)
    n_axes = positions.shape[-1]
    positions = positions.reshape(-1, n_axes)
    positions = positions.repeat(len(logits) // len(positions), 1)
    return n_axes * by_axis.gather(-1, positions.unsqueeze(-1)).mean()
