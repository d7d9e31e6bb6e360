"""SimCLR: two views of an image are to be more similar than views of different images."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from benchmarks.baselines.base import Baseline, Objective, Task, Updates
from skdim.augmentation import augment_images, make_views
from skdim.encoders import encode

N_UNITS, N_PROJECTED = 2048, 128


class SimilarViews(Objective):
    """The loss NT-Xent of projections of the hidden layer.

    Parameters
    ----------
    task : Task
    temperature : float, default=0.5
        Cosines are divided by it.
    """

    def __init__(self, task: Task, temperature: float = 0.5):
        super().__init__()
        self.temperature = temperature
        self.project = nn.Sequential(
            nn.Linear(task.n_hidden, N_UNITS, bias=False),
            nn.BatchNorm1d(N_UNITS),
            nn.ReLU(),
            nn.Linear(N_UNITS, N_PROJECTED, bias=False),
            nn.BatchNorm1d(N_PROJECTED),
        )

    def forward(self, encoder, x, indices, generator) -> Updates:
        """Yield the encoder's update."""
        views = make_views(x, augment_images, generator)  # (2, n, channels, height, width)
        projected = self.project(encode(encoder, views.flatten(0, 1), with_fixed=False).hidden)
        yield "encoder", {"nt_xent": nt_xent(projected.float(), self.temperature)}


def nt_xent(projected: Tensor, temperature: float) -> Tensor:
    """Cross entropy of finding the other view of a sample among all other views of a batch.

    Parameters
    ----------
    projected : Tensor of shape (2 * n, n_projected)
        The second views follow the first ones, in the same order.
    temperature : float

    Returns
    -------
    loss : Tensor of shape ()
        log(2 n - 1) at chance.
    """
    directions = normalize(projected)
    similarity = directions @ directions.T / temperature  # (2 * n, 2 * n)
    similarity.fill_diagonal_(-torch.inf)
    partners = torch.arange(len(projected), device=projected.device).roll(len(projected) // 2)
    return cross_entropy(similarity, partners)


class SimCLR(Baseline):
    """Contrast of views; see `SimilarViews` and, for parameters, `Baseline`.

    `transform` returns the hidden layer, on which the projection is trained.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020.
    """

    objective = SimilarViews

    def features_of(self, encoding) -> Tensor:
        """Return the hidden layer (n, n_hidden)."""
        return encoding.hidden
