"""A hostile file is refused when it is read, or works like any other; it never fails in use."""

import os
import warnings

import numpy as np
import pytest
from helpers import structural
from helpers.hostile import (
    MUTATIONS,
    OUTCOMES,
    campaign,
    good_file,
    names_in,
    outcome,
    put,
    redescribed,
)
from helpers.products import cover

from skdim import DIMTransformer
from skdim.encoders import MLPEncoder
from skdim.exceptions import FileError

X = np.random.default_rng(1).normal(size=(7, 6)).astype(np.float32)
# What a name is given instead of its value, as JSON has it.
JUNK = {
    "null": None,
    "a negative number": -3,
    "a huge number": 10**12,
    "a fraction": 0.5,
    "not a number": {"float": "nan"},
    "a word": "words",
    "a list": [1, [2, "x"]],
    "a tuple": {"tuple": [10**9, 10**9]},
    "a dict": {"dict": [["a", 1]]},
    "an array": {"array": "model/mean"},
    "no array": {"array": "nowhere"},
    "names": {"names": ["a", "b"]},
    "a random state": {"random_state": {"dict": [["bit_generator", "MT19937"]]}},
    "an unknown kind": {"code": "print"},
    "a custom object": {"custom": True},
}


def use(path, **custom_objects):
    """Load and try everything that a model is for; return what was refused, if anything was."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dim = DIMTransformer.load(path, **custom_objects)
        except FileError as error:
            return str(error)
        repr(dim), dim.get_feature_names_out(), dim.history_, dim.n_iter_
        for output in ("components", "hidden", "code", "local"):
            assert np.isfinite(dim.set_params(output=output).transform(X)).all()
        dim.score(X), dim.score_terms(X), dim.score_samples(X)
        dim.save(path)
    return None


def layout_of(shape, channel_axis=1):
    """A layout, as JSON has it."""
    shape = {"tuple": shape}
    pairs = {"x_shape": shape, "unflat_shape": shape, "channel_axis": channel_axis}
    return {"dict": [*map(list, pairs.items()), ["allow_nan", False]]}


# Names are tried by thirds, all of which the suite tries, with different values.
THIRDS = range(3)


@pytest.mark.parametrize(("junk", "third"), cover(JUNK, THIRDS))
def test_whatever_a_name_is_given(tmp_path, junk, third):
    good = good_file(tmp_path / "file")
    state = {}
    redescribed(good, lambda document: state.update(document["state"]))
    for name in names_in(state)[third::3]:
        bad = redescribed(
            good, lambda document, name=name: put(document["state"], name, JUNK[junk])
        )
        (tmp_path / "file").write_bytes(bad)
        message = use(tmp_path / "file")  # whatever escapes fails the test
        assert message is None or "file" in message, name


def as_format_1(document):
    """Describe a file as a development version did."""
    for name in ("kind", "version", "packages"):
        del document[name]
    document["format"] = 1
    put(document["state"], "model/negatives", [])


@pytest.mark.parametrize(("junk", "third"), cover(JUNK, THIRDS, seed=1))
def test_whatever_a_name_of_an_earlier_format_is_given(tmp_path, junk, third):
    good = redescribed(good_file(tmp_path / "file"), as_format_1)
    (tmp_path / "file").write_bytes(good)
    assert outcome(tmp_path / "file") == "accepted"
    state = {}
    redescribed(good, lambda document: state.update(document["state"]))
    names = [*names_in(state), "model/readouts", "model/weights", "model/layout"]
    for name in names[third::3]:
        bad = redescribed(
            good, lambda document, name=name: put(document["state"], name, JUNK[junk])
        )
        (tmp_path / "file").write_bytes(bad)
        assert outcome(tmp_path / "file") in OUTCOMES, name


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("critic_width in fit", 10**7),
        ("encoder_params in fit", {"dict": [["width", 10**7]]}),
        ("encoder_params in fit", {"dict": [["column_groups", [[0, 10**9]]]]}),
        ("encoder_params in fit", {"dict": [["max_locations", 10**10]]}),
        ("global_weight in fit", 1.0),
        ("prior_weight in fit", 1.0),
        ("model/layout", layout_of([6, 10**5, 10**5])),
        ("model/layout", layout_of([6], channel_axis=2)),
        ("model/layout", layout_of([6], channel_axis=None)),
        ("model/layout", layout_of([0])),
        ("channel_axis", None),
        ("model/history", nested(20)),
        ("model/history", nested(500)),
    ],
    ids=str,
)
def test_what_would_take_memory_or_recurse_is_refused(tmp_path, name, value):
    good = good_file(tmp_path / "file")
    bad = redescribed(good, lambda document: put(document["state"], name, value))
    (tmp_path / "file").write_bytes(bad)
    assert use(tmp_path / "file") is not None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(FileError, match="not a regular file"):
            DIMTransformer.load(path)


class CustomEncoder(MLPEncoder):
    """Takes an argument that must not come from a file."""

    def __init__(self, sample_shape, n_components, checkpoint_path=None):
        super().__init__(sample_shape, n_components, width=8, n_hidden=16)
        assert checkpoint_path in (None, "trusted"), "a file chose it"


def test_the_arguments_of_custom_code_come_from_the_caller(tmp_path):
    path = tmp_path / "file"
    dim = DIMTransformer(4, encoder=CustomEncoder, max_epochs=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dim.fit(np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32))
    dim.save(path)
    good = path.read_bytes()
    assert use(path, encoder=CustomEncoder) is None
    params = {"dict": [["checkpoint_path", "evil"]]}

    def change(document):
        put(document["state"], "encoder_params in fit", params)
        put(document["state"], "encoder_params", params)

    path.write_bytes(redescribed(good, change))
    assert "arguments of your code" in use(path, encoder=CustomEncoder)
    passed = {"checkpoint_path": "trusted"}
    assert "arguments of your code" in use(path, encoder=CustomEncoder, encoder_params=passed)


@pytest.mark.parametrize("random_state", [None, 3, np.random.RandomState(3)])
def test_what_save_takes_load_reads(tmp_path, random_state):
    import torch

    dim = DIMTransformer(4, max_epochs=1, random_state=random_state, device=torch.device("cpu"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dim.fit(np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32))
    dim.save(tmp_path / "file")
    again = DIMTransformer.load(tmp_path / "file")
    np.testing.assert_array_equal(again.transform(X), dim.transform(X))
    if isinstance(random_state, np.random.RandomState):
        assert again.random_state.randint(10**6) == random_state.randint(10**6)


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
        {"model/layout": layout_of([10**12])},
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


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="measures memory on Linux")
def test_files_of_another_structure_are_refused_or_work_and_take_no_more_memory():
    outcomes, largest, faults = structural.campaign(60)
    assert not faults
    assert largest < 2
    for kind, counts in outcomes.items():
        assert set(counts) <= set(structural.LEGAL), kind
        assert counts["refused"] > 6, kind
