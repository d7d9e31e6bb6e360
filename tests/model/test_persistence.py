"""Files: a fitted transformer comes back, no file can run code, and unfit files are refused."""

import copy
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from helpers.hostile import MUTATIONS, OUTCOMES, campaign, good_file, outcome, put, redescribed
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import skdim
from skdim import Checkpoint, DIMTransformer
from skdim._files.safe import read, write
from skdim.encoders import MLPEncoder
from skdim.exceptions import FileError, VersionWarning


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
        {"channel_axis": None, "encoder_params": {"width": 8, "n_hidden": 16}},
    ),
    "flat images": (RNG.normal(size=(40, 64)), {"sample_shape": (8, 8), "output": "local"}),
    "groups of columns": (RNG.normal(size=(50, 6)), {"column_groups": [[0, 1], [2, 3]]}),
    "every term": (
        RNG.normal(size=(40, 10, 10)),
        {"global_weight": 1, "prior_weight": 0.1, "coordinate_weight": 1.0, "critic": "concat"},
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
    again = DIMTransformer.load(
        tmp_path / "dim", encoder=CustomEncoder, augment=custom_views, random_state=0
    )
    np.testing.assert_array_equal(again.transform(X), dim.transform(X))
    others = {"augment": custom_views, "random_state": 0}
    with pytest.raises(FileError, match="weights are not those"):
        DIMTransformer.load(tmp_path / "dim", encoder=OtherEncoder, **others)


def _transform(given):
    dim, X = given
    dim = dim if isinstance(dim, DIMTransformer) else DIMTransformer.load(dim)
    return dim.transform(X)


@pytest.fixture(scope="module")
def spawned(quick, tmp_path_factory):
    """Features here, and in a new process: of a transformer that was sent, and of its file."""
    X, path = RNG.normal(size=(40, 5)), tmp_path_factory.mktemp("spawned") / "dim"
    dim = quick().fit(X)
    dim.save(path)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        answers = pool.map_async(_transform, [(dim, X), (path, X)]).get(timeout=100)
    return dim.transform(X), *answers


def test_a_file_is_read_by_another_process(spawned):
    here, _, from_file = spawned
    np.testing.assert_allclose(from_file, here, atol=1e-6)


def test_a_spawned_process_gets_the_same_answers(spawned):
    here, sent, _ = spawned
    np.testing.assert_allclose(sent, here, atol=1e-6)


def test_a_write_that_fails_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    write(tmp_path / "state", {"a": 1})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("skdim._files.atomic_write.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "state", {"a": 2})
    assert read(tmp_path / "state", {}) == {"a": 1}
    assert os.listdir(tmp_path) == ["state"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        2.5,
        float("inf"),
        "text",
        [1, [2.0, "x"]],
        (1, (2,)),
        {"a": {1: [np.float32(2.5)]}},
        {"custom": True, "array": "a"},
    ],
)
def test_plain_values_come_back_as_they_were(tmp_path, value):
    write(tmp_path / "state", {"value": value})
    assert read(tmp_path / "state", {}) == {"value": value}


def test_hostile_files_are_refused_in_a_sentence():
    for name, counts in campaign(13 * len(MUTATIONS))[0].items():
        assert set(counts) <= set(OUTCOMES), (name, counts)


@pytest.mark.parametrize(
    "parameters",
    [
        {"encoder_params in fit": {"dict": [["width", 10**12]]}},
        {"encoder_params in fit": {"dict": [["depth", 10**7]]}},
        {"n_components in fit": 10**12},
        {"critic_width in fit": 10**12},
        {"model/sample_shape": {"tuple": [10**12]}},
    ],
    ids=str,
)
def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path, parameters):
    good = good_file(tmp_path / "file")

    def change(document):
        for name, value in parameters.items():
            put(document["state"], name, value)

    bad = redescribed(good, change)
    (tmp_path / "file").write_bytes(bad)
    assert outcome(tmp_path / "file") == "refused"


def test_a_trimmed_transformer_transforms_and_says_what_it_cannot(quick, tmp_path):
    X = RNG.normal(size=(60, 5))
    dim = quick(warm_start=True).partial_fit(X)
    trimmed = copy.deepcopy(dim).trim()
    for reload in (
        lambda d: d,
        lambda d: pickle.loads(pickle.dumps(d)),
        lambda d: (d.save(tmp_path / "dim"), DIMTransformer.load(tmp_path / "dim"))[1],
    ):
        again = reload(trimmed)
        np.testing.assert_array_equal(again.transform(X), dim.transform(X))
        for use in (again.score, again.score_samples, again.partial_fit, again.fit):
            with pytest.raises(ValueError, match="was trimmed"):
                use(X)
    assert again.set_params(warm_start=False).fit(X).score(X) > 0


def test_trimmed_files_are_hardly_larger_than_their_weights(tmp_path, digits):
    dim = DIMTransformer(max_epochs=1, random_state=0).fit(digits.images[:200]).trim()
    n_bytes = sum(t.numel() * t.element_size() for t in dim.encoder_.state_dict().values())
    parts = [part for readout in dim.model_.readouts.values() for part in readout[1:]]
    n_bytes += sum(part.nbytes for part in parts if part is not None)
    dim.save(tmp_path / "dim")
    joblib.dump(dim, tmp_path / "dim.joblib")
    for name in ("dim", "dim.joblib"):
        assert (tmp_path / name).stat().st_size < 1.1 * n_bytes


@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_skops_trusts_what_skdim_names_and_needs_no_more(quick, tmp_path, with_checkpoint):
    skops = pytest.importorskip("skops.io")
    X = RNG.normal(size=(40, 5))
    checkpoint = Checkpoint(str(tmp_path / "states"), every_epochs=2) if with_checkpoint else None
    pipeline = make_pipeline(quick(checkpoint=checkpoint), LogisticRegression())
    pipeline.fit(X, X[:, 0] > 0)
    skops.dump(pipeline, tmp_path / "pipeline.skops")
    trusted = skdim.get_skops_trusted()
    needed = ["skdim.transformer.DIMTransformer"]
    needed = ["skdim.Checkpoint", *needed] if with_checkpoint else needed
    assert skops.get_untrusted_types(file=tmp_path / "pipeline.skops") == needed
    again = skops.load(tmp_path / "pipeline.skops", trusted=trusted)
    np.testing.assert_array_equal(again.predict_proba(X), pipeline.predict_proba(X))
    assert again[0].checkpoint == checkpoint


def test_another_version_is_warned_about(quick, tmp_path, monkeypatch):
    dim = quick().fit(RNG.normal(size=(40, 5)))
    monkeypatch.setattr("skdim._model.fitted.__version__", "0.0.1")
    dim.save(tmp_path / "dim")
    pickled = pickle.dumps(dim)
    with pytest.warns(VersionWarning, match="saved by skdim 0.0.1"):
        DIMTransformer.load(tmp_path / "dim")
    with pytest.warns(VersionWarning, match="saved by skdim 0.0.1"):
        pickle.loads(pickled)


def test_to_moves_what_was_fitted(quick):
    X = RNG.normal(size=(40, 5))
    dim = quick().fit(X)
    assert dim.to("cpu").device_.type == "cpu"
    with pytest.raises(ValueError, match="device"):
        dim.to("cuda:99")


def test_sixteen_threads_get_the_same_answers(quick):
    X = RNG.normal(size=(64, 10, 10))
    dim = quick().fit(X)
    expected = dim.transform(X)
    with ThreadPoolExecutor(16) as pool:
        parts = [pool.submit(dim.transform, X[i : i + 4]) for i in range(0, 64, 4)] * 2
        answers = [part.result() for part in parts]
    np.testing.assert_array_equal(np.concatenate(answers[:16]), expected)


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


def test_the_state_in_a_file_is_json_and_numbers(tmp_path):
    good = good_file(tmp_path / "file")
    header = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])
    document = json.loads(header["__metadata__"]["skdim"])
    assert set(document) == {"format", "state"}
    assert document["state"]["encoder in fit"] == "auto"


def test_a_process_forked_from_one_of_many_threads_does_not_wait_for_them():
    code = (
        "import multiprocessing, warnings\nwarnings.simplefilter('ignore')\n"
        "import numpy as np, torch\nfrom skdim import DIMTransformer\n"
        "torch.set_num_threads(2)\n"
        "X = np.random.default_rng(0).normal(size=(300, 12, 12))\n"
        "small = {'width': 32, 'n_hidden': 256}\n"
        "dim = DIMTransformer(max_epochs=1, encoder_params=small, random_state=0).fit(X)\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    parts = pool.map_async(dim.transform, np.array_split(X, 4)).get(timeout=60)\n"
        "assert np.allclose(np.concatenate(parts), dim.transform(X), atol=1e-5)\n"
    )
    environment = {name: v for name, v in os.environ.items() if name != "OMP_NUM_THREADS"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=environment)
