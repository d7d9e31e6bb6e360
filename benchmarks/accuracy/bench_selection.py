"""Claim: without labels, one measure orders settings much as accuracy on the test part does.

Random settings on nine data sets of all kinds: MI estimator, weights, learning rate, optimiser,
batch size, locations, budget, views and encoder. Each is fitted three times, on two thirds of the
training part. Measures without labels see the last third; the truth is the accuracy of
LogisticRegression on the test part, with all labels of the training part and with five a class
(mean of ten draws). Values are means over the three fits.

For each measure: Spearman's rank correlation with the truth over the settings of a data set, the
95 % interval of its mean over data sets (bootstrap of settings), and the regret: the accuracy that
the setting which it ranks first loses to the best one, as a share of the range of accuracies. For
comparison, settings are also chosen by 50 labels (`few_labels_scorer`, mean of three draws of
labels). The seconds that a measure takes are printed as a share of those of the fit. All settings
are measured on the same views, the default ones; correlations on the views that each setting was
trained with stand below. The truth of one fit against that of another shows what any measure can
reach.

One measure is chosen on the first, third, fifth ... data set, and evaluated on the others. Every
cell is written when it is computed; run again, the command continues. With ``--keep`` the features
stay in a folder, and another measure needs no new fit.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_selection --jobs 2
n: 24 settings, 3 fits each, 9 data sets
Hardware: 2 cores of an AMD EPYC (Zen 4), a fit on each, no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import time
import warnings
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy.stats import spearmanr
from sklearn.model_selection import KFold
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks.accuracy.bench_tables import TABLES
from benchmarks.common import Cells, argument_parser, fit_and_score, verdict
from benchmarks.datasets import DATASETS, Data, load
from skdim import DIMTransformer, augmentation, evaluation
from skdim.evaluation import few_labels_scorer

DATA = (
    "digits",
    "cifar10-5k",
    "OSULeaf",
    "wine_quality",
    "grey-cifar10-5k",
    "JapaneseVowels",
    "letter",
    "ACSF1",
    "clusters",
)
CHOSEN_ON, CONFIRMED_ON = DATA[::2], DATA[1::2]

NAMED = ("score", "view agreement", "shared dimension", "50 labels")

N_SETTINGS, N_FITS = 24, 3
N_TRAINING, N_TEST = 5000, 2000  # samples at most
N_SHOWN = 30_000  # samples that a full budget shows, and rows twice as many
N_LABELS = 50


def chain(*functions):
    """Return one augmentation that applies several in turn."""

    def augment(batch, generator):
        for function in functions:
            batch = function(batch, generator)
        return batch

    return augment


SMALL_IMAGES = (
    "auto",
    partial(augmentation.move, degrees=5, scale=0.05, shift=0.04),
    partial(augmentation.move, degrees=45, scale=0.4, shift=0.3),
    chain(augmentation.crop_and_flip, augmentation.jitter_contrast),
)
VIEWS = {
    "images": (
        "auto",
        partial(augmentation.crop_and_flip, smallest=0.8),
        chain(
            partial(augmentation.crop_and_flip, smallest=0.08),
            partial(augmentation.jitter_contrast, strength=0.8),
        ),
        augmentation.move,
    ),
    "signals": (
        "auto",
        chain(
            partial(augmentation.crop_and_warp, smallest=0.9, warp=0.05),
            partial(augmentation.jitter_amplitudes, scale=0.05, noise=0.02),
        ),
        chain(
            partial(augmentation.crop_and_warp, smallest=0.3, warp=0.5),
            partial(augmentation.jitter_amplitudes, scale=0.5, noise=0.5),
        ),
        augmentation.jitter_amplitudes,
    ),
    "rows": (
        "auto",
        partial(augmentation.jitter_cells, noise=0.1),
        partial(augmentation.jitter_cells, noise=1.0),
        augmentation.swap_cells,
    ),
}
# The default, a narrower one, and one without fixed features (tables: a wider one).
ENCODERS = {
    "images": (None, {"width": 32, "n_hidden": 512}, {"n_patches": 0}),
    "signals": (None, {"width": 8, "n_hidden": 128}, {"n_thresholds": 0}),
    "rows": (None, {"width": 64, "n_hidden": 128}, {"width": 512, "n_hidden": 2048}),
}

# A setting has one value of each, drawn at random; weights are local, global and prior.
CHOICES = {
    "mi_estimator": ("infonce", "jsd", "dv", "nwj"),
    "weights": ((1, 0, 0), (1, 0, 0), (1, 0, 0.1), (1, 1, 0), (0, 1, 1), (0.3, 1, 0.1)),
    "learning_rate": (1e-4, 5e-4, 2e-3, 1e-2),
    "optimizer": ("muon", "adamw", "sgd"),
    "batch_size": (32, 128, 256),
    "n_locations": (None, 1, 4),
    "budget": (0.03, 0.15, 0.5),
    "views": (0, 0, 1, 2, 3),
    "encoder": (0, 1, 2),
}

MEASURES = {
    "view agreement": evaluation.view_agreement,
    "view retrieval": evaluation.view_retrieval,
    "view nearest neighbour": evaluation.view_nearest_neighbor,
    "neighbour overlap": evaluation.neighbor_overlap,
    "shared dimension": evaluation.shared_dimension,
    "LiDAR": evaluation.lidar,
    "effective rank": lambda views: evaluation.effective_rank(views[0]),
    "alpha-ReQ": lambda views: -abs(evaluation.alpha_req(views[0]) - 1),
}


def draw(number: int) -> dict:
    """Return one setting, the same on every data set."""
    rng = np.random.default_rng([11, number])
    return {name: values[rng.integers(len(values))] for name, values in CHOICES.items()}


def load_part(name: str) -> Data:
    """A data set, or a part of it; columns of tables are standardised."""
    data = load(name) if name in DATASETS else Data("rows", *TABLES[name]()[:4])
    rng = np.random.default_rng(0)
    train = rng.permutation(len(data.X))[:N_TRAINING]
    test = rng.permutation(len(data.X_test))[:N_TEST]
    X, X_test = data.X[train], data.X_test[test]
    if data.kind == "rows":
        scaler = StandardScaler().fit(X)
        X, X_test = scaler.transform(X), scaler.transform(X_test)
    return Data(data.kind, X, data.y[train], X_test, data.y_test[test])


def params(data: Data, number: int, n_samples: int) -> dict:
    """Return the parameters of `DIMTransformer` that a setting means on this data set."""
    setting = draw(number)
    is_small = data.kind == "images" and data.X.shape[1] < augmentation.CROPPED_SIDE
    views = SMALL_IMAGES if is_small else VIEWS[data.kind]
    local, global_, prior = setting.pop("weights")
    n_shown = setting.pop("budget") * N_SHOWN * (2 if data.kind == "rows" else 1)
    return {
        **data.params,
        "local_weight": local,
        "global_weight": global_,
        "prior_weight": prior,
        "augment": views[setting.pop("views")],
        "encoder_params": ENCODERS[data.kind][setting.pop("encoder")],
        "max_epochs": min(60, max(1, round(n_shown / n_samples))),
        **setting,
    }


def fit(data: Data, number: int, seed: int) -> dict[str, np.ndarray]:
    """Fit one setting; return features of the training and test part, and of views of the rest."""
    folds = KFold(N_FITS, shuffle=True, random_state=0)
    fitted_on, held_out = list(folds.split(data.X))[seed]
    begin = time.perf_counter()
    dim = DIMTransformer(random_state=seed, **params(data, number, len(fitted_on)))
    try:
        dim.fit(data.X[fitted_on])
    except FloatingPointError:
        return {"diverged": np.array(True)}
    end = time.perf_counter()
    views = dim.transform_views(data.X[held_out], max_samples=600, random_state=0)
    views_end = time.perf_counter()
    score = dim.score(data.X[held_out])
    return {
        "score": np.array(score),
        "seconds": np.array([end - begin, views_end - end, time.perf_counter() - views_end]),
        "features": dim.transform(data.X),
        "test": dim.transform(data.X_test),
        "views": views,
        "own_views": dim.transform_views(
            data.X[held_out], augment=dim.augment, max_samples=600, random_state=0
        ),
        "held_out": held_out,
    }


def measures_of(views: np.ndarray) -> dict[str, float]:
    """Return all measures of features of views, (n_views, n, n_features)."""
    return {name: float(function(views)) for name, function in MEASURES.items()}


def measure(data: Data, results: dict[str, np.ndarray]) -> dict:
    """Return the measures of one fit, their seconds as a share of the fit's, and the truth."""
    if "diverged" in results:
        return {"diverged": True}
    fit_seconds, views_seconds, score_seconds = results["seconds"]
    values, seconds = {"score": float(results["score"])}, {"score": score_seconds}
    for name, function in MEASURES.items():
        begin = time.perf_counter()
        values[name] = float(function(results["views"]))
        seconds[name] = time.perf_counter() - begin + views_seconds
    y, y_test = numbered_labels(data)
    rng = np.random.default_rng(0)
    few = [five_per_class(y, rng) for _ in range(10)]
    chosen = [rng.permutation(len(y))[:N_LABELS] for _ in range(3)]
    X, X_test = results["features"], results["test"]
    return {
        "measures": values,
        "on own views": measures_of(results["own_views"]),
        "share of the fit": {name: float(s / fit_seconds) for name, s in seconds.items()},
        "50 labels": [few_labels_scorer(FunctionTransformer(), X[i], y[i]) for i in chosen],
        "few": float(np.mean([fit_and_score(X[i], y[i], X_test, y_test)[0] for i in few])),
        "all": fit_and_score(X, y, X_test, y_test, max_iter=300)[0],
    }


def numbered_labels(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the training and of the test part as numbers from 0."""
    classes = np.unique(data.y)
    return np.searchsorted(classes, data.y), np.searchsorted(classes, data.y_test)


def five_per_class(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([rng.permutation(np.flatnonzero(y == c))[:5] for c in np.unique(y)])


def examine(name: str, number: int, seed: int, folder: Path | None) -> dict:
    """Return a cell; fit, unless features were kept in the folder."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    data = load_part(name)
    file = None if folder is None else folder / f"{name}-{number}-{seed}.npz"
    if file is not None and file.exists():
        with np.load(file) as arrays:
            return measure(data, dict(arrays))
    results = fit(data, number, seed)
    if file is not None:
        np.savez(file, **results)
    return measure(data, results)


def values(cells: dict, data: str, read) -> np.ndarray:
    """Mean over fits of what ``read`` takes from a cell, for every setting: (n_settings, ...)."""
    settings = []
    for number in range(N_SETTINGS):
        fits = [cells.get(f"{data}|{number}|{seed}") for seed in range(N_FITS)]
        if all(fits) and not any("diverged" in cell for cell in fits):
            settings.append(np.mean([read(cell) for cell in fits], axis=0))
    return np.array(settings)


def values_in(cell: dict, name: str) -> list[float]:
    """Return the values of a measure in a cell: one, or one for each draw of 50 labels."""
    return cell["50 labels"] if name == "50 labels" else [cell["measures"][name]]


def correlations_on_own_views(cells: dict, truths: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean rank correlation of measures on the views that each setting was trained with."""
    correlations = {name: [] for name in MEASURES}
    for data, truth in truths.items():
        measured = values(cells, data, lambda cell: [cell["on own views"][m] for m in MEASURES])
        for name, column in zip(MEASURES, measured.T, strict=True):
            correlations[name].append(spearmanr(column, truth).statistic)
    return {name: float(np.mean(each).round(4)) for name, each in correlations.items()}


def agreement(cells: dict, data: str, truth: str) -> float:
    """Mean rank correlation of the truth of one fit of all settings with that of another fit."""
    fits = []
    for seed in range(N_FITS):
        fit_cells = [cells[f"{data}|{number}|{seed}"] for number in range(N_SETTINGS)]
        fits.append([cell.get(truth, np.nan) for cell in fit_cells])
    pairs = combinations(np.array(fits), 2)
    return float(np.mean([spearmanr(a, b, nan_policy="omit").statistic for a, b in pairs]))


def regret(measure: np.ndarray, truth: np.ndarray) -> float:
    """What the setting with the highest measure loses, as a share of the range of the truth."""
    return float((truth.max() - truth[measure.argmax()]) / np.ptp(truth))


def interval(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """95 % interval of the mean rank correlation over data sets: settings drawn anew, 500 times."""
    rng = np.random.default_rng(0)
    means = []
    for _ in range(500):
        drawn = [(pair, rng.integers(len(pair[0]), size=len(pair[0]))) for pair in pairs]
        means.append(np.mean([spearmanr(x[i], y[i]).statistic for (x, y), i in drawn]))
    return np.percentile(means, [2.5, 97.5]).round(3).tolist()


def compare(cells: dict, data: list[str], truth: str) -> dict:
    """Return correlation, its interval, regret and what is chosen, for every measure."""
    truths = [values(cells, d, lambda cell: cell[truth]) for d in data]
    table = {}
    for name in ("score", *MEASURES, "50 labels"):
        read = partial(values_in, name=name)
        drawn = [values(cells, d, read).T for d in data]  # (n_draws, n_settings) each
        both = list(zip(drawn, truths, strict=True))
        rows = {
            "correlation": [np.mean([spearmanr(m, t).statistic for m in ms]) for ms, t in both],
            "regret": [np.mean([regret(m, t) for m in ms]) for ms, t in both],
            "chosen": [np.mean([t[m.argmax()] for m in ms]) for ms, t in both],
        }
        table[name] = {
            key: dict(zip(data, np.round(row, 4).tolist(), strict=True))
            for key, row in rows.items()
        }
        table[name]["interval"] = interval([(ms[0], t) for ms, t in both])
    table["on own views"] = correlations_on_own_views(cells, dict(zip(data, truths, strict=True)))
    table["agreement"] = {d: round(agreement(cells, d, truth), 4) for d in data}
    extremes = [(t.min(), np.median(t), t.max()) for t in truths]
    table["worst, median, best"] = dict(zip(data, np.round(extremes, 4).tolist(), strict=True))
    return table


def mean_over(row: dict[str, float], data) -> float:
    return float(np.mean([row[d] for d in data]))


def report(cells: Cells, data: list[str]) -> None:
    """Print and write the tables of both truths; say whether the claim holds."""
    tables = {truth: compare(cells.cells, data, truth) for truth in ("few", "all")}
    names = ("score", *MEASURES, "50 labels")
    for truth, table in tables.items():
        print(f"\n{truth} labels: rank correlation by data set; mean (interval); mean regret")
        print(" " * 24 + " ".join(f"{d[:9]:>9}" for d in data))
        for name in names:
            each = " ".join(f"{r:9.2f}" for r in table[name]["correlation"].values())
            mean = mean_over(table[name]["correlation"], data)
            low, high = table[name]["interval"]
            lost = mean_over(table[name]["regret"], data)
            print(f"{name:<24}{each} | {mean:5.2f} ({low:.2f} to {high:.2f}) | {lost:.2f}")
        each = " ".join(f"{r:9.2f}" for r in table["agreement"].values())
        print(f"{'truth of another fit':<24}{each} | {mean_over(table['agreement'], data):5.2f}")
        print("on views of the setting's own, mean rank correlation:", table["on own views"])
        print(f"accuracy: worst, median and best setting; chosen by {', '.join(NAMED)}")
        for d in data:
            row = [*table["worst, median, best"][d]]
            row += [table[name]["chosen"][d] for name in NAMED]
            print(f"{d:<24}" + " ".join(f"{x:9.3f}" for x in row))
        for name in NAMED:
            best = np.array([table["worst, median, best"][d][2] for d in data])
            lost = best - [table[name]["chosen"][d] for d in data]
            print(f"{name} loses {100 * lost.mean():.1f} points in the mean")
    finished = [cell for cell in cells.cells.values() if "few" in cell]
    shares = {
        name: float(np.median([cell["share of the fit"][name] for cell in finished]))
        for name in ("score", *MEASURES)
    }
    print("seconds of a measure as a share of the fit, median:", shares)
    cells.write(tables=tables, shares=shares)
    if set(data) == set(DATA):
        verdict(claims(tables["few"], shares))


def claims(table: dict, shares: dict[str, float]) -> dict[str, bool]:
    """Claims about the measure that is best on half of the data sets, and whether they hold."""
    best = max(MEASURES, key=lambda name: mean_over(table[name]["correlation"], CHOSEN_ON))
    correlations = [table[best]["correlation"][d] for d in CONFIRMED_ON]
    mean, lowest = float(np.mean(correlations)), min(correlations)
    lost = mean_over(table[best]["regret"], CONFIRMED_ON)
    return {
        f"{best}, best on half of the data sets, has at least 0.55 on the others: {mean:.2f}": (
            mean >= 0.55
        ),
        f"it has more than 0 on each of them: {lowest:.2f}": lowest > 0,
        f"its regret there is at most 0.15: {lost:.2f}": lost <= 0.15,
        f"it takes at most a tenth of the fit: {shares[best]:.3f}": shares[best] <= 0.1,
    }


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--data", nargs="+", default=DATA)
    parser.add_argument("--jobs", type=int, default=1, help="fits at the same time")
    parser.add_argument("--keep", type=Path, help="folder for features of the fits")
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    cells = Cells("selection", fresh=arguments.fresh)
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    keys = [(d, k, s) for s in range(N_FITS) for d in arguments.data for k in range(N_SETTINGS)]
    missing = [key for key in keys if "|".join(map(str, key)) not in cells.cells]
    jobs = Parallel(arguments.jobs, return_as="generator")
    results = jobs(delayed(examine)(*key, arguments.keep) for key in missing)
    for key, cell in zip(missing, results, strict=True):
        cells.get("|".join(map(str, key)), lambda cell=cell: cell)
        print(key, cell.get("few", "diverged"), flush=True)
    report(cells, arguments.data)


if __name__ == "__main__":
    main()
