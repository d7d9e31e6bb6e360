"""
Find similar parts of photographs
=================================

Two photographs, cut into 480 parts: which parts look alike? Pixels compare
colours at fixed positions. Features, learned without labels, compare what does
not change from view to view of a part: they find more parts of the same
photograph.

The photographs are those that scikit-learn brings. Nothing is downloaded.
"""

# %%
# Each part has 32 x 32 pixels and three channels.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

from skdim import DIMTransformer
from skdim.evaluation import nearest_neighbors

photographs = load_sample_images().images  # china.jpg and flower.jpg
corners = [
    (number, top, left)
    for number in range(2)
    for top in range(0, 384, 32)
    for left in range(0, 640, 32)
]
X = np.stack(
    [
        photographs[n][top : top + 32, left : left + 32]
        for n, top, left in corners
    ]
)
y = np.array([number for number, *_ in corners])
print(X.shape, X.dtype)

# %%
# The encoder has an eighth of the default width, so that this takes seconds.

dim = DIMTransformer(
    encoder_params={"width": 16}, max_epochs=15, random_state=0
).fit(X)

# %%
# The five nearest neighbours of every part: how many are of the same
# photograph?

kinds = {
    "pixels": X.reshape(len(X), -1) / 255,  # (n, 3072)
    "features": dim.transform(X),  # (n, 64)
}
neighbors = {
    name: nearest_neighbors(values, values, 6)[1][:, 1:]  # without itself
    for name, values in kinds.items()
}
for name, found in neighbors.items():
    print(
        f"{name}: {np.mean(y[found] == y[:, None]):.2f} of the same photograph"
    )

# %%
# Six parts that are not plain, and their neighbours by pixels. A red frame
# marks a part of the other photograph.

not_plain = np.flatnonzero(X.std(axis=(1, 2, 3)) > 55)
queries = not_plain[:: len(not_plain) // 6][:6]


def draw(found, title):
    """A row for each query: the query, then its neighbours."""
    fig, axes = plt.subplots(
        len(queries), 6, figsize=(5.4, 5.6), layout="constrained"
    )
    for query, row in zip(queries, axes, strict=True):
        for index, ax in zip([query, *found[query]], row, strict=True):
            ax.imshow(X[index])
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(color="none", linewidth=3)
            if y[index] != y[query]:
                ax.spines[:].set_color("tab:red")
        row[0].spines[:].set_color("tab:blue")
    fig.suptitle(title)


draw(neighbors["pixels"], "Neighbours by pixels")
plt.show()

# %%
# The neighbours of the same parts by features.

draw(neighbors["features"], "Neighbours by features")
plt.show()
# sphinx_gallery_thumbnail_number = 2
