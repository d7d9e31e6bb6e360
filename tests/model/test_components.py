"""Components are what samples differ in, and views of one sample do not."""

import numpy as np
import pytest
import torch
from scipy.linalg import fractional_matrix_power
from sklearn.linear_model import LinearRegression

from skdim import DIMTransformer
from skdim._model.components import N_DAMPED, damp, damped_directions, principal_directions


def changes_of(n_pairs, n_units):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n_pairs, n_units)) * np.arange(1, n_units + 1)).astype(np.float32)


@pytest.mark.parametrize("n_pairs", [3, 40])
def test_damping_is_the_inverse_root_of_a_regularised_covariance(n_pairs):
    changes = changes_of(n_pairs, 12).astype(np.float64)
    covariance = changes.T @ changes / n_pairs
    regularised = np.eye(12) + covariance / (3 * np.trace(covariance) / 12)
    expected = fractional_matrix_power(regularised, -0.5)
    damped = np.eye(12)
    damp(damped, damped_directions(changes.astype(np.float32)))
    np.testing.assert_allclose(damped, expected, atol=1e-5)


def test_the_directions_are_orthogonal_and_the_longest_first():
    directions = damped_directions(changes_of(300, 200))
    assert directions.shape == (200, N_DAMPED)
    products = directions.T @ directions
    squares = products.diagonal()
    assert np.all(np.diff(squares) <= 0)
    assert 0 < squares.min() < squares.max() < 1
    np.testing.assert_allclose(products, np.diag(squares), atol=1e-5)


def test_the_first_component_is_the_largest_direction_that_views_share():
    rng = np.random.default_rng(0)
    units = (rng.normal(size=(500, 6)) * [1, 3, 2, 1, 1, 1]).astype(np.float32)
    units -= units.mean(0)
    assert np.abs(principal_directions(units, 2)[:, 0]).argmax() == 1
    changes = np.zeros((20, 6), np.float32)
    changes[:, 1] = rng.normal(size=20)  # the direction in which samples differ most
    damp(units, damped_directions(changes))
    assert np.abs(principal_directions(units, 2)[:, 0]).argmax() == 2


def test_views_that_are_all_alike_damp_nothing():
    assert damped_directions(np.zeros((10, 4), np.float32)) is None


@pytest.mark.filterwarnings("ignore:The loss was still falling")
def test_components_are_what_custom_views_leave_alone():
    """A shift of brightness is what images differ in most, until views change it."""
    rng = np.random.default_rng(0)
    brightness = rng.normal(size=200)
    X = 3 * brightness[:, None, None] + rng.normal(size=(200, 8, 8)) * rng.random((200, 1, 1))

    def brighten(batch, generator):
        return batch + 3 * torch.randn(len(batch), 1, 1, 1, generator=generator)

    def known(augment):
        """Part of the variance of the brightness that is linear in the first components."""
        settings = {"max_epochs": 1, "learning_rate": 1e-9, "neighbor_averaging": False}
        dim = DIMTransformer(4, augment=augment, random_state=0, **settings)
        components = dim.fit_transform(X.astype(np.float32))
        return LinearRegression().fit(components, brightness).score(components, brightness)

    assert known(None) > 0.95
    assert known(brighten) < known(None) - 0.05
