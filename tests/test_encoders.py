"""The contract of every encoder, and what happens to one that breaks it."""

import pytest
import torch
from torch import nn

from skdim.encoders import ENCODERS, ConvEncoder, MLPEncoder, encode

SHAPES = {
    "conv": [(1, 8, 8), (3, 32, 32), (2, 9, 21), (13, 64, 64), (4, 15, 16)],
    "mlp": [(1,), (9,), (100,)],
}
CASES = [(name, shape) for name in ENCODERS for shape in SHAPES[name]]


@pytest.mark.parametrize(("name", "shape"), CASES)
@pytest.mark.parametrize("n_components", [5, None])
def test_contract(name, shape, n_components):
    encoder = ENCODERS[name](shape, n_components).eval()
    code, hidden, local_maps = encode(encoder, torch.randn(3, *shape))
    assert code.shape == (3, n_components or hidden.shape[1])
    assert all(len(local_map) == 3 and local_map.ndim == 3 for local_map in local_maps)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_samples_do_not_see_each_other_in_evaluation(name, shape):
    torch.manual_seed(0)
    encoder = ENCODERS[name](shape, 5).eval()
    x = torch.randn(4, *shape)
    alone, together = encoder(x[:1]).code, encoder(x).code[:1]
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("side", "map_side"), [(8, 4), (16, 4), (28, 7), (32, 4), (64, 4)])
def test_conv_encoder_ends_in_a_map_of_one_size(side, map_side):
    local_map = ConvEncoder((1, side, side), 4).eval()(torch.randn(2, 1, side, side)).local_maps[0]
    assert local_map.shape[1] == map_side**2


def test_a_location_of_rows_is_a_function_of_its_own_columns():
    encoder = MLPEncoder((10,), 4, max_locations=5).eval()
    x = torch.randn(1, 10)
    changed = x.clone()
    changed[0, 4] += 1  # the third group of two columns
    before, after = encoder(x).local_maps[0], encoder(changed).local_maps[0]
    differs = (before != after).any(-1)[0].tolist()
    assert differs == [False, False, True, False, False]


def test_images_too_small_are_refused():
    with pytest.raises(ValueError, match="at least 8 x 8 pixels"):
        ConvEncoder((1, 7, 20), 4)


class ReturnsOnlyACode(nn.Module):
    def forward(self, x):
        return x.flatten(1)


class ReturnsASpatialMap(nn.Module):
    def forward(self, x):
        return x.flatten(1), x.flatten(1), (x,)


@pytest.mark.parametrize("broken", [ReturnsOnlyACode, ReturnsASpatialMap])
def test_broken_contract_is_named(broken):
    with pytest.raises(TypeError, match=f"{broken.__name__} must return a code of shape"):
        encode(broken(), torch.zeros(2, 3, 8, 8))
