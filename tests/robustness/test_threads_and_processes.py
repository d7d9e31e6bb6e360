"""Fits and features in threads, in processes, and under other defaults of torch: as alone."""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skdim import DIMTransformer
from skdim.encoders import MLPEncoder
from skdim.priors import Prior

ROWS = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)


class DropoutEncoder(MLPEncoder):
    """Draws from torch's global generator in every step."""

    def __init__(self, sample_shape, n_components):
        super().__init__(sample_shape, n_components, width=32, n_hidden=32)
        self.hidden.insert(3, nn.Dropout(0.5))


def noisy(batch, generator):
    """Views that draw from torch's global generator, which they should not."""
    return batch + 0.1 * torch.randn(batch.shape)


VARIANTS = {
    "default": {},
    "dropout": {"encoder": DropoutEncoder},
    "views that draw globally": {"augment": noisy},
    "prior": {"prior_weight": 0.1, "prior": Prior("uniform", gradient_penalty=1.0)},
    "concat": {"critic": "concat", "coordinate_weight": 0.0},
}


def fit(**params):
    settings = {"n_components": 4, "max_epochs": 2, "batch_size": 32, "device": "cpu"}
    if "encoder" not in params:
        settings["encoder_params"] = {"width": 16, "n_hidden": 64}
    return DIMTransformer(**{**settings, **params}).fit(ROWS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_fits_in_threads_are_those_of_one_thread(variant):
    def run(seed):
        return fit(random_state=seed, **VARIANTS[variant]).transform(ROWS)

    alone = [run(seed) for seed in range(4)]
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, range(4)))
    assert all(map(np.array_equal, alone, together))
    assert torch.equal(before, torch.get_rng_state())


def test_joblib_threads_repeat_too():
    run = joblib.delayed(lambda seed: fit(random_state=seed).transform(ROWS))
    first, second = (joblib.Parallel(3, prefer="threads")(map(run, range(3))) for _ in range(2))
    assert all(map(np.array_equal, first, second))


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_fits_train_where_gradients_are_switched_off(switch):
    with switch():
        off = fit(random_state=0)
    np.testing.assert_array_equal(off.transform(ROWS), fit(random_state=0).transform(ROWS))


def test_torch_may_have_another_default_type(tmp_path):
    expected = fit(random_state=0)
    expected.save(tmp_path / "dim.safetensors")
    torch.set_default_dtype(torch.float64)
    try:
        dim = fit(random_state=0)
        found = dim.transform(ROWS), dim.score(ROWS), dim.score_samples(ROWS)
        again = DIMTransformer.load(tmp_path / "dim.safetensors").transform(ROWS)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found[0], expected.transform(ROWS))
    assert found[1] == expected.score(ROWS)
    np.testing.assert_array_equal(found[2], expected.score_samples(ROWS))
    np.testing.assert_array_equal(again, found[0])


def test_sixteen_threads_get_the_same_answers(quick):
    X = np.random.default_rng(0).normal(size=(64, 10, 10))
    dim = quick().fit(X)
    expected = dim.transform(X)
    with ThreadPoolExecutor(16) as pool:
        parts = [pool.submit(dim.transform, X[i : i + 4]) for i in range(0, 64, 4)] * 2
        answers = [part.result() for part in parts]
    np.testing.assert_array_equal(np.concatenate(answers[:16]), expected)


# A process of three threads that imports skdim, and processes that are forked from it: one counts
# the threads it has, two transform, and one is forked while a thread fits with views that may draw
# from torch's global generators.
PROCESS = """
import json, multiprocessing, os, pickle, signal, sys, threading, warnings
warnings.simplefilter("ignore")
import numpy as np, torch

def settings():
    return (
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(),
        torch.get_rng_state().tolist(),
    )
torch.set_num_threads(3)
torch.manual_seed(7)
before = settings()
from skdim import DIMClassifier, DIMTransformer
from skdim._model import fitted
answers = {"import changes nothing": settings() == before}

def forked(do):
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            do()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

X = np.random.default_rng(0).normal(size=(300, 12, 12)).astype("f4")
small = {"width": 32, "n_hidden": 256}
dim = DIMTransformer(max_epochs=1, encoder_params=small, random_state=0).fit(X)
def count_threads():
    threads = [torch.get_num_threads()]
    encode = fitted.encode_padded
    def counted(*args, **kwargs):
        threads.append(torch.get_num_threads())
        return encode(*args, **kwargs)
    fitted.encode_padded = counted
    dim.transform(X)
    threads.append(torch.get_num_threads())
    assert threads == [3, 1, 3], threads
answers["threads"] = forked(count_threads) and torch.get_num_threads() == 3

with multiprocessing.get_context("fork").Pool(2) as pool:
    parts = pool.map_async(dim.transform, np.array_split(X, 4)).get(timeout=60)
answers["a pool"] = np.allclose(np.concatenate(parts), dim.transform(X), atol=1e-5)

X = np.random.default_rng(0).normal(size=(100, 6)).astype("f4")
dim = DIMTransformer(4, max_epochs=1, random_state=0).fit(X)
pickled, expected = pickle.dumps(dim), dim.transform(X)
dim.save(sys.argv[1])
torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
state = torch.get_rng_state()
is_fitting, is_over = threading.Event(), threading.Event()
def view(batch, generator):
    is_fitting.set()
    is_over.wait()
    return batch
custom = DIMTransformer(4, max_epochs=1, augment=view, random_state=0)
thread = threading.Thread(target=custom.fit, args=(X,))
thread.start()
is_fitting.wait()
def check():
    is_over.set()
    assert torch.get_default_dtype() == torch.float64
    assert torch.get_rng_state().equal(state)
    for again in (pickle.loads(pickled), DIMTransformer.load(sys.argv[1])):
        assert np.allclose(again.transform(X), expected, atol=1e-5)
    custom.fit(X)
    DIMClassifier(dim, max_epochs=1).fit(X, X[:, 0] > 0)
answers["during a fit"] = forked(check)
is_over.set()
thread.join()
answers["the fit"] = bool(custom.history_) and torch.get_rng_state().equal(state)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("process") / "dim.safetensors")
    environment = {name: v for name, v in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", PROCESS, path]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=300, env=environment, check=True
    )
    return json.loads(ended.stdout)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked")


@needs_fork
def test_importing_skdim_changes_no_setting_of_torch(answers):
    assert answers["import changes nothing"]


@needs_fork
def test_a_forked_process_has_the_programs_threads_and_one_inside_skdim(answers):
    assert answers["threads"]


@needs_fork
def test_a_process_forked_from_one_of_many_threads_does_not_wait_for_them(answers):
    assert answers["a pool"]


@needs_fork
def test_a_process_forked_during_a_fit_of_another_thread_does_not_wait_for_it(answers):
    assert answers["during a fit"]
    assert answers["the fit"]


FITS = """
import hashlib
from sklearn.datasets import load_digits
from skdim import DIMTransformer
images = load_digits().images[:90]
for params in {params}:
    dim = DIMTransformer(**params).fit(images)
    print(hashlib.sha256(dim.transform(images).tobytes()).hexdigest())
"""
REPEATED = [{}, {"prior_weight": 0.5, "precision": "bfloat16"}]


@pytest.mark.parametrize("hash_seed", ["1", pytest.param("2", marks=pytest.mark.exhaustive)])
def test_fits_of_one_seed_are_bit_equal_in_every_process(digits, quick, hash_seed):
    images, dims = digits.images[:90], [quick(**params) for params in REPEATED]
    features = [dim.fit(images).transform(images) for dim in dims]
    there = subprocess.run(
        [sys.executable, "-c", FITS.format(params=[dim.get_params() for dim in dims])],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert there == [hashlib.sha256(x.tobytes()).hexdigest() for x in features]


def test_a_fit_does_not_depend_on_what_was_fitted_before(quick, images, rows):
    first = quick().fit(images)
    quick(random_state=3).fit(rows[0])
    torch.rand(7)
    again = clone(first).fit(images)
    np.testing.assert_array_equal(again.transform(images), first.transform(images))
