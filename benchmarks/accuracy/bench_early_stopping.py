"""Claim: what early stopping watches finds an epoch that is about as good as the best one.

Nine data sets of all kinds, two settings each, 30,000 samples shown. Ten times in a fit, measures
are read off a tenth of the samples that was held out: `score`, and measures of the codes
of two views, made as in the fit. The truth is the accuracy of
LogisticRegression on the test part, five labels a class, mean of ten draws. The regret of a measure
is the accuracy that its choice of an epoch loses to the best one. It is compared with the regret of
the last epoch, which a fit without early stopping takes.

Every cell is written when it is computed; run again, the command continues.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_early_stopping --jobs 2
n: 18 fits, 10 epochs of each
Hardware: 2 cores of an AMD EPYC (Zen 4), a fit on each, no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.model_selection import train_test_split

from benchmarks.accuracy.bench_selection import DATA, five_per_class, load_part, numbered_labels
from benchmarks.common import Cells, argument_parser, fit_and_score, verdict
from skdim import DIMTransformer
from skdim.evaluation import shared_dimension, view_agreement, view_retrieval

N_SHOWN, N_LOOKS, N_DRAWS = 30_000, 10, 10

WATCHED = ("score", "shared dimension", "view retrieval", "view agreement")

SETTINGS = {
    "default": {},
    "dv, learning rate 1e-2": {"mi_estimator": "dv", "learning_rate": 1e-2},
}


class Look:
    """A callback of scikit-learn that measures the encoder as it is after some of the epochs.

    Parameters
    ----------
    measure : callable (fitted transformer) -> dict
    epochs : set of int
        Counted from 0.
    """

    def __init__(self, measure, epochs):
        self.measure, self.epochs, self.results = measure, epochs, []

    def setup(self, estimator, context):
        """Nothing to prepare."""

    def teardown(self, estimator, context):
        """Nothing to clean up."""

    def on_fit_task_begin(self, estimator, context):
        """Nothing to note."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        """Measure, if this is the end of one of the epochs."""
        if context.task_name == "epoch" and context.task_id in self.epochs:
            self.results.append(self.measure(fitted_estimator))


def examine(name: str, setting: str) -> dict:
    """Return the measures and the truth after each look, in order."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    data = load_part(name)
    y, y_test = numbered_labels(data)
    fitted_on, held_out = train_test_split(np.arange(len(y)), test_size=0.1, random_state=0)
    rng = np.random.default_rng(0)
    draws = [five_per_class(y, rng) for _ in range(N_DRAWS)]
    labelled = np.unique(np.concatenate(draws))

    def measure(dim: DIMTransformer) -> dict:
        dim.set_params(output="code")
        own = dim.transform_views(
            data.X[held_out], 2, augment=dim.augment, max_samples=600, random_state=0
        )
        dim.set_params(output="components")
        features, test = dim.transform(data.X[labelled]), dim.transform(data.X_test[:1000])
        rows = [np.searchsorted(labelled, draw) for draw in draws]
        few = [fit_and_score(features[i], y[labelled[i]], test, y_test[:1000])[0] for i in rows]
        return {
            "score": dim.score(data.X[held_out]),
            "shared dimension": shared_dimension(own),
            "view retrieval": view_retrieval(own),
            "view agreement": view_agreement(own),
            "few": float(np.mean(few)),
        }

    n_epochs = min(120, max(N_LOOKS, round(N_SHOWN / len(fitted_on))))
    looks = np.unique(np.linspace(1, n_epochs, N_LOOKS).round().astype(int)) - 1
    look = Look(measure, set(looks.tolist()))
    params = {**data.params, **SETTINGS[setting], "max_epochs": n_epochs}
    DIMTransformer(random_state=0, **params).set_callbacks(look).fit(data.X[fitted_on])
    return {"epochs": n_epochs, "looks": look.results}


def regrets(cell: dict) -> dict[str, float]:
    """What each choice of an epoch loses to the best, in accuracy."""
    looks = cell["looks"]
    truth = np.array([look["few"] for look in looks])
    chosen = {"last epoch": len(looks) - 1}
    for name in WATCHED:
        chosen[name] = int(np.argmax([look[name] for look in looks]))
    return {name: float(truth.max() - truth[i]) for name, i in chosen.items()}


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--data", nargs="+", default=DATA)
    parser.add_argument("--jobs", type=int, default=1, help="fits at the same time")
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    cells = Cells("early_stopping", fresh=arguments.fresh)
    keys = [(name, setting) for name in arguments.data for setting in SETTINGS]
    missing = [key for key in keys if "|".join(key) not in cells.cells]
    results = Parallel(arguments.jobs, return_as="generator")(
        delayed(examine)(*key) for key in missing
    )
    for key, cell in zip(missing, results, strict=True):
        cells.get("|".join(key), lambda cell=cell: cell)
    table = {"|".join(key): regrets(cells.cells["|".join(key)]) for key in keys}
    names = ("last epoch", *WATCHED)
    means = {name: float(np.mean([row[name] for row in table.values()])) for name in names}
    for setting in SETTINGS:
        print(f"\n{setting}: accuracy lost to the best epoch, in points")
        print(" " * 18 + " ".join(f"{d[:9]:>9}" for d in arguments.data))
        for name in names:
            lost = [100 * table[f"{d}|{setting}"][name] for d in arguments.data]
            print(f"{name:<18}" + " ".join(f"{x:9.2f}" for x in lost) + f" | {np.mean(lost):.2f}")
    cells.write(regrets=table, means=means)
    best = min(means[name] for name in WATCHED)
    verdict(
        {
            f"the best measure loses {best:.4f} to the best epoch, the last epoch "
            f"{means['last epoch']:.4f}": best <= means["last epoch"] + 0.005
        }
    )


if __name__ == "__main__":
    main()
