"""The whole objective of Deep InfoMax on one page: bounds to raise, one prior to match."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from skdim.blocks import bound_all_pairs
from skdim.critics import is_separable
from skdim.devices import at_least_float32
from skdim.mutual_information import Estimator, is_mean_over_codes
from skdim.pairs import maps_of_others, permute_locations, sample_locations, strangers_of
from skdim.priors import (
    Discriminator,
    Prior,
    discriminator_loss,
    encoder_loss,
    gradient_penalty,
)
from skdim.ranks import ALONE, Ranks


class DIMObjective(nn.Module):
    r"""Weigh the global bound, the local bound, the prior and the coordinates.

    .. math:: loss = -\alpha I_{global} - \beta I_{local} + \gamma D_{prior} - \delta C

    A term of weight 0 has no critic, no discriminator and no cost.

    Parameters
    ----------
    n_code : int
        Length of a code.
    local_shapes : list of tuple (n_locations, n_channels)
        Of each local map that the encoder returns.
    global_weight, local_weight, prior_weight : float
        :math:`\alpha, \beta, \gamma` of the paper.
    mi_estimator : callable (joint, marginal) -> bound
    critic : type
        Built as ``critic(n_code, n_channels, width)``.
    critic_width : int
    n_locations : int or None
        Locations of each local map that the local term draws for a step; None takes all.
    prior : Prior
    gradient_penalty : float
        Weight of the zero-centred penalty on the discriminator's slope.
    coordinate_weight : float, default=0.0
        :math:`\delta`, of the log-likelihood of coordinates.
    coordinates : tuple of type, default=()
        Tasks, as in `skdim.coordinates.COORDINATES`, on the last local map.
    n_axes : int, default=0
        Axes of a local map.

    References
    ----------
    Hjelm et al., ICLR 2019, equation 8.
    """

    def __init__(
        self,
        *,
        n_code: int,
        local_shapes: list[tuple[int, int]],
        global_weight: float,
        local_weight: float,
        prior_weight: float,
        mi_estimator: Estimator,
        critic: type[nn.Module],
        critic_width: int,
        n_locations: int | None,
        prior: Prior,
        gradient_penalty: float,
        coordinate_weight: float = 0.0,
        coordinates: tuple[type[nn.Module], ...] = (),
        n_axes: int = 0,
    ):
        super().__init__()
        self.global_weight = global_weight
        self.local_weight = local_weight
        self.prior_weight = prior_weight
        self.coordinate_weight = coordinate_weight
        self.mi_estimator = mi_estimator
        self.n_locations = n_locations
        self.prior = prior
        self.gradient_penalty = gradient_penalty
        if global_weight:
            n_locations, n_channels = local_shapes[-1]
            self.global_critic = critic(n_code, n_locations * n_channels, critic_width)
        if local_weight:
            self.local_critics = nn.ModuleList(
                critic(n_code, n_channels, critic_width) for _, n_channels in local_shapes
            )
        if prior_weight:
            self.discriminator = Discriminator(n_code)
        if coordinate_weight:
            self.coordinate_tasks = nn.ModuleList(
                task(n_code, local_shapes[-1], n_axes) for task in coordinates
            )

    def critic_parameters(self) -> list[nn.Parameter]:
        """Everything that learns with the encoder: all but the discriminator."""
        return [
            parameter
            for name, parameter in self.named_parameters()
            if not name.startswith("discriminator.")
        ]

    def forward(
        self,
        code: Tensor,
        local_maps: tuple[Tensor, ...],
        generator: torch.Generator,
        groups: Tensor | None = None,
        ranks: Ranks = ALONE,
    ) -> dict[str, Tensor]:
        """Compute every term that has a weight.

        Parameters
        ----------
        code : Tensor of shape (n_views, n, n_code)
        local_maps : tuple of Tensor of shape (n_maps, n, n_locations, n_channels)
            Of the views, and of mosaics of crops after them.
        generator : torch.Generator
            Draws locations and, for critics that are not separable, negatives.
        groups : Tensor of shape (n,) or None
            Samples of one group are not compared with each other.
        ranks : Ranks
            With several, n is the size of one's part of a batch (``groups`` are of the whole), and
            a term's sum over ranks is that of the whole batch.

        Returns
        -------
        terms : dict of str to Tensor of shape ()
            The bounds ``"global"`` and ``"local"`` and the log-likelihood ``"coordinates"``, to be
            raised, and the encoder's part of the game, ``"prior"``, to be lowered.
        """
        terms = {}
        for term, pairings in self.pairings(len(code), local_maps).items():
            if term == "local" and self.n_locations:
                pairings = [
                    (critic, sample_locations(local_map, self.n_locations, generator))
                    for critic, local_map in pairings
                ]
            bounds = [
                self.bound(critic, code, local_map, generator, groups, ranks)
                for critic, local_map in pairings
            ]
            terms[term] = torch.stack(bounds).mean()
        if self.prior_weight:
            terms["prior"] = ranks.weigh(self.prior_term(code))
        if self.coordinate_weight:
            own = local_maps[-1][: len(code)]  # of the views that the codes are of
            likelihoods = [task(code, own, generator) for task in self.coordinate_tasks]
            terms["coordinates"] = ranks.weigh(torch.stack(likelihoods).sum())
        return terms

    def pairings(
        self, n_views: int, local_maps: tuple[Tensor, ...]
    ) -> dict[str, list[tuple[nn.Module, Tensor]]]:
        """Say for each bound that has a weight which critics judge codes against which locals.

        Parameters
        ----------
        n_views : int
            Codes of each sample.
        local_maps : tuple of Tensor of shape (n_maps, n, n_locations, n_channels)

        Returns
        -------
        pairings : dict of "global" and "local" to list of (critic, local_map)
        """
        pairings = {}
        if self.global_weight:
            # One location that holds a whole map.
            whole_map = local_maps[-1].flatten(-2).unsqueeze(-2)
            pairings["global"] = [(self.global_critic, maps_of_others(whole_map, n_views))]
        if self.local_weight:
            others = [maps_of_others(local_map, n_views) for local_map in local_maps]
            pairings["local"] = list(zip(self.local_critics, others, strict=True))
        return pairings

    @property
    def has_critics(self) -> bool:
        """Whether there is a bound to raise."""
        return bool(self.global_weight or self.local_weight)

    def judges(
        self, n_views: int, local_maps: tuple[Tensor, ...]
    ) -> list[tuple[nn.Module, Tensor]]:
        """Return the pairings by which codes are scored: local ones, or the global where alone."""
        pairings = self.pairings(n_views, local_maps)
        return pairings["local"] if self.local_weight else pairings["global"]

    def bound(
        self,
        critic: nn.Module,
        code: Tensor,
        local_map: Tensor,
        generator: torch.Generator,
        groups: Tensor | None = None,
        ranks: Ranks = ALONE,
    ) -> Tensor:
        """Score joint and marginal pairs, estimate; one's part, if there are several ranks."""
        if not is_separable(critic):
            code, local_map = ranks.gather(code), ranks.gather(local_map)
            strange_map = permute_locations(local_map, generator, groups)
            joint = at_least_float32(critic(code, local_map))  # (n_views, n, n_locations)
            marginal = at_least_float32(critic(code, strange_map)).unsqueeze(-2)
            return self.mi_estimator(joint, marginal) / ranks.n_ranks
        strangers = None if groups is None else strangers_of(groups)
        parts = critic.embed(code, local_map)  # type: ignore[operator]  # separable
        if ranks.is_alone:
            return bound_all_pairs(self.mi_estimator, parts, strangers)
        parts = [(queries, ranks.gather(keys)) for queries, keys in parts]
        if is_mean_over_codes(self.mi_estimator):  # then each rank can see to its own codes
            own = ranks.own
            here = None if strangers is None else strangers[own]
            return ranks.weigh(bound_all_pairs(self.mi_estimator, parts, here, own.start))
        parts = [(ranks.gather(queries), keys) for queries, keys in parts]
        return bound_all_pairs(self.mi_estimator, parts, strangers) / ranks.n_ranks

    def prior_term(self, code: Tensor) -> Tensor:
        """The encoder's part of the game, which leaves the discriminator's gradients alone."""
        frozen = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        fake = self._squash(code)
        with torch.autocast(fake.device.type, enabled=False):
            return encoder_loss(functional_call(self.discriminator, frozen, (fake,)))

    def adversary(self, code: Tensor, generator: torch.Generator) -> Tensor:
        """The discriminator's part of the game, which leaves the encoder's gradients alone."""
        fake = self._squash(code.detach())
        real = self.prior.sample(fake.shape, generator)
        with torch.autocast(fake.device.type, enabled=False):
            loss = discriminator_loss(self.discriminator(real), self.discriminator(fake))
            if self.gradient_penalty:
                penalties = [gradient_penalty(self.discriminator, rows) for rows in (real, fake)]
                loss = loss + self.gradient_penalty / 2 * sum(penalties)
        return loss

    def _squash(self, code: Tensor) -> Tensor:
        return self.prior.squash(at_least_float32(code.flatten(0, -2)))  # (n_views * n, n_code)

    def loss(self, terms: dict[str, Tensor]) -> Tensor:
        """The weighted sum that encoder and critics descend."""
        signed_weights = {
            "global": -self.global_weight,
            "local": -self.local_weight,
            "prior": self.prior_weight,
            "coordinates": -self.coordinate_weight,
        }
        return torch.stack([signed_weights[name] * term for name, term in terms.items()]).sum()
