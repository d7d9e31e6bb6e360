"""NAT, noise as targets: every sample has a random point of the sphere as its target."""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.functional import normalize

from benchmarks.baselines.base import Baseline, Objective, Task, Updates
from skdim.encoders import Encoding, encode
from skdim.priors import sphere


class UnitCodes(nn.Module):
    """An encoder whose codes are normalised to length 1."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Encoding:
        """Encode samples of shape (n, *sample_shape)."""
        encoding = self.encoder(x)
        return encoding._replace(code=normalize(encoding.code.float()), global_codes=None)


class NoiseAsTargets(Objective):
    """Half the square distance of codes from their targets, which is 1 - cosine.

    Samples of a batch first swap targets, so that the total distance is as small as possible.
    """

    def __init__(self, task: Task):
        super().__init__()
        self.register_buffer("targets", sphere((task.n_samples, task.n_code), task.generator))

    def forward(self, encoder, x, indices, generator) -> Updates:
        """Yield the encoder's update."""
        code = encode(encoder, x).code
        targets = self.targets[indices]
        targets = targets[assign(code.detach(), targets)]
        self.targets[indices] = targets
        yield "encoder", {"distance": (code - targets).square().sum(1).mean() / 2}


def assign(code: Tensor, targets: Tensor) -> Tensor:
    """Return the index of the target that each code gets in the best matching.

    Parameters
    ----------
    code, targets : Tensor of shape (n, n_code)

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
