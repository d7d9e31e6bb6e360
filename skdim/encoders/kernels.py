"""Fixed kernels over time: features that nothing is trained for, with thresholds read off the data.

References
----------
Dempster, Schmidt, Webb, "MiniRocket: a very fast (almost) deterministic transform for time series
classification", KDD 2021. Tan et al., "MultiRocket: multiple pooling operators and transformations
for fast and effective time series classification", Data Mining and Knowledge Discovery, 2022.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skdim.encoders.contract import in_parts

LENGTH = 9
# Three weights of 2 and six of -1: each kernel has sum 0, and answers to shape, not to level.
KERNELS = [
    [2.0 if i in high else -1.0 for i in range(LENGTH)] for high in combinations(range(9), 3)
]

# Positions in time of which a share is computed, about; longer signals are looked at in strides.
N_POSITIONS = 512
# Width of the step from below to above a threshold, in standard deviations of the response. A hard
# step would tell ties apart by rounding: many signals stand still for a while.
SOFTNESS = 0.1
GOLDEN_RATIO = (5**0.5 - 1) / 2
# Numbers per kernel that thresholds are computed from, about.
N_RESPONSES = 10_000


class KernelBank(nn.Module):
    """The share of time in which the response of each fixed kernel is above each threshold.

    All 84 kernels of length 9 with three weights of 2 and six of -1, at the dilations 1, 2, 4, ...
    that the signal is long enough for, on the signal and on its differences in time. A kernel sees
    a random subset of the channels. Thresholds are quantiles of the responses; they are 0 until
    `adapt` is called.

    Parameters
    ----------
    sample_shape : tuple (channels, length)
    n_thresholds : int
        Of each kernel.

    Attributes
    ----------
    n_features : int
    """

    filters: Tensor
    thresholds: Tensor

    def __init__(self, sample_shape: tuple[int, ...], n_thresholds: int):
        super().__init__()
        n_channels, length = sample_shape
        n_dilations = max(1, ((length - 1) // (LENGTH - 1)).bit_length()) if n_thresholds else 0
        self.dilations = [2**i for i in range(n_dilations)]
        self.stride = max(1, length // N_POSITIONS)
        subsets = _subsets((2, len(self.dilations), len(KERNELS)), n_channels)
        filters = subsets[..., None] * np.array(KERNELS)[:, None]
        # (2, n_dilations, 84, n_channels, 9)
        self.register_buffer("filters", torch.tensor(filters, dtype=torch.float32))
        shape = (2, len(self.dilations), n_thresholds, len(KERNELS))
        self.register_buffer("thresholds", torch.zeros(shape))
        self.n_features = self.thresholds.numel()

    @torch.no_grad()
    def adapt(self, samples: Tensor) -> None:
        """Scale the kernels and set the thresholds by quantiles of the responses to samples.

        Parameters
        ----------
        samples : Tensor of shape (n, n_channels, length), standardised
            Signals may end in NaN, in all channels alike.
        """
        n_positions = -(-samples.shape[2] // self.stride)
        samples = samples[:: max(1, len(samples) * n_positions // N_RESPONSES)]
        # Multiples of the golden ratio are spread evenly, however many there are.
        levels = torch.arange(1, self.n_features + 1, dtype=torch.float64) * GOLDEN_RATIO % 1
        levels = levels.view(self.thresholds.mT.shape).to(samples.device, torch.float32)
        for i, (signals, has_ended) in enumerate(self._with_differences(samples)):
            for j in range(len(self.dilations)):
                responses = self._respond(signals, i, j).transpose(0, 1)[
                    :, ~has_ended
                ]  # (84, many)
                width = (SOFTNESS * responses.std(1, keepdim=True)).clamp(min=1e-6)
                self.filters[i, j] /= width.unsqueeze(-1)
                # By sorting: torch's quantiles are limited in size, and have one level for all.
                ordered = (responses / width).sort(1).values
                indices = (levels[i, j] * ordered.shape[1]).long()  # (84, n_thresholds)
                self.thresholds[i, j] = ordered.gather(1, indices).T

    def forward(self, x: Tensor) -> Tensor:
        """From signals (n, n_channels, length) to shares (n, n_features) from 0 to 1.

        Of signals that end in NaN, shares of the time before.
        """
        return in_parts(self._shares, x, len(KERNELS) * x.shape[2] // self.stride)

    def _shares(self, x: Tensor) -> Tensor:
        shares = [x.new_zeros(len(x), 0)]
        # Never in half precision: a threshold is finer than that.
        with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):
            x = x.to(self.filters.dtype)
            for i, (signals, has_ended) in enumerate(self._with_differences(x)):
                duration = (~has_ended).float().mean(1, keepdim=True)  # (n, 1)
                for j in range(len(self.dilations)):
                    responses = self._respond(signals, i, j)  # (n, 84, n_positions)
                    responses = responses.masked_fill(has_ended[:, None], -torch.inf)
                    for thresholds in self.thresholds[i, j]:
                        above = (responses - thresholds[:, None]).clamp(-0.5, 0.5)
                        shares.append((above.mean(2) + 0.5) / duration)
        return torch.cat(shares, 1)

    def _respond(self, signals: Tensor, i: int, j: int) -> Tensor:
        """Return the responses (n, 84, n_positions) at one dilation."""
        dilation = self.dilations[j]
        return functional.conv1d(
            signals,
            self.filters[i, j],
            stride=self.stride,
            padding=LENGTH // 2 * dilation,
            dilation=dilation,
        )

    def _with_differences(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield signals and their differences in time, with 0 for NaN, and where they have ended.

        Yields
        ------
        signals : Tensor of shape (n, n_channels, length or length - 1)
        has_ended : Tensor of shape (n, n_positions), bool
        """
        for signals in (x, x[:, :, 1:] - x[:, :, :-1]):
            yield signals.nan_to_num(), signals[:, 0, :: self.stride].isnan()


def _subsets(shape: tuple[int, ...], n_channels: int) -> np.ndarray:
    """Random subsets of at most 9 channels, the same every time; their sizes even on a log scale.

    Returns
    -------
    subsets : ndarray of shape (*shape, n_channels), bool
    """
    rng = np.random.default_rng(0)
    sizes = np.exp2(rng.uniform(0, np.log2(min(n_channels, LENGTH) + 1), (*shape, 1))).astype(int)
    order = rng.random((*shape, n_channels)).argsort(-1).argsort(-1)
    return order < sizes
