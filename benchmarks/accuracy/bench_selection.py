"""Claim: without labels `score` orders configurations better than the effective rank does.

24 random configurations on each data set are fitted on one part of the training samples. On the
other part, `score`, the effective rank of the code and the accuracy of LogisticRegression are
measured. The figure is the Spearman correlation of each of the first two with the third. There are
data sets of all kinds; no test label is read.

Views and encoder are the same in all configurations, because `score` compares how well one task is
solved, and other views make another task. What differs: MI estimator, weights, critic width,
learning rate, optimiser, batch size, epochs, locations.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_selection
n: 24 configurations a data set (--configurations), 1 seed
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings
from functools import partial

import numpy as np
from scipy.stats import spearmanr
from sklearn.model_selection import train_test_split

from benchmarks.common import Cells, argument_parser, fit_and_score, verdict
from benchmarks.datasets import load
from skdim import DIMTransformer
from skdim.evaluation import effective_rank

DATA = ("digits", "letter", "JapaneseVowels", "OSULeaf", "cifar10-10k")

# A configuration has one value of each, drawn at random.
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
    """Return one configuration, the same on every data set."""
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
    parser = argument_parser(__doc__)
    parser.add_argument("--data", nargs="+", default=DATA)
    parser.add_argument("--configurations", type=int, default=24)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    cells = Cells("selection", fresh=arguments.fresh)
    correlations: dict[str, list[float]] = {"score": [], "effective rank": []}
    print(
        f"{'data':<16} {'score':>7} {'rank':>7}   accuracy: worst, best, chosen by score, by rank"
    )
    for name in arguments.data:
        data = load(name)
        parts = train_test_split(data.X, data.y, test_size=1 / 3, random_state=0, stratify=data.y)
        fits = [
            cells.get(f"{name}|{number}", partial(examine, data, parts, draw(number)))
            for number in range(arguments.configurations)
        ]
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
    cells.write(**{"rank correlations": correlations, "means": means})
    verdict(
        {
            f"mean rank correlation of score {means['score']:.2f} above that of the effective rank "
            f"{means['effective rank']:.2f}": means["score"] > means["effective rank"],
        }
    )


if __name__ == "__main__":
    main()
