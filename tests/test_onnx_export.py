"""An ONNX graph gives what the exported scikit-learn estimator gives."""

import copy
import json
import sys
from functools import cache

import numpy as np
import pytest
import torch
from helpers.products import cover
from helpers.signals import with_ends
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from skdim import DIMClassifier, DIMTransformer
from skdim._model.readout import OUTPUTS
from skdim.encoders import ENCODERS, tap
from skdim.exceptions import DataWarning
from skdim.onnx_export import export_onnx, pool_slices, unfold_slices

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")
runtime = pytest.importorskip("onnxruntime")

# Shape of a sample of X as the user gives it, and parameters that say how to read it.
LAYOUTS = {
    "rows": ((9,), {}),
    "rows, columns grouped": ((9,), {"column_groups": [[0, 4], [1, 2, 3]]}),
    "signals": ((40, 3), {"channel_axis": -1}),
    "signals of one channel": ((30,), {"channel_axis": None}),
    "grey images": ((8, 8), {}),
    "grey images, flat": ((64,), {"sample_shape": (8, 8)}),
    "grey images, channel first": ((1, 9, 11), {}),
    "grey images, channel last": ((8, 9, 1), {"channel_axis": -1}),
    "colour images, channels first": ((3, 14, 14), {}),
    "colour images, channels last": ((14, 14, 3), {}),
    "colour images, flat": ((300,), {"sample_shape": (10, 10, 3)}),
    "images, averaged over flips": ((9, 8), {"flip_averaging": True}),
    "volumes": ((8, 9, 8), {"channel_axis": None}),
    "volumes, channels last": ((8, 8, 8, 2), {}),
    "volumes, channels between": ((8, 2, 8, 8), {"channel_axis": 2, "flip_averaging": True}),
}
# Others see colour images.
SAMPLES = {"mlp": (9,), "signal": (2, 40), "spectrogram": (2, 90), "paper28": (1, 28, 28)}


def small(**params):
    defaults = {
        "n_components": 5,
        "encoder_params": {"width": 8, "n_hidden": 24},
        "max_epochs": 1,
        "batch_size": 16,
        "transform_batch_size": 20,  # inference fills batches up
        "random_state": 0,
    }
    return DIMTransformer(**{**defaults, **params})


def draw(*shape):
    return (3 * np.random.default_rng(0).normal(size=shape) + 7).astype(np.float32)


@pytest.fixture
def run(tmp_path):
    """Export an estimator, check its graph by the rules of onnx, and run the graph on X."""

    def run(estimator, *batches, **params):
        export_onnx(estimator, tmp_path / "graph.onnx", **params)
        graph = onnx.load(tmp_path / "graph.onnx")
        onnx.checker.check_model(graph, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True, data_prop=True)
        for value in (*inferred.graph.input, *inferred.graph.output):
            batch = value.type.tensor_type.shape.dim[0]
            assert not batch.dim_value, "the graph is for one size of batches only"
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        session = runtime.InferenceSession(tmp_path / "graph.onnx", options)
        run.metadata = session.get_modelmeta().custom_metadata_map
        return [session.run(None, {"X": X}) for X in batches]

    return run


def assert_same_features(run, dim, X, rounding=0.0, **params):
    batches = [X[:n] for n in (0, 1, 2, 3, 17)]
    (empty,), *others = run(dim, *batches, **params)
    assert empty.shape == (0, others[0][0].shape[1])
    for batch, (features,) in zip(batches[1:], others, strict=True):
        assert features.dtype == np.float32
        difference = np.abs(features - dim.transform(batch))
        assert (difference <= 1e-4 + rounding).all(), (difference.max(), rounding)


@cache
def fit_layout(layout):
    shape, params = LAYOUTS[layout]
    X = draw(40, *shape)
    return small(**params).fit(X), X


def rounding_of(dim):
    """The rounding error of features in single precision: largest of units that hardly vary."""
    readout = dim.model_.readouts[dim.output]
    of_units = 1e-7 / readout.scale
    if readout.rotation is None:
        return of_units
    return np.sqrt(np.square(of_units) @ np.square(readout.rotation))


@pytest.mark.parametrize(("layout", "output"), cover(LAYOUTS, OUTPUTS))
def test_features_of_every_layout_and_output(layout, output, run):
    dim, X = fit_layout(layout)
    dim = copy.copy(dim).set_params(output=output)
    assert_same_features(run, dim, X, rounding_of(dim))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_graphs_of_every_layout_mean_the_same_to_the_reference_evaluator(layout, tmp_path):
    dim, X = fit_layout(layout)
    dim = copy.copy(dim).set_params(output="hidden")
    export_onnx(dim, tmp_path / "graph.onnx")
    evaluator = reference.ReferenceEvaluator(str(tmp_path / "graph.onnx"))
    for n in (1, 2, 5):
        (features,) = evaluator.run(None, {"X": X[:n]})
        difference = np.abs(features - dim.transform(X[:n]))
        assert (difference <= 1e-4 + 3 * rounding_of(dim)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_graph_ignores_what_carried_nothing_in_fit(dtype, run):
    X = draw(40, 6).astype(dtype)
    X[:, 1], X[:, 2], X[::3, 3] = 7, np.nan, np.nan
    dim = small(allow_nan=True).fit(X)
    X[:, 1], X[:, 2], X[::2, 4] = 1e6, 0, np.nan
    with pytest.warns(DataWarning):
        assert_same_features(run, dim, X, dtype=dtype)


@pytest.mark.parametrize("name", ENCODERS)
def test_features_of_every_encoder(name, run):
    shape = SAMPLES.get(name, (3, 64, 64) if "64" in name else (3, 32, 32))
    params = {"scale": 0.05} if name.startswith("paper") else {"width": 8, "n_hidden": 24}
    X = draw(17, *shape)
    dim = small(encoder=name, encoder_params=params, channel_axis=1, augment=None).fit(X)
    assert_same_features(run, dim, X, rounding_of(dim))


@pytest.mark.parametrize("name", ["signal", "spectrogram"])
def test_a_graph_ignores_what_comes_after_the_end_of_a_signal(name, run):
    X = with_ends(draw(40, 2, 90), np.random.default_rng(1).integers(4, 91, 40))
    dim = small(encoder=name, channel_axis=1, allow_nan=True, output="hidden").fit(X)
    assert_same_features(run, dim, X, rounding_of(dim))


def test_a_graph_has_the_layout_of_fit_whatever_parameters_say_later(run):
    X = draw(40, 8, 3, 9)
    dim = small(channel_axis=2).fit(X)
    expected = run(dim, X)[0][0]
    changed = dim.set_params(channel_axis=None, sample_shape=(3, 3), encoder="mlp", allow_nan=True)
    np.testing.assert_array_equal(run(changed, X)[0][0], expected)


def build():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d((None, 4))
    )


def test_features_of_a_tapped_network_and_without_a_code(run):
    X = draw(17, 9, 9)
    encoder = tap(build, local="1", hidden="2")
    assert_same_features(run, small(encoder=encoder, encoder_params=None).fit(X), X)
    assert_same_features(run, small(n_components=None).fit(X), X)


def test_features_of_bytes_and_of_doubles(run):
    X = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    assert_same_features(run, small().fit(X), X, dtype="uint8")
    seconds = 1.7e9 + np.random.default_rng(0).normal(size=(40, 4))  # floats end 64 s apart
    assert_same_features(run, small().fit(seconds), seconds, dtype="float64")


def test_a_copy_is_exported_and_critics_are_not_needed(run):
    X = draw(40, 8, 8)
    dim = small().fit(X)
    before = dim.transform(X)
    assert_same_features(run, copy.deepcopy(dim).trim(), X)
    assert not dim.encoder_.training
    assert np.array_equal(dim.transform(X), before)


@pytest.mark.parametrize("classes", [["cat", "dog"], [3, 5, 8]])
def test_probabilities_of_classifiers(classes, run):
    X = draw(60, 8, 8)
    y = np.random.default_rng(1).choice(classes, 60)
    dim = small().fit(X)
    X_new = draw(83, 8, 8)[60:]
    for classifier in (
        make_pipeline(small(output="hidden"), LogisticRegression(max_iter=1000)),
        make_pipeline(FrozenEstimator(dim), "passthrough", LogisticRegression(max_iter=1000)),
        DIMClassifier(dim, max_epochs=1, random_state=0),
    ):
        classifier.fit(X, y)
        for n, (probabilities, index) in zip(
            (1, 23), run(classifier, X_new[:1], X_new), strict=True
        ):
            expected = classifier.predict_proba(X_new[:n])
            np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-4)
            known = np.array(json.loads(run.metadata["classes"]))
            assert np.array_equal(known[index], classifier.predict(X_new[:n]))


@pytest.mark.parametrize("shape", [(8, 8), (9,)], ids=["images", "rows"])
def test_samples_of_fit_that_are_far_from_the_others_are_themselves_in_a_graph(shape, run):
    X = draw(300, *shape)
    X[7] *= 100
    dim = small(neighbor_averaging=True).fit(X)
    (features,) = run(dim, X)[0]
    expected = dim.transform(X)
    np.testing.assert_allclose(features, expected, atol=1e-5 * abs(expected).max())


def test_a_classifier_without_zeros_and_of_dates_has_a_graph(run):
    X = draw(40, 9)
    pipeline = make_pipeline(small(), LogisticRegression()).fit(X, np.arange(40) % 2)
    expected = pipeline.predict_proba(X)
    pipeline[-1].sparsify()
    ((probabilities, _),) = run(pipeline, X)
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-4)
    dates = np.array(["2024-01-01", "2024-02-01"], "datetime64[D]")[np.arange(40) % 2]
    run(DIMClassifier(small(), max_epochs=1).fit(X, dates), X)
    assert json.loads(run.metadata["classes"]) == ["2024-01-01", "2024-02-01"]


def test_a_pipeline_of_a_transformer_alone_gives_features(run):
    X = draw(40, 9)
    pipeline = make_pipeline(small()).fit(X)
    assert_same_features(run, pipeline, X)


@pytest.mark.parametrize("size", [1, 2, 4, 7])
@pytest.mark.parametrize("n_sides", [1, 2, 3])
def test_slices_are_adaptive_pools(size, n_sides):
    x = torch.randn(2, 3, *(7, 9, 11)[:n_sides], generator=torch.Generator().manual_seed(0))
    for kind, reduce in (("avg", torch.mean), ("max", torch.amax)):
        pool = getattr(functional, f"adaptive_{kind}_pool{n_sides}d")
        torch.testing.assert_close(pool_slices(x, size, reduce), pool(x, size))


def test_slices_are_windows():
    x = torch.arange(2 * 3 * 9 * 8).reshape(2, 3, 9, 8)
    assert unfold_slices(x, 2, 4, 2).equal(x.unfold(2, 4, 2))


def test_estimators_that_have_no_graph_are_named(tmp_path):
    path = tmp_path / "graph.onnx"
    X, y = draw(40, 9), np.arange(40) % 3
    with pytest.raises(NotFittedError):
        export_onnx(small(), path)
    scaled = make_pipeline(StandardScaler(), small(), LogisticRegression()).fit(X, y)
    with pytest.raises(TypeError, match="Got Pipeline of StandardScaler, DIMTransformer, Log"):
        export_onnx(scaled, path)
    with pytest.raises(TypeError, match="Got KMeans"):
        export_onnx(KMeans(2, n_init=1).fit(X), path)
    one_by_one = make_pipeline(small(), LogisticRegression(max_iter=1000)).fit(X, y)
    one_by_one[-1].solver = "liblinear"  # which older versions of scikit-learn fit
    with pytest.raises(ValueError, match="must be multinomial"):
        export_onnx(one_by_one, path)
    other = make_pipeline(small(), LogisticRegression()).fit(X, y)
    other[0].set_params(output="hidden")
    with pytest.raises(ValueError, match=r"fitted on the features .* one of 5 features, and"):
        export_onnx(other, path)
    with pytest.raises(NotFittedError):
        export_onnx(make_pipeline(small().fit(X), LogisticRegression()), path)
    with pytest.raises(ValueError, match=r"'dtype' parameter must be one of .* Got 'int64'"):
        export_onnx(one_by_one[0], path, dtype="int64")
    assert not path.exists()


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx onnxruntime"):
        export_onnx(small().fit(draw(40, 9)), tmp_path / "graph.onnx")


def test_methods_write_what_the_function_writes(tmp_path, digits):
    X, y = digits.images[:60].astype(np.float32), digits.target[:60]
    small = {"width": 8, "n_hidden": 16}
    dim = DIMTransformer(4, max_epochs=1, encoder_params=small, random_state=0).fit(X)
    classifier = DIMClassifier(dim, max_epochs=1, random_state=0).fit(X, y)
    for estimator, method in ((dim, dim.transform), (classifier, classifier.predict_proba)):
        estimator.export_onnx(tmp_path / "by method")
        export_onnx(estimator, tmp_path / "by function")
        for name in ("by method", "by function"):
            session = runtime.InferenceSession(tmp_path / name)
            np.testing.assert_allclose(session.run(None, {"X": X})[0], method(X), atol=1e-4)
