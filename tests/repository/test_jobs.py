"""The pages of jobs: their code prints what they say, and pages, table and navigation agree."""

import ast
import re
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from sklearn.datasets import load_sample_images
from sklearn.manifold import TSNE
from sklearn.utils import Bunch

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "jobs"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.stem != "index")

# What a page needs besides skdim.
NEEDED = {
    "few_labels": ("PIL",),
    "logging": ("torch.utils.tensorboard",),
    "serve": ("onnx", "onnxruntime"),
}

NUMBER = r"\d+(?:\.\d+)?"


def blocks_of(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def printed_as(expected):
    """The pattern of a line in which only numbers may differ."""
    parts = re.split(NUMBER, expected)
    return f"({NUMBER})".join(re.escape(part) for part in parts)


@pytest.fixture
def short_pictures(monkeypatch):
    """Compute what is only drawn, and no figure of a page, from less."""
    monkeypatch.setattr(
        "sklearn.datasets.load_sample_images",
        lambda: Bunch(images=load_sample_images().images[:1]),
    )
    monkeypatch.setattr("sklearn.manifold.TSNE", partial(TSNE, max_iter=250))


@pytest.mark.usefixtures("short_pictures")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_job_prints_the_figures_of_its_page(page, tmp_path, monkeypatch, capsys):
    for package in NEEDED.get(page.stem, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "page"}
    try:
        for block in blocks_of(page, "python"):
            exec(compile(block, str(page), "exec"), namespace)
    finally:
        plt.close("all")
    expected = "".join(blocks_of(page, "text")).splitlines()
    printed = capsys.readouterr().out.splitlines()
    assert expected
    assert len(printed) == len(expected)
    for line, figures in zip(printed, expected, strict=True):
        match = re.fullmatch(printed_as(figures), line)
        assert match, (line, figures)
        if not figures.endswith((" s", " ms")):  # which depend on the machine
            expected_numbers = [float(number) for number in re.findall(NUMBER, figures)]
            assert [float(n) for n in match.groups()] == pytest.approx(expected_numbers, abs=0.05)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_job_is_about_twenty_statements_and_says_how_to_do_without_skdim(page):
    nodes = ast.walk(ast.parse("".join(blocks_of(page, "python"))))
    imports = (ast.Import, ast.ImportFrom)
    assert len([n for n in nodes if isinstance(n, ast.stmt) and not isinstance(n, imports)]) <= 25
    assert "**Without skdim.**" in page.read_text()


@pytest.mark.parametrize("table", ["docs/jobs/index.md", "docs/index.md"])
def test_every_job_is_in_the_tables_of_jobs_with_the_figures_of_its_page(table):
    text = (ROOT / table).read_text()
    rows = dict(re.findall(r"^\| \[[^]]+\]\((?:jobs/)?(\w+)\.md\)(.*)$", text, re.MULTILINE))
    assert {page.stem for page in PAGES} <= set(rows)
    for page in PAGES:
        figures = set(re.findall(NUMBER, "".join(blocks_of(page, "text"))))
        _, with_skdim, without = [*re.findall(r"\| ([^|]+)", rows[page.stem])][:3]
        assert set(re.findall(r"^[\d.]+", f"{with_skdim}")) <= figures
        assert set(re.findall(r"^[\d.]+", f"{without}")) <= figures


@pytest.mark.parametrize(
    "term",
    ["outlier", "anomaly", "duplicate", "similar", "audio", "umap", "faq", "logging", "novelty"],
)
def test_a_heading_has_the_word_that_people_search_for(term):
    pages = [*FOLDER.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    headings = "\n".join(
        line for page in pages for line in page.read_text().splitlines() if line.startswith("#")
    )
    assert re.search(rf"\b{term}", headings, re.IGNORECASE)


def test_pictures_of_jobs_are_there():
    pictures = [
        (page, name)
        for page in [*FOLDER.glob("*.md"), ROOT / "docs" / "index.md"]
        for name in re.findall(r"_static/jobs/([\w.]+)", page.read_text())
    ]
    assert pictures
    for _, name in pictures:
        assert (ROOT / "docs" / "_static" / "jobs" / name).is_file(), name
