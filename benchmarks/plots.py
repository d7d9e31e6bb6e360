"""Pictures of the benchmarks: accuracy against labels and against time, ours next to others'.

They are drawn from the files under ``results/`` and show nothing else. Each is one SVG file under
``docs/_static/plots/``. ``accuracy.svg``, for the README, shows what training adds to many samples
with few labels; ``labels.svg`` shows smaller sets, and tables.

Command: python -m benchmarks.plots
n: 3 seeds (photographs: 1)
Hardware: that of the files, 2 cores of an AMD EPYC (Zen 4), no GPU
"""

import json
from typing import NamedTuple

import matplotlib as mpl
import numpy as np

from benchmarks.common import RESULTS, ROOT

FOLDER = ROOT / "docs" / "_static" / "plots"

# Data sets of signals that have ten labels a class.
SIGNALS = ("OSULeaf", "ACSF1", "ItalyPowerDemand", "ArrowHead", "GunPoint")
SIGNALS += ("BasicMotions", "JapaneseVowels")

STYLES = {
    "skdim": {"color": "tab:orange", "linewidth": 3, "zorder": 3},
    "untrained": {"color": "tab:orange", "linestyle": "--", "zorder": 2},
    "raw": {"color": "0.5"},
    "PCA": {"color": "tab:blue"},
    "k-means patches": {"color": "tab:green"},
    "MiniRocket": {"color": "tab:green"},
    "autoencoder": {"color": "tab:brown"},
    "Nystroem": {"color": "tab:green"},
    "tree leaves": {"color": "tab:brown"},
    "gradient boosting": {"color": "tab:purple"},
    "log spectrogram": {"color": "tab:blue"},
    "SimCLR": {"color": "tab:purple"},
}

# Positions of names relative to their points: ours are often close to others.
ABOVE = {"xytext": (0, 7), "ha": "center", "va": "bottom"}
POSITIONS = {
    "skdim": {"xytext": (9, 0), "ha": "left", "va": "center"},
    "tree leaves": {"xytext": (0, -8), "ha": "center", "va": "top"},
    "untrained": {"xytext": (0, -8), "ha": "center", "va": "top"},
}


class Panel(NamedTuple):
    """Curves of one kind of data: names of extractors and their values."""

    title: str
    x_label: str
    y_label: str
    x: tuple[str, ...]
    curves: dict[str, np.ndarray]  # (positions of x,); or (seconds, accuracy)


def cells(name: str) -> dict[str, dict]:
    """Return the cells of ``results/<name>.json``."""
    return json.loads((RESULTS / f"{name}.json").read_text())["cells"]


def mean_over_seeds(results: dict, of: str, read) -> np.ndarray:
    """Mean of ``read(cell)`` over the seeds of "data set|extractor", or of an extractor."""
    prefix = f"{of}|"
    return np.mean([read(cell) for key, cell in results.items() if key.startswith(prefix)], axis=0)


def reader(output: str, *labels: str):
    """Return a function that reads seconds and accuracies of an output from a cell."""

    def read(cell: dict) -> list[float]:
        accuracy = cell["accuracy"][output]
        return [cell["seconds"], *(accuracy[label] for label in labels)]

    return read


def by_labels(data: str, shown: dict[str, tuple[str, str]]) -> dict[str, np.ndarray]:
    """Seconds, and accuracies with 10 and 50 labels a class and all, of extractors and outputs."""
    results, labels = cells("features"), ("linear, 10 a class", "linear, 50 a class", "linear")
    return {
        name: mean_over_seeds(results, f"{data}|{extractor}", reader(output, *labels))
        for name, (extractor, output) in shown.items()
    }


# ---- What is shown ------------------------------------------------------------------------------


def scaling() -> Panel:
    """50,000 photographs, ten labels a class: the hidden layer against minutes of training."""
    results = cells("scaling")

    def accuracy(name: str, seconds: float) -> float:
        cell = results.get(f"{name}|50000|{seconds:g} s")
        return np.nan if cell is None else cell["accuracy"]["10"]

    seconds = sorted({float(key.split("|")[2].removesuffix(" s")) for key in results})
    untrained, patches = (accuracy(name, 0) for name in ("untrained", "k-means patches"))
    curves = {
        "skdim": np.array([untrained, *(accuracy("skdim", s) for s in seconds[1:])]),
        "SimCLR": np.array([accuracy("SimCLR", s) for s in seconds]),
        "untrained": np.full(len(seconds), untrained),
        "k-means patches": np.full(len(seconds), patches),
    }
    minutes = tuple(f"{s / 60:g}" for s in seconds)
    return Panel(
        "50,000 photographs", "minutes of training", "accuracy, 100 labels", minutes, curves
    )


def sounds() -> Panel:
    """2,000 synthetic words: hidden layer and spectrogram with 200 labels and with all."""
    results = cells("oscillations")
    shown = {
        "log spectrogram": ("log spectrogram", "all"),
        "untrained": ("untrained", "hidden"),
        "skdim": ("skdim", "hidden"),
    }
    curves = {
        name: mean_over_seeds(results, extractor, lambda cell, o=output: cell["accuracy"][o])[::-1]
        for name, (extractor, output) in shown.items()
    }
    return Panel("2,000 sounds", "labels", "accuracy", ("200", "2,000"), curves)


def sensors() -> Panel:
    """2,400 windows of motion sensors: hidden layer with 60, 300 and all labels."""
    shown = {
        "raw": ("raw", ""),
        "log spectrogram": ("log spectrogram", ""),
        "MiniRocket": ("MiniRocket", ""),
        "untrained": ("untrained", " hidden"),
        "skdim": ("skdim", " hidden"),
    }
    curves = {name: values[1:] for name, values in by_labels("sensors", shown).items()}
    return Panel("2,400 readings of sensors", "labels", "accuracy", ("60", "300", "2,400"), curves)


def many_samples() -> dict[str, Panel]:
    """What training adds to many samples with few labels."""
    return {"scaling": scaling(), "sounds": sounds(), "sensors": sensors()}


def photographs() -> dict[str, np.ndarray]:
    """Seconds, and accuracies with 100, 500 and 5,000 labels."""
    shown = {
        "raw": ("raw", ""),
        "PCA": ("PCA-64", ""),
        "k-means patches": ("k-means patches", ""),
        "untrained": ("untrained", " components"),
        "skdim": ("skdim", " components"),
    }
    return by_labels("cifar10-5k", shown)


def signals(*labels: str) -> dict[str, np.ndarray]:
    """Seconds, and accuracies with some numbers of labels: means of the sets that have them."""
    results = cells("features")
    shown = {
        "raw": ("raw", ""),
        "PCA": ("PCA-64", ""),
        "autoencoder": ("autoencoder-64", ""),
        "MiniRocket": ("MiniRocket", ""),
        "untrained": ("untrained", " components"),
        "skdim": ("skdim", " components"),
    }
    sets = [
        data for data in SIGNALS if set(labels) <= set(results[f"{data}|raw|0"]["accuracy"][""])
    ]
    return {
        name: np.mean(
            [
                mean_over_seeds(results, f"{data}|{extractor}", reader(output, *labels))
                for data in sets
            ],
            axis=0,
        )
        for name, (extractor, output) in shown.items()
    }


def tables() -> dict[str, np.ndarray]:
    """Seconds, and balanced accuracies with 20 labels a class and with all: means of all tables."""
    results = cells("tables")
    shown = {
        "raw": ("columns", ""),
        "Nystroem": ("Nystroem-256", ""),
        "tree leaves": ("random tree leaves", ""),
        "gradient boosting": ("boosting", ""),
        "untrained": ("untrained", " components"),
        "skdim": ("skdim", " components"),
    }
    sets = dict.fromkeys(key.partition("|")[0] for key in results)
    return {
        name: np.mean(
            [
                mean_over_seeds(
                    results,
                    f"{data}|{extractor}",
                    lambda cell, output=output: [cell["seconds"], *cell["accuracy"][output]],
                )
                for data in sets
            ],
            axis=0,
        )
        for name, (extractor, output) in shown.items()
    }


def many_photographs() -> dict[str, np.ndarray]:
    """Seconds to the first features of 50,000 photographs, and accuracy with all labels."""
    shown = {
        "PCA": ("PCA-64", ""),
        "k-means patches": ("k-means patches", ""),
        "untrained": ("untrained", "components"),
        "skdim": ("skdim", "components"),
        "skdim, hidden layer": ("skdim", "hidden"),
    }
    results = cells("cifar10")
    return {
        name: np.array(
            [
                results[f"{extractor}|300 s|0"]["seconds to first features"],
                results[f"{extractor}|300 s|0"][output]["accuracy"],
            ]
        )
        for name, (extractor, output) in shown.items()
    }


def accuracy_against_labels() -> dict[str, Panel]:
    """Three kinds of data."""
    few_and_all = ("linear, 10 a class", "linear")
    panels = {
        "photographs": ("Colour photographs", ("100", "500", "5,000"), photographs()),
        "signals": ("Signals, mean of 5 sets", ("10 a class", "all"), signals(*few_and_all)),
        "tables": ("Tables, mean of 11", ("20 a class", "all"), tables()),
    }
    return {
        name: Panel(
            title,
            "labels",
            "balanced accuracy" if name == "tables" else "accuracy",
            x,
            {extractor: values[1:] for extractor, values in curves.items()},
        )
        for name, (title, x, curves) in panels.items()
    }


def accuracy_against_time() -> dict[str, Panel]:
    """Seconds until the features can be computed, and accuracy with all labels."""
    panels = {
        "photographs": ("5,000 colour photographs", photographs()),
        "many_photographs": ("50,000 colour photographs", many_photographs()),
        "signals": ("Signals, mean of 7 sets", signals("linear")),
        "tables": ("Tables, mean of 11", tables()),
    }
    return {
        name: Panel(
            title,
            "seconds to learn the features",
            "balanced accuracy" if name == "tables" else "accuracy",
            (),
            # gradient boosting learns no features: it has no such seconds
            {each: values[[0, -1]] for each, values in curves.items() if values[0] > 0},
        )
        for name, (title, curves) in panels.items()
    }


# ---- How it is drawn ----------------------------------------------------------------------------


def style_of(name: str) -> dict:
    """Return the style of an extractor: every picture has the same."""
    return STYLES[name.partition(",")[0]]


def draw(ax, panel: Panel) -> None:
    """Draw curves over numbers of labels, or a point for each extractor over seconds."""
    for name, values in panel.curves.items():
        if panel.x:
            ax.plot(panel.x, values, marker="o", label=name, **style_of(name))
        else:
            ax.plot(*values, "o", color=style_of(name)["color"], markersize=8)
            if name.startswith("untrained"):
                ax.plot(*values, "o", color="white", markersize=4)
            ax.annotate(
                name,
                values,
                textcoords="offset points",
                **POSITIONS.get(name.partition(",")[0], ABOVE),
                fontweight="bold" if name.startswith("skdim") else "normal",
            )
    ax.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    if panel.x:
        ax.margins(x=0.1)
        handles, names = ax.get_legend_handles_labels()
        order = np.argsort([-np.nanmax(panel.curves[name]) for name in names])
        ax.legend(
            [handles[k] for k in order],
            [names[k] for k in order],
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16),
            ncols=2,
            frameon=False,
        )
    else:
        seconds = [values[0] for values in panel.curves.values()]
        ax.set(xscale="log", xlim=(min(seconds) / 4, max(seconds) * 20))  # room for names
        ax.xaxis.set_major_formatter("{x:g}")
        ax.margins(y=0.15)


def write(panels: dict[str, Panel], name: str, size: tuple[float, float]) -> None:
    """Draw panels side by side into one file."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False)
    for ax, panel in zip(axes[0], panels.values(), strict=True):
        draw(ax, panel)
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
    if name == "accuracy":  # previews of links take no SVG
        figure.savefig(FOLDER / f"{name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def main():
    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "skdim", "axes.titleweight": "bold", "font.size": 11})
    FOLDER.mkdir(parents=True, exist_ok=True)
    first, time = many_samples(), accuracy_against_time()
    write(first, "accuracy", (11, 4.6))
    for name, panel in first.items():
        write({name: panel}, f"accuracy_{name}", (4.2, 4.6))
    write(accuracy_against_labels(), "labels", (11, 4.6))
    for name, panel in time.items():
        write({name: panel}, f"time_{name}", (5.5, 3.8))
    for path in sorted(FOLDER.iterdir()):
        print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
