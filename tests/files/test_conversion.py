"""Tensors become arrays that files hold, and come back."""

import numpy as np
import torch

from skdim._files.conversion import as_arrays, as_tensors, as_writable


def test_nested_tensors_become_arrays_and_come_back():
    state = {"a": [torch.arange(3), (torch.eye(2), "x")], "b": {1: torch.tensor(2.5)}, "c": None}
    arrays = as_arrays(state)
    assert isinstance(arrays["a"][1], tuple)
    assert type(arrays["a"][0]) is type(arrays["b"][1]) is np.ndarray
    again = as_tensors(arrays)
    assert again["a"][0].equal(torch.arange(3))
    assert again["a"][1][0].equal(torch.eye(2))
    assert again["b"][1].equal(torch.tensor(2.5))
    assert (again["a"][1][1], again["c"]) == ("x", None)


def test_an_array_is_a_copy():
    weights = torch.nn.Parameter(torch.zeros(3))
    array = as_arrays(weights)
    with torch.no_grad():
        weights += 1
    assert array.tolist() == [0, 0, 0]


def test_half_precision_survives_without_loss():
    weights = torch.randn(100).bfloat16()
    array = as_arrays(weights)
    assert array.dtype == np.float32
    assert torch.from_numpy(array).bfloat16().equal(weights)


def test_read_only_arrays_are_copied_and_others_are_not():
    array, read_only = np.zeros(3), np.zeros(3)
    read_only.flags.writeable = False
    ours, copied = as_writable([array, read_only])
    assert ours is array
    assert copied is not read_only
    assert copied.flags.writeable
    assert as_tensors(read_only).add_(1).sum() == 3
