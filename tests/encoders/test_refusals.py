"""x"""

import pytest

from skdim.encoders import (
    ENCODERS,
)


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("conv", (1, 7, 20), "at least 8 on every side"),
        ("conv", (9,), "at least 8 on every side"),
        ("resnet", (3, 100), "'channel_axis' parameter"),
        ("signal", (2, 3), "at least 4 points in time"),
        ("mlp", (1, 8, 8), "samples of one axis"),
        ("paper32", (3, 100), "needs images"),
        ("paper_alexnet64", (3, 8, 8), "too small"),
    ],
)
def test_unfit_samples_are_refused(name, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        ENCODERS[name](shape, 4)
