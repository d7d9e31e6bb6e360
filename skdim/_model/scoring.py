"""How well codes distinguish positives from negatives, on samples held out."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from skdim._model.config import ModelConfig
from skdim._model.readout import check_finite
from skdim.augmentation import make_views
from skdim.critics import score_all
from skdim.encoders import encode, evaluating
from skdim.objective import DIMObjective
from skdim.objective.pairs import split_pairs
from skdim.sources.comparison import Comparison
from skdim.sources.standardization import Standardization
from skdim.sources.stored import Samples

N_NEGATIVES = 127
SEED = 0  # for views and evaluation batches, so that scores repeat


def retrieval(joint: Tensor, marginal: Tensor) -> Tensor:
    """Probability that a code scores a positive above a negative; ties count half.

    An increasing function of the scores does not change it, so that MI estimators and critics whose
    scores have different ranges can be compared. 0.5 is chance, 1 is perfect.

    Parameters
    ----------
    joint : Tensor of shape (..., n, n_locations)
    marginal : Tensor of shape (..., n, n_others, n_locations)

    Returns
    -------
    probability : Tensor of shape (..., n)
    """
    others = marginal.flatten(-2).sort(-1).values  # (..., n, n_others * n_locations)
    joint = joint.contiguous()
    below = torch.searchsorted(others, joint)  # (..., n, n_locations)
    not_above = torch.searchsorted(others, joint, right=True)
    return (below + not_above).float().mean(-1) / (2 * others.shape[-1])


class HeldOut:
    """At least two samples that codes are tested on, in seeded evaluation batches and views.

    Each evaluation batch is moved to the device when it is needed; ``config`` names the views.
    """

    def __init__(
        self, samples: Samples, config: ModelConfig, standardization: Standardization | Comparison
    ):
        self.samples = samples
        self.config = config
        self.standardization = standardization
        self.device = standardization.device

    def evaluation_batches(self) -> Iterator[Tensor]:
        """Yield indices of 1 + N_NEGATIVES samples, or of all; the last batch is filled up."""
        n = len(self.samples)
        size = min(n, 1 + N_NEGATIVES)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(SEED))
        turn = torch.arange(-(-n // size) * size) % n
        yield from order[turn].split(size)

    def encode(self, encoder: nn.Module) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, ...]]]:
        """Yield each batch's indices, codes (n_views, n, n_code) and local maps."""
        generator = torch.Generator(self.device).manual_seed(SEED)
        n_views = self.config.n_views
        for indices in self.evaluation_batches():
            batch = self.standardization(self.samples[indices.numpy()])
            views = make_views(batch, self.config.augment, generator, n_views)
            encoding = encode(encoder, views.flatten(0, 1), with_fixed=False)
            code = encoding.draw_codes(generator).float().unflatten(0, (n_views, -1))
            check_finite(code.cpu().numpy())
            local_maps = (m.float() for m in encoding.local_maps)
            yield indices, code, tuple(m.unflatten(0, (n_views, -1)) for m in local_maps)

    @torch.no_grad()
    def score(self, encoder: nn.Module, objective: DIMObjective) -> float:
        """Mean retrieval by the local critics, or the global one; 0.5 if there is none."""
        if not objective.config.has_critics:
            return 0.5
        scores = torch.zeros(len(self.samples))
        with evaluating(encoder, objective):
            for indices, code, local_maps in self.encode(encoder):
                by_critic = [
                    retrieval(*split_pairs(score_all(critic, code, local_map).float())).mean(0)
                    for critic, local_map in objective.scoring_critics(len(code), local_maps)
                ]
                scores[indices] = torch.stack(by_critic).mean(0).cpu()
        return scores.mean().item()

    @torch.no_grad()
    def score_terms(self, encoder: nn.Module, objective: DIMObjective) -> dict[str, float]:
        """Every term of the objective, computed as in training; means over evaluation batches."""
        generator = torch.Generator(self.device).manual_seed(SEED)
        with evaluating(encoder, objective):
            terms = [
                objective(code, local_maps, generator)
                for _, code, local_maps in self.encode(encoder)
            ]
        return {name: torch.stack([t[name] for t in terms]).mean().item() for name in terms[0]}
