"""Files that are replaced in one step: they are either complete or as they were."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replace_when_done(path: str | os.PathLike) -> Iterator[Path]:
    """Yield the path of an empty temporary file, which replaces ``path`` after the ``with`` block.

    It is next to ``path``, so that both are on one file system. The permissions of an existing file
    do not change; until then, only its owner can read the temporary file. If the block raises, the
    temporary file is removed and ``path`` is left as it was.

    Raises
    ------
    OSError
        If something else than a file is there, such as a folder or a device.
    """
    path = Path(path)
    replaced = _existing(path)
    temporary = temporary_path(path)
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600 if replaced else 0o666))
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if replaced is not None:
            _take_permissions(temporary, replaced)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _existing(path: Path) -> os.stat_result | None:
    """Look at an existing file; raise OSError if it is not a regular file."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "Only a regular file can be replaced", str(path))
    return status


def _take_permissions(temporary: Path, replaced: os.stat_result) -> None:
    """Give a file the owner and the mode of the one that it replaces."""
    mode = stat.S_IMODE(replaced.st_mode)
    if hasattr(os, "chown"):
        with suppress(PermissionError):
            os.chown(temporary, replaced.st_uid, replaced.st_gid)
        if os.stat(temporary).st_gid != replaced.st_gid:
            mode &= ~stat.S_IRWXG  # another group must not get what that group could do
    os.chmod(temporary, mode)


def temporary_path(path: Path) -> Path:
    """Return the path of a new hidden file next to a path."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def remove_temporary_files(path: Path) -> None:
    """Remove the temporary files that killed processes left next to a path."""
    for temporary in path.parent.glob(f".{path.name}.*"):
        temporary.unlink(missing_ok=True)
