"""Claim: a fit that is killed loses no more epochs than agreed, and ends as if it had not been.

Fits with checkpoints are killed (kill -9) at random moments, every second one while a temporary
file of its state is on disk, and resumed until they end. No state is damaged, no more epochs are
lost than ``Checkpoint.every_epochs``, features and losses are bit-equal to those of a fit that was
not killed, and no other file is left beside the state. A file that `save` replaces is the old one
or the new one. On a full disk and in a folder that cannot be written to, errors say so in a
sentence, and no existing file is damaged. Processes are killed; power failures are not tested. For
Linux.

Command: python -m tests.robustness.stress_reliability
n: 200 kills in fit (--kills), 100 in save
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import ctypes
import itertools
import multiprocessing
import os
import resource
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch._dynamo  # noqa: F401  # the first optimiser of a process imports it, in seconds
from sklearn.datasets import load_digits

from benchmarks.common import argument_parser, save, verdict
from skdim import Checkpoint, DIMTransformer
from skdim._files.safe import read
from skdim._training.checkpoint import FILE
from skdim._training.net import DIMNet
from skdim.exceptions import FileError

IMAGES = load_digits().images[:256].astype(np.float32)
ROWS = IMAGES.reshape(-1, 64)
GROUPS = np.arange(256) // 4
N_EPOCHS = 6
OUTPUTS = ("components", "hidden", "code")


class Variant(NamedTuple):
    """What is fitted, and how often its state is written."""

    params: dict = {}
    X: np.ndarray = IMAGES
    groups: np.ndarray | None = None
    every_epochs: int = 1


VARIANTS = {
    "images": Variant(),
    "every third epoch": Variant(every_epochs=3),
    "prior and global": Variant({"prior_weight": 0.1, "global_weight": 0.5}),
    "early stopping": Variant({"early_stopping": True, "n_iter_no_change": 2}),
    "stopping, every third": Variant({"early_stopping": True}, every_epochs=3),
    "averaged": Variant({"weight_averaging": 0.7}),
    "rows with groups": Variant(X=ROWS, groups=GROUPS),
    "random_state=None": Variant({"random_state": None}),
}

# Processes are copies of this one, which has imported everything and computed nothing.
FORK = multiprocessing.get_context("fork")

# A process is killed within this time after a temporary file is seen, which exists for some 20 ms.
WRITING_SECONDS = 0.02

NOBODY = 65534


# ---------------------------------------------------------------- work of other processes


def start(work: Callable, *arguments) -> Any:
    """Return a new process that does some work."""
    process = FORK.Process(target=work, args=arguments)
    process.start()
    return process


def transformer(name: str, states: Path | None, **params) -> DIMTransformer:
    """Return the transformer of a variant; without a folder for states, it has no checkpoints."""
    variant = VARIANTS[name]
    settings = {"max_epochs": N_EPOCHS, "batch_size": 64, "random_state": 0, "device": "cpu"}
    checkpoint = None if states is None else Checkpoint(states, variant.every_epochs)
    return DIMTransformer(8, **{**settings, **variant.params, "checkpoint": checkpoint, **params})


def learn(name: str, states: Path | None, out: Path, before_epoch: Callable, **params) -> None:
    """Fit, and write features and losses to a file."""
    X, groups = VARIANTS[name].X, VARIANTS[name].groups
    tell_epochs(before_epoch)
    dim = transformer(name, states, **params).fit(X, groups=groups)
    learned = {output: dim.set_params(output=output).transform(X) for output in OUTPUTS}
    losses = [epoch["loss"] for epoch in dim.history_]
    np.savez(out, losses=losses, best_epoch=getattr(dim, "best_epoch_", 0), **learned)


def tell_epochs(before_epoch: Callable[[int], Any]) -> None:
    """Call a function before each epoch, in this process; with callbacks, fit does not resume."""
    run_epoch = DIMNet.run_single_epoch

    def telling(net, iterator, *args, **kwargs):
        if iterator is not None:
            before_epoch(net.n_whole_epochs + 1)
        return run_epoch(net, iterator, *args, **kwargs)

    DIMNet.run_single_epoch = telling


def note(begun: Any, epoch: int) -> None:
    """Tell the main process which epoch begins."""
    begun.value = epoch


def at_epoch(number: int, act: Callable[[], Any], epoch: int) -> None:
    """Act before one epoch."""
    if epoch == number:
        act()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def save_until_killed(files: list[Path], path: Path, ready: Any) -> None:
    """Replace a file by the others in turn, until killed."""
    dims = [DIMTransformer.load(file) for file in files]
    ready.value = 1
    for dim in itertools.cycle(dims):
        dim.save(path)


def save_two(files: list[Path]) -> None:
    """Fit two different transformers, and save each."""
    for n_epochs, file in enumerate(files, start=1):
        transformer("images", None, max_epochs=n_epochs).fit(IMAGES).save(file)


def tell_error(queue: Any, work: Callable, *arguments) -> None:
    """Put the message of an error into a queue."""
    try:
        work(*arguments)
    except (OSError, ValueError) as error:
        queue.put(f"{type(error).__name__}: {error}")


# ---------------------------------------------------------------- files that are left


class Found(NamedTuple):
    """The state that a process left."""

    losses: list[float] = []
    seed: int | None = None
    is_last: bool = False
    is_torn: bool = False

    @property
    def epoch(self) -> int:
        """Epochs that need not be repeated."""
        return len(self.losses)


def find(states: Path) -> Found:
    """Read the only state in a folder; if there is none, return one of no epochs."""
    paths = list(states.glob(f"*/{FILE}"))
    if not paths:
        return Found()
    (path,) = paths
    try:
        state = read(path, {}, kind="checkpoint")
    except FileError:
        return Found(is_torn=True)
    net = state["net"]
    losses = [epoch["loss"] for epoch in net["epochs"]]
    return Found(losses, state["seed"], len(losses) == N_EPOCHS or net["is_stopping"])


def temporary_files(folder: Path, pattern: str = f"*/.{FILE}.*") -> set[Path]:
    """Return the temporary files that have not replaced another."""
    return set(folder.glob(pattern))


def left_over(states: Path) -> int:
    """Count the files that a fit should not leave."""
    return sum(path.name not in ("lock", FILE) for path in states.glob("*/*"))


def learned(out: Path) -> dict[str, np.ndarray]:
    with np.load(out) as arrays:
        return dict(arrays)


def is_equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    """Whether two fits are equal to the last bit."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


# ---------------------------------------------------------------- kills in fit


class Shot(NamedTuple):
    """One kill, and the state after it."""

    where: str  # "start, end", "training", "writing"
    found: Found
    n_lost: int  # epochs begun, or complete before, minus those of the state
    resumed: bool  # whether the process had resumed from a state


def fit_undisturbed(name: str, out: Path, **params) -> tuple[dict[str, np.ndarray], float]:
    """Return what a fit learns that is not killed, and its seconds."""
    start_time = time.perf_counter()
    process = start(partial(learn, name, None, out, do_nothing, **params))
    process.join()
    return learned(out), time.perf_counter() - start_time


def do_nothing(*arguments) -> None:
    pass


def kill(process: Any, seconds: float, states: Path, delay: float | None) -> bool:
    """Kill a process after some seconds, or a delay after the next temporary file is seen.

    Returns False if it ended before.
    """
    process.join(seconds)
    if delay is not None:
        old = temporary_files(states)
        while process.is_alive() and temporary_files(states) <= old:
            time.sleep(1e-4)
        time.sleep(delay)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def fit_killed(
    name: str, states: Path, out: Path, seconds: float, n_kills: int, chance: np.random.Generator
) -> tuple[list[Shot], bool]:
    """Fit, kill and resume until the fit ends; after the last kill it runs undisturbed.

    Returns all kills, and whether the fit ended without an error.
    """
    shots: list[Shot] = []
    before = Found()
    while True:
        begun = FORK.RawValue(ctypes.c_int, 0)
        old_files = temporary_files(states)
        process = start(learn, name, states, out, partial(note, begun))
        delay = chance.uniform(0, WRITING_SECONDS) if len(shots) % 2 else None
        if len(shots) == n_kills or not kill(process, chance.uniform(0, seconds), states, delay):
            process.join()
            return shots, process.exitcode == 0
        found = find(states)
        if temporary_files(states) - old_files:
            where = "writing"
        elif begun.value and not found.is_last:
            where = "training"
        else:
            where = "start, end"
        n_lost = max(begun.value, before.epoch) - found.epoch
        shots.append(Shot(where, found, n_lost, resumed=before.epoch > 0 and begun.value > 0))
        if found.is_torn:
            return shots, False
        before = found


def kills_in_fit(name: str, n_kills: int, folder: Path, chance: np.random.Generator) -> dict:
    """Kill fits of a variant; return the row of the table."""
    out = folder / "learned.npz"
    fit_undisturbed(name, out)  # not timed: files may have to be read first
    expected, seconds = fit_undisturbed(name, out)
    every_shot: list[Shot] = []
    fits = {"fits": 0, "killed": 0, "ended": 0, "bit-equal": 0, "left over": 0}
    n_resumed = 0
    while len(every_shot) < n_kills:
        fits["fits"] += 1
        states = folder / f"{name} {fits['fits']}"
        out.unlink(missing_ok=True)
        shots, has_ended = fit_killed(name, states, out, seconds, n_kills - len(every_shot), chance)
        every_shot += shots
        fits["killed"] += bool(shots)
        n_resumed += sum(shot.resumed for shot in shots) + bool(shots and shots[-1].found.epoch)
        if not has_ended:
            continue
        last, result = find(states), learned(out)
        if VARIANTS[name].params.get("random_state", 0) is None:
            expected, _ = fit_undisturbed(name, out, random_state=Fixed(last.seed))
        found = [shot.found for shot in shots if shot.found.epoch]
        continues = all(
            state.seed == last.seed and state.losses == last.losses[: state.epoch]
            for state in found
        )
        fits["ended"] += 1
        fits["bit-equal"] += continues and is_equal(result, expected)
        fits["left over"] += left_over(states)
    where = [shot.where for shot in every_shot]
    return {
        "variant": name,
        "kills": len(every_shot),
        **{moment: where.count(moment) for moment in ("start, end", "training", "writing")},
        "resumed": n_resumed,
        **fits,
        "most lost": max(shot.n_lost for shot in every_shot),
        "allowed": VARIANTS[name].every_epochs,
        "torn": sum(shot.found.is_torn for shot in every_shot),
    }


class Fixed(np.random.RandomState):
    """A random state that always gives the same seed."""

    def __init__(self, seed: int):
        super().__init__(0)
        self.next_seed = seed

    def randint(self, *args, **kwargs):
        """Return the seed."""
        return self.next_seed


# ---------------------------------------------------------------- kills in save


def kills_in_save(n_kills: int, folder: Path, chance: np.random.Generator) -> dict:
    """Kill processes that replace one file by another; return what the file was afterwards."""
    files = [folder / "old.safetensors", folder / "new.safetensors"]
    path = folder / "dim.safetensors"
    start(save_two, files).join()
    path.write_bytes(files[0].read_bytes())
    row = {"kills": n_kills, "writing": 0, "old": 0, "new": 0, "torn": 0}
    for _ in range(n_kills):
        ready = FORK.RawValue(ctypes.c_int, 0)
        process = start(save_until_killed, files[::-1], path, ready)
        while not ready.value and process.is_alive():
            time.sleep(1e-3)
        kill(process, chance.uniform(0, 0.1), folder, None)
        for temporary in temporary_files(folder, f".{path.name}.*"):
            row["writing"] += 1
            temporary.unlink()
        row[which(path)] += 1
    return row


def which(path: Path) -> str:
    """Tell two files apart by their epochs; reading checks the digest of a file."""
    try:
        return {1: "old", 2: "new"}[read(path, {}, kind="transformer")["model"]["n_iter"]]
    except FileError:
        return "torn"


# ---------------------------------------------------------------- disks


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """A small disk of its own, in memory."""
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=64m", "none", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def can_mount(folder: Path) -> bool:
    """Whether this user may mount disks here."""
    try:
        with disk(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        folder.rmdir()


# Each yields a function that the writing process calls first, and cleans up after it.


@contextmanager
def limit_of_files(folder: Path) -> Iterator[Callable]:
    yield forbid_large_files


def forbid_large_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))


@contextmanager
def full_disk(folder: Path) -> Iterator[Callable]:
    yield partial(fill, folder / "filler")
    (folder / "filler").unlink()


def fill(path: Path) -> None:
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(2**20))
        except OSError:
            return


@contextmanager
def read_only_disk(folder: Path) -> Iterator[Callable]:
    mount("-o", "remount,ro", str(folder))
    yield do_nothing
    mount("-o", "remount,rw", str(folder))


@contextmanager
def folder_of_another(folder: Path) -> Iterator[Callable]:
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    yield become_nobody
    for path in folders:
        path.chmod(0o755)


def become_nobody() -> None:
    """Permissions do not hold for root."""
    if os.geteuid() == 0:
        os.setuid(NOBODY)


# Name: the trouble, whether it needs a disk, the epoch before which it begins (0: before the fit).
TROUBLES: dict[str, tuple[Callable, bool, int]] = {
    "file size limit, in training": (limit_of_files, False, 4),
    "full disk, in training": (full_disk, True, 4),
    "full disk, from the start": (full_disk, True, 0),
    "read-only disk, from the start": (read_only_disk, True, 0),
    "another's folder, in training": (folder_of_another, False, 4),
    "another's folder, from the start": (folder_of_another, False, 0),
}


def in_trouble(name: str, folder: Path, expected: dict[str, np.ndarray]) -> dict:
    """Resume a fit in trouble, and again without; then save in the same trouble."""
    trouble, _, number = TROUBLES[name]
    states, queue, out = folder / "states", FORK.SimpleQueue(), folder.parent / "learned.npz"
    start(learn, "images", states, out, partial(at_epoch, 3, die)).join()
    with trouble(folder) as act:
        if number:
            work = partial(learn, "images", states, out, partial(at_epoch, number, act))
        else:
            work = partial(first, act, partial(learn, "images", states, out, do_nothing))
        start(tell_error, queue, work).join()
        message = None if queue.empty() else queue.get()
    found, n_left = find(states), left_over(states)
    out.unlink(missing_ok=True)
    start(learn, "images", states, out, do_nothing).join()
    return {
        "trouble": name,
        "fit says": message,
        "state of epoch": found.epoch,
        "expected": max(number - 1, 2),
        "left over": n_left,
        "bit-equal": out.exists() and is_equal(learned(out), expected),
        **saved_in_trouble(trouble, folder),
    }


def saved_in_trouble(trouble: Callable, folder: Path) -> dict:
    """Try to replace a file in trouble."""
    old, new = (folder.parent / name for name in ("old.safetensors", "new.safetensors"))
    path, queue = folder / "dim.safetensors", FORK.SimpleQueue()
    path.write_bytes(old.read_bytes())
    dim_of_new = partial(DIMTransformer.load, new)
    with trouble(folder) as act:
        start(tell_error, queue, save_after, act, dim_of_new, path).join()
    return {
        "save says": None if queue.empty() else queue.get(),
        "old file whole": path.read_bytes() == old.read_bytes(),
        "temporary files of save": len(temporary_files(folder, f".{path.name}.*")),
    }


def first(act: Callable, work: Callable) -> None:
    act()
    work()


def save_after(act: Callable, load: Callable, path: Path) -> None:
    """Load while files can be read, then act, then save."""
    dim = load()
    act()
    dim.save(path)


def troubles(folder: Path) -> list[dict]:
    """Try every trouble in turn; those that need a disk, where one can be mounted."""
    expected, _ = fit_undisturbed("images", folder / "learned.npz")
    has_disks = can_mount(folder / "disk")
    rows = []
    for i, (name, (_, needs_disk, _)) in enumerate(TROUBLES.items()):
        if needs_disk and not has_disks:
            rows.append({"trouble": name, "fit says": "not tried here: mounting is not allowed"})
            continue
        subfolder = folder / f"trouble {i}"
        with disk(subfolder) if needs_disk else nullcontext(subfolder.mkdir()):
            rows.append(in_trouble(name, subfolder, expected))
    return rows


# ---------------------------------------------------------------- the report


def print_table(rows: list[dict]) -> None:
    """Print rows in columns as wide as their widest cell."""
    lines = [list(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        print("  ".join([line[0].ljust(widths[0]), *cells]))


def claims_on_fits(rows: list[dict]) -> dict[str, bool]:
    total = {name: sum(row[name] for row in rows) for name in rows[0] if name != "variant"}
    hits = f"{total['training']} in training, {total['writing']} while writing"
    return {
        f"{total['kills']} kills in fit: {hits}, some of each": (
            total["training"] > 0 and total["writing"] > 0
        ),
        f"{total['torn']} torn states, none": total["torn"] == 0,
        f"{total['bit-equal']} of {total['fits']} fits, {total['killed']} of them killed, ended "
        "bit-equal, all": total["bit-equal"] == total["fits"],
        "no kill lost more epochs than 'every_epochs'": all(
            row["most lost"] <= row["allowed"] for row in rows
        ),
        f"{total['left over']} files left over after fits that ended, none": (
            total["left over"] == 0
        ),
    }


def claims_on_saves(row: dict) -> dict[str, bool]:
    hits = f"{row['kills']} kills in save, {row['writing']} while writing, some"
    return {hits: row["writing"] > 0, f"{row['torn']} torn files, none": row["torn"] == 0}


SENTENCES = ("could not be written", "must name a folder that can be written to")


def claims_on_troubles(rows: list[dict]) -> dict[str, bool]:
    tried = [row for row in rows if "expected" in row]
    return {
        f"{len(tried)} kinds of trouble with a disk: fit says each in a sentence": all(
            any(words in str(row["fit says"]) for words in SENTENCES) for row in tried
        ),
        "the earlier state is whole, and nothing beside it": all(
            row["state of epoch"] == row["expected"] and not row["left over"] for row in tried
        ),
        "the fit ends bit-equal when the trouble is over": all(row["bit-equal"] for row in tried),
        "save raises, leaves the old file whole and no temporary file": all(
            row["save says"] and row["old file whole"] and not row["temporary files of save"]
            for row in tried
        ),
    }


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of fits; half as many of save")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # short fits do not converge
    chance = np.random.default_rng(arguments.seed)
    n_each = -(-arguments.kills // len(VARIANTS))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # so that another user can reach the folder
        fits = []
        for variant in VARIANTS:
            fits.append(kills_in_fit(variant, n_each, folder, chance))
            print(f"{variant}: {n_each} kills", flush=True)
        print_table(fits)
        saves = kills_in_save(-(-arguments.kills // 2), folder, chance)
        print_table([{"": "save", **saves}])
        disks = troubles(folder)
    for row in disks:
        print(row["trouble"])
        for column, value in list(row.items())[1:]:
            print(f"    {column}: {value}")
    save("reliability", {"fits": fits, "save": saves, "disks": disks})
    verdict(
        {
            **claims_on_fits(fits),
            **claims_on_saves(saves),
            **claims_on_troubles(disks),
        }
    )


if __name__ == "__main__":
    main()
