"""The paper's tables and figures compared with ours, as a Markdown table made from ``results/``.

A line's status is "ordering holds" if all orderings that its script asserts exceed two standard
errors, "contradicted" if one is reversed, and "unresolved" otherwise. Numbers are those of the
reduced protocol; the paper's are in brackets, with [R] if they are recalled and unverified.

Command: python -m benchmarks.paper.summary --write
n: that of each script
Hardware: any; seconds
Versions: any
"""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.common import RESULTS, ROOT, argument_parser
from benchmarks.paper import coordinates, crops, independence, measures, sensitivity, table1
from benchmarks.paper.protocol import outcome_of
from skdim.priors import PRIORS

PAGE = ROOT / "docs" / "paper.md"
BEGIN, END = "<!-- table of the paper's results: begin -->", "<!-- end -->"
HEAD = (
    "| the paper | `python -m benchmarks.paper.` | status | ours at the small budget (paper) "
    "| full budget, expected GPU hours |\n|---|---|---|---|---|"
)

# Gaps between what is compared: a series by seed, or (higher, lower) of unequal origin.
Gap = tuple[str, np.ndarray] | tuple[str, np.ndarray, np.ndarray]


class Summary(NamedTuple):
    """What the cells of a script say: orderings, and numbers to show."""

    gaps: list[Gap]
    shown: str


class Line(NamedTuple):
    """A table or figure of the paper; ``summarise`` is None if there is nothing to run."""

    what: str
    command: str
    result: str
    hours: str
    summarise: Callable[[dict], Summary] | None


def by_seed(cells: dict, key: str, column: str) -> np.ndarray:
    """Return a number from the cells of all seeds; an empty array if nothing was measured."""
    values: list[float] = []
    while (cell := cells.get(key.format(len(values)))) is not None:
        values.append(np.mean(cell[column]))
    return np.array(values)


def gaps_by_seed(higher: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Subtract numbers of the same seeds, as many as both have."""
    n = min(len(higher), len(lower))
    return higher[:n] - lower[:n]


def show(values: np.ndarray, digits: int = 1) -> str:
    """Return the mean as text."""
    return f"{values.mean():.{digits}f}" if len(values) else "not run"


def summarise_table1(name: str, cells: dict) -> Summary:
    """Accuracies of a data set."""

    def series(model: str, layer: str) -> np.ndarray:
        return by_seed(cells, f"{name}, {model}, seed {{}}", layer)

    gaps: list[Gap] = [
        (f"{higher} over {lower}, {layer}", series(higher, layer), series(lower, layer))
        for higher, lower, layers in table1.ORDERINGS
        for layer in layers
    ]
    shown = [
        f"{model} {show(series(model, 'conv'))} ({table1.PUBLISHED[name][model][0]})"
        for model in ("DIM(L) infoNCE", "DIM(L) JSD", "DIM(G)", "VAE", table1.SUPERVISED)
    ]
    return Summary(gaps, "conv: " + ", ".join(shown))


def summarise_crops(cells: dict) -> Summary:
    """Local maps of trained and untrained networks."""
    trained, untrained = (
        {name: by_seed(cells, f"{name}, no prior|{how}|{{}}", "local map") for name in crops.ROWS}
        for how in ("trained", "untrained")
    )
    shown = [
        f"{name} {show(values)} ({crops.ROWS[name].recalled['cifar10']} [R])"
        for name, values in trained.items()
    ]
    gaps: list[Gap] = [
        (f"{name} over no training", trained[name], untrained[name]) for name in trained
    ]
    return Summary(gaps, ", ".join(shown))


def summarise_measures(cells: dict) -> Summary:
    """SVM, MS-SSIM, MINE and NDM."""

    def series(model: str, measure: str) -> np.ndarray:
        return by_seed(cells, f"{model}, seed {{}}", measure)

    gaps: list[Gap] = [
        (f"{measure} of {higher} over {lower}", series(higher, measure), series(lower, measure))
        for measure, higher, lower in measures.ORDERINGS
    ]
    shown = []
    for model in ("DIM(L)", "VAE"):
        paper = measures.PUBLISHED[model]
        for name, published in (("SVM conv", paper.svm[0][0]), ("NDM", paper.ndm)):
            shown.append(f"{name} of {model} {show(series(model, name))} ({published})")
    return Summary(gaps, ", ".join(shown))


def summarise_coordinates(cells: dict) -> Summary:
    """Codes with coordinates and occlusion over those without."""
    codes = {row: by_seed(cells, f"{row}|{{}}", "Y") for row in coordinates.ROWS}
    gaps: list[Gap] = [(f"{row} over DIM", codes[row], codes["DIM"]) for row in list(codes)[1:]]
    shown = [
        f"{row} {show(values)} ({coordinates.PUBLISHED[row]['Y']})" for row, values in codes.items()
    ]
    return Summary(gaps, "Y: " + ", ".join(shown))


def summarise_sensitivity(axis: str, cells: dict) -> Summary:
    """Changes per doubling along an axis of the figure."""
    levels = sensitivity.AXES[axis]
    changes = {}
    for name in sensitivity.LABELS:
        keys = [sensitivity.key_of(name, level, "{}") for level in levels.values()]
        columns = [by_seed(cells, key, "Y") for key in keys]
        accuracies = np.array([column[: min(map(len, columns))] for column in columns])
        is_known = accuracies.size > 0
        fit = sensitivity.changes_per_doubling
        changes[name] = fit(list(levels), accuracies) if is_known else np.array([])
    gain = gaps_by_seed(changes["infonce"], changes["jsd"])
    gaps: list[Gap] = [
        ("infoNCE gains with more", changes["infonce"]),
        ("more than JSD", gain),
    ]
    shown = [
        f"{sensitivity.LABELS[name]} {sensitivity.with_error(values)}"
        for name, values in changes.items()
        if len(values)
    ]
    return Summary(gaps, "points per doubling: " + ", ".join(shown))


def summarise_priors(cells: dict) -> Summary:
    """Distances of components to the prior, without and with it."""
    distances = {
        (name, weight): by_seed(cells, f"{name}|{weight}|{{}}", "distance")
        for name in PRIORS
        for weight in (0.0, 1.0)
    }
    gaps: list[Gap] = [
        (f"farther from {name} without it", distances[name, 0.0], distances[name, 1.0])
        for name in PRIORS
    ]
    shown = [
        f"{name} {show(distances[name, 0.0], 2)} to {show(distances[name, 1.0], 2)}"
        for name in PRIORS
    ]
    return Summary(gaps, "distance to the prior, weight 0 to 1: " + ", ".join(shown))


def summarise_weights(cells: dict) -> Summary:
    """Accuracy with a local weight of 1 and of 0, if the global weight is not 0."""
    accuracy = {
        (weight, *pair): value
        for weight in ("0.0", "0.1", "1.0")
        if f"prior {weight}" in cells
        for pair, value in zip(
            map(tuple, cells[f"prior {weight}"]["pairs"]),
            cells[f"prior {weight}"]["accuracy"],
            strict=True,
        )
    }
    with_local, without = (
        np.array([v for (_, a, b), v in accuracy.items() if a and b == local])
        for local in (1.0, 0.0)
    )
    gap: Gap = ("a local weight of 1 over none", with_local, without)
    return Summary([gap], f"accuracy {show(with_local)} with, {show(without)} without it")


def summarise_independence(method: str, cells: dict) -> Summary:
    """Dependence of the codes of a method."""
    values = independence.METHODS[method][1]
    ndm = {v: by_seed(cells, f"{method} {v:g}|{{}}", "NDM") for v in values}
    gaps: list[Gap] = [
        (f"NDM falls from {low:g} to {high:g}", gaps_by_seed(ndm[low], ndm[high]))
        for low, high in independence.STEPS[method]
    ]
    shown = [f"{value:g}: {show(series)}" for value, series in ndm.items()]
    return Summary(gaps, "NDM of squashed codes in nats, by " + method + " " + ", ".join(shown))


def summarise_neighbors(cells: dict) -> Summary:
    """Share of neighbours of the same class."""
    ours, vae = (by_seed(cells, f"{m}|{{}}", "same class") for m in ("DIM(L) infoNCE", "VAE"))
    shown = f"neighbours of the same class: DIM(L) {show(ours)} %, VAE {show(vae)} %"
    return Summary([("DIM(L) over VAE", gaps_by_seed(ours, vae))], shown)


def summarise_jsd(record: dict) -> Summary:
    """The rank correlation, and whether the bound of Gaussian pairs rises."""
    rising = np.diff(record["bound"])
    correlation = record["rank correlation"]
    return Summary(
        [("the bound rises", np.full(2, rising.min()))], f"rank correlation {correlation:.3f}"
    )


LINES = (
    Line("Table 1, CIFAR-10", "table1", "table1", "50", partial(summarise_table1, "CIFAR-10")),
    Line(
        "Table 1, CIFAR-100",
        "folders --data cifar100 --folder F",
        "cifar100",
        "50",
        partial(summarise_table1, "CIFAR-100"),
    ),
    Line(
        "Table 2, Tiny ImageNet",
        "folders --data tiny_imagenet --folder F",
        "tiny_imagenet",
        "80",
        partial(summarise_table1, "Tiny ImageNet"),
    ),
    Line(
        "Table 2, STL-10",
        "folders --data stl10 --folder F",
        "stl10",
        "80",
        partial(summarise_table1, "STL-10"),
    ),
    Line("Table 3, CPC on strided crops", "crops", "crops", "80", summarise_crops),
    Line("Table 4, measures on CIFAR-10", "measures", "measures", "30", summarise_measures),
    Line(
        "Table 5, coordinates and occlusion, CIFAR-10",
        "coordinates",
        "coordinates",
        "20",
        summarise_coordinates,
    ),
    Line(
        "Accuracy against negatives",
        "sensitivity",
        "sensitivity",
        "-",
        partial(summarise_sensitivity, "negatives of each positive"),
    ),
    Line(
        "Accuracy against images compared",
        "sensitivity",
        "sensitivity",
        "-",
        partial(summarise_sensitivity, "images that each code is compared with"),
    ),
    Line("Weights of the objective", "weights", "weights", "40", summarise_weights),
    Line("Histograms of codes", "priors", "priors", "25", summarise_priors),
    Line(
        "NDM against the prior's weight",
        "independence --epochs 60",
        "independence",
        "30",
        partial(summarise_independence, "DIM(L), prior weight"),
    ),
    Line(
        "NDM against beta",
        "independence --epochs 60",
        "independence",
        "30",
        partial(summarise_independence, "VAE, beta"),
    ),
    Line("JSD against mutual information", "jsd_and_information", "jsd", "-", summarise_jsd),
    Line("Nearest neighbours", "neighbors", "neighbors", "10", summarise_neighbors),
    Line("CelebA attributes; generation from a prior", "", "", "-", None),
)
FILES = {
    "jsd": "paper_jsd_and_information",
    "independence": "paper_independence_small_60_epochs",
}


def as_row(line: Line) -> str:
    """Return a line as a row of the table."""
    command = f"`{line.command}`" if line.command else "no script"
    path = RESULTS / f"{FILES.get(line.result, f'paper_{line.result}_small')}.json"
    status, shown = "not run", ""
    if line.summarise is not None and path.exists():
        record = json.loads(path.read_text())
        summary = line.summarise(record.get("cells", record))
        status, shown = status_of(summary.gaps), summary.shown
    return f"| {line.what} | {command} | {status} | {shown} | {line.hours} |"


def status_of(gaps: list[Gap]) -> str:
    """Return the status of a line, with the orderings that do not hold."""
    outcomes: dict[str, list[str]] = {}
    for claim, *numbers in gaps:
        is_known = all(len(series) for series in numbers)
        outcome = outcome_of(*numbers)[0].split()[0] if is_known else "not run"
        outcomes.setdefault(outcome, []).append(claim)
    n_held = len(outcomes.get("holds", []))
    counts = f"({n_held} of {len(gaps)})"
    if n_held == len(gaps):
        return f"ordering holds {counts}"
    contradicted = outcomes.get("CONTRADICTED", [])
    if contradicted:
        return f"**contradicted**: {'; '.join(contradicted)} ({n_held} of {len(gaps)} hold)"
    if len(outcomes.get("not run", [])) == len(gaps):
        return "not run"
    unknown = [f"unresolved: {'; '.join(claims)}"] if (claims := outcomes.get("unresolved")) else []
    unknown += [f"not run: {len(claims)}"] if (claims := outcomes.get("not run")) else []
    return f"{', '.join(unknown)} ({n_held} of {len(gaps)} hold)"


def page_with(table: str, page: str) -> str:
    """Return the page with the table between its marks."""
    marked = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return marked.sub(lambda _: f"{BEGIN}\n{table}\n{END}", page)


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    table = "\n".join([HEAD, *map(as_row, LINES)])
    print(table)
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(page_with(table, page), encoding="utf-8")


if __name__ == "__main__":
    main()
