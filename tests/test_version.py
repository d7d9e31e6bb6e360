"""What a bug report needs, and files of other versions."""

import pickle

import numpy as np
import pytest
from helpers.hostile import put, redescribed

import skdim
from skdim import DIMTransformer
from skdim._version import PACKAGES, compare_versions
from skdim.exceptions import VersionWarning


def test_a_bug_report_has_the_version_of_every_package(capsys):
    skdim.show_versions()
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert set(PACKAGES) < set(lines)
    assert lines["numpy"] == np.__version__
    assert lines["precision for images"] in ("float32", "bfloat16")


def test_another_version_is_warned_about(quick, rows, tmp_path):
    path = tmp_path / "dim"
    dim = quick().fit(rows[0])
    dim.save(path)
    path.write_bytes(
        redescribed(
            path.read_bytes(), lambda document: put(document["state"], "model/version", "0.0.1")
        )
    )
    with pytest.warns(VersionWarning, match="saved by skdim 0.0.1"):
        DIMTransformer.load(path)
    state = dim.__getstate__()
    state["model_"]["version"] = "0.0.1"
    with pytest.warns(VersionWarning, match="saved by skdim 0.0.1"):
        DIMTransformer().__setstate__(state)
    pickle.loads(pickle.dumps(dim))  # of this version, of which nothing is said


@pytest.mark.parametrize("version", [None, skdim.__version__])
def test_this_version_is_not_warned_about(version):
    compare_versions(version)
