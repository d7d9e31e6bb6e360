"""
Write an MI estimator in one function
=====================================

An MI estimator turns the scores of a critic into a bound. It is a function of
the scores of a code with local features of its own sample (joint) and of other
samples (marginal), and returns a number to be maximised. This example writes
the hinge loss of adversarial networks as an MI estimator and trains with it.
"""

# %%
# Scores have several axes; a mean over all of them is enough.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skdim import DIMTransformer
from skdim.mutual_information import ESTIMATORS


def hinge(joint, marginal):
    """0 at chance; at most 2: joint scores above 1, marginal ones below -1."""
    return 2 - (1 - joint).relu().mean() - (1 + marginal).relu().mean()


# %%
# Pass the function itself. To give it a name, add a line to
# ``skdim.mutual_information.ESTIMATORS``. Eight epochs are few, for all three
# alike; the warnings that say so are ignored.

X, y = load_digits().images, load_digits().target
train, test = slice(0, 1300), slice(1300, None)
estimators = {"jsd": "jsd", "chi2": "chi2", "hinge (custom)": hinge}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    fitted = {
        name: DIMTransformer(
            mi_estimator=estimator,
            encoder_params={"width": 64},
            max_epochs=8,
            random_state=0,
        ).fit(X[train])
        for name, estimator in estimators.items()
    }


def accuracy(dim, n_labels=100):
    features = dim.transform(X)
    draws = [
        np.random.default_rng(seed).permutation(1300)[:n_labels]
        for seed in range(10)
    ]
    return [
        LogisticRegression()
        .fit(features[d], y[d])
        .score(features[test], y[test])
        for d in draws
    ]


accuracies = {name: accuracy(dim) for name, dim in fitted.items()}
for name, found in accuracies.items():
    print(f"{name:<13} {np.mean(found):.3f} +- {np.std(found):.3f}")

# %%
# The bound as a function of a joint score (solid) and of a marginal score
# (dashed). The hinge is constant once a pair is clearly on the right side.

scores = torch.linspace(-3, 3, 121)
chance = torch.zeros(2, 1), torch.zeros(2, 1, 1)
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for name, colour in (
    ("jsd", "tab:orange"),
    ("chi2", "tab:green"),
    ("hinge (custom)", "tab:red"),
):
    bound = ESTIMATORS.get(name, hinge)
    joint = [bound(torch.full((2, 1), float(s)), chance[1]) for s in scores]
    marginal = [
        bound(chance[0], torch.full((2, 1, 1), float(s))) for s in scores
    ]
    ax.plot(scores, joint, color=colour, label=name)
    ax.plot(scores, marginal, "--", color=colour)
ax.set(xlabel="score", ylabel="bound", ylim=(-4, 2))
ax.set_title("Bound against score")
ax.grid(alpha=0.3)
ax.legend(frameon=False)
plt.show()

# %%
# Accuracy with a hundred labels, over ten draws of them: all three bounds work.

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.boxplot(
    accuracies.values(), tick_labels=accuracies.keys(), orientation="horizontal"
)
ax.set(xlabel="accuracy with 100 labels", title="After eight epochs")
ax.grid(alpha=0.3)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
