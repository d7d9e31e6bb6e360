"""What a colleague would say of a finished fit: warnings that name the parameter to change."""

import math
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skdim.metrics import effective_rank

FEW_SAMPLES = 50
N_SEGMENTS = 10


class CollapseWarning(UserWarning):
    """The codes of all samples lie in very few directions."""


class FewSamplesWarning(UserWarning):
    """There are too few samples to expect more than PCA would give."""


def advise_on_samples(n_samples: int) -> None:
    """Warn if there are few."""
    if n_samples < FEW_SAMPLES:
        warnings.warn(
            f"{n_samples} samples are too few to expect better features than those of PCA. Fit "
            "on all samples there are, labelled or not, or keep the 'n_components' parameter "
            "small.",
            FewSamplesWarning,
            stacklevel=2,
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
        warnings.warn(
            f"The codes have collapsed: their effective rank is {rank:.1f} of {possible} that "
            "are possible. Lower the 'learning_rate' parameter, raise 'prior_weight', or set "
            "'augment' to views that change less.",
            CollapseWarning,
            stacklevel=2,
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
        warnings.warn(
            f"The loss was still falling when the fit ended at {budget}. Raise that parameter.",
            ConvergenceWarning,
            stacklevel=2,
        )


def is_settled(step_losses: list[float], tol: float = 0.02) -> bool:
    """Whether the last tenth of training brought less than ``tol`` of all that it brought.

    Fewer than ten steps settle nothing.
    """
    if len(step_losses) < N_SEGMENTS:
        return False
    segments = [float(np.mean(part)) for part in np.array_split(step_losses, N_SEGMENTS)]
    first, *_, before, last = segments
    return math.isfinite(last) and before - last <= tol * max(first - last, 0.0)
