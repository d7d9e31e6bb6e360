"""Classes of errors and warnings: what they are caught as, and that users have seen them all."""

import inspect

import pytest
import sklearn.exceptions
from helpers import manners

from skdim import exceptions

WARNINGS = [
    name for name in exceptions.__all__ if issubclass(getattr(exceptions, name), UserWarning)
]


def test_every_class_is_public():
    classes = {name for name, _ in inspect.getmembers(exceptions, inspect.isclass)}
    assert classes == set(exceptions.__all__)


def test_errors_are_caught_as_what_they_are():
    assert issubclass(exceptions.FileError, ValueError)
    assert exceptions.ConvergenceWarning is sklearn.exceptions.ConvergenceWarning
    assert not issubclass(exceptions.StopTraining, ValueError | RuntimeError | KeyboardInterrupt)


@pytest.mark.parametrize("name", WARNINGS)
def test_every_warning_is_on_the_page_of_errors(name):
    kinds = {case.kind for case in manners.WARNINGS}
    assert getattr(exceptions, name) in kinds
