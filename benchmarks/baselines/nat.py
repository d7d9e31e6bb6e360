"""NAT, noise as targets: every sample gets a fixed random point of the sphere to aim at."""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.functional import normalize

from baselines.base import Baseline, Objective, Task, Turns
from skdim.encoders import Encoding, encode
from skdim.priors import sphere


class UnitCodes(nn.Module):
    """An encoder whose codes are brought to length 1."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Encoding:
        """Encode samples of shape (n, *sample_shape)."""
        encoding = self.encoder(x)
        return encoding._replace(code=normalize(encoding.code.float()), global_codes=None)


class NoiseAsTargets(Objective):
    """Half the square distance of codes from their targets, which is 1 - cosine.

    Samples of a batch first swap targets such that all are as near as they can be.
    """

    def __init__(self, task: Task):
        super().__init__()
        self.register_buffer("targets", sphere((task.n_samples, task.n_code), task.generator))

    def forward(self, encoder, x, rows, generator) -> Turns:
        """Yield the encoder's turn."""
        code = encode(encoder, x).code
        targets = self.targets[rows]
        targets = targets[assign(code.detach(), targets)]
        self.targets[rows] = targets
        yield "encoder", {"distance": (code - targets).square().sum(1).mean() / 2}


def assign(code: Tensor, targets: Tensor) -> Tensor:
    """Number, for each code (n, n_code), the target (n, n_code) that it gets by the best matching.

    Returns
    -------
    columns : Tensor of shape (n,)
    """
    nearness = (code @ targets.T).float().cpu().numpy()
    _, columns = linear_sum_assignment(nearness, maximize=True)
    return torch.from_numpy(columns).to(code.device)


class NAT(Baseline):
    """Noise as targets; see `NoiseAsTargets` and, for parameters, `Baseline`.

    References
    ----------
    Bojanowski and Joulin, "Unsupervised learning by predicting noise", ICML 2017.
    """

    objective = NoiseAsTargets

    def _build_encoder(self, loader):
        return UnitCodes(super()._build_encoder(loader))
