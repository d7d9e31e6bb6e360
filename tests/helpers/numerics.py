"""One training step, with random choices and extreme numbers.

    python tests/helpers/numerics.py --steps 10000

prints how many steps gave a term or a weight that is not finite: it should be none.
"""

import argparse
import sys
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from skdim._runtime.devices import PRECISIONS
from skdim.critics import CRITICS
from skdim.mutual_information import ESTIMATORS
from skdim.objective import DIMObjective, ObjectiveConfig
from skdim.optimization import OPTIMIZERS, backward_and_step, for_device
from skdim.priors import PRIORS

CPU = torch.device("cpu")


class Configuration(NamedTuple):
    """Everything that a step depends on."""

    mi_estimator: str
    critic: str
    precision: str
    prior: str
    optimizer: str
    weights: tuple[float, float, float]
    n: int
    n_locations: int
    width: int
    code_scale: float
    local_scale: float
    is_constant: bool
    grouped: bool
    seed: int


def draw(seed: int) -> Configuration:
    """Draw a configuration; scales range over twelve decades."""
    rng = np.random.default_rng(seed)

    def one_of(choices):
        return list(choices)[rng.integers(len(choices))]

    return Configuration(
        mi_estimator=one_of(ESTIMATORS),
        critic=one_of(CRITICS),
        precision=one_of(PRECISIONS),
        prior=one_of(PRIORS),
        optimizer=one_of(OPTIMIZERS),
        weights=one_of([(0, 1, 0), (1, 0, 1), (0.5, 0.5, 0.1)]),
        n=int(rng.integers(2, 9)),
        n_locations=int(rng.integers(1, 5)),
        width=one_of([1, 8, 64]),
        code_scale=float(10 ** rng.uniform(-6, 6)),
        local_scale=float(10 ** rng.uniform(-6, 6)),
        is_constant=bool(rng.random() < 0.1),
        grouped=bool(rng.random() < 0.3),
        seed=seed,
    )


def offender(case: Configuration) -> str | None:
    """Do the step; name the first term or weight that is not finite."""
    generator = torch.Generator().manual_seed(case.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        config = ObjectiveConfig(
            global_weight=case.weights[0],
            local_weight=case.weights[1],
            prior_weight=case.weights[2],
            mi_estimator=ESTIMATORS[case.mi_estimator],
            critic=CRITICS[case.critic],
            critic_width=case.width,
            n_locations=None,
            coordinate_weight=0,
            coordinates=(),
            prior=replace(PRIORS[case.prior], gradient_penalty=1.0),
        )
        objective = DIMObjective(config, 3, [(case.n_locations, 5)])
    code = torch.randn(2, case.n, 3, generator=generator) * case.code_scale
    local_map = torch.randn(2, case.n, case.n_locations, 5, generator=generator)
    local_map = local_map * case.local_scale
    if case.is_constant:
        code, local_map = torch.full_like(code, case.code_scale), torch.zeros_like(local_map)
    code, local_map = torch.nn.Parameter(code), torch.nn.Parameter(local_map)
    groups = torch.arange(case.n) % max(2, case.n - 1) if case.grouped else None

    build = OPTIMIZERS[case.optimizer]
    arguments = for_device(build, {"lr": 1e-3}, CPU, captured=False)
    parameters = [code, local_map, *objective.critic_parameters()]
    precision = PRECISIONS[case.precision]
    terms = {}
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        if case.weights[2]:
            terms["discriminator"] = objective.discriminator_term(code, generator)
            adversary = build(objective.discriminator.parameters(), **arguments)
            backward_and_step(adversary, terms["discriminator"])
        terms |= objective(code, (local_map,), generator, groups)
        terms["loss"] = objective.loss(
            {name: term for name, term in terms.items() if name != "discriminator"}
        )
    backward_and_step(build(parameters, **arguments), terms["loss"], clip_norm=10.0)
    results = {**terms, "code": code, "local_map": local_map, **dict(objective.named_parameters())}
    return next((name for name, x in results.items() if not torch.isfinite(x).all()), None)


def main():
    """Try many steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    found = {}
    for seed in range(arguments.first, arguments.first + arguments.steps):
        if name := offender(draw(seed)):
            found[seed] = name
            print(f"{name} is not finite: {draw(seed)}")
    print(f"{arguments.steps} steps, {len(found)} with a number that is not finite")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
