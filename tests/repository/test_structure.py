"""The house: its listing, the direction of its imports, and what no part does to another."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "skdim"
FILES = sorted(PACKAGE.rglob("*.py"))
CODE = FILES + sorted((ROOT / "benchmarks").rglob("*.py"))

# Floors from the ground up: an import may point to a lower floor, or stay in its own folder.
FLOORS = (
    ("exceptions", "mutual_information", "critics", "priors", "augmentation", "optimization"),
    ("spectra", "_names", "_synonyms", "_user_warnings", "_documentation"),
    ("_files",),
    ("_runtime", "_tables"),
    ("_version",),
    ("encoders", "coordinates", "objective", "sources"),
    ("_model",),
    ("_training",),
    ("transformer", "evaluation"),
    ("classifier", "displays", "command_line"),
    ("onnx_export", "__init__", "__main__"),
)
# Methods of named tuples, public in spite of their names.
OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room(path: Path) -> str:
    """The file or folder directly under skdim/ that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Rooms whose names a file imports, at any depth of its code."""
    rooms = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "skdim":
            parts = node.module.split(".")
            rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            parts = [alias.name.split(".") for alias in node.names]
            rooms |= {part[1] for part in parts if part[0] == "skdim" and len(part) > 1}
    return {name for name in rooms if any(name in floor for floor in FLOORS)}


def test_the_listing_is_short_and_every_entry_has_a_floor():
    entries = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert len(entries) <= 31
    known = {name for floor in FLOORS for name in floor}
    assert {entry.removesuffix(".py") for entry in entries} == known | {"py.typed"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    floor_of = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    here = room(path)
    upwards = {
        there
        for there in imports(path)
        if there != here and floor_of[there] >= floor_of[here] and not is_beside(here, there)
    }
    # A command's help must not wait for torch: __init__ and __main__ import late, from anywhere.
    assert not upwards or here in ("__init__", "__main__"), f"{here} imports {upwards}"


def is_beside(here: str, there: str) -> bool:
    """Whether two rooms share a floor, one of which may stand on the other, but not both."""
    same_floor = any({here, there} <= set(floor) for floor in FLOORS)
    back = {name for path in FILES if room(path) == there for name in imports(path)}
    return same_floor and here not in back


def test_files_do_not_import_each_other_in_circles():
    edges = {module_name(path): set(modules_imported(path)) for path in FILES}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for other in sorted(edges.get(name, ())):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(edges):
        visit(name, ())


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts)


def modules_imported(path: Path) -> list[str]:
    """Modules that a file imports when it is imported itself; a package by its __init__."""
    known = {module_name(other) for other in FILES}
    found = []
    for node in tree(path).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skdim."):
            package = f"{node.module}.__init__"
            found.append(package if package in known else node.module)
    return found


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_function_is_longer_than_sixty_lines(path):
    lengths = {f.name: f.end_lineno - f.lineno + 1 for f in functions(path)}
    assert not {name: n for name, n in lengths.items() if n > 60 and name != "__init__"}


def test_the_transformer_is_a_contract_and_no_more():
    (transformer,) = (
        node
        for node in tree(PACKAGE / "transformer.py").body
        if isinstance(node, ast.ClassDef) and node.name == "DIMTransformer"
    )
    assert transformer.end_lineno - transformer.lineno + 1 <= 800


def private_reads(path: Path) -> list[str]:
    """Private attributes that a file reads from objects which its own classes do not define."""
    module = tree(path)
    defined = {f.name for f in functions(path)}
    defined |= {
        node.attr
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and is_of_its_own(node)
    }
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and node.attr not in defined | OF_NAMED_TUPLES
        and not is_of_its_own(node)
    ]


def is_of_its_own(node: ast.Attribute) -> bool:
    """Whether an attribute is read from self, cls or super()."""
    target = node.value
    if isinstance(target, ast.Call):
        return isinstance(target.func, ast.Name) and target.func.id == "super"
    return isinstance(target, ast.Name) and target.id in ("self", "cls")


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_reads_private_attributes_of_others(path):
    assert not private_reads(path)


def test_errors_and_warnings_have_one_home():
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and path.name != "exceptions.py":
                bases = {ast.unparse(base) for base in node.bases}
                assert not any(base.endswith(("Error", "Exception", "Warning")) for base in bases)


def test_files_are_replaced_in_one_step_in_one_place():
    callers = [path.name for path in FILES if "os.replace" in path.read_text(encoding="utf-8")]
    assert callers == ["atomic_write.py"]
