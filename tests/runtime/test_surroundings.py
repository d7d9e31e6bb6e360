"""Whatever a program has set in torch: results are the same, and the settings too afterwards."""

import copy
import pickle
import sys
from contextlib import ExitStack, contextmanager, nullcontext
from threading import Barrier, Thread

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skdim import DIMClassifier, DIMTransformer
from skdim._runtime import surroundings
from skdim._runtime.surroundings import autocast, torch_defaults
from skdim.displays import LocalScoreDisplay, PriorDisplay
from skdim.onnx_export import export_onnx

pyplot = pytest.importorskip("matplotlib.pyplot")
pyplot.switch_backend("Agg")

CPU = torch.device("cpu")
X = np.random.default_rng(0).normal(size=(24, 12, 12)).astype(np.float32)
SMALL = {"encoder_params": {"width": 8, "n_hidden": 16}, "batch_size": 12, "random_state": 0}


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device(name):
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


SURROUNDINGS = {
    "autocast to bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast to float16": lambda: torch.autocast("cpu", torch.float16),
    "autocast switched off": lambda: torch.autocast("cpu", enabled=False),
    "a default device": lambda: default_device("meta"),
    "a block of a device": lambda: torch.device("meta"),
    "float64 by default": lambda: default_dtype(torch.float64),
    "no gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
}


@contextmanager
def everything_at_once():
    with ExitStack() as stack:
        for name in SURROUNDINGS:
            stack.enter_context(SURROUNDINGS[name]())
        yield


TRIED = [
    pytest.param(everything_at_once, id="everything at once"),
    *(
        pytest.param(context, id=name, marks=pytest.mark.exhaustive)
        for name, context in SURROUNDINGS.items()
    ),
]


@pytest.fixture(scope="module")
def dim():
    return DIMTransformer(4, max_epochs=1, prior_weight=0.1, **SMALL).fit(X)


@pytest.fixture(scope="module")
def classifier(dim):
    return DIMClassifier(dim, max_epochs=1, random_state=0).fit(X, np.arange(24) % 2)


def fitted(**params):
    return DIMTransformer(4, max_epochs=2, prior_weight=0.1, **{**SMALL, **params})


def export(estimator, folder):
    onnx = pytest.importorskip("onnx")
    path = str(folder / "graph.onnx")
    export_onnx(estimator, path)
    return onnx.load(path).SerializeToString()


def saved(estimator, folder):
    path = folder / "file.safetensors"
    estimator.save(path)
    return type(estimator).load(path)


# Each gets a fitted transformer, a fitted classifier and a folder.
ENTRANCES = {
    "fit": lambda dim, classifier, folder: fitted().fit(X),
    "fit in bfloat16": lambda dim, classifier, folder: fitted(precision="bfloat16").fit(X),
    "partial_fit": lambda dim, classifier, folder: fitted().partial_fit(X).partial_fit(X),
    "fit of a copy": lambda dim, classifier, folder: (
        copy.deepcopy(dim).set_params(warm_start=True).fit(X)
    ),
    "transform": lambda dim, classifier, folder: dim.transform(X),
    "transform_to": lambda dim, classifier, folder: dim.transform_to(X, np.empty((24, 4))),
    "transform_views": lambda dim, classifier, folder: dim.transform_views(X, random_state=0),
    "score": lambda dim, classifier, folder: dim.score(X),
    "score_samples": lambda dim, classifier, folder: dim.score_samples(X),
    "score_terms": lambda dim, classifier, folder: list(dim.score_terms(X).values()),
    "save and load": lambda dim, classifier, folder: saved(dim, folder),
    "a pickle": lambda dim, classifier, folder: pickle.loads(pickle.dumps(dim)),
    "to": lambda dim, classifier, folder: copy.deepcopy(dim).to("cpu"),
    "export_onnx": lambda dim, classifier, folder: export(dim, folder),
    "local scores": lambda dim, classifier, folder: (
        LocalScoreDisplay.from_estimator(dim, X, n_samples=2).scores
    ),
    "codes and prior": lambda dim, classifier, folder: PriorDisplay.from_estimator(dim, X).codes,
    "fit of a classifier": lambda dim, classifier, folder: DIMClassifier(
        dim, max_epochs=1, random_state=0
    ).fit(X, np.arange(24) % 2),
    "predict_proba": lambda dim, classifier, folder: classifier.predict_proba(X),
    "export of a classifier": lambda dim, classifier, folder: export(classifier, folder),
    "export of a pipeline": lambda dim, classifier, folder: export(
        make_pipeline(dim, LogisticRegression()).fit(X, np.arange(24) % 2), folder
    ),
    "a file of a classifier": lambda dim, classifier, folder: saved(classifier, folder),
}


def outcome(entrance, dim, classifier, folder):
    """What an entrance returns, or what that can do, as an array or bytes."""
    returned = ENTRANCES[entrance](dim, classifier, folder)
    if isinstance(returned, DIMTransformer):
        return returned, lambda: np.append(returned.transform(X), returned.score(X))
    if isinstance(returned, DIMClassifier):
        return returned, lambda: returned.predict_proba(X)
    return returned, lambda: returned


@pytest.fixture(scope="module")
def expected(dim, classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return {name: outcome(name, dim, classifier, folder)[1]() for name in ENTRANCES}


@pytest.mark.filterwarnings("ignore:Anomaly Detection", "ignore:.*dynamo=True")
@pytest.mark.parametrize("context", TRIED)
def test_no_entrance_depends_on_what_the_program_has_set(
    context, dim, classifier, expected, tmp_path
):
    for entrance in ENTRANCES:
        with context():
            returned, result = outcome(entrance, dim, classifier, tmp_path)
        np.testing.assert_array_equal(result(), expected[entrance], err_msg=entrance)
        if isinstance(returned, DIMTransformer):  # it can be used outside, and trained further
            returned.set_params(warm_start=True, max_epochs=1).fit(X)
    pyplot.close("all")


def settings():
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.empty(0).device,
        torch.get_default_dtype(),
        torch.get_num_threads(),
    )


@pytest.mark.parametrize("name", SURROUNDINGS)
@pytest.mark.parametrize("ends", ["well", "by an error"])
def test_the_programs_settings_are_as_they_were(name, ends):
    with SURROUNDINGS[name]():
        before = settings()
        with pytest.raises(KeyError) if ends == "by an error" else nullcontext(), torch_defaults():
            assert settings()[:-1] == (True, False, False, CPU, torch.float32)
            if ends == "by an error":
                raise KeyError
        assert settings() == before


def test_the_last_of_several_threads_restores_the_default_type():
    first_is_in, second_is_in, first_is_out = Barrier(2), Barrier(2), Barrier(2)
    seen = []

    def first():
        with torch_defaults():
            first_is_in.wait(10)
            second_is_in.wait(10)
        first_is_out.wait(10)

    with default_dtype(torch.float64):
        thread = Thread(target=first)
        thread.start()
        first_is_in.wait(10)
        with torch_defaults():
            second_is_in.wait(10)
            first_is_out.wait(10)
            seen.append(torch.get_default_dtype())
        thread.join()
        assert (seen, torch.get_default_dtype()) == ([torch.float32], torch.float64)


def test_copies_of_weights_do_not_outlive_an_update_in_autocast_of_the_caller():
    layer, x = torch.nn.Linear(1, 1, bias=False), torch.ones(1, 1)
    outputs = []
    with torch.autocast("cpu", torch.bfloat16):
        for weight in (1.0, 2.0):
            torch.nn.init.constant_(layer.weight, weight)
            with autocast(CPU, torch.bfloat16):
                outputs.append(layer(x).item())
    assert outputs == [1.0, 2.0]


@pytest.mark.parametrize("stream", ["stderr", "stdout"])
@pytest.mark.filterwarnings("ignore")
def test_a_verbose_fit_needs_no_console(stream, monkeypatch):
    monkeypatch.setattr(sys, stream, None)
    DIMTransformer(4, max_epochs=1, verbose=1, random_state=0).fit(X[:, 0])


def test_a_process_that_imported_skdim_itself_keeps_its_threads(monkeypatch):
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch_defaults():
            assert torch.get_num_threads() == 2
        monkeypatch.setattr(surroundings, "IMPORTED_BY", -1)
        with torch_defaults():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(n_threads)
