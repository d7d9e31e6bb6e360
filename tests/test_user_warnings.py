"""A warning is said at the line of the user."""

import inspect
import warnings

import pytest

from skdim._user_warnings import warn


def say(sentence):
    warn(sentence, UserWarning)


LINE = inspect.getsourcelines(say)[1] + 1


def test_a_warning_points_to_the_line_that_is_not_of_skdim():
    with pytest.warns(UserWarning, match=r"^Mind this\.$") as caught:
        say("Mind this.")
    assert [(w.filename, w.lineno) for w in caught] == [(__file__, LINE)]


def test_a_warning_that_is_an_error_is_raised_every_time():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(UserWarning, match="Mind that"):
                say("Mind that.")
