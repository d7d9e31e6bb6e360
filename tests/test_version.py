"""Versions are compared, and those of a file that may give other features are named."""

import pickle

import pytest
from helpers.hostile import put, redescribed

import skdim
from skdim import DIMTransformer, _version
from skdim._version import compare_versions, is_later, release
from skdim.exceptions import VersionWarning


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


@pytest.mark.parametrize("version", [None, skdim.__version__, "0.2.0", "0.2.0.dev3"])
def test_promised_versions_are_not_warned_about(version):
    compare_versions(version)


@pytest.mark.parametrize("version", ["0.1.0", "0.1.99", "9.0.0", "unknown"])
def test_versions_that_may_differ_are_named(version):
    with pytest.warns(VersionWarning, match=f"saved by skdim {version} and is read by"):
        compare_versions(version)


def test_an_earlier_release_is_read_without_a_warning(monkeypatch):
    monkeypatch.setattr(_version, "__version__", "0.10.0")
    for version in ("0.2.0", "0.2.7", "0.9.0", "0.10.0.dev1"):
        compare_versions(version)


def test_versions_are_ordered_as_numbers(monkeypatch):
    assert release("0.10.0") > release("0.9.3") > release("0.9") > release("unknown") == ()
    monkeypatch.setattr(_version, "__version__", "0.9.0")
    assert [is_later(v) for v in ("0.10.0", "0.9.1", "0.9.0", "0.8.9", "")] == [1, 1, 0, 0, 0]
