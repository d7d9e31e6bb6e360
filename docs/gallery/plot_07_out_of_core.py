"""
More data than memory
=====================

X may be on disk: an array that ``np.load`` maps, or a folder of pictures.
``fit`` reads a batch at a time, and `DIMTransformer.transform_to` writes
features a few samples at a time. The curves show that memory does not grow with
the number of samples.
"""

# %%
# Twenty thousand noisy copies of scikit-learn's digits, written in chunks. A
# thousand times as many would be read in the same way.

import tempfile
import tracemalloc
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from skdim import DIMTransformer
from skdim.evaluation import nearest_neighbors
from skdim.sources import ImageFolder

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
images, labels = load_digits().images.astype(np.float32), load_digits().target

stored = np.lib.format.open_memmap(
    folder / "X.npy", "w+", np.float32, (20_000, 8, 8)
)
for start in range(0, len(stored), 1000):
    batch = images[rng.integers(len(images), size=1000)]
    stored[start : start + 1000] = batch + rng.normal(0, 1, batch.shape)
stored.flush()

# %%
# ``mmap_mode="r"`` opens the file without reading it. One epoch is enough here;
# the warning that more would be better is ignored.

X = np.load(folder / "X.npy", mmap_mode="r")
quick = {"width": 32, "n_hidden": 256}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    dim = DIMTransformer(
        encoder_params=quick, max_epochs=1, random_state=0
    ).fit(X)
features = dim.transform_to(X, folder / "features.npy")
print(type(features).__name__, features.shape)

# %%
# Memory of both ways: all in memory, or from a file to a file. `tracemalloc`
# counts what Python and numpy allocate.


def peak(work):
    """Peak memory while ``work`` runs, in MiB."""
    tracemalloc.start()
    work()
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size / 2**20


n_samples = [2_500, 5_000, 10_000, 20_000]
in_memory = [
    peak(lambda n=n: dim.transform(np.array(X[:n]))) for n in n_samples
]
from_disk = [
    peak(lambda n=n: dim.transform_to(X[:n], folder / "F.npy"))
    for n in n_samples
]
print(
    "in memory:",
    np.round(in_memory, 1),
    "from disk:",
    np.round(from_disk, 1),
    "MiB",
)

# %%
# A folder of pictures of any size can be X too: here 300 files, 24 to 40 pixels
# wide, in one folder for each digit. ``labels`` are the names of the folders.

for number in range(300):
    digit = folder / "pictures" / str(labels[number])
    digit.mkdir(parents=True, exist_ok=True)
    side = rng.integers(3, 6)
    picture = np.kron(images[number], np.ones((side, side))) / 16
    plt.imsave(digit / f"{number}.png", picture, cmap="gray")

pictures = ImageFolder(folder / "pictures", size=8, color=False)
print(pictures.shape, pictures.dtype, pictures.labels[:3])
small = DIMTransformer(encoder_params=quick, random_state=0).fit(pictures)
neighbours = nearest_neighbors(
    small.transform(pictures), small.transform(pictures), 6
)[1]
same = (pictures.labels[neighbours[:, 1:]] == pictures.labels[:, None]).mean()
print(f"neighbours from the same folder: {same:.2f}")

# %%
# On the left, peak memory. On the right, pictures (first column) and their
# nearest neighbours by features.

fig = plt.figure(figsize=(10, 3.8), layout="constrained")
left, right = fig.subfigures(1, 2, width_ratios=[1.2, 1])
ax = left.subplots()
ax.plot(n_samples, in_memory, "o-", color="0.5", label="transform, X in memory")
ax.plot(
    n_samples,
    from_disk,
    "o-",
    color="tab:orange",
    label="transform_to, X on disk",
)
ax.set(
    xlabel="samples",
    ylabel="peak memory in MiB",
    ylim=(0, None),
    xticks=n_samples,
)
ax.grid(alpha=0.3)
ax.legend(frameon=False)
for query, axes in zip(range(15, 300, 60), right.subplots(5, 6), strict=True):
    for ax, found in zip(axes, neighbours[query], strict=True):
        ax.imshow(pictures[found : found + 1][0], cmap="gray")
        ax.set_axis_off()
plt.show()
