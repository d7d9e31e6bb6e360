"""How well codes find their own locals among those of strangers, on data held out."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from skdim.augmentation import Augmentation, make_views
from skdim.critics import score_all
from skdim.encoders import encode, evaluating
from skdim.objective import DIMObjective
from skdim.pairs import split_pairs
from skdim.placement import on_host, standardizer
from skdim.sources import Samples

N_STRANGERS = 127
SEED = 0  # of views and of company: scores repeat


def retrieval(joint: Tensor, marginal: Tensor) -> Tensor:
    """Probability that a code scores an own local above a stranger's; ties count half.

    It is unchanged by any rising function of the scores, so that estimators and critics with
    scores of other ranges can be compared by it. 0.5 is chance, 1 perfect.

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
    """Samples, dealt out once into seeded companies of views, for codes to be tested on.

    Parameters
    ----------
    samples : ndarray or StoredSamples, of shape (n, channels, *sides), n at least 2
        Each company is moved to the device on its own.
    mean, scale : ndarray of shape (n_channels,)
        By which they are standardised.
    augment : callable (batch, generator) -> batch, or None
    n_views : int
    device : torch.device
    """

    def __init__(
        self,
        samples: Samples,
        *,
        mean: np.ndarray,
        scale: np.ndarray,
        augment: Augmentation | None,
        n_views: int,
        device: torch.device,
    ):
        self.samples = samples
        self.mean = mean
        self.scale = scale
        self.augment = augment
        self.n_views = n_views
        self.device = device

    def companies(self) -> Iterator[Tensor]:
        """Rows of each company: 1 + N_STRANGERS, or all there are; the last is filled up."""
        n = len(self.samples)
        size = min(n, 1 + N_STRANGERS)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(SEED))
        turn = torch.arange(-(-n // size) * size) % n
        yield from order[turn].split(size)

    def encode(self, encoder: nn.Module) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, ...]]]:
        """Yield each company's rows, codes (n_views, n, n_code) and local maps."""
        generator = torch.Generator(self.device).manual_seed(SEED)
        standardize = standardizer(self.samples, self.mean, self.scale, self.device)
        for rows in self.companies():
            company = self.samples[rows.numpy()]
            stored = on_host(company, self.mean, self.scale).to(self.device)
            views = make_views(standardize(stored), self.augment, generator, self.n_views)
            encoding = encode(encoder, views.flatten(0, 1))
            code = encoding.draw_codes(generator).float().unflatten(0, (self.n_views, -1))
            local_maps = (m.float() for m in encoding.local_maps)
            yield rows, code, tuple(m.unflatten(0, (self.n_views, -1)) for m in local_maps)

    @torch.no_grad()
    def score(self, encoder: nn.Module, objective: DIMObjective) -> float:
        """Mean retrieval, of the local term where it has a weight, else of the global.

        0.5 where no critic was trained.
        """
        if not objective.has_critics:
            return 0.5
        scores = torch.zeros(len(self.samples))
        with evaluating(encoder, objective):
            for rows, code, local_maps in self.encode(encoder):
                found = [
                    retrieval(*split_pairs(score_all(critic, code, local_map).float())).mean(0)
                    for critic, local_map in objective.judges(len(code), local_maps)
                ]
                scores[rows] = torch.stack(found).mean(0).cpu()
        return scores.mean().item()

    @torch.no_grad()
    def score_terms(self, encoder: nn.Module, objective: DIMObjective) -> dict[str, float]:
        """Every term of the objective, as in training, mean over companies."""
        generator = torch.Generator(self.device).manual_seed(SEED)
        with evaluating(encoder, objective):
            terms = [
                objective(code, local_maps, generator)
                for _, code, local_maps in self.encode(encoder)
            ]
        return {name: torch.stack([t[name] for t in terms]).mean().item() for name in terms[0]}


@torch.no_grad()
def draw_strangers(objective: DIMObjective, local_maps: tuple[Tensor, ...]) -> list[Tensor]:
    """Take one local vector of each sample, for the codes of others to be tested on.

    Parameters
    ----------
    objective : DIMObjective
    local_maps : tuple of Tensor of shape (n, n_locations, n_channels)

    Returns
    -------
    strangers : list of Tensor of shape (n, n_channels)
        One for each of the objective's judges, at seeded locations.
    """
    generator = torch.Generator().manual_seed(SEED)
    strangers = []
    for _, local_map in objective.judges(1, tuple(m[None] for m in local_maps)):
        _, n, n_locations, _ = local_map.shape
        location = torch.randint(n_locations, (n,), generator=generator)
        strangers.append(local_map[0, torch.arange(n), location].float())
    return strangers


@torch.no_grad()
def score_alone(
    objective: DIMObjective,
    code: Tensor,
    local_maps: tuple[Tensor, ...],
    strangers: list[Tensor],
) -> Tensor:
    """Retrieval of each sample by itself, without views.

    Parameters
    ----------
    objective : DIMObjective
        In evaluation mode.
    code : Tensor of shape (n, n_code)
    local_maps : tuple of Tensor of shape (n, n_locations, n_channels)
    strangers : list of Tensor of shape (n_strangers, n_channels)
        What `draw_strangers` returned.

    Returns
    -------
    scores : Tensor of shape (n,)
    """
    judges = objective.judges(1, tuple(m[None] for m in local_maps))
    found = []
    for (critic, own), vectors in zip(judges, strangers, strict=True):
        joint = critic(code[None], own)[0]  # (n, n_locations)
        marginal = critic(code[None], vectors.expand(1, len(code), -1, -1))[0]
        found.append(retrieval(joint.float(), marginal.float().unsqueeze(-2)))
    return torch.stack(found).mean(0)
