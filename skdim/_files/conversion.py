"""Conversion between tensors in nested states and arrays, which files can hold."""

from typing import Any

import numpy as np
import torch


def as_arrays(state: Any) -> Any:
    """Copy nested dicts and lists, converting every tensor in them to an array."""
    return _convert(state, torch.Tensor, _as_array)


def as_tensors(state: Any) -> Any:
    """Copy nested dicts and lists, converting every array in them to a tensor on the CPU."""
    return _convert(state, np.ndarray, lambda array: torch.from_numpy(_writable(array)))


def as_writable(state: Any) -> Any:
    """Copy nested dicts and lists, with read-only arrays, such as mapped ones, made writable."""
    return _convert(state, np.ndarray, _writable)


def _writable(array: np.ndarray) -> np.ndarray:
    return array if array.flags.writeable else array.copy()


def _convert(state: Any, kind: type, convert: Any) -> Any:
    if isinstance(state, dict):
        return {name: _convert(item, kind, convert) for name, item in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_convert(item, kind, convert) for item in state)
    return convert(state) if isinstance(state, kind) else state


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    # numpy has no bfloat16; loading casts back to the type of the weight, without loss.
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy().copy()
