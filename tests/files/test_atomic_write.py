"""Files are replaced in one step."""

import os

import pytest

from skdim._files.safe import read, write


def test_a_write_that_fails_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    write(tmp_path / "state", {"a": 1})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("skdim._files.atomic_write.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "state", {"a": 2})
    assert read(tmp_path / "state", {}) == {"a": 1}
    assert os.listdir(tmp_path) == ["state"]
