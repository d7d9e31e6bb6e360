"""Every callback of skorch: it works in a fit, or the fit says that it cannot."""

import inspect
import logging
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import skorch.callbacks
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    Initializer,
    LoadInitState,
    LRScheduler,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    TensorBoard,
    TrainEndCheckpoint,
    Unfreezer,
)
from skorch.callbacks import EarlyStopping as SkorchEarlyStopping
from torch.nn import init
from torch.optim.lr_scheduler import StepLR

from skdim import DIMTransformer
from skdim.exceptions import IneffectiveParameterWarning

ROWS = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)


def one(net, X, y=None):
    return 1.0


# What each callback is tried with, and what the history of the fit then holds.
WORKING = {
    "EpochTimer": (lambda folder: EpochTimer(), "dur"),
    "PassthroughScoring": (lambda folder: PassthroughScoring("loss", on_train=True), "loss"),
    "PrintLog": (lambda folder: PrintLog(sink=logging.getLogger("quiet").info), None),
    "ProgressBar": (lambda folder: ProgressBar(), None),
    "LRScheduler": (lambda folder: LRScheduler(StepLR, step_size=1, gamma=0.5), "event_lr"),
    "EarlyStopping": (lambda folder: EarlyStopping(monitor="train_loss", patience=1), None),
    "GradientNormClipping": (lambda folder: GradientNormClipping(1.0), None),
    "EpochScoring": (
        lambda folder: EpochScoring(one, name="mine", on_train=True, use_caching=False),
        "mine",
    ),
    "TensorBoard": (lambda folder: tensor_board(folder), None),
    "Freezer": (lambda folder: Freezer("hidden.*"), None),
    "Unfreezer": (lambda folder: Unfreezer("hidden.*"), None),
    "Initializer": (lambda folder: Initializer("code.0.weight", fn=init.zeros_), None),
    "ParamMapper": (lambda folder: ParamMapper("hidden.*", fn=lambda p: None), None),
    "Checkpoint": (
        lambda folder: Checkpoint(monitor=None, dirname=str(folder), f_params="params.pt"),
        None,
    ),
    "TrainEndCheckpoint": (lambda folder: TrainEndCheckpoint(dirname=str(folder)), None),
}
# Those that need a validation set of skorch, which a fit does not have, or another net.
NOT_WORKING = {
    "BatchScoring": "scores batches by predictions, which a fit without labels does not make",
    "WandbLogger": "needs its service",
    "SacredLogger": "needs its service",
    "NeptuneLogger": "needs its service",
    "MlflowLogger": "needs its service",
    "LoadInitState": "loads into nets; the checkpoint parameter resumes",
    "WarmRestartLR": "a schedule, not a callback",
    "InputShapeSetter": "sets shapes of modules, which are known already",
}


def tensor_board(folder):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    return TensorBoard(tensorboard.SummaryWriter(str(folder)))


def fit(callback, **params):
    settings = {"n_components": 4, "max_epochs": 3, "batch_size": 32, "random_state": 0}
    return DIMTransformer(**{**settings, **params}, callbacks=[callback]).fit(ROWS)


def test_every_callback_of_skorch_is_in_the_list():
    callbacks = {
        name
        for name, value in vars(skorch.callbacks).items()
        if inspect.isclass(value) and issubclass(value, Callback) and value is not Callback
    }
    assert callbacks - set(NOT_WORKING) == set(WORKING)
    assert BatchScoring.__name__ in NOT_WORKING
    assert LoadInitState.__name__ in NOT_WORKING


@pytest.mark.parametrize("name", WORKING)
@pytest.mark.filterwarnings("ignore")
def test_it_works(name, tmp_path):
    make, recorded = WORKING[name]
    schedule = {"lr_schedule": None} if name == "LRScheduler" else {}
    callback = make(tmp_path)
    before = dict(vars(callback))
    dim = fit(callback, **schedule)
    assert np.isfinite(dim.transform(ROWS)).all()
    assert recorded is None or recorded in dim.history_[-1]
    assert set(vars(callback)) == set(before)  # the user's callback is as it was


def test_what_a_callback_holds_is_the_users_own_and_not_a_copy():
    class Reports(Callback):
        def __init__(self, trial):
            self.trial = trial

        def on_epoch_end(self, net, **kwargs):
            self.trial.append(net.history[-1]["loss"])

    trial: list[float] = []
    dim = fit(Reports(trial))
    assert trial == [epoch["loss"] for epoch in dim.history_]


def test_the_page_names_those_that_work():
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    for name in WORKING:
        assert f"`{name}`" in page, name


HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


class Recorder(Callback):
    """Records which of its methods are called, with the names of the arguments."""

    def __init__(self, calls):
        self.calls = calls


def record(hook):
    def method(self, net, X=None, y=None, **kwargs):
        has_data = X is not None
        kinds = {name: type(value) for name, value in kwargs.items()}
        if "named_parameters" in kwargs:
            kinds["named_parameters"] = list
            names = [[n for n, _ in kwargs["named_parameters"]] for _ in range(2)]
            assert names[0] == names[1]  # they can be read twice
            assert all(p.grad is not None for _, p in kwargs["named_parameters"])
        self.calls.append((hook, has_data, kinds))

    return method


for hook in HOOKS:
    setattr(Recorder, hook, record(hook))


def calls_of_skorch():
    """What skorch itself tells a callback in a fit of two epochs of two batches."""
    calls = []
    net = NeuralNetClassifier(
        torch.nn.Linear(6, 2),
        criterion=torch.nn.CrossEntropyLoss,
        max_epochs=2,
        batch_size=60,
        train_split=None,
        callbacks=[Recorder(calls)],
        callbacks__print_log=None,
    )
    net.fit(ROWS, np.arange(120) % 2)
    return calls


def test_callbacks_are_told_what_skorch_tells_them_and_in_its_order():
    calls, expected = [], calls_of_skorch()
    fit(Recorder(calls), max_epochs=2, batch_size=60)
    assert {hook for hook, _, _ in expected} == set(HOOKS)
    assert [call[:2] for call in calls] == [call[:2] for call in expected]
    for (hook, _, kinds), (_, _, theirs) in zip(calls, expected, strict=True):
        assert theirs.keys() <= kinds.keys(), hook


def losses(**params):
    settings = {"n_components": 4, "max_epochs": 3, "batch_size": 32, "random_state": 0}
    settings |= {"optimizer": "sgd", "learning_rate": 1.0, "prior_weight": 0.1, **params}
    return [epoch["local"] for epoch in DIMTransformer(**settings).fit(ROWS).history_]


def test_gradients_that_a_callback_clips_are_those_of_the_step():
    clipped = losses(callbacks=[GradientNormClipping(1e-12)], gradient_clip_norm=None)
    assert clipped == losses(gradient_clip_norm=1e-12)
    assert clipped != losses()


class SetsRates(Callback):
    def on_batch_end(self, net, **kwargs):
        net.optimizer_.param_groups[0]["lr"] = 1e-5


@pytest.mark.parametrize(
    "callback", [LRScheduler(StepLR, step_size=1, gamma=0.1), SetsRates()], ids=["skorch", "own"]
)
@pytest.mark.parametrize("lr_schedule", ["warmup_cosine", "constant", None])
def test_learning_rates_of_a_callback_are_used_or_said_to_be_overwritten(callback, lr_schedule):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", IneffectiveParameterWarning)
        dim = fit(callback, lr_schedule=lr_schedule)
    said = [str(w.message) for w in caught if "'callbacks'" in str(w.message)]
    assert len(said) == (lr_schedule is not None)
    if lr_schedule is None:
        assert dim.history_[-1]["learning_rate"] < 1e-4


def test_a_callback_that_leaves_learning_rates_alone_gets_no_warning():
    fit(GradientNormClipping(1.0))  # warnings are errors


class CountingCallback(Callback):
    def __init__(self):
        self.epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1
        LOG.append((net.history[-1]["train_loss"], self.epochs))


LOG = []


def test_callbacks_of_skorch_are_copied_and_told_of_every_epoch(quick, images):
    LOG.clear()
    counter = CountingCallback()
    dim = quick(callbacks=[counter, ("named", CountingCallback())]).fit(images)
    assert counter.epochs == 0
    assert len(LOG) == 4
    assert LOG[-1] == (dim.history_[-1]["loss"], 2)
    assert b"CountingCallback" in pickle.dumps(dim)  # a parameter, and nothing of the net
    assert b"DIMNet" not in pickle.dumps(dim)


def test_early_stopping_of_skorch_ends_a_fit_without_an_interrupt(quick, images):
    stop = SkorchEarlyStopping(
        monitor="train_loss", patience=2, threshold=1e9, threshold_mode="abs", sink=lambda _: None
    )
    dim = quick(max_epochs=50, callbacks=[stop]).fit(images)
    assert dim.n_iter_ < 5
    assert np.isfinite(dim.transform(images)).all()


def test_schedules_of_skorch_are_used_without_an_own_one(quick, images):
    schedule = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.1)
    dim = quick(max_epochs=3, lr_schedule=None, learning_rate=1e-3, callbacks=[schedule])
    rates = [epoch["learning_rate"] for epoch in dim.fit(images).history_]
    np.testing.assert_allclose(rates, [1e-3, 1e-4, 1e-5])
