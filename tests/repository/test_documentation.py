"""Diagrams have no wrong links, pages state the version, and code on them is narrow."""

import re
from pathlib import Path

import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdim
from skdim import DIMClassifier, DIMOutlierDetector, DIMTransformer
from skdim._version import FORMAT

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", [DIMTransformer, DIMClassifier, DIMOutlierDetector])
@pytest.mark.parametrize("nested", [False, True])
def test_a_diagram_of_scikit_learn_links_to_no_page_for_an_estimator_of_skdim(kind, nested):
    diagram = (make_pipeline(StandardScaler(), kind()) if nested else kind())._repr_html_()
    pages = re.findall(r'href="(https?://[^"]*)"', diagram)
    assert bool(pages) == nested  # those of scikit-learn's own estimators
    assert not [page for page in pages if kind.__name__ in page or "skdim" in page]


def test_every_parameter_of_the_transformer_has_an_entry_of_its_own():
    names = re.findall(r"^    (\w+) : ", DIMTransformer.__doc__.partition("Attributes\n")[0], re.M)
    assert sorted(names) == sorted(DIMTransformer().get_params(deep=False))


def test_the_page_of_the_transformer_opens_with_the_six_parameters_that_its_docstring_names():
    sentence = re.search(
        r"Most users need six parameters:.*?\n\n", DIMTransformer.__doc__, re.DOTALL
    )
    named = re.findall(r"``(\w+)``", sentence[0])
    configuration = (ROOT / "docs" / "conf.py").read_text()
    entry = re.search(r'"skdim.DIMTransformer": \((.*?)\)', configuration, re.DOTALL)
    assert sorted(re.findall(r'"(\w+)"', entry[1])) == sorted(named)
    assert len(named) == 6


def test_pages_state_the_version_of_the_code():
    assert f"This is version {skdim.__version__}." in (ROOT / "README.md").read_text()
    assert f"\nversion: {skdim.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_tests_that_pages_name_exist():
    code = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    names = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "upgrading.md").read_text())
    assert len(names) > 20
    assert not [name for name in names if f"def {name}(" not in code]


def test_every_format_of_files_has_a_row():
    page = (ROOT / "docs" / "upgrading.md").read_text()
    rows = re.findall(r"^\| (\d+) \|", page, re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, FORMAT + 1))


DOCS = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "jobs").glob("*.md")]
PAGES = [ROOT / "README.md", *sorted(DOCS)]
EXAMPLES = sorted((ROOT / "docs" / "gallery").rglob("*.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_on_a_page_is_at_most_eighty_columns_wide(page):
    fenced = re.findall(r"^```(\S*)[^\n]*\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    blocks = [code for language, code in fenced if not language.startswith("{")]
    assert not [line for block in blocks for line in block.splitlines() if len(line) > 80]


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.name)
def test_an_example_is_at_most_eighty_columns_wide(page):
    assert not [line for line in page.read_text().splitlines() if len(line) > 80]


def test_docstrings_show_code_of_at_most_eighty_columns():
    lines = [
        line.strip()
        for path in (ROOT / "skdim").rglob("*.py")
        for line in path.read_text().splitlines()
    ]
    code = [line for line in lines if line.startswith((">>> ", "... "))]
    assert code
    assert not [line for line in code if len(line) > 80]
