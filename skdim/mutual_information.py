r"""Bounds on the dependence between a code and its locals: scores in, one number out.

A critic scores pairs of a code and a local vector. An estimator turns two sets of scores into a
bound that training maximises:

* ``joint`` of shape (..., n, n_locations): each code against the locals of its own sample,
* ``marginal`` of shape (..., n, n_others, n_locations): each code against the locals of others.

Write a function of (joint, marginal), list it in `ESTIMATORS`, and it is a legal
``mi_estimator`` and under the laws of ``tests/test_mutual_information.py``.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

Estimator = Callable[[Tensor, Tensor], Tensor]


def split_pairs(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Separate the scores of joint pairs from those of marginal pairs, exactly and by index.

    Parameters
    ----------
    scores : Tensor of shape (..., n, n, n_locations)
        Row i holds the scores of code i; column j those against the locals of sample j.

    Returns
    -------
    joint : Tensor of shape (..., n, n_locations)
        The diagonal.
    marginal : Tensor of shape (..., n, n - 1, n_locations)
        Everything else, in the order of j.
    """
    n, n_locations = scores.shape[-2:]
    batch = scores.shape[:-3]
    joint = scores.diagonal(dim1=-3, dim2=-2).movedim(-1, -2)  # (..., n, n_locations)
    # Read as one row of n * n pairs, each diagonal entry is followed by n marginal ones.
    off_diagonal = scores.reshape(*batch, n * n, n_locations)[..., 1:, :]
    off_diagonal = off_diagonal.reshape(*batch, n - 1, n + 1, n_locations)[..., :-1, :]
    return joint, off_diagonal.reshape(*batch, n, n - 1, n_locations)


def jsd(joint: Tensor, marginal: Tensor) -> Tensor:
    r"""Jensen-Shannon bound.

    .. math:: 2 \log 2 - E_J[\mathrm{sp}(-T)] - E_M[\mathrm{sp}(T)],
              \qquad \mathrm{sp}(t) = \log(1 + e^t)

    It bounds twice the Jensen-Shannon divergence between joint and marginal pairs, not mutual
    information in nats: 0 at chance, at most 2 log 2. Note the sign of the second term; the form
    with :math:`-\mathrm{sp}(-T)` found in some notes has no bound.

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


ESTIMATORS: dict[str, Estimator] = {"jsd": jsd, "infonce": infonce, "dv": dv}
