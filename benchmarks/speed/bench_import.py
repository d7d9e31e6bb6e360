"""Claim: importing DIMTransformer takes at most 0.3 s more than torch and scikit-learn.

Processes that import torch and scikit-learn, with and without DIMTransformer, in turn;
medians. (`import skdim` itself imports nothing of torch; the transformer does, on first use.)

Command: python -m benchmarks.speed.bench_import
n: 10 processes of each kind
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import subprocess
import sys
import time

import numpy as np

from benchmarks.common import argument_parser, save, verdict

BASE = "import torch, sklearn.pipeline, sklearn.linear_model, sklearn.utils.validation"
IMPORTS = {"torch and scikit-learn": BASE, "skdim": f"{BASE}\nfrom skdim import DIMTransformer"}
N_RUNS = 10


def main():
    argument_parser(__doc__).parse_args()
    seconds = {name: [] for name in IMPORTS}
    for _ in range(N_RUNS):
        for name, line in IMPORTS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", line], check=True)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:<24} {median:.2f} s")
    save("import", {"runs": N_RUNS, "seconds": seconds})
    extra = medians["skdim"] - medians["torch and scikit-learn"]
    verdict({f"skdim adds {extra:.2f} s <= 0.3 s": extra <= 0.3})


if __name__ == "__main__":
    main()
