"""The same encoder trained by labels."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.baselines.base import Baseline, Objective, Task, Updates
from skdim.encoders import encode

N_UNITS = 200


class Labels(Objective):
    """Cross entropy of a small network on the encoder's last local map, that of the paper's probe.

    Its layers: linear without bias to 200 units, dropout, batch normalisation, ReLU, linear.
    """

    def __init__(self, task: Task):
        super().__init__()
        if task.y is None or len(task.y) != task.n_samples:
            received = "None" if task.y is None else f"{len(task.y)} labels"
            raise ValueError(
                f"y must hold a label for each of {task.n_samples} samples. Got {received}."
            )
        self.classes, labels = np.unique(np.asarray(task.y), return_inverse=True)
        self.register_buffer("labels", torch.from_numpy(labels))
        self.hidden = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(task.local_shape), N_UNITS, bias=False),
            nn.Dropout(0.1),
            nn.BatchNorm1d(N_UNITS),
            nn.ReLU(),
        )
        self.last = nn.Linear(N_UNITS, len(self.classes))

    def forward(self, encoder, x, indices, generator) -> Updates:
        """Yield the encoder's update."""
        hidden = self.hidden(encode(encoder, x).local_maps[-1])
        logits = self.last(hidden).float()
        yield "encoder", {"cross_entropy": cross_entropy(logits, self.labels[indices])}


class Supervised(Baseline):
    """Convolutions and a small classifier; `predict` returns classes.

    `transform` returns the classifier's hidden layer (n, 200). With an encoder of the paper, the
    classifier sees the last convolution; the encoder's hidden layer and code are not trained.
    """

    objective = Labels

    @torch.inference_mode()
    def predict(self, X):
        """Return the class of each sample."""
        features = torch.from_numpy(self.transform(X)).to(self.device_)
        return self.objective_.classes[self.objective_.last(features).argmax(1).cpu().numpy()]

    @torch.inference_mode()
    def features_of(self, encoding) -> Tensor:
        """Return the hidden layer of the classifier."""
        return self.objective_.hidden(encoding.local_maps[-1])

    def _choose_params(self, make) -> dict:
        layer_params = {"local_layer": -1} if hasattr(make, "local_layer") else {}
        return layer_params | super()._choose_params(make)
