"""Device and precision of computations, and errors about both."""

import ctypes
import multiprocessing
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

# A forked process has no copies of its parent's threads, and would wait for them forever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}

# Devices as users call them, and torch's names.
DEVICES = {"gpu": "cuda", "nvidia": "cuda", "rocm": "cuda", "metal": "mps", "apple": "mps"}


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device that a ``device`` parameter names; ``"auto"`` is CUDA if there is a GPU.

    With several GPUs, parallel processes (of ``torchrun`` or joblib) use them in turn.

    Raises
    ------
    ValueError
        If the device is unknown to torch or not present.
    """
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        n_gpus = torch.cuda.device_count()
        return (
            torch.device("cuda", process_number() % n_gpus) if n_gpus > 1 else torch.device("cuda")
        )
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()
    except Exception as error:  # whose class depends on the backend
        name, colon, number = str(device).lower().partition(":")
        reason = f": {str(error).splitlines()[0]}"
        if name in DEVICES:
            reason = f". Did you mean {DEVICES[name] + colon + number!r}?"
        raise ValueError(
            "The 'device' parameter must be 'auto' or a device that torch can use here. "
            f"Got {device!r}{reason}"
        ) from None
    return chosen


def process_number() -> int:
    """Return the number, from 0, of this process among parallel processes on this machine."""
    if "LOCAL_RANK" in os.environ:  # set by torchrun
        return int(os.environ["LOCAL_RANK"])
    # Pools number their processes from 1: LokyProcess-2, SpawnPoolWorker-2.
    ending = re.search(r"-(\d+)$", multiprocessing.current_process().name)
    return int(ending[1]) - 1 if ending else 0


def choose_precision(precision: str, device: torch.device, has_large_layers: bool) -> str:
    """Choose ``"float32"`` or ``"bfloat16"``.

    ``"auto"`` is bfloat16 for large layers on processors with instructions for it, and float32
    otherwise. Nothing is timed, so that fits are reproducible.
    """
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16(device) and has_large_layers else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 products."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # Private, but torch has no public function. If an old version lacks them, the answer is no.
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, probe, bool)() for probe in probes)
    return False


# Options of glibc's mallopt: freed memory beyond these limits is returned to the system. USUAL has
# the highest limits to which glibc adapts by itself in a process with large arrays.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
USUAL = {M_TRIM_THRESHOLD: 64 * 2**20, M_MMAP_THRESHOLD: 32 * 2**20}
NEVER = {M_TRIM_THRESHOLD: 2**31 - 1, M_MMAP_THRESHOLD: 2**31 - 1}

_n_active = 0
_active_lock = threading.Lock()


def _renew_lock() -> None:
    """Free the lock in a forked process, which lacks the thread that may hold it."""
    global _active_lock
    _active_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Reuse freed memory inside the ``with`` block; return it to the system after the block.

    Otherwise glibc returns large arrays to the system in every step and gets new ones, which the
    system fills with zeros. This takes up to a third of the time of a step on a CPU. Without glibc,
    nothing is changed.
    """
    global _n_active
    glibc = _glibc() if device.type == "cpu" else None
    if glibc is None:
        yield
        return
    with _active_lock:
        _n_active += 1
        for option, limit in NEVER.items():
            glibc.mallopt(option, limit)
    try:
        yield
    finally:
        with _active_lock:
            _n_active -= 1
            if not _n_active:  # the last of several threads
                for option, limit in USUAL.items():
                    glibc.mallopt(option, limit)
                glibc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


@contextmanager
def memory_advice(device: torch.device, **parameters) -> Iterator[None]:
    """Turn an out-of-memory error into an error that says which parameters to reduce.

    ``parameters`` are those with which the use of memory grows, and their values.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own class is a RuntimeError
        if not _is_out_of_memory(error):
            raise
        reduce = " or ".join(f"{name!r} (now {value})" for name, value in parameters.items())
        elsewhere = "" if device.type == "cpu" else ", or set device='cpu'"
        raise MemoryError(
            f"The memory of device {str(device)!r} is exhausted: reduce {reduce}{elsewhere}. "
            f"{str(error).splitlines()[0] if str(error) else ''}".rstrip()
        ) from error


@contextmanager
def compiler_advice() -> Iterator[None]:
    """Turn an error of torch's compiler into an error that names the parameter."""
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = next(line for line in reversed(str(error).split("\n\n")[0].splitlines()) if line)
        raise RuntimeError(
            "The 'compile' parameter needs an encoder that torch can compile and, on a CPU, a "
            f"compiler for C++. Got: {reason}. Set compile=False to train without."
        ) from error


# A message of torch that contains one of these means that the memory of a CPU is exhausted.
MEMORY_WORDS = ("not enough memory", "can't allocate memory", "Storage size calculation overflowed")


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return any(words in str(error) for words in MEMORY_WORDS)
