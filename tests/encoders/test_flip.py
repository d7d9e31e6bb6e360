"""Flip averaging: a sample and its flip have the same code."""

import pickle

import numpy as np
import pytest
import torch

from skdim.augmentation import move
from skdim.encoders import (
    ENCODERS,
    ConvEncoder,
    FlipAverage,
    encode,
)


def test_flip_averaged_features_are_those_of_the_flipped_image(quick, images):
    dim = quick(flip_averaging=True).fit(images)
    features, flipped = dim.transform(images), dim.transform(images[:, :, ::-1])
    np.testing.assert_allclose(features, flipped, rtol=0, atol=1e-4)
    again = pickle.loads(pickle.dumps(dim))
    assert np.array_equal(again.transform(images), features)


def test_flip_average_gives_a_sample_and_its_flip_the_same_code():
    torch.manual_seed(0)
    inner = ConvEncoder((1, 8, 8), 4, width=8, n_hidden=16).eval()
    encoder, x = FlipAverage(inner).eval(), torch.randn(3, 1, 8, 8)
    ours, flipped = encoder(x), encoder(x.flip(-1))
    torch.testing.assert_close(ours.code, flipped.code)
    torch.testing.assert_close(ours.hidden, flipped.hidden)
    assert ours.local_maps[0].equal(inner(x).local_maps[0])
    assert not ours.code.allclose(inner(x).code)
    encoder.train()
    assert encoder(x).hidden.equal(inner(x).hidden)


def test_flip_average_averages_what_is_fixed():
    class Fixed(ENCODERS["conv"]):
        def fixed_features(self, x):
            return x.flatten(1)

    encoder, x = FlipAverage(Fixed((1, 8, 8), 4)).eval(), torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(encode(encoder, x).fixed, ((x + x.flip(-1)) / 2).flatten(1))


@pytest.mark.parametrize(
    ("shape", "params", "is_averaged"),
    [
        ((12, 3, 8, 8), {"channel_axis": 1}, True),
        ((12, 8, 8, 3), {"augment": move}, False),  # views of one's own may not be flipped
        ((12, 8, 8, 3), {"augment": None}, False),
        ((12, 8, 8, 3), {"flip_averaging": False}, False),
        ((12, 8, 8, 2), {}, False),
        ((12, 8, 8), {}, False),
        ((12, 2, 8), {"channel_axis": 1}, False),
    ],
)
def test_features_are_averaged_where_default_views_are_flipped(quick, shape, params, is_averaged):
    X = np.random.default_rng(0).normal(size=shape)
    dim = quick(**params).fit(X)
    assert isinstance(dim.encoder_, FlipAverage) == is_averaged
