"""The same encoder trained by labels."""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.baselines.base import Baseline, Objective, Task, Updates
from skdim.encoders import encode


class Labels(Objective):
    """Cross entropy of the classes that a linear layer reads from codes."""

    def __init__(self, task: Task):
        super().__init__()
        if task.y is None or len(task.y) != task.n_samples:
            given = "None" if task.y is None else f"{len(task.y)} labels"
            raise ValueError(
                f"y must hold a label for each of {task.n_samples} samples. Got {given}."
            )
        self.classes, labels = np.unique(np.asarray(task.y), return_inverse=True)
        self.register_buffer("labels", torch.from_numpy(labels))
        self.head = nn.Linear(task.n_code, len(self.classes))

    def forward(self, encoder, x, indices, generator) -> Updates:
        """Yield the encoder's update."""
        logits = self.head(encode(encoder, x).code).float()
        yield "encoder", {"cross_entropy": cross_entropy(logits, self.labels[indices])}


class Supervised(Baseline):
    """Encoder and linear classifier; `predict` returns classes, `transform` the codes below."""

    objective = Labels

    @torch.inference_mode()
    def predict(self, X):
        """Return the class of each sample."""
        code = torch.from_numpy(self.transform(X)).to(self.device_)
        return self.objective_.classes[self.objective_.head(code).argmax(1).cpu().numpy()]
