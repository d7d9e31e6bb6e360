"""Files that cannot run code: safetensors files with arrays, and JSON in their metadata.

A file may hold plain values, arrays, and names that skdim defines; nothing else is read. A
custom object, such as a user's class or function, is never in a file. The file notes that there was
one, and the caller of `read` provides it. A digest of the whole content detects damage. It is not a
signature, and does not show who wrote a file.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as to_bytes

from skdim._files.atomic_write import replace_when_done
from skdim.exceptions import FileError
from skdim.priors import Prior

FORMAT = 1

# A header has a few kilobytes, and grows with every epoch of training.
LARGEST_HEADER = 2**24

# Values of a state are nested only a few levels deep.
DEEPEST = 32


def write(path: str | os.PathLike, state: Mapping[str, Any]) -> None:
    """Write a state in one step: the file is either complete or as it was.

    Values are plain, arrays, or dicts, lists and tuples of them. If a value is or holds anything
    else, only its name is written.
    """
    arrays: dict[str, np.ndarray] = {}
    plain = {}
    for name, value in state.items():
        arrays_of_value: dict[str, np.ndarray] = {}
        plain[name] = _to_json(value, name, arrays_of_value)
        if plain[name] != CUSTOM:
            arrays.update(arrays_of_value)
    text = json.dumps({"format": FORMAT, "state": plain})
    metadata = {"skdim": text, "digest": digest(text, arrays)}
    with replace_when_done(path) as temporary:
        temporary.write_bytes(to_bytes(arrays, metadata))


def read(path: str | os.PathLike, custom_objects: Mapping[str, Any]) -> dict[str, Any]:
    """Read a state; ``custom_objects`` are its values that are not plain, by name.

    Raises
    ------
    FileError
        If it is not a file of skdim, is damaged, or needs a custom object that is missing; the
        message says which.
    """
    text, stated, arrays = _open(path)
    if digest(text, arrays) != stated:
        raise FileError(f"{path} is damaged: its content does not have the digest that it states.")
    try:
        document = json.loads(text)
        version = document["format"]
        plain = dict(document["state"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FileError(f"{path} is not a file of skdim: it does not describe a state.") from None
    if version != FORMAT:
        raise FileError(f"{path} has format {version!r}; this version of skdim reads {FORMAT}.")
    custom = {name for name, value in plain.items() if value == CUSTOM}
    # Both "encoder" and "encoder in fit" belong to the argument "encoder".
    missing = sorted({name.split()[0] for name in custom - set(custom_objects)})
    if missing:
        arguments = ", ".join(f"{name}=..." for name in missing)
        raise FileError(
            f"{path} was saved with custom objects, which no safe file can hold: "
            f"{', '.join(missing)}. Pass them: load(path, {arguments})."
        )
    return {
        name: custom_objects[name] if value == CUSTOM else _from_json(value, arrays, path)
        for name, value in plain.items()
    }


def digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of a description and of all arrays: names, types, shapes and bytes."""
    sha256 = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        sha256.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()


def _open(path: str | os.PathLike) -> tuple[str, str, dict[str, np.ndarray]]:
    """Return the description, the digest that the file states, and the arrays."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise FileError(f"{path} is not a file of skdim: it is not a regular file.")
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = os.fstat(file.fileno()).st_size
    # safetensors would read a header of a hundred megabytes before it raises an error.
    if size < 8 or length > min(LARGEST_HEADER, size - 8):
        raise FileError(f"{path} is not a file of skdim, or cut off: its header is incomplete.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # whatever a crafted file may provoke
        raise FileError(f"{path} is not a file of skdim, or damaged: {error}.") from None
    if not {"skdim", "digest"} <= set(metadata):
        raise FileError(f"{path} is a safetensors file, but not one of skdim.")
    return metadata["skdim"], metadata["digest"], arrays


# ---------------------------------------------------------------- values as JSON

# Stands for a value that cannot be written.
CUSTOM = {"custom": True}


def _to_json(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Convert a value to JSON and collect its arrays; return `CUSTOM` if any of it is not plain."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OU":  # names of columns
            return {"names": [str(item) for item in value]}
        arrays[name] = np.ascontiguousarray(value).reshape(value.shape)
        return {"array": name}
    if isinstance(value, np.random.RandomState):
        return {"random_state": _to_json(value.get_state(legacy=False), name, arrays)}
    if isinstance(value, Prior):
        content = _to_json(vars(value), name, arrays)
        return CUSTOM if content == CUSTOM else {"prior": content}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str | int) for key in value):
            return CUSTOM
        items = [_to_json(item, f"{name}/{key}", arrays) for key, item in value.items()]
        pairs = [[key, item] for key, item in zip(value, items, strict=True)]
        return CUSTOM if CUSTOM in items else {"dict": pairs}
    if isinstance(value, list | tuple):
        items = [_to_json(item, f"{name}/{i}", arrays) for i, item in enumerate(value)]
        if CUSTOM in items:
            return CUSTOM
        return {"tuple": items} if isinstance(value, tuple) else items
    return CUSTOM


def _from_json(value: Any, arrays: Mapping[str, np.ndarray], path: Any, depth: int = 0) -> Any:
    """Convert JSON back to a value."""
    if depth > DEEPEST:
        raise FileError(f"{path} is not a file of skdim: values are nested too deeply.")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_from_json(item, arrays, path, depth + 1) for item in value]
    if isinstance(value, dict) and len(value) == 1:
        ((kind, content),) = value.items()
        convert = CONVERTERS.get(kind)
        if convert is not None:
            try:
                return convert(content, lambda v: _from_json(v, arrays, path, depth + 1), arrays)
            except (ValueError, TypeError, KeyError) as error:
                if isinstance(error, FileError):
                    raise
                raise FileError(f"{path} is not a file of skdim: invalid {kind}.") from None
    raise FileError(f"{path} is not a file of skdim: it holds a value of an unknown kind.")


def _random_state(state: dict) -> np.random.RandomState:
    random_state = np.random.RandomState()
    random_state.set_state(state)
    return random_state


# Arguments: the content of a value, a function that converts nested values, and all arrays.
Converter = Callable[[Any, Callable[[Any], Any], Mapping[str, np.ndarray]], Any]

CONVERTERS: dict[str, Converter] = {
    "float": lambda content, convert, arrays: {
        "nan": math.nan,
        "inf": math.inf,
        "-inf": -math.inf,
    }[content],
    "names": lambda content, convert, arrays: np.array([str(n) for n in content], dtype=object),
    "array": lambda content, convert, arrays: arrays[content],
    "random_state": lambda content, convert, arrays: _random_state(convert(content)),
    "prior": lambda content, convert, arrays: Prior(**convert(content)),
    "tuple": lambda content, convert, arrays: tuple(convert(item) for item in content),
    "dict": lambda content, convert, arrays: {key: convert(item) for key, item in content},
}
