"""Signals of unequal length, padded with NaN."""

import numpy as np
import torch

LENGTHS = [40, 24, 9, 4, *np.random.default_rng(1).integers(4, 40, 56)]


def with_ends(signals, lengths=LENGTHS):
    """Copy signals (n, channels, length), with NaN after the given lengths."""
    signals = signals.clone() if isinstance(signals, torch.Tensor) else signals.copy()
    for signal, length in zip(signals, lengths, strict=True):
        signal[:, length:] = np.nan
    return signals


UNCUT = np.random.default_rng(0).normal(size=(60, 2, 40)).cumsum(2).astype(np.float32)
ENDED = with_ends(UNCUT)
