"""Files that are replaced in one step: they are either complete or as they were."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_when_done(path: str | os.PathLike) -> Iterator[Path]:
    """Yield the path of a temporary file, which replaces ``path`` at the end of the ``with`` block.

    It is next to ``path``, so that both are on one file system, and does not exist yet. If the
    block raises, the temporary file is removed and ``path`` is left as it was.
    """
    path = Path(path)
    temporary = temporary_path(path)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_path(path: Path) -> Path:
    """Return the path of a new hidden file next to a path."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def remove_temporary_files(path: Path) -> None:
    """Remove the temporary files that killed processes left next to a path."""
    for temporary in path.parent.glob(f".{path.name}.*"):
        temporary.unlink(missing_ok=True)
