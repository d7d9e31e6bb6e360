"""Nearest neighbours, against plain arithmetic."""

import numpy as np
import pytest
import torch

from skdim.evaluation import nearest_neighbors


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_a_sample_is_its_own_nearest_neighbor():
    features = noise(50, 6)
    distances, indices = nearest_neighbors(features, features[10:20])
    assert distances.shape == indices.shape == (10, 4)
    np.testing.assert_array_equal(indices[:, 0], range(10, 20))
    np.testing.assert_array_equal(distances[:, 0], 0)
    assert (np.diff(distances) >= 0).all()


def test_neighbors_equal_those_of_plain_arithmetic():
    features, queries = noise(40, 5), noise(7, 5, seed=1)
    apart = np.abs(queries[:, None] - features).sum(2)  # (7, 40)
    distances, indices = nearest_neighbors(features, queries, n_neighbors=3)
    np.testing.assert_array_equal(indices, apart.argsort(1)[:, :3])
    np.testing.assert_allclose(distances, np.sort(apart, 1)[:, :3], rtol=1e-5)


def test_neighbors_of_images_and_of_tensors_are_those_of_their_rows():
    images = noise(20, 4, 5)
    expected = nearest_neighbors(images.reshape(20, 20), images[:3].reshape(3, 20))
    for samples in (images, torch.from_numpy(images)):
        for array, rows in zip(nearest_neighbors(samples, samples[:3]), expected, strict=True):
            np.testing.assert_array_equal(array, rows)


def test_neighbors_are_those_in_double_precision():
    features = 1e9 + np.arange(4.0)[:, None]
    _, indices = nearest_neighbors(features, features, n_neighbors=1)
    np.testing.assert_array_equal(indices[:, 0], range(4))


ROWS = noise(20, 3)
ERRORS = [
    (lambda: nearest_neighbors(ROWS, ROWS, n_neighbors=21), "'n_neighbors' .* 20.* Got 21"),
    (lambda: nearest_neighbors(ROWS, ROWS[:, 1:]), "'queries' .* 3 features.* Got 2"),
    (lambda: nearest_neighbors(ROWS, ROWS * np.nan), "queries contains NaN"),
    (lambda: nearest_neighbors([["a"]], ROWS), "could not convert string to float: 'a'"),
]


@pytest.mark.parametrize(("provoke", "sentence"), ERRORS)
def test_an_error_names_the_argument(provoke, sentence):
    with pytest.raises(ValueError, match=f"(?s){sentence}"):
        provoke()
