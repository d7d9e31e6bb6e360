"""The experiments of the paper run from end to end, on a budget too small for results."""

import argparse

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributions import MultivariateNormal

from benchmarks import common
from benchmarks.paper import (
    coordinates,
    crops,
    folders,
    independence,
    measures,
    neighbors,
    priors,
    protocol,
    sensitivity,
    summary,
    table1,
    weights,
)
from benchmarks.paper import jsd_and_information as jsd
from skdim.encoders import ENCODERS
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


@pytest.mark.parametrize("name", crops.ROWS)
def test_crops(budget, data, name):
    cell = crops.cell(budget, data, name, "cifar10", {}, 0)
    assert set(cell) == {"local map", crops.ROWS[name].further} - {None}


def test_crops_have_no_prior_and_several_globals_no_output_layer(budget, data):
    name = "DIM(L), several globals"
    model = crops.build(name, budget, "cifar10", 0).fit(data.X)
    assert not model.prior_weight
    # A twentieth of 1,024 channels, at 25 windows; the local map has 7 x 7 locations.
    layers = crops.encode_layers(model, data.X[:3], ["local map", "global codes"])
    assert [layers[layer].shape for layer in layers] == [(3, 49 * 51), (3, 25 * 51)]
    assert isinstance(model.encoder_.code, torch.nn.Identity)


def test_the_local_map_of_alexnet_on_crops_has_the_units_of_the_authors(budget):
    full = protocol.BUDGETS["full"]
    widths = [crops.build(name, full, "folder", 0).critic_width for name in list(crops.ROWS)[:2]]
    assert widths == [1024, 1024]
    with torch.device("meta"):  # sizes only, no numbers
        encoder = ENCODERS["paper_crops_alexnet64"]((3, 64, 64), 64).eval()
        assert encoder(torch.zeros(1, 3, 64, 64)).local_maps[0].numel() == 9408


@pytest.fixture
def folder(tmp_path):
    """Images of two classes in files, as `folders` reads them; 20 x 20 pixels."""
    rng = np.random.default_rng(0)
    for part, n in (
        ("train/a", 8),
        ("train/b", 8),
        ("test/a", 4),
        ("test/b", 4),
        ("unlabelled", 6),
    ):
        (tmp_path / part).mkdir(parents=True)
        for i in range(n):
            picture = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / part / f"{i}.png")
    return tmp_path


def test_a_folder_is_read_with_its_labels_and_its_images_without(folder, budget):
    data = folders.read(folder, 32, budget._replace(n_train=10, n_test=100))
    assert data.X.shape == (10, 32, 32, 3)
    assert data.X_test.shape == (8, 32, 32, 3)
    assert sorted(data.y_test) == ["a"] * 4 + ["b"] * 4
    assert data.all_images.shape == (16, 32, 32, 3)
    again = folders.read(folder, 32, budget._replace(n_train=10, n_test=100))
    assert (again.X == data.X).all()


@pytest.mark.parametrize("model", ["VAE", "DIM(L) infoNCE", table1.SUPERVISED])
def test_a_row_of_a_folder(folder, budget, model):
    data_set = folders.DATA_SETS["stl10"]._replace(size=32, encoder="paper32")
    data = folders.read(folder, 32, budget)
    setup = folders.setup_of(data_set, model)
    assert setup["augment"] is data_set.augment
    cell = table1.accuracies(model, budget, data, 0, **setup)
    assert set(cell) == set(table1.columns_of(model))


def test_neighbors(budget, data):
    for model in neighbors.MODELS:
        cell = neighbors.cell(budget, data, model, 0)
        assert 0 <= cell["same class"] <= 100
        assert np.shape(cell["shown"]) == (10, 4)


def test_independence(budget, data, monkeypatch, tmp_path):
    monkeypatch.setattr(independence, "dependence", lambda *_, **__: 0.5)
    found = {}
    for method, (build, values) in independence.METHODS.items():
        cell = independence.cell(budget, data, build, values[-1], 0)
        assert set(cell) == set(independence.MEASURES)
        found[method] = {value: [cell, cell] for value in values}
    independence.draw(found, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size
    for method, steps in independence.STEPS.items():
        assert {value for step in steps for value in step} <= set(independence.METHODS[method][1])


def test_the_jsd_of_tables_and_of_gaussian_pairs():
    independent = np.outer([0.2, 0.8], [0.5, 0.5])
    assert jsd.mutual_information(independent) == pytest.approx(0)
    assert jsd.jensen_shannon(independent) == pytest.approx(0)
    copied = np.eye(4) / 4
    assert jsd.mutual_information(copied) == pytest.approx(np.log(4))
    # Of densities 1/4 on the diagonal and 1/16 everywhere.
    on, off = 0.25 * np.log(0.25 / (5 / 32)), np.log(2) / 16
    expected = 4 * on + 4 * np.log((1 / 16) / (5 / 32)) / 16 + 12 * off
    assert jsd.jensen_shannon(copied) == pytest.approx(expected)
    x, y = torch.tensor([[0.3, -1.2], [0.7, 0.1]], dtype=torch.float64)
    covariance = torch.tensor([[1, 0.6], [0.6, 1]], dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    correlated, independent = (
        MultivariateNormal(zero, c) for c in (covariance, torch.eye(2, dtype=torch.float64))
    )
    pairs = torch.stack([x, y], 1)
    torch.testing.assert_close(
        jsd.log_ratio(x, y, 0.6), correlated.log_prob(pairs) - independent.log_prob(pairs)
    )


def test_the_paper_s_probe_is_the_mean_of_its_last_epochs():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 240)
    x = (rng.normal(size=(240, 5)) + 3 * y[:, None]).astype(np.float32)
    names = np.array(["no", "yes"])[y]
    parts = x[:160], names[:160], x[160:], names[160:]
    last, late, whole = (
        protocol.paper_probe(*parts, seed=0, n_epochs=40, n_last=n) for n in (1, 5, 40)
    )
    assert late > 0.9
    assert last == pytest.approx(late, abs=0.1)
    assert whole < late - 0.05  # early epochs are worse
    assert protocol.BUDGETS["full"].probe == "paper"
    assert protocol.BUDGETS["full"].n_seeds >= 3


@pytest.mark.parametrize("name", ["table1", "measures", "coordinates"])
def test_cells_of_results_are_known_to_their_scripts(name):
    given = argparse.Namespace(budget="small", fresh=False)
    assert protocol.Cells(name, given, protocol.BUDGETS["small"]).cells


def test_a_number_of_epochs_has_a_file_of_its_own():
    given = argparse.Namespace(budget="small", fresh=False, epochs=60)
    budget = protocol.BUDGETS["small"]._replace(n_epochs=60)
    assert protocol.Cells("table1", given, budget).path.name == "paper_table1_small_60_epochs.json"


@pytest.mark.parametrize("line", summary.LINES, ids=lambda line: line.what)
def test_a_line_is_made_of_whatever_was_measured(line):
    """Also of no cells at all."""
    if line.summarise is not None and line.result != "jsd":
        assert summary.status_of(line.summarise({}).gaps) == "not run"


def test_the_page_of_the_paper_has_the_table_of_the_results():
    table = "\n".join([summary.HEAD, *map(summary.as_row, summary.LINES)])
    page = summary.PAGE.read_text(encoding="utf-8")
    assert summary.page_with(table, page) == page, "run python -m benchmarks.paper.summary --write"
    assert table in page


@pytest.mark.parametrize(
    ("gaps", "status"),
    [
        ([("a", np.array([1.0, 1.1]))], "ordering holds (1 of 1)"),
        (
            [("a", np.array([1.0, 1.1])), ("b", np.array([-1.0, -1.1]))],
            "**contradicted**: b (1 of 2 hold)",
        ),
        ([("a", np.array([1.0, 1.1]), np.array([0.0, 3.0]))], "unresolved: a (0 of 1 hold)"),
        (
            [("a", np.array([1.0, 1.1])), ("b", np.array([1.0]), np.array([]))],
            "not run: 1 (1 of 2 hold)",
        ),
    ],
)
def test_a_status_names_what_does_not_hold(gaps, status):
    assert summary.status_of(gaps) == status


def test_measures(budget, data):
    effort = measures.Effort(
        n_images=40,
        svm={"C": 0.01, "max_iter": 10},
        decoder={"n_filters": 4, "max_epochs": 1},
        mine={"max_epochs": 1},
        ndm={"max_epochs": 1},
    )
    cell = measures.measure("DIM(L)", budget, effort, data, 0)
    assert set(cell) == {"SVM conv", "SVM fc", "SVM Y", "MS-SSIM", "MINE", "NDM", "NDM raw"}
    assert all(0 <= accuracy <= 100 for accuracy in cell["SVM Y"])
    assert 0 <= cell["MS-SSIM"] <= 1


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
    assert "(-1.00)" in protocol.comparison([2.0], published=3.0)
    assert "unverified" in protocol.comparison([2.0], recalled=3.0)
    assert "(-1.00)" not in protocol.comparison([2.0], recalled=3.0)


def test_the_first_table_has_every_model_and_layer(monkeypatch, capsys, budget):
    class Cells:
        def get(self, key, compute):
            return {**compute(), "seconds": 0}

    def accuracies(model, budget, data, seed):
        return dict.fromkeys(table1.columns_of(model), 50.0 + seed)

    monkeypatch.setattr(table1, "accuracies", accuracies)
    table = table1.make_table("CIFAR-10", budget._replace(n_seeds=2), None, Cells())
    assert {model for model, _ in table} == set(table1.MODELS)
    assert all(found == [50, 51] for found in table.values())
    printed = capsys.readouterr().out
    assert all(f"\n{model}" in printed for model in table1.MODELS)
