"""Fitted transformers to draw, and a matplotlib that opens no window."""

import pytest
from helpers.displays import ROWS, SHORT, SIGNALS

from skdim import DIMTransformer


@pytest.fixture(autouse=True)
def closed_figures():
    """Draw into memory, and leave no figure open."""
    mpl = pytest.importorskip("matplotlib")
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fitted(images):
    return DIMTransformer(prior_weight=0.1, **{**SHORT, "max_epochs": 3}).fit(images)


@pytest.fixture(scope="module")
def of_signals():
    return DIMTransformer(channel_axis=1, **SHORT).fit(SIGNALS)


@pytest.fixture(scope="module")
def of_rows():
    return DIMTransformer(**SHORT).fit(ROWS)
