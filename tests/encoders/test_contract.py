"""The contract of every encoder, and what happens to one that breaks it."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from skdim.encoders import (
    ENCODERS,
    ConvEncoder,
    MLPEncoder,
    Paper28,
    SignalEncoder,
    SpectrogramEncoder,
    encode,
)

SHAPES = {
    "mlp": [(1,), (9,), (100,)],
    "signal": [(1, 4), (3, 24), (2, 1000)],
    "spectrogram": [(1, 64), (3, 2048), (2, 1000)],
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
# Length of the code that is the hidden layer, if features include more than this layer.
ENCODER_CODES = {"conv": 1024, "resnet": 1024}
CASES = [(name, shape) for name in ENCODERS for shape in SHAPES[name]]


@pytest.mark.parametrize(("name", "shape"), CASES)
@pytest.mark.parametrize("n_components", [5, None])
def test_contract(name, shape, n_components):
    params = {"scale": 0.1} if name.startswith("paper") else {}
    encoder = ENCODERS[name](shape, n_components, **params).eval()
    code, hidden, local_maps, *_ = encode(encoder, torch.randn(3, *shape))
    if n_components is None:
        n_components = ENCODER_CODES.get(name, hidden.shape[1])
        assert code.equal(hidden[:, :n_components])
    assert code.shape == (3, n_components)
    assert all(len(local_map) == 3 and local_map.ndim == 3 for local_map in local_maps)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_samples_do_not_see_each_other_in_evaluation(name, shape):
    torch.manual_seed(0)
    params = {"scale": 0.1} if name.startswith("paper") else {}
    encoder = ENCODERS[name](shape, 5, **params).eval()
    x = torch.randn(4, *shape)
    single, together = encoder(x[:1]).code, encoder(x).code[:1]
    torch.testing.assert_close(single, together, rtol=1e-4, atol=1e-5)


IMPORTS = """
import json, sys, torch
from skdim.encoders import ENCODERS, encode
imported = []
for name, shape in json.loads(sys.argv[1]):
    encoder = ENCODERS[name](shape, 5, **({"scale": 0.1} if name.startswith("paper") else {}))
    encode(encoder.eval(), torch.zeros(2, *shape))
    imported += [(name, module) for module in ("torch._dynamo", "sympy") if module in sys.modules]
print(json.dumps(imported))
"""


def test_no_encoder_imports_the_compiler():
    command = [sys.executable, "-c", IMPORTS, json.dumps(CASES)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(ended.stdout) == []


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


def test_training_and_scoring_do_not_compute_what_is_fixed():
    encoder = ENCODERS["signal"]((1, 30), 4).eval()
    x = torch.randn(2, 1, 30)
    assert encode(encoder, x, with_fixed=False).fixed is None
    assert encode(encoder, x).fixed.shape == (2, encoder.bank.n_features)


@pytest.mark.parametrize("result", [lambda x: x.sum(), lambda x: None, lambda x: x[:, :, None]])
def test_fixed_features_of_another_shape_are_named(result):
    class Wrong(MLPEncoder):
        def fixed_features(self, x):
            return result(x)

    with pytest.raises(TypeError, match="'fixed_features' of the encoder Wrong must return"):
        encode(Wrong((6,), 2).eval(), torch.zeros(5, 6))


def test_an_encoder_that_widens_its_input_is_named():
    class Wide(MLPEncoder):
        def forward(self, x):
            code, *others = super().forward(x)
            return code.double(), *others

    with pytest.raises(TypeError, match=r"numbers of the type of its input, torch\.float32"):
        encode(Wide((6,), 2).eval(), torch.zeros(5, 6))


@pytest.mark.parametrize(
    ("encoder", "shape", "name"),
    [
        (MLPEncoder, (3,), "width"),
        (MLPEncoder, (3,), "n_hidden"),
        (MLPEncoder, (3,), "max_locations"),
        (MLPEncoder, (3,), "n_local_channels"),
        (SignalEncoder, (1, 8), "width"),
        (SignalEncoder, (1, 8), "n_hidden"),
        (SpectrogramEncoder, (1, 64), "width"),
        (SpectrogramEncoder, (1, 64), "n_hidden"),
        (ConvEncoder, (1, 8, 8), "width"),
        (ConvEncoder, (1, 8, 8), "n_hidden"),
        (ConvEncoder, (1, 8, 8), "max_filters"),
        (ConvEncoder, (1, 8, 8), "n_local_maps"),
        (Paper28, (1, 28, 28), "scale"),
    ],
)
@pytest.mark.parametrize("size", [0, -1, "x", None])
def test_a_layer_of_no_size_is_named(encoder, shape, name, size):
    with pytest.raises(ValueError, match=f"'{name}' must be a"):
        encoder(shape, 2, **{name: size})


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("conv", (1, 7, 20), "at least 8 on every side"),
        ("conv", (9,), "at least 8 on every side"),
        ("resnet", (3, 100), "'channel_axis' parameter"),
        ("signal", (2, 3), "at least 4 points in time"),
        ("spectrogram", (2, 63), "at least 64 points in time"),
        ("mlp", (1, 8, 8), "samples of one axis"),
        ("paper32", (3, 100), "needs images"),
        ("paper_alexnet64", (3, 8, 8), "too small"),
    ],
)
def test_unfit_samples_are_refused(name, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        ENCODERS[name](shape, 4)
