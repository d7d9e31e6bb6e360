"""Safe files: plain values come back, and what is in a file is JSON and numbers."""

import json

import numpy as np
import pytest
from helpers.hostile import good_file
from helpers.structural import put_together, take_apart

from skdim._files import safe
from skdim.exceptions import FileError
from skdim.priors import Prior


def write(path, state, always=()):
    safe.write(path, state, always, kind="transformer")


def read(path, *custom_objects):
    return safe.read(path, *custom_objects, kind="transformer")


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


def test_the_state_in_a_file_is_json_and_numbers(tmp_path):
    good = good_file(tmp_path / "file")
    header = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])
    document = json.loads(header["__metadata__"]["skdim"])
    assert set(document) == {"format", "kind", "version", "packages", "state"}
    assert document["state"]["encoder in fit"] == "auto"


@pytest.mark.parametrize("array", [np.eye(3), np.zeros((2, 0), np.uint8), np.array(2.5)])
def test_arrays_come_back_as_they_were(tmp_path, array):
    write(tmp_path / "state", {"deep": {"list": [array, "x"]}, "array": array})
    state = read(tmp_path / "state", {})
    for value in (state["array"], state["deep"]["list"][0]):
        assert value.dtype == array.dtype
        np.testing.assert_array_equal(value, array)


def test_names_random_states_and_priors_come_back(tmp_path):
    random_state = np.random.RandomState(3)
    prior = Prior("normal", gradient_penalty=1.0)
    names = np.array(["a", "b"], dtype=object)
    write(tmp_path / "state", {"r": random_state, "prior": prior, "names": names})
    state = read(tmp_path / "state", {})
    assert state["r"].randint(10**9) == random_state.randint(10**9)
    assert state["prior"] == prior
    assert state["names"].tolist() == ["a", "b"]


def test_a_value_that_is_custom_in_any_part_is_asked_for_by_its_name(tmp_path):
    custom = {"augment": len, "prior": Prior(len), "params in fit": {"a": [1, (len,)]}}
    write(tmp_path / "state", {"plain": 1, **custom})
    with pytest.raises(
        FileError, match=r"load\(path, augment=\.\.\., params=\.\.\., prior=\.\.\.\)"
    ):
        read(tmp_path / "state", {})
    assert read(tmp_path / "state", custom) == {"plain": 1, **custom}


def test_a_value_that_must_be_written_is_an_error_if_it_cannot_be(tmp_path):
    write(tmp_path / "state", {"a": 1})
    with pytest.raises(TypeError, match="its 'b' must hold numbers, strings and arrays"):
        write(tmp_path / "state", {"a": 2, "b": {"c": [len]}}, always=("a", "b"))
    assert read(tmp_path / "state", {}) == {"a": 1}


def test_a_write_that_fails_leaves_the_file_that_was_there(tmp_path):
    write(tmp_path / "state", {"a": 1})
    with pytest.raises(Exception, match="complex128"):
        write(tmp_path / "state", {"a": np.zeros(3, complex)})
    assert read(tmp_path / "state", {}) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize(
    "dtype", ["<U3", ">U9", ">i4", ">f8", "<M8[D]", ">M8[s]", "<m8[3h]", "longdouble"]
)
@pytest.mark.parametrize("shape", [(3,), (2, 2), (), (0,)])
def test_arrays_of_any_type_come_back_with_it(tmp_path, dtype, shape):
    array = np.arange(int(np.prod(shape))).astype(dtype).reshape(shape)
    write(tmp_path / "state", {"array": array})
    again = read(tmp_path / "state", {})["array"]
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


def test_objects_in_an_array_are_custom(tmp_path):
    write(tmp_path / "state", {"names": np.array(["a", 1], dtype=object)})
    with pytest.raises(FileError, match=r"load\(path, names=\.\.\.\)"):
        read(tmp_path / "state", {})


def test_a_generator_that_files_do_not_know_is_custom(tmp_path):
    write(tmp_path / "state", {"r": np.random.RandomState(np.random.PCG64(0))})
    with pytest.raises(FileError, match=r"load\(path, r=\.\.\.\)"):
        read(tmp_path / "state", {})


STATE = np.random.RandomState(0).get_state(legacy=False)
KEY = STATE["state"]["key"]


@pytest.mark.parametrize("pos", [-100, -1, 625, 700, 2_000_000_000, 2**31, True, None, 3.0])
def test_a_random_state_reads_its_own_numbers_only(tmp_path, pos):
    write(tmp_path / "state", {"r": np.random.RandomState(0)})
    document, arrays = take_apart(tmp_path / "state")
    dict(document["state"]["r"]["random_state"]["dict"])["state"]["dict"][1][1] = pos
    put_together(tmp_path / "state", document, arrays)
    with pytest.raises(FileError, match="pos"):
        read(tmp_path / "state", {})


@pytest.mark.parametrize(
    "key", [KEY[:6], KEY[None], KEY.astype("f4"), KEY.astype("i4"), np.full(624, -np.inf, "f4")]
)
def test_a_random_state_has_a_key_of_624_numbers(tmp_path, key):
    write(tmp_path / "state", {"r": np.random.RandomState(0)})
    document, arrays = take_apart(tmp_path / "state")
    put_together(tmp_path / "state", document, dict.fromkeys(arrays, key))
    with pytest.raises(FileError, match="key"):
        read(tmp_path / "state", {})


def lists(depth):
    return "[" * depth + "]" * depth


def with_value(value):
    return '{"format": 1, "state": {"a": ' + value + "}}"


DOCUMENTS = {
    "numbers as names": '{"format": 1, "state": [[1, 2]]}',
    "a list": "[]",
    "no state": '{"format": 1}',
    "a state that is a word": '{"format": 1, "state": "words"}',
    "names that are lists": with_value('{"names": ' + lists(900) + "}"),
    "lists in lists": with_value(lists(100)),
    "lists without end": with_value(lists(100_000)),
    "too many values": with_value("[" + "0," * 2**21 + "0]"),
    "more than 64 bits": with_value(str(2**63)),
    "a huge number": with_value("9" * 10_000),
    "an array twice": '{"format": 1, "state": {"a": [{"array": "x"}, {"array": "x"}]}}',
    "an array without a name": '{"format": 1, "state": {"a": 1}}',
    "a list as a name": '{"format": 1, "state": {"a": {"array": ["x"]}}}',
    "a list as a float": '{"format": 1, "state": {"a": {"float": []}}}',
    "a dict of one": '{"format": 1, "state": {"a": {"dict": [["b"]]}}}',
    "a dict by lists": '{"format": 1, "state": {"a": {"dict": [[[], 1]]}}}',
    "a name twice": '{"format": 1, "state": {"a": {"dict": [["b", 1], ["b", 2]]}}}',
    "a dict by fractions": '{"format": 1, "state": {"a": {"dict": [[0.5, 1]]}}}',
    "objects as bytes": '{"format": 1, "state": {"a": {"typed": ["|O", "x"]}}}',
    "bytes of another length": '{"format": 1, "state": {"a": {"typed": ["<U7", "x"]}}}',
    "bytes that are no text": '{"format": 1, "state": {"a": {"typed": ["<U1", "x"]}}}',
    "a prior of nothing": '{"format": 1, "state": {"a": {"prior": null}}}',
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_any_other_document_is_an_error_of_the_file(tmp_path, document):
    arrays = {"x": np.full((2, 4), 255, np.uint8)}
    put_together(tmp_path / "state", None, arrays, text=DOCUMENTS[document])
    with pytest.raises(FileError, match="state") as caught:
        read(tmp_path / "state", {})
    assert len(str(caught.value)) < 1000


def test_what_a_file_holds_itself_is_not_taken_from_the_caller(tmp_path):
    write(tmp_path / "state", {"augment": len, "width": 3, "augment in fit": len})
    custom = {"augment": len, "augment in fit": len}
    assert read(tmp_path / "state", custom)["width"] == 3
    for more in ("width", "typo", "width in fit"):
        with pytest.raises(ValueError, match=f"augment. Got {more.split()[0]};") as caught:
            read(tmp_path / "state", {**custom, more: 4})
        assert not isinstance(caught.value, FileError)
    assert read(tmp_path / "state", {**custom, "width": 4}, {"width": "augment"})["width"] == 3
