"""The pages are runnable as written: each one's Python blocks, in order, in one namespace."""

import pydoc
import re
from functools import partial
from pathlib import Path

import pytest
from sklearn.datasets import load_digits

from skdim import classifier, modalities

ROOT = Path(__file__).parents[2]
DOCS = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "jobs").glob("*.md")]
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in DOCS)]
RUNNABLE = [
    "README.md",
    *(
        f"docs/{name}.md"
        for name in ("tour", "training", "pretrained", "extending", "paper", "deployment", "scale")
    ),
]
# What a page needs besides skdim.
NEEDED = {
    "docs/deployment.md": ("onnxruntime",),
    "docs/scale.md": ("distributed", "optuna", "PIL"),
}

# The code of a page runs as it is, but a fit of "auto" epochs sees few samples, the default network
# of images is narrow, and there are only five digits.
FIT_LENGTHS = [
    (modalities, "N_SHOWN"),
    (modalities, "N_SHOWN_CROPPED"),
    (classifier, "N_SHOWN"),
]


@pytest.mark.parametrize("page", RUNNABLE)
def test_page_runs(page, tmp_path, monkeypatch, set_default_width):
    for package in NEEDED.get(page, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    for module, name in FIT_LENGTHS:
        monkeypatch.setattr(module, name, 1000)
    set_default_width(16)
    monkeypatch.setattr("sklearn.datasets.load_digits", partial(load_digits, n_class=5))
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
