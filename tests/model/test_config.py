"""What the parameters of a network are resolved to."""

import numpy as np
import pytest
import torch
from torch import nn

from skdim import DIMTransformer
from skdim._model.config import OBJECTIVE_PARAMETERS, carry_over, outline, resolve
from skdim.encoders import ENCODERS, MLPEncoder
from skdim.sources.layout import find_layout

CPU = torch.device("cpu")


def config(shape, column_names=None, **params):
    """Resolve parameters for an X of a shape."""
    params = DIMTransformer(**params).get_params(deep=False)
    return resolve(params, find_layout(shape), column_names)


@pytest.mark.parametrize("name", ENCODERS)
def test_shapes_are_found_without_arithmetic(name):
    """Those of the meta device are those of numbers."""
    shape = {"mlp": (9,), "signal": (2, 40), "spectrogram": (2, 90), "paper28": (1, 28, 28)}.get(
        name, (3, 64, 64)
    )
    params = {"scale": 0.05} if name.startswith("paper") else {"width": 8, "n_hidden": 16}
    encoder = ENCODERS[name](shape, 5, **params).eval()
    n_code, local_shapes = outline(encoder, shape, CPU)
    encoding = encoder(torch.zeros(2, *shape))
    assert n_code == encoding.code.shape[1] == 5
    assert local_shapes == [tuple(m.shape[1:]) for m in encoding.local_maps]


def test_an_encoder_that_knows_no_shapes_without_numbers_encodes_zeros():
    class Counting(MLPEncoder):
        def forward(self, x):
            assert not x.is_meta
            return super().forward(x)

    assert outline(Counting((9,), 5), (9,), CPU)[0] == 5


@pytest.mark.parametrize("params", [{"odd": 1}, {1: 2}, {"sample_shape": (3,)}])
def test_arguments_that_no_encoder_has_are_named(params):
    with pytest.raises(TypeError, match="'encoder_params' parameter must hold keyword arguments"):
        config((6, 3), encoder_params=params)


@pytest.mark.parametrize("name", ["n_views", "critic_width", "n_locations", "n_components"])
def test_true_counts_as_one(quick, rows, name):
    features = [quick(**{name: value}).fit_transform(rows[0]) for value in (True, 1)]
    np.testing.assert_array_equal(*features)
    resolved = config((6, 3), **{name: True})
    owner = resolved.objective if name in OBJECTIVE_PARAMETERS else resolved
    assert type(getattr(owner, name)) is int


def test_columns_are_resolved_to_numbers_and_reach_the_encoder():
    resolved = config((6, 3), np.array(["a", "b", "c"]), column_groups=[["c", "a"]])
    assert resolved.column_groups == resolved.params["column_groups"] == ((2, 0),)
    assert resolved.encoder_params["column_groups"] == ((2, 0),)


def test_weights_are_carried_over_where_names_and_shapes_agree():
    old = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    same, other = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), nn.Sequential(nn.Linear(3, 4))
    assert carry_over(old, same)
    assert same[1].weight.equal(old[1].weight)
    assert not carry_over(old, other)
    assert other[0].weight.equal(old[0].weight)
    wider = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    before = wider[1].weight.clone()
    assert not carry_over(old, wider)
    assert wider[1].weight.equal(before)


def test_without_augmentation_one_view_is_trained(quick, images):
    assert config((9, 8, 8), augment=None, n_views=3).n_views == 1
    assert np.isfinite(quick(augment=None).fit_transform(images)).all()


def double(batch, generator):
    return 2 * batch


def test_a_custom_function_makes_the_views(quick, images):
    plain = quick(augment=None, precision="float32").fit(images)
    changed = quick(augment=double, precision="float32").fit(images)
    assert changed.history_[-1]["loss"] != plain.history_[-1]["loss"]


def test_weights_of_terms_may_be_whole_numbers_of_any_size():
    resolved = config((6, 3), local_weight=10**30, global_weight=1)
    assert (resolved.objective.local_weight, resolved.objective.global_weight) == (1e30, 1.0)
    assert resolved.params["local_weight"] == 10**30
