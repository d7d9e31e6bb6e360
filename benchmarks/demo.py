"""The main use on real images: features of digits, learned without labels, in a Pipeline.

Trains once, compares raw pixels, 32 principal components and DIM features under LogisticRegression
with all labels and with 100, saves the Pipeline, loads it in a new process, and draws one picture.

    python -m benchmarks.demo
"""

import math
import subprocess
import sys
import time
from pathlib import Path

import joblib
import matplotlib as mpl
import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from skdim import DIMTransformer

FOLDER = Path("demo_output")
N_DRAWS = 10
LOAD_AND_PREDICT = """
import joblib, numpy, sys
folder = sys.argv[1]
pipeline = joblib.load(folder + "/pipeline.joblib")
numpy.save(folder + "/predictions.npy", pipeline.predict(numpy.load(folder + "/test_images.npy")))
"""


def main():
    FOLDER.mkdir(exist_ok=True)
    digits = load_digits()
    train, test, y_train, y_test = train_test_split(
        digits.images, digits.target, test_size=0.25, random_state=0, stratify=digits.target
    )
    flat_train, flat_test = (X.reshape(len(X), -1) for X in (train, test))
    classifier = LogisticRegression(max_iter=5000)

    print(f"Training DIMTransformer on {len(train)} digits, without labels, then the classifier:")
    start = time.perf_counter()
    pipeline = make_pipeline(DIMTransformer(random_state=0, verbose=1), clone(classifier))
    pipeline.fit(train, y_train)
    seconds = time.perf_counter() - start
    dim = pipeline["dimtransformer"]
    pca = PCA(32, random_state=0).fit(flat_train)

    def accuracy(steps, X, X_test):
        """With all labels, and the mean over draws of 100: the extractor has seen all of X."""
        pipe = make_pipeline(*steps, clone(classifier))
        draws = [np.random.default_rng(k).permutation(len(X))[:100] for k in range(N_DRAWS)]
        few = [pipe.fit(X[i], y_train[i]).score(X_test, y_test) for i in draws]
        return pipe.fit(X, y_train).score(X_test, y_test), np.mean(few), np.std(few)

    table = {
        "raw pixels": accuracy([], flat_train, flat_test),
        "PCA-32": accuracy([FrozenEstimator(pca)], flat_train, flat_test),
        "DIM": accuracy([FrozenEstimator(dim)], train, test),
    }
    print(f"\nTest accuracy of LogisticRegression ({len(test)} digits; fit took {seconds:.0f} s)")
    print(f"  {'features':<12} all {len(train)} labels   100 labels ({N_DRAWS} draws)")
    for name, (all_labels, few, spread) in table.items():
        print(f"  {name:<12} {all_labels:^15.3f}   {few:.3f} +- {spread:.3f}")

    joblib.dump(pipeline, FOLDER / "pipeline.joblib")
    np.save(FOLDER / "test_images.npy", test)
    subprocess.run([sys.executable, "-c", LOAD_AND_PREDICT, str(FOLDER)], check=True)
    if not np.array_equal(np.load(FOLDER / "predictions.npy"), pipeline.predict(test)):
        sys.exit("The pipeline loaded in a new process predicts otherwise.")
    print(f"\nSaved {FOLDER / 'pipeline.joblib'}; loaded in a new process: equal predictions.")
    draw(dim, train, test, y_train, y_test)


def draw(dim, train, test, y_train, y_test, n_queries=6, n_neighbors=7):
    """Loss terms by epoch; query images with their nearest neighbours in code space."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.25])
    # At chance infoNCE is -log(1 + negatives): the difference from that is information, in nats.
    n_batch = len(train) / math.ceil(len(train) / dim.batch_size)
    n_locations = dim.encoder_(torch.zeros(1, *dim.sample_shape_)).local_maps[0].shape[1]
    chance = -math.log(1 + (n_batch - 1) * n_locations)
    epochs = [epoch["epoch"] for epoch in dim.history_]
    curves = {
        "Loss": [epoch["loss"] for epoch in dim.history_],
        "Information between code and local features": [e["local"] - chance for e in dim.history_],
    }
    for axis, (title, values) in zip(left.subplots(2, 1, sharex=True), curves.items(), strict=True):
        axis.plot(epochs, values, linewidth=2)
        axis.set(ylabel="nats", title=title)
        axis.spines[["top", "right"]].set_visible(False)
    axis.set(xlabel="epoch", ylim=(0, None))

    queries = [int(np.flatnonzero(y_test == digit)[1]) for digit in (2, 3, 5, 7, 8, 9)[:n_queries]]
    search = NearestNeighbors(n_neighbors=n_neighbors, metric="cosine").fit(dim.transform(train))
    neighbors = search.kneighbors(dim.transform(test[queries]), return_distance=False)
    grid = right.subplots(n_queries, n_neighbors + 1)
    for row, query in enumerate(queries):
        shown = [test[query], *train[neighbors[row]]]
        right_label = [True, *(y_train[neighbors[row]] == y_test[query])]
        for axis, image, is_right in zip(grid[row], shown, right_label, strict=True):
            axis.imshow(image, cmap="gray_r")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(
                color="0.8" if is_right else "tab:red", linewidth=1 + 2 * (not is_right)
            )
        grid[row, 0].spines[:].set(color="tab:blue", linewidth=2.5)
    right.suptitle("Unseen digits (blue), nearest training digits by code (red: another digit)")
    figure.savefig(FOLDER / "digits.png", dpi=130)
    print(f"Picture: {FOLDER / 'digits.png'}")


if __name__ == "__main__":
    main()
