"""The encoder for rows of a table."""

import math

import torch
from torch import Tensor, nn

from skdim.encoders.contract import Encoding, normalized_code


class MLPEncoder(nn.Module):
    """Two hidden layers over all columns; the locations are columns, or groups of them.

    Parameters
    ----------
    sample_shape : tuple (n_columns,)
    n_components : int or None
        Length of the code; None makes the hidden layer the code.
    width : int, default=512
        Units of the first layer.
    n_hidden : int, default=256
        Units of the second.
    max_locations : int, default=32
        Tables with more columns than this have neighbours share a location.
    n_local_channels : int, default=64
        Length of the local vector made of each location's columns.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        n_components: int | None,
        width: int = 512,
        n_hidden: int = 256,
        max_locations: int = 32,
        n_local_channels: int = 64,
    ):
        super().__init__()
        if len(sample_shape) != 1:
            raise ValueError(
                "The encoder for rows needs samples of one axis, their columns. "
                f"Got samples of shape {tuple(sample_shape)} (channels first)."
            )
        (n_columns,) = sample_shape
        self.group_size = math.ceil(n_columns / max_locations)
        n_locations = math.ceil(n_columns / self.group_size)
        self.n_padding = n_locations * self.group_size - n_columns
        bound = 1 / math.sqrt(self.group_size)
        shape = (n_locations, self.group_size, n_local_channels)
        self.token_weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.token_bias = nn.Parameter(torch.empty(n_locations, shape[-1]).uniform_(-bound, bound))
        self.hidden = nn.Sequential(
            nn.Linear(n_columns, width, bias=False),
            nn.BatchNorm1d(width),
            nn.GELU(),
            nn.Linear(width, n_hidden, bias=False),
            nn.BatchNorm1d(n_hidden),
            nn.GELU(),
        )
        self.code = normalized_code(n_hidden, n_components)

    def forward(self, x: Tensor) -> Encoding:
        """Encode rows of shape (n, n_columns)."""
        groups = nn.functional.pad(x, (0, self.n_padding)).unflatten(1, (-1, self.group_size))
        tokens = torch.einsum("nls,lsc->nlc", groups, self.token_weight) + self.token_bias
        hidden = self.hidden(x)
        return Encoding(self.code(hidden), hidden, (nn.functional.gelu(tokens),))
