"""The captured step, replayed on a CPU by a stand-in for the CUDA capturer."""

import logging
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from helpers.capture import NoReading
from helpers.products import cover
from skorch.callbacks import Callback

import skdim._training.cuda_graph
from skdim._training.cuda_graph import N_WARMUP, GraphedStep, choose_capturer
from skdim.critics import CRITICS
from skdim.mutual_information import ESTIMATORS
from skdim.priors import Prior


class CPUCapturer:
    """Replays by running the function again, on the same tensors; it may read nothing."""

    def __init__(self):
        self.runs = self.graphs = self.replays = 0

    def run(self, function):
        self.runs += 1
        return function()

    def capture(self, function):
        self.graphs += 1

        def replay():
            self.replays += 1
            with NoReading():
                return function()

        return replay


@pytest.fixture
def capturer(monkeypatch):
    capturer = CPUCapturer()

    def choose(generator, n_steps, obstacle):
        return None if obstacle else capturer

    monkeypatch.setattr("skdim._training.fit.choose_capturer", choose)
    return capturer


def in_quarters(progress):
    """A schedule of which float32, the type of a captured learning rate, loses nothing."""
    return 1 - int(4 * progress) / 8


CHOICES = [
    {},
    {"optimizer": "adam", "lr_schedule": "constant"},
    {"optimizer": "sgd", "optimizer_params": {"momentum": 0.875}},
    {
        "prior": Prior("uniform", gradient_penalty=1.0),
        "prior_weight": 0.5,
        "global_weight": 0.5,
        "n_locations": 2,
    },
    {"critic": "concat"},
    {"mi_estimator": "dv", "gradient_clip_norm": None},
    {"augment": None, "precision": "bfloat16"},
]


@pytest.mark.parametrize(("params", "with_groups"), cover(CHOICES, [False, True]))
def test_replayed_steps_equal_eager_ones(quick, images, capturer, monkeypatch, params, with_groups):
    groups = np.arange(len(images)) % 9 if with_groups else None
    params = {"learning_rate": 2**-9, "lr_schedule": in_quarters, "max_epochs": 3, **params}
    captured = quick(batch_size=29, **params).fit(images, groups=groups)
    assert capturer.runs == 2 * N_WARMUP
    assert capturer.graphs == 2  # one for each size of batch
    assert capturer.replays == 3 * 4 - 2 * N_WARMUP
    monkeypatch.undo()
    plain = quick(batch_size=29, **params).fit(images, groups=groups)
    for ours, theirs in zip(captured.history_, plain.history_, strict=True):
        assert {k: ours[k] for k in ("loss", "learning_rate")} == {
            k: theirs[k] for k in ("loss", "learning_rate")
        }
    np.testing.assert_array_equal(captured.transform(images), plain.transform(images))


@pytest.mark.parametrize(("mi_estimator", "critic"), cover(ESTIMATORS, CRITICS))
def test_every_objective_can_be_captured(quick, images, capturer, caplog, mi_estimator, critic):
    with caplog.at_level(logging.WARNING, logger="skdim"):
        quick(max_epochs=3, mi_estimator=mi_estimator, critic=critic).fit(images)
    assert capturer.replays
    assert "CUDA graph" not in caplog.text


def test_a_step_that_cannot_be_captured_runs_eagerly_and_the_log_says_why(caplog):
    class RefusingCapturer(CPUCapturer):
        def capture(self, function):
            raise RuntimeError("operation not permitted when stream is capturing\nand more")

    def step(stored, groups):
        return {"loss": stored.sum()}

    capturer = RefusingCapturer()
    graphed = GraphedStep(step, capturer)
    with caplog.at_level(logging.WARNING, logger="skdim"):
        losses = [graphed(torch.full((2,), float(i)), None)["loss"].item() for i in range(6)]
    assert losses == [0, 2, 4, 6, 8, 10]
    assert caplog.text.count("without a CUDA graph") == 1
    assert "not permitted" in caplog.text
    assert "and more" not in caplog.text


def test_terms_of_a_step_outlive_the_next():
    buffer = torch.zeros(1)

    class OverwritingCapturer(CPUCapturer):
        def capture(self, function):
            return lambda: buffer.copy_(function())

    graphed = GraphedStep(lambda stored, groups: {"loss": stored.sum()}, OverwritingCapturer())
    losses = [graphed(torch.full((2,), float(i)), None)["loss"] for i in range(6)]
    assert [loss.item() for loss in losses] == [0, 2, 4, 6, 8, 10]


def test_short_fits_and_obstacles_are_not_captured(monkeypatch, caplog):
    class Generator:
        device = torch.device("cuda")

    monkeypatch.setattr(
        skdim._training.cuda_graph, "CUDAGraphCapturer", lambda generator: "capturer"
    )
    assert choose_capturer(torch.Generator(), 10**6, None) is None
    assert choose_capturer(Generator, 199, None) is None
    assert choose_capturer(Generator, 200, None) == "capturer"
    assert not caplog.text
    with caplog.at_level(logging.WARNING, logger="skdim"):
        assert choose_capturer(Generator, 200, "callbacks change things") is None
    assert "callbacks change things" in caplog.text


def test_a_compiled_fit_is_the_fit_and_pickles(quick, rows, monkeypatch):
    X, _ = rows
    plain = quick().fit(X).transform(X)
    in_python = partial(torch.compile, backend="eager")  # traced, not handed to a compiler of C++
    monkeypatch.setattr(torch, "compile", in_python)
    compiled = quick(compile=True).fit(X)
    np.testing.assert_array_equal(compiled.transform(X), plain)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(compiled)).transform(X), plain)


@pytest.mark.parametrize(
    "params",
    [
        {"callbacks": [Callback()]},
        {"optimizer": torch.optim.RMSprop},
        {"optimizer_params": {"foreach": True}},
    ],
    ids=lambda params: next(iter(params)),
)
def test_callbacks_and_custom_optimizers_are_obstacles(quick, images, capturer, params):
    quick(**params).fit(images)
    assert capturer.runs == 0
