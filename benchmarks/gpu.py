"""Claim: on one large GPU, everything that is promised of GPUs holds. In under twelve minutes.

Each step runs in a process of its own, under a limit of its own, and its result is written as it
ends: the command can be interrupted and run again, and goes on with the steps that are missing
(``--fresh`` starts over). A step that fails or runs out of time is written down as such.

Without a GPU, ``--toy`` runs the same steps at a small size on the CPU, and writes nothing: it
shows that they work.

Command: SKDIM_DATA=<folder> make gpu
n: 1 run of each step; medians within steps
Hardware: not measured yet; one GPU
Versions: not measured yet
"""

import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.common import ROOT, Cells, argument_parser, data_loader, verdict
from benchmarks.speed.bench_latency import clock
from benchmarks.speed.bench_throughput import NAMES, build, rate
from skdim import DIMTransformer
from skdim._training.cuda_graph import WORTHWHILE, CUDAGraphCapturer


class Size(NamedTuple):
    """How much a step does; ``seconds`` are those of fit."""

    device: str
    n_images: int | None
    n_test: int
    n_samples: int
    batch_size: int
    transform_batch_size: int | None
    paper_epochs: int
    seconds: tuple[float, ...]


FULL = Size("cuda", None, 10_000, 2048, 64, None, 10, (60, 300))
TOY = Size("cpu", 16, 10, 16, 8, 16, 1, (1,))
# Seconds of a step, and samples per second of the lean step over those of plain PyTorch.
LARGEST_STEP, LEAST_RATIO = 6e-4, 8
# Features of float32 differ by rounding only: skdim switches TF32 off.
LARGEST_DIFFERENCE = 1e-3


def images(size: Size) -> tuple[np.ndarray, ...]:
    """Train and test images with labels: CIFAR-10, or noise for a toy."""
    if size.device == "cpu":
        rng = np.random.default_rng(0)
        shapes = [(n, 32, 32, 3) for n in (size.n_images, size.n_test)]
        X, X_test = (rng.integers(256, size=shape).astype(np.uint8) for shape in shapes)
        return X, np.arange(len(X)) % 10, X_test, np.arange(len(X_test)) % 10
    data = data_loader()
    return *data.load_cifar10("train"), *data.load_cifar10("test")


def suite(size: Size) -> dict:
    """What only a GPU can show, of the test suite."""
    command = [sys.executable, "-m", "pytest", "tests/robustness/test_cuda.py", "-q", "-n0"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(ended.stdout)
    return {"summary": ended.stdout.strip().splitlines()[-1], "holds": ended.returncode == 0}


def modalities(size: Size) -> dict:
    """A fit of each modality; its features on the CPU, and whether its step became a CUDA graph."""
    rng = np.random.default_rng(0)
    n = size.n_samples
    samples = {
        "rows": (rng.normal(size=(n, 12)), {}),
        "signals": (rng.normal(size=(n, 2, 200)).cumsum(2), {"channel_axis": 1}),
        "grey images": (rng.normal(size=(n, 16, 16)).cumsum(2), {}),
        "colour images": (rng.normal(size=(n, 3, 32, 32)).cumsum(3), {}),
        "volumes": (rng.normal(size=(n // 4, 12, 12, 12)).cumsum(3), {"channel_axis": None}),
    }
    captured, capture = [], CUDAGraphCapturer.capture

    def counting(*args):
        replay = capture(*args)
        captured.append(1)  # not before: it may fail
        return replay

    CUDAGraphCapturer.capture = counting
    results = {}
    for name, (X, params) in samples.items():
        captured.clear()
        n_epochs = 1 if size.device == "cpu" else 1 + WORTHWHILE // (len(X) // 128)
        dim = DIMTransformer(
            device=size.device,
            max_epochs=n_epochs,
            output="hidden",
            random_state=0,
            transform_batch_size=size.transform_batch_size,
            **params,
        )
        seconds = clock(partial(dim.fit, X))
        on_device = dim.transform(X[:500])
        on_cpu = dim.to("cpu").transform(X[:500])
        results[name] = {
            "seconds": seconds,
            "largest difference to CPU": float(np.abs(on_device - on_cpu).max()),
            "captured": bool(captured),
        }
    holds = all(
        result["largest difference to CPU"] < LARGEST_DIFFERENCE
        and (result["captured"] or size.device == "cpu")
        for result in results.values()
    )
    return {**results, "holds": holds}


def throughput(size: Size) -> dict:
    """Samples per second of the published step, and of the lean one; at least 8 times as many."""
    X = images(size)[0][: 5 * size.n_samples]  # steps enough to be worth a CUDA graph
    rates = {name: rate(name, "jsd", size.batch_size, X) for name in NAMES}
    ratio = rates["c"] / rates["a"]
    named = {NAMES[name]: rates[name] for name in NAMES}
    return {**named, "ratio": ratio, "holds": size.device == "cpu" or ratio >= LEAST_RATIO}


def memory(size: Size) -> dict:
    """Peak GiB of a default fit, by batch size; eight times the batch, at most nine times that."""
    X = images(size)[0][: 2 * size.n_samples]
    peaks = {}
    for batch_size in (size.batch_size, 8 * size.batch_size):
        n_epochs = 1
        if size.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            # So long that steps are captured: the memory of a graph is reserved, not allocated.
            n_epochs = 1 + WORTHWHILE * batch_size // len(X)
        DIMTransformer(batch_size=batch_size, max_epochs=n_epochs, device=size.device).fit(X)
        peak = torch.cuda.max_memory_reserved() if size.device == "cuda" else 0
        peaks[str(batch_size)] = peak / 2**30
    small, large = peaks.values()
    return {**peaks, "holds": large <= 9 * small}


def paper_epochs(size: Size) -> dict:
    """Seconds of an epoch of the paper, with the lean critic; at most 0.6 ms a step."""
    X = images(size)[0]
    dim = build("c", "jsd", 64, max_epochs=size.paper_epochs, device=size.device)
    dim.fit(X)
    epoch = float(np.median([epoch["seconds"] for epoch in dim.history_]))
    step = epoch / -(-len(X) // 64)
    return {
        "seconds of an epoch": epoch,
        "first epoch": dim.history_[0]["seconds"],
        "seconds of 1,000 epochs": 1000 * epoch,
        "holds": size.device == "cpu" or step <= LARGEST_STEP,
    }


def cifar10(size: Size) -> dict:
    """Accuracy of default features after a minute and after five; .86 linear and .90 10-NN."""
    X, y, X_test, y_test = images(size)
    results = {}
    for seconds in size.seconds:
        dim = DIMTransformer(
            max_epochs=100_000, max_time=seconds, output="hidden", device=size.device
        ).fit(X)
        train, test = dim.transform(X), dim.transform(X_test)
        linear = LogisticRegression(C=0.01, max_iter=100).fit(train, y).score(test, y_test)
        neighbors = KNeighborsClassifier(10, metric="cosine").fit(train, y)
        results[f"{seconds} s"] = {
            "epochs": dim.n_iter_,
            "linear": linear,
            "10-NN": neighbors.score(test, y_test),
        }
    last = results[f"{size.seconds[-1]} s"]
    enough = last["linear"] >= 0.86 and last["10-NN"] >= 0.90
    return {**results, "holds": size.device == "cpu" or enough}


def latency(size: Size) -> dict:
    """Milliseconds of ``transform`` for one image, and images per second for many."""
    X = images(size)[0]
    dim = DIMTransformer(max_epochs=1, device=size.device).fit(X[:500])
    dim.transform(X[:1])
    one = [clock(partial(dim.transform, X[:1])) for _ in range(50)]
    many = clock(partial(dim.transform, X))
    return {"one, ms": 1e3 * float(np.median(one)), "images per second": len(X) / many}


# Each step, and the seconds that it may take.
STEPS: dict[str, tuple[Callable[[Size], dict], int]] = {
    "suite": (suite, 120),
    "modalities": (modalities, 120),
    "throughput": (throughput, 60),
    "memory": (memory, 40),
    "latency": (latency, 40),
    "paper_epochs": (paper_epochs, 60),
    "cifar10": (cifar10, 600),
}


def run_step(name: str, *, toy: bool) -> dict:
    """Run one step in a process of its own; a failure is a result, too."""
    _, limit = STEPS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.gpu", "--step", name, "--to", str(path)]
        command += ["--toy"] if toy else []
        start = time.perf_counter()
        try:
            ended = subprocess.run(command, cwd=ROOT, timeout=limit, check=False)
            failure = f"ended with {ended.returncode}" if ended.returncode else None
        except subprocess.TimeoutExpired:
            failure = f"took more than {limit} s"
        result = {"failure": failure, "holds": False} if failure else json.loads(path.read_text())
        return {"wall seconds": time.perf_counter() - start, **result}


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=STEPS)
    parser.add_argument("--step", choices=STEPS, help="used by the command itself")
    parser.add_argument("--to", help="used by the command itself")
    arguments = parser.parse_args()
    if arguments.step:
        warnings.simplefilter("ignore")
        function, _ = STEPS[arguments.step]
        Path(arguments.to).write_text(json.dumps(function(TOY if arguments.toy else FULL)))
        return
    if not (arguments.toy or torch.cuda.is_available()):
        print("not measured: there is no GPU")
        return
    results = None if arguments.toy else Cells("gpu", fresh=arguments.fresh)
    claims = {}
    for name in arguments.steps:
        compute = partial(run_step, name, toy=arguments.toy)
        result = compute() if results is None else results.get(name, compute)
        print(f"{name}: {json.dumps(result, indent=1)}", flush=True)
        claims[f"{name}: {STEPS[name][0].__doc__.splitlines()[0]}"] = result.get("holds", True)
    verdict(claims)


if __name__ == "__main__":
    main()
