"""A file that one process at a time has locked; the lock ends with the process."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

try:
    import fcntl
except ImportError:  # Windows: whoever starts the same fit twice there has two writers
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("skdim")

# A forked process inherits open files, and with them locks that must end with its parent.
_open_locks: set[int] = set()


def _close_inherited() -> None:
    for descriptor in _open_locks:
        with suppress(OSError):
            os.close(descriptor)
    _open_locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


def open_lock(path: str | os.PathLike):
    """Return a context manager that holds a lock on a file, which is made if it is not there.

    Raises
    ------
    OSError
        If the file cannot be opened, or is a symbolic link: what that leads to is not ours.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    return _held(os.open(path, flags, 0o666), path)


@contextmanager
def _held(descriptor: int, path: str | os.PathLike) -> Iterator[None]:
    _open_locks.add(descriptor)
    try:
        if fcntl is not None:
            _lock(descriptor, path)
        yield
    finally:
        if descriptor in _open_locks:  # not in a process that was forked meanwhile
            _open_locks.discard(descriptor)
            os.close(descriptor)


def _lock(descriptor: int, path: str | os.PathLike) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.info("Waiting for another process that holds %s.", path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        logger.warning("%s cannot be locked (%s): do not start a fit twice.", path, error.strerror)
