"""
Start from a pretrained network
===============================

You have a network that is already trained, for instance on ImageNet. There are
two ways to use it with scikit-learn: **frozen**, as a fixed step of a Pipeline,
or **tuned further** on your unlabelled images by Deep InfoMax.

This example downloads nothing. It trains a small network with labels to read
printed letters, which takes a few seconds, and then uses it for other images
with few labels: handwritten digits. A comment says where the weights of
torchvision or timm would be loaded instead.
"""

# %%
# A network with named layers, as those of torchvision: a stem, two stages, a
# pooling layer and a classifier.

import string
import warnings
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn
from torch.nn.functional import (
    affine_grid,
    avg_pool2d,
    cross_entropy,
    grid_sample,
)

from skdim import DIMTransformer
from skdim.encoders import tap


class Block(nn.Module):
    """A residual block; a stride of 2 halves height and width."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(y)) + self.shortcut(x)).relu()


class SmallResNet(nn.Module):
    """The layout of ``torchvision.models.resnet18``, but smaller."""

    def __init__(self, n_classes=52, width=32):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.layer1 = Block(width, width, 1)
        self.layer2 = Block(width, 2 * width, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(4 * 2 * width, n_classes)

    def forward(self, x):
        x = self.layer2(self.layer1(self.conv1(x).relu()))
        return self.fc(self.avgpool(x).flatten(1))


# %%
# The letters to train on: a to z and A to Z in twenty fonts of matplotlib. Each
# letter is turned, scaled and shifted at random, and made as small as the
# digits of scikit-learn, 8 x 8 pixels. No digit is among them.

FAMILIES = ("DejaVu", "STIXGeneral", "cmb", "cmr", "cmss", "cmtt")
FONTS = [
    ImageFont.truetype(path, 30)
    for path in sorted(Path(mpl.get_data_path(), "fonts", "ttf").glob("*.ttf"))
    if path.stem.startswith(FAMILIES) and "Display" not in path.stem
]


def printed(letter, font):
    """Draw a letter, white on black, as an array (32, 32)."""
    image = Image.new("L", (32, 32))
    drawing = ImageDraw.Draw(image)
    drawing.text((16, 16), letter, fill=255, font=font, anchor="mm")
    return np.array(image, dtype=np.float32) / 255


def draw_letters(n):
    """Return images (n, 1, 8, 8) of random letters, and their classes (n,)."""
    letters = torch.from_numpy(
        np.array([[printed(a, f) for a in string.ascii_letters] for f in FONTS])
    )
    which, font = torch.randint(52, (n,)), torch.randint(len(FONTS), (n,))
    smaller = 1 + 0.25 * torch.rand(n, 2, 1)
    maps = torch.eye(2) * smaller + 0.15 * torch.randn(n, 2, 2)
    maps = torch.cat([maps, 0.1 * torch.randn(n, 2, 1)], dim=2)  # and a shift
    grid = affine_grid(maps, (n, 1, 32, 32), align_corners=False)
    chosen = letters[font, which, None]  # (n, 1, 32, 32)
    images = avg_pool2d(grid_sample(chosen, grid, align_corners=False), 4)
    return (images - images.mean()) / images.std(), which


# %%
# The weights to start from. With torchvision or timm, this step is one line
# (see ``pretrained`` below).

torch.manual_seed(0)
trained = SmallResNet()
images, letters = draw_letters(12_000)
batches = torch.arange(len(images)).split(128)
optimizer = torch.optim.AdamW(trained.parameters())
schedule = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, max_lr=5e-3, total_steps=len(batches)
)
for batch in batches:
    loss = cross_entropy(trained(images[batch]), letters[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
WEIGHTS = trained.eval().state_dict()

images, letters = draw_letters(2_000)
with torch.no_grad():
    is_right = trained(images).argmax(1) == letters
print(f"accuracy on new letters: {is_right.float().mean():.3f}")

# %%
# :func:`~skdim.encoders.tap` makes an encoder of the network, from the names of
# two layers: one whose output is the local map, and one for the hidden layer.
# The function that builds the network loads the weights. ``fit`` calls it, and
# so does ``load``; it must be importable from a module if you save the model.


def pretrained():
    network = SmallResNet()
    network.load_state_dict(WEIGHTS)
    return network
    # torchvision:
    #     network = torchvision.models.resnet18()
    #     network.load_state_dict(torch.load("resnet18.pth"))
    # timm:
    #     network = timm.create_model("resnet18")
    #     network.load_state_dict(torch.load("resnet18.pth"))


encoder = tap(pretrained, local="layer2", hidden="avgpool")
untrained = tap(SmallResNet, local="layer2", hidden="avgpool")

# %%
# **Frozen**: training is switched off by a learning rate of almost 0. What is
# fitted is the scale of the images, and the principal components of the hidden
# layer. **Then DIM**: the usual ``fit``; the weights are where it starts. For
# comparison there are the same network with random weights, and the encoder
# that skdim takes if you name none.

digits = load_digits()
X, y = digits.images[:1300], digits.target[:1300]
X_test, y_test = digits.images[1300:], digits.target[1300:]

settings = {"n_components": 32, "output": "hidden", "random_state": 0}
frozen = {"max_epochs": 1, "learning_rate": 1e-12, **settings}
trained_by_dim = {"max_epochs": 5, **settings}
# A fit that is switched off does not converge; the warning is expected.
warnings.simplefilter("ignore", ConvergenceWarning)
transformers = {
    "random weights, frozen": DIMTransformer(encoder=untrained, **frozen),
    "random weights, then DIM": DIMTransformer(
        encoder=untrained, **trained_by_dim
    ),
    "pretrained, frozen": DIMTransformer(encoder=encoder, **frozen),
    "pretrained, then DIM": DIMTransformer(encoder=encoder, **trained_by_dim),
    "encoder of skdim, DIM": DIMTransformer(
        encoder_params={"width": 64}, **trained_by_dim
    ),
}
for transformer in transformers.values():
    transformer.fit(X)  # no labels

# %%
# Each of them is a step of a Pipeline; ``FrozenEstimator`` keeps the Pipeline
# from fitting it again. The classifier sees 50 labels, in ten random draws.

draws = [np.random.default_rng(k).permutation(len(X))[:50] for k in range(10)]
accuracy = {"raw pixels": []}
for draw in draws:
    raw = LogisticRegression(max_iter=2000)
    raw.fit(X[draw].reshape(50, -1) / 16, y[draw])
    score = raw.score(X_test.reshape(len(X_test), -1) / 16, y_test)
    accuracy["raw pixels"].append(score)
for name, transformer in transformers.items():
    pipeline = make_pipeline(
        FrozenEstimator(transformer), LogisticRegression(max_iter=2000)
    )
    accuracy[name] = [
        pipeline.fit(X[draw], y[draw]).score(X_test, y_test) for draw in draws
    ]
for name, scores in accuracy.items():
    print(f"{name:<25} {np.mean(scores):.3f} +- {np.std(scores):.3f}")

# %%
# Bars show the mean of the ten draws, lines their standard deviation. The
# pretrained weights help: frozen, they are far better than random weights and
# raw pixels. They are also better than DIM on the same network from random
# weights: fifty labels are few, and so are 1,300 images. Tuning them further
# changes little. The encoder of skdim, trained on the same images without
# labels, is the best of all: this network is small, and printed letters are not
# digits. A network that has seen millions of images may well be better. Make
# this comparison on your own data.

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.barh(
    list(accuracy),
    [np.mean(scores) for scores in accuracy.values()],
    xerr=[np.std(scores) for scores in accuracy.values()],
    color=["0.6", "0.8", "tab:orange", "tab:blue", "tab:red", "tab:purple"],
)
ax.invert_yaxis()
ax.set(xlabel="test accuracy with 50 labels", xlim=(0, 1))
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# In a notebook, a Pipeline is shown like this. The question mark leads to the
# page of the class, and the names of the parameters to their descriptions.

pipeline
