"""Devices, precision and memory: what is chosen, and what errors say."""

import mmap
import subprocess
import sys
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch

from skdim._runtime import devices
from skdim._runtime.devices import (
    DEVICES,
    LARGE_BATCH,
    choose_device,
    choose_precision,
    freed_memory_kept,
    has_bfloat16,
    memory_advice,
)

CPU = torch.device("cpu")


# Pages that the system fills while 64 MiB, more than glibc ever keeps by itself, are used twenty
# times: before the block, inside it and after it. In a process of its own, whose heap has no large
# gap yet.
FAULTS = """
import contextlib, ctypes, resource, torch
from skdim._runtime.devices import freed_memory_kept
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
nothing, block = contextlib.nullcontext(), freed_memory_kept(torch.device("cpu"))
for context in (nothing, block, nothing):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    with context:
        for _ in range(20):
            memory = libc.malloc(2**26)
            ctypes.memset(memory, 1, 2**26)
            libc.free(memory)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(devices._glibc() is None, reason="needs glibc")
def test_freed_memory_is_used_again_inside_the_block_only():
    command = [sys.executable, "-c", FAULTS]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    before, inside, after = map(int, printed.stdout.split())
    if before < 19 * 2**26 // mmap.PAGESIZE:
        pytest.skip("the system has huge pages, or the program keeps freed memory")
    assert inside < 0.2 * before
    assert after > 0.9 * before


@pytest.mark.parametrize("ends", ["by itself", "by an error"])
def test_all_that_was_reserved_is_freed(ends, monkeypatch):
    calls = []
    used = iter(range(1, 10**6))
    library = SimpleNamespace(
        malloc=lambda size: next(used),
        free=lambda block: calls.append(block),
        malloc_trim=lambda pad: calls.append("trim"),
    )
    monkeypatch.setattr(devices, "_glibc", lambda: library)
    with suppress(KeyboardInterrupt), freed_memory_kept(CPU):
        n_blocks = next(used) - 1
        assert calls == list(range(1, n_blocks))  # all but the one at the end of the heap
        if ends == "by an error":
            raise KeyboardInterrupt
    assert calls[-2:] == [n_blocks, "trim"]


@pytest.mark.parametrize("case", ["another device", "a small batch", "another thread", "no glibc"])
def test_nothing_is_reserved_if_it_is_not_worthwhile(case, monkeypatch):
    library = None if case == "no glibc" else SimpleNamespace()  # without any function
    monkeypatch.setattr(devices, "_glibc", lambda: library)
    device = torch.device("cuda") if case == "another device" else CPU
    n_numbers = 10 if case == "a small batch" else LARGE_BATCH
    seen = []

    def fit():
        with freed_memory_kept(device, n_numbers):
            seen.append(case)

    if case == "another thread":
        thread = threading.Thread(target=fit)
        thread.start()
        thread.join()
    else:
        fit()
    assert seen == [case]


@pytest.mark.parametrize(
    ("name", "rank", "number"),
    [
        ("MainProcess", None, 0),
        ("LokyProcess-1", None, 0),
        ("LokyProcess-6", None, 5),
        ("SpawnPoolWorker-2", None, 1),
        ("MainProcess", "3", 3),
    ],
)
def test_processes_side_by_side_take_the_gpus_in_turn(name, rank, number, monkeypatch):
    process = SimpleNamespace(name=name)
    monkeypatch.setattr(devices.multiprocessing, "current_process", lambda: process)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert devices.process_number() == number
    assert devices.choose_device("auto") == torch.device("cuda", number % 4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert devices.choose_device("auto") == torch.device("cuda", 0)


def test_a_size_beyond_all_memory_is_a_memory_error(quick, rows):
    with pytest.raises(MemoryError, match=r"exhausted: reduce 'batch_size' \(now 32\)"):
        quick(n_components=10**18).fit(rows[0])


def test_another_error_is_not_one_of_memory():
    with pytest.raises(RuntimeError, match=r"^shapes do not fit$"), memory_advice(CPU, width=3):
        raise RuntimeError("shapes do not fit")


@pytest.mark.parametrize("has_large_layers", [False, True])
def test_precision_is_a_choice_of_the_user_or_follows_from_the_layers(has_large_layers):
    for precision in ("float32", "bfloat16"):
        assert choose_precision(precision, CPU, has_large_layers) == precision
    chosen = choose_precision("auto", CPU, has_large_layers)
    assert (chosen == "bfloat16") == (has_large_layers and has_bfloat16(CPU))


def test_a_device_that_holds_no_numbers_is_refused():
    with pytest.raises(ValueError, match="'device' parameter"):
        choose_device("meta")


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_of_another_name_is_named(name):
    with pytest.raises(ValueError, match=rf"Got '{name}:1'\. Did you mean '{DEVICES[name]}:1'"):
        choose_device(f"{name}:1")


@pytest.mark.parametrize("name", ["CPU", "Cpu", " cpu", "CPU:0", "CUDA", "GPU", "Cuda:1", "MPS"])
def test_a_device_in_capitals_is_named(name):
    meant = name.strip().lower().replace("gpu", "cuda")
    with pytest.raises(ValueError, match=rf"Got '{name}'\. Did you mean '{meant}'"):
        choose_device(name)
