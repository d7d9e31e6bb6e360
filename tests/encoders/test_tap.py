"""A network of any origin, tapped at named layers."""

import pytest
import torch
from torch import nn

from skdim.encoders import (
    encode,
    tap,
)


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
