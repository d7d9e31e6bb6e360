"""What the paper's experiments share: budgets, data, layers, results, verdicts.

``--budget full`` is the paper's protocol, for a GPU. ``--budget medium`` and ``--budget small`` are
reduced ones, a night and minutes on two cores, and labelled as reduced: fewer images and epochs,
half or a quarter of the channels, a narrower critic.
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
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks import common
from benchmarks.baselines import BASELINES, Baseline
from benchmarks.common import argument_parser, data_loader, encode_images, print_machine
from benchmarks.paper.probe import ProbeClassifier
from benchmarks.paper.training import seeded_device
from skdim import DIMTransformer
from skdim._training.loop import Batches, train_epochs
from skdim.encoders import evaluating

# Of a budget that does not say otherwise; results do not name them.
DEFAULTS = {"probe": "quick", "precision": "auto"}


class Budget(NamedTuple):
    """How much of the paper's protocol is run."""

    n_train: int
    n_test: int
    n_epochs: int
    scale: float  # of the number of channels and units
    critic_width: int
    n_seeds: int
    learning_rate: float
    probe: str = DEFAULTS["probe"]  # one of PROBES
    precision: str = DEFAULTS["precision"]


BUDGETS = {
    "small": Budget(4000, 2000, 10, 0.25, 256, 3, 5e-4),
    "medium": Budget(10_000, 10_000, 30, 0.5, 512, 3, 2e-4),
    "full": Budget(50_000, 10_000, 1000, 1.0, 2048, 3, 1e-4, "paper", "float32"),
}


class Data(NamedTuple):
    """Images (n, height, width, 3) of bytes and labels; further images to train on without them."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    X_unlabelled: np.ndarray | None = None

    @property
    def all_images(self) -> np.ndarray:
        """All images to train on without labels."""
        return self.X if self.X_unlabelled is None else np.concatenate([self.X, self.X_unlabelled])


def load(budget: Budget) -> Data:
    """The first images of each part of CIFAR-10."""
    loader = data_loader()
    X, y = loader.load_cifar10("train", n=budget.n_train)
    X_test, y_test = loader.load_cifar10("test", n=budget.n_test)
    return Data(X, y, X_test, y_test)


def dim(budget: Budget, variant: str, mi_estimator: str, seed: int, **params) -> DIMTransformer:
    """`DIMTransformer.paper` at a budget; the critic of DIM(G) is a quarter as wide."""
    at_budget = {
        "encoder_params": {"scale": budget.scale},
        "critic_width": budget.critic_width // (4 if variant == "global" else 1),
        "max_epochs": budget.n_epochs,
        "learning_rate": budget.learning_rate,
        "random_state": seed,
        "precision": budget.precision,
    }
    return DIMTransformer.paper(variant, mi_estimator, **{**at_budget, **params})


def baseline(budget: Budget, method: str, seed: int, **params) -> Baseline:
    """Another method on the same encoder, at the same budget."""
    return BASELINES[method](
        encoder_params={"scale": budget.scale},
        max_epochs=budget.n_epochs,
        learning_rate=budget.learning_rate,
        random_state=seed,
        precision=budget.precision,
        **params,
    )


def layers_of(estimator, X: np.ndarray) -> dict[str, np.ndarray]:
    """Return the layers that the paper classifies: last convolution, hidden layer and code.

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
    hook = network.hidden.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    parts: dict[str, list[np.ndarray]] = {"conv": [], "fc": [], "Y": []}
    try:
        for n, encoding in encode_images(estimator, X):
            layers = {"conv": caught[-1], "fc": encoding.hidden, "Y": encoding.code}
            for name, layer in layers.items():
                parts[name].append(layer[:n].float().cpu().numpy())
    finally:
        hook.remove()
    return {name: np.concatenate(batches) for name, batches in parts.items()}


def quick_probe(features, y, features_test, y_test, seed: int) -> float:
    """Accuracy of `ProbeClassifier` at its defaults: 50 epochs, the last state."""
    return ProbeClassifier(random_state=seed).fit(features, y).score(features_test, y_test)


def paper_probe(
    features, y, features_test, y_test, seed: int, n_epochs: int = 200, n_last: int = 100
) -> float:
    """Accuracy of the same network, trained and evaluated as in the paper.

    Adam's learning rate is 1e-4, a tenth of that after 50 epochs and a hundredth after 100, as in
    the code of the authors. Features are not scaled. The result is the mean of the accuracies after
    each of the last epochs.
    """
    classes, labels = np.unique(y, return_inverse=True)
    labels_test = np.searchsorted(classes, y_test)
    with seeded_device(seed, "auto", 64) as generator:
        device = generator.device
        x, x_test = (torch.from_numpy(f).float().to(device) for f in (features, features_test))
        targets, targets_test = (torch.from_numpy(t).to(device) for t in (labels, labels_test))
        network = nn.Sequential(
            nn.Linear(x.shape[1], 200, bias=False),
            nn.Dropout(0.1),
            nn.BatchNorm1d(200),
            nn.ReLU(),
            nn.Linear(200, len(classes)),
        ).to(device)
        epochs = train_epochs(
            torch.optim.Adam(network.parameters(), 1e-4, betas=(0.5, 0.999)),
            lambda batch: cross_entropy(network(x[batch]), targets[batch]),
            Batches(range(len(x)), None, 64, generator),
            n_epochs,
            lr_schedule=lambda progress: 0.1 ** sum(progress * n_epochs >= m for m in (50, 100)),
        )
        accuracies = []
        for _ in epochs:
            with torch.no_grad(), evaluating(network):
                accuracies.append((network(x_test).argmax(1) == targets_test).float().mean().item())
    return float(np.mean(accuracies[-n_last:]))


PROBES: dict[str, Callable[..., float]] = {"quick": quick_probe, "paper": paper_probe}


def probe(budget: Budget, features, y, features_test, y_test, seed: int) -> float:
    """Accuracy in percent of the paper's classifier of 200 units, trained as the budget says."""
    return 100 * PROBES[budget.probe](features, y, features_test, y_test, seed)


class Cells(common.Cells):
    """Results of one experiment, with the seconds that each took."""

    def __init__(self, name: str, options: argparse.Namespace, budget: Budget):
        # More seeds are more cells; any other change makes other cells.
        defaults = {**DEFAULTS, "n_seeds": budget.n_seeds}
        protocol = {k: v for k, v in budget._asdict().items() if defaults.get(k) != v}
        length = f"_{options.epochs}_epochs" if getattr(options, "epochs", None) else ""
        super().__init__(
            f"paper_{name}_{options.budget}{length}", fresh=options.fresh, budget=protocol
        )

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


def outcome_of(higher, lower=None) -> tuple[str, float, float]:
    """Return whether the first numbers are above the second, the gap, and its standard error.

    Without second numbers, the first ones are gaps, which are compared with 0.
    """
    higher = np.asarray(higher, float)
    if lower is None:
        gap, variance, n = higher.mean(), higher.var(ddof=1) if len(higher) > 1 else 0, len(higher)
    else:
        lower = np.asarray(lower, float)
        n = min(len(higher), len(lower))
        gap = higher.mean() - lower.mean()
        variance = higher.var(ddof=1) + lower.var(ddof=1) if n > 1 else 0
    error = np.sqrt(variance / n) if n > 1 else np.inf
    if abs(gap) <= 2 * error:
        return "unresolved at this budget", gap, error
    return ("holds" if gap > 0 else "CONTRADICTED"), gap, error


class Orderings:
    """Orderings of the paper, asserted if the gap exceeds two standard errors."""

    def __init__(self):
        self.n_contradicted = 0

    def check(self, claim: str, higher, lower) -> None:
        """Print whether the first numbers are above the second."""
        self._report(claim, higher, lower)

    def check_gaps(self, claim: str, gaps) -> None:
        """Print whether numbers that are compared seed by seed are above 0."""
        self._report(claim, gaps)

    def _report(self, claim: str, *numbers) -> None:
        outcome, gap, error = outcome_of(*numbers)
        self.n_contradicted += outcome == "CONTRADICTED"
        print(f"{outcome}: {claim} (gap {gap:+.2f}, standard error {error:.2f})")

    def end(self) -> None:
        """Exit with 1 if an ordering was contradicted."""
        sys.exit(1 if self.n_contradicted else 0)


def comparison(ours, published: float | None = None, recalled: float | None = None) -> str:
    """Return our mean and spread, the paper's number and, if that is verified, the difference."""
    text = f"{np.mean(ours):6.2f} +- {np.std(ours):.2f}"
    if published is not None:
        return f"{text}   paper {published:6.2f} ({np.mean(ours) - published:+.2f})"
    if recalled is not None:
        return f"{text}   paper {recalled:6.2f} (recalled, unverified)"
    return text


def arguments(
    description: str,
    extra: Callable[[argparse.ArgumentParser], None] | None = None,
    medium: dict | None = None,
    **small,
):
    """Read the command line; say under which protocol the numbers are made.

    Parameters
    ----------
    description : str
        The script's docstring.
    extra : callable (parser), or None
        Adds arguments.
    medium : dict or None
        Numbers that a script has instead of those of the medium budget.
    **small
        Likewise, of the small budget.

    Returns
    -------
    options : argparse.Namespace
    budget : Budget
    """
    parser = argument_parser(description)
    parser.add_argument("--budget", default="small", choices=BUDGETS)
    parser.add_argument(
        "--seeds", type=int, default=None, help="how many, in place of the budget's"
    )
    parser.add_argument(
        "--epochs", type=int, default=None, help="in place of the budget's; a result of its own"
    )
    parser.add_argument("--fresh", action="store_true", help="forget the cells of earlier runs")
    if extra is not None:
        extra(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # short training is the budget's choice
    budget = BUDGETS[options.budget]
    budget = budget._replace(**{"small": small, "medium": medium or {}}.get(options.budget, {}))
    if options.seeds:
        budget = budget._replace(n_seeds=options.seeds)
    if options.epochs:
        budget = budget._replace(n_epochs=options.epochs)
    label = "the paper's protocol" if options.budget == "full" else "a REDUCED protocol"
    print(description.splitlines()[0])
    print(f"budget {options.budget!r}, {label}: {budget}")
    print_machine()
    return options, budget
