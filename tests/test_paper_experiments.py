"""The paper's experiments run from end to end, at a budget that shows nothing else."""

import importlib
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

PAPER = Path(__file__).parents[1] / "benchmarks" / "paper"


@pytest.fixture(scope="module", autouse=True)
def scripts():
    """Let the scripts import each other as they do when run."""
    sys.path.insert(0, str(PAPER))
    yield
    sys.path.remove(str(PAPER))


@pytest.fixture(scope="module")
def protocol(scripts):
    return importlib.import_module("protocol")


@pytest.fixture(scope="module")
def budget(protocol):
    return protocol.BUDGETS["small"]._replace(n_epochs=1, scale=0.05, critic_width=8)


@pytest.fixture(scope="module")
def data(protocol):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (120, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(120) % 4
    return protocol.Data(images[:80], labels[:80], images[80:], labels[80:])


def test_layers_are_those_of_the_encoder(protocol, budget, data):
    model = protocol.dim(budget, "local", "jsd", 0).fit(data.X)
    layers = protocol.layers_of(model, data.X)
    shapes = [layers[name].shape for name in ("conv", "fc", "Y")]
    assert shapes == [(80, 13 * 4 * 4), (80, 51), (80, 64)]  # a twentieth of 256 and 1024
    hidden = model.set_params(output="hidden").transform(data.X)
    for column in range(5):
        assert np.corrcoef(hidden[:, column], layers["fc"][:, column])[0, 1] > 0.999


@pytest.mark.parametrize("n_negatives", [1, 7])
def test_sensitivity(budget, data, n_negatives):
    script = importlib.import_module("sensitivity")
    estimator = partial(script.with_few_negatives, name="jsd", n_negatives=n_negatives)
    assert 0 <= script.cell(budget, data, estimator, 0)["Y"] <= 100


def test_coordinates(budget, data):
    script = importlib.import_module("coordinates")
    assert set(script.ROWS) == set(script.PUBLISHED)
    cell = script.cell(budget, data, script.ROWS["DIM (coord + occlude)"], 0)
    assert set(cell) == {"conv", "fc", "Y"}


def test_crops(budget, data):
    script = importlib.import_module("crops")
    for encoder in script.ROWS.values():
        assert set(script.cell(budget, data, {"encoder": encoder}, 0)) == {"hidden", "code"}


def test_priors(budget, data):
    script = importlib.import_module("priors")
    for name in script.RANGES:
        cell = script.cell(budget, data, name, 1.0, 0)
        assert 0 < cell["distance"] <= 1


def test_weights(budget, data, monkeypatch, tmp_path):
    script = importlib.import_module("weights")
    monkeypatch.setattr(script, "GLOBAL", (0.0, 1.0))
    monkeypatch.setattr(script, "LOCAL", (0.0, 1.0))
    monkeypatch.setattr(script, "mine", lambda *_, **__: 1.0)
    monkeypatch.setattr(script, "dependence", lambda *_, **__: 0.5)
    found = script.search(budget, data, 0.0)
    assert found["pairs"] == [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]
    assert all(len(found[measured]) == 3 for measured in script.MEASURES)


@pytest.mark.parametrize(
    ("higher", "lower", "outcome"),
    [
        ([3.0, 3.1, 2.9], [1.0, 1.1, 0.9], "holds"),
        ([1.0, 1.1, 0.9], [3.0, 3.1, 2.9], "CONTRADICTED"),
        ([1.0, 3.0, 2.0], [1.5, 2.5, 1.0], "unresolved"),
        ([3.0], [1.0], "unresolved"),
    ],
)
def test_orderings_are_asserted_where_two_standard_errors_part_them(
    protocol, capsys, higher, lower, outcome
):
    orderings = protocol.Orderings()
    orderings.check("first over second", higher, lower)
    assert capsys.readouterr().out.startswith(outcome)
    assert orderings.n_contradicted == (outcome == "CONTRADICTED")


def test_numbers_that_were_not_verified_are_printed_without_a_difference(protocol):
    assert "(-1.00)" in protocol.beside([2.0], published=3.0)
    assert "unverified" in protocol.beside([2.0], recalled=3.0)
    assert "(-1.00)" not in protocol.beside([2.0], recalled=3.0)
