r"""Bounds on the dependence between a code and its locals: scores in, one number out.

A critic scores pairs of a code and a local vector. An estimator turns two sets of scores into a
bound that training maximises:

* ``joint`` of shape (..., n, n_locations): each code against the locals of its own sample,
* ``marginal`` of shape (..., n, n_others, n_locations): each code against the locals of others.

Most bound a divergence between joint and marginal pairs; each docstring says which one, its range,
and the score at which the bound is tight, with r the ratio of the two densities. Only ``infonce``,
``dv`` and ``nwj`` are in nats of mutual information.

Write a function of (joint, marginal), list it in `ESTIMATORS`, and it is a legal
``mi_estimator`` and under the laws of ``tests/test_mutual_information.py``. If it is a mean over
codes, mark it as `chunkable`: large batches are then scored a few codes at a time.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import softplus

Estimator = Callable[[Tensor, Tensor], Tensor]
ChunkForm = Callable[[Iterable[Tensor]], Estimator]


def chunkable(estimator: Estimator) -> Estimator:
    """Mark an estimator as a mean over codes of what the scores of each code give."""
    estimator.chunk_form = lambda marginals: estimator  # type: ignore[attr-defined]
    estimator.is_mean_over_codes = True  # type: ignore[attr-defined]
    return estimator


def is_mean_over_codes(estimator: Estimator) -> bool:
    """Whether the mean over parts of a batch of codes is what the whole batch gives."""
    return getattr(estimator, "is_mean_over_codes", False)


def chunk_form_of(estimator: Estimator) -> ChunkForm | None:
    """Return how to estimate a few codes at a time; None if all scores are needed at once.

    Returns
    -------
    chunk_form : callable (marginals) -> estimator, or None
        From the marginal scores of every block of codes, of shape (..., n_rows, n_others,
        n_locations), to an estimator whose mean over blocks, weighed by their number of codes,
        has the value and the gradient of the whole.
    """
    return getattr(estimator, "chunk_form", None)


@chunkable
def jsd(joint: Tensor, marginal: Tensor) -> Tensor:
    r"""Jensen-Shannon bound.

    .. math:: 2 \log 2 - E_J[\mathrm{sp}(-T)] - E_M[\mathrm{sp}(T)],
              \qquad \mathrm{sp}(t) = \log(1 + e^t)

    It bounds twice the Jensen-Shannon divergence between joint and marginal pairs, not mutual
    information in nats: 0 at chance, at most 2 log 2, tight at T = log r. Note the sign of the
    second term; the form with :math:`-\mathrm{sp}(-T)` found in some notes has no bound.

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
    return 2 * math.log(2) - softplus(-joint).mean() - softplus(marginal).mean()


@chunkable
def infonce(joint: Tensor, marginal: Tensor) -> Tensor:
    r"""InfoNCE: pick the code's own local vector among the locals of all other samples.

    .. math:: E_J\left[T - \log\left(e^{T} + \sum_{M} e^{T_M}\right)\right]

    Each joint pair competes with every marginal pair of its code, not with the other locations of
    its own sample. Add ``log(1 + n_others * n_locations)``, minus its value at chance, to read it
    as a lower bound of mutual information in nats.

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
    others = marginal.flatten(-2).logsumexp(-1, keepdim=True)  # (..., n, 1)
    # log e^T / (e^T + S) = -log(1 + e^(log S - T)), which no score can overflow.
    return -softplus(others - joint).mean()


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


def _tangent_of_dv(marginals: Iterable[Tensor]) -> Estimator:
    r"""Replace the logarithm by its tangent at the mean over all blocks: a mean over pairs.

    .. math:: E_J[T] - E_M[e^{T - c}] + 1 - c, \qquad c = \log E_M[e^T]
    """
    log_sums, n_pairs = [], 0
    for marginal in marginals:
        log_sums.append(torch.logsumexp(marginal.flatten(-3), -1))  # (...,)
        n_pairs += marginal.shape[-3:].numel()
    level = torch.logsumexp(torch.stack(log_sums), 0) - math.log(n_pairs)
    return partial(_dv_tangent, level=level)


def _dv_tangent(joint: Tensor, marginal: Tensor, level: Tensor) -> Tensor:
    above = marginal - level[..., None, None, None]
    return joint.mean() - above.exp().mean() + 1 - level.mean()


dv.chunk_form = _tangent_of_dv  # type: ignore[attr-defined]


@chunkable
def nwj(joint: Tensor, marginal: Tensor) -> Tensor:
    r"""Nguyen-Wainwright-Jordan bound on mutual information, in nats.

    .. math:: E_J[T] - E_M[e^{T - 1}]

    The variational form of the Kullback-Leibler divergence of the joint from the marginal pairs:
    0 at chance (where every score is 1), unbounded, tight at T = 1 + log r.

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
    return joint.mean() - _exp(marginal - 1).mean()


@chunkable
def rkl(joint: Tensor, marginal: Tensor) -> Tensor:
    r"""Bound on the reverse Kullback-Leibler divergence, of the marginal from the joint pairs.

    .. math:: -E_J[e^{-T}] - E_M[T - 1]

    0 at chance, unbounded, tight at T = log r. It counts pairs that the joint distribution leaves
    out, where mutual information counts pairs that it prefers.

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
    return -_exp(-joint).mean() - (marginal - 1).mean()


@chunkable
def hellinger(joint: Tensor, marginal: Tensor) -> Tensor:
    r"""Bound on the squared Hellinger distance of joint and marginal pairs.

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
    return (1 - _exp(-joint)).mean() - (_exp(marginal) - 1).mean()


@chunkable
def chi2(joint: Tensor, marginal: Tensor) -> Tensor:
    r"""Bound on Pearson's chi-squared divergence of the joint from the marginal pairs.

    .. math:: E_J[T] - E_M[T^2 / 4 + T]

    0 at chance, unbounded, tight at T = 2 (r - 1). The form in the paper's code, with
    :math:`E_J[T^2]`, grows without end as the scores are scaled and bounds nothing.

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
    return joint.mean() - (marginal.square() / 4 + marginal).mean()


STEEPEST = 30.0  # e^30 = 1e13: its square, which optimisers keep, is still far from overflow


def _exp(scores: Tensor) -> Tensor:
    """Exponential that goes on as its own tangent where it would overflow.

    No estimate from a batch lives above e^30; a critic that strays there gets a finite bound and
    a slope that brings it back, instead of infinity and NaN.
    """
    # Two clamps, not one and a difference: gradients of 1e13 must not cancel each other.
    return scores.clamp(max=STEEPEST).exp() + math.exp(STEEPEST) * (scores - STEEPEST).relu()


ESTIMATORS: dict[str, Estimator] = {
    "jsd": jsd,
    "infonce": infonce,
    "dv": dv,
    "nwj": nwj,
    "rkl": rkl,
    "hellinger": hellinger,
    "chi2": chi2,
}
