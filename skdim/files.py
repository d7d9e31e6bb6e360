"""Files that cannot run code: one safetensors file holds arrays, JSON beside them holds the rest.

What a file may hold is written down here, and nothing else is read: plain values, arrays, and the
names of pieces that skdim has itself. A user's own class or function is never in a file; the file
says that there was one, and whoever loads it hands over his own. A digest over everything tells
damage from data; it is no signature, and does not say who wrote a file.
"""

import hashlib
import json
import math
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

FORMAT = 1

# A header is a few kilobytes, and some more for every epoch trained.
LARGEST_HEADER = 2**24

# Nested values of a state are a handful deep.
DEEPEST = 32


class FileError(ValueError):
    """A file that is not what it should be; the message says in which respect."""


def write(path: str | os.PathLike, state: Mapping[str, Any]) -> None:
    """Write a state, whole or not at all.

    Parameters
    ----------
    path : path
        A file that is there is replaced, in one step.
    state : mapping of str to value
        Plain values, arrays, dicts, lists and tuples of them. A value of another kind at the top is
        noted by its name alone.
    """
    arrays: dict[str, np.ndarray] = {}
    plain = {}
    for name, value in state.items():
        own: dict[str, np.ndarray] = {}
        plain[name] = _note(value, name, own)
        if plain[name] != PIECE:
            arrays.update(own)
    text = json.dumps({"format": FORMAT, "state": plain})
    metadata = {"skdim": text, "digest": digest(text, arrays)}
    path = Path(path)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(draft, "xb") as file:
            file.write(to_bytes(arrays, metadata))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def read(path: str | os.PathLike, pieces: Mapping[str, Any]) -> dict[str, Any]:
    """Read a state.

    Parameters
    ----------
    path : path
    pieces : mapping of str to object
        What stands at the top of the state and is no plain value, by name.

    Returns
    -------
    state : dict of str to value

    Raises
    ------
    FileError
        If it is no file of skdim, or damaged, or a piece is missing; the message says which.
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
    lacking = [name for name, note in plain.items() if note == PIECE and name not in pieces]
    missing = sorted({name.split()[0] for name in lacking})  # "encoder", and "encoder in fit"
    if missing:
        arguments = ", ".join(f"{name}=..." for name in missing)
        raise FileError(
            f"{path} was saved with pieces of your own, which no safe file can hold: "
            f"{', '.join(missing)}. Hand them over: load(path, {arguments})."
        )
    return {
        name: pieces[name] if note == PIECE else _recall(note, arrays, path)
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
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise FileError(f"{path} is no file of skdim, or damaged: {error}.") from None
    if not {"skdim", "digest"} <= set(metadata):
        raise FileError(f"{path} is a safetensors file, but not one of skdim.")
    return metadata["skdim"], metadata["digest"], arrays


def check_fitted(state: Mapping[str, Any]) -> None:
    """Hold what a transformer has learned against the shapes it must have.

    Raises
    ------
    ValueError
        If something of it has another kind or shape.
    """
    shape = state["sample_shape_"]
    if not (
        isinstance(shape, tuple) and shape and all(isinstance(n, int) and n > 0 for n in shape)
    ):
        raise ValueError("'sample_shape_' is no shape")
    for name in ("mean_", "scale_"):
        if not (isinstance(state[name], np.ndarray) and state[name].shape == shape[:1]):
            raise ValueError(f"{name!r} must hold one number for each of {shape[0]} channels")
    for output, readout in state["_readouts"].items():
        units = readout["mean"].shape
        if not (len(units) == 1 and readout["scale"].shape == units):
            raise ValueError(f"the readout of {output!r} is of unequal lengths")
        rotation = readout["rotation"]
        if rotation is not None and not (rotation.ndim == 2 and rotation.shape[:1] == units):
            raise ValueError(f"the rotation of {output!r} does not fit its units")
    if not isinstance(state["n_features_in_"], int):
        raise ValueError("'n_features_in_' is no number")


# ---------------------------------------------------------------- what JSON holds

PIECE = {"piece": True}


def _note(value: Any, name: str, arrays: dict[str, np.ndarray], depth: int = 0) -> Any:
    """Write a value down as JSON, its arrays apart; a stranger at the top as `PIECE`."""
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
    try:
        if isinstance(value, Mapping):
            return {
                "dict": [
                    [key, _note(item, f"{name}/{key}", arrays, depth + 1)]
                    for key, item in value.items()
                    if _is_key(key, name)
                ]
            }
        if isinstance(value, list | tuple):
            items = [_note(v, f"{name}/{i}", arrays, depth + 1) for i, v in enumerate(value)]
            return {"tuple": items} if isinstance(value, tuple) else items
    except _StrangerInside:
        if depth:
            raise
        return PIECE
    if depth:
        raise _StrangerInside
    return PIECE


class _StrangerInside(Exception):  # noqa: N818
    """A container holds what cannot be written down: all of it is a piece."""


def _is_key(key: Any, name: str) -> bool:
    if not isinstance(key, str | int):
        raise _StrangerInside
    return True


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


Recall = Callable[[Any, Callable[[Any], Any], Mapping[str, np.ndarray]], Any]

RECALLED: dict[str, Recall] = {
    "float": lambda content, recall, arrays: {
        "nan": math.nan,
        "inf": math.inf,
        "-inf": -math.inf,
    }[content],
    "names": lambda content, recall, arrays: np.array([str(n) for n in content], dtype=object),
    "array": lambda content, recall, arrays: arrays[content],
    "tuple": lambda content, recall, arrays: tuple(recall(item) for item in content),
    "dict": lambda content, recall, arrays: {key: recall(item) for key, item in content},
}
