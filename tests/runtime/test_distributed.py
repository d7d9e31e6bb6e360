"""Several processes learn what a single process learns from the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skdim import DIMTransformer
from skdim._runtime.distributed import ProcessGroup, explain_lost_process

WORKER = Path(__file__).parents[1] / "helpers" / "distributed_worker.py"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo over sockets")


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}


def run(*command):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=ENVIRONMENT,
    )


@pytest.fixture(scope="module")
def forked():
    """Run a task in processes that share their imports, and those of other tasks."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, WORKER], env=ENVIRONMENT, **pipes) as program:

        def run(task, folder, n_processes):
            print(json.dumps([task, str(folder), n_processes]), file=program.stdin, flush=True)
            assert json.loads(program.stdout.readline())  # or else see what the program printed

        yield run


@pytest.fixture(scope="module")
def folder(tmp_path_factory, forked):
    folder = tmp_path_factory.mktemp("distributed")
    forked("train", folder, 2)
    return folder


def results(folder, name):
    return [np.load(folder / f"{name}{rank}.npz") for rank in range(2)]


# Numbers of processes, and the task that compares them with one.
COMPARED = [(2, "train"), (3, "compare"), (4, "compare")]
EVERYTHING = [pytest.param((n, "compare_all"), marks=pytest.mark.exhaustive) for n in (2, 3, 4)]


@pytest.fixture(scope="module", params=[*COMPARED, *EVERYTHING], ids=str)
def errors(request, tmp_path_factory, forked):
    """Differences between several processes and one, by what was computed."""
    n_processes, task = request.param
    if task == "train":
        folder = request.getfixturevalue("folder")
    else:
        folder = tmp_path_factory.mktemp("compared")
        forked(task, folder, n_processes)
    names = ("errors", "chunk_errors")
    return [json.loads((folder / f"{name}.json").read_text()) for name in names]


def test_a_step_of_several_processes_is_a_step_of_one_on_the_whole_batch(errors):
    steps, _ = errors
    assert len(steps) in (14, 84)  # encoders, MI estimators, critics, groups
    assert {name: error for name, error in steps.items() if not error < 1e-10} == {}


def test_chunks_of_several_processes_are_all_pairs_of_one(errors):
    _, chunks = errors
    assert len(chunks) == 84
    assert {name: error for name, error in chunks.items() if not error < 1e-10} == {}


def test_a_step_exchanges_less_than_2_kib_for_each_sample_beside_the_gradients(folder):
    for rank in range(2):
        counted = json.loads((folder / f"bytes{rank}.json").read_text())
        beside = sum(counted["sizes"]) - counted["gradients"]
        # Codes of two views, 64 numbers in half precision or more, and their gradients in float32.
        assert 768 * counted["batch_size"] <= beside <= 2048 * counted["batch_size"]


@pytest.mark.parametrize("name", ["whole", "no_seed", "layers", "in_time"])
def test_all_processes_learn_the_same(name, folder):
    first, second = results(folder, name)
    assert np.array_equal(first["features"], second["features"])
    assert np.array_equal(first["losses"], second["losses"])
    assert first["losses"][0, -1] < first["losses"][0, 0]


def test_processes_must_get_the_same_samples(folder):
    for rank in range(2):
        assert "must get the same X" in (folder / f"error{rank}.txt").read_text()


@pytest.fixture(
    scope="module",
    params=["interrupt", pytest.param("interrupt_all", marks=pytest.mark.exhaustive)],
)
def interrupts(request, tmp_path_factory, forked):
    """What each process was left with, by when Ctrl-C came and after how many ms it reached it.

    And what is said to a process that another one has left.
    """
    folder = tmp_path_factory.mktemp("interrupted")
    forked(request.param, folder, 2)
    outcomes = [json.loads((folder / f"interrupts{rank}.json").read_text()) for rank in range(2)]
    return outcomes, (folder / "lost.txt").read_text()


# Epochs that are whole: Ctrl-C takes effect after the step that follows the one it came in.
WHOLE = {
    "while another fit holds the checkpoint": 0,
    "before training": 0,
    "in the first epoch": 1,
    "in an epoch": 2,
    "in the last step": 4,
    "while readouts are fitted": 4,
}


@pytest.mark.parametrize("moment", WHOLE)
def test_processes_end_together_whenever_an_interrupt_reaches_them(moment, interrupts):
    n_epochs = WHOLE[moment]
    by_process, _ = interrupts
    outcomes = [found[name] for found in by_process for name in found if name.startswith(moment)]
    assert len(outcomes) in (4, 10)  # two combinations, or all five, in two processes
    # Kept are the epochs of a fit that was told to have so many, to the bit.
    expected = by_process[0][str(n_epochs)] if n_epochs else None
    assert all(outcome == [True, n_epochs, expected] for outcome in outcomes)


def test_an_interrupt_after_a_fit_is_that_of_the_process_it_reaches(interrupts):
    for rank, found in enumerate(interrupts[0]):
        names = [name for name in found if name.startswith("afterwards")]
        assert len(names) in (2, 5)
        for name in names:
            reaches = name.partition("(")[2].strip(")").split(", ")[rank] != "None"
            assert found[name] == [reaches, 4, found["4"]]


def test_a_process_that_leaves_is_missed(interrupts):
    _, said = interrupts
    assert said.startswith("Rank 0 of 2 lost another process")


@pytest.fixture(scope="module")
def quits(tmp_path_factory, forked):
    """How each process ended, if one of them raised an interrupt."""
    folder = tmp_path_factory.mktemp("quit")
    forked("quit", folder, 2)
    return [json.loads((folder / f"quits{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize(
    ("method", "n_epochs"),
    [("on_batch_begin", 2), ("on_grad_computed", 2), ("on_batch_end", 2), ("on_epoch_end", 3)],
)
def test_a_callback_of_one_process_ends_all(method, n_epochs, quits):
    assert [outcomes[method] for outcomes in quits] == [["KeyboardInterrupt ", n_epochs]] * 2


def test_the_programs_own_handler_in_one_process_ends_all_after_a_step(quits):
    assert [outcomes["own handler"] for outcomes in quits] == [["KeyboardInterrupt ", 2]] * 2
    silent = "a handler that raises nothing"
    assert [outcomes[silent] for outcomes in quits] == [["ended", 4]] * 2
    assert [outcomes["calls"] for outcomes in quits] == [0, 2]


def test_an_interrupt_in_the_middle_of_a_step_ends_the_others_by_a_sentence(quits):
    left, interrupted = (outcomes["a view"] for outcomes in quits)
    assert interrupted == ["KeyboardInterrupt ", 0]
    assert left[0].startswith("RuntimeError Rank 0 of 2 lost another process")


@pytest.fixture(scope="module")
def dead(folder):
    """A job of torchrun one of whose processes dies; `folder` keeps its last state."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return run(*launcher, WORKER, "die", folder)


@pytest.fixture(scope="module")
def resumed(folder, dead):
    """A job that resumes from that state, in interpreters that have imported skdim only."""
    return run(WORKER, "resume", folder, 2)


def test_a_process_that_dies_ends_the_job_and_leaves_the_last_state(folder, dead, resumed):
    assert dead.returncode != 0
    assert "Signal 9" in dead.stderr  # by torchrun; it may end the others first
    assert resumed.returncode == 0, resumed.stderr
    whole, again = results(folder, "whole")[0], results(folder, "resumed")[0]
    assert np.array_equal(whole["features"], again["features"])
    assert np.array_equal(whole["losses"], again["losses"])


def test_no_thread_is_left_to_an_interpreter_that_ends(folder, resumed):
    assert resumed.returncode == 0, resumed.stderr
    left = [json.loads((folder / f"threads{rank}.json").read_text()) for rank in range(2)]
    assert left == [[], []]


def test_a_fit_of_several_processes_does_not_import_the_compiler(folder, resumed):
    assert resumed.returncode == 0, resumed.stderr
    imported = [json.loads((folder / f"compiler{rank}.json").read_text()) for rank in range(2)]
    assert imported == [False, False]


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
