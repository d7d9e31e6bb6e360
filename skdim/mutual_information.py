r"""MI estimators: bounds on the dependence between a code and local features, from critic scores.

A critic scores pairs of a code and a local vector. An MI estimator turns two sets of scores into a
bound that training maximises:

* ``joint`` of shape (..., n, n_locations): positives, each code with the local features of its own
  sample,
* ``marginal`` of shape (..., n, n_others, n_locations): negatives, each code with the local
  features of other samples.

Most of the bounds are on a divergence between joint and marginal pairs. Each docstring gives the
divergence, its range, and the score at which the bound is tight, where r is the ratio of the two
densities. Only ``infonce``, ``dv`` and ``nwj`` bound mutual information in nats.

To add an MI estimator, write a function of (joint, marginal) and list it in `ESTIMATORS`. It is
then a legal ``mi_estimator``, and ``tests/test_mutual_information.py`` tests it.

The marginal scores of a code are many, and may be computed in parts: by several processes, each for
its own samples. An estimator says beside its formula how these parts add up: as a mean over pairs
(`difference_of_means`), or as a log-sum-exp (`by_log_sum_exp`, `by_log_mean_exp`). One that does
not say so gets all marginal scores of a code at once. If it is a mean over codes, mark it as
`chunkable`: large batches are then scored a few codes at a time.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

import torch
from torch import Tensor
from torch.nn.functional import softplus

Estimator = Callable[[Tensor, Tensor], Tensor]
Terms = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def chunkable(mi_estimator: Estimator) -> Estimator:
    """Mark an MI estimator as a mean over codes: each term depends on the scores of one code."""
    mi_estimator.is_mean_over_codes = True  # type: ignore[attr-defined]
    return mi_estimator


def is_mean_over_codes(mi_estimator: Estimator) -> bool:
    """Whether the mean of the bounds of equal parts of a batch is the bound of the whole batch."""
    return getattr(mi_estimator, "is_mean_over_codes", False)


# ------------------------------------------------------------ how marginal scores add up


@dataclass(frozen=True)
class MeanForm:
    """The marginal scores of a code enter as a mean over pairs, part by part.

    Attributes
    ----------
    terms : callable (joint, marginal) -> (positives, negatives)
        As `difference_of_means` takes it.
    is_log : bool
        Statistics of parts add up as they are (False) or as logarithms of a sum (True).
    is_mean_over_codes : bool
    excluded_score : float
        Stands where a pair is left out.
    """

    terms: Terms
    is_log = False
    is_mean_over_codes = True
    excluded_score = 0.0

    def reduce(self, marginal: Tensor, is_negative: Tensor, n_negatives: Tensor) -> Tensor:
        """Return the statistic of each code, from some of its marginal scores.

        Parameters
        ----------
        marginal : Tensor of shape (..., n, n_samples, n_locations)
            Scores of pairs that are left out are ``excluded_score``.
        is_negative : Tensor of shape (n, n_samples), bool
            Which pairs are not left out.
        n_negatives : Tensor of shape (n,)
            Marginal scores of each code, in all parts.

        Returns
        -------
        statistic : Tensor of shape (..., n)
        """
        _, negatives = self.terms(marginal.new_empty(0), marginal)
        return (negatives.sum(-1) * is_negative).sum(-1) / n_negatives

    def bound(self, joint: Tensor, statistic: Tensor, n_codes: int) -> Tensor:
        """Return what some codes add to the bound of a batch.

        Parameters
        ----------
        joint : Tensor of shape (..., n_joint, n_locations)
        statistic : Tensor of shape (..., n)
        n_codes : int
            Of the whole batch.
        """
        positives, _ = self.terms(joint, joint.new_empty(0))
        # Sums: a part may hold no positives.
        of_codes = positives.sum((-2, -1)) / joint.shape[-1] - statistic.sum(-1)  # (...)
        return of_codes.mean() / n_codes


@dataclass(frozen=True)
class LogSumExpForm:
    """The marginal scores of a code enter as their log-sum-exp or log-mean-exp.

    One negative of that score stands for all of them. The interface is that of `MeanForm`.
    """

    mi_estimator: Estimator
    is_mean: bool
    is_log = True
    excluded_score = torch.finfo(torch.float32).min

    @property
    def is_mean_over_codes(self) -> bool:
        """Whether the statistic of a code matters to that code alone."""
        return is_mean_over_codes(self.mi_estimator)

    def reduce(self, marginal: Tensor, is_negative: Tensor, n_negatives: Tensor) -> Tensor:
        """Return the log-sum-exp of each code, or what it adds to the log-mean-exp."""
        statistic = marginal.flatten(-2).logsumexp(-1)  # (..., n)
        return statistic - n_negatives.log() if self.is_mean else statistic

    def bound(self, joint: Tensor, statistic: Tensor, n_codes: int) -> Tensor:
        """Return what some codes add to the bound of a batch."""
        bound = self.mi_estimator(joint, statistic[..., None, None])
        return bound * (joint.shape[-2] / n_codes)


AdditiveForm = MeanForm | LogSumExpForm


def additive_form_of(mi_estimator: Estimator) -> AdditiveForm | None:
    """Return how the marginal scores of an MI estimator add up; None if it does not say so."""
    return getattr(mi_estimator, "additive_form", None)


def difference_of_means(terms: Terms) -> Estimator:
    """Make an MI estimator that is a mean over positives minus a mean over negatives.

    Parameters
    ----------
    terms : callable (joint, marginal) -> (positives, negatives)
        Both of the shapes of their scores, which may be of any shape, entry by entry.

    Returns
    -------
    mi_estimator : callable (joint, marginal) -> bound
        The mean of the positives minus the mean of the negatives.
    """

    @wraps(terms)
    def mi_estimator(joint: Tensor, marginal: Tensor) -> Tensor:
        positives, negatives = terms(joint, marginal)
        return positives.mean() - negatives.mean()

    mi_estimator.additive_form = MeanForm(terms)  # type: ignore[attr-defined]
    return chunkable(mi_estimator)


def by_log_sum_exp(mi_estimator: Estimator) -> Estimator:
    """Mark an MI estimator that sees of the negatives of a code only their log-sum-exp.

    A code whose negatives are replaced by one of that score has the same bound.
    """
    form = LogSumExpForm(mi_estimator, is_mean=False)
    mi_estimator.additive_form = form  # type: ignore[attr-defined]
    return mi_estimator


def by_log_mean_exp(mi_estimator: Estimator) -> Estimator:
    """Mark an MI estimator that sees of the negatives of a code only their log-mean-exp.

    As `by_log_sum_exp`: the logarithm is of the mean, not of the sum.
    """
    form = LogSumExpForm(mi_estimator, is_mean=True)
    mi_estimator.additive_form = form  # type: ignore[attr-defined]
    return mi_estimator


# ------------------------------------------------------------ MI estimators


@difference_of_means
def jsd(joint: Tensor, marginal: Tensor) -> tuple[Tensor, Tensor]:
    r"""Jensen-Shannon bound.

    .. math:: 2 \log 2 - E_J[\mathrm{sp}(-T)] - E_M[\mathrm{sp}(T)],
              \qquad \mathrm{sp}(t) = \log(1 + e^t)

    It bounds twice the Jensen-Shannon divergence between joint and marginal pairs, not mutual
    information in nats: 0 at chance, at most 2 log 2, tight at T = log r. Note the sign of the
    second term: the form with :math:`-\mathrm{sp}(-T)`, which some texts give, is unbounded.

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
@chunkable
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

    It bounds the Kullback-Leibler divergence of the joint from the marginal pairs: 0 at chance
    (where every score is 1), without an upper limit, tight at T = 1 + log r.

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

    0 at chance, without an upper limit, tight at T = log r. It is large if the joint distribution
    lacks some of the marginal pairs. Mutual information is large if the joint distribution favours
    some pairs.

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

    0 at chance, at most 2, tight at T = (log r) / 2.

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

    0 at chance, without an upper limit, tight at T = 2 (r - 1). The form in the paper's code, with
    :math:`E_J[T^2]`, is no bound: it grows without limit if the scores are scaled up.

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


# From here on `_exp` is linear. Gradients reach e^30 = 1e13; their squares, which optimisers keep,
# do not overflow.
LINEAR_FROM = 30.0


def _exp(scores: Tensor) -> Tensor:
    """Exponential up to `LINEAR_FROM`, and its tangent at that point for larger scores.

    Useful scores are far below. A critic that gets there by accident has a finite bound and a
    gradient that brings it back, instead of infinity and NaN.
    """
    # Two clamps, not one and a difference: gradients of 1e13 must not cancel each other.
    capped = scores.clamp(max=LINEAR_FROM)
    return capped.exp() + math.exp(LINEAR_FROM) * (scores - LINEAR_FROM).relu()


ESTIMATORS: dict[str, Estimator] = {
    "jsd": jsd,
    "infonce": infonce,
    "dv": dv,
    "nwj": nwj,
    "rkl": rkl,
    "hellinger": hellinger,
    "chi2": chi2,
}
