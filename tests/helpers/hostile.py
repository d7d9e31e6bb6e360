"""Hostile files, and what loading each of them did.

A mutation is a function of a good file's bytes and a random generator that returns other bytes.
``python tests/helpers/hostile.py 2000`` loads 2,000 of them and prints the outcomes of each kind;
the suite loads some.
"""

import json
import pickle
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from skdim import DIMTransformer
from skdim._files.safe import digest
from skdim.exceptions import FileError

X_SHAPE = (6,)
MARK = Path(tempfile.gettempdir()) / "skdim-code-was-run"


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (MARK.touch, ())


def good_file(path: Path) -> bytes:
    """A small transformer's file."""
    path.write_bytes(good_content())
    return good_content()


@cache
def good_content() -> bytes:
    """What a small transformer writes into a file."""
    X = np.random.default_rng(0).normal(size=(60, *X_SHAPE)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        params = {"n_hidden": 16, "width": 8}
        dim = DIMTransformer(4, max_epochs=1, encoder_params=params, random_state=0).fit(X)
    with tempfile.TemporaryDirectory() as folder:
        dim.save(Path(folder) / "dim.safetensors")
        return (Path(folder) / "dim.safetensors").read_bytes()


def taken_apart(good: bytes) -> tuple[dict, bytes]:
    """The header and the numbers."""
    length = int.from_bytes(good[:8], "little")
    return json.loads(good[8 : 8 + length]), good[8 + length :]


def put_together(header: dict, numbers: bytes) -> bytes:
    """A file of any header."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def redescribed(good: bytes, change: Callable[[dict], None]) -> bytes:
    """A file whose state says something else, with the digest of an honest file."""
    header, numbers = taken_apart(good)
    document = json.loads(header["__metadata__"]["skdim"])
    change(document)
    text = json.dumps(document)
    types = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "U8": "|u1", "U32": "<u4", "BOOL": "|b1"}
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            values = np.frombuffer(numbers[start:end], types[entry["dtype"]])
            arrays[name] = values.reshape(entry["shape"])
    header["__metadata__"] = {"skdim": text, "digest": digest(text, arrays)}
    return put_together(header, numbers)


def model_of(state: dict) -> list[list]:
    """The pairs of name and value that describe the model in a state."""
    return state["model"]["dict"]


def names_in(state: dict) -> list[str]:
    """All names at the top level of a state, and those of its model as "model/name"."""
    return [*state, *(f"model/{name}" for name, _ in model_of(state))]


def put(state: dict, name: str, value: object) -> None:
    """Replace the value of a name, or add one."""
    if name.startswith("model/"):
        drop(state, name)
        model_of(state).append([name.removeprefix("model/"), value])
    else:
        state[name] = value


def drop(state: dict, name: str) -> None:
    """Remove a name."""
    if name.startswith("model/"):
        pairs = model_of(state)
        pairs[:] = [pair for pair in pairs if pair[0] != name.removeprefix("model/")]
    else:
        del state[name]


# ---------------------------------------------------------------- mutations


def cut_off(good, rng):
    return good[: rng.integers(len(good))]


def flip_bits(good, rng):
    changed = bytearray(good)
    for _ in range(rng.integers(1, 9)):
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwrite(good, rng):
    changed = bytearray(good)
    start, length = rng.integers(len(good)), rng.integers(1, 200)
    changed[start : start + length] = rng.bytes(length)
    return bytes(changed)


def grow(good, rng):
    return good + rng.bytes(rng.integers(1, 1000))


def noise(good, rng):
    return rng.bytes(rng.integers(0, 5000))


def long_header(good, rng):
    return int(2 ** rng.integers(24, 63)).to_bytes(8, "little") + good[8:]


def pickle_in_disguise(good, rng):
    bomb = pickle.dumps(Bomb())
    return bomb if rng.integers(2) else good[:8] + bomb + good[8 + len(bomb) :]


def odd_tensor(good, rng):
    header, numbers = taken_apart(good)
    names = [name for name in header if name != "__metadata__"]
    entry = header[names[rng.integers(len(names))]]
    choice = rng.integers(5)
    if choice == 0:
        entry["shape"] = [int(2 ** rng.integers(20, 62)), *entry["shape"]]
    elif choice == 1:
        entry["data_offsets"] = [0, int(2 ** rng.integers(10, 62))]
    elif choice == 2:
        entry["dtype"] = ["F16", "BF16", "I8", "F8_E4M3", "X9"][rng.integers(5)]
    elif choice == 3:
        header["../../etc/" + names[0]] = header.pop(names[0])
    else:
        del header[names[rng.integers(len(names))]]
    return put_together(header, numbers)


def odd_parameter(good, rng):
    odd = [
        None,
        -1,
        0,
        10**9,
        10**30,
        1e308,
        "",
        "__import__('os')",
        "../../etc/passwd",
        [],
        [[[]]],
        {"dict": [["width", 10**9]]},
        {"dict": [["depth", 10**9]]},
        {"tuple": [10**6, 10**6, 10**6]},
        {"tuple": [2**62]},
        {"array": "nowhere"},
        {"float": "nan"},
        {"custom": True},
        {"names": [1, 2]},
        {"odd": 1},
        True,
    ]

    def change(document):
        names = names_in(document["state"])
        put(document["state"], names[rng.integers(len(names))], odd[rng.integers(len(odd))])

    return redescribed(good, change)


def odd_inside(good, rng):
    """Change a value somewhere deep in the state."""

    def change(document):
        parent, key = document, list(document)[rng.integers(len(document))]
        while isinstance(parent[key], dict | list) and parent[key] and rng.integers(6):
            parent = parent[key]
            keys = list(parent) if isinstance(parent, dict) else range(len(parent))
            key = list(keys)[rng.integers(len(keys))]
        parent[key] = [10**12, "x", None, -3, 0.5, {}, [1], {"tuple": [0]}][rng.integers(8)]

    return redescribed(good, change)


def without_a_part(good, rng):
    def change(document):
        names = names_in(document["state"])
        drop(document["state"], names[rng.integers(len(names))])

    return redescribed(good, change)


def with_a_part_too_many(good, rng):
    names = ["__class__", "__dict__", "fit", "transform", "encoder", "model_", "__reduce__"]

    def change(document):
        prefix = ["", "model/"][rng.integers(2)]
        put(document["state"], prefix + names[rng.integers(len(names))], 1)

    return redescribed(good, change)


def nested(good, rng):
    def change(document):
        value: list = []
        for _ in range(int(rng.integers(40, 300))):
            value = [value]
        put(document["state"], "model/history", value)

    return redescribed(good, change)


MUTATIONS = (
    cut_off,
    flip_bits,
    overwrite,
    grow,
    noise,
    long_header,
    pickle_in_disguise,
    odd_tensor,
    odd_parameter,
    odd_inside,
    without_a_part,
    with_a_part_too_many,
    nested,
)


def outcome(path: Path) -> str:
    """Load a file; return "refused" (with a sentence), "accepted", or what must never happen."""
    MARK.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = use(DIMTransformer.load(path))
        except FileError as error:
            result = "refused" if str(error).startswith(str(path)) else "no sentence"
        except Exception as error:  # there must be none
            result = f"CRASHED with {type(error).__name__}: {error}"
    return "CODE WAS RUN" if MARK.exists() else result


def use(dim: DIMTransformer) -> str:
    """Transform with what was accepted: it must work, or raise a sentence."""
    try:
        features = dim.transform(np.zeros((3, *X_SHAPE), np.float32))
    except ValueError:
        return "accepted, for other samples"
    return "accepted" if len(features) == 3 else "CRASHED: a wrong number of features"


def largest_memory() -> float:
    """Largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def campaign(n_files: int, seed: int = 0) -> tuple[dict[str, Counter], float]:
    """Load mutated files; count outcomes by mutation, and MiB beyond those of a good file."""
    outcomes: dict[str, Counter] = {mutate.__name__: Counter() for mutate in MUTATIONS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.safetensors"
        good = good_file(path)
        outcome(path)
        before = largest_memory()
        for number in range(n_files):
            mutate = MUTATIONS[number % len(MUTATIONS)]
            path.write_bytes(mutate(good, np.random.default_rng([seed, number])))
            outcomes[mutate.__name__][outcome(path)] += 1
        grown = largest_memory() - before
    return outcomes, grown


def main():
    n_files = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    start = time.perf_counter()
    outcomes, grown = campaign(n_files)
    seconds = time.perf_counter() - start
    for name, counts in outcomes.items():
        print(f"{name:<22} " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    print(f"{n_files} files in {seconds:.0f} s, memory grown by {grown:.0f} MiB")
    bad = sum(n for c in outcomes.values() for what, n in c.items() if what not in OUTCOMES)
    print(f"crashed, ran code, or without a sentence: {bad}")
    sys.exit(1 if bad else 0)


OUTCOMES = ("refused", "accepted", "accepted, for other samples")

if __name__ == "__main__":
    main()
