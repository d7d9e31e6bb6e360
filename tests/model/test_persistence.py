"""A fitted transformer comes back from its file, or its pickle, in this process and in others."""

import copy
import io
import multiprocessing
import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skdim import DIMClassifier, DIMTransformer
from skdim._model.migrations import BEFORE
from skdim.encoders import MLPEncoder, tap
from skdim.exceptions import FileError
from skdim.mutual_information import ESTIMATORS
from skdim.priors import PRIORS, Prior


class CustomEncoder(MLPEncoder):
    """A user's."""


class OtherEncoder(MLPEncoder):
    """Another one, of other weights."""

    def __init__(self, sample_shape, n_components):
        super().__init__(sample_shape, n_components, n_hidden=7)


def custom_views(batch, generator):
    return batch + 0.1


RNG = np.random.default_rng(0)
KINDS = {
    "rows": (RNG.normal(size=(50, 6)), {}),
    "signals": (RNG.normal(size=(40, 2, 30)), {"channel_axis": 1}),
    "images": (RNG.integers(0, 255, (40, 9, 10, 3), dtype=np.uint8), {"flip_averaging": True}),
    "volumes": (
        RNG.normal(size=(12, 8, 8, 9)),
        {
            "channel_axis": None,
            "encoder_params": {"width": 8, "n_hidden": 16},
            "transform_batch_size": 12,
        },
    ),
    "flat images": (RNG.normal(size=(40, 64)), {"sample_shape": (8, 8), "output": "local"}),
    "groups of columns": (RNG.normal(size=(50, 6)), {"column_groups": [[0, 1], [2, 3]]}),
    "every term": (
        RNG.normal(size=(40, 10, 10)),
        {"global_weight": 1, "prior_weight": 0.1, "coordinate_weight": 1.0, "critic": "concat"},
    ),
    "a prior with settings": (
        RNG.normal(size=(50, 6)),
        {"prior_weight": 0.1, "prior": Prior("normal", gradient_penalty=1.0, learning_rate=1e-3)},
    ),
    "early stopping": (RNG.normal(size=(50, 6)), {"early_stopping": True, "lr_schedule": None}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_fitted_comes_back(quick, tmp_path, kind):
    X, params = KINDS[kind]
    dim = quick(**params).fit(X)
    dim.save(tmp_path / "dim.safetensors")
    again = DIMTransformer.load(tmp_path / "dim.safetensors")
    assert repr(again.get_params()) == repr(dim.get_params())
    assert again.history_ == dim.history_
    np.testing.assert_array_equal(again.transform(X), dim.transform(X))
    np.testing.assert_array_equal(again.score_samples(X), dim.score_samples(X))
    assert again.score(X) == dim.score(X)


def test_names_of_columns_come_back(quick, tmp_path):
    X = pd.DataFrame(RNG.normal(size=(40, 4)), columns=list("abcd"))
    dim = quick(column_groups=[["a", "b"]]).fit(X)
    dim.save(tmp_path / "dim")
    again = DIMTransformer.load(tmp_path / "dim")
    np.testing.assert_array_equal(again.transform(X), dim.transform(X))
    with pytest.raises(ValueError, match="feature names"):
        again.transform(X.rename(columns={"a": "z"}))


def test_the_kind_of_output_comes_back_and_requests_and_callbacks_do_not(quick, tmp_path):
    X = RNG.normal(size=(40, 4))
    dim = quick().set_output(transform="pandas").fit(X)
    with sklearn.config_context(enable_metadata_routing=True):
        dim.set_fit_request(groups=True)
    dim.save(tmp_path / "dim")
    again = DIMTransformer.load(tmp_path / "dim")
    pd.testing.assert_frame_equal(again.transform(X), dim.transform(X))


def test_training_continues_from_a_file(quick, tmp_path):
    X = RNG.normal(size=(60, 5))
    dim = quick().partial_fit(X)
    dim.save(tmp_path / "dim")
    again = DIMTransformer.load(tmp_path / "dim")
    np.testing.assert_array_equal(
        again.partial_fit(X).transform(X), dim.partial_fit(X).transform(X)
    )


def test_custom_objects_are_asked_for_by_name(quick, tmp_path):
    X = RNG.normal(size=(40, 5))
    dim = quick(
        encoder=CustomEncoder, augment=custom_views, random_state=np.random.RandomState(0)
    ).fit(X)
    dim.save(tmp_path / "dim")
    with pytest.raises(FileError, match=r"augment=\.\.\., encoder=\.\.\.\)"):
        DIMTransformer.load(tmp_path / "dim")
    again = DIMTransformer.load(tmp_path / "dim", encoder=CustomEncoder, augment=custom_views)
    np.testing.assert_array_equal(again.transform(X), dim.transform(X))
    with pytest.raises(FileError, match="weights do not fit"):
        DIMTransformer.load(tmp_path / "dim", encoder=OtherEncoder, augment=custom_views)


PARAMETERS = DIMTransformer().get_params()


@pytest.fixture(scope="module")
def plain(quick):
    """A transformer without custom objects, and its X."""
    X = RNG.normal(size=(40, 5))
    return quick().fit(X), X


@pytest.fixture(scope="module")
def plain_file(plain, tmp_path_factory):
    """The file of a transformer without custom objects."""
    path = tmp_path_factory.mktemp("plain") / "dim"
    plain[0].save(path)
    return path


@pytest.mark.parametrize("name", [*PARAMETERS, "typo", "n_component"])
def test_load_refuses_what_the_file_holds_and_what_it_does_not_know(plain_file, name):
    kind, pattern = ValueError, f"there are none. Got {name};.*'set_params', and the device by 'to'"
    if name not in PARAMETERS:
        kind, pattern = TypeError, f"DIMTransformer has no parameter '{name}'"
    with pytest.raises(kind, match=pattern) as caught:
        DIMTransformer.load(plain_file, **{name: PARAMETERS.get(name, 1)})
    assert not isinstance(caught.value, FileError)


def test_the_arguments_of_a_custom_encoder_may_be_passed(quick, tmp_path):
    X, custom = RNG.normal(size=(40, 5)), {"encoder": CustomEncoder, "encoder_params": {"width": 8}}
    dim = quick(**custom).fit(X)
    dim.save(tmp_path / "dim")
    again = DIMTransformer.load(tmp_path / "dim", **custom)
    np.testing.assert_array_equal(again.transform(X), dim.transform(X))
    assert again.encoder_params == {"width": 8}
    with pytest.raises(ValueError, match=r"encoder, encoder_params. Got critic;"):
        DIMTransformer.load(tmp_path / "dim", **custom, critic=len)


def test_a_file_chooses_no_argument_of_an_encoder_that_was_set_after_fit(quick, tmp_path):
    dim = quick().fit(RNG.normal(size=(40, 5)))
    dim.set_params(encoder=CustomEncoder, encoder_params={"width": 9}).save(tmp_path / "dim")
    with pytest.raises(FileError, match="arguments of your code"):
        DIMTransformer.load(tmp_path / "dim", encoder=CustomEncoder)
    custom = {"encoder": CustomEncoder, "encoder_params": {"width": 9}}
    assert DIMTransformer.load(tmp_path / "dim", **custom).encoder_params == {"width": 9}


def without(state, names):
    """A state of an earlier version, which did not have some parameters."""
    state = {name: value for name, value in state.items() if name not in names}
    if "model_" in state:
        params = {n: v for n, v in state["model_"]["given"].items() if n not in names}
        state["model_"] = {**state["model_"], "given": params}
    return state


@pytest.mark.parametrize("missing", [*([name] for name in PARAMETERS), [*PARAMETERS]])
def test_a_pickle_of_a_version_without_a_parameter_gets_its_value_before(quick, plain, missing):
    dim, X = plain
    params = {name: BEFORE["transformer"][name] for name in missing}
    if dim.get_params() != {**dim.get_params(), **params}:
        dim = quick(**params).fit(X)
    older = DIMTransformer.__new__(DIMTransformer)
    older.__setstate__(without(dim.__getstate__(), missing))
    np.testing.assert_array_equal(older.transform(X), dim.transform(X))
    assert {name: older.get_params()[name] for name in missing} == params
    unfitted = DIMTransformer.__new__(DIMTransformer)
    unfitted.__setstate__(without(quick().__getstate__(), missing))
    assert {name: unfitted.get_params()[name] for name in missing} == params


@pytest.mark.parametrize("change", ["short", "swapped", "generator"])
def test_a_pickle_whose_training_state_does_not_fit_cannot_train(quick, change):
    X = RNG.normal(size=(40, 5))
    state = quick(optimizer="adamw").partial_fit(X).__getstate__()
    training = state["model_"]["training_state"]
    momenta = training["optimizers"]["optimizer"]["state"]
    if change == "short":
        momenta[0]["exp_avg"] = momenta[0]["exp_avg"].reshape(-1)[:1]
    elif change == "swapped":
        momenta[0], momenta[1] = momenta[1], momenta[0]
    else:
        training["cpu generator"] = training["cpu generator"][:-1]
    again = DIMTransformer.__new__(DIMTransformer)
    again.__setstate__(state)
    again.transform(X)
    for train in (again.partial_fit, again.set_params(warm_start=True).fit):
        with pytest.raises(ValueError, match=r"The state of the (optimiser|generator)"):
            train(X)


class Older(pickle.Pickler):
    """Pickles transformers and classifiers as a version without some parameters."""

    def reducer_override(self, value):
        if not isinstance(value, DIMTransformer | DIMClassifier):
            return NotImplemented
        names = {"occlusion", "n_crops", "C", "class_weight"}
        return object.__new__, (type(value),), without(value.__getstate__(), names)


def test_a_pickle_of_an_earlier_version_is_read_inside_a_pipeline(quick):
    X, y = RNG.normal(size=(40, 5)), np.arange(40) % 2
    pipeline = make_pipeline(StandardScaler(), DIMClassifier(quick(), max_epochs=1)).fit(X, y)
    file = io.BytesIO()
    Older(file).dump(pipeline)
    again = pickle.loads(file.getvalue())
    np.testing.assert_array_equal(again.predict_proba(X), pipeline.predict_proba(X))
    assert again[-1].C == DIMClassifier().C
    assert again[-1].fit(X, y).transformer_.occlusion is False


def _transform(given):
    dim, X = given
    dim = dim if isinstance(dim, DIMTransformer) else DIMTransformer.load(dim)
    return dim.transform(X)


NOTEBOOK = """
import pickle
from pathlib import Path
import joblib
import numpy as np
from skdim import DIMTransformer
from skdim.encoders import MLPEncoder

folder = str(Path(__file__).parent)
pipeline = joblib.load(folder + "/pipeline.joblib")
np.save(folder + "/proba.npy", pipeline.predict_proba(np.load(folder + "/images.npy")))

class Mine(MLPEncoder):
    pass

X = np.random.default_rng(0).normal(size=(20, 4))
transformer = DIMTransformer(4, encoder=Mine, max_epochs=1).fit(X)
file = pickle.dumps(transformer)
assert (pickle.loads(file).transform(X) == transformer.transform(X)).all()
open(folder + "/transformer.pickle", "wb").write(file)
"""


def _run(script):
    runpy.run_path(script, run_name="__main__")


@pytest.fixture(scope="module")
def spawned(quick, digits, tmp_path_factory):
    """A folder, and features here and in a new process: of a transformer sent, and of its file.

    The process also ran a notebook in the folder.
    """
    folder, images = tmp_path_factory.mktemp("spawned"), digits.images[:60]
    pipeline = make_pipeline(quick(), LogisticRegression(max_iter=1000))
    pipeline.fit(images, digits.target[:60])
    joblib.dump(pipeline, folder / "pipeline.joblib")
    np.save(folder / "images.npy", images)
    (folder / "notebook.py").write_text(NOTEBOOK)
    dim, path = pipeline[0], folder / "dim"
    dim.save(path)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        answers = pool.map_async(_transform, [(dim, images), (path, images)]).get(timeout=100)
        pool.apply_async(_run, (str(folder / "notebook.py"),)).get(timeout=100)
    np.save(folder / "expected.npy", pipeline.predict_proba(images))
    return folder, dim.transform(images), *answers


def test_a_file_is_read_by_another_process(spawned):
    _, here, _, from_file = spawned
    np.testing.assert_allclose(from_file, here, atol=1e-6)


READ = """
import sys
from skdim import DIMClassifier, DIMOutlierDetector, DIMTransformer
for path in sys.argv[1:]:
    kinds = {"classifier": DIMClassifier, "detector": DIMOutlierDetector}
    name = path.rpartition("/")[2].removesuffix(".safetensors")
    kinds.get(name, DIMTransformer).load(path)
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""


def test_files_are_read_without_the_compiler(quick, tmp_path):
    X, params = KINDS["every term"]
    quick(**params).fit(X).save(tmp_path / "every term")
    kept = sorted((Path(__file__).parents[1] / "data" / "0.2.0").glob("*.safetensors"))
    assert {path.stem for path in kept} > {"images", "signals", "table"}
    command = [sys.executable, "-c", READ, *map(str, kept), str(tmp_path / "every term")]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_a_spawned_process_gets_the_same_answers(spawned):
    _, here, sent, _ = spawned
    np.testing.assert_allclose(sent, here, atol=1e-6)


@pytest.mark.parametrize("method", ["fork", "loky"])
def test_worker_processes_get_the_same_answers(quick, method):
    X = RNG.normal(size=(40, 5))
    dim = quick().fit(X)
    jobs = [(dim, X[:20]), (dim, X[20:])]
    if method == "loky":
        answers = joblib.Parallel(n_jobs=2)(joblib.delayed(_transform)(job) for job in jobs)
    else:
        with multiprocessing.get_context(method).Pool(2) as pool:
            answers = pool.map_async(_transform, jobs).get(timeout=100)
    np.testing.assert_allclose(np.concatenate(answers), dim.transform(X), atol=1e-6)


def test_joblib_in_a_new_process_gives_equal_features(spawned):
    folder, *_ = spawned
    np.testing.assert_array_equal(np.load(folder / "proba.npy"), np.load(folder / "expected.npy"))


class TopLevel(MLPEncoder):
    """An encoder that a file can refer to."""


def build_network():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))


def test_top_level_custom_objects_survive_a_pickle(quick, rows, images):
    X, _ = rows
    transformer = quick(encoder=TopLevel, mi_estimator=ESTIMATORS["jsd"]).fit(X)
    loaded = pickle.loads(pickle.dumps(transformer))
    assert loaded.encoder is TopLevel
    assert loaded.mi_estimator is ESTIMATORS["jsd"]
    np.testing.assert_array_equal(loaded.transform(X), transformer.transform(X))
    tapped = quick(n_components=4, encoder=tap(build_network, local="1", hidden="2")).fit(images)
    loaded = pickle.loads(pickle.dumps(tapped))
    np.testing.assert_array_equal(loaded.transform(images), tapped.transform(images))


def local_objects():
    class Local(MLPEncoder):
        pass

    return {"encoder": Local, "augment": lambda batch, generator: batch + 0.1}


def forgiving(parameters, hook=None, **params):
    return torch.optim.Adam(parameters, **params)


def network_of_rows():
    return nn.Sequential(nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 4, 1), nn.Flatten())


UNREACHABLE = [
    *local_objects().items(),
    ("encoder", tap(lambda: network_of_rows(), local="1", hidden="2")),
    ("prior", Prior(PRIORS["normal"].sample, lambda code: 2 * code)),
    ("optimizer_params", {"betas": (0.5, 0.9), "hook": [lambda: None]}),
]


@pytest.mark.parametrize(("parameter", "custom"), UNREACHABLE)
def test_custom_objects_that_no_file_can_refer_to_train_and_are_copied_but_not_pickled(
    quick, rows, parameter, custom
):
    X, _ = rows
    params = {"optimizer": forgiving, "prior_weight": 0.1, parameter: custom}
    transformer = clone(quick(**params)).fit(X)
    expected = transformer.transform(X)
    by_value = cloudpickle.loads(cloudpickle.dumps(transformer))
    for twin in (copy.copy(transformer), copy.deepcopy(transformer), by_value):
        np.testing.assert_array_equal(twin.transform(X), expected)
    with pytest.raises((pickle.PicklingError, AttributeError), match="Can't pickle"):
        pickle.dumps(transformer)


def test_worker_processes_receive_custom_objects(quick, rows):
    X, y = rows
    pipeline = make_pipeline(quick(**local_objects()), LogisticRegression(max_iter=1000))
    scores = cross_val_score(pipeline, X, y, cv=2, n_jobs=2, error_score="raise")
    fitted = quick(**local_objects()).fit(X)
    (features,) = joblib.Parallel(n_jobs=2)(joblib.delayed(transform)(fitted, X) for _ in "1")
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(features, fitted.transform(X), atol=1e-5)


def transform(transformer, X):
    return transformer.transform(X)


def test_a_class_of_a_notebook_is_missed_by_name(spawned):
    folder, *_ = spawned
    with pytest.raises(AttributeError, match="'Mine' on <module "):
        pickle.loads((folder / "transformer.pickle").read_bytes())
