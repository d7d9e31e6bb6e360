"""Comparison of later samples with those of ``fit``: other units, channels that were constant."""

import numpy as np
import torch
from torch import Tensor

from skdim.exceptions import DataWarning, warn
from skdim.sources.standardization import Standardization

# Fewer samples may differ from those of fit by chance.
N_COMPARED = 10
# In the units of fit, standardised values of most channels have moments within these.
LARGEST_MEAN = 4.0
DEVIATIONS = (1 / 6, 4.0)
# Even a single sample has them within these, if it has at least this many values in each channel:
# what was 0 to 255 and is 0 to 1 is told.
N_VALUES_OF_ONE = 64
LARGEST_MEAN_OF_FEW = 100.0
DEVIATIONS_OF_FEW = (1 / 100, 100.0)
# By chance, fit may not have seen a category or pixel that is in at most this part of the samples.
RARE = 0.1
# Relative difference of numbers that were rounded to another type.
ROUNDING = 1e-6


class Comparison:
    """Standardises samples like `Standardization`, and warns if they are unlike those of ``fit``.

    Parameters
    ----------
    standardization : Standardization
    n_samples : int
        Number of samples in all calls.
    allow_nan : bool
        Whether values may be missing.
    """

    def __init__(self, standardization: Standardization, n_samples: int, allow_nan: bool):
        self.standardization, self.allow_nan = standardization, allow_nan
        self.device = standardization.device
        self.n_samples = n_samples
        # By channel, the number of samples that are unlike those of fit.
        self.n_changed, self.n_incomplete = np.zeros((2, len(standardization.scale)), int)
        # By channel, the number of values, and sums of them and of their squares.
        self.n_values: Tensor | int = 0
        self.sums: list[Tensor] = []
        self.are_whole = False

    def __call__(self, samples: np.ndarray) -> Tensor:
        """Standardise samples (n, n_channels, *sides) as float32 on the device."""
        self._compare_constants(samples)
        standardized = self.standardization(samples)
        self.are_whole = samples.dtype == np.uint8
        if self.n_samples >= N_COMPARED or samples[:1, :1].size >= N_VALUES_OF_ONE:
            axes = (0, *range(2, samples.ndim))
            values = standardized.nan_to_num() if self.allow_nan else standardized
            is_present = ~standardized.isnan() if self.allow_nan else None
            self.n_values += values[:, 0].numel() if is_present is None else is_present.sum(axes)
            self.sums.append(torch.stack([values.sum(axes), values.square().sum(axes)]))
        return standardized

    def _compare_constants(self, samples: np.ndarray) -> None:
        """Count samples that differ where ``fit`` saw one value or none, or lack what all had."""
        axes = tuple(range(2, samples.ndim))
        (constant,) = np.nonzero(~np.isfinite(self.standardization.scale))
        if len(constant):
            values = samples[:, constant].astype(np.float64)
            mean = self.standardization.mean[constant].reshape(-1, *[1] * (samples.ndim - 2))
            is_same = (abs(values - mean) <= ROUNDING * abs(mean)) | np.isnan(values)
            self.n_changed[constant] += (~is_same.all(axes)).sum(0)
        is_complete = self.standardization.is_complete
        if is_complete is not None:
            self.n_incomplete += is_complete * np.isnan(samples).any(axes).sum(0)

    def warn(self) -> None:
        """Say what was noticed in all samples."""
        enough = RARE * self.n_samples
        if len(changed := np.flatnonzero(self.n_changed > enough)):
            warn(
                f"X has values in {_names(changed)} that 'fit' did not see: it saw one value "
                "there, or none. Features do not depend on them.",
                DataWarning,
            )
        if len(incomplete := np.flatnonzero(self.n_incomplete > enough)):
            warn(
                f"X has missing values in {_names(incomplete)}, where 'fit' saw none: they "
                "are replaced by the mean.",
                DataWarning,
            )
        if self.sums:
            self._warn_of_units()

    def _warn_of_units(self) -> None:
        """Warn if half of the channels have means or deviations that samples of fit cannot have."""
        total, squares = torch.stack(self.sums).sum(0).cpu().double().numpy()
        n_values = np.broadcast_to(torch.as_tensor(self.n_values).cpu().numpy(), total.shape)
        varied = np.isfinite(self.standardization.scale) & (n_values > 0)
        mean = total[varied] / n_values[varied]
        deviation = np.sqrt(np.maximum(squares[varied] / n_values[varied] - mean**2, 0))
        if self.n_samples >= N_COMPARED:
            largest_mean, (least, largest) = LARGEST_MEAN, DEVIATIONS
        else:
            largest_mean, (least, largest) = LARGEST_MEAN_OF_FEW, DEVIATIONS_OF_FEW
            least = 0.0 if self.are_whole else least  # a dark picture, but not one of 0 to 1
        differs = (abs(mean) > largest_mean) | (deviation > largest)
        differs |= (deviation < least) & (deviation > 0)
        if differs.sum() > 0.5 * len(differs):
            warn(
                "X seems to be in other units than in 'fit'. Standardised as in 'fit', most of its "
                f"channels have means such as {np.median(mean[differs]):.2g} and standard "
                f"deviations such as {np.median(deviation[differs]):.2g}, not about 0 and 1.",
                DataWarning,
            )


def _names(channels: np.ndarray) -> str:
    numbers = list(map(str, channels))
    further = f" and {len(numbers) - 3} more" if len(numbers) > 3 else ""
    return f"channel {', '.join(numbers[:3])}{further} (from 0)"
