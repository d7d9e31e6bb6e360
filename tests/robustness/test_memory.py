"""What a process holds: no GPU before a fit, and no memory after it."""

import json
import subprocess
import sys
import weakref

import numpy as np
import pytest

PROCESS = """
import gc, json, resource
import numpy as np
import torch
from skdim import DIMTransformer

DIMTransformer()
touches_gpu = torch.cuda.is_initialized()

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

X = np.random.default_rng(0).normal(size=(64, 8, 8)).astype(np.float32)
params = {"max_epochs": 1, "prior_weight": 0.1, "encoder_params": {"width": 32}}
def fit():
    DIMTransformer(**params, random_state=0).fit(X)  # seven megabytes
gc.disable()
for _ in range(3):
    fit()
held = [resident()]
for _ in range(20):
    fit()
    held.append(resident())
print(json.dumps({"touches_gpu": touches_gpu, "grown": np.diff(held).tolist()}))
"""


@pytest.fixture(scope="module")
def process():
    """Whether construction touched a GPU, and the bytes that each of 20 fits added."""
    command = [sys.executable, "-W", "ignore", "-c", PROCESS]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_import_and_construction_touch_no_gpu(process):
    assert not process["touches_gpu"]


def test_twenty_fits_leave_memory_where_one_did(process):
    # A leak grows with each fit. The allocator and huge pages take tens of megabytes at once, in
    # a fit or two, so that the sum says nothing.
    assert np.median(process["grown"]) < 0.3e6


def test_what_a_fit_leaves_is_freed_without_a_garbage_collector(quick, images):
    dim = quick(prior_weight=0.1).fit(images)
    parts = [weakref.ref(dim.encoder_), weakref.ref(dim.model_.objective)]
    dim.fit(images)
    assert [part() for part in parts] == [None, None]
    part = weakref.ref(dim.encoder_)
    del dim
    assert part() is None
