"""Claim: the Jensen-Shannon bound grows with mutual information, and orders variables alike.

Two pictures. Random joint distributions of two discrete variables: twice the Jensen-Shannon
divergence of joint and product of marginals, which the bound is tight at, against their mutual
information; both are sums over the table. Pairs of Gaussian variables of known mutual information:
the bound of `skdim.mutual_information.jsd` at the best critic, the logarithm of the ratio of
densities, from samples. The claim is a rank correlation above 0.95 for the first, and a bound that
rises with every step of the second.

Command: python -m benchmarks.paper.jsd_and_information
n: 2,000 distributions; 12 values of mutual information, 200,000 pairs each
Hardware: any; seconds
Versions: printed
"""

import math

import matplotlib as mpl
import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.common import RESULTS, argument_parser, save, verdict
from skdim.mutual_information import jsd

mpl.use("Agg")
from matplotlib import pyplot as plt

N_DISTRIBUTIONS, N_PAIRS = 2000, 200_000
SIZES = (2, 4, 8, 16)
INFORMATION = np.linspace(0, 3, 12)


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Kullback-Leibler divergence of p from q, in nats."""
    is_possible = p > 0
    return float((p[is_possible] * np.log(p[is_possible] / q[is_possible])).sum())


def mutual_information(joint: np.ndarray) -> float:
    """Mutual information of a table (n, m) of probabilities, in nats."""
    return divergence(joint, product_of_marginals(joint))


def jensen_shannon(joint: np.ndarray) -> float:
    """Twice the Jensen-Shannon divergence of a table and its product of marginals, in nats."""
    product = product_of_marginals(joint)
    mean = (joint + product) / 2
    return divergence(joint, mean) + divergence(product, mean)


def product_of_marginals(joint: np.ndarray) -> np.ndarray:
    return joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)


def random_tables(rng: np.random.Generator) -> list[np.ndarray]:
    """Draw joint distributions: of several sizes, from nearly uniform to a few large entries."""
    tables = []
    for size in rng.choice(SIZES, N_DISTRIBUTIONS):
        concentration = 10 ** rng.uniform(-1.5, 1)
        weights = rng.gamma(concentration, size=(size, size)) + 1e-12
        tables.append(weights / weights.sum())
    return tables


def gaussian_bound(information: float, generator: torch.Generator) -> float:
    """The bound at the best critic, of Gaussian pairs with this mutual information."""
    correlation = math.sqrt(1 - math.exp(-2 * information))
    x, noise, other = torch.randn(3, N_PAIRS, generator=generator, dtype=torch.float64)
    y = correlation * x + math.sqrt(1 - correlation**2) * noise
    joint = log_ratio(x, y, correlation)
    marginal = log_ratio(x, other, correlation)
    return jsd(joint[:, None], marginal[:, None, None]).item()


def log_ratio(x: torch.Tensor, y: torch.Tensor, correlation: float) -> torch.Tensor:
    """Logarithm of the density of correlated normal pairs over that of independent ones."""
    rest = 1 - correlation**2
    square = (correlation * (x**2 + y**2) - 2 * x * y) * correlation
    return -math.log(rest) / 2 - square / (2 * rest)


def draw(tables: list[tuple[float, float]], gaussian: list[float], path) -> None:
    """Scatter of the tables, line of the Gaussian pairs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    left.scatter(*np.array(tables).T, s=4, alpha=0.4)
    left.set(title=f"{len(tables)} random discrete distributions", ylabel="Jensen-Shannon, nats")
    right.plot(INFORMATION, gaussian, "o-")
    right.set(title="Gaussian pairs, bound from samples")
    for axis in (left, right):
        axis.axhline(2 * math.log(2), color="grey", lw=1, ls=":")
        axis.set_xlabel("mutual information, nats")
    figure.savefig(path, dpi=110)


def main():
    argument_parser(__doc__).parse_args()
    print(__doc__.splitlines()[0])
    joint = random_tables(np.random.default_rng(0))
    tables = [(mutual_information(table), jensen_shannon(table)) for table in joint]
    generator = torch.Generator().manual_seed(0)
    gaussian = [gaussian_bound(information, generator) for information in INFORMATION]
    correlation = float(spearmanr(*np.array(tables).T).statistic)
    for information, bound in zip(INFORMATION, gaussian, strict=True):
        print(f"Gaussian pairs, {information:.2f} nats: bound {bound:.3f}")
    print(f"discrete: rank correlation {correlation:.4f}")
    draw(tables, gaussian, RESULTS / "paper_jsd_and_information.png")
    save(
        "paper_jsd_and_information",
        {
            "rank correlation": correlation,
            "information": INFORMATION.tolist(),
            "bound": gaussian,
        },
    )
    verdict(
        {
            "rank correlation of random distributions above 0.95": correlation > 0.95,
            "the bound of Gaussian pairs rises": bool((np.diff(gaussian) > 0).all()),
        }
    )


if __name__ == "__main__":
    main()
