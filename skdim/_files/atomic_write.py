"""Files that are replaced in one step: whole, or as they were."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_when_done(path: str | os.PathLike) -> Iterator[Path]:
    """Give the path of a temporary file, which replaces ``path`` at the end of the ``with`` block.

    If the block raises, the temporary file is removed and ``path`` is left as it was.

    Parameters
    ----------
    path : path

    Yields
    ------
    temporary : Path
        Beside ``path``, so that both are on one file system; no such file exists yet.
    """
    path = Path(path)
    temporary = temporary_beside(path)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_beside(path: Path) -> Path:
    """Return a new hidden name beside a path."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def remove_temporary_files(path: Path) -> None:
    """Remove what processes that were killed left beside a path."""
    for temporary in path.parent.glob(f".{path.name}.*"):
        temporary.unlink(missing_ok=True)
