"""Files of every version since 0.2.0 give the features that they gave when they were written.

``tests/tools/keep_files.py`` wrote them. On the same processor, with the same versions of
torch and numpy, features are equal to the last bit. Elsewhere they are equal up to rounding: a sum
of float32 numbers may be taken in another order.
"""

import json
import logging
import pickle
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tools.keep_files import ENCODERS, OUTPUTS, computer, resumable, samples

from skdim import Checkpoint, DIMClassifier, DIMOutlierDetector, DIMTransformer
from skdim._version import __version__
from skdim.exceptions import VersionWarning

FOLDERS = sorted(path for path in (Path(__file__).parents[1] / "data").iterdir() if path.is_dir())
# Of development versions of 0.2.0, that in format 1, whose models are read as trimmed.
IS_TRIMMED = {"development"}
# What reads a file; a transformer reads all others.
ESTIMATORS = {"classifier": DIMClassifier, "detector": DIMOutlierDetector}
# Rounding of float32 after some ten layers, as a part of the largest feature.
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def single_thread():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name)
def folder(request):
    return request.param


def load(path, suffix):
    if suffix == ".pickle":
        return pickle.loads(path.with_suffix(suffix).read_bytes())
    kind = ESTIMATORS.get(path.name, DIMTransformer)
    return kind.load(path.with_suffix(suffix))


def check_same(folder, actual, expected, exact=True):
    made_by = json.loads((folder / "made_by.json").read_text())
    present = computer()
    assert actual.shape == expected.shape
    if exact and all(
        made_by[n] == present[n] for n in ("torch", "numpy", "processor", "capability")
    ):
        np.testing.assert_array_equal(actual, expected)
    tolerance = TOLERANCE * max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("suffix", [".safetensors", ".pickle"])
@pytest.mark.parametrize("kind", ENCODERS)
def test_a_transformer_gives_the_features_that_it_gave(folder, kind, suffix):
    dim, recorded = load(folder / kind, suffix), np.load(folder / f"{kind}.npz")
    assert dim.model_.is_trimmed == (folder.name in IS_TRIMMED)
    for output in OUTPUTS:
        check_same(folder, dim.set_params(output=output).transform(recorded["X"]), recorded[output])
    if not dim.model_.is_trimmed:
        check_same(folder, dim.score_samples(recorded["X"]), recorded["score_samples"])


@pytest.mark.parametrize("suffix", [".safetensors", ".pickle"])
def test_a_classifier_gives_the_probabilities_that_it_gave(folder, suffix):
    classifier, recorded = load(folder / "classifier", suffix), np.load(folder / "classifier.npz")
    assert classifier.classes_.tolist() == ["no", "yes"]
    check_same(folder, classifier.predict_proba(recorded["X"]), recorded["predict_proba"])


@pytest.mark.parametrize("suffix", [".safetensors", ".pickle"])
def test_a_detector_gives_the_decisions_that_it_gave(folder, suffix):
    if folder.name in IS_TRIMMED:  # there were no detectors yet
        return
    detector, recorded = load(folder / "detector", suffix), np.load(folder / "detector.npz")
    assert detector.contamination == 0.25
    check_same(folder, detector.decision_function(recorded["X"]), recorded["decision_function"])


@pytest.mark.parametrize("kind", [*ENCODERS, "classifier"])
def test_a_graph_gives_what_its_model_gave(folder, kind):
    onnxruntime = pytest.importorskip("onnxruntime")
    recorded = np.load(folder / f"{kind}.npz")
    session = onnxruntime.InferenceSession(folder / f"{kind}.onnx")
    output, *_ = session.run(None, {"X": recorded["X"]})
    expected = recorded["predict_proba" if kind == "classifier" else "components"]
    check_same(folder, output, expected, exact=False)  # computed by another library


@pytest.mark.parametrize("suffix", [".safetensors", ".pickle"])
@pytest.mark.parametrize("kind", ENCODERS)
def test_what_was_read_is_written_and_fitted_again(folder, kind, suffix, tmp_path):
    dim, X = load(folder / kind, suffix), samples(kind)
    dim.save(tmp_path / "again")
    again = DIMTransformer.load(tmp_path / "again")
    np.testing.assert_array_equal(again.transform(X), dim.transform(X))
    assert np.isfinite(dim.fit(X).transform(X)).all()


def test_a_fit_goes_on_exactly_or_says_that_it_starts_again(folder, tmp_path, caplog):
    shutil.copytree(folder / "checkpoint", tmp_path / "states")
    made_by = json.loads((folder / "made_by.json").read_text())
    recorded, dim = np.load(folder / "checkpoint.npz"), resumable(tmp_path / "states")
    caplog.set_level(logging.INFO, "skdim")
    is_same = folder.name == __version__ and made_by["torch"] == computer()["torch"]
    if is_same:
        dim.fit(samples("table"))
        assert "Resuming after epoch 2." in caplog.text
        assert len(dim.history_) == 4
        check_same(folder, dim.transform(recorded["X"]), recorded["features"])
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sentences = []
        try:
            dim.fit(samples("table"))
        except ValueError as error:  # this version gives the fit the same name
            sentences.append(str(error))
    sentences += [str(w.message) for w in caught if w.category is VersionWarning]
    assert re.search("cannot be resumed exactly|it starts again", sentences[0])
    assert "Resuming" not in caplog.text


def test_a_state_of_another_version_by_the_name_of_this_fit_is_refused(folder, tmp_path):
    states = tmp_path / "states"
    dim = resumable(states).fit(samples("table"))
    (own,) = states.glob("*/state.safetensors")
    (earlier,) = (folder / "checkpoint").glob("*/state.safetensors")
    shutil.copy(earlier, own)
    if folder.name == __version__:
        return
    with pytest.raises(ValueError, match=r"cannot be resumed exactly.*with format [123], and here"):
        resumable(states).fit(samples("table"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", VersionWarning)
        afresh = resumable(Checkpoint(states, resume=False)).fit(samples("table"))
    X = samples("table")
    np.testing.assert_array_equal(afresh.transform(X), dim.transform(X))


def test_the_files_are_small():
    for folder in FOLDERS:
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        assert max(sizes) < 100_000
        assert sum(sizes) < 1_000_000


def test_there_are_files_of_this_version():
    assert __version__.partition(".dev")[0] in {folder.name for folder in FOLDERS}
