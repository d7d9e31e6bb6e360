"""Products of choices: every choice in the suite, every combination in ``make test-all``."""

import itertools
import random
from collections.abc import Iterable
from typing import Any

import pytest


def cover(*axes: Iterable[Any], seed: int = 0) -> list[Any]:
    """Return the product of axes, as values of ``pytest.mark.parametrize``.

    As many combinations as the longest axis has entries, drawn with a fixed seed, hold every entry
    of every axis. The others are marked ``exhaustive``: only ``make test-all`` runs them.
    """
    values = [list(axis) for axis in axes]
    rng = random.Random(seed)
    orders = [rng.sample(range(len(axis)), len(axis)) for axis in values]
    drawn = {tuple(order[i % len(order)] for order in orders) for i in range(max(map(len, values)))}
    return [
        pytest.param(
            *(axis[entry] for axis, entry in zip(values, entries, strict=True)),
            marks=() if entries in drawn else pytest.mark.exhaustive,
        )
        for entries in itertools.product(*(range(len(axis)) for axis in values))
    ]
