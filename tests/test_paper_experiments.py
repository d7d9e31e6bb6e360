"""The experiments of the paper run from end to end, on a budget too small for results."""

import argparse

import numpy as np
import pytest
import torch

from benchmarks import common
from benchmarks.paper import coordinates, crops, priors, protocol, sensitivity, weights
from skdim.mutual_information import ESTIMATORS


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


@pytest.fixture(scope="module")
def scores():
    """Joint and marginal scores of one view, 7 codes and 3 locations, all of them distinct."""
    generator = torch.Generator().manual_seed(0)
    joint = torch.randn(1, 7, 3, generator=generator, dtype=torch.float64)
    marginal = torch.randn(1, 7, 6, 3, generator=generator, dtype=torch.float64)
    return joint, marginal


@pytest.mark.parametrize("name", sensitivity.LABELS)
def test_at_the_highest_level_the_bound_is_that_of_all_pairs(scores, name):
    bound = sensitivity.limited_bound(*scores, name, sensitivity.Level(7, 18))
    assert bound == ESTIMATORS[name](*scores)


def test_a_code_sees_the_images_after_its_own():
    n, n_locations = 5, 2
    others = torch.tensor([[j for j in range(n) if j != i] for i in range(n)])
    marginal = others[None, :, :, None].expand(1, n, n - 1, n_locations)
    for n_seen in (1, 3, 4):
        seen = sensitivity.images_after_its_own(marginal, n_seen)
        assert seen.shape == (1, n, n_seen, n_locations)
        expected = [[(i + t) % n for t in range(1, n_seen + 1)] for i in range(n)]
        assert seen[0, :, :, 0].tolist() == expected
        assert seen[..., 0].equal(seen[..., 1])


@pytest.mark.parametrize("name", sensitivity.LABELS)
@pytest.mark.parametrize("n_negatives", [1, 4])
def test_every_positive_has_negatives_of_its_own(scores, name, n_negatives):
    joint, marginal = scores
    marginal = marginal.clone().requires_grad_()
    torch.manual_seed(0)
    bound = sensitivity.limited_bound(joint, marginal, name, sensitivity.Level(7, n_negatives))
    torch.manual_seed(0)
    total = 0.0
    drawn = torch.randint(6 * 3, (1, 7, 3, n_negatives))
    for i in range(7):
        for k in range(3):
            negatives = marginal[0, i].flatten()[drawn[0, i, k]]
            total = total + ESTIMATORS[name](joint[:, i, k, None], negatives[None, None, :, None])
    torch.testing.assert_close(bound, total / 21)
    # Drawn negatives have gradients, and no others. The locations of a code do not share theirs.
    bound.backward()
    for i in range(7):
        touched = marginal.grad[0, i].flatten().nonzero().flatten().tolist()
        assert touched == sorted(set(drawn[0, i].flatten().tolist()))
    assert (drawn[0, :, 0] != drawn[0, :, 1]).any()


def test_few_images_and_few_negatives_of_them(scores):
    joint, marginal = scores
    expected = ESTIMATORS["jsd"](joint, sensitivity.images_after_its_own(marginal, 2))
    assert sensitivity.limited_bound(joint, marginal, "jsd", sensitivity.Level(3, 6)) == expected


def test_the_mean_over_draws_of_jsd_is_its_bound_of_all_pairs(scores):
    torch.manual_seed(0)
    level = sensitivity.Level(7, 1)
    drawn = [sensitivity.limited_bound(*scores, "jsd", level) for _ in range(2000)]
    expected = ESTIMATORS["jsd"](*scores)
    assert torch.stack(drawn).mean().item() == pytest.approx(expected.item(), abs=0.01)


def test_changes_per_doubling_are_those_of_lines():
    accuracies = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    changes = sensitivity.changes_per_doubling([1, 4, 16], accuracies)
    np.testing.assert_allclose(changes, [0.5, 0.0], atol=1e-12)


def test_sensitivity_runs_from_cells_to_figure(budget, monkeypatch, tmp_path, capsys):
    """Two levels and two seeds; the second run computes nothing."""
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setattr(sensitivity, "RESULTS", tmp_path)
    levels = {1: sensitivity.Level(n_negatives=1), 1008: sensitivity.Level()}
    monkeypatch.setattr(sensitivity, "AXES", {"negatives": levels})
    monkeypatch.setattr(sensitivity, "LEVELS", list(levels.values()))
    given = argparse.Namespace(budget="small", fresh=False)
    cells = protocol.Cells("sensitivity", given, budget)
    for name in sensitivity.LABELS:
        for level in levels.values():
            for seed in range(2):
                gain = level.n_negatives > 1 and name == "infonce"
                cells.add(sensitivity.key_of(name, level, seed), {"Y": 40.0 + seed + 5 * gain})
    again = protocol.Cells("sensitivity", given, budget)
    sensitivity.fill(again, budget._replace(n_seeds=2), n_jobs=1)
    found = sensitivity.read(again, 2)
    lines = list(sensitivity.table("negatives", found["negatives"]))
    assert lines[0] == "| negatives | 1 | 1008 | change per doubling |"
    per_doubling = 5 / np.log2(1008)
    assert lines[-1].endswith(f"| 0.00 +- 0.00 | 5.00 +- 0.00 | {per_doubling:.2f} +- 0.00 |")
    sensitivity.draw(found, 2, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_cell_of_sensitivity(budget, data):
    small = data._replace(
        X=data.X[:, ::2, ::2].astype(np.float32), X_test=data.X_test[:, ::2, ::2].astype(np.float32)
    )
    level = sensitivity.Level(2, 4)
    assert 0 <= sensitivity.accuracy(budget, small, "infonce", level, 0)["Y"] <= 100


@pytest.mark.parametrize(
    ("gaps", "outcome"),
    [([1.0, 1.1, 0.9], "holds"), ([-1.0, -1.1], "CONTRADICTED"), ([1.0], "unresolved")],
)
def test_gaps_of_pairs_are_compared_with_their_standard_error(capsys, gaps, outcome):
    orderings = protocol.Orderings()
    orderings.check_gaps("a gain", gaps)
    assert capsys.readouterr().out.startswith(outcome)
    assert orderings.n_contradicted == (outcome == "CONTRADICTED")


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
