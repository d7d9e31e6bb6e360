"""Where to compute and how precisely, decided by what the machine reports."""

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

# A forked process has its parent's threads in name only, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """Widen what was computed in half precision; doubles stay doubles."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device that the ``device`` parameter means: ``"auto"`` is CUDA, else the CPU.

    Processes that work side by side (of ``torchrun``, of joblib) get a GPU each, in turn.

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
    except Exception as error:
        # torch raises another class for every backend; all of them mean this.
        raise ValueError(
            "The 'device' parameter must be 'auto' or a device that torch can use here. "
            f"Got {device!r}: {str(error).splitlines()[0]}"
        ) from None
    return chosen


def process_number() -> int:
    """Return the number of this process among those that work side by side on a machine, from 0."""
    if "LOCAL_RANK" in os.environ:  # of torchrun
        return int(os.environ["LOCAL_RANK"])
    # Pools number their processes from 1: LokyProcess-2, SpawnPoolWorker-2.
    ending = re.search(r"-(\d+)$", multiprocessing.current_process().name)
    return int(ending[1]) - 1 if ending else 0


def choose_precision(precision: str, device: torch.device, n_axes: int) -> str:
    """Return ``"float32"`` or ``"bfloat16"``.

    ``"auto"`` asks the processor, not a clock, so that fits repeat: bfloat16 for convolutions on
    processors that multiply it natively, float32 on all others and for the small layers of rows.
    """
    if precision != "auto":
        return precision
    is_fast = has_bfloat16(device) and n_axes > 1
    return "bfloat16" if is_fast else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # Private, but the only way torch offers; absent in old versions, which means no.
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, probe, bool)() for probe in probes)
    return False


# Of glibc's mallopt: freed memory beyond these goes back to the system. The first pair is what it
# adapts to by itself, at most, in a process that works with large arrays.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
USUAL = {M_TRIM_THRESHOLD: 64 * 2**20, M_MMAP_THRESHOLD: 32 * 2**20}
NEVER = {M_TRIM_THRESHOLD: 2**31 - 1, M_MMAP_THRESHOLD: 2**31 - 1}

_keepers = 0
_keepers_lock = threading.Lock()


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Keep what one step frees for the next, inside the block; give it back to the system after.

    Otherwise glibc maps large layers anew in every step, and the system fills them with zeros page
    by page: up to a third of the time of a step on a CPU. Other libraries are left alone.
    """
    global _keepers
    glibc = _glibc() if device.type == "cpu" else None
    if glibc is None:
        yield
        return
    with _keepers_lock:
        _keepers += 1
        for option, limit in NEVER.items():
            glibc.mallopt(option, limit)
    try:
        yield
    finally:
        with _keepers_lock:
            _keepers -= 1
            if not _keepers:  # the last of fits in several threads
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
    """Turn "out of memory" into a sentence that says what to reduce.

    Parameters
    ----------
    device : torch.device
    **parameters
        Those that memory grows with, and their values.
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
    """Turn what torch's compiler has to say into a sentence that names the parameter."""
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


# How torch says of a CPU that there is too little, or can never be enough.
MEMORY_WORDS = ("not enough memory", "can't allocate memory", "Storage size calculation overflowed")


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return any(words in str(error) for words in MEMORY_WORDS)
