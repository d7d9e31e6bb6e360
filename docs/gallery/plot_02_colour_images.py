"""
Colour images
=============

Which images are similar? By their pixels, images of the same colours. By
features learned without labels, more often images of the same pattern, because
the random views of an image differ in crop, orientation and colour, but not in
pattern.

If the environment variable ``SKDIM_DATA`` names a folder with a
``load_data.py`` whose ``load_cifar10`` returns images and labels, this example
uses 2,000 images of CIFAR-10. Otherwise it draws **synthetic** images: five
patterns in two of six colours, rotated, shifted and scaled at random. They are
easier than photographs and say nothing about the accuracy on photographs; the
benchmarks have measured figures for CIFAR-10.
"""

# %%
# A pattern is a function of the plane. Its two colours are drawn independently
# of it.

import importlib.util
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression

from skdim import DIMTransformer
from skdim.evaluation import nearest_neighbors

PATTERNS = {
    "stripes": lambda u, v: np.sin(u),
    "checks": lambda u, v: 2 * np.sin(u) * np.sin(v),
    "rings": lambda u, v: np.sin(np.hypot(u, v)),
    "dots": lambda u, v: np.cos(u) + np.cos(v) - 0.9,
    "waves": lambda u, v: np.sin(u + 1.5 * np.sin(v)),
}
COLOURS = np.array(
    [
        [230, 80, 60],
        [60, 110, 220],
        [250, 210, 60],
        [70, 170, 90],
        [240, 240, 235],
        [40, 40, 50],
    ]
)


def draw(pattern, rng):
    """One image, uint8, of shape (32, 32, 3)."""
    angle, scale = rng.uniform(0, np.pi), rng.uniform(0.6, 0.9)
    x, y = np.mgrid[:32, :32] - rng.uniform(8, 24, (2, 1, 1))
    u = scale * (np.cos(angle) * x + np.sin(angle) * y)
    v = scale * (np.cos(angle) * y - np.sin(angle) * x)
    share = 1 / (1 + np.exp(-4 * pattern(u, v)))[..., None]  # (32, 32, 1)
    first, second = COLOURS[rng.choice(6, 2, replace=False)] + rng.normal(
        0, 8, (2, 3)
    )
    image = share * first + (1 - share) * second + rng.normal(0, 8, (32, 32, 3))
    return image.clip(0, 255).astype(np.uint8)


def synthetic_images(n):
    """Images of shape (n, 32, 32, 3), uint8, and their patterns' numbers."""
    rng = np.random.default_rng(0)
    labels = rng.integers(len(PATTERNS), size=n)
    patterns = list(PATTERNS.values())
    return np.stack([draw(patterns[label], rng) for label in labels]), labels


def cifar10(n):
    """The first n training images and their labels."""
    folder = Path(os.environ["SKDIM_DATA"])
    spec = importlib.util.spec_from_file_location(
        "load_data", folder / "load_data.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load_cifar10("train", n=n)


is_cifar = "SKDIM_DATA" in os.environ
X, y = cifar10(2000) if is_cifar else synthetic_images(2000)
kind = "CIFAR-10" if is_cifar else "synthetic images"
print(kind, X.shape, X.dtype)

# %%
# The encoder has a quarter of the default width, so that this takes seconds.

dim = DIMTransformer(
    encoder_params={"width": 32}, max_epochs=12, random_state=0
).fit(X)

labelled, test = slice(0, 100), slice(1500, None)
pixels = X.reshape(len(X), -1) / 255  # (n, 3072)
features = dim.transform(X)  # (n, 64)
for name, F in {"pixels": pixels, "DIM": features}.items():
    classifier = LogisticRegression(C=0.1, max_iter=2000).fit(
        F[labelled], y[labelled]
    )
    neighbours = nearest_neighbors(F, F[test], 8)[1][
        :, 1:
    ]  # without the query itself
    purity = (y[neighbours] == y[test][:, None]).mean()
    accuracy = classifier.score(F[test], y[test])
    print(f"{name}: {purity:.2f} of neighbours are of the same class")
    print(f"{name}: accuracy {accuracy:.2f} with 100 labels")

# %%
# Each row shows a query and the seven images closest to it, by pixels on the
# left and by features on the right. A red frame marks an image of another
# class.

queries = [
    int(np.flatnonzero(y[test] == label)[0]) + 1500 for label in range(5)
]
found = {
    "nearest by pixels": nearest_neighbors(pixels, pixels[queries], 8)[1],
    "nearest by features": nearest_neighbors(features, features[queries], 8)[1],
}
fig = plt.figure(figsize=(10, 3.5), layout="constrained")
fig.suptitle(kind)
for half, (title, rows) in zip(
    fig.subfigures(1, 2, wspace=0.04), found.items(), strict=True
):
    half.suptitle(title)
    for row, axes in zip(rows, half.subplots(5, 8), strict=True):
        for column, (index, ax) in enumerate(zip(row, axes, strict=True)):
            ax.imshow(X[index])
            ax.set(xticks=[], yticks=[])
            colour = (
                "tab:blue"
                if column == 0
                else "tab:red"
                if y[index] != y[row[0]]
                else "none"
            )
            ax.spines[:].set(color=colour, linewidth=2.5)
plt.show()
