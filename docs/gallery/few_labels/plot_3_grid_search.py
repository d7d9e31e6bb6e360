"""
Search the weights of the objective
===================================

The global term, the local term and the prior have a weight each. The weights
are ordinary parameters, so `GridSearchCV` can choose them by any criterion:
here, the accuracy of a linear classifier with fifty labels. In the paper's
setting (one view, JSD, the code as features), the local term is better than the
global one, with both weights of the prior.
"""

# %%
# ``scoring`` may be any function of a fitted transformer, X and y. This one
# fits a classifier on fifty of the held-out samples and scores it on the
# others, ten times.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedShuffleSplit,
    cross_val_score,
)

from skdim import DIMTransformer

X, y = load_digits().images, load_digits().target


def accuracy_with_fifty_labels(dim, X, y):
    draws = StratifiedShuffleSplit(10, train_size=50, random_state=0)
    return cross_val_score(
        LogisticRegression(), dim.transform(X), y, cv=draws
    ).mean()


# %%
# The grid leaves out the pair of weights 0 and 0: the prior by itself learns
# nothing about the samples. Four epochs of 900 digits are few, to save time;
# the warnings that say so are ignored.

weights = [0.0, 0.5, 1.0]
grid = [
    {"global_weight": [a], "local_weight": [b], "prior_weight": [0.0, 0.1]}
    for a in weights
    for b in weights
    if a or b
]
search = GridSearchCV(
    DIMTransformer(
        augment=None,
        mi_estimator="jsd",
        output="code",
        encoder_params={"width": 16},
        max_epochs=4,
        random_state=0,
    ),
    grid,
    scoring=accuracy_with_fifty_labels,
    cv=StratifiedShuffleSplit(1, train_size=900, random_state=0),
    refit=False,
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    search.fit(X, y)
print(search.best_params_, f"{search.best_score_:.3f}")

# %%
# One heat map for each weight of the prior.

results = search.cv_results_
maps = {prior: np.full((3, 3), np.nan) for prior in (0.0, 0.1)}
for params, score in zip(
    results["params"], results["mean_test_score"], strict=True
):
    row = weights.index(params["global_weight"])
    maps[params["prior_weight"]][row, weights.index(params["local_weight"])] = (
        score
    )

low, high = results["mean_test_score"].min(), results["mean_test_score"].max()
fig, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, (prior, scores) in zip(axes, maps.items(), strict=True):
    image = ax.imshow(
        scores, cmap="viridis", vmin=low, vmax=high, origin="lower"
    )
    for (row, column), score in np.ndenumerate(scores):
        text = "no bound" if np.isnan(score) else f"{score:.3f}"
        is_dark = score < (low + high) / 2
        ax.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            color="w" if is_dark else "k",
        )
    ax.set_xticks(range(3), weights)
    ax.set_yticks(range(3), weights)
    ax.set(
        xlabel="local_weight",
        ylabel="global_weight",
        title=f"prior_weight = {prior}",
    )
fig.colorbar(image, ax=axes, label="accuracy with fifty labels", shrink=0.9)
plt.show()
