"""The objective of Deep InfoMax: bounds to maximise, a prior to match."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from skdim._names import call_custom
from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup
from skdim.critics import (
    Part,
    at_least_float32,
    is_separable,
    queries_are_pointwise,
    score_parts,
)
from skdim.mutual_information import Estimator, has_reduction
from skdim.objective.pairs import (
    maps_of_other_views,
    permute_locations,
    sample_locations,
    split_pairs,
)
from skdim.objective.scores import bound_in_chunks
from skdim.priors import (
    Discriminator,
    Prior,
    discriminator_loss,
    encoder_loss,
    gradient_penalty,
)


@dataclass(frozen=True)
class ObjectiveConfig:
    """The terms of the objective, resolved from names to the objects they name.

    The attributes are the parameters of `DIMTransformer` with the same names.
    """

    global_weight: float
    local_weight: float
    prior_weight: float
    mi_estimator: Estimator
    critic: type[nn.Module]
    critic_width: int
    n_locations: int | None
    prior: Prior
    coordinate_weight: float
    coordinates: tuple[type[nn.Module], ...]

    @property
    def has_critics(self) -> bool:
        """Whether there is a bound to maximise."""
        return bool(self.global_weight or self.local_weight)


class DIMObjective(nn.Module):
    r"""Weigh the global bound, the local bound, the prior and the coordinates.

    .. math:: loss = -\alpha I_{global} - \beta I_{local} + \gamma D_{prior} - \delta C

    with the weights of the configuration. A term of weight 0 has no critic, no discriminator and no
    cost.

    Parameters
    ----------
    config : ObjectiveConfig
    n_code : int
        Length of a code.
    local_shapes : list of tuple (n_locations, n_channels)
        Shape of each local map that the encoder returns.
    n_sides : int, default=0
        Number of axes of a local map before its locations were flattened.

    References
    ----------
    Hjelm et al., ICLR 2019, equation 8.
    """

    def __init__(
        self,
        config: ObjectiveConfig,
        n_code: int,
        local_shapes: list[tuple[int, int]],
        n_sides: int = 0,
    ):
        super().__init__()
        self.config = config
        if config.global_weight:
            self.global_critic = _build_critic(config, n_code, prod(local_shapes[-1]))
        if config.local_weight:
            self.local_critics = nn.ModuleList(
                _build_critic(config, n_code, n_channels) for _, n_channels in local_shapes
            )
        if config.prior_weight:
            self.discriminator = Discriminator(n_code)
        if config.coordinate_weight:
            self.coordinate_tasks = nn.ModuleList(
                task(n_code, local_shapes[-1], n_sides) for task in config.coordinates
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
            Maps of the views, followed by maps of crop grids.
        generator : torch.Generator
            Draws locations and, for critics that are not separable, negatives.
        groups : Tensor of shape (n,) or None
            Samples of one group are not compared with each other.
        processes : ProcessGroup
            With several processes, n is the size of this process's shard, ``groups`` are those of
            the whole batch, and a term of the whole batch is the sum over processes.

        Returns
        -------
        terms : dict of str to Tensor of shape ()
            The bounds ``"global"`` and ``"local"`` and the log-likelihood ``"coordinates"``, to be
            maximised, and the encoder's adversarial loss, ``"prior"``, to be minimised.
        """
        config, terms = self.config, {}
        for term, inputs in self.critic_inputs(len(code), local_maps).items():
            if term == "local" and config.n_locations:
                inputs = [
                    (critic, sample_locations(local_map, config.n_locations, generator))
                    for critic, local_map in inputs
                ]
            bounds = [
                self.bound(critic, code, local_map, generator, groups, processes)
                for critic, local_map in inputs
            ]
            terms[term] = torch.stack(bounds).mean()
        if config.prior_weight:
            terms["prior"] = processes.weight_by_shard(self.prior_term(code))
        if config.coordinate_weight:
            local_map = local_maps[-1][: len(code)]  # without crop grids
            likelihoods = [task(code, local_map, generator) for task in self.coordinate_tasks]
            terms["coordinates"] = processes.weight_by_shard(torch.stack(likelihoods).sum())
        return terms

    def critic_inputs(
        self, n_views: int, local_maps: tuple[Tensor, ...]
    ) -> dict[str, list[tuple[nn.Module, Tensor]]]:
        """List the critics of "global" and "local", if they have a weight, with the maps they
        score.

        There are ``n_views`` codes of each sample; local maps are (n_maps, n, n_locations,
        n_channels).
        """
        inputs = {}
        if self.config.global_weight:
            # One location that holds the map of a sample.
            flat_map = local_maps[-1].flatten(-2).unsqueeze(-2)
            inputs["global"] = [(self.global_critic, maps_of_other_views(flat_map, n_views))]
        if self.config.local_weight:
            others = [maps_of_other_views(local_map, n_views) for local_map in local_maps]
            inputs["local"] = list(zip(self.local_critics, others, strict=True))
        return inputs

    def scoring_critics(
        self, n_views: int, local_maps: tuple[Tensor, ...]
    ) -> list[tuple[nn.Module, Tensor]]:
        """Critic inputs by which samples are scored: those of the local term, else the global."""
        inputs = self.critic_inputs(n_views, local_maps)
        return inputs["local"] if self.config.local_weight else inputs["global"]

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

        Codes are (n_views, n, n_code), the local map (n_views, n, n_locations, n_channels); all
        else is as in `forward`.
        """
        mi_estimator = self.config.mi_estimator
        if is_separable(critic):
            parts = _embed(critic, code, local_map, processes)
            if has_reduction(mi_estimator):
                return bound_in_chunks(mi_estimator, parts, groups, processes)
            parts = [(queries, processes.gather_samples(keys)) for queries, keys in parts]
            joint, marginal = split_pairs(score_parts(parts), groups)
        else:
            code, local_map = processes.gather_samples(code), processes.gather_samples(local_map)
            joint = critic(code, local_map)  # (n_views, n, n_locations)
            _check_result("critic", joint, code, local_map.shape[:-1])
            # One negative for each local vector: (n_views, n, 1, n_locations)
            marginal = critic(code, permute_locations(local_map, generator, groups)).unsqueeze(-2)
        scores = at_least_float32(joint), at_least_float32(marginal)
        names = "the scores of joint and of marginal pairs"
        bound = call_custom("mi_estimator", mi_estimator, names, *scores)
        _check_result("mi_estimator", bound, scores[0], ())
        if scores[0].requires_grad and not bound.requires_grad:
            raise ValueError(
                "The 'mi_estimator' parameter must return a bound with gradients, computed by "
                "torch from the scores. Got one without."
            )
        return bound / processes.world_size

    def prior_term(self, code: Tensor) -> Tensor:
        """The encoder's adversarial loss; it gives no gradient to the discriminator."""
        frozen = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        fake = self._squash(code)
        with torch.autocast(fake.device.type, enabled=False):
            return encoder_loss(functional_call(self.discriminator, frozen, (fake,)))

    def discriminator_term(self, code: Tensor, generator: torch.Generator) -> Tensor:
        """The discriminator's adversarial loss; it gives no gradient to the encoder."""
        prior, fake = self.config.prior, self._squash(code.detach())
        names = "a shape and a generator"
        real = call_custom("prior", prior.sample, names, fake.shape, generator)
        _check_result("prior", real, fake, fake.shape)
        real = real.to(fake.dtype)
        with torch.autocast(fake.device.type, enabled=False):
            loss = discriminator_loss(self.discriminator(real), self.discriminator(fake))
            if prior.gradient_penalty:
                penalties = [gradient_penalty(self.discriminator, codes) for codes in (real, fake)]
                loss = loss + prior.gradient_penalty / 2 * sum(penalties)
        return loss

    def _squash(self, code: Tensor) -> Tensor:
        squash: Any = self.config.prior.squash
        flat = at_least_float32(code.flatten(0, -2))  # (n_views * n, n_code)
        squashed = call_custom("squash", squash, "a code", flat)
        _check_result("squash", squashed, flat, flat.shape)
        return squashed

    def loss(self, terms: dict[str, Tensor]) -> Tensor:
        """The weighted sum that encoder and critics minimise."""
        signed_weights = {
            "global": -self.config.global_weight,
            "local": -self.config.local_weight,
            "prior": self.config.prior_weight,
            "coordinates": -self.config.coordinate_weight,
        }
        return torch.stack([signed_weights[name] * term for name, term in terms.items()]).sum()


def _build_critic(config: ObjectiveConfig, n_code: int, n_channels: int) -> nn.Module:
    names = "the lengths of a code and of a local vector, and a width"
    critic = call_custom("critic", config.critic, names, n_code, n_channels, config.critic_width)
    if not isinstance(critic, nn.Module):
        raise TypeError(
            f"The 'critic' parameter must return a module of torch. Got {type(critic).__name__}."
        )
    return critic


def _check_result(parameter: str, result: Any, like: Tensor, shape: Sequence[int]) -> None:
    """Raise ValueError unless a custom function returned floats of a shape, on the same device."""
    if isinstance(result, Tensor):
        is_alike = result.is_floating_point() and result.device == like.device
        if is_alike and result.shape == torch.Size(shape):
            return
        got = f"{tuple(result.shape)} of {result.dtype} on {result.device}"
    else:
        got = type(result).__name__
    raise ValueError(
        f"The {parameter!r} parameter must return a tensor of floats of shape {tuple(shape)} on "
        f"{like.device}. Got {got}."
    )


def _embed(
    critic: nn.Module, code: Tensor, local_map: Tensor, processes: ProcessGroup
) -> list[Part]:
    """Embed the codes of the whole batch, and the local features of this process's samples."""
    if processes.is_single:
        return _parts_of(critic, code, local_map)
    if queries_are_pointwise(critic):  # codes are shorter than queries
        return _parts_of(critic, processes.gather_samples(code), local_map)
    parts = _parts_of(critic, code, local_map)
    return [(processes.gather_samples(queries), keys) for queries, keys in parts]


def _parts_of(critic: nn.Module, code: Tensor, local_map: Tensor) -> list[Part]:
    """Return queries and keys; raise TypeError unless a custom critic returned a list of pairs."""
    embed: Any = critic.embed
    parts = embed(code, local_map)
    is_list = isinstance(parts, list | tuple) and len(parts) > 0
    if is_list and all(isinstance(part, tuple | list) and len(part) == 2 for part in parts):
        return parts
    raise TypeError(
        "The 'critic' parameter must have a method 'embed' that returns a list of pairs of queries "
        f"and keys. Got a {type(parts).__name__}."
    )
