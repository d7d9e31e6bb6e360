"""Coordinate prediction: from a code and a local vector, tell where the local vector was.

A task is an ``nn.Module`` built as ``task(n_code, local_shape, n_axes)`` and called as
``task(code, local_map, generator)``; it returns a mean log-likelihood, to be raised. Write one,
list it in `COORDINATES`, and it is a legal name in ``coordinates``.
"""

import torch
from torch import Tensor, nn

from skdim._utils.devices import at_least_float32


class CoordinateTask(nn.Module):
    """What tasks share: the places of a map, and a network that tells one of them for each axis.

    Parameters
    ----------
    n_code : int
    local_shape : tuple (n_locations, n_channels)
    n_axes : int
        Axes of the map; all of one length.

    References
    ----------
    Hjelm et al., ICLR 2019, table 4.
    """

    n_vectors: int  # local vectors that the network is given, beside the code
    places: Tensor  # (n_locations, n_axes)

    def __init__(self, n_code: int, local_shape: tuple[int, int], n_axes: int):
        super().__init__()
        n_locations, n_channels = local_shape
        self.register_buffer("places", positions_in_map(n_locations, n_axes), persistent=False)
        self.side = int(self.places.max()) + 1
        self.predictor = predictor(n_code + self.n_vectors * n_channels, n_axes * self.n_positions)

    @property
    def n_positions(self) -> int:
        """Along each axis, to tell apart."""
        return self.side


class AbsoluteCoordinates(CoordinateTask):
    r"""Where in the map a local vector is.

    .. math:: E[\log p(i, j \mid y, c_{ij})]

    with one categorical distribution for each axis, given by one network.
    """

    n_vectors = 1

    def forward(self, code: Tensor, local_map: Tensor, generator: torch.Generator) -> Tensor:
        """Return the log-likelihood of the places of all local vectors, mean over them.

        Parameters
        ----------
        code : Tensor of shape (..., n, n_code)
        local_map : Tensor of shape (..., n, n_locations, n_channels)
        generator : torch.Generator
            Unused.

        Returns
        -------
        log_likelihood : Tensor of shape (), at most 0
        """
        given = beside(local_map, code)
        return log_likelihood(self.predictor(given), self.places, self.n_positions)


class RelativeCoordinates(CoordinateTask):
    r"""How far one local vector is from another.

    .. math:: E[\log p(i - i', j - j' \mid y, c_{ij}, c_{i'j'})]

    One random local vector of each sample is compared with all of them.
    """

    n_vectors = 2

    @property
    def n_positions(self) -> int:
        """Along each axis: offsets either way, and none."""
        return 2 * self.side - 1

    def forward(self, code: Tensor, local_map: Tensor, generator: torch.Generator) -> Tensor:
        """Return the log-likelihood of the offsets from a random local vector, mean over targets.

        Parameters
        ----------
        code : Tensor of shape (..., n, n_code)
        local_map : Tensor of shape (..., n, n_locations, n_channels)
        generator : torch.Generator
            Draws the local vector of each sample that offsets are counted from.

        Returns
        -------
        log_likelihood : Tensor of shape (), at most 0
        """
        *batch, n_locations, n_channels = local_map.shape
        drawn = torch.randint(n_locations, batch, generator=generator, device=generator.device)
        index = drawn[..., None, None].expand(*batch, 1, n_channels)
        origin = local_map.gather(-2, index).squeeze(-2)  # (..., n, n_channels)
        given = beside(local_map, torch.cat([code, origin], -1))
        offsets = self.places - self.places[drawn].unsqueeze(-2)  # (..., n, n_locations, n_axes)
        return log_likelihood(self.predictor(given), offsets + self.side - 1, self.n_positions)


COORDINATES: dict[str, tuple[type[nn.Module], ...]] = {
    "absolute": (AbsoluteCoordinates,),
    "relative": (RelativeCoordinates,),
    "both": (AbsoluteCoordinates, RelativeCoordinates),
}


def positions_in_map(n_locations: int, n_axes: int) -> Tensor:
    """Return the coordinates of every location, in the order of a flattened map.

    Returns
    -------
    places : Tensor of shape (n_locations, n_axes), int64
        From 0 to the length of an axis less 1.

    Raises
    ------
    ValueError
        If no map with axes of one length has that many locations, or there are no axes.
    """
    side = round(n_locations ** (1 / n_axes)) if n_axes else 0
    if n_axes == 0 or side**n_axes != n_locations:
        raise ValueError(
            "The 'coordinate_weight' parameter must be 0, unless local maps have axes, and those "
            f"are of one length. Got maps of {n_locations} locations on {n_axes} axes."
        )
    axis = torch.arange(side)
    return torch.cartesian_prod(*[axis] * n_axes).view(n_locations, n_axes)


def predictor(n_in: int, n_logits: int, n_hidden: int = 512) -> nn.Module:
    """A network of two hidden layers, normalised over all rows it gets."""
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


def beside(local_map: Tensor, code: Tensor) -> Tensor:
    """Set the code of its sample beside each local vector: (..., n, n_locations, both)."""
    tiled = code.unsqueeze(-2).expand(*local_map.shape[:-1], -1)
    return torch.cat([tiled.to(local_map.dtype), local_map], -1)


def log_likelihood(logits: Tensor, places: Tensor, n_positions: int) -> Tensor:
    r"""Mean log-likelihood of places, summed over axes.

    Parameters
    ----------
    logits : Tensor of shape (n_rows, n_axes * n_positions)
    places : Tensor of shape (..., n_axes), int64
        From 0 to n_positions - 1; repeated until there is one for each row.
    n_positions : int

    Returns
    -------
    log_likelihood : Tensor of shape ()
        :math:`-n_{axes} \log n_{places}` for a uniform guess.
    """
    by_axis = at_least_float32(logits).unflatten(1, (-1, n_positions)).log_softmax(-1)
    n_axes = places.shape[-1]
    places = places.reshape(-1, n_axes)
    places = places.repeat(len(logits) // len(places), 1)
    return n_axes * by_axis.gather(-1, places.unsqueeze(-1)).mean()
