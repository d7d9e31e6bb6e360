"""What the paper's experiments share: budgets, data, layers, cells that survive, verdicts.

``--budget full`` is the paper's protocol, for a GPU. ``--budget small`` is a reduced one, for
minutes on two cores, and labelled so: fewer images and epochs, a quarter of the channels, a
narrower critic.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from baselines import BASELINES, Baseline
from common import RESULTS, data_loader, machine

from skdim import DIMTransformer
from skdim.evaluation import ProbeClassifier
from skdim._model.inference import encode_padded, inference_batch_size
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
    # That of NAT is wrapped, to bring codes to length 1.
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
            tiles = {"conv": caught[-1], "fc": encoding.hidden, "Y": encoding.code}
            for name, tile in tiles.items():
                parts[name].append(tile[:n].float().cpu().numpy())
    finally:
        hook.remove()
    return {name: np.concatenate(tiles) for name, tiles in parts.items()}


def probe(features, y, features_test, y_test, seed: int) -> float:
    """Accuracy in percent of the paper's classifier of 200 units."""
    classifier = ProbeClassifier(random_state=seed).fit(features, y)
    return 100 * classifier.score(features_test, y_test)


class Cells:
    """Results of one experiment, written as they come, read where they are already there."""

    def __init__(self, name: str, given: argparse.Namespace, budget: Budget):
        self.path = RESULTS / f"paper_{name}_{given.budget}.json"
        # More seeds are more cells; anything else makes other ones.
        protocol = {name: value for name, value in budget._asdict().items() if name != "n_seeds"}
        self.record = {"machine": machine(), "budget": protocol, "cells": {}}
        if self.path.exists() and not given.fresh:
            known = json.loads(self.path.read_text())
            if known["budget"] == protocol:
                self.record["cells"] = known["cells"]

    def get(self, key: str, compute: Callable[[], dict]) -> dict:
        """Return a cell, computed if it is not yet known."""
        cells = self.record["cells"]
        if key not in cells:
            start = time.perf_counter()
            cells[key] = {**compute(), "seconds": time.perf_counter() - start}
            self.path.write_text(json.dumps(self.record, indent=1) + "\n")
        return cells[key]

    def seconds(self) -> float:
        """What all cells took together."""
        return sum(cell["seconds"] for cell in self.record["cells"].values())


class Orderings:
    """Orderings of the paper, asserted where two standard errors part them."""

    def __init__(self):
        self.n_contradicted = 0

    def check(self, claim: str, higher, lower) -> None:
        """Print whether the first numbers are above the second."""
        higher, lower = np.asarray(higher, float), np.asarray(lower, float)
        gap = higher.mean() - lower.mean()
        n = min(len(higher), len(lower))
        error = np.sqrt((higher.var(ddof=1) + lower.var(ddof=1)) / n) if n > 1 else np.inf
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
        What a script has in the place of the small budget's numbers.

    Returns
    -------
    given : argparse.Namespace
    budget : Budget
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
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
    print("machine:", ", ".join(f"{key} {value}" for key, value in machine().items() if value))
    return given, budget
