"""
A pretrained network
====================

You have a network that is already trained, for instance on ImageNet. There are
two ways to use it with scikit-learn: **frozen**, as a fixed step of a Pipeline,
or **tuned further** on your unlabelled images by Deep InfoMax.

This example downloads nothing. It builds a small network in the style of
torchvision, and trains it on other data (drawings of lines), so that it has
weights to start from. A comment says where the weights of torchvision or timm
would be loaded instead.
"""

# %%
# A network with named layers, as those of torchvision: a stem, two stages, a
# pooling layer and a classifier.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

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

    def __init__(self, n_classes=2, width=16):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.layer1 = Block(width, width, 1)
        self.layer2 = Block(width, 2 * width, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2 * width, n_classes)

    def forward(self, x):
        x = self.layer2(self.layer1(self.conv1(x).relu()))
        return self.fc(self.avgpool(x).flatten(1))


# %%
# The weights to start from. Here they come from a short training with labels:
# is a line steep or flat? With torchvision or timm, this step is one line (see
# the end of ``pretrained`` below).


def drawings(n, rng):
    """Images (n, 1, 8, 8) of one line each, and whether it is steep."""
    y, x = np.mgrid[-1:1:8j, -1:1:8j]
    angle, offset = rng.uniform(0, np.pi, n), rng.uniform(-0.4, 0.4, n)
    distance = (
        np.multiply.outer(np.sin(angle), x)
        - np.multiply.outer(np.cos(angle), y)
        - offset[:, None, None]
    )
    is_steep = np.abs(np.tan(angle)) > 1
    images = np.exp(-12 * distance**2)[:, None].astype(np.float32)
    return torch.from_numpy(images), torch.from_numpy(is_steep.astype(int))


torch.manual_seed(0)
trained = SmallResNet()
lines, is_steep = drawings(2000, np.random.default_rng(0))
optimizer = torch.optim.Adam(trained.parameters(), 3e-3)
for _ in range(3):
    for batch in torch.randperm(len(lines)).split(64):
        loss = nn.functional.cross_entropy(
            trained(lines[batch]), is_steep[batch]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(f"loss on lines after 3 epochs: {loss.item():.3f}")
WEIGHTS = trained.eval().state_dict()

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
# layer. **Tuned further**: the usual ``fit``; the weights are where it starts.

digits = load_digits()
X, y = digits.images[:1300], digits.target[:1300]
X_test, y_test = digits.images[1300:], digits.target[1300:]

settings = {"n_components": 32, "output": "hidden", "random_state": 0}
tuning = {"max_epochs": 8}
off = {"max_epochs": 1, "learning_rate": 1e-12}
# A fit that is switched off does not converge; the warning is expected.
warnings.simplefilter("ignore", ConvergenceWarning)
transformers = {
    "random weights, frozen": DIMTransformer(
        encoder=untrained, **settings, **off
    ),
    "pretrained, frozen": DIMTransformer(encoder=encoder, **settings, **off),
    "random weights, then DIM": DIMTransformer(
        encoder=untrained, **settings, **tuning
    ),
    "pretrained, then DIM": DIMTransformer(
        encoder=encoder, **settings, **tuning
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
# Bars show the mean of the ten draws, lines their standard deviation. Here the
# pretrained weights do not help: drawings of lines are too far from digits, and
# raw pixels are better than so small a network. Always make this comparison.

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.barh(
    list(accuracy),
    [np.mean(scores) for scores in accuracy.values()],
    xerr=[np.std(scores) for scores in accuracy.values()],
    color=["0.6", "0.8", "tab:blue", "tab:orange", "tab:red"],
)
ax.invert_yaxis()
ax.set(xlabel="test accuracy with 50 labels", xlim=(0, 1))
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# In a notebook, a Pipeline is shown like this. The question mark leads to the
# page of the class, and the names of the parameters to their descriptions.

pipeline
