"""Short fits on the pretended device, compared with those of the CPU and with eager ones."""

import logging

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from helpers.pretended_device import NAME, counts, reads_cuda
from skdim import DIMTransformer

rng = np.random.default_rng(0)
N = 24
DIGITS = load_digits()
LABELS = DIGITS.target[:N]
GROUPS = np.arange(N) % 9

# Samples of each kind, and how they are laid out.
DATA = {
    "rows": ((rng.normal(size=(N, 9)) + LABELS[:, None]).astype("f4"), {}),
    "doubles": (rng.normal(size=(N, 9)) + 1e9, {}),
    "signals": (rng.normal(size=(N, 2, 32)).cumsum(2).astype("f4"), {"channel_axis": 1}),
    "digits": (DIGITS.images[:N].astype("u1"), {}),
    "grey": (rng.normal(size=(N, 16, 16)).cumsum(2).astype("f4"), {"channel_axis": None}),
    "colour": (rng.normal(size=(N, 3, 16, 18)).cumsum(3).astype("f4"), {"channel_axis": 1}),
    "volumes": (rng.normal(size=(N, 8, 8, 9)).cumsum(3).astype("f4"), {"channel_axis": None}),
}
SMALL = {
    "rows": {"width": 16, "n_hidden": 32},
    "doubles": {"width": 16, "n_hidden": 32},
    "signals": {"width": 4, "n_hidden": 32, "n_thresholds": 1},
    "volumes": {"width": 4, "n_hidden": 32},
}
SMALL_IMAGES = {"width": 4, "n_hidden": 32, "n_patches": 8}

only_cuda = pytest.mark.skipif(not reads_cuda(), reason="a branch for CUDA")


def samples_of(kind):
    return DATA[kind][0]


def build(kind, device=NAME, **params):
    """Build a transformer whose fit takes a moment."""
    settings = {
        "n_components": 4,
        "max_epochs": 3,
        "batch_size": N,
        "random_state": 0,
        "transform_batch_size": 16,
        "device": device,
        **DATA[kind][1],
    }
    if "encoder" not in params:
        settings["encoder_params"] = SMALL.get(kind, SMALL_IMAGES)
    return DIMTransformer(**{**settings, **params})


def fit(kind, groups=None, **params):
    return build(kind, **params).fit(samples_of(kind), groups=groups)


def differences(one, other, X, outputs=("hidden",)):
    """Yield the largest difference of the losses of two fits, and those of their features."""
    losses = [[epoch["loss"] for epoch in dim.history_] for dim in (one, other)]
    yield np.abs(np.subtract(*losses)).max() / max(1, np.abs(losses[1]).max())
    for output in outputs:
        features = [dim.set_params(output=output).transform(X) for dim in (one, other)]
        assert all(f.dtype == np.float32 and np.isfinite(f).all() for f in features)
        yield np.abs(np.subtract(*features)).max()


def check_equals_cpu(kind, groups=None, atol=1e-3, **params):
    """Fit on both devices: losses and features agree."""
    # The steps of other optimisers amplify rounding.
    params = {"precision": "float32", "optimizer": "sgd", "learning_rate": 1e-3, **params}
    one, other = (fit(kind, groups, device=device, **params) for device in (NAME, "cpu"))
    assert one.device_.type == NAME
    assert max(differences(one, other, samples_of(kind))) < atol
    return one


def check_captured(kind, groups=None, n_graphs=1, **params):
    """Fit with a CUDA graph and without: the fits are equal, and nothing is said of obstacles."""
    # A learning rate of which float32, the type of a captured one, loses nothing.
    params = {"learning_rate": 2**-9, "lr_schedule": "constant", **params}
    messages = Messages()
    with messages:
        captured = fit(kind, groups, **params)
    assert not messages.on_graphs, messages.on_graphs
    assert counts["replays"]
    assert counts["captures: thread_local"] == n_graphs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skdim._training.fit.choose_capturer", lambda *_: None)
        eager = fit(kind, groups, **params)
    assert counts["captures: thread_local"] == n_graphs
    assert max(differences(captured, eager, samples_of(kind))) < 1e-6
    return captured


class Messages(logging.Handler):
    """A context that collects what the log says."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())

    @property
    def on_graphs(self):
        return [text for text in self.texts if "CUDA graph" in text]

    def __enter__(self):
        logging.getLogger("skdim").addHandler(self)
        return self

    def __exit__(self, *_):
        logging.getLogger("skdim").removeHandler(self)


def global_states():
    """What belongs to the program, in bytes."""
    return (
        torch.get_rng_state().numpy().tobytes(),
        torch.get_device_module(NAME).get_rng_state().numpy().tobytes(),
        torch.get_default_dtype(),
        torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
        torch.get_device_module(NAME).current_device(),
        torch.is_grad_enabled(),
    )
