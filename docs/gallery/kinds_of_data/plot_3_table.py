"""
Learn from a table with groups of columns
=========================================

A table of 569 tumours: ten properties of cell nuclei, such as radius and
texture, and three columns for each: the mean, its standard error and the worst
value. ``column_groups`` says which columns belong together, so that they are
changed and compared as a whole.

The table is the one of breast cancer that scikit-learn brings. On tables, the
gain over the columns themselves is small. Read *When not to use skdim* before
you use it for a table.
"""

# %%
# Columns k, k + 10 and k + 20 are of one property.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skdim import DIMTransformer

data = load_breast_cancer()
X, y = data.data, data.target
groups = [[k, k + 10, k + 20] for k in range(10)]
for columns in groups[:3]:
    print([str(data.feature_names[column]) for column in columns])

# %%
# ``fit`` does not see which tumours are malignant.

settings = {"n_components": 16, "max_epochs": 20, "random_state": 0}
plain = DIMTransformer(**settings)
grouped = DIMTransformer(column_groups=groups, **settings)
kinds = {
    "columns, standardised": StandardScaler().fit_transform(X),
    "skdim, without groups": plain.fit_transform(X),
    "skdim, with groups": grouped.fit_transform(X),
}

# %%
# A linear classifier with twenty labels, in twenty random draws of them.

draws = [np.random.default_rng(k).permutation(len(X)) for k in range(20)]
accuracy = {
    name: [
        LogisticRegression(max_iter=2000)
        .fit(features[d[:20]], y[d[:20]])
        .score(features[d[20:]], y[d[20:]])
        for d in draws
    ]
    for name, features in kinds.items()
}
for name, scores in accuracy.items():
    print(f"{name:<22} {np.mean(scores):.3f} +- {np.std(scores):.3f}")

# %%
# All tumours in the plane of the first two principal components of the features
# with groups. The colours are the labels, which only the picture uses.

plane = PCA(2).fit_transform(kinds["skdim, with groups"])  # (n, 2)
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for label, colour in enumerate(["tab:red", "tab:blue"]):
    name = str(data.target_names[label])
    ax.scatter(*plane[y == label].T, s=14, color=colour, alpha=0.6, label=name)
ax.set(title="569 tumours, by features of skdim", xticks=[], yticks=[])
ax.legend(frameon=False)
plt.show()
