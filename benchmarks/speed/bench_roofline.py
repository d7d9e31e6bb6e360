"""Claim: a default step spends most of its time in products of matrices, near the machine's best.

For images, signals and a table: the floating-point operations of an epoch (convolutions and
products of matrices, forward and backward, as torch counts them), over its seconds; and the best
product of square matrices in the same precision, in the same run. Seconds of an epoch are
the difference of two fits that differ by three epochs; medians. Then the three largest operations
that are not products, with their shares of the processor's time.

Command: python -m benchmarks.speed.bench_roofline
n: 3 rounds (--rounds)
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import time

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import argument_parser, save, verdict
from skdim import DIMTransformer
from skdim._runtime.devices import PRECISIONS

RNG = np.random.default_rng(0)
DATA = {
    "images": (RNG.integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8), {}),
    "signals": (RNG.normal(size=(500, 1024)).cumsum(1), {"channel_axis": None}),
    "table": (RNG.normal(size=(5000, 20)), {}),
}
PRODUCTS = ("conv", "mm", "linear", "matmul", "einsum", "dot")
# At least this share of the best product of matrices.
LEAST = {"images": 0.3, "signals": 0.1, "table": 0.1}


def fit(kind: str, n_epochs: int) -> DIMTransformer:
    X, params = DATA[kind]
    return DIMTransformer(max_epochs=n_epochs, random_state=0, **params).fit(X)


def seconds_of(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def best_product(dtype: torch.dtype) -> float:
    """Floating-point operations per second of the best product of two square matrices."""
    rates = []
    for side in (256, 512, 1024, 2048):
        a, b = torch.randn(2, side, side).to(dtype)
        a @ b
        seconds = min(seconds_of(lambda a=a, b=b: a @ b) for _ in range(5))
        rates.append(2 * side**3 / seconds)
    return max(rates)


def count_operations(kind: str, n_epochs: int) -> int:
    with FlopCounterMode(display=False) as counter:
        fit(kind, n_epochs)
    return counter.get_total_flops()


def other_operations(kind: str) -> dict[str, float]:
    """Shares of the processor's time of the three largest operations that are not products."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        fit(kind, 3)
    times = {e.key: e.self_cpu_time_total for e in profiler.key_averages()}
    total = sum(times.values())
    others = {k: t / total for k, t in times.items() if not any(p in k for p in PRODUCTS)}
    return dict(sorted(others.items(), key=lambda item: -item[1])[:3])


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    results, claims = {}, {}
    print(f"{'data':<9}{'precision':>10}{'GFLOP/epoch':>13}{'s/epoch':>9}{'GFLOP/s':>9}{'best':>7}")
    for kind, least in LEAST.items():
        dtype = PRECISIONS[fit(kind, 1).model_.precision]
        n_operations = (count_operations(kind, 2) - count_operations(kind, 1)) / 1e9
        pairs = [(seconds_of(lambda k=kind: fit(k, 4)), seconds_of(lambda k=kind: fit(k, 1)),
                  best_product(dtype) / 1e9) for _ in range(arguments.rounds)]  # fmt: skip
        seconds = float(np.median([(long - short) / 3 for long, short, _ in pairs]))
        best = float(np.median([rate for *_, rate in pairs]))
        rate = n_operations / seconds
        name = str(dtype).removeprefix("torch.")
        print(
            f"{kind:<9}{name:>10}{n_operations:>13.1f}{seconds:>9.3f}{rate:>9.1f}{best:>7.0f}",
            flush=True,
        )
        others = other_operations(kind)
        print("  " + ", ".join(f"{key} {share:.2f}" for key, share in others.items()))
        results[kind] = {
            "precision": name,
            "operations": n_operations,
            "seconds": seconds,
            "rate": rate,
            "best": best,
            "others": others,
        }
        claims[f"{kind}: {rate / best:.2f} of the best product, at least {least}"] = (
            rate / best >= least
        )
    save("roofline", results)
    verdict(claims)


if __name__ == "__main__":
    main()
