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
then a legal ``mi_estimator``, and ``tests/test_mutual_information.py`` tests it. If it is a mean
over codes, mark it as `chunkable`: large batches are then scored a few codes at a time.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import softplus

Estimator = Callable[[Tensor, Tensor], Tensor]
ChunkForm = Callable[[Iterable[Tensor]], Estimator]


def chunkable(mi_estimator: Estimator) -> Estimator:
    """Mark an MI estimator as a mean over codes: each term depends on the scores of one code."""
    mi_estimator.chunk_form = lambda marginals: mi_estimator  # type: ignore[attr-defined]
    mi_estimator.is_mean_over_codes = True  # type: ignore[attr-defined]
    return mi_estimator


def is_mean_over_codes(mi_estimator: Estimator) -> bool:
    """Whether the mean of the bounds of equal parts of a batch is the bound of the whole batch."""
    return getattr(mi_estimator, "is_mean_over_codes", False)


def chunk_form_of(mi_estimator: Estimator) -> ChunkForm | None:
    """Return how to compute a bound a few codes at a time; None if it needs all scores at once.

    Returns
    -------
    chunk_form : callable (marginals) -> MI estimator, or None
        Takes the marginal scores of every chunk, each of shape (..., n_queries, n_others,
        n_locations). Returns an MI estimator whose mean over the chunks, weighted by their number
        of codes, has the value and the gradient of the bound of the whole batch.
    """
    return getattr(mi_estimator, "chunk_form", None)


@chunkable
def jsd(joint: Tensor, marginal: Tensor) -> Tensor:
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
    return 2 * math.log(2) - softplus(-joint).mean() - softplus(marginal).mean()


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


def _dv_chunk_form(marginals: Iterable[Tensor]) -> Estimator:
    r"""Replace the logarithm by its tangent at the mean over all chunks: a mean over pairs.

    .. math:: E_J[T] - E_M[e^{T - c}] + 1 - c, \qquad c = \log E_M[e^T]
    """
    log_sums, n_pairs = [], 0
    for marginal in marginals:
        log_sums.append(torch.logsumexp(marginal.flatten(-3), -1))  # (...,)
        n_pairs += marginal.shape[-3:].numel()
    log_mean_exp = torch.logsumexp(torch.stack(log_sums), 0) - math.log(n_pairs)
    return partial(_dv_tangent, log_mean_exp=log_mean_exp)


def _dv_tangent(joint: Tensor, marginal: Tensor, log_mean_exp: Tensor) -> Tensor:
    centered = marginal - log_mean_exp[..., None, None, None]
    return joint.mean() - centered.exp().mean() + 1 - log_mean_exp.mean()


dv.chunk_form = _dv_chunk_form  # type: ignore[attr-defined]


@chunkable
def nwj(joint: Tensor, marginal: Tensor) -> Tensor:
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
    return joint.mean() - _exp(marginal - 1).mean()


@chunkable
def rkl(joint: Tensor, marginal: Tensor) -> Tensor:
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
    return -_exp(-joint).mean() - (marginal - 1).mean()


@chunkable
def hellinger(joint: Tensor, marginal: Tensor) -> Tensor:
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
    return (1 - _exp(-joint)).mean() - (_exp(marginal) - 1).mean()


@chunkable
def chi2(joint: Tensor, marginal: Tensor) -> Tensor:
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
    return joint.mean() - (marginal.square() / 4 + marginal).mean()


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
