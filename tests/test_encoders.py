"""The contract of every encoder, and what happens to one that breaks it."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from skdim.encoders import (
    DEFAULT_ENCODERS,
    ENCODERS,
    ConvEncoder,
    FlipAverage,
    MLPEncoder,
    encode,
    tap,
)
from skdim.encoders.paper import Bottleneck
from skdim.encoders.whitening import WhiteningStem

SHAPES = {
    "mlp": [(1,), (9,), (100,)],
    "signal": [(1, 4), (3, 24), (2, 1000)],
    "conv": [(1, 8, 8), (3, 32, 32), (2, 9, 21), (13, 64, 64), (4, 15, 16), (1, 8, 9, 17)],
    "resnet": [(1, 8, 8), (3, 32, 32), (2, 9, 21), (2, 8, 8, 9)],
    "paper28": [(1, 28, 28), (3, 20, 31)],
    "paper32": [(3, 32, 32), (1, 8, 8)],
    "paper64": [(3, 64, 64)],
    "paper_alexnet64": [(3, 64, 64)],
    "paper_resnet19": [(3, 32, 32)],
    "paper_resnet34": [(3, 32, 32)],
    "paper_crops_alexnet64": [(3, 64, 64)],
    "paper_crops_resnet19": [(3, 32, 32)],
    "paper_globals_alexnet64": [(3, 64, 64)],
    "paper_globals_resnet19": [(3, 32, 32)],
}
CASES = [(name, shape) for name in ENCODERS for shape in SHAPES[name]]

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


@pytest.mark.parametrize(("name", "shape"), CASES)
@pytest.mark.parametrize("n_components", [5, None])
def test_contract(name, shape, n_components):
    params = {"scale": 0.1} if name in PUBLISHED else {}
    encoder = ENCODERS[name](shape, n_components, **params).eval()
    code, hidden, local_maps, *_ = encode(encoder, torch.randn(3, *shape))
    assert code.shape == (3, n_components or hidden.shape[1])
    assert all(len(local_map) == 3 and local_map.ndim == 3 for local_map in local_maps)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_samples_do_not_see_each_other_in_evaluation(name, shape):
    torch.manual_seed(0)
    params = {"scale": 0.1} if name in PUBLISHED else {}
    encoder = ENCODERS[name](shape, 5, **params).eval()
    x = torch.randn(4, *shape)
    single, together = encoder(x[:1]).code, encoder(x).code[:1]
    torch.testing.assert_close(single, together, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("side", "map_side"), [(8, 4), (16, 4), (28, 7), (32, 4), (64, 4)])
def test_conv_encoder_ends_in_a_map_of_one_size(side, map_side):
    local_map = ConvEncoder((1, side, side), 4).eval()(torch.randn(2, 1, side, side)).local_maps[0]
    assert local_map.shape[1] == map_side**2


def test_conv_encoder_taps_as_many_levels_as_asked_for():
    encoder = ConvEncoder((3, 32, 32), 4, width=8, n_local_maps=2).eval()
    local_maps = encoder(torch.randn(2, 3, 32, 32)).local_maps
    assert [m.shape[1:] for m in local_maps] == [(64, 8), (16, 16)]


@pytest.mark.parametrize("shape", [(2, 40), (1, 12, 12), (3, 16, 16), (1, 8, 8, 8)])
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


def test_a_location_of_a_table_is_a_function_of_its_group_of_columns():
    encoder = MLPEncoder((10,), 4, max_locations=5).eval()
    x = torch.randn(1, 10)
    changed = x.clone()
    changed[0, 4] += 1  # the third group of two columns
    before, after = encoder(x).local_maps[0], encoder(changed).local_maps[0]
    differs = (before != after).any(-1)[0].tolist()
    assert differs == [False, False, True, False, False]


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


def test_every_modality_has_a_default():
    assert set(DEFAULT_ENCODERS) == {1, 2, 3, 4}
    assert set(DEFAULT_ENCODERS.values()) <= set(ENCODERS)


@pytest.mark.parametrize("length", [16, 31, 32, 100, 1000, 20_000])
def test_signal_encoder_ends_in_16_to_33_positions_and_sees_every_point(length):
    encoder = ENCODERS["signal"]((1, length), 4).eval()
    x = torch.zeros(1, 1, length, requires_grad=True)
    local_map = encoder(x).local_maps[0]
    assert 16 <= local_map.shape[1] <= 33
    torch.nn.init.ones_(x.data)
    (gradient,) = torch.autograd.grad(encoder(x).local_maps[0].square().sum(), x)
    assert (gradient != 0).float().mean() > 0.95


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("conv", (1, 7, 20), "at least 8 on every side"),
        ("conv", (9,), "at least 8 on every side"),
        ("resnet", (3, 100), "'channel_axis' parameter"),
        ("signal", (2, 3), "at least 4 points in time"),
        ("mlp", (1, 8, 8), "samples of one axis"),
        ("paper32", (3, 100), "needs images"),
        ("paper_alexnet64", (3, 8, 8), "too small"),
    ],
)
def test_unfit_samples_are_refused(name, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        ENCODERS[name](shape, 4)


class Torchvisionlike(nn.Module):
    """Named layers and a classifier at the end, as torchvision builds them."""

    def __init__(self, width=6):
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, width, 3, 2), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2 * width, 1000)

    def forward(self, x):
        return self.fc(self.avgpool(self.layer2(self.layer1(x))).flatten(1))


class Tokens(nn.Module):
    """A network of tokens, as vision transformers are."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 8, 8)
        self.block = nn.Linear(12, 12)
        self.norm = nn.LayerNorm(12)

    def forward(self, x):
        return self.norm(self.block(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


def test_tap_reads_the_named_layers():
    encoder = tap(Torchvisionlike, local="layer1", hidden="avgpool")((3, 32, 32), 5, width=4).eval()
    x = torch.randn(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    code, hidden, (local_map,), *_ = encode(encoder, x)
    network = encoder.network
    expected = network.layer1(x)
    assert local_map.equal(expected.flatten(2).transpose(1, 2))
    assert hidden.equal(network.avgpool(network.layer2(expected)).flatten(1))
    assert code.equal(encoder.code(hidden))
    assert not network.layer1._forward_hooks


def test_tap_reads_several_maps_and_tokens():
    encoder = tap(Torchvisionlike, local=("layer1", "layer2"), hidden="avgpool")((3, 32, 32), None)
    assert [m.shape[1:] for m in encoder(torch.randn(2, 3, 32, 32)).local_maps] == [
        (225, 6),
        (49, 12),
    ]
    tokens = tap(Tokens, local="block", hidden="norm")((3, 32, 32), 5)
    assert tokens(torch.randn(2, 3, 32, 32)).local_maps[0].shape == (2, 16, 12)


def test_tap_names_layers_that_do_not_exist():
    with pytest.raises(ValueError, match=r"names of layers of Torchvisionlike.*Got 'layer9'"):
        tap(Torchvisionlike, local="layer9", hidden="avgpool")((3, 32, 32), 5)


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


def test_a_shortcut_is_a_convolution_with_a_stride():
    block = Bottleneck(3, 2, 6, stride=2).eval()
    x = torch.randn(5, 3, 9, 8)
    convolution, norm = block.shortcut
    expected = norm(functional.conv2d(x, convolution.weight, stride=2))
    torch.testing.assert_close(block(x), (block.residual(x) + expected).relu())
