"""Critics score how well a code fits a local vector.

A critic is an ``nn.Module`` built as ``critic(n_code, n_channels, width)`` and called as
``critic(code, local_map)``; it returns the score of every code against each local vector of the
same sample. A critic whose score is a dot product has a method ``embed`` too, which returns queries
and keys; then all strangers are negatives, otherwise one is drawn for each local vector. Write one,
list it in `CRITICS`, and it is a legal ``critic``.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Queries and keys.
Part = tuple[Tensor, Tensor]


class SeparableCritic(nn.Module):
    r"""Embed codes and locals apart, score them by a dot product.

    With :math:`g` the embedded code and :math:`h` the hidden layer of a local vector :math:`l`,

    .. math:: T = \langle g, W_2 h + S l \rangle / \sqrt{width},
              \qquad h = \mathrm{LN}(\mathrm{relu}(\mathrm{BN}(W_1 l)))

    This is the encode-and-dot critic of the paper with its layer normalisation moved before the
    last layer, whose bias that of the normalisation makes superfluous. Then :math:`W_2` and
    :math:`S` can be applied to the n queries instead of the n * n_locations keys: the same number
    for a fraction of the arithmetic.

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
        self.last = nn.Linear(width, width, bias=False)
        self.shortcut = nn.Linear(n_channels, width, bias=False)

    def embed(self, code: Tensor, local_map: Tensor) -> list[Part]:
        """Return queries and keys, in two parts: those of h and those of the local vector itself.

        Parameters
        ----------
        code : Tensor of shape (..., n, n_code)
        local_map : Tensor of shape (..., n, n_locations, n_channels)

        Returns
        -------
        parts : list of (queries, keys)
            Of shapes (..., n, w) and (..., n, n_locations, w), w = width and w = n_channels; the
            score is the sum of their dot products.
        """
        g = self.query(code) * self.scale  # (..., n, width)
        h = self.embed_locals(local_map)  # (..., n, n_locations, width)
        return [(g @ self.last.weight, h), (g @ self.shortcut.weight, local_map)]

    def embed_locals(self, local_map: Tensor) -> Tensor:
        """The hidden layer h of each local vector, of shape (..., n, n_locations, width)."""
        rows = self.hidden(local_map.flatten(0, -2))  # (... * n * n_locations, width)
        rows = self.layer_norm(self.batch_norm(rows).relu_())
        return rows.unflatten(0, local_map.shape[:-1])

    def forward(self, code: Tensor, local_map: Tensor) -> Tensor:
        """Score every code against the locals of its own sample: (..., n, n_locations)."""
        return _score_own(self.embed(code, local_map))


class PublishedSeparableCritic(nn.Module):
    r"""The encode-and-dot critic of the paper, as its authors' code defines it.

    .. math:: T = \langle f(y), \mathrm{LN}(f'(l)) \rangle, \qquad
              f(x) = W_2\, \mathrm{relu}(\mathrm{BN}(W_1 x)) + S x

    Both embeddings are residual blocks of two layers (1x1 convolutions on the locals); the
    shortcut :math:`S` starts as a noisy identity; only the locals are layer-normalised; scores are
    not scaled. The paper's width is 2048.

    Parameters
    ----------
    n_code : int
        Length of a code.
    n_channels : int
        Length of a local vector.
    width : int
        Length of both embeddings.

    References
    ----------
    Hjelm et al., ICLR 2019, "encode-and-dot-product" architecture.
    """

    def __init__(self, n_code: int, n_channels: int, width: int):
        super().__init__()
        self.code_block = _ResidualBlock(n_code, width, shortcut_bias=True)
        self.local_block = _ResidualBlock(n_channels, width, shortcut_bias=False)
        self.layer_norm = nn.LayerNorm(width)

    def embed(self, code: Tensor, local_map: Tensor) -> list[Part]:
        """Return queries (..., n, width) and keys (..., n, n_locations, width), in one part."""
        return [(self.code_block(code), self.layer_norm(self.local_block(local_map)))]

    def forward(self, code: Tensor, local_map: Tensor) -> Tensor:
        """Score every code against the locals of its own sample: (..., n, n_locations)."""
        return _score_own(self.embed(code, local_map))


class _ResidualBlock(nn.Module):
    """W2 relu(BN(W1 x)) + S x over the last axis, S a noisy identity where it can be one."""

    def __init__(self, n_in: int, width: int, shortcut_bias: bool):
        super().__init__()
        self.first = nn.Linear(n_in, width, bias=False)
        self.batch_norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, width)
        self.shortcut = nn.Linear(n_in, width, bias=shortcut_bias)
        if width >= n_in:
            with torch.no_grad():
                self.shortcut.weight.uniform_(-0.01, 0.01).fill_diagonal_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, -2)  # (... * n * n_locations, n_in)
        rows = self.last(self.batch_norm(self.first(rows)).relu_()).add_(self.shortcut(rows))
        return rows.unflatten(0, x.shape[:-1])


class ConcatCritic(nn.Module):
    r"""Set a code beside a local vector and let a small network judge the two.

    .. math:: T = W_3\, \mathrm{relu}(W_2\, \mathrm{relu}(W_1 [y, l]))

    The concat-and-convolve critic of the paper (width 512): over a map, its three layers are 1x1
    convolutions. It has no cheap form for all pairs, so each local vector meets one negative.
    :math:`W_1` is applied to code and locals apart and summed, which is the same number and tiles
    nothing.

    Parameters
    ----------
    n_code : int
        Length of a code.
    n_channels : int
        Length of a local vector.
    width : int
        Units of both hidden layers.

    References
    ----------
    Hjelm et al., ICLR 2019, "concat-and-convolve" architecture and the global discriminator.
    """

    def __init__(self, n_code: int, n_channels: int, width: int):
        super().__init__()
        self.n_code = n_code
        self.first = nn.Linear(n_code + n_channels, width)
        self.rest = nn.Sequential(
            nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, code: Tensor, local_map: Tensor) -> Tensor:
        """Score every code against the locals of its own sample: (..., n, n_locations)."""
        on_code, on_locals = self.first.weight.tensor_split([self.n_code], dim=1)
        of_code = nn.functional.linear(code, on_code, self.first.bias)  # (..., n, width)
        of_locals = nn.functional.linear(local_map, on_locals)  # (..., n, n_locations, width)
        return self.rest(of_code.unsqueeze(-2) + of_locals).squeeze(-1)


def _score_own(parts: list[Part]) -> Tensor:
    products = [(keys @ queries.unsqueeze(-1)).squeeze(-1) for queries, keys in parts]
    return sum(products[1:], products[0])  # (..., n, n_locations)


def is_separable(critic: nn.Module) -> bool:
    """Whether the score is a dot product, so that every pair of a batch can be scored at once."""
    return callable(getattr(critic, "embed", None))


def score_parts(parts: Sequence[Part]) -> Tensor:
    """Score every code against the local features of every sample.

    Parameters
    ----------
    parts : sequence of (queries, keys)
        Of shapes (..., n, width) and (..., n, n_locations, width), one width a part.

    Returns
    -------
    scores : Tensor of shape (..., n, n, n_locations)
        Entry (i, j, k) scores code i against location k of sample j.
    """
    products = [q @ k.flatten(-3, -2).transpose(-1, -2) for q, k in parts]
    return sum(products[1:], products[0]).unflatten(-1, parts[0][1].shape[-3:-1])


def score_all(critic: nn.Module, code: Tensor, local_map: Tensor) -> Tensor:
    """Score every code against the locals of every sample, whatever the critic.

    Parameters
    ----------
    critic : nn.Module
        One that is not separable is called n times.
    code : Tensor of shape (..., n, n_code)
    local_map : Tensor of shape (..., n, n_locations, n_channels)

    Returns
    -------
    scores : Tensor of shape (..., n, n, n_locations)
        Entry (i, j, k) scores code i against location k of sample j.
    """
    if is_separable(critic):
        return score_parts(critic.embed(code, local_map))  # type: ignore[operator]  # just asked
    columns = [
        critic(code, local_map[..., j : j + 1, :, :].expand_as(local_map))
        for j in range(local_map.shape[-3])
    ]
    return torch.stack(columns, -2)


CRITICS: dict[str, type[nn.Module]] = {
    "separable": SeparableCritic,
    "separable_published": PublishedSeparableCritic,
    "concat": ConcatCritic,
}
