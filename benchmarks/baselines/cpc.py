"""CPC, contrastive predictive coding: the rows above predict the local features of rows below."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.baselines.base import Baseline, Objective, Task, Updates
from skdim.encoders import encode

# Rows from a context to what it predicts. Neighbouring crops overlap by half, so that the next row
# holds pixels which the context has already seen.
STEPS = (2, 3, 4, 5)


class RowGRU(nn.Module):
    """Gated recurrent units over the rows of a map: a context has seen no row below its own.

    The input of a column is its local vector; the state is read from the column and its two
    neighbours in the row above. There are as many units as channels.

    Parameters
    ----------
    n_channels : int
    """

    def __init__(self, n_channels: int):
        super().__init__()
        self.input_gates = nn.Conv1d(n_channels, 3 * n_channels, 1)
        self.state_gates = nn.Conv1d(n_channels, 3 * n_channels, 3, padding=1)

    def forward(self, feature_map: Tensor) -> Tensor:
        """From (n, n_channels, n_rows, n_columns) to contexts of the same shape."""
        state = torch.zeros_like(feature_map[:, :, 0])  # (n, n_channels, n_columns)
        contexts = []
        for row in feature_map.unbind(2):
            update, reset, new = self.input_gates(row).chunk(3, 1)
            from_update, from_reset, from_new = self.state_gates(state).chunk(3, 1)
            update, reset = (update + from_update).sigmoid(), (reset + from_reset).sigmoid()
            state = update * state + (1 - update) * (new + reset * from_new).tanh()
            contexts.append(state)
        return torch.stack(contexts, 2)


class ContrastivePrediction(Objective):
    r"""InfoNCE of local features that the context of an earlier row predicts.

    .. math:: -\log \frac{\exp(z_{i, r + k, c} \cdot W_k\, h_{i, r, c})}
              {\sum_{j, s, d} \exp(z_{j, s, d} \cdot W_k\, h_{i, r, c})}

    The sum is over all rows s and columns d of all images j of the batch. The loss is the mean over
    images, rows, columns and steps k.

    Parameters
    ----------
    task : Task
        Its local map must be square, with more rows than the shortest step.
    steps : tuple of int, default=`STEPS`
        Longer ones than the map has rows for are left out.
    """

    def __init__(self, task: Task, steps: tuple[int, ...] = STEPS):
        super().__init__()
        n_locations, n_channels = task.local_shape
        self.side = math.isqrt(n_locations)
        self.steps = [k for k in steps if k < self.side]
        if self.side**2 != n_locations or not self.steps:
            raise ValueError(
                f"CPC needs a square local map of more than {min(steps)} rows. "
                f"Got {n_locations} locations."
            )
        self.context = RowGRU(n_channels)
        self.predictions = nn.ModuleList(
            nn.Linear(n_channels, n_channels, bias=False) for _ in self.steps
        )

    def forward(self, encoder, x, indices, generator) -> Updates:
        """Yield the encoder's update."""
        local_map = encode(encoder, x).local_maps[0]  # (n, n_locations, n_channels)
        yield "encoder", {"infonce": self.loss(local_map)}

    def loss(self, local_map: Tensor) -> Tensor:
        """Mean loss of local maps of shape (n, n_locations, n_channels)."""
        side = self.side
        feature_map = local_map.transpose(1, 2).unflatten(2, (side, side))
        contexts = self.context(feature_map).permute(0, 2, 3, 1)  # (n, rows, columns, n_channels)
        candidates = local_map.flatten(0, 1)  # (n * n_locations, n_channels)
        positions = torch.arange(len(candidates), device=local_map.device).view(-1, side, side)
        losses = []
        for step, predict in zip(self.steps, self.predictions, strict=True):
            predicted = predict(contexts[:, : side - step]).flatten(0, 2)
            scores = (predicted @ candidates.T).float()
            losses.append(cross_entropy(scores, positions[:, step:].flatten()))
        return torch.stack(losses).mean()

    @torch.inference_mode()
    def summarise(self, local_map: Tensor) -> Tensor:
        """From (n, n_locations, n_channels) to the mean context of each image (n, n_channels)."""
        feature_map = local_map.transpose(1, 2).unflatten(2, (self.side, self.side))
        return self.context(feature_map).mean((2, 3))


class CPC(Baseline):
    """Contrastive predictive coding on strided crops; `transform` returns the mean context.

    See `ContrastivePrediction` and, for parameters, `Baseline`; the encoder should be one whose
    locations have no information from outside their crops. Codes of the encoder are not trained.

    References
    ----------
    van den Oord et al., "Representation learning with contrastive predictive coding", 2018.
    """

    objective = ContrastivePrediction

    def features_of(self, encoding):
        """Return the mean context."""
        return self.objective_.summarise(encoding.local_maps[0])
