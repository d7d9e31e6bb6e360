"""
See what augment does to your samples
=====================================

Training makes random views of each sample, and learns features that are the
same for all of them. Look at the views before you train: they must still show
what matters to you. `ViewsDisplay` draws them, for images, signals, volumes and
tables, before or after ``fit``.

The data are digits and two photographs of scikit-learn, and a recording of the
brain that matplotlib brings. Nothing is downloaded.
"""

# %%
# Digits are moved, turned and scaled a little. They are not flipped: a 2 would
# not be a 2 any more.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_images

from skdim import DIMTransformer
from skdim.augmentation import crop_and_flip
from skdim.displays import ViewsDisplay

ViewsDisplay.from_estimator(DIMTransformer(), load_digits().images, n_views=5)
plt.show()

# %%
# Colour images are cropped, flipped and recoloured. If colour matters to you,
# this goes too far.

parts = np.stack(
    [
        photograph[top : top + 64, left : left + 64]
        for photograph in load_sample_images().images
        for top in range(50, 350, 64)
        for left in range(0, 576, 64)
    ]
)
ViewsDisplay.from_estimator(DIMTransformer(), parts, n_views=5)
plt.show()

# %%
# Then write your own views. A function of a batch and a generator of random
# numbers is enough; parts of skdim's views are in ``skdim.augmentation``.


def crops_only(batch, generator):
    """Crop and flip, and leave colours as they are."""
    return crop_and_flip(batch, generator, smallest=0.5)


dim = DIMTransformer(augment=crops_only)
ViewsDisplay.from_estimator(dim, parts, n_views=5)
plt.show()

# %%
# Signals are cropped, warped in time and scaled, with some noise. Here are
# windows of a recording of the brain (EEG) on four channels.

recording = np.fromfile(get_sample_data("eeg.dat", asfileobj=False))
recording = recording.reshape(800, 4).T  # (channels, time)
starts = range(0, 701, 25)
windows = np.stack([recording[:, start : start + 100] for start in starts])
dim = DIMTransformer(channel_axis=1)
ViewsDisplay.from_estimator(dim, windows, n_samples=4, n_views=5)
plt.show()

# %%
# Of a table, some cells are exchanged with those of other rows or disturbed by
# noise. There is a bar for each column.

X = load_breast_cancer().data
ViewsDisplay.from_estimator(DIMTransformer(), X, n_samples=4, n_views=5)
plt.show()
# sphinx_gallery_thumbnail_number = 2
