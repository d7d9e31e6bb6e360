"""The experiments of the paper run from end to end, on a budget too small for results."""

from functools import partial

import numpy as np
import pytest

from benchmarks.paper import coordinates, crops, priors, protocol, sensitivity, weights


@pytest.fixture(scope="module")
def budget():
    return protocol.BUDGETS["small"]._replace(n_epochs=1, scale=0.05, critic_width=8)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (120, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(120) % 4
    return protocol.Data(images[:80], labels[:80], images[80:], labels[80:])


def test_layers_are_those_of_the_encoder(budget, data):
    model = protocol.dim(budget, "local", "jsd", 0).fit(data.X)
    layers = protocol.layers_of(model, data.X)
    shapes = [layers[name].shape for name in ("conv", "fc", "Y")]
    assert shapes == [(80, 13 * 4 * 4), (80, 51), (80, 64)]  # a twentieth of 256 and 1024
    hidden = model.set_params(output="hidden").transform(data.X)
    for column in range(5):
        assert np.corrcoef(hidden[:, column], layers["fc"][:, column])[0, 1] > 0.999


@pytest.mark.parametrize("n_negatives", [1, 7])
def test_sensitivity(budget, data, n_negatives):
    bound = partial(sensitivity.with_few_negatives, name="jsd", n_negatives=n_negatives)
    assert 0 <= sensitivity.cell(budget, data, bound, 0)["Y"] <= 100


def test_coordinates(budget, data):
    assert set(coordinates.ROWS) == set(coordinates.PUBLISHED)
    cell = coordinates.cell(budget, data, coordinates.ROWS["DIM (coord + occlude)"], 0)
    assert set(cell) == {"conv", "fc", "Y"}


def test_crops(budget, data):
    for encoder in crops.ROWS.values():
        assert set(crops.cell(budget, data, {"encoder": encoder}, 0)) == {"hidden", "code"}


def test_priors(budget, data):
    for name in priors.RANGES:
        cell = priors.cell(budget, data, name, 1.0, 0)
        assert 0 < cell["distance"] <= 1


# One of the weights of the prior is 0, and then the penalty of the paper has no effect.
@pytest.mark.filterwarnings("ignore::skdim.exceptions.IneffectiveParameterWarning")
def test_weights(budget, data, monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "GLOBAL", (0.0, 1.0))
    monkeypatch.setattr(weights, "LOCAL", (0.0, 1.0))
    monkeypatch.setattr(weights, "mine", lambda *_, **__: 1.0)
    monkeypatch.setattr(weights, "dependence", lambda *_, **__: 0.5)
    found = weights.search(budget, data, 0.0)
    assert found["pairs"] == [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]
    assert all(len(found[measured]) == 3 for measured in weights.MEASURES)


@pytest.mark.parametrize(
    ("higher", "lower", "outcome"),
    [
        ([3.0, 3.1, 2.9], [1.0, 1.1, 0.9], "holds"),
        ([1.0, 1.1, 0.9], [3.0, 3.1, 2.9], "CONTRADICTED"),
        ([1.0, 3.0, 2.0], [1.5, 2.5, 1.0], "unresolved"),
        ([3.0], [1.0], "unresolved"),
    ],
)
def test_orderings_are_asserted_where_two_standard_errors_separate_them(
    capsys, higher, lower, outcome
):
    orderings = protocol.Orderings()
    orderings.check("first over second", higher, lower)
    assert capsys.readouterr().out.startswith(outcome)
    assert orderings.n_contradicted == (outcome == "CONTRADICTED")


def test_numbers_that_were_not_verified_are_printed_without_a_difference():
    assert "(-1.00)" in protocol.beside([2.0], published=3.0)
    assert "unverified" in protocol.beside([2.0], recalled=3.0)
    assert "(-1.00)" not in protocol.beside([2.0], recalled=3.0)
