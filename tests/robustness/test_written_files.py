"""What writes a file leaves what was there on a full disk, and its permissions always."""

import shutil
import stat
import subprocess
import sys

import numpy as np
import pytest

from skdim import DIMClassifier
from skdim.command_line import main
from skdim.sources import spool

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


X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)


def command(*arguments):
    return lambda path: main([*arguments, "--output", str(path), "--force"])


@pytest.fixture(scope="module")
def roads(quick, tmp_path_factory):
    """All that writes a file, by the name of the file."""
    folder = tmp_path_factory.mktemp("inputs")
    model, samples = str(folder / "model.safetensors"), str(folder / "X.npy")
    dim, classifier = quick().fit(X), DIMClassifier(quick(), max_epochs=1).fit(X, X[:, 0] > 0)
    dim.save(model)
    np.save(samples, X)
    fit = command("fit", samples, "--max-epochs", "1", "--quiet")
    return {
        "a.safetensors": dim.save,
        "b.safetensors": classifier.save,
        "c.safetensors": fit,
        "a.onnx": dim.export_onnx,
        "b.onnx": classifier.export_onnx,
        "a.npy": lambda path: dim.transform_to(X, path),
        "a.dat": lambda path: spool(X, path),
        **{f"b{suffix}": command("transform", model, samples) for suffix in (".npy", ".csv")},
        "b.parquet": command("transform", model, samples),
    }


@pytest.mark.skipif(sys.platform == "win32", reason="has other permissions")
def test_every_file_that_is_replaced_keeps_its_permissions(roads, tmp_path, capsys):
    for package in ("onnx", "pyarrow"):
        pytest.importorskip(package)
    usual = tmp_path / "usual"
    usual.touch()
    for name, write in roads.items():
        path = tmp_path / name
        write(path)
        assert path.stat().st_mode == usual.stat().st_mode, name
        for mode in (0o600, 0o664):
            path.chmod(mode)
            write(path)
            assert stat.S_IMODE(path.stat().st_mode) == mode, name
    assert len(list(tmp_path.iterdir())) == 1 + len(roads)
