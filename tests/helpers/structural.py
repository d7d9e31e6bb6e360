"""Files whose structure was changed at random, with an honest digest, and what their use led to.

    python tests/helpers/structural.py 2000

changes files of transformers, classifiers and detectors and states of checkpoints: values and
arrays are swapped, dropped, repeated, or given another type, shape or number. Each is loaded and
used for all that its kind is for, in another process: a crash is noticed, and so is memory.
"""

import json
import re
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from skdim import DIMClassifier, DIMOutlierDetector, DIMTransformer
from skdim._files.safe import digest
from skdim.exceptions import FileError

TYPES = {
    **{"F16": "<f2", "F32": "<f4", "F64": "<f8", "BOOL": "|b1"},
    **{"I8": "|i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"},
    **{"U8": "|u1", "U16": "<u2", "U32": "<u4", "U64": "<u8"},
}
CODES = {np.dtype(numpy_type): code for code, numpy_type in TYPES.items()}
Parts = tuple[dict, dict[str, np.ndarray]]  # the description, and all arrays

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(40, 6)).astype(np.float32)
IMAGES = RNG.normal(size=(24, 9, 8)).astype(np.float32)
LABELS = np.where(ROWS[:, 0] > 0, "yes", "no")


def take_apart(path: Path) -> Parts:
    """Return the description and the arrays of a file."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, numbers = json.loads(content[8 : 8 + length]), content[8 + length :]
    description = json.loads(header.pop("__metadata__")["skdim"])
    arrays = {}
    for name, entry in header.items():
        values = np.frombuffer(numbers[slice(*entry["data_offsets"])], TYPES[entry["dtype"]])
        arrays[name] = values.reshape(entry["shape"])
    return description, arrays


def put_together(
    path: Path, description: dict | None, arrays: dict[str, np.ndarray], text: str = ""
) -> None:
    """Write a file of any description, or of its text, and of any arrays, with their digest."""
    text = text or json.dumps(description)
    header: dict = {"__metadata__": {"skdim": text, "digest": digest(text, arrays)}}
    start = 0
    for name, array in arrays.items():
        entry = {"dtype": CODES[array.dtype], "shape": list(array.shape)}
        header[name] = {**entry, "data_offsets": [start, start + array.nbytes]}
        start += array.nbytes
    content = json.dumps(header).encode()
    numbers = [np.ascontiguousarray(array).tobytes() for array in arrays.values()]
    path.write_bytes(b"".join([len(content).to_bytes(8, "little"), content, *numbers]))


# ---------------------------------------------------------------- kinds of files


def small(**params) -> DIMTransformer:
    return DIMTransformer(4, **{"max_epochs": 1, "random_state": 0, "device": "cpu", **params})


MLP = {"n_hidden": 16, "width": 8, "n_local_channels": 8}
CONV = {"width": 4, "n_hidden": 8, "max_filters": 4}
EVERY_TERM = {"global_weight": 1.0, "prior_weight": 0.1, "critic_width": 8}
RESUMED = {"encoder_params": MLP, "max_epochs": 3, "early_stopping": True, "prior_weight": 0.1}


def save_rows(path):
    seed = np.random.RandomState(0)
    small(encoder_params=MLP, random_state=seed, **EVERY_TERM).partial_fit(ROWS).save(path)


def save_images(path):
    small(encoder_params=CONV, precision="float32", output="hidden").partial_fit(IMAGES).save(path)


def save_classifier(path):
    dim = small(encoder_params=MLP)
    DIMClassifier(dim, max_epochs=1, random_state=0).fit(ROWS, LABELS).save(path)


def save_detector(path):
    DIMOutlierDetector(small(encoder_params=MLP)).fit(ROWS).save(path)


def save_checkpoint(path):
    with tempfile.TemporaryDirectory() as folder:
        small(checkpoint=folder, **{**RESUMED, "max_epochs": 2}).fit(ROWS)
        (state,) = Path(folder).glob("*/state.safetensors")
        path.write_bytes(state.read_bytes())


def use_transformer(path, X):
    """Yield after loading, yield after every use that needs no training, then train."""
    dim = DIMTransformer.load(path)
    yield
    repr(dim), dim.history_, dim.get_feature_names_out()
    dim.transform(X), dim.score(X), dim.score_terms(X), dim.score_samples(X)
    yield
    limits = {"max_epochs": 1, "max_time": 5, "verbose": 0}
    dim.set_params(**limits).partial_fit(X).transform(X)
    dim.set_params(warm_start=True).fit(X).transform(X)


def use_classifier(path):
    classifier = DIMClassifier.load(path)
    yield
    classifier.predict(ROWS), classifier.decision_function(ROWS), repr(classifier)
    yield
    classifier.set_params(max_epochs=1).fit(ROWS, LABELS).predict(ROWS)


def use_detector(path):
    detector = DIMOutlierDetector.load(path)
    yield
    detector.predict(ROWS), detector.decision_function(ROWS), repr(detector)
    yield
    detector.fit(ROWS).predict(ROWS)


@cache
def place_of_checkpoint() -> Path:
    """Return where the fit that `use_checkpoint` resumes keeps its state, below any folder."""
    with tempfile.TemporaryDirectory() as folder:
        small(checkpoint=folder, **{**RESUMED, "max_epochs": 1}).fit(ROWS)
        (state,) = Path(folder).glob("*/state.safetensors")
        return state.relative_to(folder)


def use_checkpoint(path):
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / place_of_checkpoint()
        state.parent.mkdir()
        state.write_bytes(path.read_bytes())
        yield
        yield
        small(checkpoint=folder, **{**RESUMED, "max_epochs": 1}).fit(ROWS).transform(ROWS)


# By name: a function that writes a good file, and one that uses any.
KINDS: dict[str, tuple[Callable, Callable]] = {
    "rows": (save_rows, lambda path: use_transformer(path, ROWS)),
    "images": (save_images, lambda path: use_transformer(path, IMAGES)),
    "classifier": (save_classifier, use_classifier),
    "detector": (save_detector, use_detector),
    "checkpoint": (save_checkpoint, use_checkpoint),
}

# ---------------------------------------------------------------- changes

NUMBERS = [0, 1, -1, 2, 7, 624, 1000, 10**6, 2**31, 10**9, 10**12, 2**63, 2**64, 10**30, -(2**63)]
FRACTIONS = [0.5, -2.5, 1e-30, 1e30, 1e308, {"float": "nan"}, {"float": "inf"}, {"float": "-inf"}]
OTHERS = [None, True, False, "", "auto", "mlp", "concat", "x" * 100, [], {}, [[]], {"tuple": []}]
OTHERS += [{"dict": []}, {"dict": [["a", 1]]}, {"names": ["a"]}, {"custom": True}, {"array": "x"}]


def choose(rng, values):
    values = list(values)
    return values[rng.integers(len(values))]


def slots(value) -> list[tuple]:
    """All places in nested JSON, as pairs of a container and a key."""
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else range(len(value))
    return [slot for key in keys for slot in [(value, key), *slots(value[key])]]


def a_slot(description, rng) -> tuple:
    """A random place; half of them are leaves."""
    places = slots(description["state"])
    leaves = [(parent, key) for parent, key in places if not isinstance(parent[key], dict | list)]
    return choose(rng, leaves if leaves and rng.integers(2) else places)


def change_value(description, arrays, rng):
    parent, key = a_slot(description, rng)
    parent[key] = choose(rng, [NUMBERS, FRACTIONS, OTHERS][rng.integers(3)])


def change_number(description, arrays, rng):
    places = slots(description["state"])
    numbers = [(p, k) for p, k in places if type(p[k]) in (int, float)]
    parent, key = choose(rng, numbers)
    parent[key] = choose(rng, NUMBERS + FRACTIONS)


def swap_values(description, arrays, rng):
    (p, k), (q, m) = a_slot(description, rng), a_slot(description, rng)
    a, b = json.dumps(p[k]), json.dumps(q[m])
    p[k], q[m] = json.loads(b), json.loads(a)


def copy_value(description, arrays, rng):
    (p, k), (q, m) = a_slot(description, rng), a_slot(description, rng)
    q[m] = json.loads(json.dumps(p[k]))


def drop_value(description, arrays, rng):
    parent, key = a_slot(description, rng)
    del parent[key]


def repeat_value(description, arrays, rng):
    lists = [(p, k) for p, k in slots(description["state"]) if isinstance(p, list)]
    parent, key = choose(rng, lists)
    parent[key:key] = [json.loads(json.dumps(parent[key]))] * choose(rng, [1, 2, 1000])


def swap_arrays(description, arrays, rng):
    first, second = choose(rng, arrays), choose(rng, arrays)
    arrays[first], arrays[second] = arrays[second], arrays[first]


def change_shape(description, arrays, rng):
    name = choose(rng, arrays)
    array = arrays[name]
    changed = [
        array.reshape(-1),
        array.reshape(1, *array.shape),
        array.T,
        array.reshape(-1)[:1],
        array.reshape(-1)[: array.size // 2],
        np.concatenate([array.reshape(-1)] * 2),
        np.zeros((0, *array.shape[1:]), array.dtype),
        np.zeros((), array.dtype),
        np.zeros((3, 1000), array.dtype),
    ]
    arrays[name] = np.ascontiguousarray(choose(rng, changed))


def change_type(description, arrays, rng):
    name = choose(rng, arrays)
    with np.errstate(all="ignore"):
        arrays[name] = arrays[name].astype(choose(rng, TYPES.values()))


def change_numbers(description, arrays, rng):
    name = choose(rng, arrays)
    array = arrays[name].copy()
    flat = array.reshape(-1)
    with np.errstate(all="ignore"):
        values = np.array(choose(rng, [0, 1, -1, 1e30, -1e38, np.nan, np.inf, 2**31, 1e-40]))
        if rng.integers(2) or not array.size:
            flat[...] = values.astype(array.dtype)
        else:
            flat[rng.integers(array.size)] = values.astype(array.dtype)
    if not rng.integers(4):
        array = np.frombuffer(rng.bytes(array.nbytes), array.dtype).reshape(array.shape)
        array = array.astype(bool) if array.dtype == bool else array
    arrays[name] = array


def drop_array(description, arrays, rng):
    del arrays[choose(rng, arrays)]


CHANGES = (
    *(change_value, change_number, swap_values, copy_value, drop_value, repeat_value),
    *(swap_arrays, change_shape, change_type, change_numbers, drop_array),
)


def change(good: Parts, rng) -> Parts:
    """Change a copy of a good file, once or a few times."""
    description, arrays = json.loads(json.dumps(good[0])), dict(good[1])
    for _ in range(choose(rng, [1, 1, 1, 2, 3])):
        # An earlier change may have left nothing to change.
        with suppress(IndexError, ValueError, KeyError, TypeError, AttributeError):
            choose(rng, CHANGES)(description, arrays, rng)
    return description, arrays


# ---------------------------------------------------------------- outcomes

# Errors that calls are documented to raise for unfit parameters or samples.
ORDINARY = (ValueError, TypeError, FloatingPointError, MemoryError)

LEGAL = ("refused", "cannot transform", "cannot train", "accepted")


def outcome(use: Callable, path: Path) -> tuple[str, float]:
    """What use of a file led to, and the largest memory before training, in MiB."""
    reset_peak()
    stages, memory = use(path), 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for stage in ("load", "transform", "train"):
            try:
                next(stages, None)
            except FileError:
                return "refused", peak()
            except ORDINARY as error:
                if stage == "load":
                    return f"NOT A FileError but {type(error).__name__}: {error}", peak()
                return f"cannot {stage}", memory or peak()
            except BaseException as error:  # there must be none
                return f"CRASHED with {type(error).__name__}: {error}", peak()
            if stage != "train":
                memory = peak()
    return "accepted", memory


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def work(kinds: list[str], numbers: range, seed: int, log: bool = False) -> None:
    """Use changed files in this process; print a line of JSON before and after each."""
    with tempfile.TemporaryDirectory() as folder:
        goods, memory = {}, {}
        for kind in kinds:
            path = Path(folder) / kind
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                KINDS[kind][0](path)
            goods[kind] = take_apart(path)
            for _ in range(2):
                result, memory[kind] = outcome(KINDS[kind][1], path)
                assert result == "accepted", (kind, result)
        for number in numbers:
            kind = kinds[number % len(kinds)]
            path = Path(folder) / f"changed-{kind}"
            put_together(path, *change(goods[kind], np.random.default_rng([seed, number])))
            print(json.dumps([number, kind, "ended the process", 0]), flush=True)
            signal.alarm(100)
            result, used = outcome(KINDS[kind][1], path)
            signal.alarm(0)
            print(json.dumps([number, kind, result, used / memory[kind]]), flush=True)


def campaign(
    n_files: int, seed: int = 0, kinds: list[str] | None = None
) -> tuple[dict[str, Counter], float, list]:
    """Use changed files in other processes.

    Returns the outcomes by kind, the largest memory as a multiple of that of a good file, and what
    must never happen.
    """
    kinds = kinds or list(KINDS)
    outcomes: dict[str, Counter] = {kind: Counter() for kind in kinds}
    largest, faults, start = 0.0, [], 0
    while start < n_files:
        command = [sys.executable, "-W", "ignore", __file__, "--work", *map(str, (start, n_files))]
        worker = subprocess.run(
            [*command, str(seed), *kinds], stdout=subprocess.PIPE, text=True, check=False
        )
        results = {line[0]: line for line in map(json.loads, worker.stdout.splitlines())}
        if not results:
            raise RuntimeError(f"the worker ended with {worker.returncode}")
        for number, kind, result, ratio in results.values():
            if result == "ended the process":
                result += f" with {worker.returncode}"
            outcomes[kind][result if result in LEGAL else result.split(":")[0]] += 1
            largest = max(largest, ratio)
            if result not in LEGAL or ratio > 2:
                faults.append((number, kind, result, ratio))
        start = max(results) + 1
    return outcomes, largest, faults


def main():
    if sys.argv[1:2] == ["--work"]:
        start, stop, seed = map(int, sys.argv[2:5])
        work(sys.argv[5:], range(start, stop), seed)
        return
    n_files = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    outcomes, largest, faults = campaign(n_files, *map(int, sys.argv[2:3]))
    for kind, counts in outcomes.items():
        print(f"{kind:<12} " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    print(f"{n_files} files; largest memory: {largest:.2f} times that of a good file, at most 2")
    for fault in faults:
        print(*fault)
    print(f"faults: {len(faults)}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
