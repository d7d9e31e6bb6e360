"""Claim: slow features of patches are better than the responses to patches in quarters.

Clothes (12,000 grey images) and photographs (5,000 of CIFAR-10); LogisticRegression on the hidden
layer and on the components of the default network, untrained and after a default fit, with 20
labels a class (mean of three draws) and with all, on the test images. "Quarters" is ``n_slow=0``.
With all labels on the hidden layer, C is 0.01.

The means over data sets must be higher with slow features, untrained and trained, for both outputs,
with few labels and with all.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_slow_features
n: 1 seed
Hardware: 2 cores of an AMD EPYC, no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import warnings
from functools import partial

import numpy as np

from benchmarks.accuracy.bench_features import draw
from benchmarks.common import Cells, argument_parser, fit_and_score, verdict
from benchmarks.datasets import Data, load
from skdim import DIMTransformer

DATA = ("clothes", "cifar10-5k")
N_SLOW = {"quarters": 0, "slow features": 64}
TRAINING = {"untrained": {"max_epochs": 1, "learning_rate": 1e-12}, "trained": {}}
OUTPUTS = ("hidden", "components")
N_PER_CLASS, N_DRAWS, MAX_ITER = 20, 3, 100
C_OF_ALL = {"hidden": 0.1, "components": 1.0}


def cell(data: Data, n_slow: int, params: dict) -> dict:
    """Accuracies by output, with few labels and with all."""
    dim = DIMTransformer(encoder_params={"n_slow": n_slow}, random_state=0, **params).fit(data.X)
    accuracy = {}
    for output in OUTPUTS:
        dim.set_params(output=output)
        train, test = dim.transform(data.X), dim.transform(data.X_test)
        score = partial(fit_and_score, test=test, y_test=data.y_test, max_iter=MAX_ITER)
        draws = [draw(data.y, N_PER_CLASS, [0, i]) for i in range(N_DRAWS)]
        few = [score(train[i], data.y[i])[0] for i in draws]
        every = score(train, data.y, C=C_OF_ALL[output])[0]
        accuracy[output] = {"20 a class": float(np.mean(few)), "all": every}
    return {"accuracy": accuracy}


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--data", nargs="+", default=DATA, choices=DATA)
    parser.add_argument("--training", nargs="+", default=list(TRAINING), choices=TRAINING)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # a hundred iterations are a choice
    results = Cells("slow_features", fresh=arguments.fresh)
    accuracies: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for name in arguments.data:
        data = load(name)
        for training in arguments.training:
            for features, n_slow in N_SLOW.items():
                compute = partial(cell, data, n_slow, TRAINING[training])
                record = results.get(f"{name}|{training}|{features}", compute)["accuracy"]
                for output, by_labels in record.items():
                    text = ", ".join(f"{n}: {value:.3f}" for n, value in by_labels.items())
                    print(f"{name:<16} {training:<10} {features:<14} {output:<11} {text}")
                    for n, value in by_labels.items():
                        columns = accuracies.setdefault((training, output, n), {})
                        columns.setdefault(features, []).append(value)
    claims = {}
    for case, columns in accuracies.items():
        theirs, ours = (float(np.mean(columns[features])) for features in N_SLOW)
        text = f"{', '.join(case)}: {ours:.3f} with slow features, {theirs:.3f} without"
        claims[text] = ours > theirs
    verdict(claims)


if __name__ == "__main__":
    main()
