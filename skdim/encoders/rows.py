"""The encoder for rows of a table."""

import math
from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from skdim.encoders.contract import Encoding, check_sizes, normalized_code

# Quantiles divide each column into N_PARTS, unless there are more than MAX_DIVIDED columns.
N_PARTS = 3
MAX_DIVIDED = 256
# A part that is narrower than this, in standard deviations, is a value that many rows share.
MIN_WIDTH = 1e-3


class MLPEncoder(nn.Module):
    """Two hidden layers over all columns; locations are columns or groups of columns.

    Features include the columns themselves and, for at most 256 columns, their piecewise linear
    encoding: how far each part between two quantiles is filled. A linear classifier can then do
    what it does on the columns, and bend at the quantiles. Neither is trained.

    Parameters
    ----------
    sample_shape : tuple (n_columns,)
    n_components : int or None
        Length of the code; None makes the hidden layer the code.
    width : int, default=256
        Units of the first hidden layer.
    n_hidden : int, default=512
        Units of the second hidden layer.
    max_locations : int, default=8
        Largest number of locations. With more columns, neighbouring columns share a location.
    n_local_channels : int, default=64
        Length of the local vector of each location.
    column_groups : sequence of sequence of int, default=()
        Columns that belong together and share a location, such as the columns of a one-hot code.
    allow_nan : bool, default=False
        Whether cells may be NaN. Additional columns then mark these cells.

    References
    ----------
    Gorishniy, Rubachev, Babenko, "On embeddings for numerical features in tabular deep learning",
    NeurIPS 2022: the piecewise linear encoding.
    """

    knots: Tensor
    inverse_widths: Tensor

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        n_components: int | None,
        width: int = 256,
        n_hidden: int = 512,
        max_locations: int = 8,
        n_local_channels: int = 64,
        column_groups: Sequence[Sequence[int]] = (),
        allow_nan: bool = False,
    ):
        super().__init__()
        if len(sample_shape) != 1:
            raise ValueError(
                "The encoder for rows needs samples of one axis, their columns. "
                f"Got samples of shape {tuple(sample_shape)} (channels first)."
            )
        check_sizes(width=width, n_hidden=n_hidden)
        check_sizes(max_locations=max_locations, n_local_channels=n_local_channels)
        (n_columns,) = sample_shape
        locations = _locations(n_columns, column_groups, max_locations)
        n_divided = n_columns if n_columns <= MAX_DIVIDED else 0
        self.register_buffer("knots", torch.zeros(N_PARTS, n_divided))
        self.register_buffer("inverse_widths", torch.zeros(N_PARTS, n_divided))
        self.allow_nan = allow_nan
        if allow_nan:
            locations = [[*columns, *(n_columns + i for i in columns)] for columns in locations]
            n_columns *= 2
        n_per_location = max(map(len, locations))
        # Shorter locations are padded with the column of zeros that forward appends.
        self.columns: Tensor
        padded = torch.full((len(locations), n_per_location), n_columns)
        for row, columns in zip(padded, locations, strict=True):
            row[: len(columns)] = torch.tensor(columns)
        self.register_buffer("columns", padded, persistent=False)
        bound = 1 / math.sqrt(n_per_location)
        shape = (len(locations), n_per_location, n_local_channels)
        self.token_weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.token_bias = nn.Parameter(
            torch.empty(len(locations), n_local_channels).uniform_(-bound, bound)
        )
        self.hidden = nn.Sequential(
            nn.Linear(n_columns, width, bias=False),
            nn.BatchNorm1d(width),
            nn.GELU(),
            nn.Linear(width, n_hidden, bias=False),
            nn.BatchNorm1d(n_hidden),
            nn.GELU(),
        )
        self.code = normalized_code(n_hidden, n_components)

    @torch.no_grad()
    def adapt(self, samples: Tensor) -> None:
        """Divide columns by the quantiles of samples (n, n_columns), ignoring missing cells."""
        n_divided = self.knots.shape[1]
        ordered = samples[:, :n_divided].sort(0).values  # missing cells come last
        n_present = (~ordered.isnan()).sum(0)
        levels = torch.linspace(0, 1, N_PARTS + 1, device=samples.device)[:, None]
        indices = (levels * (n_present - 1).clamp(min=0)).round().long()
        quantiles = ordered.gather(0, indices).nan_to_num()  # (N_PARTS + 1, n_divided)
        widths = quantiles.diff(dim=0)
        self.knots.copy_(quantiles[:-1])
        self.inverse_widths.copy_(torch.where(widths > MIN_WIDTH, 1 / widths, 0.0))

    def fixed_features(self, x: Tensor) -> Tensor:
        """Return the columns, and how far their parts are filled, of shape (n, n_fixed)."""
        columns = self._mark_missing(x)
        divided = columns[:, None, : self.knots.shape[1]]  # (n, 1, n_divided)
        filled = ((divided - self.knots) * self.inverse_widths).clamp(0, 1)
        return torch.cat([columns, filled.flatten(1)], 1)

    def _mark_missing(self, x: Tensor) -> Tensor:
        """Replace NaN by 0, and append columns that mark it, if rows may hold NaN."""
        return torch.cat([x.nan_to_num(), x.isnan().to(x.dtype)], 1) if self.allow_nan else x

    def forward(self, x: Tensor) -> Encoding:
        """Encode rows of a table, of shape (n, n_columns)."""
        x = self._mark_missing(x)
        cells = nn.functional.pad(x, (0, 1))[:, self.columns]  # (n, n_locations, n_per_location)
        tokens = torch.einsum("nls,lsc->nlc", cells, self.token_weight) + self.token_bias
        hidden = self.hidden(x)
        return Encoding(self.code(hidden), hidden, (nn.functional.gelu(tokens),))


def _locations(
    n_columns: int, column_groups: Sequence[Sequence[int]], max_locations: int
) -> list[list[int]]:
    """Assign a group or one column to each location, or several neighbours if there are many."""
    grouped = list(chain.from_iterable(column_groups))
    if not (all(column_groups) and set(grouped) <= set(range(n_columns))) or len(grouped) > len(
        set(grouped)
    ):
        raise ValueError(
            "'column_groups' must be lists of columns, each from 0 to "
            f"{n_columns - 1} and in one group at most. Got {column_groups!r}."
        )
    leaders = {group[0]: list(group) for group in column_groups}
    followers = {column for group in column_groups for column in group[1:]}
    units = [leaders.get(i, [i]) for i in range(n_columns) if i not in followers]
    n_joined = math.ceil(len(units) / max_locations)
    return [
        list(chain.from_iterable(units[start : start + n_joined]))
        for start in range(0, len(units), n_joined)
    ]
