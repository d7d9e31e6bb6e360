"""
Tables with groups of columns
=============================

A table of trips on hired bicycles: the hour, the weekday, the kind of bicycle,
and four numbers. The kind of rider is known for forty trips. Each of the three
categories becomes several one-hot columns. ``column_groups`` says which columns
belong together, so that a category is changed and compared as a whole.
"""

# %%
# The trips are synthetic. The kind of rider determines, with much overlap,
# when, how and how far they ride.

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    StandardScaler,
)

from skdim import DIMTransformer

RIDERS = ["commuter", "tourist", "student", "courier"]
HOURS = [(8, 17), (13, 15), (10, 21), (12, 19)]
WEEKDAYS = np.array(
    [
        [0.19, 0.19, 0.19, 0.19, 0.19, 0.025, 0.025],
        [0.08, 0.08, 0.08, 0.08, 0.10, 0.29, 0.29],
        [0.10, 0.10, 0.15, 0.20, 0.25, 0.15, 0.05],
        [0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.10],
    ]
)
BICYCLES = (
    np.array([[6, 2, 1, 1], [1, 2, 6, 1], [3, 5, 1, 1], [1, 1, 1, 7]]) / 10
)

rng = np.random.default_rng(0)
y = rng.integers(4, size=1500)
speed = np.take([18, 12, 15, 21], y) + rng.normal(0, 1.8, 1500)
distance = np.exp(np.take([1.6, 1.9, 1.0, 1.3], y) + rng.normal(0, 0.3, 1500))
trips = pd.DataFrame(
    {
        "hour": [
            round(rng.normal(rng.choice(HOURS[k]), 1.2)) // 3 * 3 for k in y
        ],
        "weekday": [rng.choice(7, p=WEEKDAYS[k]) for k in y],
        "bicycle": [
            rng.choice(["city", "light", "tandem", "cargo"], p=BICYCLES[k])
            for k in y
        ],
        "km/h": speed,
        "km": distance,
        "minutes": 60 * distance / speed * np.exp(rng.normal(0, 0.15, 1500)),
        "stops": rng.poisson(np.take([0.5, 3, 1, 6], y)),
    }
)
print(trips.head().round(1).to_string())

# %%
# `ColumnTransformer` turns categories into columns of zeros and ones, which are
# the first columns of its result. Its encoder knows how many columns each
# category has.

CATEGORIES = ["hour", "weekday", "bicycle"]
numbers = ColumnTransformer(
    [
        ("categories", OneHotEncoder(sparse_output=False), CATEGORIES),
        ("skewed", FunctionTransformer(np.log), ["km", "minutes"]),
    ],
    remainder="passthrough",
)
X = numbers.fit_transform(trips)
sizes = [
    len(found)
    for found in numbers.named_transformers_["categories"].categories_
]
starts = np.cumsum([0, *sizes])
groups = [list(range(a, b)) for a, b in pairwise(starts)]
print(X.shape, "groups of", sizes, "columns")

# %%
# ``fit`` does not see the kinds of riders.

plain = DIMTransformer(16, max_epochs=20, random_state=0)
grouped = DIMTransformer(
    16, max_epochs=20, column_groups=groups, random_state=0
)
kinds = {
    "columns, standardised": StandardScaler().fit_transform(X),
    "DIM, without groups": plain.fit_transform(X),
    "DIM, column groups": grouped.fit_transform(X),
}

# %%
# All trips in the plane of the first two principal components. The titles give
# the accuracy of a linear classifier that was fitted on forty trips, on all
# other trips. On tables the gain is small; here it comes from the groups.

fig, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for ax, (name, features) in zip(axes, kinds.items(), strict=True):
    classifier = LogisticRegression(max_iter=2000).fit(features[:40], y[:40])
    accuracy = classifier.score(features[40:], y[40:])
    plane = PCA(2).fit_transform(features)  # (n, 2)
    for label, rider in enumerate(RIDERS):
        ax.scatter(
            *plane[y == label].T, s=7, alpha=0.6, linewidths=0, label=rider
        )
    ax.set(title=f"{name}\naccuracy {accuracy:.2f}", xticks=[], yticks=[])
axes[0].legend(markerscale=2, frameon=False, fontsize=9)
plt.show()
