"""
Freeze or fine-tune with few labels
===================================

Once features are learned, there are several ways to use the labels: a linear
classifier on the components, one on the wide hidden layer, or `DIMClassifier`,
which fine-tunes the whole encoder. Cross-validation on the labelled samples
estimates the accuracy of each. A test set, which one would usually not have,
shows how good the estimates are.
"""

# %%
# Features are learned once, from all training images without labels. With
# `FrozenEstimator`, cross-validation does not learn them again.

import copy

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline

from skdim import DIMClassifier, DIMTransformer

digits = load_digits()
X, X_test, y, y_test = train_test_split(
    digits.images,
    digits.target,
    test_size=500,
    random_state=0,
    stratify=digits.target,
)
dim = DIMTransformer(encoder_params={"width": 32}, random_state=0).fit(X)
wide = copy.deepcopy(dim).set_params(output="hidden")

candidates = {
    "linear, 64 components": make_pipeline(
        FrozenEstimator(dim), LogisticRegression(max_iter=500)
    ),
    "linear, hidden layer": make_pipeline(
        FrozenEstimator(wide), LogisticRegression(max_iter=500)
    ),
    "DIMClassifier": DIMClassifier(
        FrozenEstimator(dim), max_epochs=8, random_state=0
    ),
}

# %%
# For three numbers of labels: the estimate from the labelled samples and the
# accuracy on the test samples.

n_labels = [30, 100, 300]
draws = [
    train_test_split(X, y, train_size=n, random_state=1, stratify=y)
    for n in n_labels
]
estimates, tests = np.empty((2, len(candidates), len(n_labels)))
for row, candidate in enumerate(candidates.values()):
    for column, (X_labelled, _, y_labelled, _) in enumerate(draws):
        estimates[row, column] = cross_val_score(
            candidate, X_labelled, y_labelled, cv=3
        ).mean()
        tests[row, column] = candidate.fit(X_labelled, y_labelled).score(
            X_test, y_test
        )
for name, estimate, test in zip(candidates, estimates, tests, strict=True):
    print(f"{name:<25} estimated {estimate.round(3)}  test {test.round(3)}")

# %%
# Bars are test accuracies, dots the estimates. With 30 labels, they may be
# five points apart, with more labels two or three: enough to see that all three
# methods work, and that more labels help more than another method.

centers = np.arange(len(n_labels))
fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for row, (name, colour) in enumerate(
    zip(candidates, ["tab:blue", "tab:cyan", "tab:orange"], strict=True)
):
    x = centers + 0.27 * (row - 1)
    bars = ax.bar(x, tests[row], width=0.25, color=colour, label=name)
    ax.bar_label(bars, fmt="%.3f", label_type="center", color="w", fontsize=9)
    ax.plot(x, estimates[row], "o", color="k", markersize=5)
ax.plot([], [], "ko", markersize=5, label="estimate, from labelled samples")
ax.set_xticks(centers, [f"{n} labels" for n in n_labels])
ax.set(ylim=(0.7, 1.06), ylabel="test accuracy")
ax.legend(frameon=False, loc="upper left", ncols=2, fontsize=9)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
