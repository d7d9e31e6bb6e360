"""Claim: none. The paper's one-view form is measured on 10,000 CIFAR-10 images.

DIM(L) with JSD: one view, no augmentation, the local term only, local features from the 8 x 8 map,
a critic of width 512, 10 epochs, in a Pipeline with LogisticRegression. PCA-64 is measured for
comparison. Trained on the first 10,000 training images, scored on the 10,000 test images.

Command: SKDIM_DATA=<folder> python -m benchmarks.accuracy.bench_cifar10_one_view
n: 3 seeds
Hardware: 2 cores of an AMD EPYC (Zen 4), no GPU
Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.9.1, skorch 1.4.0
"""

import time

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks.common import argument_parser, data_loader, flatten, mean_and_std, save
from skdim import DIMTransformer

SEEDS = (0, 1, 2)


def main():
    argument_parser(__doc__).parse_args()
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
            critic="separable",
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
        print(f"{name:<8} {mean_and_std(values)}  (n = {len(values)})")
    print(f"seconds to fit the pipeline: median {np.median(seconds):.1f}")
    save("cifar10_one_view", {"seeds": SEEDS, "accuracy": scores, "fit_seconds": seconds})


if __name__ == "__main__":
    main()
