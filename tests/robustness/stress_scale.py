"""Claim: skdim works on more data than memory and in several processes, as docs/scale.md says.

Each promise is a line with its figure. A file of ``--times`` times ``--limit-mib`` is written to
the folder for temporary files, and removed.

Command: python -m tests.robustness.stress_scale
n: 1 fit of 10 x 800 MiB; 3 rounds of scaling efficiency
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn
from torch.nn import functional

from benchmarks.common import ROOT, argument_parser, print_machine, save, verdict
from skdim import DIMTransformer

SIDE = 128  # of the images on disk: 48 KiB each
WORKER = ROOT / "tests" / "helpers" / "distributed_worker.py"
MODULE = "tests.robustness.stress_scale"


class CoarseEncoder(nn.Module):
    """An encoder of a coarse version of images: most of the time is spent on reading them."""

    def __init__(self, sample_shape, n_components):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 32, 4, stride=4), nn.ReLU())
        self.code = nn.Linear(32 * 4, n_components)

    def forward(self, x):
        """Return code, hidden layer and one local map of a 16 x 16 version of images."""
        feature_map = self.layers(functional.adaptive_avg_pool2d(x, 16))  # (n, 32, 4, 4)
        hidden = functional.adaptive_avg_pool2d(feature_map, 2).flatten(1)
        return self.code(hidden), hidden, (feature_map.flatten(2).transpose(1, 2),)


# ---------------------------------------------------------------- more data than memory


def write_images(path: Path, n_bytes: int) -> int:
    """Write noise with a coloured square, 48 KiB an image; return the number of images."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (512, SIDE, SIDE, 3), dtype=np.uint8)
    n_chunks = -(-n_bytes // noise.nbytes)
    with open(path, "wb") as file:
        for i in range(n_chunks):
            chunk = np.roll(noise, i, axis=1)
            chunk[:, :8, :8] = rng.integers(0, 256, (512, 1, 1, 3))
            chunk.tofile(file)
    return n_chunks * len(noise)


def under_a_limit(path: Path, n: int, limit_mib: int) -> None:
    """Fit and transform in this process, under a limit on its memory."""
    warnings.simplefilter("ignore")
    X = np.memmap(path, np.uint8, "r", shape=(n, SIDE, SIDE, 3))
    params = {"encoder": CoarseEncoder, "augment": None, "max_time": 30, "random_state": 0}
    dim = DIMTransformer(**params, device="cpu")
    before = _data_mib()
    resource.setrlimit(resource.RLIMIT_DATA, (limit_mib * 2**20, limit_mib * 2**20))
    start = time.perf_counter()
    dim.fit(X)
    fitted = time.perf_counter()
    features = dim.transform_to(X, path.with_suffix(".npy"))
    seconds = time.perf_counter() - fitted
    dim.partial_fit(X[:4096])
    result = {
        "imports_mib": before,
        "fit_s": fitted - start,
        "transform_s": seconds,
        "features": list(features.shape),
        "finite": bool(np.isfinite(features[-1000:]).all()),
    }
    print(json.dumps(result))


def _data_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmData:")[1].split()[0]) // 1024


def out_of_core(limit_mib: int, times: int, folder: Path) -> tuple[dict, dict]:
    path = folder / "images.u8"
    n = write_images(path, times * limit_mib * 2**20)
    size = path.stat().st_size / 2**20
    command = [sys.executable, "-m", MODULE, "--child", str(path), str(n), str(limit_mib)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    holds = ended.returncode == 0
    result = json.loads(ended.stdout) if holds else {"error": ended.stderr[-500:]}
    print(f"{size:.0f} MiB of images, {limit_mib} MiB of memory:", result)
    claim = f"fit, transform_to, partial_fit of {size:.0f} MiB with {limit_mib} MiB of memory"
    return {claim: holds and result["finite"]}, result


# ---------------------------------------------------------------- more than one process


def torchrun(script: list[str], task: str, folder: Path, world_size: int = 2):
    """Run a task of a script in several processes of one thread."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*command, "--nproc-per-node", str(world_size), *script, task, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
    )


def several_processes(folder: Path) -> dict:
    claims = {}
    worker = [str(WORKER)]
    ended = torchrun(worker, "train", folder)
    errors = json.loads((folder / "errors.json").read_text()) if not ended.returncode else {"": 1}
    worst = max(errors.values())
    name = f"a step of 2 processes against 1, {len(errors)} variants: {worst:.1e}, below 1e-10"
    claims[name] = worst < 1e-10
    dead = torchrun(worker, "die", folder)
    says = "lost another process" in dead.stderr or "Signal 9" in dead.stderr
    claims["a process that dies ends the job with a sentence"] = dead.returncode != 0 and says
    resumed = torchrun(worker, "resume", folder).returncode == 0
    if resumed:
        files = [np.load(folder / f"{name}0.npz")["features"] for name in ("whole", "resumed")]
        gap = float(np.abs(files[0] - files[1]).max())
        claims[f"resumed, features differ by {gap:g}: none"] = gap == 0
    claims["resumed after a process died"] = resumed
    return claims


def speed(folder: Path) -> None:
    """Measure the samples per second of all processes, in one of them."""
    warnings.simplefilter("ignore")
    X = np.random.default_rng(0).integers(0, 256, (2048, 32, 32, 3), dtype=np.uint8)
    world_size = int(os.environ["WORLD_SIZE"])
    for name, batch in (("same batch", 256), ("same batch of each", 128 * world_size)):
        params = {"batch_size": batch, "distributed": world_size > 1, "device": "cpu"}
        dim = DIMTransformer(max_epochs=5, random_state=0, **params).fit(X)
        per_second = np.median([epoch["samples_per_second"] for epoch in dim.history_[1:]])
        if os.environ["RANK"] == "0":
            path = folder / f"{name} {world_size}.json"
            path.write_text(json.dumps(float(per_second)))


def efficiency(folder: Path) -> tuple[dict, dict]:
    """Two processes of one thread against one of one thread, in turn."""
    table: dict[str, list[float]] = {"same batch": [], "same batch of each": []}
    for _ in range(3):
        for world_size in (1, 2):
            torchrun(["-m", MODULE], "--speed", folder, world_size)
        for name, ratios in table.items():
            one, two = (json.loads((folder / f"{name} {n}.json").read_text()) for n in (1, 2))
            ratios.append(two / one / 2)
    medians = {name: float(np.median(ratios)) for name, ratios in table.items()}
    for name, ratios in table.items():
        print(f"scaling efficiency, {name}: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    worst = min(medians.values())
    return {f"2 processes of one thread: efficiency {worst:.2f}, at least 0.7": worst >= 0.7}, table


# ---------------------------------------------------------------- dask


def dask() -> dict:
    from dask import array
    from distributed import Client, LocalCluster

    X, y = load_digits(return_X_y=True)
    dim = DIMTransformer(16, max_epochs=2, random_state=0, device="cpu")
    grid = {"dimtransformer__critic_width": [32, 64]}
    search = GridSearchCV(make_pipeline(dim, LogisticRegression(max_iter=500)), grid, cv=3)
    claims = {}
    workers = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**workers) as cluster, Client(cluster) as client:
        with joblib.parallel_backend("dask"):
            there = search.set_params(n_jobs=2).fit(X, y).cv_results_["mean_test_score"]
        here = search.set_params(n_jobs=1).fit(X, y).cv_results_["mean_test_score"]
        gap = float(np.abs(there - here).max())
        claims[f"a search over dask: scores differ by {gap:.4f}, at most 0.01"] = gap <= 0.01
        dim.fit(X)
        lazy = dim.transform(array.from_array(X, chunks=(256, 64)))
        gap = float(np.abs(client.compute(lazy).result() - dim.transform(X)).max())
        claims[f"chunks on workers: features differ by {gap:.1e}, at most 1e-5"] = gap <= 1e-5
    return claims


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--limit-mib", type=int, default=800)
    parser.add_argument("--times", type=int, default=10)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        claims, memory = out_of_core(arguments.limit_mib, arguments.times, folder)
        claims |= several_processes(folder)
        efficient, ratios = efficiency(folder)
        claims |= efficient
    claims |= dask()
    save("scale", {"memory": memory, "efficiency": ratios, "claims": claims})
    verdict(claims)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        under_a_limit(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    elif sys.argv[1:2] == ["--speed"]:
        speed(Path(sys.argv[2]))
    else:
        main()
