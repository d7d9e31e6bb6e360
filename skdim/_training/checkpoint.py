"""Checkpoints: the state of a fit on disk, so that a fit that was killed can be resumed exactly.

Each fit has a folder, named by a digest of everything that determines its result: its parameters
and its data. The folder holds one file in the format of `skdim._files.safe`. The file is replaced
in one step, so it is always complete.
"""

import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, validate_parameter_constraints
from skorch.callbacks import Callback

from skdim._files.atomic_write import remove_temporary_files
from skdim._files.conversion import as_arrays, as_tensors
from skdim._files.safe import describe, errors_of_file, read, write
from skdim._files.schema import (
    array,
    boolean,
    dict_of,
    duration,
    integer,
    list_of,
    optional,
    record,
    text,
)
from skdim._model.schema import EPOCH, OPTIMIZER, WEIGHTS
from skdim._runtime.distributed import SINGLE_PROCESS, ProcessGroup
from skdim._training.fingerprint import fingerprint
from skdim._version import FORMAT, __version__
from skdim.exceptions import FileError, VersionWarning, warn
from skdim.sources.arrays import chunk_slices
from skdim.sources.stored import Samples

if TYPE_CHECKING:
    from filelock import FileLock

logger = logging.getLogger("skdim")

FILE = "state.safetensors"

BYTES = array("u1", None)
STATE = record(
    {
        "seed": integer(),
        "circumstances": record(dict.fromkeys(("skdim", "torch", "threads", "processes"), text())),
        "net": record(
            {
                "weights": list_of(WEIGHTS),
                "best": list_of(WEIGHTS),
                "averages": list_of(WEIGHTS),
                "optimizers": dict_of(OPTIMIZER),
                "generator": BYTES,
                "draws": list_of(dict_of(optional(BYTES))),
                "epochs": list_of(EPOCH),
                "step_losses": array("f8", any_shape=True),
                "is_stopping": boolean,
                "seconds": duration,
            }
        ),
    }
)

# Seconds between two looks at whether Ctrl-C came, while another fit holds the file.
WAIT = 0.25

# Errors of a file system that has no locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often ``fit`` writes its state, so that a fit that was killed can go on.

    A value of the ``checkpoint`` parameter of `DIMTransformer`, for more control than a path alone.

    Parameters
    ----------
    path : path
        A folder. Each fit has its own sub-folder, named by its parameters and data: fits of a
        search can share the folder.
    every_epochs : int or None, default=1
        Epochs from one state to the next. None leaves it to ``every_minutes``.
    every_minutes : float or None, default=None
        Minutes from one state to the next, which is written at the end of an epoch. The state
        after the last epoch is always written.
    resume : bool, default=True
        Whether ``fit`` continues from the state of an earlier fit with the same parameters and
        data, if there is one. On a CPU, the result is bit-equal to that of an uninterrupted fit. A
        fit that was complete is not repeated. False starts afresh.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it.

    Examples
    --------
    >>> from skdim import Checkpoint, DIMTransformer
    >>> dim = DIMTransformer(
    ...     checkpoint=Checkpoint("states", every_epochs=None, every_minutes=10)
    ... )
    """

    path: str | os.PathLike
    every_epochs: int | None = 1
    every_minutes: float | None = None
    resume: bool = True

    def __post_init__(self) -> None:
        validate_parameter_constraints(
            {
                "path": [str, os.PathLike],
                "every_epochs": [Interval(Integral, 1, None, closed="left"), None],
                "every_minutes": [Interval(Real, 0, None, closed="neither"), None],
                "resume": ["boolean"],
            },
            vars(self),
            caller_name="Checkpoint",
        )


Checkpoint.__module__ = "skdim"  # files refer to it by this name, wherever the module is


def as_checkpoint(checkpoint: str | os.PathLike | Checkpoint | None) -> Checkpoint | None:
    """Turn a path into a `Checkpoint`."""
    if checkpoint is None or isinstance(checkpoint, Checkpoint):
        return checkpoint
    return Checkpoint(checkpoint)


class StateFile:
    """The file that one fit writes its state to, in a folder that many fits share.

    All processes read the file; rank 0 writes it. ``key`` is the name of the fit, from `key_of`.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        key: str,
        processes: ProcessGroup = SINGLE_PROCESS,
    ):
        self.processes = processes
        self.folder = Path(folder) / key
        self.path = self.folder / FILE

    @contextmanager
    def locked(self, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Reserve the file for one fit, inside the ``with`` block; wait for another that has it.

        Another fit with the same parameters and data learns the same: this one then resumes from
        its last state. The lock ends with its process, however that ends. While the fit waits,
        ``check`` is called about four times a second, equally often in every process; an error that
        it raises ends the wait.

        Raises
        ------
        ValueError
            If nothing can be written there.
        """
        from filelock import FileLock  # takes a seventh of a second; most fits have no checkpoint

        lock = FileLock(self.folder / "lock", fallback_to_soft=False)
        is_waiting = False
        try:
            # Rank 0 takes the lock for all processes. The others ask again and again: a process
            # that blocked until rank 0 has the lock would not notice Ctrl-C, and would lose its
            # connection after half an hour.
            while not self.processes.broadcast(self.processes.is_main and self._acquire(lock)):
                if self.processes.is_main and not is_waiting:
                    logger.info("Waiting for another process that holds %s.", lock.lock_file)
                is_waiting = True
                check()
            yield
        finally:
            lock.release()

    def _acquire(self, lock: "FileLock") -> bool:
        """Return whether this process may write: it has the lock, or nothing can be locked."""
        from filelock import Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=WAIT)
        except Timeout:
            return False
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise ValueError(
                    "The 'checkpoint' parameter must name a folder that can be written to. "
                    f"Got {str(self.folder.parent)!r}: {error.strerror}."
                ) from None
            logger.warning(
                "%s cannot be locked (%s): do not start a fit twice.",
                lock.lock_file,
                error.strerror,
            )
        remove_temporary_files(self.path)  # of a fit that was killed
        return True

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the state by a later one, in one step."""
        if self.processes.is_main:
            state = {**state, "circumstances": circumstances(self.processes)}
            write(self.path, as_arrays(state), always=tuple(state), kind="checkpoint")

    def read(self) -> dict[str, Any] | None:
        """Return the last state, with tensors for arrays; None if there is none.

        Raises
        ------
        FileError
            If the file was damaged.
        ValueError
            If it was written in other circumstances, in which training would not go on exactly.

        Warns
        -----
        VersionWarning
            If there is none, but another version of skdim wrote states to the folder, which gave
            this fit another name.
        """
        if not self.path.exists():
            self._warn_of_other_versions()
            return None
        origin = describe(self.path)
        self._check_circumstances({"format": str(origin.format), "skdim": origin.version})
        state = read_state(self.path)
        tensors = {name: as_tensors(value) for name, value in state.items()}
        self._check_circumstances(tensors.pop("circumstances"))
        return tensors

    def _check_circumstances(self, written_in: Mapping[str, str]) -> None:
        """Raise ValueError if a state was written in other circumstances than the present ones."""
        present = {"format": str(FORMAT), **circumstances(self.processes)}
        for name, value in written_in.items():
            if present[name] != value:
                raise ValueError(
                    f"The fit in {self.folder} cannot be resumed exactly: it was written with "
                    f"{name} {value}, and here is {name} {present[name]}. Set the 'checkpoint' "
                    f"parameter to Checkpoint({str(self.folder.parent)!r}, resume=False) to start "
                    "afresh."
                )

    def _warn_of_other_versions(self) -> None:
        """Warn if the shared folder holds states of fits by other versions of skdim."""
        if not self.processes.is_main:
            return
        others = set()
        for path in self.folder.parent.glob(f"*/{FILE}"):
            with suppress(FileError, OSError):  # files of others are not this fit's concern
                origin = describe(path)
                others.add((origin.version, origin.format))
        others.discard((__version__, FORMAT))
        if others:
            names = (f"{version} (format {number})" for version, number in sorted(others))
            warn(
                f"{self.folder.parent} holds states of fits by skdim {', '.join(names)}, which "
                f"skdim {__version__} (format {FORMAT}) does not continue: if this fit is one of "
                "them, it starts again. Continue it with the version that wrote it.",
                VersionWarning,
            )


def read_state(path: str | os.PathLike) -> dict[str, Any]:
    """Read a state and check it against its schema; raise FileError if it does not follow it."""
    state = read(path, {}, kind="checkpoint")
    with errors_of_file(path):
        STATE(state, "state")
    return state


def circumstances(processes: ProcessGroup) -> dict[str, str]:
    """Return the versions and settings that decide the last bits of a step."""
    return {
        "skdim": __version__,
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "processes": str(processes.world_size),
    }


def key_of(
    choices: Mapping[str, Any],
    callbacks: Sequence[Any],
    samples: Samples,
    groups: Any,
    check: Callable[[], None] = lambda: None,
) -> str:
    """The name of a fit: a digest of everything that determines what it learns.

    ``choices`` are configuration, seed, device, and the weights where training starts. The samples
    are read once, in order; ``check`` is called before each chunk is read.
    """
    identified = [_identify(callback) for callback in callbacks]
    digest = hashlib.blake2b(digest_size=16)
    digest.update(fingerprint((choices, identified)).encode())
    digest.update(f"{samples.shape} {samples.dtype.str}".encode())
    for chunk in chunk_slices(samples.shape):
        check()
        digest.update(np.ascontiguousarray(samples[chunk]).data)
    if groups is not None:
        digest.update(np.ascontiguousarray(groups).data)
    return digest.hexdigest()


def _identify(callback: Any) -> str:
    """Fingerprint of a callback; that of its class, if it holds a trial or a writer."""
    callback = callback[1] if isinstance(callback, tuple) else callback
    try:
        return fingerprint(callback)
    except Exception:  # an object that cannot be pickled may raise any error
        return fingerprint(type(callback))


class WriteCheckpoints(Callback):
    """Write the state of training after epochs, as often as a checkpoint says, and at its end.

    ``constants`` are further values that a resumed fit needs, which do not change during training.
    """

    def __init__(self, file: StateFile, checkpoint: Checkpoint, constants: dict):
        self.file = file
        self.checkpoint = checkpoint
        self.constants = constants

    def on_train_begin(self, net, **kwargs):
        """Start the clock."""
        self.last_epoch, self.last_time = net.n_whole_epochs, time.monotonic()

    def on_epoch_end(self, net, **kwargs):
        """Write the state if it is due."""
        if not self._is_due(net):
            return
        try:
            self.file.write({**self.constants, "net": net.state()})
        except OSError as error:
            raise OSError(
                error.errno,
                f"The state after epoch {net.n_whole_epochs} could not be written "
                f"({error.strerror}); that of an earlier epoch, if there was one, is intact",
                str(self.file.path),
            ) from None
        self.last_epoch, self.last_time = net.n_whole_epochs, time.monotonic()
        logger.info("State after epoch %d written to %s.", net.n_whole_epochs, self.file.path)

    def _is_due(self, net) -> bool:
        minutes = self.file.processes.broadcast((time.monotonic() - self.last_time) / 60)
        every_epochs, every_minutes = self.checkpoint.every_epochs, self.checkpoint.every_minutes
        is_stopping = self.file.processes.any(net.is_stopping)
        return (
            (every_epochs is not None and net.n_whole_epochs - self.last_epoch >= every_epochs)
            or (every_minutes is not None and minutes >= every_minutes)
            or net.is_over
            or is_stopping
        )
