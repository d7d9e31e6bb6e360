"""Fingerprints: equal values have equal fingerprints, in every process.

`joblib.hash` identifies a function by its name, but functions from the same closure share a name,
and an edited function keeps it. Here, functions and classes are identified by their contents: code,
default values, enclosed variables, the global variables they read, and all functions and classes
that these lead to. Functions and classes of libraries are identified by their names, since nobody
edits an installed version.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib.hashing import NumpyHasher

LIBRARIES = {"skdim", "torch", "numpy", "scipy", "sklearn", "skorch", "joblib"}
STANDARD_LIBRARY = os.path.dirname(os.__file__)

# Attributes of classes that Python adds, or that do not change what methods compute.
AUTOMATIC_ATTRIBUTES = {
    *("__dict__", "__weakref__", "__module__", "__doc__", "__slotnames__", "_abc_impl"),
    *("__firstlineno__", "__static_attributes__"),
    *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
}


def fingerprint(value: Any) -> str:
    """Return the fingerprint of a value: a string of hexadecimal digits.

    Raises
    ------
    Exception
        If an object can be neither named nor pickled; the class depends on the object.
    """
    return _Fingerprint().hash(value)


class _Optional(NamedTuple):
    """A value that is identified by its type if it cannot be pickled."""

    value: Any


class _Fingerprint(NumpyHasher):
    """A pickler whose output depends on values alone: not on their addresses, names or sharing.

    Parameters
    ----------
    containers : sequence of int
        Identities of the objects that contain what is pickled.
    """

    def __init__(self, containers: tuple[int, ...] = ()):
        super().__init__(hash_name="sha256")
        self.containers = list(containers)
        self.definitions: list[FunctionType | type] = []  # functions and classes, to be pickled
        self.numbers: dict[int, int] = {}  # of definitions, by identity

    def dump(self, obj: Any) -> None:
        """Pickle an object, and then the contents of all definitions that it leads to."""
        super().dump(obj)
        for definition in self.definitions:  # the list grows
            super().dump(_contents(definition))

    def save(self, obj: Any) -> None:
        """Pickle an object, by its parts."""
        if id(obj) in self.containers:
            distance = len(self.containers) - self.containers.index(id(obj))
            super().save(("container", distance))
            return
        start = self.stream.tell()
        self.containers.append(id(obj))
        try:
            super().save(self._simplify(obj))
        except Exception:
            if not isinstance(obj, _Optional) and not hasattr(obj, "__qualname__"):
                raise
            self.stream.seek(start)
            self.stream.truncate()
            if isinstance(obj, _Optional):
                self.save(type(obj.value))
            else:
                self.save_global(obj)
        finally:
            self.containers.pop()

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Pickle an object that has a name, such as a function with a cache; and its attributes."""
        attributes = {key: _Optional(item) for key, item in getattr(obj, "__dict__", {}).items()}
        name = f"{getattr(obj, '__module__', None)}.{name or obj.__qualname__}"
        super().save((type(obj), name, attributes))

    def memoize(self, obj: Any) -> None:
        """Remember nothing: whether two equal objects are the same object makes no difference."""

    def _simplify(self, obj: Any) -> Any:
        """Replace an object that pickle cannot handle by simpler ones that identify it."""
        if isinstance(obj, FunctionType | type):
            name = f"{obj.__module__}.{obj.__qualname__}"
            return name if _is_from_library(obj) else (name, self._number(obj))
        if isinstance(obj, set | frozenset):
            members = (_Fingerprint(tuple(self.containers)).hash(member) for member in obj)
            return type(obj), sorted(members)
        for kinds, parts in PARTS.items():
            if isinstance(obj, kinds):
                return parts(obj)
        return obj

    def _number(self, definition: FunctionType | type) -> int:
        """Return the position of a definition among all, to which it is added if it is new."""
        number = self.numbers.setdefault(id(definition), len(self.definitions))
        if number == len(self.definitions):
            self.definitions.append(definition)
        return number


# ------------------------------------------------------------ what identifies an object


def _of_tensor(tensor: torch.Tensor) -> tuple:
    data = tensor.detach().cpu().resolve_conj().contiguous().flatten()
    return "tensor", str(tensor.dtype), tuple(tensor.shape), data.view(torch.uint8).numpy()


def _of_array(array: np.ndarray) -> Any:
    if type(array) in (np.ndarray, np.memmap):
        return np.array(array, order="C")  # a copy, whose strides follow from its shape
    return array.__reduce__()  # a masked array has more than its values


def _of_code(code: CodeType) -> tuple:
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    counts = (code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    instructions = (code.co_code, code.co_exceptiontable, code.co_names, code.co_consts)
    return arguments, counts, instructions


def _of_script(script: Any) -> tuple:
    """The graph of a compiled function or module, without source lines; constants; and weights."""
    graph = script.inlined_graph
    operations = re.sub(r" *#.*|___torch_mangle_\d+\.", "", str(graph))
    nodes = graph.findAllNodes("prim::Constant")
    is_tensor = (node.hasAttribute("value") and node.kindOf("value") == "t" for node in nodes)
    constants = [node.t("value") for node, keep in zip(nodes, is_tensor, strict=True) if keep]
    weights = script.state_dict() if isinstance(script, torch.jit.ScriptModule) else None
    return "script", operations, constants, weights


PARTS: dict[Any, Callable[[Any], Any]] = {
    torch.jit.ScriptFunction | torch.jit.ScriptModule: _of_script,
    type(lru_cache(len)): lambda cached: (lru_cache, cached.cache_parameters(), cached.__wrapped__),
    torch.Tensor: _of_tensor,
    np.ndarray: _of_array,
    CodeType: _of_code,
    Mapping: lambda mapping: (type(mapping), list(mapping.items())),
    ModuleType: lambda module: module.__name__,
    MethodType: lambda method: (method.__func__, method.__self__),
    staticmethod | classmethod: lambda method: (type(method), method.__func__),
    property: lambda prop: (property, prop.fget, prop.fset, prop.fdel),
    cached_property: lambda prop: (cached_property, prop.func),
}


# ------------------------------------------------------------ functions and classes


def _contents(definition: FunctionType | type) -> tuple:
    """Return all that the results of a function or class depend on."""
    if isinstance(definition, type):
        members = {
            name: _Optional(member) if hasattr(member, "__set_name__") else member
            for name, member in vars(definition).items()
            if name not in AUTOMATIC_ATTRIBUTES
        }
        return type(definition), definition.__bases__, members
    code = definition.__code__
    cells = [cell.cell_contents for cell in definition.__closure__ or () if cell != CellType()]
    if _is_library(_module_of(definition)):
        return code, list(map(_Optional, cells)), definition.__dict__.get("__wrapped__")
    attributes = {name: _Optional(value) for name, value in vars(definition).items()}
    defaults = (definition.__defaults__, definition.__kwdefaults__)
    return code, defaults, cells, attributes, _read(_names(code), definition.__globals__)


def _names(code: CodeType) -> list[str]:
    """List the names that code and the functions inside it read: of globals and attributes."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return sorted({*code.co_names, *(name for part in inner for name in _names(part))})


def _read(names: list[str], namespace: Mapping[str, Any], modules: tuple = ()) -> dict[str, Any]:
    """Return the values of names in a namespace; of a user's module, those of names inside it."""
    values = {name: namespace[name] for name in names if name in namespace}
    for name, value in values.items():
        if isinstance(value, ModuleType) and not _is_installed(value) and value not in modules:
            read = _read(names, vars(value), (*modules, value))
            values[name] = {key: _Optional(item) for key, item in read.items()}
    return values


# ------------------------------------------------------------ libraries


def _is_from_library(definition: FunctionType | type) -> bool:
    """Whether a function or class is identified by its name: from a library, and not nested."""
    if isinstance(definition, type):
        return _is_library(definition.__module__) and "<" not in definition.__qualname__
    # A decorator gives its own function the name and the module of the function it decorates.
    return _is_library(_module_of(definition)) and "<" not in definition.__code__.co_qualname


def _module_of(function: FunctionType) -> str:
    return function.__globals__.get("__name__") or ""


def _is_library(name: str | None) -> bool:
    """Whether a module is of the standard library, or of a library that skdim builds on."""
    package = (name or "").partition(".")[0]
    if package in sys.stdlib_module_names:  # a user's module may have the same name
        return package not in sys.modules or _is_installed(sys.modules[package])
    return package in LIBRARIES


def _is_installed(module: ModuleType) -> bool:
    path = getattr(module, "__file__", None)
    if path is None:
        return module.__name__ in sys.builtin_module_names
    return path.startswith(STANDARD_LIBRARY) or "site-packages" in path or "dist-packages" in path
