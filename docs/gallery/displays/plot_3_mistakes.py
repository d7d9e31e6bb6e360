"""
See why a classifier is wrong
=============================

A classifier with forty labels makes mistakes. `MistakesDisplay` draws each one
beside the labelled samples that are nearest to it by the features that the
classifier sees. You see whether the sample is unusual, whether another class
has samples like it, or whether a label is wrong. Then you know which samples to
label next.

The digits are those of scikit-learn.
"""

# %%
# Features are learned from all training images, and the classifier from forty
# labels. -1 marks images without a label.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skdim import DIMTransformer
from skdim.displays import CodeDisplay, MistakesDisplay

digits = load_digits()
X, X_test = digits.images[:1200], digits.images[1200:]
y, y_test = digits.target[:1200], digits.target[1200:]
dim = DIMTransformer(
    encoder_params={"width": 32}, max_epochs=15, random_state=0
).fit(X)

labelled = np.random.default_rng(0).permutation(len(X))[:40]
y_few = np.full(len(X), -1)
y_few[labelled] = y[labelled]
classifier = make_pipeline(FrozenEstimator(dim), LogisticRegression())
classifier.fit(X[labelled], y[labelled])
print(f"accuracy with 40 labels: {classifier.score(X_test, y_test):.3f}")

# %%
# A blue frame: the neighbour is of the true class. A red frame: it is of the
# class that the classifier predicts.

display = MistakesDisplay.from_estimator(
    classifier, X_test, y_test, X_train=X, y_train=y_few
)
plt.show()
print("rows of X_test:", display.indices)

# %%
# A map of the training images: few have a label, the others are grey. A
# cluster without any colour is where a label would help most.

CodeDisplay.from_estimator(dim, X, y=y_few, n_thumbnails=30)
plt.show()
