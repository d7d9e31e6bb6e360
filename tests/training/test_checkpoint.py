"""A fit that was killed and resumed equals one that was not killed."""

import errno
import json
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
from helpers.fits import IMAGES, N_EPOCHS, ROWS, FixedSeed, dim, one_of, scaled
from helpers.structural import put_together, take_apart
from safetensors.numpy import save_file
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, LRScheduler

import skdim._training.checkpoint
from skdim import Checkpoint, DIMTransformer
from skdim._training.checkpoint import FILE, StateFile, key_of
from skdim._training.net import DIMNet
from skdim.exceptions import FileError, VersionWarning

FORK = multiprocessing.get_context("fork")  # a child begins at once, and with all imports


class Killed(BaseException):
    """Ends a fit as a kill would: nothing in skdim catches it."""


def kill_in_epoch(monkeypatch, number):
    """End the next fit at the beginning of an epoch."""
    run_epoch = DIMNet.run_single_epoch

    def dying(net, iterator, *args, **kwargs):
        if iterator is not None and net.n_whole_epochs == number - 1:
            raise Killed
        return run_epoch(net, iterator, *args, **kwargs)

    monkeypatch.setattr(DIMNet, "run_single_epoch", dying)


def states(folder):
    return sorted(folder.glob(f"*/{FILE}"))


VARIANTS = {
    "default": {},
    "prior and global": {"prior_weight": 0.1, "global_weight": 0.5},
    "adamw": {"optimizer": "adamw"},
    "sgd": {"optimizer": "sgd", "optimizer_params": {"momentum": 0.9}},
    "averaged": {"weight_averaging": 0.7},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 2},
    "one view": {"augment": None, "mi_estimator": "jsd", "critic": "concat"},
    "coordinates": {"coordinate_weight": 0.5, "occlusion": True},
    "constant rate": {"lr_schedule": "constant"},
}


@pytest.mark.parametrize(
    ("variant", "epoch"), [*((name, 3) for name in VARIANTS), ("default", 2), ("default", N_EPOCHS)]
)
def test_a_resumed_fit_ends_bit_equal(variant, epoch, tmp_path, monkeypatch):
    params, X = {"batch_size": 32, **VARIANTS[variant]}, IMAGES[:64]
    uninterrupted = dim(**params).fit(X)
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, epoch)
        with pytest.raises(Killed):
            dim(tmp_path, **params).fit(X)
    again = dim(tmp_path, **params).fit(X)
    for output in ("components", "code", "hidden", "local"):
        uninterrupted.set_params(output=output), again.set_params(output=output)
        assert np.array_equal(uninterrupted.transform(X), again.transform(X))
    assert [e["loss"] for e in uninterrupted.history_] == [e["loss"] for e in again.history_]
    assert uninterrupted.score(X) == again.score(X)
    assert getattr(uninterrupted, "best_epoch_", None) == getattr(again, "best_epoch_", None)


def test_rows_with_groups_are_resumed_too(tmp_path, monkeypatch):
    groups = np.arange(128) // 4
    uninterrupted = dim().fit(ROWS, groups=groups)
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, 3)
        with pytest.raises(Killed):
            dim(tmp_path).fit(ROWS, groups=groups)
    again = dim(tmp_path).fit(ROWS, groups=groups)
    assert np.array_equal(uninterrupted.transform(ROWS), again.transform(ROWS))


def test_a_random_seed_is_kept(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, 3)
        with pytest.raises(Killed):
            dim(tmp_path, random_state=None).fit(ROWS)
    (path,) = states(tmp_path)
    first = StateFile(tmp_path, path.parent.name).read()
    again = dim(tmp_path, random_state=None).fit(ROWS)
    losses = [epoch["loss"] for epoch in again.history_]
    assert losses[:2] == [epoch["loss"] for epoch in first["net"]["epochs"]]
    uninterrupted = dim(random_state=FixedSeed(first["seed"])).fit(ROWS)
    assert losses == [epoch["loss"] for epoch in uninterrupted.history_]


def test_a_finished_fit_is_not_repeated(tmp_path):
    first = dim(tmp_path).fit(ROWS)
    second = dim(tmp_path).fit(ROWS)
    assert first.history_ == second.history_  # to the microseconds it took
    assert np.array_equal(first.transform(ROWS), second.transform(ROWS))


def test_without_resume_a_fit_starts_afresh(tmp_path):
    afresh = Checkpoint(tmp_path, resume=False)
    first = dim(afresh).fit(ROWS)
    second = dim(afresh).fit(ROWS)
    assert np.array_equal(first.transform(ROWS), second.transform(ROWS))
    assert first.history_[0]["seconds"] != second.history_[0]["seconds"]


@pytest.mark.parametrize(("n_epochs", "written"), [(1, 5), (2, 3), (None, 1)])
def test_states_are_written_as_often_as_asked(n_epochs, written, tmp_path, monkeypatch):
    times = []
    write = StateFile.write
    monkeypatch.setattr(
        StateFile,
        "write",
        lambda self, state: (times.append(len(state["net"]["epochs"])), write(self, state)),
    )
    dim(Checkpoint(tmp_path, every_epochs=n_epochs)).fit(ROWS)
    assert len(times) == written
    assert times[-1] == N_EPOCHS


def test_minutes_are_kept_by_the_clock(tmp_path, monkeypatch):
    clock = iter(range(0, 6000, 60))  # an epoch a minute
    monkeypatch.setattr(skdim._training.checkpoint.time, "monotonic", lambda: next(clock))
    written = []
    monkeypatch.setattr(
        StateFile, "write", lambda self, state: written.append(len(state["net"]["epochs"]))
    )
    dim(Checkpoint(tmp_path, every_epochs=None, every_minutes=2)).fit(ROWS)
    assert written == [2, 4, 5]


def test_candidates_of_a_search_never_share_a_state(tmp_path):
    grid = {"mi_estimator": ["jsd", "infonce"], "critic_width": [16, 32]}
    plain = GridSearchCV(dim(max_epochs=1), grid, cv=2).fit(ROWS)
    for _ in range(2):  # the second search reads every fit from the folder
        search = GridSearchCV(dim(tmp_path, max_epochs=1), grid, cv=2).fit(ROWS)
        for name in ("mean_test_score", "std_test_score"):
            assert np.array_equal(search.cv_results_[name], plain.cv_results_[name])
    assert len(states(tmp_path)) == 4 * 2 + 1


# Pairs that learn differently: parameters, data, groups.
DIFFERENT = {
    "number": ({"learning_rate": 1e-3}, {"learning_rate": 2e-3}),
    "closure": ({"mi_estimator": scaled(1)}, {"mi_estimator": scaled(2)}),
    "partial": (
        {"augment": partial(np.add, 1)},
        {"augment": partial(np.add, 2)},
    ),
    "class in a function": ({"encoder": one_of(1)}, {"encoder": one_of(2)}),
    "dict": ({"encoder_params": {"width": 8}}, {"encoder_params": {"width": 16}}),
}


@pytest.mark.parametrize("pair", DIFFERENT)
def test_fits_that_differ_have_different_keys(pair):
    keys = [key_of(params, {}, ROWS, None) for params in DIFFERENT[pair]]
    assert keys[0] != keys[1]
    assert keys == [key_of(params, {}, ROWS, None) for params in DIFFERENT[pair]]


def test_keys_know_data_and_groups():
    other = ROWS.copy()
    other[100, 3] += 1e-3
    groups = np.zeros(128, np.int64)
    given = [(ROWS, None), (other, None), (ROWS[:-1], None), (ROWS, groups), (IMAGES, None)]
    given.append((ROWS.astype(np.float64), None))
    assert len({key_of({}, {}, X, g) for X, g in given}) == len(given)


def test_fits_that_learn_the_same_share_a_state(tmp_path):
    first = dim(tmp_path, max_epochs=1).fit(ROWS)
    for params in (
        {"verbose": 1},
        {"output": "code"},
        {"checkpoint": Checkpoint(tmp_path, every_epochs=3)},
        {"data_on_device": False, "transform_batch_size": 16, "warm_start": True},
        {"optimizer_params": {}, "callbacks": [], "channel_axis": 1},
    ):
        again = dim(**{"checkpoint": tmp_path, "max_epochs": 1, **params}).fit(ROWS)
        assert again.history_ == first.history_  # its times included: nothing was trained again
    assert len(states(tmp_path)) == 1


# Changes of a state that was written honestly: of its description and of its arrays.
CRAFTED = {
    "no seed": lambda state, arrays: state.pop("seed"),
    "another seed": lambda state, arrays: state.update(seed=-1),
    "another circumstance": lambda state, arrays: state["circumstances"]["dict"].append(["a", "b"]),
    "short momenta": lambda state, arrays: cut(arrays, "/optimizer/state/0/exp_avg"),
    "no momenta": lambda state, arrays: swap(arrays, "/exp_avg", "/exp_avg_sq"),
    "a short generator": lambda state, arrays: cut(arrays, "net/generator"),
    "other draws": lambda state, arrays: cut(arrays, "draws/0/draws"),
    "short weights": lambda state, arrays: cut(arrays, "net/weights/0/hidden.0.weight"),
    "short best weights": lambda state, arrays: cut(arrays, "net/best/0/hidden.0.weight"),
    "words as losses": lambda state, arrays: arrays.update(
        {"net/step_losses": np.arange(3).astype("i8")}
    ),
    "epochs without scores": lambda state, arrays: state.update(
        json.loads(json.dumps(state).replace("validation_score", "score"))
    ),
}


def cut(arrays, name):
    (full,) = [n for n in arrays if n.endswith(name)]
    arrays[full] = arrays[full].reshape(-1)[:1]


def swap(arrays, one, other):
    for name in [n for n in arrays if n.endswith(one)]:
        arrays[name] = arrays[name.removesuffix(one) + other].reshape(-1)


@pytest.mark.parametrize("change", CRAFTED)
def test_a_state_that_does_not_fit_the_fit_is_refused_by_its_name(tmp_path, change):
    dim(tmp_path, early_stopping=True, prior_weight=0.1).fit(ROWS)
    (path,) = states(tmp_path)
    description, arrays = take_apart(path)
    CRAFTED[change](description["state"], arrays)
    put_together(path, description, arrays)
    with pytest.raises(FileError, match=r"state\.safetensors"):
        dim(tmp_path, early_stopping=True, prior_weight=0.1).fit(ROWS)


def test_a_damaged_state_is_refused(tmp_path):
    dim(tmp_path).fit(ROWS)
    (path,) = states(tmp_path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match="damaged"):
        dim(tmp_path).fit(ROWS)


@pytest.mark.parametrize(
    ("origin", "named"),
    [({"version": "1.7.2"}, "skdim 1.7.2"), ({"format": 7, "version": "1.7.2"}, "format 7")],
)
def test_a_state_of_another_version_or_format_is_not_continued(tmp_path, origin, named):
    expected = dim(tmp_path / "own").fit(ROWS)
    (path,) = states(tmp_path / "own")
    description, arrays = take_apart(path)
    put_together(path, {**description, **origin}, arrays)
    with pytest.raises(ValueError, match=f"cannot be resumed exactly.*with {named}, and here is"):
        dim(tmp_path / "own").fit(ROWS)
    other = tmp_path / "other" / "0123" / path.name  # a version that names fits in another way
    other.parent.mkdir(parents=True)
    path.rename(other)
    with pytest.warns(
        VersionWarning, match=r"holds states of fits by skdim 1\.7\.2 .*starts again"
    ):
        again = dim(tmp_path / "other").fit(ROWS)
    np.testing.assert_array_equal(again.transform(ROWS), expected.transform(ROWS))


def test_a_folder_that_holds_other_files_is_not_warned_about(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "state.safetensors").write_text("not a state")
    with warnings.catch_warnings():
        warnings.simplefilter("error", VersionWarning)
        dim(tmp_path).fit(ROWS)
        dim(tmp_path, batch_size=32).fit(ROWS)


@pytest.mark.parametrize("kind", ["transformer", "another package"])
def test_a_file_of_something_else_is_not_continued(tmp_path, kind):
    model = dim(tmp_path).fit(ROWS)
    (path,) = states(tmp_path)
    if kind == "transformer":
        model.save(path)
    else:
        save_file({"weight": np.zeros(3)}, path, metadata={"format": "pt"})
    with pytest.raises(FileError, match=r"holds a transformer|not one of skdim"):
        dim(tmp_path).fit(ROWS)


def test_a_state_of_another_version_is_refused(tmp_path, monkeypatch):
    dim(tmp_path).fit(ROWS)
    monkeypatch.setattr(skdim._training.checkpoint.torch, "__version__", "9.9")
    with pytest.raises(ValueError, match=r"cannot be resumed exactly.*torch 9\.9"):
        dim(tmp_path).fit(ROWS)


def test_callbacks_cannot_be_resumed(tmp_path):
    dim(tmp_path, callbacks=[Callback()]).fit(ROWS)  # there is no state to resume from yet
    sentence = r"'callbacks' parameter must be None if a fit is resumed.*Got 1.*resume=False"
    with pytest.raises(ValueError, match=sentence):
        dim(tmp_path, callbacks=[Callback()]).fit(ROWS)
    dim(Checkpoint(tmp_path, resume=False), callbacks=[Callback()]).fit(ROWS)


def test_one_fit_at_a_time_writes_a_state_and_the_other_takes_its_result(tmp_path):
    expected = dim(tmp_path).fit(ROWS)
    (path,) = states(tmp_path)
    waiting = dim(tmp_path)
    thread = threading.Thread(target=waiting.fit, args=(ROWS,))
    with StateFile(tmp_path, path.parent.name).locked():
        thread.start()
        thread.join(timeout=1.0)
        assert thread.is_alive()
        assert not waiting.__sklearn_is_fitted__()
    thread.join(timeout=60)
    assert waiting.history_ == expected.history_  # its times included: nothing was trained again


def test_a_lock_leads_nowhere_else(tmp_path):
    dim(tmp_path / "one").fit(ROWS)
    (path,) = states(tmp_path / "one")
    precious = tmp_path / "precious"
    precious.write_text("precious")
    folder = tmp_path / "two" / path.parent.name
    folder.mkdir(parents=True)
    (folder / "lock").symlink_to(precious)
    with pytest.raises(ValueError, match="'checkpoint' parameter must name a folder"):
        dim(tmp_path / "two").fit(ROWS)
    assert precious.read_text() == "precious"


def hold_lock(folder, pipe):
    """Hold a lock, and leave a process that was forked meanwhile."""
    os.setsid()
    with StateFile(folder, "key").locked():
        if os.fork():
            pipe.send("locked")
        time.sleep(60)


def test_a_lock_ends_with_its_process_though_a_forked_process_lives_on(tmp_path):
    receiver, sender = FORK.Pipe(duplex=False)
    holder = FORK.Process(target=hold_lock, args=(tmp_path, sender))
    holder.start()
    try:
        assert receiver.poll(60)
        with pytest.raises(TimeoutError), StateFile(tmp_path, "key").locked(raise_timeout):
            pytest.fail("The lock was not held.")
        holder.kill()
        holder.join()
        with StateFile(tmp_path, "key").locked(raise_timeout):
            pass
    finally:
        os.killpg(holder.pid, signal.SIGKILL)


def raise_timeout():
    raise TimeoutError


def test_a_forked_process_does_not_end_the_lock(tmp_path):
    with StateFile(tmp_path, "key").locked():
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(TimeoutError), StateFile(tmp_path, "key").locked(raise_timeout):
            pytest.fail("The lock was not held.")


def test_waiting_is_logged_once(tmp_path, caplog):
    rounds = []

    def check():
        rounds.append(time.monotonic())
        if len(rounds) == 3:
            raise KeyboardInterrupt

    caplog.set_level(logging.INFO, "skdim")
    with StateFile(tmp_path, "key").locked():
        assert not caplog.messages
        with pytest.raises(KeyboardInterrupt), StateFile(tmp_path, "key").locked(check):
            pytest.fail("The lock was not held.")
    path = tmp_path / "key" / "lock"
    assert caplog.messages == [f"Waiting for another process that holds {path}."]
    assert max(np.diff(rounds)) < 1  # seconds


def fit_until_interrupted(folder, pipe):
    """Fit and send what is logged; end with 130, as a shell says, after Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    handler, logger = logging.Handler(), logging.getLogger("skdim")
    handler.emit = lambda record: pipe.send(record.getMessage())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        dim(folder).fit(ROWS)
    except KeyboardInterrupt:
        sys.exit(130)


def test_an_interrupt_ends_a_fit_that_waits(tmp_path):
    dim(tmp_path).fit(ROWS)
    (path,) = states(tmp_path)
    receiver, sender = FORK.Pipe(duplex=False)
    waiting = FORK.Process(target=fit_until_interrupted, args=(tmp_path, sender), daemon=True)
    with StateFile(tmp_path, path.parent.name).locked():
        waiting.start()
        assert receiver.poll(60)
        assert receiver.recv().startswith("Waiting for another process")
        os.kill(waiting.pid, signal.SIGINT)
        waiting.join(timeout=10)
        assert waiting.exitcode == 130


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_a_warning(number, tmp_path, monkeypatch, caplog):
    def flock(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", flock)
    with StateFile(tmp_path, "key").locked():
        (tmp_path / "key" / FILE).write_bytes(b"a state")
    sentence = f"cannot be locked ({os.strerror(number)}): do not start a fit twice."
    assert [message.partition("lock ")[2] for message in caplog.messages] == [sentence]


def test_what_else_tells_fits_apart():
    def views(batch, generator):
        return batch * FACTOR

    def key():
        return key_of(dim(augment=views).get_params(), {}, ROWS, None)

    first = key()
    globals()["FACTOR"] = 3.0
    try:
        assert key() != first
    finally:
        globals()["FACTOR"] = 2.0
    assert key() == first
    callbacks = ([], [Callback()], [("named", LRScheduler())])
    keys = {key_of(dim(callbacks=c).get_params(), {}, ROWS, None) for c in callbacks}
    assert len(keys) == 3


FACTOR = 2.0


def test_temporary_files_of_killed_fits_are_removed(tmp_path):
    dim(tmp_path).fit(ROWS)
    (path,) = states(tmp_path)
    (path.parent / f".{FILE}.0123abcd").write_bytes(b"half a state")
    dim(tmp_path).fit(ROWS)
    assert sorted(p.name for p in path.parent.iterdir()) == ["lock", FILE]


def test_a_path_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match="'checkpoint' parameter must name a folder"):
        dim(tmp_path / "file").fit(ROWS)


@contextmanager
def files_of_at_most(n_bytes):
    """Let no file grow beyond some bytes, which is what a full disk does."""
    resource = pytest.importorskip("resource")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def test_a_full_disk_is_an_error_and_leaves_no_temporary_file(tmp_path):
    dim(tmp_path, max_epochs=1).fit(ROWS)
    with (
        pytest.raises(OSError, match=r"The state after epoch 1 could not be written"),
        files_of_at_most(5000),
    ):
        dim(tmp_path, max_epochs=2).fit(ROWS)
    assert len(states(tmp_path)) == 1
    names = {path.name for path in tmp_path.glob("*/*")}
    assert names == {"lock", FILE}


def test_a_file_does_not_say_where_a_fit_writes(tmp_path):
    saved = dim(tmp_path / "states").fit(ROWS)
    saved.save(tmp_path / "dim.safetensors")
    loaded = DIMTransformer.load(tmp_path / "dim.safetensors")
    assert loaded.checkpoint is None
    assert np.array_equal(loaded.transform(ROWS), saved.transform(ROWS))


AS_GIVEN = {"str": str, "Path": Path, "Checkpoint": Checkpoint}


@pytest.mark.parametrize("kind", AS_GIVEN)
def test_the_same_line_run_again_resumes(kind, tmp_path, monkeypatch):
    uninterrupted = dim().fit(ROWS)

    def line():
        return dim(AS_GIVEN[kind](tmp_path)).fit(ROWS)

    with monkeypatch.context() as patch:
        kill_in_epoch(patch, 3)
        with pytest.raises(Killed):
            line()
    (path,) = states(tmp_path)
    written = StateFile(tmp_path, path.parent.name).read()["net"]["epochs"]
    again = line()
    assert len(written) == 2
    for before, after in zip(written, again.history_, strict=False):
        assert before["seconds"] == after["seconds"]  # the epoch was not run again
    assert np.array_equal(uninterrupted.transform(ROWS), again.transform(ROWS))
    assert [e["loss"] for e in uninterrupted.history_] == [e["loss"] for e in again.history_]
    assert states(tmp_path) == [path]


def test_a_fit_without_resume_ignores_the_state_of_a_killed_one(tmp_path, monkeypatch):
    uninterrupted = dim().fit(ROWS)
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, 3)
        with pytest.raises(Killed):
            dim(tmp_path).fit(ROWS)
    n_run = []
    run_epoch = DIMNet.run_single_epoch

    def counting(net, iterator, *args, **kwargs):
        if iterator is not None:
            n_run.append(1)
        return run_epoch(net, iterator, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(DIMNet, "run_single_epoch", counting)
        afresh = dim(Checkpoint(tmp_path, resume=False)).fit(ROWS)
    assert len(n_run) == N_EPOCHS
    assert np.array_equal(uninterrupted.transform(ROWS), afresh.transform(ROWS))
    assert dim(tmp_path).fit(ROWS).history_ == afresh.history_  # the state is the later fit's


UNFIT = {
    "path": [None, 3, b"states"],
    "every_epochs": [0, -1, 1.5, "1"],
    "every_minutes": [0, -2.0, "1"],
    "resume": [None, "yes", 1.0],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in UNFIT.items() for v in values])
def test_unfit_arguments_of_a_checkpoint_are_named(name, value):
    with pytest.raises(ValueError, match=f"^The '{name}' parameter of Checkpoint must be .* Got "):
        Checkpoint(**{"path": "states", name: value})


@pytest.mark.parametrize("value", [3, True, ["states"], b"states"])
def test_another_kind_of_checkpoint_is_refused(value):
    with pytest.raises(ValueError, match=r"^The 'checkpoint' parameter of DIMTransformer must be "):
        dim(value).fit(ROWS)


def test_a_checkpoint_is_a_value():
    checkpoint = Checkpoint("states", every_epochs=2)
    assert checkpoint == Checkpoint("states", every_epochs=2)
    assert checkpoint != Checkpoint("states")
    with pytest.raises(AttributeError):
        checkpoint.path = "elsewhere"
    assert "".join(repr(checkpoint).split()) in "".join(repr(dim(checkpoint)).split())


def joblib_round_trip(value, folder):
    joblib.dump(value, folder / "transformer.joblib")
    return joblib.load(folder / "transformer.joblib")


COPIES = {
    "clone": lambda value, folder: clone(value),
    "pickle": lambda value, folder: pickle.loads(pickle.dumps(value)),
    "joblib": joblib_round_trip,
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("fitted", [False, True])
def test_copies_keep_a_checkpoint(kind, fitted, tmp_path):
    checkpoint = Checkpoint(tmp_path / "states", every_epochs=None, every_minutes=2.5, resume=False)
    transformer = dim(checkpoint, max_epochs=1)
    if fitted:
        transformer.fit(ROWS)
    again = COPIES[kind](transformer, tmp_path)
    assert type(again.checkpoint) is Checkpoint
    assert again.checkpoint == checkpoint
    assert again.get_params() == transformer.get_params()
    if fitted and kind != "clone":
        assert np.array_equal(again.transform(ROWS), transformer.transform(ROWS))


def test_a_search_keeps_a_checkpoint_and_resumes(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path, every_epochs=2)
    grid = {"mi_estimator": ["jsd", "infonce"]}
    first = GridSearchCV(dim(checkpoint, max_epochs=1), grid, cv=2).fit(ROWS)
    assert first.best_estimator_.checkpoint == checkpoint
    assert len(states(tmp_path)) == 2 * 2 + 1
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, 1)  # every fit is complete: none runs an epoch
        second = GridSearchCV(dim(checkpoint, max_epochs=1), grid, cv=2).fit(ROWS)
    for name in ("mean_test_score", "std_test_score"):
        assert np.array_equal(first.cv_results_[name], second.cv_results_[name])


def test_candidates_of_a_search_may_differ_in_their_checkpoint(tmp_path):
    grid = {"checkpoint": [None, str(tmp_path / "path"), Checkpoint(tmp_path / "other")]}
    search = GridSearchCV(dim(max_epochs=1), grid, cv=2).fit(ROWS)
    assert len(set(search.cv_results_["mean_test_score"])) == 1
    assert len(states(tmp_path / "other")) == 2
