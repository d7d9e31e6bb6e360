"""Claim: 1,024 hidden units and the last map are better features than 2,048 hidden units.

Features of images include averages of the last map over quarters of the image, which the hidden
layer is computed from. Default fits with this map and without it, but with twice as many hidden
units, as before; on photographs, both have 3,072 features. LogisticRegression with 10 and 50 labels
a class (means of three draws) and with all, at most 4,000, on test images; C is the default.
"cifar10", all 50,000 photographs, is measured only if it is named.

In the mean over data sets, the hidden layer must be better with every number of labels, and
components not worse by more than 0.002.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_hidden_layer
n: 2 seeds
Hardware: 1 core with AMX of an Intel Xeon, no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings

import numpy as np

from benchmarks.accuracy.bench_views import compare
from benchmarks.common import Cells, argument_parser, print_machine, verdict
from benchmarks.datasets import load

IMAGES = ("digits", "clothes", "cifar10-5k")
SETTINGS: dict[str, dict] = {
    "units": {"encoder_params": {"n_hidden": 2048, "reads_map": False}},
    "default": {},
}


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--data", nargs="+", default=IMAGES, choices=[*IMAGES, "cifar10"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # a few hundred iterations are a choice
    results = Cells("hidden_layer", fresh=arguments.fresh)
    gains: dict[str, list[float]] = {}
    for name in arguments.data:
        means = compare(results, name, load(name), SETTINGS, arguments.seeds)
        for case, accuracy in means.items():
            gains.setdefault(case, []).append(accuracy["default"] - accuracy["units"])
    print_machine()
    outcomes = {}
    for case, values in gains.items():
        gain = float(np.mean(values))
        outcomes[f"gain of {case}: {gain:+.3f}"] = gain > (0.0 if "hidden" in case else -0.002)
    verdict(outcomes)


if __name__ == "__main__":
    main()
