"""What is done with a fit on a device: features, scores, files, other devices, further training."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import torch
from helpers.on_device import (
    GROUPS,
    LABELS,
    Messages,
    N,
    build,
    fit,
    only_cuda,
    samples_of,
)
from helpers.pretended_device import NAME, counts, reads_cuda, settings
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback, EpochTimer, LRScheduler

import skdim
from skdim import DIMClassifier, DIMTransformer, displays, evaluation
from skdim._model.readout import OUTPUTS
from skdim._training.net import DIMNet
from skdim.encoders import encode
from skdim.sources import ImageFolder

CLASSES = np.arange(N) % 3


def moved(dim, device="cpu"):
    """Copy a transformer to another device, as a file would."""
    return pickle.loads(pickle.dumps(dim)).to(device)


def check_near(one, other, atol=1e-3):
    np.testing.assert_allclose(one, other, rtol=0, atol=atol)


# ------------------------------------------------------------ features and scores


@pytest.mark.parametrize("kind", ["signals", "grey"])
def test_every_output_in_batches_of_any_size(kind):
    dim, X = fit(kind, max_epochs=1), samples_of(kind)
    on_cpu = moved(dim)
    for output in OUTPUTS:
        for size in (None, 7):
            params = {"output": output, "transform_batch_size": size}
            features = dim.set_params(**params).transform(X[:11])
            assert features.dtype == np.float32
            check_near(features, on_cpu.set_params(output=output).transform(X)[:11])
    with torch.inference_mode():
        check_near(dim.transform(X[:11]), features, 1e-5)


@pytest.mark.parametrize(
    "params",
    [
        {"prior_weight": 1.0},
        {"global_weight": 1.0, "local_weight": 0},
        {"critic": "concat"},
        {"coordinate_weight": 0.5},
    ],
    ids=lambda params: next(iter(params)),
)
def test_scores(params):
    kind = "grey" if "coordinate_weight" in params else "rows"
    dim, X = fit(kind, max_epochs=1, **params), samples_of(kind)
    on_cpu = moved(dim)
    assert abs(dim.score(X) - on_cpu.score(X)) < 1e-3
    check_near(dim.score_samples(X), on_cpu.score_samples(X), 1e-2)
    terms, expected = dim.score_terms(X), on_cpu.score_terms(X)
    assert all(abs(terms[name] - expected[name]) < 1e-2 for name in terms)


def test_features_in_a_file_and_of_views(tmp_path):
    dim, X = fit("rows"), samples_of("rows")
    np.testing.assert_array_equal(dim.transform_to(X, tmp_path / "Z.npy"), dim.transform(X))
    check_near(*(d.transform_views(X, 2, random_state=0) for d in (dim, moved(dim))))


# ------------------------------------------------------------ files and devices


def test_every_copy_is_on_the_device_and_has_the_same_features(tmp_path):
    dim, X = fit("grey", max_epochs=1), samples_of("grey")
    features, path = dim.transform(X), tmp_path / "dim.safetensors"
    dim.save(path)
    joblib.dump(dim, tmp_path / "dim.joblib")
    copies = [
        moved(dim, NAME),
        joblib.load(tmp_path / "dim.joblib"),
        DIMTransformer.load(path),
        copy.deepcopy(dim),
        moved(moved(dim), NAME),
        moved(dim, NAME).trim(),
    ]
    for twin in copies:
        assert twin.device_ == torch.device(NAME, 0)
        np.testing.assert_array_equal(twin.transform(X), features)
    check_near(moved(dim).transform(X), features)
    assert clone(dim).get_params()["device"] == NAME


def test_everything_after_a_move_to_the_cpu():
    dim, X = fit("rows", prior_weight=0.5).to("cpu"), samples_of("rows")
    dim.score(X), dim.score_samples(X), dim.score_terms(X), dim.transform_views(X, 2)
    assert dim.partial_fit(X).device_.type == "cpu"


def test_a_fit_of_a_cpu_continues_on_the_device():
    X = samples_of("rows")
    dim = fit("rows", device="cpu", warm_start=True)
    assert len(dim.set_params(device=NAME).fit(X).history_) == 2 * dim.max_epochs
    assert dim.device_.type == NAME


@pytest.mark.parametrize("kind", ["rows", "signals", "grey"])
def test_onnx(kind, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    dim, X = fit(kind, max_epochs=1, output="hidden"), samples_of(kind)
    dim.export_onnx(tmp_path / "dim.onnx")
    (features,) = onnxruntime.InferenceSession(tmp_path / "dim.onnx").run(None, {"X": X})
    check_near(features, dim.transform(X))


# ------------------------------------------------------------ further training


@pytest.mark.usefixtures("few_steps")
def test_partial_fit_continues_over_pickles_and_devices():
    X, dim = samples_of("rows"), build("rows")
    for _ in range(2):
        dim.partial_fit(X)
    twin = moved(dim, NAME)
    check_near(dim.partial_fit(X).transform(X), twin.partial_fit(X).transform(X), 1e-5)
    back = moved(moved(dim).partial_fit(X), NAME).partial_fit(X)
    assert np.isfinite(back.transform(X)).all()


@only_cuda
@pytest.mark.parametrize("optimizer", ["muon", "adam", "sgd"])
def test_partial_fit_is_captured_after_chunks_too_small_for_it(few_steps, optimizer):
    X = samples_of("grey")
    dim = build("grey", optimizer=optimizer, batch_size=8)
    with Messages() as messages:
        dim.partial_fit(X[:8])
        assert not counts["replays"]
        dim.partial_fit(X)
    assert counts["replays"]
    assert not messages.on_graphs
    dim.partial_fit(X[:8])
    assert moved(dim).partial_fit(X).device_.type == "cpu"


class Killed(BaseException):
    """Ends a fit as a kill would."""


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize(
    "params",
    [{"prior_weight": 0.5}, {"early_stopping": True}, {"weight_averaging": 0.9}],
    ids=lambda params: next(iter(params)),
)
def test_a_resumed_fit_equals_one_that_was_not_killed(tmp_path, monkeypatch, params):
    params = {"max_epochs": 5, **params}
    complete, notify = fit("rows", **params), DIMNet.notify

    def dying(self, name, **kwargs):
        notify(self, name, **kwargs)
        if name == "on_epoch_end" and self.n_whole_epochs == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(DIMNet, "notify", dying)
        with pytest.raises(Killed):
            fit("rows", checkpoint=tmp_path, **params)
    resumed = fit("rows", checkpoint=tmp_path, **params)
    assert len(resumed.history_) == len(complete.history_)
    check_near(resumed.transform(samples_of("rows")), complete.transform(samples_of("rows")), 1e-5)


def test_callbacks():
    fit("rows", callbacks=[EpochTimer(), LRScheduler("StepLR", step_size=1)], lr_schedule=None)


def test_an_interrupt_leaves_whole_epochs():
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            if net.n_whole_epochs == 1:
                raise KeyboardInterrupt

    dim = build("rows", callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        dim.fit(samples_of("rows"))
    assert len(dim.history_) == 1
    dim.transform(samples_of("rows"))


def test_fits_in_threads():
    fits = joblib.Parallel(2, backend="threading")(joblib.delayed(fit)("rows") for _ in range(2))
    check_near(*(dim.transform(samples_of("rows")) for dim in fits), 1e-6)


def test_search_and_pipeline():
    search = GridSearchCV(build("rows"), {"critic_width": [8]}, cv=2, error_score="raise")
    search.fit(samples_of("rows"))
    pipeline = make_pipeline(build("rows", max_epochs=1), LogisticRegression())
    pipeline.fit(samples_of("rows"), CLASSES).score(samples_of("rows"), CLASSES)


# ------------------------------------------------------------ kinds of X


def test_data_on_disk_and_in_memory_of_the_device(tmp_path):
    X = samples_of("digits")
    np.save(tmp_path / "X.npy", X)
    on_disk = np.load(tmp_path / "X.npy", mmap_mode="r")
    features = [
        build("digits", max_epochs=1, data_on_device=where).fit(data).transform(X)
        for where, data in ((True, X), (False, X), ("auto", on_disk))
    ]
    np.testing.assert_array_equal(features[0], features[1])
    np.testing.assert_array_equal(features[0], features[2])
    tensor = torch.from_numpy(samples_of("rows")).to(NAME)
    check_near(build("rows").fit(tensor).transform(tensor), fit("rows").transform(tensor), 1e-5)


def test_samples_that_fill_half_of_the_memory_are_streamed(monkeypatch):
    monkeypatch.setattr(settings, "free_memory", 100)
    fit("rows")
    assert counts["copies"]


def test_a_folder_of_images(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for i, digit in enumerate(samples_of("digits")[:8]):
        picture = (digit * 15).repeat(2, 0).repeat(2, 1)
        image.fromarray(picture).save(tmp_path / f"{i}.png")
    source = ImageFolder(tmp_path, (16, 16))
    build("grey", max_epochs=1, channel_axis="auto").fit(source).transform(source)


def test_a_dask_array():
    array = pytest.importorskip("dask.array")
    X = samples_of("digits")
    lazy = array.from_array(X, chunks=(12, 8, 8))
    dim = build("digits", max_epochs=1).fit(lazy)
    np.testing.assert_array_equal(dim.transform(lazy).compute(), dim.transform(X))


# ------------------------------------------------------------ classifier, evaluation, displays


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("rows", {"class_weight": "balanced"}),
        ("signals", {}),
        ("grey", {"augment": "auto"}),
        ("volumes", {}),
    ],
)
def test_the_classifier(kind, params, tmp_path):
    X, dim = samples_of(kind), fit(kind, max_epochs=1, precision="float32")
    params = {"max_epochs": 1, "random_state": 0, **params}
    weights = np.linspace(0.1, 1, N)
    classifier = DIMClassifier(dim, **params).fit(X, CLASSES, sample_weight=weights)
    classifier.predict(X), classifier.decision_function(X), classifier.score(X, CLASSES)
    probabilities = classifier.predict_proba(X)
    classifier.save(tmp_path / "classifier.safetensors")
    loaded = DIMClassifier.load(tmp_path / "classifier.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(X), probabilities)
    on_cpu = DIMClassifier(moved(dim), **params).fit(X, CLASSES, sample_weight=weights)
    check_near(on_cpu.predict_proba(X), probabilities, 0.02)


def test_the_classifier_in_half_precision_and_streaming():
    dim = fit("rows", precision="bfloat16", data_on_device=False)
    DIMClassifier(dim, max_epochs=1).fit(samples_of("rows"), CLASSES)


def test_every_scorer():
    dim, X = fit("digits", max_epochs=1), samples_of("digits")
    for name in evaluation.__all__:
        if name.endswith("_scorer"):
            score = getattr(evaluation, name)(dim, X, LABELS % 2)
            assert np.isfinite(score), name


def test_every_display():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    dim, X = fit("grey", max_epochs=1, prior_weight=0.5), samples_of("grey")
    for name in displays.__all__:
        display = getattr(displays, name)
        if name == "MistakesDisplay":
            classifier = DIMClassifier(dim, max_epochs=1).fit(X, CLASSES)
            labels = (classifier.predict(X) + 1) % 3  # mistakes, all of them
            display.from_estimator(classifier, X, labels, X_train=X, y_train=CLASSES)
        elif name == "LossCurveDisplay":
            display.from_estimator(dim)
        else:
            display.from_estimator(dim, X)
    matplotlib.pyplot.close("all")


def test_versions():
    skdim.show_versions()


# ------------------------------------------------------------ devices that lack something


@pytest.mark.skipif(reads_cuda(), reason="CUDA has float64")
@pytest.mark.parametrize("kind", ["rows", "doubles", "signals", "grey", "volumes"])
def test_no_float64_is_needed(monkeypatch, kind):
    monkeypatch.setattr(settings, "has_float64", False)
    dim, X = fit(kind, GROUPS, max_epochs=1, prior_weight=0.5), samples_of(kind)
    dim.transform(X), dim.score(X), dim.score_samples(X), dim.partial_fit(X)
    DIMClassifier(dim, max_epochs=1).fit(X, CLASSES)


def test_fixed_features_are_float32_inside_autocast():
    dim = fit("signals", max_epochs=1)
    x = torch.from_numpy(samples_of("signals")).to(NAME)
    with torch.no_grad():
        plain = encode(dim.encoder_, x).fixed
        with torch.autocast(NAME, torch.bfloat16):
            inside = encode(dim.encoder_, x).fixed
    assert torch.equal(plain, inside)
