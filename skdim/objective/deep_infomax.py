"""The objective of Deep InfoMax: bounds to maximise, a prior to match."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from skdim._runtime.devices import at_least_float32
from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup
from skdim.critics import Part, is_separable, queries_are_pointwise
from skdim.mutual_information import Estimator, additive_form_of, is_mean_over_codes
from skdim.objective.additive import bound_in_parts
from skdim.objective.chunked import bound_all_pairs
from skdim.objective.negatives import (
    maps_of_other_views,
    negatives_of,
    permute_locations,
    sample_locations,
)
from skdim.priors import (
    Discriminator,
    Prior,
    discriminator_loss,
    encoder_loss,
    gradient_penalty,
)


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
        Weight of the zero-centred penalty on the discriminator's gradient.
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
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> dict[str, Tensor]:
        """Compute every term that has a weight.

        Parameters
        ----------
        code : Tensor of shape (n_views, n, n_code)
        local_maps : tuple of Tensor of shape (n_maps, n, n_locations, n_channels)
            Of the views, and of crop grids after them.
        generator : torch.Generator
            Draws locations and, for critics that are not separable, negatives.
        groups : Tensor of shape (n,) or None
            Samples of one group are not compared with each other.
        processes : ProcessGroup
            With several, n is the size of this process's shard (``groups`` are of the whole
            batch), and the sum of a term over processes is that of the whole batch.

        Returns
        -------
        terms : dict of str to Tensor of shape ()
            The bounds ``"global"`` and ``"local"`` and the log-likelihood ``"coordinates"``, to be
            maximised, and the encoder's adversarial loss, ``"prior"``, to be minimised.
        """
        terms = {}
        for term, inputs in self.critic_inputs(len(code), local_maps).items():
            if term == "local" and self.n_locations:
                inputs = [
                    (critic, sample_locations(local_map, self.n_locations, generator))
                    for critic, local_map in inputs
                ]
            bounds = [
                self.bound(critic, code, local_map, generator, groups, processes)
                for critic, local_map in inputs
            ]
            terms[term] = torch.stack(bounds).mean()
        if self.prior_weight:
            terms["prior"] = processes.weight_by_shard(self.prior_term(code))
        if self.coordinate_weight:
            local_map = local_maps[-1][: len(code)]  # of the views that the codes are of
            likelihoods = [task(code, local_map, generator) for task in self.coordinate_tasks]
            terms["coordinates"] = processes.weight_by_shard(torch.stack(likelihoods).sum())
        return terms

    def critic_inputs(
        self, n_views: int, local_maps: tuple[Tensor, ...]
    ) -> dict[str, list[tuple[nn.Module, Tensor]]]:
        """List for each bound that has a weight the critics and the local maps that they score.

        Parameters
        ----------
        n_views : int
            Codes of each sample.
        local_maps : tuple of Tensor of shape (n_maps, n, n_locations, n_channels)

        Returns
        -------
        critic_inputs : dict of "global" and "local" to list of (critic, local_map)
        """
        inputs = {}
        if self.global_weight:
            # One location that holds a whole map.
            whole_map = local_maps[-1].flatten(-2).unsqueeze(-2)
            inputs["global"] = [(self.global_critic, maps_of_other_views(whole_map, n_views))]
        if self.local_weight:
            others = [maps_of_other_views(local_map, n_views) for local_map in local_maps]
            inputs["local"] = list(zip(self.local_critics, others, strict=True))
        return inputs

    @property
    def has_critics(self) -> bool:
        """Whether there is a bound to maximise."""
        return bool(self.global_weight or self.local_weight)

    def scoring_critics(
        self, n_views: int, local_maps: tuple[Tensor, ...]
    ) -> list[tuple[nn.Module, Tensor]]:
        """Return the critic inputs that samples are scored by: the local ones, else the global."""
        inputs = self.critic_inputs(n_views, local_maps)
        return inputs["local"] if self.local_weight else inputs["global"]

    def bound(
        self,
        critic: nn.Module,
        code: Tensor,
        local_map: Tensor,
        generator: torch.Generator,
        groups: Tensor | None = None,
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> Tensor:
        """Bound from the scores of joint and marginal pairs; with several processes, a part of it.

        Parameters
        ----------
        critic : nn.Module
        code : Tensor of shape (n_views, n, n_code)
        local_map : Tensor of shape (n_views, n, n_locations, n_channels)
        generator, groups, processes
            As in `forward`.
        """
        if not is_separable(critic):
            code, local_map = processes.gather_samples(code), processes.gather_samples(local_map)
            negative_map = permute_locations(local_map, generator, groups)
            joint = at_least_float32(critic(code, local_map))  # (n_views, n, n_locations)
            marginal = at_least_float32(critic(code, negative_map)).unsqueeze(-2)
            return self.mi_estimator(joint, marginal) / processes.world_size
        form = additive_form_of(self.mi_estimator)
        if form is None:
            return self._bound_of_gathered(_embed(critic, code, local_map), groups, processes)
        if queries_are_pointwise(critic):
            parts = _embed(critic, processes.gather_samples(code), local_map)
        else:
            parts = _embed(critic, code, local_map)
            parts = [(processes.gather_samples(queries), keys) for queries, keys in parts]
        return bound_in_parts(form, parts, groups, processes)

    def _bound_of_gathered(
        self, parts: list[Part], groups: Tensor | None, processes: ProcessGroup
    ) -> Tensor:
        """Bound by an MI estimator that needs all marginal scores of a code at once."""
        negatives = None if groups is None else negatives_of(groups)
        if processes.is_single:
            return bound_all_pairs(self.mi_estimator, parts, negatives)
        parts = [(queries, processes.gather_samples(keys)) for queries, keys in parts]
        if is_mean_over_codes(self.mi_estimator):  # then each process can score its own codes
            shard = processes.shard_slice
            here = None if negatives is None else negatives[shard]
            bound = bound_all_pairs(self.mi_estimator, parts, here, shard.start)
            return processes.weight_by_shard(bound)
        parts = [(processes.gather_samples(queries), keys) for queries, keys in parts]
        return bound_all_pairs(self.mi_estimator, parts, negatives) / processes.world_size

    def prior_term(self, code: Tensor) -> Tensor:
        """The encoder's adversarial loss; the discriminator gets no gradient of it."""
        frozen = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        fake = self._squash(code)
        with torch.autocast(fake.device.type, enabled=False):
            return encoder_loss(functional_call(self.discriminator, frozen, (fake,)))

    def discriminator_term(self, code: Tensor, generator: torch.Generator) -> Tensor:
        """The discriminator's adversarial loss; the encoder gets no gradient of it."""
        fake = self._squash(code.detach())
        real = self.prior.sample(fake.shape, generator)
        with torch.autocast(fake.device.type, enabled=False):
            loss = discriminator_loss(self.discriminator(real), self.discriminator(fake))
            if self.gradient_penalty:
                penalties = [gradient_penalty(self.discriminator, codes) for codes in (real, fake)]
                loss = loss + self.gradient_penalty / 2 * sum(penalties)
        return loss

    def _squash(self, code: Tensor) -> Tensor:
        return self.prior.squash(at_least_float32(code.flatten(0, -2)))  # (n_views * n, n_code)

    def loss(self, terms: dict[str, Tensor]) -> Tensor:
        """The weighted sum that encoder and critics minimise."""
        signed_weights = {
            "global": -self.global_weight,
            "local": -self.local_weight,
            "prior": self.prior_weight,
            "coordinates": -self.coordinate_weight,
        }
        return torch.stack([signed_weights[name] * term for name, term in terms.items()]).sum()


def _embed(critic: nn.Module, code: Tensor, local_map: Tensor) -> list[Part]:
    return critic.embed(code, local_map)  # type: ignore[operator]  # separable
