"""The suite of the pretended device, which needs a process of its own: see ``run.py``.

Elsewhere, its files are not collected.
"""

import pytest
from helpers.pretended_device import NAME, counts, has_device

collect_ignore_glob = [] if has_device() else ["test_*.py"]


@pytest.fixture(autouse=True)
def no_counts():
    counts.clear()


@pytest.fixture(autouse=True)
def small_layers(monkeypatch):
    """Whether parts of a batch round alike is tried with some samples, rather than with 1024."""
    monkeypatch.setattr("skdim._model.inference.LARGEST_FIXED_LAYER", 2**17)


@pytest.fixture
def few_steps(monkeypatch):
    """Capture the second step of every fit."""
    monkeypatch.setattr("skdim._training.cuda_graph.WORTHWHILE", 2)
    monkeypatch.setattr("skdim._training.cuda_graph.N_WARMUP", 1)


@pytest.fixture
def device():
    return NAME
