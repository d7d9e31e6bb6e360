"""Warnings that point to the user's line, however deep inside of skdim they are raised."""

import inspect
import traceback
import warnings

# Packages between the user's line and a warning.
INNER_PACKAGES = ("skdim", "sklearn", "joblib", "contextlib")


def warn(sentence: str, category: type[Warning]) -> None:
    """Warn at the first line outside skdim and scikit-learn."""
    stack = traceback.walk_stack(inspect.currentframe())
    names = (frame.f_globals.get("__name__", "") for frame, _ in stack)
    outer = (level for level, name in enumerate(names) if name.split(".")[0] not in INNER_PACKAGES)
    warnings.warn(sentence, category, stacklevel=next(outer, 0) + 1)
