"""A sample is encoded alike whatever else is in X, in whichever batch."""

import numpy as np
import pytest
import torch
from torch import nn

from skdim._model.inference import (
    SMALLER_BATCHES,
    Computation,
    add_fixed_in_parts,
    choose_batch_size,
    encode_padded,
    inference_batch_size,
)
from skdim.encoders import ENCODERS, Encoding, encode
from skdim.sources.standardization import Standardization


@pytest.mark.parametrize("n", [1, 63, 64, 65, 90])
def test_features_do_not_depend_on_the_other_samples(quick, images, n):
    transformer = quick().fit(images)
    np.testing.assert_array_equal(
        transformer.transform(images[:n]), transformer.transform(images)[:n]
    )


SHAPES = {
    "mlp": (5,),
    "signal": (2, 40),
    "spectrogram": (2, 2048),
    "conv": (3, 16, 16),
    "resnet": (3, 16, 16),
    "paper32": (3, 32, 32),
}


def codes(encoder, X, batch_size):
    unchanged = Standardization(np.zeros(X.shape[1]), np.ones(X.shape[1]), torch.device("cpu"))
    batches = encode_padded(encoder, X, unchanged, batch_size)
    return torch.cat([encoding.code[:n] for n, encoding in batches])


@pytest.mark.parametrize("name", SHAPES)
def test_a_code_does_not_depend_on_the_batch(name):
    torch.manual_seed(0)
    encoder = ENCODERS[name](SHAPES[name], 8).eval()
    X = np.random.default_rng(0).standard_normal((150, *SHAPES[name])).astype(np.float32)
    together = codes(encoder, X, 128)
    for first, n in ((0, 1), (149, 1), (7, 3), (20, 5), (100, 17), (0, 149)):
        assert codes(encoder, X[first : first + n], 128).equal(together[first : first + n])


class Echo(nn.Module):
    """Returns samples as codes; a dependent one adds the size of the batch."""

    def __init__(self, is_dependent):
        super().__init__()
        self.is_dependent = is_dependent
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        code = x.flatten(1)[:, :2] + (len(x) if self.is_dependent else 0)
        return Encoding(code, code, (code[:, None],))


@pytest.mark.parametrize(("is_dependent", "smallest"), [(False, 4), (True, 32)])
def test_smaller_batches_are_used_where_they_change_nothing(is_dependent, smallest):
    encoder = Echo(is_dependent)
    X = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    codes(encoder, X, 32)
    assert encoder.seen[-1] == smallest
    n_calls = len(encoder.seen)
    codes(encoder, X, 32)
    assert len(encoder.seen) == n_calls + 1  # the smallest size is remembered
    assert set(encoder.seen) <= {1, 2, *SMALLER_BATCHES, 32}  # 1 and 2 show the size of layers


CPU = torch.device("cpu")


@pytest.mark.parametrize("name", SHAPES)
def test_the_default_batch_of_usual_encoders_depends_on_the_samples_alone(name):
    shape = SHAPES[name]
    encoder = ENCODERS[name](shape, 8).eval()
    assert choose_batch_size(None, encoder, shape, CPU) == inference_batch_size(shape, CPU)
    assert choose_batch_size(3, encoder, shape, CPU) == 3


class Fixed(ENCODERS["mlp"]):
    """Notes the sizes of batches of fixed features; dependent ones add the size of the batch."""

    is_dependent = False

    def __init__(self, *args, **params):
        super().__init__(*args, **params)
        self.seen = []

    def fixed_features(self, x):
        self.seen.append(len(x))
        wide = x.repeat(1, 2**14)  # so that about a dozen samples fit into the caches
        return wide[:, :3] + (len(x) if self.is_dependent else 0)


class DependentFixed(Fixed):
    is_dependent = True


@pytest.mark.parametrize("kind", [Fixed, DependentFixed])
def test_fixed_features_are_computed_in_parts_of_their_own(kind):
    encoder = kind((5,), 4).eval()
    x = torch.randn(30, 5)
    fixed = add_fixed_in_parts(encoder, x, encode(encoder, x, with_fixed=False)).fixed
    assert max(encoder.seen) == 8
    alone = add_fixed_in_parts(encoder, x[:1], encode(encoder, x[:1], with_fixed=False)).fixed
    assert encoder.seen[-1] == (8 if kind.is_dependent else 1)
    assert alone.equal(fixed[:1])


def test_what_is_known_of_an_architecture_is_not_asked_again():
    first, second, wider = (Fixed((5,), 4, width=width).eval() for width in (8, 8, 9))
    x = torch.randn(3, 5)
    n_calls = []
    for encoder in (first, second, wider):
        add_fixed_in_parts(encoder, x, encode(encoder, x, with_fixed=False))
        n_calls.append(len(encoder.seen))
    assert n_calls[0] > n_calls[1] == 1
    assert n_calls[2] == n_calls[0]


class Wide(nn.Module):
    """Notes the sizes of batches; its layer has 2,000 numbers for a sample of five."""

    def __init__(self, is_dependent=False):
        super().__init__()
        self.seen = []
        self.wide = nn.Linear(5, 2000)
        self.is_dependent = is_dependent

    def forward(self, x):
        self.seen.append(len(x))
        code = self.wide(x)[:, :2] + (len(x) > 3000 if self.is_dependent else 0)
        return Encoding(code, code, (code[:, None],))


@pytest.mark.parametrize("is_dependent", [False, True])
def test_a_large_batch_is_tried_on_as_many_samples_only_and_must_round_alike(is_dependent):
    encoder = Wide(is_dependent).eval()
    size = choose_batch_size(10**9, encoder, (5,), CPU)
    assert size == 2**25 // 2000
    X = np.random.default_rng(0).normal(size=(size, 5)).astype(np.float32)
    few = codes(encoder, X[:3], size)
    assert max(encoder.seen) == 2**22 // 2000
    many = codes(encoder, X, size)
    assert max(encoder.seen) == size
    assert (encoder.seen[-1] == size) != is_dependent
    assert many[:3].equal(few)


@pytest.mark.parametrize(("layer_size", "usual"), [(2**13, 512), (2**17, 32), (2**19, 16)])
def test_a_default_batch_is_smaller_if_a_layer_is_large(layer_size, usual):
    encoder = ENCODERS["mlp"]((5,), 4, width=1, n_hidden=layer_size, n_local_channels=1).eval()
    assert Computation(encoder, (5,), CPU).layer_size == layer_size
    assert choose_batch_size(None, encoder, (5,), CPU) == usual
    assert choose_batch_size(10**9, encoder, (5,), CPU) == 2**25 // layer_size
