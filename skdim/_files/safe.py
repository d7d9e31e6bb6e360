"""Files that cannot run code: one safetensors file holds arrays, JSON beside them holds the rest.

A file may hold plain values, arrays, and names of what skdim itself defines; nothing else is read.
A custom object, such as a user's class or function, is never in a file: the file says that there
was one, and the caller of `read` hands it over. A digest of everything detects damage; it is no
signature, and does not say who wrote a file.
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

# A header is a few kilobytes, and some more for every epoch trained.
LARGEST_HEADER = 2**24

# Nested values of a state are a handful deep.
DEEPEST = 32


def write(path: str | os.PathLike, state: Mapping[str, Any]) -> None:
    """Write a state in one step: the file is complete, or as it was.

    Parameters
    ----------
    path : path
        A file that is there is replaced, in one step.
    state : mapping of str to value
        Plain values, arrays, dicts, lists and tuples of them. Of a value that is or holds anything
        else, only the name is written.
    """
    arrays: dict[str, np.ndarray] = {}
    plain = {}
    for name, value in state.items():
        found: dict[str, np.ndarray] = {}
        plain[name] = _note(value, name, found)
        if plain[name] != CUSTOM:
            arrays.update(found)
    text = json.dumps({"format": FORMAT, "state": plain})
    metadata = {"skdim": text, "digest": digest(text, arrays)}
    with replace_when_done(path) as temporary:
        temporary.write_bytes(to_bytes(arrays, metadata))


def read(path: str | os.PathLike, custom_objects: Mapping[str, Any]) -> dict[str, Any]:
    """Read a state.

    Parameters
    ----------
    path : path
    custom_objects : mapping of str to object
        Values of the state that are not plain, by name.

    Returns
    -------
    state : dict of str to value

    Raises
    ------
    FileError
        If it is no file of skdim, or damaged, or a custom object is missing; the message says
        which.
    """
    text, stated, arrays = _open(path)
    if digest(text, arrays) != stated:
        raise FileError(f"{path} is damaged: its content does not have the digest that it states.")
    try:
        document = json.loads(text)
        version = document["format"]
        plain = dict(document["state"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FileError(f"{path} is no file of skdim: it does not describe a state.") from None
    if version != FORMAT:
        raise FileError(f"{path} has format {version!r}; this version of skdim reads {FORMAT}.")
    custom = {name for name, note in plain.items() if note == CUSTOM}
    # Of "encoder" and "encoder in fit", the first word.
    missing = sorted({name.split()[0] for name in custom - set(custom_objects)})
    if missing:
        arguments = ", ".join(f"{name}=..." for name in missing)
        raise FileError(
            f"{path} was saved with custom objects, which no safe file can hold: "
            f"{', '.join(missing)}. Pass them: load(path, {arguments})."
        )
    return {
        name: custom_objects[name] if note == CUSTOM else _recall(note, arrays, path)
        for name, note in plain.items()
    }


def digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of a description and of all arrays: names, types, shapes and bytes."""
    found = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _open(path: str | os.PathLike) -> tuple[str, str, dict[str, np.ndarray]]:
    """Return the description, the digest that is stated, and the arrays."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise FileError(f"{path} is no file of skdim: it is no regular file.")
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = os.fstat(file.fileno()).st_size
    # The library would read a header of a hundred megabytes before it complains.
    if size < 8 or length > min(LARGEST_HEADER, size - 8):
        raise FileError(f"{path} is no file of skdim, or cut off: it does not hold its header.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # whatever a crafted file may provoke
        raise FileError(f"{path} is no file of skdim, or damaged: {error}.") from None
    if not {"skdim", "digest"} <= set(metadata):
        raise FileError(f"{path} is a safetensors file, but not one of skdim.")
    return metadata["skdim"], metadata["digest"], arrays


# ---------------------------------------------------------------- what JSON holds

# What stands for a value that cannot be written.
CUSTOM = {"custom": True}


def _note(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return a value as JSON, its arrays collected apart; `CUSTOM` if any of it is not plain."""
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
        return {"random_state": _note(value.get_state(legacy=False), name, arrays)}
    if isinstance(value, Prior):
        note = _note(vars(value), name, arrays)
        return CUSTOM if note == CUSTOM else {"prior": note}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str | int) for key in value):
            return CUSTOM
        items = [_note(item, f"{name}/{key}", arrays) for key, item in value.items()]
        pairs = [[key, item] for key, item in zip(value, items, strict=True)]
        return CUSTOM if CUSTOM in items else {"dict": pairs}
    if isinstance(value, list | tuple):
        items = [_note(item, f"{name}/{i}", arrays) for i, item in enumerate(value)]
        if CUSTOM in items:
            return CUSTOM
        return {"tuple": items} if isinstance(value, tuple) else items
    return CUSTOM


def _recall(note: Any, arrays: Mapping[str, np.ndarray], path: Any, depth: int = 0) -> Any:
    """Make the value of what JSON holds."""
    if depth > DEEPEST:
        raise FileError(f"{path} is no file of skdim: values lie in each other too deeply.")
    if note is None or isinstance(note, bool | int | float | str):
        return note
    if isinstance(note, list):
        return [_recall(item, arrays, path, depth + 1) for item in note]
    if isinstance(note, dict) and len(note) == 1:
        ((kind, content),) = note.items()
        recall = RECALLED.get(kind)
        if recall is not None:
            try:
                return recall(content, lambda n: _recall(n, arrays, path, depth + 1), arrays)
            except (ValueError, TypeError, KeyError) as error:
                if isinstance(error, FileError):
                    raise
                raise FileError(f"{path} is no file of skdim: an unfit {kind}.") from None
    raise FileError(f"{path} is no file of skdim: it holds a value of an unknown kind.")


def _random_state(state: dict) -> np.random.RandomState:
    random_state = np.random.RandomState()
    random_state.set_state(state)
    return random_state


Recall = Callable[[Any, Callable[[Any], Any], Mapping[str, np.ndarray]], Any]

RECALLED: dict[str, Recall] = {
    "float": lambda content, recall, arrays: {
        "nan": math.nan,
        "inf": math.inf,
        "-inf": -math.inf,
    }[content],
    "names": lambda content, recall, arrays: np.array([str(n) for n in content], dtype=object),
    "array": lambda content, recall, arrays: arrays[content],
    "random_state": lambda content, recall, arrays: _random_state(recall(content)),
    "prior": lambda content, recall, arrays: Prior(**recall(content)),
    "tuple": lambda content, recall, arrays: tuple(recall(item) for item in content),
    "dict": lambda content, recall, arrays: {key: recall(item) for key, item in content},
}
