"""Critics score how well a code fits a local vector.

A critic is an ``nn.Module`` built as ``critic(n_code, n_channels, width)`` and called as
``critic(code, local_map)``; it returns the scores of every code against the locals of every
sample. Write one, list it in `CRITICS`, and it is a legal ``critic``.
"""

import math

import torch
from torch import Tensor, nn


class SeparableCritic(nn.Module):
    r"""Embed codes and locals apart, score them by a dot product.

    With :math:`g` the embedded code and :math:`h` the hidden layer of a local vector :math:`l`,

    .. math:: T = \langle g, W_2 h + b_2 + S l \rangle / \sqrt{width},
              \qquad h = \mathrm{LN}(\mathrm{relu}(\mathrm{BN}(W_1 l)))

    This is the encode-and-dot critic of the paper with its layer normalisation moved before the
    last layer. Then :math:`W_2`, :math:`b_2` and :math:`S` can be applied to the n queries instead
    of the n * n_locations keys: the same number for a fraction of the arithmetic.

    Parameters
    ----------
    n_code : int
        Length of a code.
    n_channels : int
        Length of a local vector.
    width : int
        Length of both embeddings.
    """

    def __init__(self, n_code: int, n_channels: int, width: int):
        super().__init__()
        self.scale = 1 / math.sqrt(width)
        self.query = nn.Linear(n_code, width)
        self.hidden = nn.Linear(n_channels, width, bias=False)
        self.batch_norm = nn.BatchNorm1d(width)
        self.layer_norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, width)
        self.shortcut = nn.Linear(n_channels, width, bias=False)

    def embed(self, code: Tensor, local_map: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and keys whose dot product is the score.

        Parameters
        ----------
        code : Tensor of shape (..., n, n_code)
        local_map : Tensor of shape (..., n, n_locations, n_channels)

        Returns
        -------
        queries : Tensor of shape (..., n, width + n_channels + 1)
        keys : Tensor of shape (..., n, n_locations, width + n_channels + 1)
        """
        g = self.query(code) * self.scale  # (..., n, width)
        on_query = torch.cat([self.last.weight, self.shortcut.weight, self.last.bias[:, None]], 1)
        queries = g @ on_query  # (..., n, width + n_channels + 1)
        h = self.embed_locals(local_map)  # (..., n, n_locations, width)
        keys = torch.cat([h, local_map.to(h.dtype), torch.ones_like(h[..., :1])], -1)
        return queries, keys

    def embed_locals(self, local_map: Tensor) -> Tensor:
        """The hidden layer h of each local vector, of shape (..., n, n_locations, width)."""
        rows = self.hidden(local_map.flatten(0, -2))  # (... * n * n_locations, width)
        rows = self.layer_norm(self.batch_norm(rows).relu())
        return rows.unflatten(0, local_map.shape[:-1])

    def forward(self, code: Tensor, local_map: Tensor) -> Tensor:
        """Score every code against the locals of every sample.

        Parameters
        ----------
        code : Tensor of shape (..., n, n_code)
        local_map : Tensor of shape (..., n, n_locations, n_channels)

        Returns
        -------
        scores : Tensor of shape (..., n, n, n_locations)
            Entry (i, j, k) scores code i against location k of sample j.
        """
        queries, keys = self.embed(code, local_map)
        n, n_locations = keys.shape[-3:-1]
        scores = queries @ keys.flatten(-3, -2).transpose(-1, -2)  # (..., n, n * n_locations)
        return scores.unflatten(-1, (n, n_locations))


CRITICS: dict[str, type[nn.Module]] = {"separable": SeparableCritic}
