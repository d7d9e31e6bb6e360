"""The pages are runnable as written: each one's Python blocks, in order, in one namespace."""

import pydoc
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
RUNNABLE = [
    "README.md",
    *(f"docs/{name}.md" for name in ("tour", "training", "extending", "paper", "deployment")),
]


@pytest.mark.parametrize("page", RUNNABLE)
def test_page_runs(page, tmp_path, monkeypatch):
    if "deployment" in page:
        pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    namespace = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES)
def test_everything_a_page_names_is_there(page):
    text = (ROOT / page).read_text()
    for name in re.findall(r"`(skdim\.[\w.]+)`", text):
        assert pydoc.locate(name), name
    for path in re.findall(r"`((?:tests|docs|benchmarks|skdim)/[\w./]+)`", text):
        assert (ROOT / path).exists(), path
