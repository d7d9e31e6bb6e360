"""Every error and warning class of skdim, and the function that warns.

This module imports nothing of skdim, so that every other module may import it.
``ConvergenceWarning`` is that of scikit-learn.
"""

import os
import sys
import warnings

import joblib
import sklearn
from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CollapseWarning",
    "ConvergenceWarning",
    "DataWarning",
    "FewSamplesWarning",
    "FileError",
    "IneffectiveParameterWarning",
    "StopTraining",
    "VersionWarning",
]


# Folders of the packages between a user's line and a warning.
INNER_FOLDERS = tuple(
    os.path.dirname(path) + os.sep for path in (__file__, sklearn.__file__, joblib.__file__)
)


class FileError(ValueError):
    """A file is not what it should be; the message says in which respect."""


class StopTraining(Exception):  # noqa: N818  # not an error
    """Training is to end with this epoch. Raised and caught inside ``fit``; users never see it."""


class CollapseWarning(UserWarning):
    """The codes of all samples lie in very few directions."""


class DataWarning(UserWarning):
    """X was read in a way that was probably not meant."""


class FewSamplesWarning(UserWarning):
    """There are too few samples to expect more than PCA would give."""


class IneffectiveParameterWarning(UserWarning):
    """A parameter was set that has no effect, given the values of the others."""


class VersionWarning(UserWarning):
    """A file was written by another version of skdim."""


def warn(sentence: str, category: type[Warning]) -> None:
    """Warn at the user's line with Python 3.12 or later, at a line of skdim with Python 3.11."""
    if sys.version_info >= (3, 12):
        warnings.warn(sentence, category, skip_file_prefixes=INNER_FOLDERS)
    else:
        warnings.warn(sentence, category, stacklevel=2)
