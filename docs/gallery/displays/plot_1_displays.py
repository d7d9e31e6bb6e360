"""
See what a fit has learned
==========================

Each display draws a picture of a fitted transformer with one call, in the style
of scikit-learn: a map of the features, the terms of the objective during
training, samples with their nearest neighbours, where in an image its code
scores high, and the codes beside their prior. The digits are those of
scikit-learn.
"""

# %%
# One fit, with a prior on the codes, for all displays.

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
dim = DIMTransformer(
    prior_weight=0.1,
    encoder_params={"width": 32},
    max_epochs=15,
    random_state=0,
).fit(X[:1400])
X_test, y_test = X[1400:], y[1400:]

# %%
# A map of held-out digits. Colours and shapes are labels that ``fit`` has not
# seen. Equal digits are close to each other. Thumbnails are drawn where there
# is no point, with a line to theirs.

CodeDisplay.from_estimator(dim, X_test, y=y_test)
plt.show()

# %%
# The terms of the objective in each epoch. The bound rises from chance, the
# line at 0; the adversarial losses of encoder and discriminator balance each
# other.

LossCurveDisplay.from_estimator(dim)
plt.show()

# %%
# Held-out digits and their nearest neighbours by features.

NearestNeighborsDisplay.from_estimator(dim, X_test)
plt.show()

# %%
# Which parts of a digit identify it? Orange: there, the code of the digit has
# a higher score than the codes of other digits. Purple: a lower one. Without
# ``over``, the scores are below the digit.

LocalScoreDisplay.from_estimator(dim, X_test, over=True)
plt.show()

# %%
# The first components of the codes, mapped into the range of the prior, and
# random draws of the prior. If no prior was trained, the picture says so.

PriorDisplay.from_estimator(dim, X_test)
plt.show()
