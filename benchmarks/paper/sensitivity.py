"""Claim: with few negatives infoNCE loses accuracy, and more of it than the Jensen-Shannon bound.

CIFAR-10 at 16 x 16 pixels, DIM(L) with a small encoder of the paper's kind, accuracy of the probe
on the code. Batch size, steps and batch statistics are the same everywhere. First, each positive
is compared with n negatives of its own, drawn from all local features of the other images of the
batch anew in every step; then, each code is compared with all local features of b images, its own
included. Both estimators have the same seeds, so that they are compared seed by seed; the change
per doubling is that of the least-squares line over log2 of n or b.

Cells already in results/ are not computed again: if all are known, the script only prints the
tables, as Markdown, and draws the figure.

Command: SKDIM_DATA=<folder> python -m benchmarks.paper.sensitivity
n: 8 seeds (--seeds)
Hardware: 2 cores (--jobs, one process of one thread each), no GPU
Versions: printed, and in results/
"""

import argparse
import math
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache, partial
from multiprocessing import get_context
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from torch import Tensor

from benchmarks.common import RESULTS
from benchmarks.paper.protocol import (
    Budget,
    Cells,
    Data,
    Orderings,
    arguments,
    dim,
    load,
    probe,
    timed,
)
from skdim.mutual_information import ESTIMATORS

mpl.use("Agg")
from matplotlib import pyplot as plt

LABELS = {"jsd": "JSD", "infonce": "infoNCE"}
BATCH_SIZE, N_LOCATIONS = 64, 16
N_ALL = (BATCH_SIZE - 1) * N_LOCATIONS
NEGATIVES = (1, 4, 16, 64, 256, N_ALL)
IMAGES = (2, 8, BATCH_SIZE)


class Level(NamedTuple):
    """How much a code is compared with: images, its own included, and negatives of a positive."""

    n_images: int = BATCH_SIZE
    n_negatives: int = N_ALL


# From the name of an axis of the figure to its levels; the last one of both is the same.
AXES = {
    "negatives of each positive": {n: Level(n_negatives=n) for n in NEGATIVES},
    "images that each code is compared with": {b: Level(b, (b - 1) * N_LOCATIONS) for b in IMAGES},
}
LEVELS = list(dict.fromkeys(level for levels in AXES.values() for level in levels.values()))


def limited_bound(joint: Tensor, marginal: Tensor, name: str, level: Level) -> Tensor:
    """Bound of an MI estimator at a level.

    Parameters
    ----------
    joint : Tensor of shape (..., n, n_locations)
    marginal : Tensor of shape (..., n, n - 1, n_locations)
    name : str
        Of the MI estimator.
    level : Level
        Its negatives are drawn for each positive by itself, independently and with replacement;
        if there are no more of them, all are taken.

    Returns
    -------
    bound : Tensor of shape ()
    """
    seen = marginal
    if level.n_images <= marginal.shape[-2]:
        seen = images_after_its_own(marginal, level.n_images - 1)
    every = seen.flatten(-2)  # (..., n, n_seen * n_locations)
    if level.n_negatives >= every.shape[-1]:
        return ESTIMATORS[name](joint, seen)
    shape = (*joint.shape, level.n_negatives)
    drawn = torch.randint(every.shape[-1], shape, device=every.device)
    negatives = every.gather(-1, drawn.flatten(-2)).unflatten(-1, shape[-2:])
    # To the estimator each positive is a code of its own, of one location.
    return ESTIMATORS[name](
        joint.flatten(-2).unsqueeze(-1), negatives.flatten(-3, -2).unsqueeze(-1)
    )


def images_after_its_own(marginal: Tensor, n_seen: int) -> Tensor:
    """Keep for each code the images that follow its own in the batch, which is in random order.

    Parameters
    ----------
    marginal : Tensor of shape (..., n, n - 1, n_locations)
    n_seen : int
        At most n - 1.

    Returns
    -------
    seen : Tensor of shape (..., n, n_seen, n_locations)
    """
    n, n_others = marginal.shape[-3:-1]
    first = torch.arange(n, device=marginal.device)[:, None]  # of code i, image i is left out
    following = (first + torch.arange(n_seen, device=marginal.device)) % n_others
    return marginal[..., first, following, :]


@cache
def small_images(budget: Budget) -> Data:
    """CIFAR-10 at 16 x 16 pixels, each the mean of four."""
    data = load(budget)
    halve = partial(np.mean, axis=(2, 4))
    X, X_test = (
        halve(images.reshape(-1, 16, 2, 16, 2, 3).astype(np.float32))
        for images in (data.X, data.X_test)
    )
    return data._replace(X=X, X_test=X_test)


def accuracy(budget: Budget, data: Data, name: str, level: Level, seed: int) -> dict:
    """Accuracy of the probe on codes, in percent."""
    bound = partial(limited_bound, name=name, level=level)
    model = dim(budget, "local", bound, seed, batch_size=BATCH_SIZE).fit(data.X)
    codes, codes_test = (model.transform(X) for X in (data.X, data.X_test))
    return {"Y": probe(budget, codes, data.y, codes_test, data.y_test, seed)}


def run_cell(budget: Budget, name: str, level: Level, seed: int) -> dict:
    """One cell, in a process of its own."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    data = small_images(budget)
    return timed(partial(accuracy, budget, data, name, level, seed))


def key_of(name: str, level: Level, seed: int) -> str:
    return f"{name}|images {level.n_images}|negatives {level.n_negatives}|seed {seed}"


def fill(cells: Cells, budget: Budget, n_jobs: int) -> None:
    """Compute the cells that are missing, seed by seed, and write each as it ends."""
    missing = [
        (name, level, seed)
        for seed in range(budget.n_seeds)
        for level in LEVELS
        for name in LABELS
        if key_of(name, level, seed) not in cells.cells
    ]
    if not missing:
        return
    with ProcessPoolExecutor(n_jobs, get_context("spawn")) as pool:
        running = {pool.submit(run_cell, budget, *what): what for what in missing}
        for done in as_completed(running):
            key = key_of(*running[done])
            cells.add(key, done.result())
            print(f"{key}: {cells.cells[key]['Y']:.2f}", flush=True)


class Lines(NamedTuple):
    """Accuracies (n_levels, n_seeds) of an estimator, and their changes per doubling (n_seeds,)."""

    accuracies: np.ndarray
    changes: np.ndarray


def read(cells: Cells, n_seeds: int) -> dict[str, dict[str, Lines]]:
    """Return the lines of each axis and estimator."""
    results: dict[str, dict[str, Lines]] = {}
    for axis, levels in AXES.items():
        results[axis] = {}
        for name in LABELS:
            accuracies = np.array(
                [
                    [cells.cells[key_of(name, level, seed)]["Y"] for seed in range(n_seeds)]
                    for level in levels.values()
                ]
            )
            results[axis][name] = Lines(accuracies, changes_per_doubling(list(levels), accuracies))
    return results


def changes_per_doubling(counts: list[int], accuracies: np.ndarray) -> np.ndarray:
    """Fit a line over log2 of the counts to each column: (n_levels, n_seeds) to (n_seeds,)."""
    return np.polyfit(np.log2(counts), accuracies, 1)[0]


def with_error(values: np.ndarray) -> str:
    """Mean over seeds, and its standard error."""
    return f"{values.mean():.2f} +- {standard_error(values):.2f}"


def standard_error(values: np.ndarray) -> float:
    return values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def table(axis: str, lines: dict[str, Lines]) -> Iterator[str]:
    """Yield the lines of a Markdown table: mean over seeds and standard error."""
    counts = [str(count) for count in AXES[axis]]
    yield f"| {axis} | " + " | ".join(counts) + " | change per doubling |"
    yield "|---" * (len(counts) + 2) + "|"
    rows = {label: lines[name] for name, label in LABELS.items()}
    rows["infoNCE - JSD"] = Lines(
        *(b - a for a, b in zip(lines["jsd"], lines["infonce"], strict=True))
    )
    for label, row in rows.items():
        numbers = [with_error(values) for values in (*row.accuracies, row.changes)]
        yield f"| {label} | " + " | ".join(numbers) + " |"


def draw(results: dict[str, dict[str, Lines]], n_seeds: int, path) -> None:
    """One panel an axis: accuracy against its levels, with standard errors."""
    figure, axes = plt.subplots(
        1, len(AXES), figsize=(9, 3.6), sharey=True, squeeze=False, layout="constrained"
    )
    for panel, (axis, lines) in zip(axes[0], results.items(), strict=True):
        counts = list(AXES[axis])
        for marker, (name, label) in zip("os", LABELS.items(), strict=True):
            values, changes = lines[name]
            errors = [standard_error(v) if n_seeds > 1 else 0 for v in values]
            panel.errorbar(
                counts,
                values.mean(1),
                errors,
                marker=marker,
                capsize=3,
                label=f"{label}: {changes.mean():+.2f} points per doubling",
            )
        panel.set_xscale("log", base=2)
        panel.set(xlabel=axis, xticks=counts, xticklabels=counts)
        panel.minorticks_off()
        panel.legend(fontsize=8, loc="lower right")
        panel.grid(alpha=0.3)
    axes[0, 0].set_ylabel("accuracy of the probe on the code, %")
    figure.suptitle(f"CIFAR-10 at 16 x 16 pixels, DIM(L), mean and error of {n_seeds} seeds")
    figure.savefig(path, dpi=110)


def add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")


def main():
    options, budget = arguments(
        __doc__, add_jobs, n_train=6400, n_test=10_000, n_epochs=6, n_seeds=8, learning_rate=1e-3
    )
    cells = Cells("sensitivity", options, budget)
    fill(cells, budget, options.jobs)
    results = read(cells, budget.n_seeds)
    for axis, lines in results.items():
        print(f"\nAccuracy in percent, mean of {budget.n_seeds} seeds and its standard error:\n")
        print("\n".join(table(axis, lines)))
    path = RESULTS / f"paper_sensitivity_{options.budget}.png"
    draw(results, budget.n_seeds, path)
    print(
        f"\nfigure: {path.name}, next to the results; seconds of all cells: {cells.seconds():.0f}"
    )
    orderings = Orderings()
    for axis, lines in results.items():
        jsd, infonce = lines["jsd"].changes, lines["infonce"].changes
        orderings.check_gaps(f"infoNCE gains with more {axis}", infonce)
        orderings.check_gaps(f"it gains more than JSD with more {axis}", infonce - jsd)
    orderings.end()


if __name__ == "__main__":
    main()
