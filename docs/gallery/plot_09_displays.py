"""
Looking at what was learned
===========================

Displays draw a fitted transformer from one call, in the manner of scikit-learn: the course of
training, a map of the features, samples with their neighbours, the codes beside their prior, and
where in an image the code recognises it.
"""

# %%
# One fit, with a prior on the codes, for all of them.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skdim import DIMTransformer
from skdim.displays import (
    CodeDisplay,
    LocalScoreDisplay,
    LossCurveDisplay,
    NearestNeighborsDisplay,
    PriorDisplay,
)

X, y = load_digits().images, load_digits().target
dim = DIMTransformer(prior_weight=0.1, encoder_params={"width": 64}, random_state=0).fit(X[:1400])
X_test, y_test = X[1400:], y[1400:]

# %%
# A map of held-out digits, coloured by labels that ``fit`` has not seen: digits of a kind lie
# together.

CodeDisplay.from_estimator(dim, X_test, y=y_test)
plt.show()

# %%
# The terms of the objective, epoch by epoch: the bound rises, and encoder and discriminator of the
# prior hold each other in check.

LossCurveDisplay.from_estimator(dim)
plt.show()

# %%
# Held-out digits and their nearest neighbours by features.

NearestNeighborsDisplay.from_estimator(dim, X_test)
plt.show()

# %%
# Where the code of a digit scores its own locals high and those of strangers low: the strokes that
# tell it from others.

LocalScoreDisplay.from_estimator(dim, X_test)
plt.show()

# %%
# The first components of the codes, squashed into the range of the prior, beside draws of it.

PriorDisplay.from_estimator(dim, X_test)
plt.show()
