"""Devices, precision and memory: what is chosen, and what errors say."""

import threading
from types import SimpleNamespace

import pytest
import torch

from skdim._runtime import devices
from skdim._runtime.devices import (
    DEVICES,
    NEVER,
    USUAL,
    choose_device,
    choose_precision,
    freed_memory_kept,
    has_bfloat16,
    memory_advice,
)

CPU = torch.device("cpu")


class Library:
    """Remembers what the C library would be told."""

    def __init__(self):
        self.limits, self.n_trims = {}, 0

    def mallopt(self, option, limit):
        self.limits[option] = limit

    def malloc_trim(self, pad):
        self.n_trims += 1


@pytest.fixture
def library(monkeypatch):
    spy = Library()
    monkeypatch.setattr(devices, "_glibc", lambda: spy)
    return spy


def test_memory_is_kept_inside_and_given_back_after_an_error_too(library):
    with pytest.raises(KeyboardInterrupt), freed_memory_kept(CPU):  # noqa: PT012
        assert library.limits == NEVER
        raise KeyboardInterrupt
    assert library.limits == USUAL
    assert library.n_trims == 1


def test_the_last_of_several_threads_gives_it_back(library):
    inside, leave = threading.Event(), threading.Event()

    def fit():
        with freed_memory_kept(CPU):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=fit)
    thread.start()
    inside.wait(10)
    with freed_memory_kept(CPU):
        pass
    assert library.limits == NEVER
    leave.set()
    thread.join()
    assert library.limits == USUAL
    assert library.n_trims == 1


def test_other_devices_and_other_libraries_are_left_alone(library, monkeypatch):
    with freed_memory_kept(torch.device("cuda")):
        assert not library.limits
    monkeypatch.setattr(devices, "_glibc", lambda: None)
    with freed_memory_kept(CPU):
        assert not library.limits


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
    assert devices.choose_device("auto") == torch.device("cuda")


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
