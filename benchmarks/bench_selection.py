"""Claim: without labels `score` ranks configurations better than the effective rank does.

24 random configurations on each data set, fitted on one part of the training samples; `score` and
the effective rank of the code on the other part, the accuracy of LogisticRegression there, and the
rank correlation (Spearman) of the first two with the third. Data sets of all kinds; no test label
is read.

Views and encoder stay as they are: `score` compares how well one task is solved, and other views
are another task. What the draws change: estimator, weights, critic width, learning rate, optimiser,
batch, epochs, locations.

    SKDIM_DATA=<folder> python benchmarks/bench_selection.py [--data ...] [--configurations 24]
"""

import argparse
import json
import warnings

import numpy as np
from common import RESULTS, fit_and_score, machine, verdict
from datasets import load
from scipy.stats import spearmanr
from sklearn.model_selection import train_test_split

from skdim import DIMTransformer
from skdim.evaluation.effective_rank import effective_rank

DATA = ("digits", "letter", "JapaneseVowels", "OSULeaf", "cifar10-10k")

# One of each, at random.
CHOICES = {
    "mi_estimator": ("infonce", "jsd", "dv", "nwj"),
    "local_weight": (1.0, 1.0, 0.3),
    "global_weight": (0.0, 0.0, 1.0),
    "prior_weight": (0.0, 0.0, 0.1, 1.0),
    "critic_width": (16, 64, 128),
    "learning_rate": (1e-4, 5e-4, 2e-3, 1e-2),
    "optimizer": ("muon", "adamw", "sgd"),
    "batch_size": (16, 64, 128, 256),
    "n_locations": (None, 1, 4),
    "effort": (0.1, 0.3, 1.0),
}


def draw(number: int) -> dict:
    """Configuration number so-and-so, the same on every data set."""
    rng = np.random.default_rng([7, number])
    return {name: values[rng.integers(len(values))] for name, values in CHOICES.items()}


def n_epochs(n_samples: int, effort: float) -> int:
    """A part of what max_epochs="auto" gives, so that some of the fits end early."""
    return max(1, round(effort * min(60, 3 + 20_000 / n_samples)))


def examine(data, parts, configuration: dict) -> dict:
    X, X_held, y, y_held = parts
    params = {name: value for name, value in configuration.items() if name != "effort"}
    params["max_epochs"] = n_epochs(len(X), configuration["effort"])
    dim = DIMTransformer(random_state=0, **data.params, **params).fit(X)
    codes, held = dim.transform(X), dim.transform(X_held)
    return {
        "configuration": configuration,
        "score": dim.score(X_held),
        "effective rank": effective_rank(held),
        "accuracy": fit_and_score(codes, y, held, y_held, max_iter=300)[0],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=DATA)
    parser.add_argument("--configurations", type=int, default=24)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    path = RESULTS / "selection.json"
    record = {"machine": machine(), "fits": {}}
    if path.exists() and not arguments.fresh:
        record["fits"] = json.loads(path.read_text())["fits"]
    correlations: dict[str, list[float]] = {"score": [], "effective rank": []}
    print(
        f"{'data':<16} {'score':>7} {'rank':>7}   accuracy: worst, best, chosen by score, by rank"
    )
    for name in arguments.data:
        data = load(name)
        parts = train_test_split(data.X, data.y, test_size=1 / 3, random_state=0, stratify=data.y)
        for number in range(arguments.configurations):
            key = f"{name}|{number}"
            if key not in record["fits"]:
                record["fits"][key] = examine(data, parts, draw(number))
                path.write_text(json.dumps(record, indent=1) + "\n")
        fits = [record["fits"][f"{name}|{i}"] for i in range(arguments.configurations)]
        accuracy = np.array([fit["accuracy"] for fit in fits])
        chosen = {}
        for measure, found in correlations.items():
            values = np.array([fit[measure] for fit in fits])
            found.append(float(spearmanr(values, accuracy).statistic))
            chosen[measure] = accuracy[values.argmax()]
        print(
            f"{name:<16} {correlations['score'][-1]:7.2f} {correlations['effective rank'][-1]:7.2f}"
            f"   {accuracy.min():.3f}, {accuracy.max():.3f}, {chosen['score']:.3f}, "
            f"{chosen['effective rank']:.3f}",
            flush=True,
        )
    means = {measure: float(np.mean(found)) for measure, found in correlations.items()}
    record["rank correlations"] = correlations
    record["means"] = means
    path.write_text(json.dumps(record, indent=1) + "\n")
    verdict(
        {
            f"mean rank correlation of score {means['score']:.2f} above that of the effective rank "
            f"{means['effective rank']:.2f}": means["score"] > means["effective rank"],
        }
    )


if __name__ == "__main__":
    main()
