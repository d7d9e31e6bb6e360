"""Effective rank: known values, and what it must not depend on."""

import numpy as np
import pytest

from skdim.evaluation import effective_rank


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_effective_rank_of_equal_directions_is_their_number(rank):
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(50, 50)))[0]
    directions = np.linalg.qr(directions - directions.mean(0))[0][:, :rank]  # centred, orthogonal
    features = directions @ np.linalg.qr(np.random.default_rng(1).normal(size=(20, 20)))[0][:rank]
    assert effective_rank(features) == pytest.approx(rank)


def test_effective_rank_ignores_scale_offset_and_rotation():
    features = np.random.default_rng(0).normal(size=(40, 5)) * [5, 4, 3, 2, 1]
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    expected = effective_rank(features)
    assert 1 < expected < 5
    assert effective_rank(7 * features @ rotation + 100) == pytest.approx(expected)
    assert effective_rank(np.ones((4, 3))) == 0
