"""Rules take what they describe and nothing else, and say what came."""

import math

import numpy as np
import pytest

from skdim._files.schema import (
    anything,
    array,
    boolean,
    dict_of,
    duration,
    either,
    fixed_list,
    integer,
    list_of,
    nothing,
    number,
    optional,
    record,
    text,
)

VALUES = {
    "None": None,
    "True": True,
    "0": 0,
    "7": 7,
    "-1": -1,
    "2**64": 2**64,
    "0.5": 0.5,
    "-0.5": -0.5,
    "nan": math.nan,
    "inf": math.inf,
    "a word": "a word",
    "[]": [],
    "[1]": [1],
    "[1, 'x']": [1, "x"],
    "(1,)": (1,),
    "{}": {},
    "a: 1": {"a": 1},
    "a: 1, b: 2": {"a": 1, "b": 2},
    "a: x": {"a": "x"},
    "1: 1": {1: 1},
    "f4": np.ones(3, np.float32),
    "f4 nan": np.full(3, np.nan, np.float32),
    "f4 -1": np.full(3, -1, np.float32),
    "f4 matrix": np.ones((3, 2), np.float32),
    "f4 empty": np.ones(0, np.float32),
    "i8": np.ones(3, np.int64),
    "u4": np.ones(3, np.uint32),
    "u1": np.ones(3, np.uint8),
}

# By rule: the values that it takes.
TAKEN = {
    "integer": (integer(), {"0", "7"}),
    "integer from 1": (integer(1, 7), {"7"}),
    "number": (number, {"0", "7", "-1", "2**64", "0.5", "-0.5", "nan", "inf"}),
    "duration": (duration, {"0", "7", "0.5", "2**64"}),
    "boolean": (boolean, {"True"}),
    "text": (text(), {"a word"}),
    "text of choices": (text("b"), set()),
    "nothing": (nothing, {"None"}),
    "optional": (optional(integer()), {"None", "0", "7"}),
    "either": (either(text(), boolean), {"a word", "True"}),
    "list": (list_of(integer()), {"[]", "[1]"}),
    "list of at least 1": (list_of(anything, least=1), {"[1]", "[1, 'x']"}),
    "tuple": (list_of(integer(), tuple), {"(1,)"}),
    "fixed list": (fixed_list(integer(), text()), {"[1, 'x']"}),
    "record": (record({"a": integer()}), {"a: 1"}),
    "record with more": (record({"a": integer()}, {"b": integer()}), {"a: 1", "a: 1, b: 2"}),
    "dict": (dict_of(integer()), {"{}", "a: 1", "a: 1, b: 2"}),
    "dict by number": (dict_of(integer(), key=int), {"{}", "1: 1"}),
    "dict with b": (dict_of(integer(), required={"b": integer(2)}), {"a: 1, b: 2"}),
    "floats": (array("f", 3), {"f4", "f4 nan", "f4 -1"}),
    "finite floats": (array("f", None, finite=True), {"f4", "f4 -1"}),
    "positive floats": (array("f", None, finite=True, positive=True), {"f4"}),
    "a matrix": (array("f", 3, range(1, 3)), {"f4 matrix"}),
    "any shape": (array("fi", any_shape=True), {n for n in VALUES if n[:2] in ("f4", "i8")}),
    "one type": (array("u4", None), {"u4"}),
    "anything": (anything, set(VALUES)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_rule_takes_what_it_describes_and_nothing_else(name):
    rule, taken = TAKEN[name]
    for label, value in VALUES.items():
        if label in taken:
            rule(value, "x")
        else:
            with pytest.raises(ValueError, match=r"^'x.*' must be .* Got "):
                rule(value, "x")


def test_an_error_names_the_place_and_is_short():
    rule = record({"a": list_of(dict_of(array("f", 3)))})
    with pytest.raises(ValueError, match=r"'file/a/1/b' must be an array of shape \(3\)"):
        rule({"a": [{}, {"b": np.ones(4)}]}, "file")
    with pytest.raises(ValueError, match="whole number") as caught:
        integer()("x" * 10**6, "x")
    assert len(str(caught.value)) < 300
