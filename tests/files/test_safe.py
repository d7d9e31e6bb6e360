"""Safe files: plain values come back, and what is in a file is JSON and numbers."""

import json

import numpy as np
import pytest
from helpers.hostile import good_file

from skdim._files.safe import read, write


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
