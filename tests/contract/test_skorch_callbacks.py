"""Every callback of skorch: it works in a fit, or the fit says that it cannot."""

import inspect
import logging
from pathlib import Path

import numpy as np
import pytest
import skorch.callbacks
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
from torch.nn import init
from torch.optim.lr_scheduler import StepLR

from skdim import DIMTransformer

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
