"""Whether an axis of samples has an order: neighbours are alike in signals and images.

In a table, two neighbouring columns are no more alike than any two columns. The unlikeness of
neighbours is their mean squared difference, divided by that of all pairs along the axis: about 1 if
the order along the axis means nothing, however the columns are correlated, and near 0 in smooth
signals. Values are standardised over samples, because columns have units of their own; points that
hardly vary in signals are then mostly noise, so they also count as they are, if many points vary.
"""

import numpy as np

# An axis is smooth if neighbours are less unlike, on average and 9 in 10 of them.
SMOOTH_MEAN, SMOOTH_MOST = 0.35, 0.6
# Channels have no order: they are more unlike, and points along the other axis a part of that.
UNORDERED, CONTRAST = 0.8, 0.6
# Fewer points or samples say too little. Fast oscillations repeat within so many points.
FEWEST_POINTS, FEWEST_SAMPLES, LONGEST_PERIOD = 16, 10, 64
# There are few slices, so that the first and the last are not as unlike as those of long axes.
SMOOTH_SLICES, FEWEST_SLICES = 0.6, 6


def is_smooth(rows: np.ndarray) -> bool:
    """Whether rows (n, n_columns) are likely signals, whose neighbours are alike.

    In fast oscillations, points that are a period apart are alike.
    """
    if len(rows) < FEWEST_SAMPLES or rows.shape[1] < FEWEST_POINTS:
        return False
    centered, scale = _centered(rows)
    n_varying = np.square(scale).sum() ** 2 / max((scale**4).sum(), 1e-300)
    return _has_order(_standardized(centered, scale)) or (
        bool(n_varying >= FEWEST_POINTS) and _has_order(centered)
    )


def _has_order(values: np.ndarray) -> bool:
    lag = _most_alike_lag(values)
    if _unlikeness(values, lag) >= SMOOTH_MEAN:
        return False
    variances = values.var(0)
    pair_variances = variances[lag:] + variances[:-lag]
    all_pairs_difference = values.var(-1, ddof=1).mean() / (variances.mean() or 1.0)
    differences = np.square(values[:, lag:] - values[:, :-lag]).mean(0)
    is_unlike = differences > SMOOTH_MOST * all_pairs_difference * pair_variances
    return bool((pair_variances * is_unlike).sum() < 0.1 * pair_variances.sum())


def find_channels(images: np.ndarray) -> int | None:
    """Return the axis of grey images (n, height, width) that is likely the channels of signals.

    Neighbours along it are no more alike than other pairs, but neighbours along the other axis are.
    None if neither axis is.
    """
    values = _standardized(*_centered(images))
    for axis, points in ((1, 2), (2, 1)):
        if len(images) < FEWEST_SAMPLES or images.shape[points] < FEWEST_POINTS:
            continue
        channels, along_points = np.moveaxis(values, axis, -1), np.moveaxis(values, points, -1)
        channel_unlikeness = _unlikeness(channels, 1)
        point_unlikeness = _unlikeness(along_points, _most_alike_lag(along_points))
        if channel_unlikeness > UNORDERED and point_unlikeness < CONTRAST * channel_unlikeness:
            return axis
    return None


def has_ordered_channels(images: np.ndarray) -> bool:
    """Whether channels of images (n, channels, height, width) are likely slices of volumes.

    Neighbouring slices are alike. Colours are too, but there are at most four.
    """
    if len(images) < FEWEST_SAMPLES or images.shape[1] < FEWEST_SLICES:
        return False
    values = _standardized(*_centered(images))
    return _unlikeness(np.moveaxis(values, 1, -1), 1) < SMOOTH_SLICES


def _centered(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Subtract the mean of each point over samples; return also their scale. NaN becomes 0.

    Values are first divided by a power of two, so that they are at most 1.
    """
    values = samples.astype(np.float64)
    is_missing = np.isnan(values)
    values[is_missing] = 0.0
    values = np.ldexp(values, -np.frexp(np.abs(values).max(initial=0.0))[1])
    n = np.maximum((~is_missing).sum(0), 1)
    mean = values.sum(0) / n
    values -= mean
    values[is_missing] = 0.0
    scale = np.sqrt(np.square(values).sum(0) / n)
    return values, np.where(scale > 1e-9 * np.abs(mean), scale, 0.0)


def _standardized(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Divide by the scale; points that do not vary are 0."""
    return values / np.where(scale > 0, scale, np.inf)


def _most_alike_lag(values: np.ndarray) -> int:
    """The distance along the last axis, at most a period, at which points are most alike."""
    n_lags = max(1, min(LONGEST_PERIOD, values.shape[-1] // 8))
    return min(range(1, 1 + n_lags), key=lambda lag: _unlikeness(values, lag))


def _unlikeness(values: np.ndarray, lag: int) -> float:
    """Mean squared difference of points at a distance along the last axis, over all pairs'."""
    all_pairs_difference = 2 * values.var(-1, ddof=1).mean()
    differences = values[..., lag:] - values[..., :-lag]
    return float(np.square(differences).mean() / (all_pairs_difference or 1.0))
