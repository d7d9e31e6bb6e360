"""Claim: Ctrl-C loses no complete epoch, whenever it comes, whatever is fitted.

Command: python -m tests.stress.stress_interrupts
n: 300 real interrupts (--interrupts), of tables, images, signals and averaged weights in turn
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import os
import signal
import threading
import warnings
from contextlib import suppress

import numpy as np
from sklearn.datasets import load_digits
from skorch.callbacks import Callback

from benchmarks.common import argument_parser, print_machine, verdict
from skdim import DIMTransformer

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


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--interrupts", type=int, default=300)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print_machine()
    draws = np.random.default_rng(1)
    n_each = -(-arguments.interrupts // len(KINDS))
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
