"""The encoder of tables: groups of columns, missing cells, and columns in parts."""

import numpy as np
import torch

from skdim import DIMTransformer
from skdim.encoders import (
    ENCODERS,
    MLPEncoder,
)


def test_a_location_of_a_table_is_a_function_of_its_group_of_columns():
    encoder = MLPEncoder((10,), 4, max_locations=5).eval()
    x = torch.randn(1, 10)
    changed = x.clone()
    changed[0, 4] += 1  # the third group of two columns
    before, after = encoder(x).local_maps[0], encoder(changed).local_maps[0]
    differs = (before != after).any(-1)[0].tolist()
    assert differs == [False, False, True, False, False]


def test_a_group_shares_a_location():
    encoder = MLPEncoder((5,), 2, column_groups=[(1, 2, 3)]).eval()
    x = torch.randn(1, 5)
    changed = x.clone()
    changed[0, 2] += 1
    (before,), (after,) = encoder(x).local_maps, encoder(changed).local_maps
    assert before.shape[1] == 3  # age, colour, size
    assert (before != after).any(-1)[0].tolist() == [False, True, False]


def test_many_columns_share_locations_and_none_is_lost():
    encoder = MLPEncoder((100,), 2, max_locations=8, column_groups=[(0, 50, 99), (3, 2)])
    columns = encoder.columns
    assert len(columns) <= 8
    assert sorted(columns[columns < 100].tolist()) == list(range(100))


def test_a_missing_cell_is_a_value_of_its_own():
    encoder = MLPEncoder((5,), 4, width=8, n_hidden=8, allow_nan=True).eval()
    rows = torch.randn(6, 5)
    missing, zero = rows.clone(), rows.clone()
    missing[:, 2], zero[:, 2] = torch.nan, 0.0
    with torch.no_grad():
        found, other = encoder(missing), encoder(zero)
    assert torch.isfinite(found.code).all()
    assert not torch.allclose(found.code, other.code)
    is_same = (found.local_maps[0] == other.local_maps[0]).all(2)
    assert is_same.all(0).tolist() == [True, True, False, True, True]


def test_parts_of_columns_are_filled_one_after_the_other():
    encoder = ENCODERS["mlp"]((2,), 4, width=8, n_hidden=8)
    column = torch.arange(0.0, 31.0)  # a third of the numbers in each part of 10
    encoder.adapt(torch.stack([column, (column > 29).float()], 1))
    fixed = encoder.fixed_features(torch.tensor([[-5.0, 0.0], [13.0, 1.0], [40.0, 2.0]]))
    columns, parts = fixed[:, :2], fixed[:, 2:].unflatten(1, (3, 2))
    assert columns.tolist() == [[-5, 0], [13, 1], [40, 2]]
    torch.testing.assert_close(
        parts[:, :, 0], torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.3, 0.0], [1.0, 1.0, 1.0]])
    )
    # Of a column that is nearly always 0, two parts are a single value, and say nothing.
    assert parts[:, :, 1].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_missing_cells_do_not_move_the_quantiles():
    column = torch.randn(200, 1)
    full, holes = (ENCODERS["mlp"]((1,), 4, allow_nan=True) for _ in range(2))
    full.adapt(column)
    holes.adapt(torch.cat([column, torch.full((90, 1), torch.nan)])[torch.randperm(290)])
    assert torch.equal(full.knots, holes.knots)
    fixed = full.fixed_features(torch.tensor([[torch.nan], [0.0]]))
    assert fixed.isfinite().all()
    assert fixed[:, 1].tolist() == [1, 0]


def test_hundreds_of_columns_are_not_divided():
    encoder = ENCODERS["mlp"]((300,), 4, width=8, n_hidden=8)
    encoder.adapt(torch.randn(20, 300))
    assert encoder.fixed_features(torch.randn(2, 300)).shape == (2, 300)


def test_a_linear_classifier_of_hidden_units_has_the_columns():
    rows = np.random.default_rng(0).normal(size=(200, 3))
    small = {"width": 8, "n_hidden": 32}
    dim = DIMTransformer(8, max_epochs=1, output="hidden", encoder_params=small, random_state=0)
    hidden = dim.fit(rows).transform(rows)
    found = hidden[:, 32:35] / hidden[:, 32:35].std(0)
    expected = (rows - rows.mean(0)) / rows.std(0)
    np.testing.assert_allclose(found, expected, atol=1e-4)
