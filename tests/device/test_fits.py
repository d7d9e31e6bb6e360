"""Fits on a device equal those on a CPU; captured fits equal eager ones."""

from functools import partial

import numpy as np
import pytest
import torch
from helpers.on_device import (
    DATA,
    GROUPS,
    Messages,
    N,
    build,
    check_captured,
    check_equals_cpu,
    fit,
    only_cuda,
    samples_of,
)
from helpers.pretended_device import counts, reads_cuda
from helpers.products import cover

from skdim.augmentation import swap_cells
from skdim.critics import CRITICS
from skdim.encoders import ENCODERS, tap
from skdim.mutual_information import ESTIMATORS
from skdim.objective.coordinates import COORDINATES
from skdim.priors import PRIORS, Prior

pytestmark = pytest.mark.usefixtures("few_steps")

# As a device that skdim does not know, or as CUDA.
check = check_captured if reads_cuda() else check_equals_cpu


@pytest.mark.parametrize("kind", DATA)
def test_every_kind_of_samples(kind):
    check(kind)


@pytest.mark.parametrize("kind", ["signals", "grey"])
@only_cuda
def test_every_kind_of_samples_as_on_a_cpu(kind):
    check_equals_cpu(kind)


PAPER_SIDES = {"paper28": 28, "paper32": 32, "paper_resnet19": 32, "paper_resnet34": 32}


# One of each kind of network; the others differ in sizes only.
KINDS_OF_PAPER = ("paper28", "paper_crops_resnet19", "paper_globals_alexnet64")
PAPER_ENCODERS = [
    pytest.param(name, marks=() if name in KINDS_OF_PAPER else pytest.mark.exhaustive)
    for name in ENCODERS
    if name.startswith("paper")
]


@pytest.mark.parametrize("name", PAPER_ENCODERS)
def test_every_encoder_of_the_paper(monkeypatch, name):
    side = PAPER_SIDES.get(name, 64 if "resnet" not in name else 32)
    images = np.random.default_rng(0).normal(size=(4, side, side)).astype("f4")
    monkeypatch.setitem(DATA, name, (images, {"channel_axis": None}))
    params = {"encoder": name, "encoder_params": {"scale": 0.02}, "n_components": 2}
    if reads_cuda():
        check_captured(name, **params)
    else:  # batch normalisation of four samples amplifies rounding
        dim = fit(name, **params, max_epochs=1)
        assert np.isfinite(dim.transform(images)).all()


def test_the_residual_encoder():
    check("grey", encoder="resnet", encoder_params={"width": 4, "n_hidden": 16, "n_patches": 0})


@pytest.mark.parametrize(
    ("mi_estimator", "critic", "with_groups"), cover(ESTIMATORS, CRITICS, [False, True])
)
def test_every_estimator_and_critic(mi_estimator, critic, with_groups):
    params = {"mi_estimator": mi_estimator, "critic": critic, "global_weight": 0.5}
    check("rows", GROUPS if with_groups else None, **params)


@pytest.mark.parametrize("critic", CRITICS)
def test_one_location_and_groups(critic):
    check("signals", GROUPS, critic=critic, n_locations=1)


@pytest.mark.parametrize("prior", [*PRIORS, Prior("uniform", gradient_penalty=1.0)])
def test_every_prior(prior):
    check("rows", prior_weight=0.5, prior=prior)


@pytest.mark.parametrize("coordinates", COORDINATES)
def test_every_coordinate_task(coordinates):
    check("digits", coordinate_weight=0.5, coordinates=coordinates)


def own_estimator(joint, marginal):
    return joint.mean() - marginal.flatten(-2).logsumexp(-1).mean()


def own_views(batch, generator):
    return batch + torch.randn(batch.shape, generator=generator, device=batch.device)


# Parameters of a fit, and the kind of samples.
SETTINGS = {
    "only the prior": ("rows", {"local_weight": 0, "prior_weight": 1.0, "augment": None}),
    "an own estimator": ("rows", {"mi_estimator": own_estimator}),
    "own views": ("rows", {"augment": own_views}),
    "crops": ("grey", {"n_crops": 4}),
    "occlusion": ("grey", {"occlusion": True}),
    "one view": ("rows", {"n_views": 1}),
    "three views": ("rows", {"n_views": 3}),
    "no views": ("rows", {"augment": None}),
    "some locations": ("signals", {"n_locations": 2}),
    "flip averaging": ("grey", {"flip_averaging": True}),
    "no components": ("rows", {"n_components": None}),
    "two local maps": (
        "grey",
        {"encoder_params": {"width": 4, "n_hidden": 16, "n_local_maps": 1, "depth": 1}},
    ),
    "averaged weights": ("rows", {"weight_averaging": 0.7}),
    "early stopping": ("rows", {"early_stopping": True}),
    "no clipping": ("rows", {"gradient_clip_norm": None}),
    "an own schedule": ("rows", {"lr_schedule": lambda progress: 1 - int(4 * progress) / 8}),
    "no schedule": ("rows", {"lr_schedule": None}),
    "adam": ("rows", {"optimizer": "adam", "optimizer_params": {"amsgrad": True}}),
    "adamw": ("rows", {"optimizer": "adamw", "optimizer_params": {"weight_decay": 0.125}}),
    "sgd": ("rows", {"optimizer": "sgd", "optimizer_params": {"momentum": 0.5}}),
    "streaming": ("grey", {"data_on_device": False}),
    "on the device": ("rows", {"data_on_device": True}),
    "a limit of time": ("rows", {"max_time": 100.0}),
}


@pytest.mark.parametrize(("name", "with_groups"), cover(SETTINGS, [False, True]))
def test_every_setting(name, with_groups):
    kind, params = SETTINGS[name]
    params = dict(params)
    if params.get("early_stopping"):  # as many samples to train on
        params["validation_fraction"] = 0.5
    check(kind, GROUPS if with_groups else None, **params)


@pytest.mark.parametrize("kind", ["rows", "grey"])
def test_bfloat16(kind):
    dim = check_captured(kind, precision="bfloat16") if reads_cuda() else fit(kind)
    assert np.isfinite(dim.transform(samples_of(kind))).all()


@pytest.mark.parametrize(
    "params",
    [
        {"optimizer": torch.optim.RMSprop},
        {"optimizer": "adam", "optimizer_params": {"foreach": True}},
        {"optimizer": "adam", "optimizer_params": {"capturable": True}},
    ],
    ids=["another optimiser", "foreach", "capturable"],
)
def test_optimizers_that_are_not_captured(params):
    fit("rows", **params)
    assert not counts["replays"]


def test_groups_of_columns():
    check("rows", augment=partial(swap_cells, column_groups=((0, 1), (2, 3, 4))))


def test_missing_cells(monkeypatch):
    X = samples_of("rows").copy()
    X[::7, 3] = np.nan
    monkeypatch.setitem(DATA, "missing", (X, {}))
    check("missing", allow_nan=True, encoder_params={"width": 16, "n_hidden": 32})


def test_signals_that_end(monkeypatch):
    X = samples_of("signals").copy()
    X[::3, :, 20:] = np.nan
    monkeypatch.setitem(DATA, "ending", (X, {"channel_axis": 1}))
    small = {"width": 4, "n_hidden": 32, "n_thresholds": 1}
    check("ending", allow_nan=True, encoder_params=small)


def network(width=4):
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_a_tapped_network():
    check("grey", encoder=tap(network, local="1", hidden="2"))


def test_a_compiled_encoder(monkeypatch):
    in_python = partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", in_python)
    fit("rows", compile=True)


@only_cuda
def test_batches_of_two_sizes_have_a_graph_each(monkeypatch):
    monkeypatch.setitem(DATA, "odd", (samples_of("rows")[:23], {}))
    params = {"batch_size": 12, "encoder_params": {"width": 16, "n_hidden": 32}}
    check_captured("odd", n_graphs=2, **params)


@only_cuda
def test_a_graph_survives_another_size_that_cannot_be_captured(monkeypatch):
    """The batch of 11 samples waits for the device, that of 12 does not."""

    def views(batch, generator):
        if len(batch) == 2 * 11:
            batch.sum().item()
        return own_views(batch, generator)

    monkeypatch.setitem(DATA, "odd", (samples_of("rows")[:23], {}))
    params = {
        "augment": views,
        "batch_size": 12,
        "encoder_params": {"width": 16, "n_hidden": 32},
        "max_epochs": 5,
        "lr_schedule": "constant",
        "learning_rate": 2**-9,
    }
    with Messages() as messages:
        captured = fit("odd", **params)
    (message,) = messages.on_graphs
    assert "11 samples" in message
    assert "not permitted" in message
    assert counts["replays"] == 5 - 1
    monkeypatch.setattr("skdim._training.fit.choose_capturer", lambda *_: None)
    eager = fit("odd", **params)
    X = samples_of("odd")
    np.testing.assert_allclose(captured.transform(X), eager.transform(X), atol=1e-5)


@pytest.mark.parametrize("kind", ["rows", "signals", "colour", "volumes"])
def test_fits_repeat_if_the_program_asks_for_deterministic_kernels(kind):
    torch.use_deterministic_algorithms(True)
    try:
        losses = [fit(kind, max_epochs=2).history_[-1]["loss"] for _ in range(2)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert losses[0] == losses[1]


def test_groups_keep_the_samples_that_a_streamed_batch_has():
    features = [
        fit("rows", GROUPS, data_on_device=on_device).transform(samples_of("rows"))
        for on_device in (True, False)
    ]
    np.testing.assert_array_equal(*features)


def test_sizes_of_the_suite():
    assert len(samples_of("rows")) == N
    assert build("rows").batch_size == N  # one step an epoch
