"""On a full disk, everything that writes a file raises OSError and leaves what was there."""

import shutil
import subprocess
import sys

import pytest

# Mounts a file system of 1 MiB that only this process sees.
MOUNT = 'mount -t tmpfs -o size=1m tmpfs "$1" || exit 99; exec "$2" -c "$3" "$1"'

WRITE = """
import os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from skdim import DIMTransformer
from skdim.command_line import main
from skdim.sources import spool

folder = sys.argv[1]
os.chdir(folder)
X = np.random.default_rng(0).normal(size=(5000, 6)).astype("f4")
dim = DIMTransformer(64, max_epochs=1, random_state=0).fit(X[:100])
dim.trim().save("m.safetensors")
np.save("X.npy", X)
before = sorted(os.listdir())
roads = {
    "transform_to": lambda: dim.transform_to(X, "f.npy"),
    "spool": lambda: spool(np.zeros((2**18, 8)), "f.dat"),
    "spool samples": lambda: spool(iter(np.zeros((400, 1000))), "f.dat"),
    "save": lambda: DIMTransformer(64, max_epochs=1).fit(X[:100]).save("f.safetensors"),
}
for name, write in roads.items():
    try:
        write()
    except OSError as error:
        assert "space" in str(error), (name, error)
    else:
        print(name, "was written")
for suffix in ("npy", "csv"):
    code = main(["transform", "m.safetensors", "X.npy", "--output", "f." + suffix])
    assert code == 1, suffix
assert sorted(os.listdir()) == before, os.listdir()
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="cannot mount a file system")
def test_a_full_disk_is_an_error_and_leaves_what_was_there(tmp_path):
    command = ["unshare", "--mount", "sh", "-c", MOUNT, "sh", tmp_path, sys.executable, WRITE]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode == 99 or "unshare" in ended.stderr:
        pytest.skip("cannot mount a file system here")
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
