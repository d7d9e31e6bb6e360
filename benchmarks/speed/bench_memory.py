"""Claim: memory grows with the batch size, not with its square.

Peak memory of `fit` above what was in use before it, on 32 x 32 images, the paper's encoder with 64
locations, the lean critic, one view; each setting in a process of its own. At width 512, batch size
4096 takes at most 9 times the memory of batch size 512. infoNCE at batch size 1024 and the paper's
width of 2048 stays under 4 GiB; the formula as published needs over 16 GiB for one tensor.

Command: python -m benchmarks.speed.bench_memory
n: 1 fit a setting, 11 settings
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import json
import resource
import subprocess
import sys
import warnings

import numpy as np
import torch

from benchmarks.common import ROOT, argument_parser, save, verdict
from skdim import DIMTransformer

GIB = 2**30


def peak(batch_size: int, width: int, mi_estimator: str) -> int:
    """Return the peak memory of a fit in this process, in bytes."""
    X = np.random.default_rng(0).integers(0, 256, (batch_size, 32, 32, 3), dtype=np.uint8)
    dim = DIMTransformer.paper(
        "local",
        mi_estimator,
        prior_weight=0.0,
        critic="separable",
        critic_width=width,
        precision="auto",
        batch_size=batch_size,
        max_epochs=2,
        random_state=0,
    )
    # A small fit first, so that what torch loads once is not counted.
    dim.set_params(max_epochs=1, batch_size=64, critic_width=64).fit(X[:64])
    before = _in_use()
    dim.set_params(max_epochs=2, batch_size=batch_size, critic_width=width).fit(X)
    return _in_use() - before


def _in_use() -> int:
    """Return the peak so far, in bytes."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def peak_in_new_process(*arguments) -> int:
    command = [sys.executable, "-m", "benchmarks.speed.bench_memory"]
    command += ["--only", json.dumps(arguments)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return int(ended.stdout)


def main():
    parser = argument_parser(__doc__)
    parser.add_argument(
        "--only", type=json.loads, help="batch size, width, MI estimator; used internally"
    )
    arguments = parser.parse_args()
    if arguments.only:
        warnings.simplefilter("ignore")
        print(peak(*arguments.only))
        return
    rows = []
    for mi_estimator in ("infonce", "jsd"):
        for batch_size in (64, 512, 1024, 2048, 4096):
            used = peak_in_new_process(batch_size, 512, mi_estimator)
            rows.append(
                {"batch": batch_size, "width": 512, "estimator": mi_estimator, "peak": used}
            )
            print(
                f"{mi_estimator:<8} width  512 batch {batch_size:>5} {used / GIB:6.2f} GiB",
                flush=True,
            )
    used = peak_in_new_process(1024, 2048, "infonce")
    rows.append({"batch": 1024, "width": 2048, "estimator": "infonce", "peak": used})
    print(f"infonce  width 2048 batch  1024 {used / GIB:6.2f} GiB")
    save("memory", {"rows": rows})
    of = {(r["estimator"], r["batch"]): r["peak"] for r in rows if r["width"] == 512}
    growth = max(of[e, 4096] / of[e, 512] for e in ("infonce", "jsd"))
    verdict(
        {
            f"batch 4096 takes {growth:.1f} times the memory of batch 512, at most 9": growth <= 9,
            f"infoNCE, batch 1024, width 2048: {used / GIB:.2f} GiB, under 4": used < 4 * GIB,
        }
    )


if __name__ == "__main__":
    main()
