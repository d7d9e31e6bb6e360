"""Devices, precision and memory: what is chosen, and what errors say."""

import threading
from types import SimpleNamespace

import pytest
import torch
from helpers import campaign
from helpers.campaign import BEYOND, Case, Sketch

from skdim._runtime import devices
from skdim._runtime.devices import NEVER, USUAL, choose_device, freed_memory_kept

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


pytestmark = pytest.mark.filterwarnings("ignore")  # cases check their warnings themselves
ROWS = Sketch((6, 3))


def fit(sketch, groups=None, modality="rows", **params):
    dim = campaign.transformer(Case(modality, sketch, params))
    return dim.fit(campaign.make(sketch), groups=groups)


def test_a_size_beyond_all_memory_is_a_memory_error():
    with pytest.raises(MemoryError, match="exhausted"):
        fit(ROWS, n_components=BEYOND)


def test_a_device_that_holds_no_numbers_is_refused():
    with pytest.raises(ValueError, match="'device' parameter"):
        choose_device("meta")
