"""What a colleague would say of a finished fit: warnings that name the parameter to change."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skdim.metrics import effective_rank

# From benchmarks/bench_few_samples.py: rows gain from about 100 samples on, images from 15.
FEW_SAMPLES = {1: 100}
FEWEST_SAMPLES = 15


class CollapseWarning(UserWarning):
    """The codes of all samples lie in very few directions."""


class FewSamplesWarning(UserWarning):
    """There are too few samples to expect more than PCA would give."""


def _warn(sentence: str, category: type[Warning]) -> None:
    """Warn at the line where the user called ``fit``, seen from an advice inside of it."""
    warnings.warn(sentence, category, stacklevel=7)


def advise_on_samples(n_samples: int, n_axes: int) -> None:
    """Warn if there are few; ``n_axes`` counts those of a sample, its channels included."""
    if n_samples < FEW_SAMPLES.get(n_axes, FEWEST_SAMPLES):
        _warn(
            f"{n_samples} samples are too few to expect better features than those of PCA. Fit "
            "on all samples there are, labelled or not, or keep the 'n_components' parameter "
            "small.",
            FewSamplesWarning,
        )


def advise_on_codes(codes: np.ndarray) -> None:
    """Warn if they use almost none of their components.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_components), standardised
    """
    n_samples, n_components = codes.shape
    possible = min(n_samples - 1, n_components)
    rank = effective_rank(codes)
    if possible > 2 and rank < 1 + 0.02 * possible:
        _warn(
            f"The codes have collapsed: their effective rank is {rank:.1f} of {possible} that "
            "are possible. Lower the 'learning_rate' parameter, raise 'prior_weight', or set "
            "'augment' to views that change less.",
            CollapseWarning,
        )


def advise_on_budget(step_losses: list[float], budget: str) -> None:
    """Warn if the loss was still falling when the budget ended.

    Parameters
    ----------
    step_losses : list of float
    budget : str
        The parameter that ended the fit, and its value.
    """
    if not is_settled(step_losses):
        _warn(
            f"The loss was still falling when the fit ended at {budget}. Raise that parameter.",
            ConvergenceWarning,
        )


def is_settled(step_losses: list[float]) -> bool:
    """Whether doubling training, from a quarter to a half of it, brought at most a quarter of all.

    The end itself tells nothing: schedules let every loss run out flat. Fewer than twenty steps
    settle nothing.
    """
    losses = np.asarray(step_losses)
    if len(losses) < 20:
        return False
    n = len(losses)
    quarter, half, end = (
        losses[int(n * start) : int(n * (start + 0.1))].mean() for start in (0.2, 0.45, 0.9)
    )
    return bool(quarter - half <= (losses[0] - end) / 4)
