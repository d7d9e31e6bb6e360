"""Claim: none; the paper's one-view form on 10,000 CIFAR-10 images, reported as it is.

DIM(L) with JSD: one view, no augmentation, local term only, locals from the 8 x 8 map, critic of
width 512, 10 epochs, in a Pipeline with LogisticRegression; PCA-64 beside it. Trained on the first
10,000 training images, scored on the 10,000 test images, three seeds.

    SKDIM_DATA=<folder> python benchmarks/bench_cifar10_one_view.py
"""

import time

import numpy as np
from common import data_loader, save, spread
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdim import DIMTransformer

SEEDS = (0, 1, 2)


def flatten(X):
    return X.reshape(len(X), -1).astype(np.float32)


def main():
    data = data_loader()
    X_train, y_train = data.load_cifar10("train", n=10_000)
    X_test, y_test = data.load_cifar10("test")
    pca = make_pipeline(
        FunctionTransformer(flatten),
        PCA(64, random_state=0),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    )
    scores = {"PCA-64": [pca.fit(X_train, y_train).score(X_test, y_test)], "DIM": []}
    seconds = []
    for seed in SEEDS:
        dim = DIMTransformer(
            augment=None,
            mi_estimator="jsd",
            local_weight=1.0,
            critic_width=512,
            max_epochs=10,
            encoder_params={"n_local_maps": 2},
            random_state=seed,
        )
        start = time.perf_counter()
        pipeline = make_pipeline(dim, LogisticRegression(max_iter=1000)).fit(X_train, y_train)
        seconds.append(time.perf_counter() - start)
        scores["DIM"].append(pipeline.score(X_test, y_test))
    for name, values in scores.items():
        print(f"{name:<8} {spread(values)}  (n = {len(values)})")
    print(f"seconds to fit the pipeline: median {np.median(seconds):.1f}")
    save("cifar10_one_view", {"seeds": SEEDS, "accuracy": scores, "fit_seconds": seconds})


if __name__ == "__main__":
    main()
