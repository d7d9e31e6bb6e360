"""Safe files: plain values come back, and what is in a file is JSON and numbers."""

import json

import numpy as np
import pytest
from helpers.hostile import good_file

from skdim._files.safe import read, write
from skdim.exceptions import FileError
from skdim.priors import Prior


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
    assert set(document) == {"format", "state"}
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


def test_a_write_that_fails_leaves_the_file_that_was_there(tmp_path):
    write(tmp_path / "state", {"a": 1})
    with pytest.raises(Exception, match="complex128"):
        write(tmp_path / "state", {"a": np.zeros(3, complex)})
    assert read(tmp_path / "state", {}) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
