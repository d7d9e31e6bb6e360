"""Several processes learn what a single process learns from the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skdim import DIMTransformer
from skdim._utils.distributed import ProcessGroup, explain_lost_process

WORKER = Path(__file__).parent / "helpers" / "distributed_worker.py"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo over sockets")


def torchrun(task, folder):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*command, "--nproc-per-node", "2", str(WORKER), task, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    ended = torchrun("train", folder)
    assert ended.returncode == 0, ended.stderr
    return folder


def results(folder, name):
    return [np.load(folder / f"{name}{rank}.npz") for rank in range(2)]


def test_a_step_of_two_processes_is_a_step_of_one_on_the_whole_batch(folder):
    errors = json.loads((folder / "errors.json").read_text())
    assert len(errors) == 54
    assert {name: error for name, error in errors.items() if not error < 1e-10} == {}


@pytest.mark.parametrize("name", ["whole", "no_seed", "in_time"])
def test_all_processes_learn_the_same(name, folder):
    first, second = results(folder, name)
    assert np.array_equal(first["features"], second["features"])
    assert np.array_equal(first["losses"], second["losses"])
    assert first["losses"][0, -1] < first["losses"][0, 0]


def test_processes_must_get_the_same_samples(folder):
    for rank in range(2):
        assert "must get the same X" in (folder / f"error{rank}.txt").read_text()


def test_no_thread_is_left_to_an_interpreter_that_ends(folder):
    assert [json.loads((folder / f"threads{rank}.json").read_text()) for rank in range(2)] == [
        [],
        [],
    ]


def test_processes_agree_on_an_interrupt(tmp_path):
    ended = torchrun("interrupt", tmp_path)
    assert ended.returncode == 0, ended.stderr
    first, second = results(tmp_path, "interrupt")
    assert len(first["features"]) == 6
    assert np.array_equal(first["features"], second["features"])


def test_a_process_that_dies_ends_the_job_and_leaves_the_last_state(folder):
    ended = torchrun("die", folder)
    assert ended.returncode != 0
    assert "Signal 9" in ended.stderr  # by torchrun; it may end the others first
    assert torchrun("resume", folder).returncode == 0
    whole, resumed = results(folder, "whole")[0], results(folder, "resumed")[0]
    assert np.array_equal(whole["features"], resumed["features"])
    assert np.array_equal(whole["losses"], resumed["losses"])


def test_the_error_says_that_another_process_was_lost():
    with (
        pytest.raises(RuntimeError, match=r"Rank 0 of 2 lost another process.* Start again\."),
        explain_lost_process(ProcessGroup(0, 2), "Start again."),
    ):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]:1")
    with (
        pytest.raises(RuntimeError, match=r"^shapes"),
        explain_lost_process(ProcessGroup(0, 2), "Start again."),
    ):
        raise RuntimeError("shapes cannot be multiplied")


def test_the_error_of_a_single_process_names_torchrun():
    with pytest.raises(ValueError, match=r"'distributed'.*torchrun"):
        DIMTransformer(distributed=True, device="cpu").fit(np.eye(8))
