"""Build a release from a clean clone, check it, and try it in empty environments.

    python tests/tools/release.py [--keep FOLDER] [--tests PATH]

The commit that is checked out is cloned, and built into a source distribution and a wheel. Metadata
and contents of both are checked. For each Python that is supported and on this machine, each of the
two is installed into an empty environment, with the versions of ``constraints.txt``. The examples
of the README and the tests in ``tests/contract`` run there, away from the repository. Both files,
and the report of what was done, are left in ``dist``. A rehearsal may run other tests.
"""

import argparse
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from email.parser import HeaderParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIP_ARGS = shlex.split(os.environ.get("PIP_ARGS", ""))
BUILD_TOOLS = ["build", "twine", "hatchling"]
# Folders and files of the source distribution, in addition to what hatchling writes itself.
OF_SOURCE = {"skdim", "tests", "docs", "benchmarks", "LICENSE", "README.md", "CITATION.cff"}
OF_SOURCE |= {"SECURITY.md", "Makefile", "constraints.txt", "constraints-oldest.txt"}
OF_SOURCE |= {"requirements-locked.txt", "pyproject.toml", "PKG-INFO", ".gitignore"}
LARGEST = {".whl": 500_000, ".gz": 5_000_000}  # bytes
LARGEST_FILE = 1_000_000

MEASURE_IMPORT = """
import subprocess, sys, time
for line in ("import skdim", "from skdim import DIMTransformer"):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", line], check=True)
        times.append(time.perf_counter() - start)
    print(f"{line}: {min(times):.2f} s")
start = time.perf_counter()
subprocess.run([sys.executable, "-c", "pass"], check=True)
print(f"an empty program: {time.perf_counter() - start:.2f} s")
"""


class Report:
    """Prints what is done, and leaves it in a file."""

    def __init__(self):
        self.lines = []

    def say(self, line: str) -> None:
        print(line, flush=True)
        self.lines.append(line)

    def run(self, command: list, **options) -> str:
        """Run a command; return its output, or end with it if the command fails."""
        start = time.perf_counter()
        done = subprocess.run(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **options,
        )
        if done.returncode:
            self.say(done.stdout)
            raise SystemExit(f"failed with exit code {done.returncode}: {command}")
        self.seconds = time.perf_counter() - start
        return done.stdout


def clone(report: Report, folder: Path) -> Path:
    """Clone the commit that is checked out."""
    target = folder / "clone"
    report.run(["git", "clone", "--quiet", "--no-local", ROOT, target])
    commit = report.run(["git", "-C", target, "log", "-1", "--format=%H %cI"]).strip()
    report.say(f"commit {commit}")
    if report.run(["git", "-C", ROOT, "status", "--porcelain"]).strip():
        report.say("ATTENTION: the work tree has changes that are not committed, and not built")
    return target


def build(report: Report, source: Path, folder: Path) -> tuple[Path, Path]:
    """Build both distributions, check their metadata, and return their paths."""
    python = environment(report, sys.executable, folder / "tools")
    report.run([python, "-m", "pip", "install", "--quiet", *PIP_ARGS, *BUILD_TOOLS])
    versions = report.run([python, "-m", "pip", "list", "--format", "freeze"])
    tools = [line for line in versions.split() if line.partition("==")[0] in BUILD_TOOLS]
    report.say(f"build tools: {', '.join(tools)}")
    stamp = report.run(["git", "-C", source, "log", "-1", "--format=%ct"]).strip()
    options = {"cwd": source, "env": {**os.environ, "SOURCE_DATE_EPOCH": stamp}}
    report.run([python, "-m", "build", "--no-isolation", "--outdir", folder / "dist"], **options)
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    checked = report.run([python, "-m", "twine", "check", "--strict", wheel, sdist])
    for line in checked.splitlines():
        report.say("twine: " + re.sub(r"\S+/", "", re.sub(r"\x1b\[[\d;]*m", "", line)))
    return wheel, sdist


def check_wheel(report: Report, wheel: Path, source: Path) -> None:
    """Check that a wheel holds the package as it is in the repository, and nothing else."""
    tracked = set(report.run(["git", "-C", source, "ls-files", "skdim"]).split())
    with zipfile.ZipFile(wheel) as file:
        sizes = {info.filename: info.file_size for info in file.infolist()}
        (info,) = {name.partition("/")[0] for name in sizes if ".dist-info/" in name}
        package = {name for name in sizes if not name.startswith(info)}
        metadata = HeaderParser().parsestr(file.read(f"{info}/METADATA").decode())
        licence = file.read(f"{info}/licenses/LICENSE")
        changed = [
            name for name in package & tracked if file.read(name) != (source / name).read_bytes()
        ]
    check(package == tracked, "the wheel has other files", package ^ tracked)
    check(not changed, "the wheel has changed files", changed)
    check("skdim/py.typed" in package, "the wheel lacks py.typed", package)
    check(licence == (source / "LICENSE").read_bytes(), "the wheel has another licence", info)
    check(metadata["Version"] == version_of(source), "the wheel has another version", metadata)
    readme = (source / "README.md").read_text()
    check(metadata.get_payload().strip() == readme.strip(), "the wheel has another readme", info)
    extras, requires = metadata.get_all("Provides-Extra"), metadata.get_all("Requires-Dist")
    report.say(
        f"{wheel.name}: {wheel.stat().st_size:,} bytes, {len(sizes)} files, {len(package)} of them "
        f"skdim ({sum(sizes[name] for name in package):,} bytes), with py.typed and LICENSE"
    )
    report.say(f"  requires Python {metadata['Requires-Python']}; extras {', '.join(extras)}")
    report.say(f"  requires {', '.join(line for line in requires if 'extra' not in line)}")
    check_size(wheel, sizes)


def check_sdist(report: Report, sdist: Path, source: Path, folder: Path) -> Path:
    """Check that a source distribution holds tracked files only, and unpack it."""
    tracked = set(report.run(["git", "-C", source, "ls-files"]).splitlines())
    with tarfile.open(sdist) as file:
        sizes = {m.name.partition("/")[2]: m.size for m in file.getmembers() if m.isfile()}
        file.extractall(folder / "sdist", filter="data")
    names = set(sizes)
    check(names - tracked <= {"PKG-INFO"}, "the source has untracked files", names - tracked)
    roots = {name.partition("/")[0] for name in names}
    check(roots <= OF_SOURCE, "the source has files that do not belong", roots - OF_SOURCE)
    check(roots >= OF_SOURCE - {".gitignore"}, "the source lacks files", OF_SOURCE - roots)
    by_root: dict[str, int] = {}
    for name, size in sizes.items():
        root = name.partition("/")[0]
        by_root[root] = by_root.get(root, 0) + size
    report.say(f"{sdist.name}: {sdist.stat().st_size:,} bytes, {len(sizes)} files")
    largest = sorted(by_root.items(), key=lambda item: -item[1])[:5]
    report.say("  " + ", ".join(f"{root} {size:,} bytes" for root, size in largest))
    check_size(sdist, sizes)
    (unpacked,) = (folder / "sdist").iterdir()
    return unpacked


def check(is_met: bool, sentence: str, values) -> None:
    """End with a sentence if a condition is not met."""
    if not is_met:
        raise SystemExit(f"{sentence}: {values}")


def check_size(path: Path, sizes: dict[str, int]) -> None:
    """End if a distribution, or a file in it, is large."""
    check(path.stat().st_size < LARGEST[path.suffix], f"{path.name} is large", path.stat().st_size)
    large = {name: size for name, size in sizes.items() if size > LARGEST_FILE}
    check(not large, f"{path.name} has large files", large)


def version_of(source: Path) -> str:
    """Return the version, from the one place that states it."""
    text = (source / "skdim" / "_version.py").read_text()
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)[1]


def pythons() -> dict[str, str]:
    """Find one Python of each supported version on this machine."""
    candidates = [sys.executable]
    for minor in range(11, 20):
        candidates += filter(None, [shutil.which(f"python3.{minor}")])
        candidates += glob.glob(os.path.expanduser(f"~/.pyenv/versions/3.{minor}.*/bin/python"))
    pythons_by_version: dict[str, str] = {}
    for path in candidates:
        line = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([path, "-c", line], capture_output=True, text=True, check=False)
        version = done.stdout.strip()
        if version and tuple(map(int, version.split("."))) >= (3, 11):
            pythons_by_version.setdefault(version, path)
    return pythons_by_version


def environment(report: Report, python: str, folder: Path) -> Path:
    """Make an empty environment, and return its Python."""
    report.run([python, "-m", "venv", "--clear", folder])
    return folder / "bin" / "python"


def try_out(
    report: Report, python: str, artifact: Path, source: Path, folder: Path, path: str
) -> None:
    """Install a distribution, run the examples of the README and the tests at a path."""
    python = environment(report, python, folder / "environment")
    environ = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
    options = {"cwd": folder, "env": {**environ, "OMP_NUM_THREADS": "1"}}
    install = [python, "-m", "pip", "install", "--quiet", *PIP_ARGS]
    install += ["--constraint", source / "constraints.txt"]
    report.run([*install, "torch"], **options)
    report.run([*install, artifact], **options)
    report.say(f"  {artifact.name} installed with its requirements alone")
    if artifact.suffix == ".whl":
        listed = report.run([python, source / "tests" / "tools" / "licences.py"], **options)
        committed = (source / "docs" / "dependencies.md").read_text()
        if "| nvidia-" in listed:  # the page is about the CPU build
            report.say("  torch is a CUDA build: docs/dependencies.md was not compared")
        else:
            check(listed == committed, "docs/dependencies.md is not up to date", listed)
            n_packages = listed.count(chr(10) + "| ") - 1
            report.say(f"  docs/dependencies.md lists its {n_packages} packages")
    where = report.run([python, "-c", "import skdim; print(skdim.__file__)"], **options)
    check("site-packages" in where, "another skdim was imported", where)
    for line in report.run([python, "-c", MEASURE_IMPORT], **options).splitlines():
        report.say(f"  {line}")
    code = "\n".join(re.findall(r"```python\n(.*?)```", (source / "README.md").read_text(), re.S))
    report.run([python, "-c", code], **options)
    report.say(f"  the examples of the README run, in {report.seconds:.0f} s")
    report.run([*install, f"{artifact}[test,onnx]"], **options)
    for name in ("tests", "docs"):  # without the package next to them
        shutil.copytree(source / name, folder / name)
    shutil.copy(source / "pyproject.toml", folder)
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", path, "--numprocesses", "auto"]
    # The suite's settings leave the summary out, and "-v" undoes that.
    summary = report.run([*command, "-v"], **options)
    report.say(f"  {path}: {summary.strip().splitlines()[-1].strip('= ')}")


def main() -> None:
    """Build, check, try."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, default=ROOT / "dist")
    parser.add_argument("--tests", default="tests/contract")
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = clone(report, folder)
        wheel, sdist = build(report, source, folder)
        check_wheel(report, wheel, source)
        unpacked = check_sdist(report, sdist, source, folder)
        for version, python in pythons().items():
            for artifact in (wheel, sdist):
                report.say(f"Python {version}, {artifact.name}")
                place = folder / f"{version}{artifact.suffix}"
                place.mkdir()
                try_out(report, python, artifact, unpacked, place, args.tests)
                shutil.rmtree(place)
        args.keep.mkdir(exist_ok=True)
        for path in (wheel, sdist):
            shutil.copy(path, args.keep)
    report.say(f"{wheel.name} and {sdist.name} are ready")
    (args.keep / "report.txt").write_text("\n".join(report.lines) + "\n")


if __name__ == "__main__":
    main()
