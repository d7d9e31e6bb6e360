"""Convolutional encoders: the size of maps, whitened patches, fixed ones in larger images."""

import pytest
import torch

from skdim.encoders import (
    ENCODERS,
    ConvEncoder,
    encode,
)
from skdim.encoders.convolutional import WhiteningStem


@pytest.mark.parametrize(("side", "map_side"), [(8, 4), (16, 4), (28, 7), (32, 4), (64, 4)])
def test_conv_encoder_ends_in_a_map_of_one_size(side, map_side):
    local_map = ConvEncoder((1, side, side), 4).eval()(torch.randn(2, 1, side, side)).local_maps[0]
    assert local_map.shape[1] == map_side**2


def test_conv_encoder_taps_as_many_levels_as_asked_for():
    encoder = ConvEncoder((3, 32, 32), 4, width=8, n_local_maps=2).eval()
    local_maps = encoder(torch.randn(2, 3, 32, 32)).local_maps
    assert [m.shape[1:] for m in local_maps] == [(64, 8), (16, 16)]


@pytest.mark.parametrize("name", ["conv", "resnet"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 32), (1, 8, 8, 12)])
def test_features_are_the_hidden_layer_beside_averages_of_the_last_map(name, shape):
    torch.manual_seed(0)
    encoder = ENCODERS[name](shape, 4, width=2, n_hidden=6, n_patches=0).eval()
    x = torch.randn(3, *shape)
    hidden, parts = encoder(x).hidden.tensor_split([6], dim=1)
    assert encoder.code(hidden).equal(encoder(x).code)
    assert encoder.hidden(parts).equal(hidden)
    local_map = encoder(x).local_maps[-1]  # (3, n_locations, n_channels)
    n_parts = 2 ** len(shape[1:])
    averages = parts.unflatten(1, (-1, n_parts)).mean(2)  # of all parts, which are of one size
    torch.testing.assert_close(averages, local_map.mean(1))

    encoder.reads_map = False
    assert encoder(x).hidden.equal(hidden)


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 16, 16), (1, 8, 8, 8)])
def test_whitened_patches_are_uncorrelated_and_of_equal_variance(shape):
    torch.manual_seed(0)
    n_channels, *sides = shape
    samples = torch.randn(200, *shape).cumsum(-1)
    samples += samples.mean(1, keepdim=True)
    stem = WhiteningStem(len(sides), n_channels, patch=3, stride=1, max_filters=10**6)
    stem.adapt(samples, n_patches=10**9, regularization=0.0)
    white = stem(samples)
    inner = white[(slice(None), slice(stem.n_kept), *[slice(1, -1)] * len(sides))]
    inner = inner.transpose(0, 1).flatten(1)
    covariance = torch.cov(inner)
    torch.testing.assert_close(covariance, torch.eye(stem.n_kept), rtol=0, atol=2e-2)
    assert white[:, stem.n_kept :].equal(-white[:, : stem.n_kept])


def test_a_stem_of_few_filters_keeps_the_largest_components():
    torch.manual_seed(0)
    samples = torch.randn(50, 1, 12, 12).cumsum(-1)
    whole, part = (WhiteningStem(2, 1, 3, 1, max_filters) for max_filters in (18, 8))
    whole.adapt(samples)
    part.adapt(samples)
    assert part.filters.equal(whole.filters[:4])


@pytest.mark.parametrize(
    ("shape", "n_patches", "n_slow", "n_fixed"),
    [
        ((1, 16, 16), 20, 5, 80),
        ((1, 16, 16), 20, 30, 320),
        ((1, 16, 16), 20, 0, 80),
        ((3, 64, 70), 20, 5, 80),
        ((3, 64, 70), 0, 5, 0),
        ((1, 15, 40), 20, 5, 0),
        ((9, 16, 16), 20, 5, 0),
        ((1, 16, 16, 16), 20, 5, 0),
    ],
)
def test_images_with_room_have_patches(shape, n_patches, n_slow, n_fixed):
    sizes = {"width": 8, "n_hidden": 8, "n_patches": n_patches, "n_slow": n_slow}
    encoder = ENCODERS["conv"](shape, 4, **sizes).eval()
    encoder.adapt(torch.randn(30, *shape))
    with torch.no_grad():
        fixed = encode(encoder, torch.randn(3, *shape)).fixed
    assert (fixed is None) == (n_fixed == 0)
    assert fixed is None or (fixed.shape == (3, n_fixed) and fixed.isfinite().all())
