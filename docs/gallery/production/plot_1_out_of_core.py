"""
Learn from more data than memory holds
======================================

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
from sklearn.datasets import load_digits, load_sample_images
from sklearn.exceptions import ConvergenceWarning

from skdim import DIMTransformer
from skdim.displays import NearestNeighborsDisplay
from skdim.sources import ImageFolder

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
images = load_digits().images.astype(np.float32)

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
# The curve of ``transform_to`` is flat.

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.plot(n_samples, in_memory, "o-", color="0.5", label="transform, in memory")
ax.plot(
    n_samples,
    from_disk,
    "o-",
    color="tab:orange",
    label="transform_to, on disk",
)
ax.set(
    xlabel="samples",
    ylabel="peak memory in MiB",
    ylim=(0, None),
    xticks=n_samples,
)
ax.grid(alpha=0.3)
ax.legend(frameon=False)
plt.show()

# %%
# A folder of pictures of any size can be X too. Here are parts of the two
# photographs of scikit-learn, in a folder for each photograph. ``labels`` are
# the names of the folders.

for photograph, name in zip(
    load_sample_images().images, ["china", "flower"], strict=True
):
    (folder / "pictures" / name).mkdir(parents=True)
    for number, (top, left) in enumerate(np.ndindex(7, 10)):
        part = photograph[60 * top :, 64 * left :][:60, :64]
        plt.imsave(folder / "pictures" / name / f"{number}.png", part)

pictures = ImageFolder(folder / "pictures", size=32)
print(pictures.shape, pictures.dtype, np.unique(pictures.labels))
small = DIMTransformer(
    encoder_params={"width": 16}, max_epochs=25, random_state=0
).fit(pictures)

# %%
# Pictures of a folder have names: those of their files.

NearestNeighborsDisplay.from_estimator(
    small, pictures, n_queries=5, n_neighbors=4
)
plt.show()
