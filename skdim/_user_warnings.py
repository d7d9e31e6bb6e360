"""Warnings that point to the user's line, once in each call, however often it fits.

Python shows a warning once a line, but forgets which it has shown when filters change, and
scikit-learn changes them around every fit of a search: seventeen fits would warn seventeen times.
"""

import inspect
import threading
import traceback
import warnings
from types import FrameType

# Packages between the user's line and a warning.
INNER_PACKAGES = ("skdim", "sklearn", "joblib", "contextlib")

# What calls functions in other threads and processes, where no line is the user's.
RUNNERS = ("concurrent", "multiprocessing", "runpy", "threading")

# Among the local variables of a call, which end with it: the sentences it has warned of. No name
# of a variable has a space.
NOTE = "sentences of skdim"

# Those of threads and processes without a line of the user's, where no call outlives a fit.
warned_by_workers: set[str] = set()
lock = threading.RLock()


def warn(sentence: str, category: type[Warning]) -> None:
    """Warn at the first line outside skdim and scikit-learn, once in each call from that line.

    A worker of joblib, in another thread or process, warns once.
    """
    here = inspect.currentframe()
    callers = [frame for frame, _ in traceback.walk_stack(here and here.f_back)]
    # A frame among its own variables would keep all others, and what fits left in them, until the
    # garbage collector comes.
    del here
    users = (i for i, frame in enumerate(callers) if _package(frame) not in INNER_PACKAGES)
    level = next(users, 0)
    if level == 0 or _package(callers[level]) in RUNNERS:
        level, warned = 0, warned_by_workers
    else:
        warned = callers[level - 1].f_locals.setdefault(NOTE, set())
    with lock:
        if sentence not in warned:
            warnings.warn(sentence, category, stacklevel=level + 2)
            warned.add(sentence)  # after: a warning that was made an error is raised every time


def _package(frame: FrameType) -> str:
    """Return the package of the code of a frame, also of one that ``python -m`` runs."""
    spec = frame.f_globals.get("__spec__")
    name = frame.f_globals.get("__name__", "")
    return (spec.name if name == "__main__" and spec else name).split(".")[0]
