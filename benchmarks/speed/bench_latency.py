"""Claim: ``transform`` costs little more than its encoder, for one image and for 50,000.

One image: at most 5 times the time of the encoder itself and its fixed features (evaluation mode,
float32, from a standardised tensor to a tensor). 50,000 images: at least 95 % of the images per
second of the same encoder fed by hand from the same bytes on the host, in batches of the same size.
The two are measured in turn; figures are medians. The cold start (import, load, first call) is
printed too.

Command: SKDIM_DATA=<folder> python -m benchmarks.speed.bench_latency
n: 200 pairs of calls for one image, 3 for 50,000 (--rounds)
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch

from benchmarks.common import argument_parser, data_loader, save, verdict
from skdim import DIMTransformer
from skdim._model.inference import encode_in_parts
from skdim.encoders import encode

COLD = """
import time
start = time.perf_counter()
import joblib, numpy as np
from skdim import DIMTransformer
imported = time.perf_counter()
dim = joblib.load({path!r})
loaded = time.perf_counter()
X = np.load({data!r})
before = time.perf_counter()
dim.transform(X[:1])
first = time.perf_counter()
dim.transform(X[:1])
second = time.perf_counter()
print(imported - start, loaded - imported, first - before, second - first)
"""


def clock(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def feed_by_hand(dim: DIMTransformer, X: np.ndarray, size: int) -> np.ndarray:
    """Encode as one would write it by hand, from the encoder and the bytes."""
    device = dim.device_
    mean, scale = (
        torch.from_numpy(s.astype(np.float32)).reshape(1, 3, 1, 1).to(device)
        for s in (dim.mean_, dim.scale_)
    )
    units = []
    with torch.inference_mode():
        for part in torch.from_numpy(X).split(size):
            batch = (part.to(device).permute(0, 3, 1, 2).float() - mean) / scale
            encoding = encode_in_parts(dim.encoder_, batch, len(batch))
            units.append(torch.cat([encoding.hidden, encoding.fixed], 1).cpu().numpy())
    return np.concatenate(units)


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=50_000)
    arguments = parser.parse_args()
    X, _ = data_loader().load_cifar10("train", n=arguments.images)
    dim = DIMTransformer(max_epochs=1, random_state=0).fit(X[:2000])
    size = dim.model_.batch_size()
    seconds = {"transform": {}, "bare": {}}

    one = torch.from_numpy(X[:1]).permute(0, 3, 1, 2).float().to(dim.device_)
    one = one.contiguous(memory_format=torch.channels_last)

    def bare():
        with torch.inference_mode():
            encode(dim.encoder_, one).fixed.cpu()

    dim.transform(X[:1])
    pairs = [(clock(lambda: dim.transform(X[:1])), clock(bare)) for _ in range(200)]
    seconds["transform"][1], seconds["bare"][1] = np.median(pairs, 0).tolist()
    for n in (100, len(X)):
        ours, theirs = partial(dim.transform, X[:n]), partial(feed_by_hand, dim, X[:n], size)
        repeats = 50 if n == 100 else arguments.rounds
        pairs = [(clock(ours), clock(theirs)) for _ in range(repeats)]
        seconds["transform"][n], seconds["bare"][n] = np.median(pairs, 0).tolist()
        if n > 100:
            share = float(np.median([theirs / ours for ours, theirs in pairs]))
    print(f"{'images':>7} {'transform':>12} {'bare encoder':>13}")
    for n, ours in seconds["transform"].items():
        print(f"{n:>7} {1e3 * ours:>9.2f} ms {1e3 * seconds['bare'][n]:>10.2f} ms")
    with tempfile.TemporaryDirectory() as folder:
        path, data = str(Path(folder) / "dim.joblib"), str(Path(folder) / "X.npy")
        joblib.dump(dim, path)
        np.save(data, X[:1])
        command = [sys.executable, "-c", COLD.format(path=path, data=data)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    cold = dict(
        zip(("import", "load", "first", "second"), map(float, printed.split()), strict=True)
    )
    print("cold start: " + ", ".join(f"{name} {s:.3f} s" for name, s in cold.items()))
    save("latency", {"seconds": seconds, "cold": cold, "share": share})
    times = seconds["transform"][1] / seconds["bare"][1]
    verdict(
        {
            f"one image takes {times:.1f} times the bare encoder, at most 5": times <= 5,
            f"{len(X)} images run at {share:.2f} of the bare encoder, at least 0.95": share >= 0.95,
        }
    )


if __name__ == "__main__":
    main()
