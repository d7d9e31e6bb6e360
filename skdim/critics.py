"""Critics score how well a code fits a local vector.

A critic is an ``nn.Module`` built as ``critic(n_code, n_channels, width)`` and called as
``critic(code, local_map)``. It returns the score of every code with each local vector of the same
sample. A critic whose score is a dot product also has a method ``embed`` that returns queries and
keys. Then all other samples of the batch are negatives; otherwise one negative is drawn for each
local vector. If a query depends on its own code alone, not on the other codes of a batch, set the
attribute ``queries_are_pointwise = True``. Processes then exchange codes instead of queries, and
``embed`` gets more codes than local maps. To add a critic, list its class in `CRITICS`; its name is
then a valid ``critic``.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Queries and keys: a score is the sum of the dot products of all parts.
Part = tuple[Tensor, Tensor]


def at_least_float32(scores: Tensor) -> Tensor:
    """Convert half precision to float32; keep float32 and float64."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


class SeparableCritic(nn.Module):
    r"""Embed codes and local features separately, and score them by a dot product.

    Let :math:`g` be the embedded code and :math:`h` the hidden layer of a local vector :math:`l`:

    .. math:: T = \langle g, W_2 h + S l \rangle / \sqrt{width},
              \qquad h = \mathrm{LN}(\mathrm{relu}(\mathrm{BN}(W_1 l)))

    This is the encode-and-dot critic of the paper, with its layer normalisation moved before the
    last layer. That layer then needs no bias, because the normalisation has one. :math:`W_2` and
    :math:`S` are applied to the n queries instead of the n * n_locations keys: the scores are the
    same, and cost a fraction of the arithmetic.

    Parameters
    ----------
    n_code : int
        Length of a code.
    n_channels : int
        Length of a local vector.
    width : int
        Length of both embeddings.
    """

    queries_are_pointwise = True

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
        """Return queries and keys in two parts: one for h, one for the local vector itself.

        Parameters
        ----------
        code : Tensor of shape (..., n_codes, n_code)
        local_map : Tensor of shape (..., n, n_locations, n_channels)

        Returns
        -------
        parts : list of (queries, keys)
            Shapes are (..., n_codes, w) and (..., n, n_locations, w), with w = width in the first
            part and w = n_channels in the second. The score is the sum of the dot products.
        """
        g = self.query(code) * self.scale  # (..., n, width)
        h = self.embed_local_map(local_map)  # (..., n, n_locations, width)
        return [(g @ self.last.weight, h), (g @ self.shortcut.weight, local_map)]

    def embed_local_map(self, local_map: Tensor) -> Tensor:
        """Return the hidden layer h of each local vector, of shape (..., n, n_locations, width)."""
        h = self.hidden(local_map.flatten(0, -2))  # (... * n * n_locations, width)
        h = self.layer_norm(self.batch_norm(h).relu_())
        return h.unflatten(0, local_map.shape[:-1])

    def forward(self, code: Tensor, local_map: Tensor) -> Tensor:
        """Score every code with the local features of its own sample: (..., n, n_locations)."""
        return _score_positives(self.embed(code, local_map))


class CosineCritic(SeparableCritic):
    r"""Score by the cosine of the angle between the two embeddings, divided by a temperature.

    With the notation of `SeparableCritic`:

    .. math:: T = \cos(g, W_2 h + S l) / 0.1

    Scores are between -10 and 10, so that longer embeddings do not lower a loss.

    Parameters
    ----------
    n_code, n_channels, width : int
        As in `SeparableCritic`.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020,
    for the temperature.
    """

    temperature = 0.1

    def embed(self, code: Tensor, local_map: Tensor) -> list[Part]:
        """Return queries (..., n_codes, width) and keys (..., n, n_locations, width), as one part.

        Keys have length 1, queries 1 / temperature.
        """
        keys = self.last(self.embed_local_map(local_map)) + self.shortcut(local_map)
        return [(_directions(self.query(code)) / self.temperature, _directions(keys))]


def _directions(vectors: Tensor) -> Tensor:
    return nn.functional.normalize(at_least_float32(vectors), dim=-1)


class PublishedSeparableCritic(nn.Module):
    r"""The encode-and-dot critic of the paper, as its authors' code defines it.

    .. math:: T = \langle f(y), \mathrm{LN}(f'(l)) \rangle, \qquad
              f(x) = W_2\, \mathrm{relu}(\mathrm{BN}(W_1 x)) + S x

    Both embeddings are residual blocks of two layers (1x1 convolutions over the local map). The
    shortcut :math:`S` starts as a noisy identity. Only the embedded local features are
    layer-normalised, and scores are not scaled. The paper's width is 2048.

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
        """Return queries (..., n, width) and keys (..., n, n_locations, width), as one part."""
        return [(self.code_block(code), self.layer_norm(self.local_block(local_map)))]

    def forward(self, code: Tensor, local_map: Tensor) -> Tensor:
        """Score every code with the local features of its own sample: (..., n, n_locations)."""
        return _score_positives(self.embed(code, local_map))


class _ResidualBlock(nn.Module):
    """W2 relu(BN(W1 x)) + S x over the last axis; S starts as a noisy identity if width >= n_in."""

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
        flat = x.flatten(0, -2)  # (... * n * n_locations, n_in)
        flat = self.last(self.batch_norm(self.first(flat)).relu_()).add_(self.shortcut(flat))
        return flat.unflatten(0, x.shape[:-1])


class ConcatCritic(nn.Module):
    r"""Concatenate a code and a local vector, and score them with a small network.

    .. math:: T = W_3\, \mathrm{relu}(W_2\, \mathrm{relu}(W_1 [y, l]))

    This is the concat-and-convolve critic of the paper (width 512): over a local map, its three
    layers are 1x1 convolutions. Scoring all pairs would be expensive, so each local vector has one
    negative. :math:`W_1` is applied to codes and local vectors separately, and the results are
    added. This gives the same scores without repeating codes in memory.

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
        """Score every code with the local features of its own sample: (..., n, n_locations)."""
        code_weight, local_weight = self.first.weight.tensor_split([self.n_code], dim=1)
        from_code = nn.functional.linear(code, code_weight, self.first.bias)  # (..., n, width)
        from_map = nn.functional.linear(local_map, local_weight)  # (..., n, n_locations, width)
        return self.rest(from_code.unsqueeze(-2) + from_map).squeeze(-1)


def _score_positives(parts: list[Part]) -> Tensor:
    products = [(keys @ queries.unsqueeze(-1)).squeeze(-1) for queries, keys in parts]
    return sum(products[1:], products[0])  # (..., n, n_locations)


def is_separable(critic: nn.Module | type[nn.Module]) -> bool:
    """Whether the score is a dot product, so that all pairs of a batch can be scored at once."""
    return callable(getattr(critic, "embed", None))


def queries_are_pointwise(critic: nn.Module) -> bool:
    """Whether a query depends on its own code alone."""
    return is_separable(critic) and getattr(critic, "queries_are_pointwise", False)


def score_parts(parts: Sequence[Part]) -> Tensor:
    """Score every code with the local features of every sample, given queries and keys.

    From queries (..., n, width) and keys (..., n, n_locations, width), with a width for each part,
    to scores (..., n, n, n_locations). Entry (i, j, k) is the score of code i with location k of
    sample j.
    """
    products = [q @ k.flatten(-3, -2).transpose(-1, -2) for q, k in parts]
    return sum(products[1:], products[0]).unflatten(-1, parts[0][1].shape[-3:-1])


def score_all(critic: nn.Module, code: Tensor, local_map: Tensor) -> Tensor:
    """Score every code with the local features of every sample, as `score_parts`, for any critic.

    A critic that is not separable is called n times.
    """
    if is_separable(critic):
        return score_parts(critic.embed(code, local_map))  # type: ignore[operator]  # is_separable
    by_sample = [
        critic(code, local_map[..., j : j + 1, :, :].expand_as(local_map))
        for j in range(local_map.shape[-3])
    ]
    return torch.stack(by_sample, -2)


CRITICS: dict[str, type[nn.Module]] = {
    "separable": SeparableCritic,
    "cosine": CosineCritic,
    "separable_published": PublishedSeparableCritic,
    "concat": ConcatCritic,
}
