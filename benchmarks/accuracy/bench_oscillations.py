"""Claim: on long signals that oscillate, training on spectrograms beats spectrograms themselves.

2,000 synthetic words of 4,096 points, 10 classes (`benchmarks.sounds`); LogisticRegression with all
labels and with 20 a class (mean of four draws), on 1,000 other words. "Log spectrogram" is the mean
and the maximum of each quarter of the log power in windows of 128 points, standardised, and its
first 64 principal components. "Signal" is the encoder for signals that do not oscillate. With
defaults, components are above the log spectrogram by 0.02 with all labels and with few.

Command: python -m benchmarks.accuracy.bench_oscillations
n: 3 seeds of the fit
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import time
import warnings
from functools import partial

import numpy as np
from sklearn.decomposition import PCA

from benchmarks.accuracy import bench_features
from benchmarks.accuracy.bench_features import draw
from benchmarks.common import Cells, argument_parser, fit_and_score, verdict
from benchmarks.datasets import Data, words
from skdim import DIMTransformer

Features = dict[str, tuple[np.ndarray, np.ndarray]]

N_PER_CLASS, N_DRAWS = 20, 4


def log_spectrogram(data: Data, seed: int) -> Features:
    ((train, test),) = bench_features.log_spectrogram(data, seed).values()
    pca = PCA(64, random_state=seed).fit(train)
    return {"all": (train, test), "PCA-64": (pca.transform(train), pca.transform(test))}


def dim(**params):
    """Every part of one fit of skdim."""

    def extract(data: Data, seed: int) -> Features:
        transformer = DIMTransformer(random_state=seed, **data.params, **params).fit(data.X)
        features = {}
        for output in ("components", "hidden"):
            transformer.set_params(output=output)
            features[output] = transformer.transform(data.X), transformer.transform(data.X_test)
        n_trained = transformer.encoder_.code[0].in_features
        hidden = features["hidden"]
        features["trained units"] = tuple(X[:, :n_trained] for X in hidden)
        features["fixed features"] = tuple(X[:, n_trained:] for X in hidden)
        return features

    return extract


EXTRACTORS = {
    "log spectrogram": log_spectrogram,
    "signal": dim(encoder="signal"),
    "untrained": dim(max_epochs=1, learning_rate=1e-12),
    "skdim": dim(),
}


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--extractors", nargs="+", default=list(EXTRACTORS), choices=EXTRACTORS)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    results, data = Cells("oscillations", fresh=arguments.fresh), words()
    for seed in range(arguments.seeds):
        for name in arguments.extractors:
            compute = partial(cell, data, EXTRACTORS[name], seed)
            record = results.get(f"{name}|{seed}", compute)
            for output, (all_labels, few) in record["accuracy"].items():
                seconds = record["seconds"]
                print(f"{seed} {name:<16} {seconds:5.0f} s {output:<16} {all_labels:.3f} {few:.3f}")
    cells = results.cells.items()
    means = {
        (name, output): np.mean(
            [c["accuracy"][output] for key, c in cells if key.split("|")[0] == name], axis=0
        )
        for name, output in (("skdim", "components"), ("log spectrogram", "PCA-64"))
    }
    gains = np.subtract(*means.values())
    labels = ("all labels", "20 a class")
    verdict({f"{k}: {g:+.3f}": g > 0.02 for k, g in zip(labels, gains, strict=True)})


def cell(data: Data, extract, seed: int) -> dict:
    start = time.perf_counter()
    features = extract(data, seed)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "accuracy": {k: score(*f, data) for k, f in features.items()}}


def score(train: np.ndarray, test: np.ndarray, data: Data) -> tuple[float, float]:
    """Accuracy with all labels, and with few."""
    draws = [np.arange(len(data.y))]
    draws += [draw(data.y, N_PER_CLASS, [0, k]) for k in range(N_DRAWS)]
    first, *few = (
        fit_and_score(train[i], data.y[i], test, data.y_test, max_iter=300)[0] for i in draws
    )
    return first, float(np.mean(few))


if __name__ == "__main__":
    main()
