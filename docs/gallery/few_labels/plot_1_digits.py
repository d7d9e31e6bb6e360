"""
Classify digits with few labels
===============================

Many images, and labels for a few of them: the main use of `DIMTransformer`. It
learns features from all images; a linear classifier then learns from the
labelled ones only. With fifty labels, the learned features reach the accuracy
for which raw pixels need more than a hundred.
"""

# %%
# The images are split once. ``fit`` sees the training images and no labels.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skdim import DIMTransformer

digits = load_digits()
X, X_test, y, y_test = train_test_split(
    digits.images, digits.target, random_state=0, stratify=digits.target
)
flat, flat_test = (
    X.reshape(len(X), -1),
    X_test.reshape(len(X_test), -1),
)  # (n, 64)

dim = DIMTransformer(encoder_params={"width": 64}, random_state=0).fit(X)
pca = PCA(32).fit(flat / 16)

features = {
    "raw pixels": (flat / 16, flat_test / 16),
    "PCA, 32 components": (
        pca.transform(flat / 16),
        pca.transform(flat_test / 16),
    ),
    "DIM, 64 components": (dim.transform(X), dim.transform(X_test)),
}

# %%
# For each number of labels a classifier is fitted on five random draws.

n_labels = [20, 50, 100, 200, 500]
draws = [np.random.default_rng(seed).permutation(len(X)) for seed in range(5)]


def accuracies(train, test):
    """Test accuracy, shape (numbers of labels, draws)."""
    return np.array(
        [
            [
                LogisticRegression(max_iter=1000)
                .fit(train[d[:n]], y[d[:n]])
                .score(test, y_test)
                for d in draws
            ]
            for n in n_labels
        ]
    )


curves = {name: accuracies(*parts) for name, parts in features.items()}
for name, curve in curves.items():
    print(
        f"{name:<20}",
        "  ".join(
            f"{n}: {a:.3f}"
            for n, a in zip(n_labels, curve.mean(1), strict=True)
        ),
    )

# %%
# The bands reach from the lowest to the highest of the five draws.

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, curve), colour in zip(
    curves.items(), ["0.55", "tab:blue", "tab:orange"], strict=True
):
    ax.plot(n_labels, curve.mean(1), "o-", color=colour, label=name)
    ax.fill_between(
        n_labels,
        curve.min(1),
        curve.max(1),
        color=colour,
        alpha=0.15,
        linewidth=0,
    )
ax.set(xscale="log", xlabel="labels", ylabel="test accuracy", ylim=(0.4, 1.0))
ax.set_xticks(n_labels, n_labels)
ax.minorticks_off()
ax.grid(alpha=0.3)
ax.legend(frameon=False, loc="lower right")
ax.set_title("The same classifier on three kinds of features")
plt.show()
