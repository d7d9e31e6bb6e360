"""The versions of skdim and of the format of its files, and comparison with those of a file."""

import re

__version__ = "0.2.0"

# Files and pickles state this number. It rises when an earlier version would misread them; each
# rise has its migration in `skdim._model.migrations`.
FORMAT = 6

# The first version whose files give the same features in every later version.
FIRST_PROMISED = "0.2.0"


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, without its suffix: (0, 3, 0) for 0.3.0.dev1.

    >>> release("0.3.0.dev1")
    (0, 3, 0)
    """
    numbers = re.match(r"\d{1,9}(\.\d{1,9})*", version)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()


def is_later(version: str) -> bool:
    """Whether a version is later than this one."""
    return release(version) > release(__version__)


def compare_versions(written_by: str | None) -> None:
    """Warn if features may differ from those of the version that saved a transformer."""
    if written_by is None:
        return
    if not release(FIRST_PROMISED) <= release(written_by) <= release(__version__):
        from skdim.exceptions import VersionWarning, warn  # imports scikit-learn

        warn(
            f"This transformer was saved by skdim {written_by} and is read by {__version__}: "
            "features may differ. Fit it again with this version, or read it with that one.",
            VersionWarning,
        )
