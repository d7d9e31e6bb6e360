"""The plan of a fit: epochs, and the parameters that are refused before training."""

import pytest
import skorch.callbacks
from helpers import campaign
from helpers.campaign import Case, Sketch
from skdim._training.config import count_epochs

from skdim import DIMTransformer


@pytest.mark.parametrize(
    ("n", "shape", "expected"),
    [
        (36, (1, 8, 8), 837),
        (1_000, (1, 16, 30), 63),
        (1_000, (1, 50), 33),
        (20, (1, 50), 120),
        (60_000, (3, 32, 32), 4),
        (1_000, (9,), 60),
        (10_000, (9,), 9),
        (1_000, (1, 8, 8, 8), 33),
    ],
)
def test_automatic_epochs(n, shape, expected):
    assert count_epochs(DIMTransformer().max_epochs, n, shape) == expected


pytestmark = pytest.mark.filterwarnings("ignore")  # cases check their warnings themselves


ROWS = Sketch((6, 3))


def fit(sketch, groups=None, modality="rows", **params):
    dim = campaign.transformer(Case(modality, sketch, params))
    return dim.fit(campaign.make(sketch), groups=groups)


@pytest.mark.parametrize("callbacks", [[1], ["a"], [skorch.callbacks.Callback], [("a", 1)]])
def test_what_is_no_callback_is_named(callbacks):
    with pytest.raises(TypeError, match="'callbacks' parameter must hold instances"):
        fit(ROWS, callbacks=callbacks)
