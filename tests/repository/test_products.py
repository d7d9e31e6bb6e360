"""What the suite samples of a product leaves no choice out, and ``make test-all`` runs the rest."""

import itertools

import pytest
from helpers.products import cover

AXES = [
    [["a", "b", "c"], [1, 2, 3, 4, 5, 6, 7]],
    [range(4), range(6)],
    [range(5), "ab", range(3)],
    [["alone"], ["a", "b"]],
]


@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_every_choice_is_tried_and_every_combination_is_there(axes, seed):
    params = cover(*axes, seed=seed)
    assert [param.values for param in params] == list(itertools.product(*axes))
    drawn = [param.values for param in params if not param.marks]
    assert len(drawn) == max(map(len, axes))
    for position, axis in enumerate(axes):
        assert {values[position] for values in drawn} == set(axis)


def test_a_draw_is_the_same_in_every_process():
    drawn = [param.values for param in cover("abc", "xy") if not param.marks]
    assert drawn == [param.values for param in cover("abc", "xy") if not param.marks]
    assert {mark.name for param in cover("abc", "xy") for mark in param.marks} == {"exhaustive"}
