"""List the packages that skdim needs, with licence and origin, in the words of their metadata.

    python tests/tools/licences.py > docs/dependencies.md

Run it in an environment that holds skdim and its requirements.
"""

from importlib.metadata import Distribution, PackageNotFoundError, distribution
from textwrap import fill

TEXT = """
skdim is under the BSD 3-Clause license. Without extras, it needs these packages, directly or
through others: on Linux, with the CPU build of torch, at the versions of `constraints.txt`. A CUDA
build of torch also needs NVIDIA's packages (`nvidia-*`), which have NVIDIA's own licenses.
`requirements-locked.txt` states the SHA-256 of every file that was tested.
`tests/tools/licences.py` wrote this page from the metadata of the installed packages, and
`make release` compares the page with them.
"""
COLUMNS = ("package", "version", "license", "home", "needed by")


def requirements(package: Distribution) -> list[str]:
    """Names of the packages that a package needs on this machine, without extras."""
    from pip._vendor.packaging.requirements import Requirement  # every environment has pip

    lines = map(Requirement, package.requires or [])
    return [
        line.name for line in lines if line.marker is None or line.marker.evaluate({"extra": ""})
    ]


def licence(package: Distribution) -> str:
    """The licence of a package, from the first of three fields that says it in a few words."""
    metadata = package.metadata
    trove = [
        c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier") or [] if "License ::" in c
    ]
    texts = [metadata.get("License-Expression"), ", ".join(trove), metadata.get("License")]
    short = [text.strip() for text in texts if text and len(text) < 200 and "\n" not in text]
    return short[0] if short else "see the package"


def home(package: Distribution) -> str:
    """The address of a package: its repository, else its home page."""
    entries = [entry.partition(", ") for entry in package.metadata.get_all("Project-URL") or []]
    urls = {label.lower(): url for label, _, url in entries}
    for label in ("source", "source code", "repository", "github", "code", "homepage", "home"):
        if label in urls:
            return f"<{urls[label]}>"
    url = package.metadata.get("Home-page") or next(iter(urls.values()), None)
    return f"<{url}>" if url else "not stated"


def main() -> None:
    """Follow requirements from skdim, and print the page."""
    needed_by: dict[str, list[str]] = {}
    waiting, packages = ["skdim"], {}
    while waiting:
        name = waiting.pop()
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue
        own = package.metadata["Name"]
        if own in packages:
            continue
        packages[own] = package
        for other in requirements(package):
            needed_by.setdefault(other.lower().replace("_", "-"), []).append(own)
            waiting.append(other)
    del packages["skdim"]
    rows = []
    for name in sorted(packages, key=str.lower):
        package = packages[name]
        version = package.version.partition("+")[0]
        owners = ", ".join(sorted(set(needed_by[name.lower().replace("_", "-")]), key=str.lower))
        rows.append(f"| {name} | {version} | {licence(package)} | {home(package)} | {owners} |")
    head = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    print("\n".join(["# Dependencies", "", fill(TEXT.strip(), 120), "", *head, *rows]))


if __name__ == "__main__":
    main()
