"""Coordinates: positions in the order of a flattened map, likelihoods known in closed form."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from skdim.encoders.contract import as_local_map
from skdim.objective.coordinates import (
    COORDINATES,
    AbsoluteCoordinates,
    RelativeCoordinates,
    log_likelihood,
    positions_in_map,
)
from skdim.optimization import backward_and_step

TASKS = {task for tasks in COORDINATES.values() for task in tasks}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def map_of_positions(n, side, n_axes):
    """Local vectors that hold their position."""
    axes = torch.meshgrid(*[torch.arange(float(side))] * n_axes, indexing="ij")
    return as_local_map(torch.stack(axes).expand(n, n_axes, *[side] * n_axes))


@pytest.mark.parametrize(("side", "n_axes"), [(7, 1), (1, 2), (4, 2), (3, 3)])
def test_positions_are_in_the_order_of_a_flattened_map(side, n_axes):
    positions = positions_in_map(side**n_axes, n_axes)
    assert positions.equal(map_of_positions(1, side, n_axes)[0].long())
    expected = np.stack(np.unravel_index(np.arange(side**n_axes), [side] * n_axes), 1)
    np.testing.assert_array_equal(positions.numpy(), expected)


@pytest.mark.parametrize(("n_locations", "n_axes"), [(12, 2), (16, 3), (5, 0)])
def test_maps_without_equal_axes_are_refused(n_locations, n_axes):
    with pytest.raises(ValueError, match="'coordinate_weight' parameter must be 0, unless"):
        positions_in_map(n_locations, n_axes)


def test_likelihood_is_the_plain_sum_over_axes():
    torch.manual_seed(0)
    logits, positions = torch.randn(6, 2 * 3), torch.randint(3, (6, 2))
    expected = 0.0
    for of_sample, position in zip(logits.double(), positions, strict=True):
        for axis in range(2):
            of_axis = of_sample[3 * axis : 3 * axis + 3]
            expected += float(of_axis[position[axis]] - of_axis.exp().sum().log())
    assert log_likelihood(logits, positions, 3).item() == pytest.approx(expected / 6, rel=1e-5)


@pytest.mark.parametrize("task", sorted(TASKS, key=str))
def test_a_uniform_guess_has_the_likelihood_of_chance(task):
    task = task(4, (9, 5), 2)
    nn.init.zeros_(task.predictor[-1].weight)
    nn.init.zeros_(task.predictor[-1].bias)
    found = task(torch.randn(2, 6, 4), torch.randn(2, 6, 9, 5), seeded())
    n_positions = {AbsoluteCoordinates: 3, RelativeCoordinates: 5}[type(task)]
    assert found.item() == pytest.approx(-2 * math.log(n_positions), rel=1e-5)


@pytest.mark.parametrize("task", sorted(TASKS, key=str))
def test_positions_are_learned_only_from_local_vectors_that_tell_them(task):
    torch.manual_seed(0)
    telling = map_of_positions(8, 3, 2)
    likelihoods = []
    for local_map in (telling, torch.zeros_like(telling)):
        model = task(4, (9, 2), 2)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for step in range(100):
            found = model(torch.randn(8, 4), local_map, seeded(step))
            backward_and_step(optimizer, -found)
        likelihoods.append(found.item())
    assert likelihoods[0] > -0.9
    assert likelihoods[1] < -1.9


@pytest.mark.parametrize("coordinates", COORDINATES)
def test_coordinates_train_with_the_bounds_and_without(quick, images, coordinates):
    both = quick(coordinate_weight=0.5, coordinates=coordinates, max_epochs=4).fit(images)
    first, last = both.history_[0], both.history_[-1]
    assert last["coordinates"] > first["coordinates"]
    assert last["loss"] == pytest.approx(-last["local"] - 0.5 * last["coordinates"], rel=1e-4)
    without = quick(coordinate_weight=1.0, local_weight=0.0, coordinates=coordinates).fit(images)
    assert set(without.score_terms(images)) == {"coordinates"}


def test_signals_and_volumes_have_positions_too(quick):
    rng = np.random.default_rng(0)
    for shape, params in [((40, 64), {"channel_axis": None}), ((12, 8, 8, 8), {})]:
        params = {"channel_axis": None, **params}
        dim = quick(coordinate_weight=1.0, **params).fit(rng.normal(size=shape))
        assert np.isfinite(dim.history_[-1]["coordinates"])
