"""Claim: small jobs do not pay for machinery: a first fit costs little more than the imports.

For 100 rows, 100 digits and 30 signals of 300 points, with ``max_epochs=1``, in a new process each:
the seconds until the first fit is over, imports of torch and scikit-learn included; a second such
fit; and the transform of one sample (median and 99th percentile of 200 calls). Medians over
processes. With ``--against FOLDER``, the same of another version of skdim, in turn.

Command: python -m benchmarks.speed.bench_small_fits
n: 5 processes of each kind (--rounds)
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

from benchmarks.common import argument_parser, compare_versions, save, verdict

JOB = """
import json, sys, time
start = time.perf_counter()
import numpy as np, torch, sklearn.linear_model, sklearn.pipeline
imported = time.perf_counter()
import warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_digits
from skdim import DIMTransformer
rng = np.random.default_rng(0)
X = {"rows": lambda: rng.normal(size=(100, 10)), "digits": lambda: load_digits().images[:100],
     "signals": lambda: rng.normal(size=(30, 300)).cumsum(1)}[sys.argv[1]]()
params = {"channel_axis": None} if sys.argv[1] == "signals" else {}
fit = lambda: DIMTransformer(max_epochs=1, random_state=0, **params).fit(X)
fit()
first = time.perf_counter()
dim = fit()
second = time.perf_counter()
dim.transform(X[:1])
calls = []
for i in range(200):
    before = time.perf_counter()
    dim.transform(X[:1])
    calls.append(time.perf_counter() - before)
print(json.dumps({"imports": imported - start, "first": first - start, "second": second - first,
                  "one sample": float(np.median(calls)), "p99": float(np.quantile(calls, 0.99))}))
"""
# Seconds that the first and the second fit may take beyond the imports, and one sample.
LIMITS = {"rows": (0.4, 0.2, 0.001), "digits": (0.4, 0.3, 0.002), "signals": (0.4, 0.4, 0.002)}


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", help="a folder with another version of skdim")
    arguments = parser.parse_args()
    medians = {
        kind: compare_versions(JOB, kind, arguments.against, arguments.rounds) for kind in LIMITS
    }
    names = list(medians["rows"]["skdim"])
    print(f"{'seconds':<16}" + "".join(f"{key:>12}" for key in names))
    for kind, folder_runs in medians.items():
        for name, values in folder_runs.items():
            row = "".join(f"{values[key]:>12.4f}" for key in names)
            print(f"{kind + ', ' + name:<16}{row}")
    save("small_fits", {"rounds": arguments.rounds, "medians": medians})
    claims = {}
    for kind, (first, second, one) in LIMITS.items():
        ours = medians[kind]["skdim"]
        extra = ours["first"] - ours["imports"]
        claims[f"{kind}: the first fit adds {extra:.2f} s <= {first} s"] = extra <= first
        claims[f"{kind}: the second takes {ours['second']:.2f} s <= {second} s"] = (
            ours["second"] <= second
        )
        claims[f"{kind}: one sample takes {1e3 * ours['one sample']:.2f} ms <= {1e3 * one} ms"] = (
            ours["one sample"] <= one
        )
    verdict(claims)


if __name__ == "__main__":
    main()
