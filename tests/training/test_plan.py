"""The plan of a fit: epochs, what may be captured, and parameters refused before training."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skdim import DIMTransformer
from skdim._runtime.distributed import ProcessGroup
from skdim._training.plan import make_plan
from skdim.priors import Prior
from skdim.sources.layout import find_layout


def plan_of(n=100, sample_shape=(1, 8, 8), *, is_partial=False, **params):
    """Plan a fit of so many samples, which lie nowhere."""
    params = DIMTransformer(**params).get_params(deep=False)
    defaults = DIMTransformer().get_params(deep=False)
    samples = np.broadcast_to(np.float32(0), (n, *sample_shape))
    layout = find_layout(samples.shape, channel_axis=1)
    return make_plan(params, defaults, samples, layout, None, None, is_partial=is_partial)


@pytest.mark.parametrize(
    ("n", "sample_shape", "expected"),
    [
        (36, (1, 8, 8), 837),
        (1_000, (1, 16, 30), 63),
        (1_000, (1, 50), 33),
        (20, (1, 50), 120),
        (60_000, (3, 32, 32), 4),
        (1_000, (9,), 60),
        (10_000, (9,), 9),
        (1_000, (1, 8, 8, 8), 33),
    ],
)
def test_automatic_epochs(n, sample_shape, expected):
    plan = plan_of(n, sample_shape)
    assert plan.training.count_epochs(n, plan.model.layout) == expected
    plan = plan_of(n, sample_shape, max_epochs=7)
    assert plan.training.count_epochs(n, plan.model.layout) == 7


def test_a_plan_is_fixed():
    with pytest.raises(FrozenInstanceError):
        plan_of().training.batch_size = 3


def test_parameters_that_were_changed_are_known():
    assert plan_of().changed == set()
    assert plan_of(batch_size=7, prior="uniform", column_groups=None).changed == {"batch_size"}


def test_partial_fit_has_one_epoch_and_nothing_that_needs_an_end():
    params = {"max_epochs": 9, "max_time": 1.0, "early_stopping": True, "weight_averaging": 0.5}
    training = plan_of(is_partial=True, checkpoint="states", **params).training
    assert (training.max_epochs, training.max_time, training.checkpoint) == (1, None, None)
    assert not training.early_stopping
    assert not training.weight_averaging
    assert {training.lr_schedule(progress) for progress in (0.0, 0.5, 1.0)} == {1.0}


def test_the_discriminator_has_the_learning_rate_of_its_prior_or_that_of_the_encoder():
    params = {"learning_rate": 0.5, "optimizer_params": {"betas": (0.5, 0.9)}}
    for prior, rate in (("uniform", 0.5), (Prior("uniform", learning_rate=0.25), 0.25)):
        training = plan_of(prior=prior, prior_weight=1, **params).training
        assert training.optimizer_params == {"lr": 0.5, "betas": (0.5, 0.9)}
        assert training.discriminator_optimizer_params == {"lr": rate, "betas": (0.5, 0.9)}


def with_processes(plan, world_size):
    processes = ProcessGroup(0, world_size)
    return replace(plan, runtime=replace(plan.runtime, processes=processes))


@pytest.mark.parametrize(
    ("plan", "obstacle"),
    [
        (plan_of(), None),
        (with_processes(plan_of(), 1), None),  # of a distributed fit, too
        (with_processes(plan_of(), 2), "exchange messages"),
        (plan_of(callbacks=[Callback()]), "'callbacks'"),
        (plan_of(optimizer=torch.optim.RMSprop), "'optimizer'"),
        (plan_of(optimizer_params={"foreach": True}), "'optimizer'"),
    ],
)
def test_steps_are_captured_unless_something_is_in_the_way(plan, obstacle):
    if obstacle is None:
        assert plan.obstacle_to_capture is None
    else:
        assert obstacle in plan.obstacle_to_capture


@pytest.mark.parametrize("callbacks", [[1], ["a"], [Callback], [("a", 1)]])
def test_what_is_no_callback_is_named(callbacks):
    with pytest.raises(TypeError, match="'callbacks' parameter must hold instances"):
        plan_of(callbacks=callbacks)


def test_every_process_gets_a_sample_of_each_batch(monkeypatch):
    processes = ProcessGroup(0, 3)
    monkeypatch.setattr(processes, "check_same", lambda value, name: None)
    monkeypatch.setattr(processes, "broadcast", lambda value: value)
    monkeypatch.setattr("skdim._training.plan.join_process_group", lambda device: processes)
    plan_of(9, distributed=True, batch_size=3)
    with pytest.raises(ValueError, match=r"every one of 3 processes a sample.* Got 2, for 9"):
        plan_of(9, distributed=True, batch_size=2)
