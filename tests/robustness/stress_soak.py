"""Claim: a process that uses skdim for long does not grow, and opens no connection.

200 fits and 10,000 transforms of five kinds of samples in one process, with files and pickles in
between. In addition, some fits fail on purpose: nan in X, a KeyboardInterrupt from a callback, a
critic that is too large. The process may hold little more data (RLIMIT_DATA) than a first round is
found to need. Two figures must be flat, to 2 MiB in 100 fits: what the allocator has handed out,
and all data that the process has room for (VmData), which includes free memory kept by the
allocator. The growth is that of a line fitted to the second half, in absolute value, plus twice its
standard error. Resident memory lies between the two and jumps by tens of MiB as free pages come and
go, too much for a line through 20 rounds: its growth is printed and not claimed. The numbers of
open files, threads, child processes and temporary files do not change. In another process, every
module is imported and used while every call that opens a connection or asks for an address raises.
For Linux, glibc 2.33.

Command: python -m tests.robustness.stress_soak
n: 200 fits (--fits), 10,000 transforms (--transforms)
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import ctypes
import json
import multiprocessing
import os
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch._dynamo  # noqa: F401  # which the first optimiser of a process imports
from scipy.stats import linregress
from skorch.callbacks import Callback

from benchmarks.common import ROOT, argument_parser, save, verdict
from skdim import Checkpoint, DIMTransformer

MIB = 2**20

STATES = Checkpoint("states", resume=False)

# The shape of a sample, and parameters. Every round fits all kinds, so that memory can be compared
# between rounds. Wide layers and large batches of volumes would take seconds.
KINDS: dict[str, tuple[tuple[int, ...], dict]] = {
    "rows": ((12,), {"batch_size": 16, "checkpoint": STATES}),
    "signals": ((48,), {"batch_size": 64, "channel_axis": None, "early_stopping": True}),
    "grey images": ((8, 8), {"batch_size": 32, "weight_averaging": 0.5, "checkpoint": STATES}),
    "colour images": (
        (12, 12, 3),
        {"batch_size": 96, "prior_weight": 0.1, "encoder_params": {"width": 16}},
    ),
    "volumes": (
        (8, 8, 8),
        {
            "batch_size": 24,
            "channel_axis": None,
            "encoder_params": {"width": 16},
            "transform_batch_size": 16,
        },
    ),
}
N_SAMPLES = 96

# Data that the process may hold in addition to what a round needs.
SPARE = 256 * MIB
NEED_STEP = 64 * MIB

LARGEST_GROWTH = 2.0  # MiB in 100 fits
CLAIMED = {"in_use": "memory handed out", "data": "room for data"}
FEWEST_ROUNDS = 10


# ---------------------------------------------------------------- the work


class Interrupt(Callback):
    """Raise what Ctrl-C in the second epoch would."""

    def on_batch_begin(self, net, **kwargs):
        """Raise it."""
        if net.n_whole_epochs == 1:
            raise KeyboardInterrupt


def samples(kind: str, seed: int) -> np.ndarray:
    shape, _ = KINDS[kind]
    return np.random.default_rng(seed).normal(size=(N_SAMPLES, *shape)).astype(np.float32)


def transformer(kind: str, seed: int, **params) -> DIMTransformer:
    """Return an unfitted transformer of one kind."""
    settings = {"max_epochs": 2, "random_state": seed, "device": "cpu", **KINDS[kind][1], **params}
    return DIMTransformer(8, **settings)


def work(seed: int, n_transforms: int) -> Counter:
    """One round: fit each kind, save and load it, pickle it, transform."""
    done: Counter = Counter()
    for kind in KINDS:
        X = samples(kind, seed)
        dim = transformer(kind, seed).fit(X)
        expected = dim.transform(X)
        dim.save("dim.safetensors")
        loaded = pickle.loads(pickle.dumps(DIMTransformer.load("dim.safetensors")))
        chance = np.random.default_rng(seed)
        for _ in range(n_transforms):
            part = slice(0, chance.integers(1, 32))
            done["transforms"] += 1
            done["wrong features"] += not np.array_equal(loaded.transform(X[part]), expected[part])
        done["fits"] += 1
    shutil.rmtree("states")
    return done


def fail(seed: int) -> Counter:
    """Three fits that fail."""
    X = samples("signals", seed)
    spoiled = X.copy()
    spoiled[3] = np.nan
    failing = {
        "nan in X": (spoiled, {}, ValueError),
        "interrupted": (X, {"callbacks": [Interrupt()]}, KeyboardInterrupt),
        "too large": (X, {"critic_width": 2**14}, MemoryError),
    }
    done: Counter = Counter()
    for name, (given, params, expected) in failing.items():
        try:
            transformer("signals", seed, **params).fit(given)
        except expected:
            done[name] += 1
    return done


# ---------------------------------------------------------------- what the system says


class Holdings(NamedTuple):
    """What this process holds."""

    resident: float  # MiB
    in_use: float  # MiB, handed out by the allocator and not freed
    data: float  # MiB, which RLIMIT_DATA counts
    files: int
    threads: int
    children: int
    temporary: int


def holdings(temporary: Path) -> Holdings:
    """Read them from the system."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    resident, data = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmData"))
    files = len(os.listdir("/proc/self/fd"))
    return Holdings(
        resident,
        _in_use() / MIB,
        data,
        files,
        int(status["Threads"]),
        _n_children(),
        len(os.listdir(temporary)),
    )


class _Heap(ctypes.Structure):
    """What glibc's mallinfo2 returns."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _in_use() -> int:
    """Return the bytes that the allocator has handed out, from heaps and as mappings."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Heap
    heap = mallinfo()
    return heap.uordblks + heap.hblkhd


def _n_children() -> int:
    n_children = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        n_children += int(after_name[1]) == os.getpid()
    return n_children


# ---------------------------------------------------------------- memory pressure


def data_needed() -> int:
    """Return the bytes of data that a round needs, to `NEED_STEP`.

    Each limit is tried by a copy of this process, which has computed nothing yet.
    """
    low, high = 0, 32  # steps above what imports took
    start = int(holdings(Path.cwd()).data) * MIB
    if not _can_work(start + high * NEED_STEP):
        sys.exit(f"A round cannot be done within {high * NEED_STEP / MIB:.0f} MiB of data.")
    while high - low > 1:
        middle = (low + high) // 2
        if _can_work(start + middle * NEED_STEP):
            high = middle
        else:
            low = middle
    return start + high * NEED_STEP


def _can_work(n_bytes: int) -> bool:
    process = multiprocessing.get_context("fork").Process(target=_work_within, args=(n_bytes,))
    process.start()
    process.join()
    return process.exitcode == 0


def _work_within(n_bytes: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # errors under limits that are too low
    limit_data(n_bytes)
    for seed in range(3):
        work(seed, 2)


def limit_data(n_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, hard))


# ---------------------------------------------------------------- no network

NO_NETWORK = """
import importlib, json, pickle, pkgutil, socket, sys
REFUSED = {
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr",
    "socket.sendto", "socket.sendmsg", "urllib.Request",
}
attempts = []

def refuse(event, arguments):
    if event in REFUSED:
        attempts.append(event)
        raise OSError(event)

sys.addaudithook(refuse)
for attempt in (
    lambda: socket.socket().connect(("127.0.0.1", 9)),
    lambda: socket.getaddrinfo("localhost", 80),
):
    try:
        attempt()
    except OSError:
        pass
noticed, attempts = list(attempts), []

import skdim
modules = [module.name for module in pkgutil.walk_packages(skdim.__path__, "skdim.")]
for name in modules:
    importlib.import_module(name)

import numpy as np
for shape in [(12,), (8, 8), (12, 12, 3)]:
    X = np.random.default_rng(0).normal(size=(64, *shape)).astype(np.float32)
    dim = skdim.DIMTransformer(8, max_epochs=1, checkpoint="states").fit(X)
    dim.save("quiet.safetensors")
    again = pickle.loads(pickle.dumps(skdim.DIMTransformer.load("quiet.safetensors")))
    assert np.array_equal(again.transform(X), dim.transform(X))
    dim.score(X)
print(json.dumps({"noticed": noticed, "modules": len(modules), "attempts": attempts}))
"""


def without_network() -> dict:
    """Use skdim in a process where connections raise; return what was tried there."""
    command = [sys.executable, "-W", "ignore", "-c", NO_NETWORK]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        return {"error": result.stderr.strip().splitlines()[-1]}
    return json.loads(result.stdout)


# ---------------------------------------------------------------- the report


def soak(n_rounds: int, n_transforms: int, temporary: Path) -> tuple[list[Holdings], Counter]:
    """Do all rounds; return what the process held after each, and counts of what was done."""
    done: Counter = Counter()
    after = []
    print(f"{'fits':>5} {'transforms':>10} {'failed':>6} " + " ".join(Holdings._fields))
    for number in range(n_rounds):
        done.update(work(number, n_transforms))
        done.update(fail(number))
        after.append(holdings(temporary))
        if number % 4 == 3 or number == n_rounds - 1:
            n_failed = done["nan in X"] + done["interrupted"] + done["too large"]
            cells = " ".join(
                f"{value:{len(name)}.0f}" for name, value in after[-1]._asdict().items()
            )
            print(f"{done['fits']:>5} {done['transforms']:>10} {n_failed:>6} {cells}", flush=True)
    return after, done


def growth(after: list[Holdings], name: str) -> tuple[float, float]:
    """Return the MiB in 100 fits, over the second half, and their standard error."""
    half = after[len(after) // 2 :]
    values = [getattr(held, name) for held in half]
    if len(set(values)) == 1:  # the error of a line through constants is not defined
        return 0.0, 0.0
    n_fits = len(KINDS) * np.arange(len(half))
    mib_per_fit, _, _, _, error = linregress(n_fits, values)
    return 100 * mib_per_fit, 100 * error


def claims_on_soak(after: list[Holdings], done: Counter) -> dict[str, bool]:
    claims = {
        f"{done['wrong features']} of {done['transforms']} transforms gave other features, none": (
            done["wrong features"] == 0
        ),
    }
    for name, what in CLAIMED.items():
        grown, error = growth(after, name)
        text = f"{what} grows {grown:.3f} +- {error:.3f} MiB in 100 fits, within {LARGEST_GROWTH:g}"
        claims[text] = abs(grown) + 2 * error < LARGEST_GROWTH
    for name in ("nan in X", "interrupted", "too large"):
        text = f"{name}: {done[name]} of {len(after)} fits raised what they should, all"
        claims[text] = done[name] == len(after)
    for name in ("files", "threads", "children", "temporary"):
        held = [getattr(h, name) for h in after]
        claims[f"{name}: {held[0]} after the first round, {max(held)} at most"] = (
            max(held) == held[0]
        )
    claims["no child processes"] = after[-1].children == 0
    return claims


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--fits", type=int, default=200)
    parser.add_argument("--transforms", type=int, default=10_000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # short fits do not converge
    n_rounds = -(-arguments.fits // len(KINDS))
    if n_rounds < FEWEST_ROUNDS:
        parser.error(f"a line needs {FEWEST_ROUNDS * len(KINDS)} fits at least")
    n_transforms = -(-arguments.transforms // (n_rounds * len(KINDS)))
    with tempfile.TemporaryDirectory() as files, tempfile.TemporaryDirectory() as name:
        os.chdir(files)
        tempfile.tempdir = name
        network = without_network()
        print("without network:", network, flush=True)
        needed = data_needed()
        limit_data(needed + SPARE)
        print(
            f"data: a round needs {needed / MIB:.0f} MiB; the limit is {(needed + SPARE) / MIB:.0f}"
        )
        start = time.perf_counter()
        after, done = soak(n_rounds, n_transforms, Path(name))
        seconds = time.perf_counter() - start
        os.chdir(ROOT)
    grown = {name: growth(after, name) for name in ("resident", *CLAIMED)}
    resident, error = grown["resident"]
    print(f"{seconds:.0f} s; resident grows {resident:.1f} +- {error:.1f} MiB in 100 fits")
    save(
        "soak",
        {
            "network": network,
            "needed": needed,
            "limit": needed + SPARE,
            "seconds": seconds,
            "done": done,
            "growth": grown,
            "rounds": [held._asdict() for held in after],
        },
    )
    tried = "error" not in network
    verdict(
        {
            **claims_on_soak(after, done),
            f"{network.get('modules')} modules imported and used without network": tried,
            f"connections tried: {network.get('attempts')}": tried and not network["attempts"],
            "a connection would have been noticed": tried and len(network["noticed"]) == 2,
        }
    )


if __name__ == "__main__":
    main()
