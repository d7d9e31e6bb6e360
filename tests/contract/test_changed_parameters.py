"""A parameter that changes between two trainings takes effect, or what is said names it."""

import copy
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch.optim import RMSprop

from skdim import DIMTransformer
from skdim.encoders import ConvEncoder
from skdim.exceptions import IneffectiveParameterWarning
from skdim.priors import Prior

IMAGES = np.random.default_rng(0).normal(size=(48, 12, 12)).astype(np.float32)
ROWS = IMAGES[:, 0]
SMALL = {"encoder_params": {"width": 8, "n_hidden": 16}, "batch_size": 16}


def view(batch, generator):
    return batch + 0.5


class Scales(Callback):
    def on_grad_computed(self, net, named_parameters, **kwargs):
        for _, parameter in named_parameters:
            parameter.grad.mul_(torch.arange(parameter.numel()).view_as(parameter))


class OtherEncoder(ConvEncoder):
    """An encoder with the same weights."""


# Another value of each parameter, and the parameters with which it could have an effect.
CHANGES = {
    "n_components": (5, {}),
    "encoder": (OtherEncoder, {}),
    "encoder_params": ({"width": 16, "n_hidden": 16}, {}),
    "output": ("code", {}),
    "flip_averaging": (True, {}),
    "neighbor_averaging": (True, {}),
    "sample_shape": ((3, 48), {}),
    "channel_axis": (1, {}),
    "column_groups": ([[0, 1]], {}),
    "allow_nan": (True, {}),
    "global_weight": (1.0, {}),
    "local_weight": (0.5, {"prior_weight": 0.1}),
    "prior_weight": (0.5, {}),
    "mi_estimator": ("jsd", {}),
    "critic": ("concat", {}),
    "critic_width": (16, {}),
    "n_locations": (2, {}),
    "prior": (Prior("normal", learning_rate=0.1), {"prior_weight": 0.1}),
    "coordinate_weight": (0.5, {}),
    "coordinates": ("relative", {"coordinate_weight": 0.5}),
    "augment": (view, {}),
    "n_views": (3, {}),
    "n_crops": (4, {}),
    "occlusion": (True, {}),
    "max_epochs": (2, {}),
    "max_time": (1e-9, {}),
    "batch_size": (24, {}),
    "optimizer": ("sgd", {}),
    "optimizer_params": ({"weight_decay": 100.0}, {}),
    "learning_rate": (1e-4, {}),
    "gradient_clip_norm": (1e-3, {"optimizer": "sgd"}),
    "lr_schedule": ("constant", {}),
    "weight_averaging": (1.0, {}),
    "early_stopping": (True, {}),
    "validation_fraction": (0.5, {"early_stopping": True}),
    "n_iter_no_change": (1, {"early_stopping": True, "tol": 10.0, "max_epochs": 3}),
    "tol": (10.0, {"early_stopping": True, "n_iter_no_change": 3, "max_epochs": 6}),
    "callbacks": ([Scales()], {}),
    "device": ("meta", {}),
    "precision": ("bfloat16", {"precision": "float32"}),
    "random_state": (1, {}),
}
# What is computed, and not how or where.
WITHOUT_INFLUENCE = {
    *("warm_start", "checkpoint", "distributed", "data_on_device", "compile"),
    *("transform_batch_size", "verbose"),
}
# The docstring of partial_fit says so.
FOR_FIT_ALONE = {
    *("max_epochs", "max_time", "lr_schedule", "weight_averaging", "early_stopping"),
    *("validation_fraction", "n_iter_no_change", "tol", "random_state"),
}
# With others, these have no effect in any fit.
INEFFECTIVE = {
    "prior": {"prior_weight": 0.0},
    "coordinates": {},
    "n_views": {"augment": None},
    "critic": {"local_weight": 0.0, "prior_weight": 0.1},
    "n_locations": {"local_weight": 0.0, "prior_weight": 0.1},
}


def test_every_parameter_is_changed_or_said_to_be_without_influence():
    assert set(CHANGES) | WITHOUT_INFLUENCE == set(DIMTransformer().get_params())
    documentation = DIMTransformer.partial_fit.__doc__
    of_early_stopping = {"validation_fraction", "n_iter_no_change", "tol"}
    for name in FOR_FIT_ALONE - of_early_stopping:
        assert f"``{name}``" in documentation


def train(method, before, change):
    """Train twice, with a change in between; return the features and the number of epochs."""
    params = {"n_components": 4, "max_epochs": 1, "random_state": 0, "warm_start": True, **SMALL}
    dim = DIMTransformer(**{**params, **before})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(dim, method)(IMAGES)
    dim.set_params(**change)
    getattr(dim, method)(IMAGES)
    return np.append(dim.transform(IMAGES), dim.n_iter_)


@cache
def train_unchanged(method, *before):
    return train(method, dict(before), {})


def named_or_effective(method, name, before):
    change = {name: CHANGES[name][0]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", IneffectiveParameterWarning)
            features = train(method, before, change)
    except (ValueError, TypeError, IneffectiveParameterWarning) as error:
        return f"'{name}'" in str(error)
    same = train_unchanged(method, *before.items())
    return features.shape != same.shape or not np.array_equal(features, same)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_takes_effect_or_is_named(name, method):
    if method == "partial_fit" and name in FOR_FIT_ALONE:
        assert not named_or_effective(method, name, CHANGES[name][1])
    else:
        assert named_or_effective(method, name, CHANGES[name][1])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("name", INEFFECTIVE)
def test_a_change_that_cannot_take_effect_is_named(name, method):
    with pytest.warns(IneffectiveParameterWarning, match=f"'{name}'"):
        train(method, INEFFECTIVE[name], {name: CHANGES[name][0]})


class CustomSGD(torch.optim.SGD):
    """An optimiser that skdim does not know."""


OPTIMIZERS = {
    "muon": {"optimizer": "muon"},
    "adamw": {"optimizer": "adamw", "optimizer_params": {"betas": (0.5, 0.9)}},
    "adam": {"optimizer": "adam", "optimizer_params": {"amsgrad": True}},
    "sgd": {"optimizer": "sgd", "optimizer_params": {"momentum": 0.9}},
    "custom": {"optimizer": CustomSGD, "optimizer_params": {"momentum": 0.5}},
    "rmsprop": {"optimizer": RMSprop, "optimizer_params": {"momentum": 0.5}},
}


def begin(name):
    params = {"optimizer_params": None, "prior_weight": 0.1, **SMALL, **OPTIMIZERS[name]}
    return DIMTransformer(4, random_state=0, **params).partial_fit(IMAGES[:16])


def go_on(dim, name):
    dim = copy.deepcopy(dim).set_params(**{"optimizer_params": None, **OPTIMIZERS[name]})
    return dim.partial_fit(IMAGES[16:32]).transform(IMAGES[:4])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("first", OPTIMIZERS)
def test_another_optimizer_takes_over(first):
    """From any to any, on images, whose filters Muon treats differently."""
    begun = begin(first)
    expected = go_on(begun, first)
    for second in OPTIMIZERS:
        features = go_on(begun, second)
        assert np.isfinite(features).all()
        assert np.array_equal(features, expected) == (first == second), second


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("first", "second"), [("muon", "sgd"), ("sgd", "adam"), ("adam", "adam")])
def test_another_optimizer_takes_over_after_a_file(first, second, tmp_path):
    begun = begin(first)
    begun.save(tmp_path / "dim.safetensors")
    loaded = DIMTransformer.load(tmp_path / "dim.safetensors")
    np.testing.assert_array_equal(go_on(loaded, second), go_on(begun, second))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_arguments_of_an_optimizer_take_effect_and_momenta_go_on(name):
    def go(**change):
        dim = DIMTransformer(4, random_state=0, **OPTIMIZERS[name], **{"lr_schedule": None})
        dim.partial_fit(ROWS)
        params = {**(dim.optimizer_params or {}), **change}
        return dim.set_params(optimizer_params=params).partial_fit(ROWS).transform(ROWS)

    assert np.array_equal(go(), go())
    assert not np.array_equal(go(), go(weight_decay=10.0))
    with pytest.raises((TypeError, ValueError), match="'optimizer_params'"):
        go(no_argument=1)


def test_a_model_that_was_moved_stays_there_until_the_parameter_changes(monkeypatch):
    dim = DIMTransformer(4, random_state=0, device="cpu", max_epochs=1, warm_start=True).fit(ROWS)
    chosen = []
    choose = lambda name: chosen.append(name) or torch.device("cpu")  # noqa: E731
    monkeypatch.setattr("skdim._training.plan.choose_device", choose)
    dim.partial_fit(ROWS).fit(ROWS)
    assert chosen == []
    dim.set_params(device="auto").partial_fit(ROWS).partial_fit(ROWS)
    assert chosen == ["auto"]
