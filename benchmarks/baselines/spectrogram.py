"""Log power in bands and windows, pooled: features of signals that oscillate, without learning."""

import numpy as np
from scipy.signal import spectrogram
from sklearn.base import BaseEstimator, TransformerMixin


class LogSpectrogram(TransformerMixin, BaseEstimator):
    """Mean and maximum of each quarter of the log power, for each channel and band.

    Parameters
    ----------
    window : int or None, default=None
        Points of a window, half of which the next one shares; None is 128, or an eighth of a signal
        that is shorter than 1,024 points.
    """

    def __init__(self, window=None):
        self.window = window

    def fit(self, X, y=None):
        """Learn the mean power of signals (n, channels, length)."""
        self.window_ = self.window or min(128, X.shape[2] // 8)
        self.power_ = X.var()
        return self

    def transform(self, X):
        """Return (n, 8 * channels * bands)."""
        _, _, power = spectrogram(
            X, nperseg=self.window_, noverlap=self.window_ // 2, window="hann", detrend=False
        )
        log_power = np.log(power * (self.window_ / 2) / self.power_ + 1e-3)
        quarters = np.array_split(log_power, 4, axis=-1)
        pooled = [pool(quarter, -1) for quarter in quarters for pool in (np.mean, np.max)]
        return np.concatenate(pooled, 2).reshape(len(X), -1)
