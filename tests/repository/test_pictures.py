"""Pictures and tables of the benchmarks show what the files under results/ hold."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import plots

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
PAGE = (ROOT / "benchmarks" / "README.md").read_text()


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_file_of_results_is_on_the_page_with_its_command_and_version(path):
    (row,) = re.findall(rf"^\| `{path.name}` \|.*$", PAGE, re.MULTILINE)
    _, _, command, _, threads, version, day, _, _ = (cell.strip() for cell in row.split("|"))
    measured_by = json.loads(path.read_text())["machine"]
    assert version == measured_by["skdim"]
    assert threads == str(measured_by["threads"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", day)
    (module,) = re.findall(r"-m ([\w.]+)", command)
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def numbers_in(row: str) -> list[str]:
    return re.findall(r"\d\.\d{3}", row)


def row_of(section: str, name: str) -> list[str]:
    """The numbers of a row in a section of the page."""
    text = PAGE.partition(f"## {section}")[2].partition("\n## ")[0]
    (row,) = re.findall(rf"^\| \**{re.escape(name)}\** \|.*$", text, re.MULTILINE)
    return numbers_in(row)


def as_text(values) -> list[str]:
    return [f"{value:.3f}" for value in np.ravel(values)]


def test_the_pictures_show_the_numbers_of_the_tables():
    panels = plots.accuracy_against_labels()
    curves = panels["photographs"].curves
    for name, drawn in (("skdim, components", "skdim"), ("untrained, components", "untrained")):
        everything, ten, fifty = row_of("Photographs", name)[3:]
        assert as_text(curves[drawn]) == [ten, fifty, everything]
    curves = panels["tables"].curves
    few, everything = np.array(row_of("Tables", "Nystroem-256"))[[0, 2]]
    assert as_text(curves["Nystroem"]) == [few, everything]
    time = plots.accuracy_against_time()
    assert as_text(time["signals"].curves["MiniRocket"][1]) == ["0.951"]
    assert as_text(panels["signals"].curves["MiniRocket"][0]) == ["0.914"]


def test_the_first_picture_shows_the_numbers_of_the_tables():
    panels = plots.many_samples()
    _, *minutes = panels["scaling"].x
    rows = [row_of("Scaling", f"skdim, hidden, {60 * int(m):,} s") for m in minutes]
    _, *trained = as_text(panels["scaling"].curves["skdim"])
    assert trained == [ten for ten, *_ in rows]
    few, everything = as_text(panels["sounds"].curves["skdim"])
    assert row_of("Signals that oscillate", "skdim, hidden")[::2] == [everything, few]
    for name, row in (("skdim", "skdim, hidden"), ("MiniRocket", "MiniRocket")):
        assert as_text(panels["sensors"].curves[name]) == row_of("Sensors", row)


def test_every_curve_has_a_style_and_every_picture_a_file():
    files = {
        **{f"accuracy_{name}": [panel] for name, panel in plots.many_samples().items()},
        **{f"time_{name}": [panel] for name, panel in plots.accuracy_against_time().items()},
        "accuracy": [],
        "labels": [*plots.accuracy_against_labels().values()],
    }
    for name, panels in files.items():
        assert all(plots.style_of(curve) for panel in panels for curve in panel.curves)
        assert (plots.FOLDER / f"{name}.svg").is_file()
