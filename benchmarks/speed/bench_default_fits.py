"""Claim: default fits of small data take seconds, and their features are as good as before.

Wine, breast cancer, 1,000 rows of 30 and 5,000 of 20 columns (Gaussian clusters), and digits.
Seconds of ``DIMTransformer(random_state=0).fit`` on all samples, in a new process each, without
imports, and of ``transform``. The accuracy is that of LogisticRegression on a third of the samples,
trained on the others (one seed). With ``--against FOLDER``, the same of another version of skdim,
in turn. ``--signals`` adds 2,700 tones in noise of 4,096 points.

The medians must not exceed 2, 2, 4, 7 and 9 seconds.

Command: python -m benchmarks.speed.bench_default_fits
n: 5 processes of each kind (--rounds)
Hardware: 2 cores of an AMD EPYC (Zen 5), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

from benchmarks.common import argument_parser, compare_versions, save, verdict

JOB = """
import json, sys, time, warnings
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skdim import DIMTransformer
warnings.simplefilter("ignore")

def clusters(n, n_columns):
    X, y = make_classification(n, n_columns, n_informative=10, n_classes=4, random_state=0)
    return X.astype(np.float32), y

def digits():
    return load_digits().images, load_digits().target

def tones():
    rng = np.random.default_rng(0)
    n, t = 2700, np.arange(4096)
    y = rng.integers(0, 10, n)
    pitch = 0.01 * (1 + y[:, None]) * rng.uniform(0.97, 1.03, (n, 1))
    X = np.sin(2 * np.pi * (pitch * t + rng.random((n, 1)))) + rng.normal(size=(n, len(t)))
    return X.astype(np.float32), y

kind = sys.argv[1]
make = {
    "wine": lambda: load_wine(return_X_y=True),
    "cancer": lambda: load_breast_cancer(return_X_y=True),
    "1,000 x 30": lambda: clusters(1000, 30),
    "5,000 x 20": lambda: clusters(5000, 20),
    "digits": digits,
    "signals": tones,
}[kind]
X, y = make()
params = {"channel_axis": None} if kind == "signals" else {}
start = time.perf_counter()
dim = DIMTransformer(random_state=0, **params).fit(X)
fitted = time.perf_counter()
features = dim.transform(X)
read = time.perf_counter()
train, test, y, y_test = train_test_split(features, y, test_size=1 / 3, random_state=0, stratify=y)
classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(train, y)
accuracy = classifier.score(test, y_test)
print(json.dumps({"fit": fitted - start, "transform": read - fitted, "accuracy": accuracy}))
"""
# Seconds of a fit at most.
LIMITS = {"wine": 2.0, "cancer": 2.0, "1,000 x 30": 4.0, "5,000 x 20": 7.0, "digits": 9.0}


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", help="a folder with another version of skdim")
    parser.add_argument("--signals", action="store_true")
    arguments = parser.parse_args()
    medians = {}
    for kind in [*LIMITS, *(["signals"] if arguments.signals else [])]:
        medians[kind] = compare_versions(JOB, kind, arguments.against, arguments.rounds)
        for name, values in medians[kind].items():
            print(
                f"{kind + ', ' + name:<20} fit {values['fit']:6.2f} s  transform "
                f"{values['transform']:6.2f} s  accuracy {values['accuracy']:.3f}",
                flush=True,
            )
    save("default_fits", {"rounds": arguments.rounds, "medians": medians})
    fits = {kind: medians[kind]["skdim"]["fit"] for kind in LIMITS}
    verdict(
        {
            f"{kind}: {fits[kind]:.2f} s <= {limit:g} s": fits[kind] <= limit
            for kind, limit in LIMITS.items()
        }
    )


if __name__ == "__main__":
    main()
