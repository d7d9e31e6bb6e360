"""
Tell signals apart that are not aligned
=======================================

Four kinds of events, each at a random time in a noisy signal. A linear model
learns little from the raw signals, because they are not aligned. Features
learned from random views of them, which are cropped, warped in time and
rescaled, separate the four kinds.

The signals are synthetic, because no installed package brings labelled ones.
*Signals with groups*, among the jobs, has recorded ones.
"""

# %%
# Two chirps, whose frequency rises or falls, a square wave, and two pulses.
# ``channel_axis=None`` says that X has no channel axis: (n, time) are then
# signals, not a table.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from skdim import DIMTransformer

TIME, WINDOW = np.linspace(-1, 1, 64), np.hanning(64)
EVENTS = {
    "rising chirp": np.sin(2 * np.pi * (3 * TIME + 2 * TIME**2)) * WINDOW,
    "falling chirp": np.sin(2 * np.pi * (3 * TIME - 2 * TIME**2)) * WINDOW,
    "square wave": np.sign(np.sin(4 * np.pi * TIME)) * WINDOW,
    "two pulses": np.exp(-(((np.abs(TIME) - 0.5) / 0.1) ** 2)),
}

rng = np.random.default_rng(0)
y = rng.integers(len(EVENTS), size=500)
X = 0.15 * rng.normal(size=(500, 128))
for signal, label, start in zip(X, y, rng.integers(64, size=500), strict=True):
    signal[start : start + 64] += list(EVENTS.values())[label] * rng.uniform(
        0.7, 1.3
    )

# %%
# ``fit`` sees no labels.

dim = DIMTransformer(
    channel_axis=None, encoder_params={"width": 16}, random_state=0
).fit(X)
kinds = {"raw signals": X, "DIM features": dim.transform(X)}
for name, features in kinds.items():
    classifier = LogisticRegression(max_iter=2000).fit(features[:40], y[:40])
    accuracy = classifier.score(features[40:], y[40:])
    print(f"{name}: accuracy {accuracy:.3f} with 40 labels")

# %%
# Two signals of each kind.

fig, axes = plt.subplots(
    4, 1, figsize=(6, 4), sharex=True, layout="constrained"
)
for label, (ax, name) in enumerate(zip(axes, EVENTS, strict=True)):
    for lift, signal in enumerate(X[y == label][:2]):
        ax.plot(signal + 3 * lift, color=f"C{label}", linewidth=1)
    ax.set_title(name, fontsize=9, loc="left")
    ax.set(yticks=[])
    ax.spines[["top", "right", "left"]].set_visible(False)
plt.show()

# %%
# All 500 in the plane of their first two principal components. The colours are
# the labels, which only the picture uses.

fig, axes = plt.subplots(1, 2, figsize=(7, 3.8), layout="constrained")
for ax, (name, features) in zip(axes, kinds.items(), strict=True):
    plane = PCA(2).fit_transform(features)  # (n, 2)
    ax.scatter(
        *plane.T, c=[f"C{label}" for label in y], s=10, alpha=0.7, linewidths=0
    )
    ax.set(title=name, xticks=[], yticks=[])
plt.show()
# sphinx_gallery_thumbnail_number = 2
