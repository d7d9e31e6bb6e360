"""Rules of what a file may hold: a description of types, ranges and shapes that is also the check.

A rule is a function of a value and its name. It raises ValueError if the value breaks it.
"""

import math
import re
from collections.abc import Callable, Mapping
from reprlib import Repr
from typing import Any

import numpy as np

Rule = Callable[[Any, str], None]

# Largest whole number; larger ones do not fit into the integers of torch and numpy.
LARGEST = 2**63 - 1


def integer(lowest: int = 0, highest: int = LARGEST) -> Rule:
    """A whole number in a range."""

    def check(value: Any, name: str) -> None:
        is_legal = type(value) is int and lowest <= value <= highest
        _require(is_legal, name, f"a whole number from {lowest} to {highest}", value)

    return check


def number(value: Any, name: str) -> None:
    """A number, which need not be finite."""
    _require(type(value) in (int, float), name, "a number", value)


def duration(value: Any, name: str) -> None:
    """A finite number of at least 0."""
    is_legal = type(value) in (int, float) and 0 <= value < math.inf
    _require(is_legal, name, "a finite number of at least 0", value)


def boolean(value: Any, name: str) -> None:
    """True or False."""
    _require(type(value) is bool, name, "True or False", value)


def text(*choices: str) -> Rule:
    """A string: any, or one of some."""

    def check(value: Any, name: str) -> None:
        is_legal = type(value) is str and (not choices or value in choices)
        _require(is_legal, name, f"one of {list(choices)}" if choices else "a string", value)

    return check


def word(value: Any, name: str) -> None:
    """A name or a version: at most 64 letters, digits and signs."""
    is_legal = type(value) is str and re.fullmatch(r"[\w.+!-]{1,64}", value, re.ASCII)
    _require(bool(is_legal), name, "a name or a version", value)


def array(
    kinds: str,
    *shape: int | range | None,
    finite: bool = False,
    positive: bool = False,
    any_shape: bool = False,
) -> Rule:
    """An array of a shape, in which a range has the legal lengths, and None is any length but 0.

    Its type is of one of the ``kinds``, in the letters of ``numpy.dtype.kind``, or such as "u4".
    Numbers that are ``positive`` may be infinite or NaN, unless they are also ``finite``.
    """
    lengths = [
        range(side, side + 1) if isinstance(side, int) else side or range(1, LARGEST)
        for side in shape
    ]
    sides = ", ".join("n" if side is None else str(side) for side in shape)
    letters = list(kinds) if kinds.isalpha() else [kinds]
    expected = "an array of " + ("" if any_shape else f"shape ({sides}) and ") + f"type {kinds!r}"

    def check(value: Any, name: str) -> None:
        is_legal = (
            type(value) is np.ndarray
            and (value.dtype.kind if kinds.isalpha() else value.dtype.str[1:]) in letters
            and (any_shape or len(value.shape) == len(lengths))
            and all(n in legal for n, legal in zip(value.shape, lengths, strict=False))
        )
        _require(is_legal, name, expected, value)
        if positive:
            _require(not (value <= 0).any(), name, "an array of positive numbers", value)
        if finite:
            _require(bool(np.isfinite(value).all()), name, "an array of finite numbers", value)

    return check


def anything(value: Any, name: str) -> None:
    """Any value that can be in a file."""


def nothing(value: Any, name: str) -> None:
    """None."""
    _require(value is None, name, "None", value)


def optional(rule: Rule) -> Rule:
    """None, or a value that follows a rule."""
    return either(nothing, rule)


def either(first: Rule, second: Rule) -> Rule:
    """A value that follows one of two rules."""

    def check(value: Any, name: str) -> None:
        try:
            first(value, name)
        except ValueError:
            second(value, name)

    return check


def list_of(rule: Rule, kind: type[list | tuple] = list, least: int = 0) -> Rule:
    """A list, or a tuple, whose items all follow a rule."""

    def check(value: Any, name: str) -> None:
        is_legal = type(value) is kind and len(value) >= least
        _require(is_legal, name, f"a {kind.__name__} of at least {least} values", value)
        for i, item in enumerate(value):
            rule(item, f"{name}/{i}")

    return check


def fixed_list(*rules: Rule) -> Rule:
    """A list with an item for each rule."""

    def check(value: Any, name: str) -> None:
        is_legal = type(value) is list and len(value) == len(rules)
        _require(is_legal, name, f"a list of {len(rules)} values", value)
        for i, (item, rule) in enumerate(zip(value, rules, strict=True)):
            rule(item, f"{name}/{i}")

    return check


def record(required: Mapping[str, Rule], possible: Mapping[str, Rule] | None = None) -> Rule:
    """A dict with a rule for each name; those in ``possible`` may be missing."""
    rules = {**required, **(possible or {})}

    def check(value: Any, name: str) -> None:
        names = _names_of(value)
        is_legal = names is not None and set(required) <= names <= set(rules)
        _require(is_legal, name, f"a dict of {sorted(rules)}", list(names or ()) or value)
        for key, item in value.items():
            rules[key](item, f"{name}/{key}")

    return check


def dict_of(rule: Rule, key: type = str, required: Mapping[str, Rule] | None = None) -> Rule:
    """A dict of any names, or numbers, whose values follow a rule, or one of their name."""
    rules = required or {}

    def check(value: Any, name: str) -> None:
        names = _names_of(value, key)
        is_legal = names is not None and set(rules) <= names
        keys = f" with {sorted(rules)}" if rules else ""
        _require(is_legal, name, f"a dict by {key.__name__}{keys}", value)
        for item_name, item in value.items():
            rules.get(item_name, rule)(item, f"{name}/{item_name}")

    return check


def _names_of(value: Any, key: type = str) -> set | None:
    """Return the keys of a dict; None if they are of another type."""
    if type(value) is not dict or not all(type(name) is key for name in value):
        return None
    return set(value)


def _require(is_legal: bool, name: str, expected: str, value: Any) -> None:
    if not is_legal:
        shortened = Repr()
        shortened.maxlevel, shortened.maxstring = 2, 80
        got = shortened.repr(value)
        if isinstance(value, np.ndarray):
            got = f"an array of shape {value.shape} and type {value.dtype.str[1:]!r}"
        raise ValueError(f"{name!r} must be {expected}. Got {got}.")
