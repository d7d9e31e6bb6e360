"""Write ``requirements-locked.txt``: every file that continuous integration installs, by its hash.

pip says what it would install under ``constraints.txt``, on this machine: the hashes are of the
files for its system and Python. ``make locked`` installs them and nothing else.
"""

import json
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WANTED = ["torch", "hatchling", "editables", ".[plot,onnx,test,dev]"]


def main():
    """Ask pip, write the file."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    command += ["--quiet", "--constraint", "constraints.txt", "--report", "-"]
    command += [*WANTED, *sys.argv[1:]]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    lines = [
        f"# Written by tests/tools/lock.py for {platform.system()} {platform.machine()}, Python "
        f"{sys.version_info.major}.{sys.version_info.minor}, with the CPU build of torch."
    ]
    for item in json.loads(answer)["install"]:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        if name != "skdim":
            (digest,) = item["download_info"]["archive_info"]["hashes"].values()
            lines.append(f"{name}=={version.split('+')[0]} --hash=sha256:{digest}")
    (ROOT / "requirements-locked.txt").write_text("\n".join(lines[:1] + sorted(lines[1:])) + "\n")


if __name__ == "__main__":
    main()
