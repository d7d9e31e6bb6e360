"""Files are replaced in one step: whole, or as they were."""

import os
import stat

import pytest

from skdim._files.atomic_write import remove_temporary_files, replace_when_done


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("there_before", [False, True])
def test_a_file_is_replaced_at_the_end_of_the_block(tmp_path, there_before):
    path = tmp_path / "file"
    if there_before:
        path.write_text("old")
    with replace_when_done(path) as temporary:
        temporary.write_text("new")
        assert path.exists() == there_before
        assert not there_before or path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_file_that_was_there(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def write():
        with replace_when_done(path) as temporary:
            temporary.write_text("half")
            raise error("disk full")

    with pytest.raises(error, match="disk full"):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_replacement_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()

    def write():
        with replace_when_done(path) as temporary:
            temporary.write_text("new")

    with pytest.raises(OSError, match="folder"):
        write()
    assert names(tmp_path) == ["folder"]


def test_temporary_files_of_one_path_are_removed_and_no_others(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    with replace_when_done(other) as kept:
        with replace_when_done(path) as removed:
            for name in (kept, removed):
                name.write_text("x")
            assert removed.parent == tmp_path  # on the same file system
            path.write_text("old")
            remove_temporary_files(path)
            assert names(tmp_path) == sorted([kept.name, "file"])
            removed.write_text("new")
        assert path.read_text() == "new"
    assert names(tmp_path) == ["file", "other"]


def test_a_new_file_has_the_mode_of_the_umask_and_an_old_one_keeps_its_own(tmp_path):
    path, usual = tmp_path / "file", tmp_path / "usual"
    usual.touch()
    with replace_when_done(path) as temporary:
        temporary.write_text("new")
    assert mode_of(path) == mode_of(usual)
    for mode in (0o600, 0o640, 0o444, 0o666, 0o755):
        path.chmod(mode)
        with replace_when_done(path) as temporary:
            assert mode_of(temporary) == 0o600
            temporary.write_text(str(mode))
        assert (path.read_text(), mode_of(path)) == (str(mode), mode)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_not_a_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe"), replace_when_done(tmp_path / "pipe"):
        pass
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert names(tmp_path) == ["pipe"]
