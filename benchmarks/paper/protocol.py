"""What the paper's experiments share: budgets, data, layers, results, verdicts.

``--budget full`` is the paper's protocol, for a GPU. ``--budget small`` is a reduced one, which
takes minutes on two cores and is labelled as reduced: fewer images and epochs, a quarter of the
channels, a narrower critic.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from benchmarks import common
from benchmarks.baselines import BASELINES, Baseline
from benchmarks.common import argument_parser, data_loader, print_machine
from skdim import DIMTransformer
from skdim._model.inference import encode_padded, inference_batch_size
from skdim.evaluation import ProbeClassifier
from skdim.sources._arrays import read_samples


class Budget(NamedTuple):
    """How much of the paper's protocol is run."""

    n_train: int
    n_test: int
    n_epochs: int
    scale: float  # of the number of channels and units
    critic_width: int
    n_seeds: int
    learning_rate: float


BUDGETS = {
    "small": Budget(4000, 2000, 10, 0.25, 256, 3, 5e-4),
    "full": Budget(50_000, 10_000, 1000, 1.0, 2048, 1, 1e-4),
}


class Data(NamedTuple):
    """CIFAR images (n, 32, 32, 3) and labels."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def load(budget: Budget) -> Data:
    """The first images of each part of CIFAR-10."""
    loader = data_loader()
    X, y = loader.load_cifar10("train", n=budget.n_train)
    X_test, y_test = loader.load_cifar10("test", n=budget.n_test)
    return Data(X, y, X_test, y_test)


def dim(budget: Budget, variant: str, mi_estimator: str, seed: int, **params) -> DIMTransformer:
    """`DIMTransformer.paper` at a budget."""
    at_budget = {
        "encoder_params": {"scale": budget.scale},
        "critic_width": budget.critic_width,
        "max_epochs": budget.n_epochs,
        "learning_rate": budget.learning_rate,
        "random_state": seed,
        "precision": "auto",
    }
    return DIMTransformer.paper(variant, mi_estimator, **{**at_budget, **params})


def baseline(budget: Budget, method: str, seed: int) -> Baseline:
    """Another method on the same encoder, at the same budget."""
    return BASELINES[method](
        encoder_params={"scale": budget.scale},
        max_epochs=budget.n_epochs,
        learning_rate=budget.learning_rate,
        random_state=seed,
    )


def layers_of(estimator, X: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the paper classifies: last convolution, hidden layer and code.

    Parameters
    ----------
    estimator : fitted DIMTransformer or baseline
        On one of the paper's encoders.
    X : ndarray of shape (n, height, width, channels)

    Returns
    -------
    layers : dict of "conv", "fc" and "Y" to ndarray of shape (n, n_features)
    """
    caught: list[torch.Tensor] = []
    # The encoder of NAT is wrapped, to normalise codes.
    network = getattr(estimator.encoder_, "encoder", estimator.encoder_)
    hook = network.hidden.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    parts: dict[str, list[np.ndarray]] = {"conv": [], "fc": [], "Y": []}
    samples = read_samples(X, None, "auto")
    size = inference_batch_size(estimator.sample_shape_, estimator.device_)
    try:
        for n, encoding in encode_padded(
            estimator.encoder_,
            samples,
            estimator.mean_,
            estimator.scale_,
            size,
            estimator.device_,
        ):
            layers = {"conv": caught[-1], "fc": encoding.hidden, "Y": encoding.code}
            for name, layer in layers.items():
                parts[name].append(layer[:n].float().cpu().numpy())
    finally:
        hook.remove()
    return {name: np.concatenate(batches) for name, batches in parts.items()}


def probe(features, y, features_test, y_test, seed: int) -> float:
    """Accuracy in percent of the paper's classifier of 200 units."""
    classifier = ProbeClassifier(random_state=seed).fit(features, y)
    return 100 * classifier.score(features_test, y_test)


class Cells(common.Cells):
    """Results of one experiment, with the seconds that each took."""

    def __init__(self, name: str, given: argparse.Namespace, budget: Budget):
        # More seeds are more cells; any other change makes other cells.
        protocol = {name: value for name, value in budget._asdict().items() if name != "n_seeds"}
        super().__init__(f"paper_{name}_{given.budget}", fresh=given.fresh, budget=protocol)

    def get(self, key: str, compute: Callable[[], dict]) -> dict:
        """Return a cell and its seconds, computed if it is not yet known."""
        return super().get(key, partial(timed, compute))

    def seconds(self) -> float:
        """What all cells took together."""
        return sum(cell["seconds"] for cell in self.cells.values())


def timed(compute: Callable[[], dict]) -> dict:
    """Return a result with the seconds that it took."""
    start = time.perf_counter()
    return {**compute(), "seconds": time.perf_counter() - start}


class Orderings:
    """Orderings of the paper, asserted where the gap exceeds two standard errors."""

    def __init__(self):
        self.n_contradicted = 0

    def check(self, claim: str, higher, lower) -> None:
        """Print whether the first numbers are above the second."""
        higher, lower = np.asarray(higher, float), np.asarray(lower, float)
        n = min(len(higher), len(lower))
        error = np.sqrt((higher.var(ddof=1) + lower.var(ddof=1)) / n) if n > 1 else np.inf
        self._report(claim, higher.mean() - lower.mean(), error)

    def check_gaps(self, claim: str, gaps) -> None:
        """Print whether numbers that are compared seed by seed are above 0."""
        gaps = np.asarray(gaps, float)
        error = gaps.std(ddof=1) / np.sqrt(len(gaps)) if len(gaps) > 1 else np.inf
        self._report(claim, gaps.mean(), error)

    def _report(self, claim: str, gap: float, error: float) -> None:
        if abs(gap) <= 2 * error:
            outcome = "unresolved at this budget"
        else:
            outcome = "holds" if gap > 0 else "CONTRADICTED"
            self.n_contradicted += gap < 0
        print(f"{outcome}: {claim} (gap {gap:+.2f}, standard error {error:.2f})")

    def end(self) -> None:
        """Exit with 1 if an ordering was contradicted."""
        sys.exit(1 if self.n_contradicted else 0)


def beside(ours, published: float | None = None, recalled: float | None = None) -> str:
    """Our mean and spread, the paper's number, and the difference where it is verified."""
    text = f"{np.mean(ours):6.2f} +- {np.std(ours):.2f}"
    if published is not None:
        return f"{text}   paper {published:6.2f} ({np.mean(ours) - published:+.2f})"
    if recalled is not None:
        return f"{text}   paper {recalled:6.2f} (recalled, unverified)"
    return text


def arguments(
    description: str,
    extra: Callable[[argparse.ArgumentParser], None] | None = None,
    **small,
):
    """Read the command line; say under which protocol the numbers are made.

    Parameters
    ----------
    description : str
        The script's docstring.
    extra : callable (parser), or None
        Adds arguments.
    **small
        Numbers that a script has instead of those of the small budget.

    Returns
    -------
    given : argparse.Namespace
    budget : Budget
    """
    parser = argument_parser(description)
    parser.add_argument("--budget", default="small", choices=BUDGETS)
    parser.add_argument(
        "--seeds", type=int, default=None, help="how many, in place of the budget's"
    )
    parser.add_argument("--fresh", action="store_true", help="forget the cells of earlier runs")
    if extra is not None:
        extra(parser)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # short training is the budget's choice
    budget = BUDGETS[given.budget]
    if given.budget == "small":
        budget = budget._replace(**small)
    if given.seeds:
        budget = budget._replace(n_seeds=given.seeds)
    label = "the paper's protocol" if given.budget == "full" else "a REDUCED protocol"
    print(description.splitlines()[0])
    print(f"budget {given.budget!r}, {label}: {budget}")
    print_machine()
    return given, budget
