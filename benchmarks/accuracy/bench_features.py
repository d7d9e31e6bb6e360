"""Claim: features of a default fit beat raw input and PCA everywhere, with a linear classifier.

One table: data set x extractor x classifier (LogisticRegression, 10 nearest neighbours by cosine, a
network of 200 units) x labels (all, 10 and 50 a class; means of three draws), mean and standard
deviation over seeds, seconds to fit. Extractors see the training part without labels. MiniRocket is
measured if ``aeon`` is installed.

Every cell is written when it is computed. The command can be interrupted and run again: it
continues with the cells that are missing (``--fresh`` starts over). ``--data`` takes names and
.npz files. ``--validation`` never reads a test label; use it to make choices.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_features
n: 3 seeds
Hardware: 1 core of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import importlib.util
import time
import warnings
from functools import partial

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks.baselines.autoencoder import Autoencoder
from benchmarks.baselines.patches import KMeansPatches
from benchmarks.baselines.spectrogram import LogSpectrogram
from benchmarks.common import (
    Cells,
    argument_parser,
    features_by_output,
    fit_and_score,
    flatten,
    verdict,
)
from benchmarks.datasets import DATASETS, Data, load
from skdim import DIMTransformer
from skdim._model.readout import OUTPUTS
from skdim.encoders import encode

Features = dict[str, tuple[np.ndarray, np.ndarray]]

PER_CLASS = (10, 50)
N_DRAWS = 3


def by(*steps):
    """Return an extractor: a Pipeline on flat samples, its steps built from data and seed."""

    def extract(data: Data, seed: int) -> Features:
        built = [step(data, seed) for step in steps]
        pipeline = make_pipeline(FunctionTransformer(flatten), StandardScaler(), *built)
        return {"": (pipeline.fit_transform(data.X), pipeline.transform(data.X_test))}

    return extract


def scaled(data: Data, seed: int):
    return StandardScaler()


def pca(*, whiten: bool):
    def build(data: Data, seed: int):
        n = min(64, flatten(data.X[:1]).shape[1], len(data.X))
        return PCA(n, whiten=whiten, random_state=seed)

    return build


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


def log_spectrogram(data: Data, seed: int) -> Features:
    extractor = make_pipeline(LogSpectrogram(), StandardScaler())
    return {"": (extractor.fit_transform(data.X), extractor.transform(data.X_test))}


def dim(**params):
    """All outputs of one fit of skdim; the local map of images, a pooled one of signals."""

    def extract(data: Data, seed: int) -> Features:
        transformer = DIMTransformer(random_state=seed, **data.params, **params).fit(data.X)
        outputs = features_by_output(transformer, OUTPUTS, data)
        results = {f" {output}": features for output, features in outputs.items()}
        local_maps = results.pop(" local")
        if data.kind == "images":
            results[" local"] = local_maps
        if data.kind == "signals":
            n_channels = local_map_shape(transformer)[1]
            pooled = [pool_in_time(features, n_channels) for features in local_maps]
            scaler = StandardScaler().fit(pooled[0])
            results[" pooled"] = (scaler.transform(pooled[0]), scaler.transform(pooled[1]))
        return results

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
    "PCA-64": (("rows", "signals", "images"), by(pca(whiten=False))),
    "PCA-64, whitened": (("rows", "signals", "images"), by(pca(whiten=True))),
    "Nystroem-64": (("rows",), by(nystroem(64), scaled)),
    "Nystroem-256": (("rows",), by(nystroem(256), scaled)),
    "RBF-256": (("rows",), by(rbf, scaled)),
    "k-means patches": (("images",), patches),
    "MiniRocket": (("signals",), minirocket),
    "log spectrogram": (("signals",), log_spectrogram),
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
    scores = {"linear": fit_and_score(features, y, features_test, y_test, max_iter=300)[0]}
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
    """Indices of n samples of each class."""
    order = np.random.default_rng(seed).permutation(len(y))
    return np.concatenate([order[y[order] == label][:n] for label in np.unique(y)])


def main():
    parser = argument_parser(__doc__)
    names = [name for name in DATASETS if name != "cifar10"]
    parser.add_argument("--data", nargs="+", default=names)
    parser.add_argument("--extractors", nargs="+", default=list(EXTRACTORS), choices=EXTRACTORS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    name = "features_validation" if arguments.validation else "features"
    results = Cells(name, fresh=arguments.fresh)
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
                results.get(f"{name}|{extractor}|{seed}", partial(cell, data, extract, seed))
            report(name, extractor, results.cells)
    claims = {}
    for name in arguments.data:
        ours = mean_of(results.cells, name, "skdim", " components")
        for rival in ("raw", "PCA-64"):
            theirs = mean_of(results.cells, name, rival, "")
            if ours is not None and theirs is not None:
                claims[f"{name}: skdim {ours:.3f} above {rival} {theirs:.3f}"] = ours > theirs
    verdict(claims)


def cell(data: Data, extract, seed: int) -> dict:
    start = time.perf_counter()
    features = extract(data, seed)
    seconds = time.perf_counter() - start
    scores = {
        output: classify(train, data.y, test, data.y_test, seed)
        for output, (train, test) in features.items()
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
    accuracies = [
        c["accuracy"][output]["linear"]
        for key, c in cells.items()
        if key.rsplit("|", 1)[0] == f"{name}|{extractor}"
    ]
    return float(np.mean(accuracies)) if accuracies else None


if __name__ == "__main__":
    main()
