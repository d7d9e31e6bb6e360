"""Claim: `import skdim` costs at most 0.3 s beside torch and scikit-learn.

Ten processes of each kind in turn; medians.

    python benchmarks/bench_import.py
"""

import subprocess
import sys
import time

import numpy as np
from common import save, verdict

BASE = "import torch, sklearn.pipeline, sklearn.linear_model, sklearn.utils.validation"
IMPORTS = {"torch and scikit-learn": BASE, "skdim": f"{BASE}, skdim"}
N_RUNS = 10


def main():
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
