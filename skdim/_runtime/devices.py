"""Device and precision of computations, and errors about both."""

import ctypes
import multiprocessing
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}

# Devices as users call them, and torch's names.
DEVICES = {"gpu": "cuda", "nvidia": "cuda", "rocm": "cuda", "metal": "mps", "apple": "mps"}
# Names of torch, which are lower case.
TORCH_DEVICES = ("cpu", "cuda", "mps", "xpu")


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
        return torch.device("cuda", process_number() % torch.cuda.device_count())
    try:
        probe = torch.zeros(1, device=torch.device(device))
        probe.item()
    except Exception as error:  # whose class depends on the backend
        name, colon, number = str(device).strip().lower().partition(":")
        reason = f": {str(error).splitlines()[0]}"
        name = DEVICES.get(name, name)
        if name in TORCH_DEVICES and name + colon + number != str(device):
            reason = f". Did you mean {name + colon + number!r}?"
        raise ValueError(
            "The 'device' parameter must be 'auto' or a device that torch can use here. "
            f"Got {device!r}{reason}"
        ) from None
    # Its number, if it has one: "cuda" would mean another GPU in a thread that has chosen another.
    return probe.device


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


# A gap in the heap, of pages that take no memory before they are used. It is reserved in blocks
# that are smaller than the smallest size for which glibc asks the system.
GAP_SIZE, BLOCK_SIZE = 2**30, 100 * 2**10
# Numbers in a batch that is worth the gap, which takes some hundredths of a second.
LARGE_BATCH = 2**17


@contextmanager
def freed_memory_kept(device: torch.device, n_numbers: int = LARGE_BATCH) -> Iterator[None]:
    """Reuse freed memory inside the ``with`` block; return it to the system after the block.

    Otherwise glibc returns large arrays to the system in every step and gets new ones, which the
    system fills with zeros. On a CPU, this takes about a tenth of the time of a step for volumes of
    16 voxels, 3 % for grey images of 28 pixels, and nothing measurable for colour images of 32.
    Settings of glibc would belong to the program, and could not be restored. So this makes a gap in
    the heap, under a block that is in use: glibc looks there first, and returns only the end of the
    heap to the system. After the block, a part of the gap may remain under small blocks that are
    still in use. Its pages are returned, but later arrays are put there first. Without glibc, for
    batches of fewer than `LARGE_BATCH` numbers, or outside the main thread, whose heap alone can
    have a large gap, nothing is done.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    is_worthwhile = device.type == "cpu" and in_main_thread and n_numbers >= LARGE_BATCH
    glibc = _glibc() if is_worthwhile else None
    if glibc is None:
        yield
        return
    glibc.malloc.restype, glibc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    glibc.free.argtypes = [ctypes.c_void_p]
    n_blocks = GAP_SIZE // BLOCK_SIZE
    blocks = (ctypes.c_void_p * n_blocks)()  # a list would grow, into memory behind the blocks
    for i in range(n_blocks):
        blocks[i] = glibc.malloc(BLOCK_SIZE)
    for i in range(n_blocks - 1):
        glibc.free(blocks[i])
    try:
        yield
    finally:
        glibc.free(blocks[n_blocks - 1])
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
