"""How a file refers to the functions and classes that a user handed over.

Pickle stores a reference, module and name, and the reader must find the same object there. This
module says in a sentence what to do where that cannot work. cloudpickle, which joblib's worker
processes use, stores the object itself and needs no help.
"""

import importlib
import pickle
import traceback
from types import FunctionType
from typing import Any

import numpy as np
import torch


def as_arrays(state: Any) -> Any:
    """Return a copy of dicts and lists with every tensor in them as an array."""
    return _convert(state, torch.Tensor, _as_array)


def as_tensors(state: Any) -> Any:
    """Return a copy of dicts and lists with every array in them as a tensor on the CPU."""
    return _convert(state, np.ndarray, lambda array: torch.from_numpy(_writable(array)))


def as_writable(state: Any) -> Any:
    """Return a copy of dicts and lists without read-only arrays, such as those of mapped files."""
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


class Reference:
    """Stands in a pickle for a function or class, and turns into it when loaded.

    Parameters
    ----------
    target : function or class
    parameter : str
        The constructor parameter that holds it, for the error.

    Raises
    ------
    pickle.PicklingError
        If the object was defined inside a function, where no reference can reach it.
    """

    def __init__(self, target: Any, parameter: str):
        if "<" in target.__qualname__:  # <locals>, <lambda>
            raise pickle.PicklingError(
                f"The {parameter!r} parameter holds {target.__qualname__}, which was defined "
                "inside a function or as a lambda, so that a file cannot refer to it. Define it "
                "at the top level of a module to save this transformer."
            )
        self.address = (target.__module__, target.__qualname__, parameter)

    def __reduce__(self) -> tuple:
        return _resolve, self.address


def _resolve(module: str, name: str, parameter: str) -> Any:
    try:
        target: Any = importlib.import_module(module)
        for part in name.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError):
        raise AttributeError(
            f"This file refers to {name!r} of module {module!r}, the {parameter!r} parameter of "
            "the saved transformer, which is not there. Define or import it first; objects of a "
            "notebook or script ('__main__') are best moved to a module that can be imported."
        ) from None
    return target


def refer(value: Any, parameter: str) -> Any:
    """Return what a pickle should hold instead of a parameter's value.

    Functions and classes become references, also inside dicts, lists and tuples.
    """
    if isinstance(value, dict):
        return {key: refer(item, parameter) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [refer(item, parameter) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    # Builtins are left to pickle: it knows other ways to find them.
    is_reference = isinstance(value, type | FunctionType)
    return Reference(value, parameter) if is_reference and not _is_pickled_by_value() else value


def _is_pickled_by_value() -> bool:
    """Whether cloudpickle is at work; it offers no other way to be recognised."""
    modules = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_stack(None))
    return any("cloudpickle" in module for module in modules)
