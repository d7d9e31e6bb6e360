"""Files that cannot run code: safetensors files with arrays, and JSON in their metadata.

A file may hold plain values, arrays, and names that skdim defines; nothing else is read. A
custom object, such as a user's class or function, is never in a file. The file notes that there was
one, and the caller of `read` provides it. A digest of the whole content detects damage. It is not a
signature, and does not show who wrote a file.

The metadata of every format, also of later ones, hold JSON by the name "skdim": a dict with the
number of the format, the kind of content and the version of skdim that wrote it.
"""

import hashlib
import json
import math
import os
import platform
import re
import stat
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import sklearn
import torch
from safetensors import safe_open
from safetensors.numpy import save as to_bytes

from skdim import _version
from skdim._files import schema
from skdim._files.atomic_write import replace_when_done
from skdim.exceptions import FileError
from skdim.priors import Prior

# What a file can hold, and what reads it.
READERS = {
    "transformer": "DIMTransformer.load",
    "classifier": "DIMClassifier.load",
    "detector": "DIMOutlierDetector.load",
    "checkpoint": "fit, with the 'checkpoint' parameter,",
}

# Versions that a file states, to find out why features differ.
PACKAGES = {
    "python": platform.python_version(),
    "torch": str(torch.__version__),
    "scikit-learn": sklearn.__version__,
    "numpy": np.__version__,
}

# A header has a few kilobytes, and grows with every epoch of training.
LARGEST_HEADER = 2**24

# Values of a state are nested only a few levels deep, and are not more than 40,000 epochs record.
DEEPEST, MOST_VALUES = 32, 2**20


class Origin(NamedTuple):
    """What a file says of itself, which can be read whatever its format.

    Attributes
    ----------
    kind : str
        What it holds, such as "transformer".
    format : int
        The number of its format.
    version : str
        The version of skdim that wrote it.
    packages : dict of str to str
        The versions of Python and of other packages that wrote it.
    """

    kind: str
    format: int
    version: str
    packages: dict[str, str]

    @property
    def is_readable(self) -> bool:
        """Whether this version of skdim knows the format."""
        return self.format <= _version.FORMAT

    @property
    def writer(self) -> str:
        """Whoever wrote the file, in words."""
        return f"skdim {self.version}" + (" in development" if self.format == 1 else "")

    @property
    def hint(self) -> str:
        """A sentence for errors in a file that a later version wrote; else empty."""
        if not _version.is_later(self.version):
            return ""
        return f" It was written by {self.writer}, and this is skdim {_version.__version__}."


ORIGIN_RULES = {
    "kind": schema.word,
    "format": schema.integer(1, 10**6),
    "version": schema.word,
    "packages": schema.dict_of(schema.word),
}


def write(
    path: str | os.PathLike, state: Mapping[str, Any], always: Collection[str] = (), *, kind: str
) -> None:
    """Write a state in one step: the file is either complete or as it was.

    Values are plain, arrays, or dicts, lists and tuples of them. If a value is or holds anything
    else, only its name is written. Values whose names are in ``always`` must be written. ``kind``
    is one of `READERS`.

    Raises
    ------
    TypeError
        If one of them cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    plain = {}
    for name, value in state.items():
        arrays_of_value: dict[str, np.ndarray] = {}
        plain[name] = _to_json(value, name, arrays_of_value)
        if plain[name] != CUSTOM:
            arrays.update(arrays_of_value)
        elif name in always:
            raise TypeError(
                f"{path} cannot be written: its {name!r} must hold numbers, strings and arrays. "
                "Got another object, which a callback recorded or an optimiser remembers."
            )
    origin = {
        "format": _version.FORMAT,
        "kind": kind,
        "version": _version.__version__,
        "packages": PACKAGES,
    }
    text = json.dumps({**origin, "state": plain})
    metadata = {"skdim": text, "digest": digest(text, arrays)}
    with replace_when_done(path) as temporary:
        temporary.write_bytes(to_bytes(arrays, metadata))


def describe(path: str | os.PathLike, *, check_digest: bool = False) -> Origin:
    """Read the origin that a file states, also if only a later version can read the rest.

    Only its header is read, unless its digest is to be checked, too.

    Raises
    ------
    FileError
        If it is not a file of skdim, or is damaged.
    """
    with _opened(path) as file:
        metadata = file.metadata()
        origin = _origin(_as_document(metadata["skdim"], path))
        if check_digest and origin.is_readable:
            _check_digest(path, metadata, _arrays_in(file))
    return origin


def as_it_is(state: dict[str, Any], origin: Origin) -> dict[str, Any]:
    """Return a state unchanged."""
    return state


def read(
    path: str | os.PathLike,
    custom_objects: Mapping[str, Any],
    companions: Mapping[str, str] | None = None,
    *,
    kind: str,
    upgrade: Callable[[dict[str, Any], Origin], dict[str, Any]] = as_it_is,
) -> dict[str, Any]:
    """Read a state.

    Parameters
    ----------
    path : path
    custom_objects : mapping of str to object
        Values of the state that are not plain, by name.
    companions : mapping of str to str
        Plain values that may be passed too, if a custom object is; the names of both.
    kind : str
        What the file must hold: one of `READERS`.
    upgrade : callable
        Maps a state and its origin to the state as this version would have written it, checked.

    Raises
    ------
    FileError
        If it is not a file of skdim, is damaged, has a later format, holds something else, or needs
        a custom object that is missing; the message says which.
    ValueError
        If something was passed that the file holds itself.
    """
    with _opened(path) as file:
        metadata = file.metadata()
        _check_format(path, metadata["skdim"])
        arrays = _arrays_in(file)
    with errors_of_file(path):
        _check_digest(path, metadata, arrays)
        document = _parse(metadata["skdim"], path)
        origin = _origin(document)
        if origin.kind != kind:
            reader = READERS.get(origin.kind, "a later version")
            raise FileError(f"{path} holds a {origin.kind}, which {reader} reads.{origin.hint}")
        plain = document["state"]
        custom = {name for name, value in plain.items() if value == CUSTOM}
        needed = set(map(_argument, custom))
        missing = sorted(set(map(_argument, custom - set(custom_objects))))
        if missing:
            arguments = ", ".join(f"{name}=..." for name in missing)
            raise FileError(
                f"{path} was saved with custom objects, which no safe file can hold: "
                f"{', '.join(missing)}. Pass them: load(path, {arguments})."
            )
    with errors_of_file(path, origin.hint):
        state = {
            name: custom_objects[name] if name in custom else _from_json(value, arrays)
            for name, value in plain.items()
        }
        if arrays:
            raise ValueError(f"it holds arrays without a name, such as {min(arrays)!r}")
    allowed = needed | {name for name, owner in (companions or {}).items() if owner in needed}
    unneeded = sorted(set(map(_argument, custom_objects)) - allowed)
    if unneeded:
        raise ValueError(
            f"load takes only custom classes and functions that {path} cannot hold: "
            f"{', '.join(sorted(allowed)) or 'there are none'}. Got {', '.join(unneeded)}; change "
            "other parameters after loading, by 'set_params', and the device by 'to'."
        )
    with errors_of_file(path, origin.hint):
        return upgrade(state, origin)


@contextmanager
def errors_of_file(path: str | os.PathLike, hint: str = "") -> Iterator[None]:
    """Turn every error into one about a file, whatever a crafted file may provoke."""
    try:
        yield
    except (FileError, Warning):
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise FileError(f"{path} does not fit together: {reason.rstrip('.')}.{hint}") from None


def _as_document(text: str, path: str | os.PathLike) -> Any:
    """Return whatever JSON a description is, unless it would take much memory."""
    if text.count(",") > MOST_VALUES:
        raise FileError(f"{path} is not a file of skdim: it describes too many values.")
    return json.loads(text)


def _parse(text: str, path: str | os.PathLike) -> dict[str, Any]:
    """Return the description of a state, as JSON has it."""
    document = _as_document(text, path)
    if not isinstance(document, dict) or not isinstance(document.get("state"), dict):
        raise FileError(f"{path} is not a file of skdim: it does not describe a state.")
    return document


def _origin(document: dict[str, Any]) -> Origin:
    """Return the origin that a description states; raise an error if it states none."""
    if document.get("format") == 1 and "version" not in document:  # development of 0.2.0
        names = document["state"]
        kind = "checkpoint" if "net" in names else "classifier" if "classifier" in names else ""
        return Origin(kind or "transformer", 1, "0.2.0", {})
    stated: dict[str, Any] = {name: document.get(name) for name in ORIGIN_RULES}
    schema.record(ORIGIN_RULES)(stated, "origin")
    return Origin(**stated)


def _check_format(path: str | os.PathLike, text: str) -> None:
    """Raise FileError if a description is that of a later format, whatever else it holds."""
    try:
        origin = _origin(_as_document(text, path))
    except Exception:  # a damaged description may be anything; its digest shows the damage
        return
    if not origin.is_readable:
        raise FileError(
            f"{path} has format {origin.format} of {origin.writer}; skdim {_version.__version__} "
            f"reads formats up to {_version.FORMAT}. Read it with skdim {origin.version} or later."
        )


def _argument(name: str) -> str:
    """Both "encoder" and "encoder in fit" belong to the argument "encoder"."""
    return name.partition(" ")[0]


def digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of a description and of all arrays: names, types, shapes and bytes."""
    sha256 = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        sha256.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Any]:
    """Open a file of skdim; turn every error inside the ``with`` block into one about the file."""
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
            if not {"skdim", "digest"} <= set(file.metadata() or {}):
                raise FileError(f"{path} is a safetensors file, but not one of skdim.")
            yield file
    except FileError:
        raise
    except Exception as error:  # whatever a crafted file may provoke
        raise FileError(f"{path} is not a file of skdim, or damaged: {error}.") from None


def _arrays_in(file: Any) -> dict[str, np.ndarray]:
    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _check_digest(
    path: str | os.PathLike, metadata: Mapping[str, str], arrays: Mapping[str, np.ndarray]
) -> None:
    if digest(metadata["skdim"], arrays) != metadata["digest"]:
        raise FileError(f"{path} is damaged: it does not have the digest that it states.")


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
        return _array_to_json(value, name, arrays)
    if isinstance(value, np.random.RandomState):
        state = value.get_state(legacy=False)
        if state["bit_generator"] != "MT19937":
            return CUSTOM
        return {"random_state": _to_json(state, name, arrays)}
    if isinstance(value, Prior):
        content = _to_json(vars(value), name, arrays)
        return CUSTOM if content == CUSTOM else {"prior": content}
    if isinstance(value, Mapping):
        keys = [key.item() if isinstance(key, np.generic) else key for key in value]
        if not all(isinstance(key, str | int) for key in keys):
            return CUSTOM
        items = [_to_json(item, f"{name}/{key}", arrays) for key, item in value.items()]
        pairs = [[key, item] for key, item in zip(keys, items, strict=True)]
        return CUSTOM if CUSTOM in items else {"dict": pairs}
    if isinstance(value, list | tuple):
        items = [_to_json(item, f"{name}/{i}", arrays) for i, item in enumerate(value)]
        if CUSTOM in items:
            return CUSTOM
        return {"tuple": items} if isinstance(value, tuple) else items
    return CUSTOM


def _array_to_json(array: np.ndarray, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Collect an array, or the bytes of one whose type safetensors does not have."""
    if array.dtype.kind == "O":
        is_text = array.ndim == 1 and all(isinstance(item, str) for item in array)
        return {"names": [str(item) for item in array]} if is_text else CUSTOM
    arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
    if not TYPED.fullmatch(array.dtype.str):
        return {"array": name}
    shape = (*array.shape, array.dtype.itemsize)
    arrays[name] = arrays[name].reshape(-1).view(np.uint8).reshape(shape)
    return {"typed": [array.dtype.str, name]}


def _from_json(value: Any, arrays: dict[str, np.ndarray], depth: int = 0) -> Any:
    """Convert JSON back to a value, and take its arrays away: each belongs to one value."""
    if depth > DEEPEST:
        raise ValueError("values are nested too deeply")
    if isinstance(value, int) and abs(value) > schema.LARGEST:
        raise ValueError("whole numbers must have at most 64 bits")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_from_json(item, arrays, depth + 1) for item in value]
    if isinstance(value, dict) and len(value) == 1:
        ((kind, content),) = value.items()
        convert = CONVERTERS.get(kind)
        if convert is not None:
            try:
                return convert(content, lambda v: _from_json(v, arrays, depth + 1), arrays)
            except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
                raise ValueError(f"invalid {kind}: {type(error).__name__} {error}") from None
    raise ValueError("it holds a value of an unknown kind")


def _names(names: list[str]) -> np.ndarray:
    schema.list_of(schema.text())(names, "names")
    return np.array(names, dtype=object)


# Types of arrays that safetensors does not have: strings, dates, durations, numbers of another byte
# order and very long ones.
TYPED = re.compile(r"[<>]U[1-9]\d*|[<>][Mm]8(\[\d*[a-zA-Z]+\])?|>[iuf]\d+|<f(12|16)")


def _typed(name_of_type: str, content: np.ndarray) -> np.ndarray:
    """An array of a type from its bytes (..., itemsize)."""
    if not TYPED.fullmatch(name_of_type):
        raise ValueError(f"{name_of_type!r} is not a type")
    dtype = np.dtype(name_of_type)
    schema.array("u1", any_shape=True)(content, name_of_type)
    if content.shape[-1] != dtype.itemsize:
        raise ValueError(f"{content.shape} are not the bytes of {name_of_type!r}")
    values = content.reshape(-1).view(dtype).reshape(content.shape[:-1])
    if dtype.kind == "U":
        characters = content.reshape(-1).view(dtype.str[0] + "u4")
        if characters.size and characters.max() > sys.maxunicode:
            raise ValueError("text must be characters")
    return values


# numpy checks neither the position nor the type of the numbers: it would read outside of them.
RANDOM_STATE = schema.record(
    {
        "bit_generator": schema.text("MT19937"),
        "state": schema.record({"key": schema.array("u4", 624), "pos": schema.integer(0, 624)}),
        "has_gauss": schema.integer(0, 1),
        "gauss": schema.number,
    }
)


def _random_state(state: dict) -> np.random.RandomState:
    RANDOM_STATE(state, "random_state")
    random_state = np.random.RandomState()
    random_state.set_state(state)
    return random_state


def _dict(pairs: list, convert: Callable[[Any], Any]) -> dict:
    items = {key: convert(item) for key, item in pairs}
    if len(items) < len(pairs) or not all(isinstance(key, str | int) for key in items):
        raise ValueError("a dict must have different names")
    return items


# Arguments: the content of a value, a function that converts nested values, and all arrays.
Converter = Callable[[Any, Callable[[Any], Any], dict[str, np.ndarray]], Any]

CONVERTERS: dict[str, Converter] = {
    "float": lambda content, convert, arrays: {
        "nan": math.nan,
        "inf": math.inf,
        "-inf": -math.inf,
    }[content],
    "names": lambda content, convert, arrays: _names(content),
    "typed": lambda content, convert, arrays: _typed(content[0], arrays.pop(content[1])),
    "array": lambda content, convert, arrays: arrays.pop(content),
    "random_state": lambda content, convert, arrays: _random_state(convert(content)),
    "prior": lambda content, convert, arrays: Prior(**convert(content)),
    "tuple": lambda content, convert, arrays: tuple(convert(item) for item in content),
    "dict": lambda content, convert, arrays: _dict(content, convert),
}
