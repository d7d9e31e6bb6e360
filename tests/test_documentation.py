"""Links of scikit-learn's diagrams lead to pages that the site has, and code on pages is narrow."""

import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import skdim
from skdim import DIMClassifier, DIMTransformer
from skdim import _documentation as documentation
from skdim.evaluation import ProbeClassifier

ROOT = Path(__file__).parents[1]
SITE = "https://docs.example.org"
ESTIMATORS = {
    DIMTransformer: "skdim",
    DIMClassifier: "skdim",
    ProbeClassifier: "skdim.evaluation",
}


class Metadata:
    """Of a package whose pyproject.toml has these addresses."""

    def get_all(self, name):
        assert name == "Project-URL"
        return [f"Documentation, {SITE}/", "Issues, https://issues.example.org"]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.__name__)
def test_diagrams_link_to_the_page_of_the_estimator(estimator, monkeypatch):
    monkeypatch.setattr(documentation, "metadata", lambda name: Metadata())
    package = ESTIMATORS[estimator]
    monkeypatch.setattr(estimator, "_doc_link_template", documentation.api_page(package))
    name = f"{package}.{estimator.__name__}"
    assert estimator()._get_doc_link() == f"{SITE}/generated/{name}.html"
    assert f"~{name}\n" in (ROOT / "docs" / "api.md").read_text()
    assert f"{SITE}/generated/{name}.html" in estimator()._repr_html_()


def test_without_an_address_there_is_no_link(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(documentation, "metadata", missing)
    assert documentation.api_page("skdim") == ""
    monkeypatch.setattr(DIMTransformer, "_doc_link_template", "")
    assert "Documentation for DIMTransformer" not in DIMTransformer()._repr_html_()
    monkeypatch.setattr(DIMTransformer, "_doc_link_template", SITE)
    assert "Documentation for DIMTransformer" in DIMTransformer()._repr_html_()


def test_every_parameter_of_the_transformer_has_an_entry_of_its_own():
    names = re.findall(r"^    (\w+) : ", DIMTransformer.__doc__.partition("Attributes\n")[0], re.M)
    assert sorted(names) == sorted(DIMTransformer().get_params(deep=False))


def test_pages_state_the_version_of_the_code():
    assert f"This is version {skdim.__version__}." in (ROOT / "README.md").read_text()
    assert f"\nversion: {skdim.__version__}\n" in (ROOT / "CITATION.cff").read_text()


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "docs" / "gallery").glob("*.py"))


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
