r"""MI estimators: bounds on the dependence between a code and local features, from critic scores.

A critic scores pairs of a code and a local vector. An MI estimator turns two sets of scores into a
bound that training maximises:

* ``joint`` of shape (..., n, n_locations): positives, each code with the local features of its own
  sample,
* ``marginal`` of shape (..., n, n_others, n_locations): negatives, each code with the local
  features of other samples.

Most estimators bound a divergence between joint and marginal pairs. Each docstring gives the
divergence, its range, and the score at which the bound is tight; r is the ratio of the two
densities. Only ``infonce``, ``dv`` and ``nwj`` bound mutual information in nats.

To add an MI estimator, write a function of (joint, marginal) and list it in `ESTIMATORS`. Its name
is then a valid ``mi_estimator``, and ``tests/test_mutual_information.py`` tests it.

A code has many marginal scores. If the bound needs only their mean over pairs, or their
log-sum-exp, a decorator says so: `difference_of_means`, `by_log_sum_exp` or `by_log_mean_exp`. The
scores are then computed a few codes at a time, and processes exchange one number for each code; see
`skdim.objective.scores`. A function without a decorator gets all scores of a batch at once.
"""

import math
from collections.abc import Callable
from enum import Enum
from functools import wraps

import torch
from torch import Tensor
from torch.nn.functional import softplus

Estimator = Callable[[Tensor, Tensor], Tensor]
Terms = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Reduction(Enum):
    """The number through which the marginal scores of a code enter a bound."""

    MEAN = "mean"
    LOG_SUM_EXP = "log_sum_exp"
    LOG_MEAN_EXP = "log_mean_exp"


def has_reduction(mi_estimator: Estimator) -> bool:
    """Whether an MI estimator declares how it reduces the marginal scores of a code."""
    return isinstance(getattr(mi_estimator, "reduction", None), Reduction)


def difference_of_means(terms: Terms) -> Estimator:
    """Make an MI estimator that is a mean over positives minus a mean over negatives.

    Parameters
    ----------
    terms : callable (joint, marginal) -> (positives, negatives)
        Applied to scores of any shape, entry by entry. Each result has the shape of its scores.

    Returns
    -------
    mi_estimator : callable (joint, marginal) -> bound
        The mean of the positives minus the mean of the negatives.
    """

    @wraps(terms)
    def mi_estimator(joint: Tensor, marginal: Tensor) -> Tensor:
        positives, negatives = terms(joint, marginal)
        return positives.mean() - negatives.mean()

    mi_estimator.terms = terms  # type: ignore[attr-defined]
    mi_estimator.reduction = Reduction.MEAN  # type: ignore[attr-defined]
    return mi_estimator


def by_log_sum_exp(mi_estimator: Estimator) -> Estimator:
    """Mark an MI estimator that needs only the log-sum-exp of the negatives of each code.

    It must be a mean over codes. Its value must stay the same if the negatives of a code are
    replaced by one negative that has their log-sum-exp as its score.
    """
    mi_estimator.reduction = Reduction.LOG_SUM_EXP  # type: ignore[attr-defined]
    return mi_estimator


def by_log_mean_exp(mi_estimator: Estimator) -> Estimator:
    """Mark an MI estimator that needs only the log-mean-exp of the negatives of each code.

    Its value must stay the same if the negatives of every code are replaced by one negative that
    has their log-mean-exp as its score. It need not be a mean over codes.
    """
    mi_estimator.reduction = Reduction.LOG_MEAN_EXP  # type: ignore[attr-defined]
    return mi_estimator


# ------------------------------------------------------------ MI estimators


@difference_of_means
def jsd(joint: Tensor, marginal: Tensor) -> tuple[Tensor, Tensor]:
    r"""Jensen-Shannon bound.

    .. math:: 2 \log 2 - E_J[\mathrm{sp}(-T)] - E_M[\mathrm{sp}(T)],
              \qquad \mathrm{sp}(t) = \log(1 + e^t)

    It bounds twice the Jensen-Shannon divergence between joint and marginal pairs, not mutual
    information in nats. It is 0 at chance, at most 2 log 2, and tight at T = log r. Note the sign
    of the second term: the form with :math:`-\mathrm{sp}(-T)`, which some texts give, is unbounded.

    Parameters
    ----------
    joint : Tensor of shape (..., n, n_locations)
    marginal : Tensor of shape (..., n, n_others, n_locations)

    Returns
    -------
    bound : Tensor of shape ()

    References
    ----------
    Hjelm et al., "Learning deep representations by mutual information estimation and
    maximization", ICLR 2019, equation 4; Nowozin et al., "f-GAN", NeurIPS 2016.
    """
    return 2 * math.log(2) - softplus(-joint), softplus(marginal)


@by_log_sum_exp
def infonce(joint: Tensor, marginal: Tensor) -> Tensor:
    r"""InfoNCE: find the positive local vector among the local features of all other samples.

    .. math:: E_J\left[T - \log\left(e^{T} + \sum_{M} e^{T_M}\right)\right]

    Each joint pair is contrasted with every marginal pair of its code, not with the other locations
    of its own sample. At chance the value is ``-log(1 + n_others * n_locations)``. Subtract that
    to get a lower bound on mutual information in nats.

    Parameters
    ----------
    joint : Tensor of shape (..., n, n_locations)
    marginal : Tensor of shape (..., n, n_others, n_locations)

    Returns
    -------
    bound : Tensor of shape ()

    References
    ----------
    van den Oord et al., "Representation learning with contrastive predictive coding", 2018;
    Hjelm et al., ICLR 2019, equation 5.
    """
    negatives = marginal.flatten(-2).logsumexp(-1, keepdim=True)  # (..., n, 1)
    # log e^T / (e^T + S) = -log(1 + e^(log S - T)), which never overflows.
    return -softplus(negatives - joint).mean()


@by_log_mean_exp
def dv(joint: Tensor, marginal: Tensor) -> Tensor:
    r"""Donsker-Varadhan bound on mutual information, in nats.

    .. math:: E_J[T] - \log E_M[e^T]

    The logarithm is taken once over all marginal pairs and locations.

    Parameters
    ----------
    joint : Tensor of shape (..., n, n_locations)
    marginal : Tensor of shape (..., n, n_others, n_locations)

    Returns
    -------
    bound : Tensor of shape ()

    References
    ----------
    Belghazi et al., "Mutual information neural estimation", ICML 2018; Hjelm et al., ICLR 2019,
    equation 2.
    """
    pairs = marginal.flatten(-3)
    log_mean_exp = torch.logsumexp(pairs, -1) - math.log(pairs.shape[-1])
    return joint.mean() - log_mean_exp.mean()


@difference_of_means
def nwj(joint: Tensor, marginal: Tensor) -> tuple[Tensor, Tensor]:
    r"""Nguyen-Wainwright-Jordan bound on mutual information, in nats.

    .. math:: E_J[T] - E_M[e^{T - 1}]

    It bounds the Kullback-Leibler divergence of the joint from the marginal pairs. It is 0 at
    chance (if every score is 1), has no upper limit, and is tight at T = 1 + log r.

    Parameters
    ----------
    joint : Tensor of shape (..., n, n_locations)
    marginal : Tensor of shape (..., n, n_others, n_locations)

    Returns
    -------
    bound : Tensor of shape ()

    References
    ----------
    Nguyen et al., "Estimating divergence functionals and the likelihood ratio by convex risk
    minimization", 2010; "KL" in Nowozin et al., "f-GAN", NeurIPS 2016.
    """
    return joint, _exp(marginal - 1)


@difference_of_means
def rkl(joint: Tensor, marginal: Tensor) -> tuple[Tensor, Tensor]:
    r"""Bound on the reverse Kullback-Leibler divergence, of the marginal from the joint pairs.

    .. math:: -E_J[e^{-T}] - E_M[T - 1]

    It is 0 at chance, has no upper limit, and is tight at T = log r. It is large if the joint
    distribution lacks some of the marginal pairs, whereas mutual information is large if the joint
    distribution favours some pairs.

    Parameters
    ----------
    joint : Tensor of shape (..., n, n_locations)
    marginal : Tensor of shape (..., n, n_others, n_locations)

    Returns
    -------
    bound : Tensor of shape ()

    References
    ----------
    Nowozin et al., "f-GAN", NeurIPS 2016, table 6.
    """
    return -_exp(-joint), marginal - 1


@difference_of_means
def hellinger(joint: Tensor, marginal: Tensor) -> tuple[Tensor, Tensor]:
    r"""Bound on the squared Hellinger distance between joint and marginal pairs.

    .. math:: E_J[1 - e^{-T}] - E_M[e^{T} - 1]

    It is 0 at chance, at most 2, and tight at T = (log r) / 2.

    Parameters
    ----------
    joint : Tensor of shape (..., n, n_locations)
    marginal : Tensor of shape (..., n, n_others, n_locations)

    Returns
    -------
    bound : Tensor of shape ()

    References
    ----------
    Nowozin et al., "f-GAN", NeurIPS 2016, table 6.
    """
    return 1 - _exp(-joint), _exp(marginal) - 1


@difference_of_means
def chi2(joint: Tensor, marginal: Tensor) -> tuple[Tensor, Tensor]:
    r"""Bound on Pearson's chi-squared divergence of the joint from the marginal pairs.

    .. math:: E_J[T] - E_M[T^2 / 4 + T]

    It is 0 at chance, has no upper limit, and is tight at T = 2 (r - 1). The form in the paper's
    code, with :math:`E_J[T^2]`, is not a bound: it grows without limit if scores are scaled up.

    Parameters
    ----------
    joint : Tensor of shape (..., n, n_locations)
    marginal : Tensor of shape (..., n, n_others, n_locations)

    Returns
    -------
    bound : Tensor of shape ()

    References
    ----------
    Nowozin et al., "f-GAN", NeurIPS 2016, table 6.
    """
    return joint, marginal.square() / 4 + marginal


# Above this score `_exp` is linear. Gradients reach e^30 = 1e13; their squares, which optimisers
# keep, do not overflow.
LINEAR_ABOVE = 30.0


def _exp(scores: Tensor) -> Tensor:
    """Exponential up to `LINEAR_ABOVE`, and its tangent at that point for larger scores.

    Useful scores are far below it. A critic that exceeds it by accident has a finite bound and a
    gradient that brings it back, not infinity and NaN.
    """
    # Two clamps, instead of one and a difference: gradients of 1e13 must not cancel each other.
    capped = scores.clamp(max=LINEAR_ABOVE)
    return capped.exp() + math.exp(LINEAR_ABOVE) * (scores - LINEAR_ABOVE).relu()


ESTIMATORS: dict[str, Estimator] = {
    "jsd": jsd,
    "infonce": infonce,
    "dv": dv,
    "nwj": nwj,
    "rkl": rkl,
    "hellinger": hellinger,
    "chi2": chi2,
}
