"""Any value written down so that equal values are written alike, in every process.

Names are not enough: two functions made by one closure have one name, and a function that was
edited keeps its own. So functions go by their code and by what they hold on to, classes of users by
what is in them, objects by what pickle would say of them.
"""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

Path = tuple[int, ...]  # identities of what a value lies in

# Their functions and classes go by name: an installed version is not edited.
LIBRARIES = {"skdim", "torch", "numpy", "scipy", "sklearn", "skorch", *sys.stdlib_module_names} - {
    "__main__"
}

# What Python itself puts into classes.
NOT_ITS_OWN = {"__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__"}


def fingerprint(value: Any, inside: Path = ()) -> Any:
    """Return lists, dicts and strings, for JSON, that stand for a value.

    Raises
    ------
    TypeError
        If nothing is known of an object but that it is there.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if id(value) in inside:
        return ["circle", inside[::-1].index(id(value))]
    inside = (*inside, id(value))
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, np.generic):
        return [value.dtype.str, value.item()]
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, np.ndarray):
        digest = hashlib.blake2b(np.ascontiguousarray(value).data, digest_size=16).hexdigest()
        return [value.dtype.str, list(value.shape), digest]
    if isinstance(value, Mapping):
        return [[fingerprint(k, inside), fingerprint(item, inside)] for k, item in value.items()]
    if isinstance(value, list | tuple):
        return [type(value).__name__, *(fingerprint(item, inside) for item in value)]
    if isinstance(value, set | frozenset):
        return sorted((fingerprint(item, inside) for item in value), key=repr)
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, MethodType):
        return [fingerprint(value.__self__, inside), fingerprint(value.__func__, inside)]
    if isinstance(value, FunctionType):
        return _of_function(value, inside)
    if isinstance(value, CodeType):
        return [value.co_code.hex(), list(value.co_names), fingerprint(value.co_consts, inside)]
    if isinstance(value, type):
        return _of_class(value, inside)
    if hasattr(value, "__qualname__"):  # of Python, or compiled
        return f"{getattr(value, '__module__', None)}.{value.__qualname__}"
    reduced = value.__reduce_ex__(2)
    if isinstance(reduced, str):
        return reduced
    # The last two of five may be iterators, over the items of a list and of a dict.
    parts = [list(part) if isinstance(part, Iterator) else part for part in reduced]
    return fingerprint(parts, inside)


def _of_function(function: FunctionType, inside: Path) -> Any:
    name = f"{function.__module__}.{function.__qualname__}"
    if _is_of_a_library(function):
        return name
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    parts = (function.__code__, function.__defaults__, function.__kwdefaults__, cells)
    return [name, fingerprint(parts, inside)]


def _of_class(kind: type, inside: Path) -> Any:
    name = f"{kind.__module__}.{kind.__qualname__}"
    if _is_of_a_library(kind):
        return name
    own = {key: item for key, item in vars(kind).items() if key not in NOT_ITS_OWN}
    plain = {
        key: item.__func__ if isinstance(item, staticmethod | classmethod) else item
        for key, item in own.items()
        if not hasattr(item, "__set_name__") and not isinstance(item, property)
    }
    properties = [item.fget for item in own.values() if isinstance(item, property)]
    return [name, fingerprint((kind.__bases__, plain, properties), inside)]


def _is_of_a_library(piece: Any) -> bool:
    """Whether a name is enough: others may be edited, and closures make many of one name."""
    is_closure = "<" in piece.__qualname__  # <locals>, <lambda>
    return (piece.__module__ or "").split(".")[0] in LIBRARIES and not is_closure
