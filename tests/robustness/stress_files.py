"""Claim: files of skdim keep the promises of SECURITY.md; each promise is a line with its figure.

Command: python -m tests.robustness.stress_files
n: 2,000 hostile files and 2,000 of another structure (--files 20000 takes an hour)
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import multiprocessing
import pickle
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import onnxruntime
from sklearn.datasets import load_digits

import skdim
from benchmarks.common import ROOT, argument_parser, print_machine, verdict
from skdim import DIMTransformer

# Programs that change files, and what each of them claims.
CAMPAIGNS = {
    "hostile.py": "hostile files: no crash, no code run, a sentence each",
    "structural.py": "files of another structure: no crash, no other error, twice the memory",
}


def weights_of(dim: DIMTransformer) -> int:
    """Return the bytes of all weights that ``transform`` uses."""
    tensors = dim.encoder_.state_dict().values()
    arrays = [part for readout in dim.model_.readouts.values() for part in readout[1:]]
    return sum(t.numel() * t.element_size() for t in tensors) + sum(
        array.nbytes for array in arrays if array is not None
    )


def transform(given):
    """Transform a chunk, in another process."""
    dim, X = given
    return dim.transform(X)


def largest_gap(answers, expected) -> float:
    """Return the largest difference between features in parts and features at once."""
    return float(np.abs(np.concatenate(answers) - expected).max())


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--files", type=int, default=2000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print_machine()
    X = load_digits().images
    dim = DIMTransformer(max_epochs=3, random_state=0).fit(X)
    expected = dim.transform(X)
    jobs = [(dim, part) for part in np.array_split(X, 4)]
    claims = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dim.safetensors"
        dim.save(path)
        again = DIMTransformer.load(path)
        gap = largest_gap([again.transform(X)], expected)
        claims[f"save and load: largest difference of a feature {gap:g}, none"] = gap == 0
        start = time.perf_counter()
        DIMTransformer.load(path)
        print(f"load: {time.perf_counter() - start:.3f} s, {path.stat().st_size / 2**20:.1f} MiB")
        trimmed = pickle.loads(pickle.dumps(dim)).trim()
        for name, dump in (("safetensors", trimmed.save), ("joblib", joblib_dump(trimmed))):
            dump(path)
            ratio = path.stat().st_size / weights_of(trimmed)
            claims[f"{name}, trimmed: {ratio:.3f} times its weights, at most 1.1"] = ratio <= 1.1
        dim.export_onnx(path)
        (features,) = onnxruntime.InferenceSession(path).run(None, {"X": X.astype(np.float32)})
        gap = largest_gap([features], expected)
        claims[f"ONNX: largest difference of a feature {gap:.1e}, at most 1e-4"] = gap <= 1e-4
    pickled = pickle.dumps(dim)
    for unwanted in (b"skorch", b"_rebuild_tensor", b"cuda"):
        claims[f"pickle without {unwanted.decode()}"] = unwanted not in pickled
    with ThreadPoolExecutor(16) as pool:
        parts = list(pool.map(transform, [(dim, part) for part in np.array_split(X, 64)]))
    gap = largest_gap(parts, expected)
    claims[f"16 threads: largest difference {gap:g}, none"] = gap == 0
    with joblib.parallel_backend("loky", n_jobs=2):
        gap = largest_gap(
            joblib.Parallel()(joblib.delayed(transform)(job) for job in jobs), expected
        )
    claims[f"loky: largest difference {gap:g}, at most 1e-5"] = gap <= 1e-5
    for method in ("spawn", "fork"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            gap = largest_gap(pool.map_async(transform, jobs).get(timeout=300), expected)
        claims[f"{method}: largest difference {gap:g}, at most 1e-5"] = gap <= 1e-5
    print(f"types that skops is to trust: {skdim.get_skops_trusted()}")
    for program, claim in CAMPAIGNS.items():
        path = ROOT / "tests" / "helpers" / program
        campaign = subprocess.run(
            [sys.executable, path, str(arguments.files)], stdout=subprocess.PIPE, text=True
        )
        print(campaign.stdout)
        claims[f"{arguments.files} {claim}"] = campaign.returncode == 0
    verdict(claims)


def joblib_dump(dim):
    """Return a function that writes to a path."""
    return lambda path: joblib.dump(dim, path)


if __name__ == "__main__":
    main()
