"""Every error and warning class of skdim.

This module imports nothing of skdim, so that every other module may import it.
``ConvergenceWarning`` is that of scikit-learn.
"""

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


class FileError(ValueError):
    """A file is not what it should be; the message says in which respect."""


class StopTraining(Exception):  # noqa: N818  # no error
    """Training is to end with this epoch. Raised and caught inside ``fit``; users never see it."""


class CollapseWarning(UserWarning):
    """The codes of all samples lie in very few directions."""


class DataWarning(UserWarning):
    """X was read in a way that is likely not the one that was meant."""


class FewSamplesWarning(UserWarning):
    """There are too few samples to expect more than PCA would give."""


class IneffectiveParameterWarning(UserWarning):
    """A parameter was set that has no effect beside the values of the others."""


class VersionWarning(UserWarning):
    """A file was written by another version of skdim."""
