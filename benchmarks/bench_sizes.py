"""Claim: with 1,000, 5,000 and 50,000 images of CIFAR-10, all of them labelled, DIM's features are
ahead of raw pixels and of PCA under LogisticRegression.

Each extractor sees the images of its size only; DIM is the default, read out as 64 components and
as its hidden layer. The C of LogisticRegression is the best of four on a fifth of the images
(15,000 of them at most), alike for every extractor; accuracy is that on the 10,000 test images.

    SKDIM_DATA=<folder> python benchmarks/bench_sizes.py [--sizes 1000 5000 50000] [--seeds 1]
"""

import argparse
import json
import time
import warnings

import numpy as np
from common import RESULTS, data_loader, machine, spread, verdict
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skdim import DIMTransformer

CS = (1e-3, 1e-2, 1e-1, 1.0)
N_TO_CHOOSE = 15_000


def flatten(X: np.ndarray) -> np.ndarray:
    return X.reshape(len(X), -1).astype(np.float32) / 255


def raw(X, X_test, seed):
    yield "raw pixels", flatten(X), flatten(X_test)


def pca(X, X_test, seed):
    model = PCA(64, whiten=True, random_state=seed).fit(flatten(X))
    yield "PCA-64", model.transform(flatten(X)), model.transform(flatten(X_test))


def dim(X, X_test, seed):
    model = DIMTransformer(random_state=seed).fit(X)
    for name, output in (("DIM-64", "components"), ("DIM, hidden", "hidden")):
        model.set_params(output=output)
        yield name, model.transform(X), model.transform(X_test)


def probe(features, y, features_test, y_test, seed) -> tuple[float, float]:
    """Accuracy on the test images, and the C that was best on images held out of training."""

    def score(C, train, y_train, test, y_test):
        return LogisticRegression(C=C, max_iter=200).fit(train, y_train).score(test, y_test)

    part, held, y_part, y_held = train_test_split(
        features[:N_TO_CHOOSE], y[:N_TO_CHOOSE], test_size=0.2, random_state=seed
    )
    C = CS[int(np.argmax([score(C, part, y_part, held, y_held) for C in CS]))]
    return score(C, features, y, features_test, y_test), C


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 50_000])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # two hundred iterations are a choice
    X_test, y_test = data_loader().load_cifar10("test")
    path = RESULTS / "sizes.json"
    record = {"machine": machine(), "cells": {}}
    if path.exists() and not arguments.fresh:
        record["cells"] = json.loads(path.read_text())["cells"]
    cells = record["cells"]
    for size in arguments.sizes:
        X, y = data_loader().load_cifar10("train", n=size)
        for seed in range(arguments.seeds):
            for extract in (raw, pca, dim):
                key = f"{extract.__name__}|{size}|{seed}"
                if key in cells:
                    continue
                start = time.perf_counter()
                cells[key] = {}
                for name, train, test in extract(X, X_test, seed):
                    cells[key].setdefault("seconds to features", time.perf_counter() - start)
                    accuracy, C = probe(train, y, test, y_test, seed)
                    cells[key][name] = {"accuracy": accuracy, "C": C, "width": train.shape[1]}
                path.write_text(json.dumps(record, indent=1) + "\n")
    claims = {}
    for size in arguments.sizes:
        found = {}
        for seed in range(arguments.seeds):
            for extract in (raw, pca, dim):
                for name, cell in cells[f"{extract.__name__}|{size}|{seed}"].items():
                    if name != "seconds to features":
                        found.setdefault(name, []).append(cell["accuracy"])
        print(f"{size:>6} images ", "  ".join(f"{k}: {spread(v)}" for k, v in found.items()))
        best = max(np.mean(found["raw pixels"]), np.mean(found["PCA-64"]))
        claims[f"{size} images: DIM-64 over raw pixels and PCA"] = np.mean(found["DIM-64"]) > best
    verdict(claims)


if __name__ == "__main__":
    main()
