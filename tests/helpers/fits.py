"""Short fits, and functions that make custom ones: for checkpoints and fingerprints."""

import numpy as np
from sklearn.datasets import load_digits

from skdim import DIMTransformer
from skdim.encoders import MLPEncoder
from skdim.mutual_information import infonce

IMAGES = load_digits().images[:128].astype(np.float32)
ROWS = IMAGES.reshape(-1, 64)
N_EPOCHS = 5


def dim(checkpoint=None, **params):
    """Build a transformer whose fits take a moment."""
    defaults = {"max_epochs": N_EPOCHS, "batch_size": 64, "random_state": 0, "device": "cpu"}
    if "encoder" not in params:
        defaults["encoder_params"] = {"width": 16, "n_hidden": 64}
    return DIMTransformer(8, **{**defaults, "checkpoint": checkpoint, **params})


class FixedSeed(np.random.RandomState):
    """A generator whose next seed is known."""

    def __init__(self, seed):
        super().__init__(0)
        self.seed_drawn = seed

    def randint(self, *args, **kwargs):
        return self.seed_drawn


def scaled(factor):
    return lambda joint, marginal: factor * infonce(joint, marginal)


def one_of(width):
    class CustomEncoder(MLPEncoder):
        def forward(self, x):
            return super().forward(width * x)

    return CustomEncoder
