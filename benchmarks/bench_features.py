"""Claim: features of a default fit beat raw input and PCA everywhere, by a linear classifier.

One table: data set x extractor x classifier (LogisticRegression, 10 nearest neighbours by cosine, a
network of 200 units) x labels (all, 10 and 50 a class; means of three draws), mean and standard
deviation over seeds, seconds to fit. Extractors see the training part without labels. MiniRocket is
tried where ``aeon`` is installed.

Every cell is written when it is done; run again, the command goes on where it was interrupted
(``--fresh`` starts over). ``--validation`` never reads a test label: choices are made with it.

    SKDIM_DATA=<folder> python benchmarks/bench_features.py [--data digits letter file.npz ...]
"""

import argparse
import importlib.util
import json
import time
import warnings

import numpy as np
import torch
from baselines.autoencoder import Autoencoder
from baselines.patches import KMeansPatches
from common import RESULTS, fit_and_score, machine, verdict
from datasets import DATASETS, Data, load
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdim import DIMTransformer
from skdim.encoders import encode
from skdim._model.readout import OUTPUTS

Features = dict[str, tuple[np.ndarray, np.ndarray]]

PER_CLASS = (10, 50)
N_DRAWS = 3


def flatten(X: np.ndarray) -> np.ndarray:
    return X.reshape(len(X), -1).astype(np.float32)


def by(*steps):
    """An extractor that is a Pipeline on flat samples, from a function of the seed."""

    def extract(data: Data, seed: int) -> Features:
        built = [step(data, seed) for step in steps]
        pipeline = make_pipeline(FunctionTransformer(flatten), StandardScaler(), *built)
        return {"": (pipeline.fit_transform(data.X), pipeline.transform(data.X_test))}

    return extract


def scaled(data: Data, seed: int):
    return StandardScaler()


def pca(data: Data, seed: int):
    n = min(64, flatten(data.X[:1]).shape[1], len(data.X))
    return PCA(n, whiten=True, random_state=seed)


def nystroem(n: int):
    return lambda data, seed: Nystroem(n_components=min(n, len(data.X)), random_state=seed)


def rbf(data: Data, seed: int):
    return RBFSampler(gamma="scale", n_components=256, random_state=seed)


def patches(data: Data, seed: int) -> Features:
    extractor = make_pipeline(KMeansPatches(random_state=seed), StandardScaler())
    return {"": (extractor.fit_transform(data.X), extractor.transform(data.X_test))}


def autoencoder(data: Data, seed: int) -> Features:
    extractor = Autoencoder(random_state=seed, **data.params).fit(data.X)
    return {"": (extractor.transform(data.X), extractor.transform(data.X_test))}


def minirocket(data: Data, seed: int) -> Features:
    from aeon.transformations.collection.convolution_based import MiniRocket

    extractor = make_pipeline(MiniRocket(random_state=seed), StandardScaler(with_mean=False))
    return {"": (extractor.fit_transform(data.X), extractor.transform(data.X_test))}


def dim(**params):
    """One fit of skdim, its outputs; the local map of images, what is left of it when pooled, of
    signals.
    """

    def extract(data: Data, seed: int) -> Features:
        transformer = DIMTransformer(random_state=seed, **data.params, **params).fit(data.X)
        found = {}
        for output in OUTPUTS:
            transformer.set_params(output=output)
            found[f" {output}"] = (
                transformer.transform(data.X),
                transformer.transform(data.X_test),
            )
        local_maps = found.pop(" local")
        if data.kind == "images":
            found[" local"] = local_maps
        if data.kind == "signals":
            n_channels = local_map_shape(transformer)[1]
            pooled = [pool_in_time(features, n_channels) for features in local_maps]
            scaler = StandardScaler().fit(pooled[0])
            found[" pooled"] = (scaler.transform(pooled[0]), scaler.transform(pooled[1]))
        return found

    return extract


def local_map_shape(transformer: DIMTransformer) -> tuple[int, ...]:
    """(n_locations, n_channels) of the last local map."""
    nothing = torch.zeros(1, *transformer.sample_shape_)
    return tuple(encode(transformer.encoder_, nothing).local_maps[-1].shape[1:])


def pool_in_time(features: np.ndarray, n_channels: int) -> np.ndarray:
    """Mean and maximum of each quarter of a local map in time."""
    quarters = np.array_split(features.reshape(len(features), -1, n_channels), 4, axis=1)
    return np.concatenate([p for q in quarters for p in (q.mean(1), q.max(1))], axis=1)


EXTRACTORS = {
    "raw": (("rows", "signals", "images"), by()),
    "PCA-64": (("rows", "signals", "images"), by(pca)),
    "Nystroem-64": (("rows",), by(nystroem(64), scaled)),
    "Nystroem-256": (("rows",), by(nystroem(256), scaled)),
    "RBF-256": (("rows",), by(rbf, scaled)),
    "k-means patches": (("images",), patches),
    "MiniRocket": (("signals",), minirocket),
    "autoencoder-64": (("rows", "signals", "images"), autoencoder),
    "untrained": (("rows", "signals", "images"), dim(max_epochs=1, learning_rate=1e-12)),
    "skdim": (("rows", "signals", "images"), dim()),
    "skdim-256": (("rows",), dim(n_components=256)),
}


def classify(features, y, features_test, y_test, seed: int) -> dict[str, float]:
    """Accuracy of each classifier with all labels, of the linear one with few."""
    classifiers = {
        "10-NN": KNeighborsClassifier(10, metric="cosine"),
        "MLP-200": MLPClassifier(200, early_stopping=len(y) > 500, random_state=seed),
    }
    given = (features, y, features_test, y_test)
    scores = {"linear": fit_and_score(*given, max_iter=300)[0]}
    for name, classifier in classifiers.items():
        scores[name] = classifier.fit(features, y).score(features_test, y_test)
    for n in PER_CLASS:
        if np.bincount(y).min() > n:
            draws = [draw(y, n, [seed, k]) for k in range(N_DRAWS)]
            few = [
                fit_and_score(features[i], y[i], features_test, y_test, max_iter=300)[0]
                for i in draws
            ]
            scores[f"linear, {n} a class"] = float(np.mean(few))
    return scores


def draw(y: np.ndarray, n: int, seed) -> np.ndarray:
    """Rows of n samples of each class."""
    order = np.random.default_rng(seed).permutation(len(y))
    return np.concatenate([order[y[order] == label][:n] for label in np.unique(y)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [name for name in DATASETS if name != "cifar10"]
    parser.add_argument("--data", nargs="+", default=names)
    parser.add_argument("--extractors", nargs="+", default=list(EXTRACTORS), choices=EXTRACTORS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    path = RESULTS / ("features_validation.json" if arguments.validation else "features.json")
    record = {"machine": machine(), "cells": {}}
    if path.exists() and not arguments.fresh:
        record["cells"] = json.loads(path.read_text())["cells"]
    for name in arguments.data:
        data = load(name).validation() if arguments.validation else load(name)
        for extractor in arguments.extractors:
            kinds, extract = EXTRACTORS[extractor]
            if data.kind not in kinds:
                continue
            if extractor == "MiniRocket" and importlib.util.find_spec("aeon") is None:
                print("MiniRocket: not measured, aeon is not installed")
                continue
            for seed in range(arguments.seeds):
                key = f"{name}|{extractor}|{seed}"
                if key not in record["cells"]:
                    record["cells"][key] = cell(data, extract, seed)
                    path.write_text(json.dumps(record, indent=1) + "\n")
            report(name, extractor, record["cells"])
    claims = {}
    for name in arguments.data:
        ours = mean_of(record["cells"], name, "skdim", " components")
        for rival in ("raw", "PCA-64"):
            theirs = mean_of(record["cells"], name, rival, "")
            if ours is not None and theirs is not None:
                claims[f"{name}: skdim {ours:.3f} above {rival} {theirs:.3f}"] = ours > theirs
    verdict(claims)


def cell(data: Data, extract, seed: int) -> dict:
    start = time.perf_counter()
    found = extract(data, seed)
    seconds = time.perf_counter() - start
    scores = {
        output: classify(train, data.y, test, data.y_test, seed)
        for output, (train, test) in found.items()
    }
    return {"seconds": seconds, "accuracy": scores}


def report(name: str, extractor: str, cells: dict) -> None:
    ours = [c for key, c in cells.items() if key.rsplit("|", 1)[0] == f"{name}|{extractor}"]
    for output in ours[0]["accuracy"]:
        scores = [c["accuracy"][output] for c in ours]
        columns = {kind: [s[kind] for s in scores] for kind in scores[0]}
        text = ", ".join(
            f"{kind} {np.mean(column):.3f} +- {np.std(column):.3f}"
            for kind, column in columns.items()
        )
        seconds = np.median([c["seconds"] for c in ours])
        print(f"{name:<16} {extractor + output:<18} {seconds:6.1f} s  {text}", flush=True)


def mean_of(cells: dict, name: str, extractor: str, output: str) -> float | None:
    found = [
        c["accuracy"][output]["linear"]
        for key, c in cells.items()
        if key.rsplit("|", 1)[0] == f"{name}|{extractor}"
    ]
    return float(np.mean(found)) if found else None


if __name__ == "__main__":
    main()
