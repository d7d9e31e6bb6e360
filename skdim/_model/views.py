"""One output of random views of samples."""

import numpy as np
import torch
from torch import nn

from skdim._model.inference import encode_in_parts
from skdim._model.readout import Readout
from skdim.augmentation import Augmentation, make_views
from skdim.sources.comparison import Comparison
from skdim.sources.standardization import Standardization
from skdim.sources.stored import Samples

# Number of samples whose views are made at once, as in a batch of training, so that features of
# views do not depend on how many are encoded at once.
N_AUGMENTED = 128


@torch.inference_mode()
def features_of_views(
    readout: Readout,
    encoder: nn.Module,
    samples: Samples,
    standardize: Standardization | Comparison,
    augment: Augmentation | None,
    n_views: int,
    generator: torch.Generator,
    batch_size: int,
) -> np.ndarray:
    """Return one output of views of samples: (n_views, n, n_features), float32.

    The encoder is in evaluation mode, on the device of the standardisation and of the generator.
    """
    features = []
    for start in range(0, len(samples), N_AUGMENTED):
        batch = standardize(samples[start : start + N_AUGMENTED])
        views = make_views(batch, augment, generator, n_views)  # (n_views, n, ...)
        read = []
        for part in views.flatten(0, 1).split(batch_size):
            encoding = encode_in_parts(encoder, part, len(part), with_fixed=readout.has_fixed)
            read.append(readout.features_of_batch(len(part), encoding))
        features.append(np.concatenate(read).reshape(n_views, len(batch), -1))
    return np.concatenate(features, axis=1)
