"""Fixed kernels over time: untrained features, with thresholds computed from the data.

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

LENGTH = 9
# Three weights of 2 and six of -1: they sum to 0, so that kernels respond to shape, not to level.
KERNELS = [
    [2.0 if i in high else -1.0 for i in range(LENGTH)] for high in combinations(range(9), 3)
]

# Kernels respond at about this many positions in time; longer signals have larger strides.
N_POSITIONS = 512
# Width of the step from below to above a threshold, in standard deviations of the response. Many
# signals are constant for a while; with a hard step, rounding errors would decide such ties.
SOFTNESS = 0.1
GOLDEN_RATIO = (5**0.5 - 1) / 2
# Responses that are computed at once, if they are of several dilations: what a CPU keeps in its
# caches, or 256 MiB on another device.
CACHED, LARGEST = 2**18, 2**26
# Thresholds are computed from about this many responses of each kernel.
N_RESPONSES = 10_000


class KernelBank(nn.Module):
    """The share of time in which the response of each fixed kernel exceeds each threshold.

    The bank has all 84 kernels of length 9 with three weights of 2 and six of -1. It applies them
    to the signal and to its differences in time, at the dilations 1, 2, 4, ... for which the signal
    is long enough. Each kernel sees a random subset of the channels, and has ``n_thresholds``
    thresholds at each dilation. They are quantiles of the responses, and 0 until `adapt` is called.
    """

    filters: Tensor
    thresholds: Tensor

    def __init__(self, sample_shape: tuple[int, ...], n_thresholds: int):
        super().__init__()
        n_channels, length = sample_shape
        n_dilations = max(1, ((length - 1) // (LENGTH - 1)).bit_length()) if n_thresholds else 0
        self.dilations = [2**i for i in range(n_dilations)]
        self.stride = max(1, length // N_POSITIONS)
        n_dilations = len(self.dilations)
        filters = torch.empty(2, n_dilations, len(KERNELS), n_channels, LENGTH, dtype=torch.float32)
        if not filters.is_meta:
            subsets = _subsets((2, n_dilations, len(KERNELS)), n_channels)
            filters.copy_(torch.from_numpy(subsets[..., None] * np.array(KERNELS)[:, None]))
        self.register_buffer("filters", filters)
        shape = (2, n_dilations, n_thresholds, len(KERNELS))
        self.register_buffer("thresholds", torch.zeros(shape))
        self.n_features = self.thresholds.numel()

    @torch.no_grad()
    def adapt(self, samples: Tensor) -> None:
        """Scale the kernels, and set the thresholds to quantiles of the responses to samples.

        Signals (n, n_channels, length) may end in NaN, in all channels at the same time.
        """
        n_positions = -(-samples.shape[2] // self.stride)
        samples = samples[:: max(1, len(samples) * n_positions // N_RESPONSES)]
        # Multiples of the golden ratio, modulo 1, are evenly spread for any number of them.
        levels = torch.arange(1, self.n_features + 1, dtype=torch.float64) * GOLDEN_RATIO % 1
        levels = levels.view(self.thresholds.mT.shape).to(samples.device, torch.float32)
        for i, (signals, has_ended) in enumerate(self._with_differences(samples)):
            for j in range(len(self.dilations)):
                responses = self._respond(signals, i, slice(j, j + 1))[:, 0]
                responses = responses.transpose(0, 1)[:, ~has_ended]  # (84, many)
                width = (SOFTNESS * responses.std(1, keepdim=True)).clamp(min=1e-6)
                self.filters[i, j] /= width.unsqueeze(-1)
                # torch.quantile limits the size of its input and has the same levels for all rows.
                ordered = _sorted(responses / width)
                indices = (levels[i, j] * ordered.shape[1]).long()  # (84, n_thresholds)
                self.thresholds[i, j] = ordered.gather(1, indices).T

    def forward(self, x: Tensor) -> Tensor:
        """Map signals (n, n_channels, length) to shares (n, n_features) from 0 to 1.

        If a signal ends in NaN, its shares refer to the time before.
        """
        if not self.n_features:
            return x.new_zeros(len(x), 0)
        n_positions = -(-x.shape[2] // self.stride)
        largest = CACHED if x.device.type == "cpu" else LARGEST
        n_at_once = max(1, largest // (max(1, len(x)) * len(KERNELS) * n_positions))  # dilations
        shares = []
        # Half precision is too coarse for the thresholds.
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.filters.dtype)
            for i, (signals, has_ended) in enumerate(self._with_differences(x)):
                duration = (~has_ended).float().mean(1, keepdim=True)  # (n, 1)
                # To add is many times faster than to fill under a mask that is broadcast.
                below_all = torch.where(has_ended[:, None, None], -torch.inf, 0.0)
                for start in range(0, len(self.dilations), n_at_once):
                    part = slice(start, start + n_at_once)
                    responses = self._respond(signals, i, part).add_(below_all)
                    steps = _mean_steps(responses, self.thresholds[i, part])
                    shares.append((steps.flatten(1) + 0.5) / duration)
        return torch.cat(shares, 1)

    def _respond(self, signals: Tensor, i: int, part: slice) -> Tensor:
        """Return the responses (n, n_dilations, 84, n_positions) at some of the dilations.

        They are convolutions, as one product of matrices.
        """
        dilations, n_channels = self.dilations[part], signals.shape[1]
        n_positions = -(-int(signals.shape[2]) // self.stride)
        reach = LENGTH // 2 * dilations[-1]
        padded = functional.pad(signals, (reach, reach + self.stride))
        starts = [reach + (k - LENGTH // 2) * d for d in dilations for k in range(LENGTH)]
        length = n_positions * self.stride
        taps = [padded[:, :, t : t + length : self.stride] for t in starts]
        windows = torch.cat(taps, 1).unflatten(1, (len(dilations), LENGTH * n_channels))
        return self.filters[i, part].transpose(2, 3).flatten(2) @ windows

    def _with_differences(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the signals, then their differences in time, both with 0 for NaN, and a mask of
        the positions after their end.

        Signals are (n, n_channels, length or length - 1), ``has_ended`` is (n, n_positions).
        """
        for signals in (x, x[:, :, 1:] - x[:, :, :-1]):
            yield signals.nan_to_num(), signals[:, 0, :: self.stride].isnan()


def _mean_steps(responses: Tensor, thresholds: Tensor) -> Tensor:
    """Mean over time of -1/2 below and 1/2 above each threshold.

    From responses (n, n_dilations, 84, n_positions) and thresholds (n_dilations, n_thresholds, 84)
    to means (n, n_dilations, n_thresholds, 84).
    """
    # New memory for every threshold would take longer than the arithmetic.
    memory = torch.empty_like(responses) if torch.is_inference_mode_enabled() else None
    means = []
    for threshold in thresholds.unbind(1):  # (n_dilations, 84), one for each kernel
        steps = torch.sub(responses, threshold[..., None], out=memory).clamp_(-0.5, 0.5)
        means.append(steps.mean(3))
    return torch.stack(means, 2)


def _sorted(rows: Tensor) -> Tensor:
    """Sort each row; on a CPU, numpy is several times faster than torch."""
    if rows.device.type != "cpu":
        return rows.sort(1).values
    return torch.from_numpy(np.sort(rows.numpy(), axis=1))


def _subsets(shape: tuple[int, ...], n_channels: int) -> np.ndarray:
    """Draw subsets (*shape, n_channels) of at most 9 channels, always the same, of random sizes."""
    rng = np.random.default_rng(0)
    sizes = np.exp2(rng.uniform(0, np.log2(min(n_channels, LENGTH) + 1), (*shape, 1))).astype(int)
    order = rng.random((*shape, n_channels)).argsort(-1).argsort(-1)
    return order < sizes
