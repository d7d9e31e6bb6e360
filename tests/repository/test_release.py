"""`make release` refuses a distribution that holds too much, too little or something else."""

import io
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from tools import licences, release

from skdim import __version__

ROOT = Path(__file__).parents[2]
INFO = f"skdim-{__version__}.dist-info"


class Quiet(release.Report):
    def say(self, line):
        self.lines.append(line)


def tracked(folder="."):
    return Quiet().run(["git", "-C", ROOT, "ls-files", folder]).splitlines()


@pytest.fixture(scope="module", autouse=True)
def repository():
    if not (ROOT / ".git").exists():
        pytest.skip("needs the repository")


@pytest.fixture
def wheel(tmp_path):
    def build(version=__version__, without="", more=(), change=""):
        path = tmp_path / f"skdim-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name in tracked("skdim"):
                if name != without:
                    content = (ROOT / name).read_bytes()
                    file.writestr(name, content + b"#" * (name == change))
            for name in more:
                file.writestr(name, "x")
            readme = (ROOT / "README.md").read_text()
            head = f"Version: {version}\nRequires-Python: >=3.11\nProvides-Extra: test\n"
            head += "Requires-Dist: numpy>=1.26\n"
            file.writestr(f"{INFO}/METADATA", f"{head}\n{readme}")
            file.writestr(f"{INFO}/licenses/LICENSE", (ROOT / "LICENSE").read_bytes())
        return path

    return build


def test_a_wheel_of_the_package_alone_passes(wheel):
    report = Quiet()
    release.check_wheel(report, wheel(), ROOT)
    assert "with py.typed and LICENSE" in report.lines[0]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"without": "skdim/py.typed"}, "other files"),
        ({"more": ["tests/test_version.py"]}, "other files"),
        ({"more": ["skdim/data.npz"]}, "other files"),
        ({"change": "skdim/priors.py"}, "changed files"),
        ({"version": "9.9"}, "another version"),
    ],
    ids=str,
)
def test_a_wheel_that_differs_from_the_repository_is_refused(wheel, fault, sentence):
    with pytest.raises(SystemExit, match=sentence):
        release.check_wheel(Quiet(), wheel(**fault), ROOT)


def sdist(path, names, size=1):
    with tarfile.open(path, "w:gz") as file:
        for name in names:
            info = tarfile.TarInfo(f"skdim-{__version__}/{name}")
            info.size = size
            file.addfile(info, io.BytesIO(b"x" * size))
    return path


def files_of_source():
    return [name for name in tracked() if name.partition("/")[0] in release.OF_SOURCE]


def test_a_source_distribution_of_tracked_files_passes(tmp_path):
    path = sdist(tmp_path / "a.tar.gz", [*files_of_source(), "PKG-INFO"])
    unpacked = release.check_sdist(Quiet(), path, ROOT, tmp_path)
    assert (unpacked / "skdim" / "__init__.py").is_file()


@pytest.mark.parametrize(
    ("more", "without", "size", "sentence"),
    [
        (["docs/_build/index.html"], "", 1, "untracked files"),
        ([".ci/run"], "", 1, "do not belong"),
        ([], "SECURITY.md", 1, "lacks files"),
        ([], "", 1_000_001, "large"),
    ],
)
def test_a_source_distribution_of_other_files_is_refused(tmp_path, more, without, size, sentence):
    names = [name for name in files_of_source() if name != without]
    if size > 1:
        names = [*release.OF_SOURCE - {"skdim", "tests", "docs", "benchmarks", "PKG-INFO"}]
        names += ["skdim/py.typed", "tests/conftest.py", "docs/guide.md", "benchmarks/README.md"]
    path = sdist(tmp_path / "a.tar.gz", [*names, *more, "PKG-INFO"], size)
    with pytest.raises(SystemExit, match=sentence):
        release.check_sdist(Quiet(), path, ROOT, tmp_path)


def test_the_version_is_stated_in_one_place():
    assert release.version_of(ROOT) == __version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "skdim/_version.py"


def test_every_dependency_has_a_licence_and_an_owner():
    page = (ROOT / "docs" / "dependencies.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")][1:]
    assert {"torch", "numpy", "scikit-learn", "skorch"} <= {row[0].strip("| ") for row in rows}
    for row in rows:
        assert len(row) == len(licences.COLUMNS)
        assert row[2] != "see the package"
        assert row[4].strip(" |")
    direct = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    owned = {row[0].strip("| ") for row in rows if "skdim" in row[4]}
    assert owned == {line.partition(">=")[0] for line in direct}
