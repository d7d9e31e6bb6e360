"""Claim: Ctrl-C loses no complete epoch, whenever it comes, whatever is fitted.

Command: python -m tests.robustness.stress_interrupts [--processes 2]
n: 300 real interrupts (--interrupts), of tables, images, signals and averaged weights in turn; of
    several processes, each reached 0 to 50 ms after the first, or only one of them
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import suppress

import numpy as np
import torch
from sklearn.datasets import load_digits
from skorch.callbacks import Callback

from benchmarks.common import argument_parser, print_machine, verdict
from skdim import DIMTransformer
from skdim._runtime.distributed import ProcessGroup, join_process_group

RNG = np.random.default_rng(0)
SMALL = {"encoder_params": {"width": 8, "n_hidden": 64}}
KINDS = {
    "tables": (RNG.normal(size=(400, 6)).astype(np.float32), {}),
    "images": (load_digits().images[:200], SMALL),
    "signals": (RNG.normal(size=(120, 2, 64)).astype(np.float32), {"channel_axis": 1, **SMALL}),
    "averaged weights": (RNG.normal(size=(400, 6)).astype(np.float32), {"weight_averaging": 1.0}),
}


class CountEpochs(Callback):
    """Counts the complete epochs, where a copy of this callback counts too."""

    def __init__(self):
        self.epochs = []

    def on_epoch_end(self, net, **kwargs):
        """Note one."""
        self.epochs.append(len(net.history))


def interrupted_fit(X: np.ndarray, params: dict, seconds: float) -> tuple[DIMTransformer, int]:
    """Fit until Ctrl-C, some seconds after the start; return how many epochs were complete."""
    count = CountEpochs()
    settings = {"n_components": 4, "batch_size": 50, "random_state": 0, "device": "cpu"}
    endless = {"max_epochs": 10**5, "lr_schedule": "constant", "callbacks": [count]}
    dim = DIMTransformer(**{**settings, **endless, **params})
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with suppress(KeyboardInterrupt):
        dim.fit(X)
    timer.join()
    return dim, len(count.epochs)


def is_whole(dim: DIMTransformer, n_epochs: int, X: np.ndarray) -> bool:
    """Return whether a transformer is as of its last complete epoch, or unfitted before one."""
    if not dim.__sklearn_is_fitted__():
        return n_epochs == 0
    counts = dim.n_iter_ == len(dim.history_) == n_epochs
    return counts and bool(np.isfinite(dim.transform(X)).all())


# ---------------------------------------------------------------- several processes


def interrupt_together(processes: ProcessGroup, name: str, draws: np.random.Generator) -> list:
    """Fit in all processes, with Ctrl-C; return what each of them was left with.

    Half of the fits would end by themselves at about that time.
    """
    X, params = KINDS[name]
    seconds = draws.uniform(0.1, 2.0) + draws.uniform(0, 0.05, processes.world_size)
    only, n_epochs = draws.integers(-1, processes.world_size), int(draws.choice([5, 10**5]))
    settings = {"n_components": 4, "batch_size": 50, "random_state": 0, "device": "cpu"}
    fresh = {"max_epochs": n_epochs, "lr_schedule": "constant", "distributed": True}
    dim, is_raised = DIMTransformer(**{**settings, **fresh, **params}), False
    signalled = (os.getpid(), signal.SIGINT) if only in (-1, processes.rank) else (os.getpid(), 0)
    timer = threading.Timer(seconds[processes.rank], os.kill, signalled)
    processes.any(True)  # start the clocks together
    timer.start()
    try:
        dim.fit(X)
        timer.join()  # a signal that comes after the fit
    except KeyboardInterrupt:
        is_raised = True
    timer.join()
    is_fitted = dim.__sklearn_is_fitted__()
    features = dim.transform(X).tobytes() if is_fitted else b""
    found = (dim.n_iter_ if is_fitted else 0, hashlib.sha256(features).hexdigest())
    return processes.all_gather((is_raised or n_epochs == 5, *found))


def interrupt_processes(n_each: int) -> dict:
    """Return the claims, seen from one of several processes."""
    processes, draws = join_process_group(torch.device("cpu")), np.random.default_rng(1)
    claims = {}
    for name in KINDS:
        fits = [interrupt_together(processes, name, draws) for _ in range(n_each)]
        n_faults = sum(not left[0][0] or len(set(left)) > 1 for left in fits)
        n_kept = sum(left[0][1] > 0 for left in fits)
        claim = f"{name}: {n_each} interrupts of {processes.world_size} processes, "
        claim += f"{n_kept} after an epoch, {n_faults} left with different things"
        claims[claim] = n_faults == 0 and n_kept > 0
    return claims


def launch(n_processes: int, n_interrupts: int) -> int:
    """Run this module in several processes of one thread; return the exit code."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(n_processes), "-m", "tests.robustness.stress_interrupts"]
    return subprocess.run(
        [*command, "--interrupts", str(n_interrupts)], env={**os.environ, "OMP_NUM_THREADS": "1"}
    ).returncode


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--interrupts", type=int, default=300)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    n_each = -(-arguments.interrupts // len(KINDS))
    if arguments.processes > 1:
        sys.exit(launch(arguments.processes, arguments.interrupts))
    if "RANK" in os.environ:
        claims = interrupt_processes(n_each)
        if os.environ["RANK"] == "0":
            verdict(claims)
        return
    print_machine()
    draws = np.random.default_rng(1)
    claims = {}
    for name, (X, params) in KINDS.items():
        DIMTransformer(4, max_epochs=1, device="cpu", **params).fit(X)  # imports are done
        fits = [interrupted_fit(X, params, draws.uniform(0.02, 0.6)) for _ in range(n_each)]
        n_faults = sum(not is_whole(dim, n_epochs, X) for dim, n_epochs in fits)
        n_kept = sum(n_epochs > 0 for _, n_epochs in fits)
        claim = f"{name}: {n_each} interrupts, {n_kept} after an epoch, {n_faults} faults"
        claims[claim] = n_faults == 0 and n_kept > 0
    verdict(claims)


if __name__ == "__main__":
    main()
