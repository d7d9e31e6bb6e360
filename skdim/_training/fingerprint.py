"""Fingerprints: equal values have equal fingerprints, in every process.

A name does not identify a function: functions from the same closure have the same name, and an
edited function keeps its name. So a function is identified by its code, its defaults and the
variables it encloses, a class by its members, and any other object by its pickled state. Functions
and classes of libraries are identified by their names.
"""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

Path = tuple[int, ...]  # identities of the objects that contain a value

# Functions and classes of these are identified by name: an installed version is not edited.
LIBRARIES = {"skdim", "torch", "numpy", "scipy", "sklearn", "skorch", *sys.stdlib_module_names} - {
    "__main__"
}

# Attributes that Python itself adds to classes.
AUTOMATIC_ATTRIBUTES = {"__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__"}


def fingerprint(value: Any, inside: Path = ()) -> Any:
    """Return the fingerprint of a value: lists, dicts, strings and numbers, for JSON.

    Raises
    ------
    TypeError
        If an object can be neither named nor pickled.
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
    if hasattr(value, "__qualname__"):  # a compiled function, for instance
        return f"{getattr(value, '__module__', None)}.{value.__qualname__}"
    if hasattr(value, "fingerprint_parts"):  # more than a file needs to know
        return [type(value).__qualname__, fingerprint(value.fingerprint_parts(), inside)]
    reduced = value.__reduce_ex__(2)
    if isinstance(reduced, str):
        return reduced
    # The last two of five entries may be iterators, over the items of a list and of a dict.
    entries = [list(entry) if isinstance(entry, Iterator) else entry for entry in reduced]
    return fingerprint(entries, inside)


def _of_function(function: FunctionType, inside: Path) -> Any:
    name = f"{function.__module__}.{function.__qualname__}"
    if _is_from_library(function):
        return name
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    parts = (function.__code__, function.__defaults__, function.__kwdefaults__, cells)
    read = {
        key: function.__globals__[key]
        for key in _names_read(function.__code__)
        if key in function.__globals__
    }
    return [name, fingerprint((parts, read), inside)]


def _names_read(code: CodeType) -> list[str]:
    """List the names that code and the functions inside it read, which may be of globals."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return sorted({*code.co_names, *(name for part in inner for name in _names_read(part))})


def _of_class(kind: type, inside: Path) -> Any:
    name = f"{kind.__module__}.{kind.__qualname__}"
    if _is_from_library(kind):
        return name
    members = {k: item for k, item in vars(kind).items() if k not in AUTOMATIC_ATTRIBUTES}
    plain = {
        key: item.__func__ if isinstance(item, staticmethod | classmethod) else item
        for key, item in members.items()
        if not hasattr(item, "__set_name__") and not isinstance(item, property)
    }
    properties = [item.fget for item in members.values() if isinstance(item, property)]
    return [name, fingerprint((kind.__bases__, plain, properties), inside)]


def _is_from_library(definition: Any) -> bool:
    """Whether a function or class is identified by its name: from a library, and not nested."""
    is_nested = "<" in definition.__qualname__  # inside a function, or a lambda
    return (definition.__module__ or "").split(".")[0] in LIBRARIES and not is_nested
