"""The state of a fit on disk, so that a fit that was killed goes on as if it had not been.

Each fit has a folder of its own, named by a digest of everything that decides its result: its
parameters and its data. It holds one file, that of `skdim.files`, which is replaced in one step: it
is whole, or that of an earlier epoch.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from skdim.files import read, write
from skdim.fingerprint import fingerprint
from skdim.pickling import as_arrays, as_tensors
from skdim.ranks import ALONE, Ranks
from skdim.sources import Samples, blocks
from skdim.versions import __version__

try:
    import fcntl
except ImportError:  # Windows: whoever starts the same fit twice there has two writers
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("skdim")

FILE = "state.safetensors"

# Parameters that do not change what is learned, or say so by themselves.
WITHOUT_EFFECT = {
    "callbacks",
    "checkpoint",
    "checkpoint_epochs",
    "checkpoint_minutes",
    "data_on_device",
    "device",
    "distributed",
    "output",
    "random_state",
    "resume",
    "transform_batch_size",
    "verbose",
    "warm_start",
}


class Checkpoint:
    """One fit's place on disk.

    Parameters
    ----------
    folder : path
        Shared by as many fits as like.
    key : str
        Of this one, from `key_of`.
    ranks : Ranks
        All read, the first writes.
    """

    def __init__(self, folder: str | os.PathLike, key: str, ranks: Ranks = ALONE):
        self.ranks = ranks
        self.folder = Path(folder) / key
        self.path = self.folder / FILE

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the place for one fit alone, inside the block.

        Raises
        ------
        ValueError
            If another fit holds it, or nothing can be written there.
        """
        if not self.ranks.is_first:
            yield
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = open(self.folder / "lock", "w")  # noqa: SIM115  # closed below
        except OSError as error:
            raise ValueError(
                "The 'checkpoint' parameter must name a folder that can be written to. "
                f"Got {str(self.folder.parent)!r}: {error.strerror}."
            ) from None
        with lock:
            if fcntl is not None:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a killed process lets go
                except OSError:
                    raise ValueError(
                        f"The 'checkpoint' parameter names a folder where another fit with the "
                        f"same parameters and data is at work: {self.folder}."
                    ) from None
            for draft in self.folder.glob(f".{FILE}.*"):  # of a fit that was killed
                draft.unlink()
            yield

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the state by a later one, in one step."""
        if self.ranks.is_first:
            write(self.path, as_arrays({**state, "circumstances": circumstances(self.ranks)}))

    def read(self) -> dict[str, Any] | None:
        """Return the last state, arrays as tensors; None if there is none.

        Raises
        ------
        FileError
            If the file was damaged.
        ValueError
            If it was written in other circumstances, in which training would not go on exactly.
        """
        if not self.path.exists():
            return None
        state = read(self.path, {})
        here = circumstances(self.ranks)
        for name, value in state.pop("circumstances").items():
            if here[name] != value:
                raise ValueError(
                    f"The fit in {self.folder} cannot go on exactly: it was written with {name} "
                    f"{value}, and here is {name} {here[name]}. Set resume=False to start afresh."
                )
        return {name: as_tensors(value) for name, value in state.items()}


def circumstances(ranks: Ranks) -> dict[str, str]:
    """Return what the last bits of a step depend on, besides parameters and data."""
    return {
        "skdim": __version__,
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "ranks": str(ranks.n_ranks),
    }


def key_of(
    params: Mapping[str, Any], decided: Mapping[str, Any], samples: Samples, groups: Any
) -> str:
    """Return the name of a fit: a digest of all that decides what it learns.

    Parameters
    ----------
    params : mapping of str to value
        Of the constructor.
    decided : mapping of str to value
        What ``fit`` made of them: its seed, device and precision, weights that it starts from.
    samples : ndarray or StoredSamples, of shape (n, channels, *sides)
        Read once, from one end to the other.
    groups : ndarray of shape (n,) or None
    """
    what = {name: value for name, value in params.items() if name not in WITHOUT_EFFECT}
    found = hashlib.blake2b(digest_size=16)
    found.update(json.dumps([fingerprint(what), fingerprint(decided)]).encode())
    found.update(f"{samples.shape} {samples.dtype.str}".encode())
    for rows in blocks(samples.shape):
        found.update(np.ascontiguousarray(samples[rows]).data)
    if groups is not None:
        found.update(np.ascontiguousarray(groups).data)
    return found.hexdigest()


class WriteCheckpoints(Callback):
    """Write the state of training after epochs, and at its end.

    Parameters
    ----------
    checkpoint : Checkpoint
    n_epochs : int or None
        Epochs from one state to the next.
    minutes : float or None
        Minutes after which one is due, with the next epoch that ends.
    kept : dict
        What else the fit needs to go on.
    """

    def __init__(
        self, checkpoint: Checkpoint, n_epochs: int | None, minutes: float | None, kept: dict
    ):
        self.checkpoint = checkpoint
        self.n_epochs = n_epochs
        self.minutes = minutes
        self.kept = kept

    def on_train_begin(self, net, **kwargs):
        """Start the clock."""
        self.last_epoch, self.last_time = net.n_whole_epochs, time.monotonic()

    def on_epoch_end(self, net, **kwargs):
        """Write, if it is time to."""
        n_since = net.n_whole_epochs - self.last_epoch
        minutes_since = self.checkpoint.ranks.from_first((time.monotonic() - self.last_time) / 60)
        is_due = (
            (self.n_epochs is not None and n_since >= self.n_epochs)
            or (self.minutes is not None and minutes_since >= self.minutes)
            or net.is_over
            or net.is_stopping
        )
        if is_due:
            try:
                self.checkpoint.write({**self.kept, "net": net.state()})
            except OSError as error:
                raise OSError(
                    error.errno,
                    f"The state after epoch {net.n_whole_epochs} could not be written "
                    f"({error.strerror}); that of an earlier epoch, if there was one, is whole",
                    str(self.checkpoint.path),
                ) from None
            self.last_epoch, self.last_time = net.n_whole_epochs, time.monotonic()
            logger.info(
                "State after epoch %d written to %s.", net.n_whole_epochs, self.checkpoint.path
            )
