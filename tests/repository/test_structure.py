"""The structure: imports point down, and every module has tests of its name.

The contracts are in ``pyproject.toml``, as are ruff's rules of the length and the branches of a
function and of private attributes.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "skdim"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if not path.stem.startswith("__"))


LINT = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"


def test_imports_follow_the_contracts():
    pytest.importorskip("importlinter")
    ended = subprocess.run(
        [sys.executable, "-c", LINT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 kept, 0 broken" in ended.stdout


def file_of_tests(module: Path) -> Path:
    """The test file of a module: its path, without the underscores of private names."""
    folders, name = module.relative_to(PACKAGE).parent.parts, module.name
    return ROOT.joinpath("tests", *(folder.lstrip("_") for folder in folders)) / (
        f"test_{name.lstrip('_')}"
    )


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_has_a_test_file_of_its_name(module):
    assert file_of_tests(module).is_file(), file_of_tests(module)


def test_no_two_modules_share_a_test_file():
    assert len(set(map(file_of_tests, MODULES))) == len(MODULES)


def classes_of(path: Path) -> list[ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_errors_and_warnings_have_one_home(module):
    kinds = [
        node.name
        for node in classes_of(module)
        if any(ast.unparse(base).endswith(("Error", "Exception", "Warning")) for base in node.bases)
    ]
    assert not kinds or module.name == "exceptions.py"


def test_files_are_replaced_in_one_step_in_one_place():
    callers = [path.name for path in MODULES if "os.replace" in path.read_text(encoding="utf-8")]
    assert callers == ["atomic_write.py"]
