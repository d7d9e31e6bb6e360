"""The networks of the paper: published sizes, first weights and layers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from skdim.encoders import (
    ENCODERS,
    encode,
)
from skdim.encoders.paper import Bottleneck

# Shape of a sample, parameters in millions, local map (channels, side), hidden units: the sizes
# of the networks that the paper's authors published.
PUBLISHED = {
    "paper28": ((1, 28, 28), 6.70, (128, 7), 1024),
    "paper32": ((3, 32, 32), 4.92, (128, 8), 1024),
    "paper64": ((3, 64, 64), 11.21, (256, 8), 1024),
    "paper_alexnet64": ((3, 64, 64), 58.42, (384, 15), 4096),
    "paper_resnet19": ((3, 32, 32), 20.28, (512, 8), 1024),
    "paper_resnet34": ((3, 32, 32), 22.59, (512, 8), 1024),
    "paper_crops_alexnet64": ((3, 64, 64), 17.92, (192, 7), 4096),
    "paper_crops_resnet19": ((3, 32, 32), 54.88, (1024, 7), 1024),
    # 3.19 million without the layer to 64 components, which that of the authors does not have.
    "paper_globals_alexnet64": ((3, 64, 64), 3.21, (192, 7), 192),
    # Not of the authors: their crops of 8 pixels under their 25 global codes.
    "paper_globals_resnet19": ((3, 32, 32), 13.99, (1024, 7), 1024),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_of_the_paper_have_their_published_sizes(name):
    shape, millions, (n_channels, side), n_hidden = PUBLISHED[name]
    with torch.device("meta"):  # sizes only, no numbers
        encoder = ENCODERS[name](shape, 64).eval()
        code, hidden, (local_map,), *_ = encoder(torch.zeros(1, *shape))
    assert round(sum(p.numel() for p in encoder.parameters()) / 1e6, 2) == millions
    assert local_map.shape == (1, side**2, n_channels)
    assert hidden.shape == (1, n_hidden)
    assert code.shape == (1, 64)


def test_the_crops_of_alexnet_begin_and_drop_units_as_those_of_the_authors():
    torch.manual_seed(0)
    on_crops, last = ENCODERS["paper_crops_alexnet64"]((3, 64, 64), 64).convolutions
    for layer in on_crops.layers:
        assert layer[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
    # Channels are dropped whole, before they are normalised; the weights are those of torch.
    assert [type(layer) for layer in last] == [nn.Conv2d, nn.Dropout2d, nn.BatchNorm2d, nn.ReLU]
    bound = (192 * 9) ** -0.5
    assert 0.99 * bound < last[0].weight.abs().max() <= bound
    several = ENCODERS["paper_globals_alexnet64"]((3, 64, 64), 64).convolutions[0].layers[3][0]
    assert several.weight.abs().max() <= (384 * 9) ** -0.5


def test_the_hidden_layer_over_crops_of_alexnet_begins_as_that_of_the_authors():
    torch.manual_seed(0)
    encoder = ENCODERS["paper_crops_alexnet64"]((3, 64, 64), 64, scale=0.25)
    linear, dropout, *_ = encoder.hidden
    assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert dropout.p == 0.1
    assert encoder.code.weight.abs().max() <= linear.out_features**-0.5


@pytest.mark.parametrize(
    ("name", "shape", "last_map"),
    [
        ("paper28", (1, 28, 28), (128, 7)),
        ("paper32", (3, 32, 32), (256, 4)),
        ("paper64", (3, 64, 64), (512, 4)),
    ],
)
def test_the_local_layer_may_be_any_convolution(name, shape, last_map):
    torch.manual_seed(0)
    x = torch.randn(2, *shape)
    encoder = ENCODERS[name](shape, 64).eval()
    last = ENCODERS[name](shape, 64, local_layer=-1).eval()
    assert last.load_state_dict(encoder.state_dict()).missing_keys == []
    n_channels, side = last_map
    (top,) = last(x).local_maps
    assert top.shape == (2, side**2, n_channels)
    assert last(x).code.equal(encoder(x).code)
    expected = torch.nn.Sequential(*encoder.convolutions)(x)
    torch.testing.assert_close(top, expected.flatten(2).transpose(1, 2))
    first = ENCODERS[name](shape, 64, local_layer=0).eval()
    assert first(x).local_maps[0].shape[2] == 64


@pytest.mark.parametrize("layer", [3, -4, 1.0, "last"])
def test_a_local_layer_that_does_not_exist_is_refused(layer):
    with pytest.raises(ValueError, match=r"'local_layer' .* 3 layers of Paper32, from -3 to 2\. "):
        ENCODERS["paper32"]((3, 32, 32), 4, local_layer=layer)


def test_a_shortcut_is_a_convolution_with_a_stride():
    block = Bottleneck(3, 2, 6, stride=2).eval()
    x = torch.randn(5, 3, 9, 8)
    convolution, norm = block.shortcut
    expected = norm(functional.conv2d(x, convolution.weight, stride=2))
    torch.testing.assert_close(block(x), (block.residual(x) + expected).relu())


def test_several_global_codes_train_one_at_a_time_and_are_summed_up_in_their_mean(quick):
    X = np.random.default_rng(0).integers(0, 255, (30, 32, 32, 3), dtype=np.uint8)
    params = {"encoder": "paper_globals_resnet19", "encoder_params": {"scale": 0.02}}
    dim = quick(output="code", **params).fit(X)
    assert dim.transform(X).shape == (30, 8)
    assert 0 < dim.score(X) < 1
    encoding = encode(dim.encoder_, torch.randn(5, 3, 32, 32))
    torch.testing.assert_close(encoding.code, encoding.global_codes.mean(1))
    drawn = encoding.draw_codes(torch.Generator().manual_seed(0))
    assert drawn.shape == encoding.code.shape
    is_one = (encoding.global_codes == drawn[:, None]).all(-1)  # (n, n_globals)
    assert is_one.any(1).all()
    many = torch.stack([encoding.draw_codes(torch.Generator().manual_seed(i)) for i in range(400)])
    assert len(many[:, 0, 0].unique()) == encoding.global_codes.shape[1]
