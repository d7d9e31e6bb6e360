"""Whether signals are long and oscillate, so that spectrograms show what is in them.

Audio, vibration, EEG and radio do. Most of their energy is in oscillations of many periods, and the
phase of these means nothing. Outlines, gestures and a heartbeat have a shape in time instead.
"""

from typing import Any

import numpy as np

from skdim.sources.stored import Samples

# Shorter signals have few windows.
LONG = 2048
# Half of the energy must be at frequencies above this one, in cycles per point.
SLOWEST = 1 / 64
# So many signals are looked at.
N_EXAMINED = 128


def has_spectrogram(encoder: Any, samples: Samples) -> bool:
    """Whether the value of the ``encoder`` parameter is, or means for samples, the spectrogram."""
    return encoder == "spectrogram" or (encoder == "auto" and are_oscillations(samples))


def are_oscillations(samples: Samples) -> bool:
    """Whether samples (n, channels, *sides) are signals that are long and oscillate.

    Every signal counts alike, whatever its level. The mean of a signal is not energy.
    """
    if samples.ndim != 3 or samples.shape[2] < LONG:
        return False
    signals = samples[:: -(-len(samples) // N_EXAMINED)].astype(np.float64)
    is_present = ~np.isnan(signals)
    n_points = is_present.sum(2, keepdims=True)
    if np.median(n_points) < LONG:
        return False
    signals = np.where(is_present, signals, 0.0)
    signals -= is_present * (signals.sum(2, keepdims=True) / np.maximum(n_points, 1))
    energy = np.square(np.abs(np.fft.rfft(signals)))  # (n, channels, n_frequencies)
    total = energy.sum(2, keepdims=True)
    shares = (energy / np.where(total > 0, total, 1.0)).sum((0, 1))
    is_fast = np.fft.rfftfreq(samples.shape[2]) > SLOWEST
    return bool(shares[is_fast].sum() > shares[~is_fast].sum())
