r"""What codes tell of their samples, and how much their components tell of each other, in nats.

Both are the Kullback-Leibler divergence of two sets of rows, found by a critic that is trained to
tell them apart: the Donsker-Varadhan bound of `skdim.mutual_information.dv`. A quarter of the
samples is held out of training, and the bound is that of the samples held out: on its own samples
a critic finds dependence in noise. Where training goes on for too long, the bound falls again; so
the epoch is chosen on one half of the samples held out and read on the other, and the other way
round, and the mean of both is the estimate. Sampling may leave it a little below 0.
"""

from collections.abc import Callable
from numbers import Integral

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, validate_params
from torch import Tensor, nn

from skdim.critics import ConcatCritic
from skdim.evaluation._training import (
    TRAINING,
    check_one_each,
    read_rows,
    seeded_device,
    standardize,
    train,
)
from skdim.mutual_information import dv
from skdim.priors import Discriminator

# Marginal rows that a joint one is compared with: in training, of each kind, and held out.
N_OTHERS, N_PERMUTED, N_HELD_OUT = 4, 1, 16

# With fewer, the halves of the samples held out are of less than two.
FEWEST_SAMPLES = 16

# From rows' numbers and how many marginal rows each of them gets, to the scores of both kinds.
Scores = Callable[[Tensor, int], tuple[Tensor, Tensor]]


@validate_params(
    {**TRAINING, "width": [Interval(Integral, 1, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def mine(
    x,
    codes,
    *,
    width=128,
    max_epochs=60,
    batch_size=256,
    learning_rate=1e-3,
    random_state=None,
    device="auto",
) -> float:
    """Mutual information of samples and their codes, by MINE: a critic of pairs.

    The pairs of a sample with its own code are told from its pairs with the codes of others. A
    code that is a function of continuous samples has infinite information about them: then the
    estimate only tells how much this critic finds in this time, and compares codes of the same
    samples.

    Parameters
    ----------
    x : array-like of shape (n, ...)
        Samples, 16 at least; all axes of a sample are read as one. Columns are standardised, which
        changes no mutual information.
    codes : array-like of shape (n, ...)
    width : int, default=128
        Units of each of the critic's two hidden layers.
    max_epochs : int, default=60
        Passes over the samples; the learning rate falls to zero, for less variance.
    batch_size : int, default=256
    learning_rate : float, default=1e-3
        The highest.
    random_state : int, RandomState or None, default=None
        An int makes estimates repeat exactly; on a GPU up to rounding.
    device : str or torch.device, default="auto"

    Returns
    -------
    information : float
        In nats. Within a tenth for thousands of pairs of Gaussian vectors that share 1 to 4 nats;
        beyond the logarithm of the number of pairs held out, about 10, only an order of codes.

    References
    ----------
    Belghazi et al., "Mutual information neural estimation", ICML 2018; Hjelm et al., ICLR 2019,
    table 3, "MINE".
    """
    x, codes = read_rows(x, "x"), read_rows(codes, "codes")
    check_one_each(codes, "codes", x, "x")
    _check_enough(x, "x")
    with seeded_device(random_state, device, batch_size) as generator:
        of_x, of_codes = (
            torch.from_numpy(standardize(rows)[0]).to(generator.device) for rows in (x, codes)
        )
        critic = ConcatCritic(codes.shape[1], x.shape[1], width).to(generator.device)

        def score(rows: Tensor, n_others: int) -> tuple[Tensor, Tensor]:
            # Rows come in random order, so that neighbours are random others.
            code, n_others = of_codes[rows], min(n_others, len(rows) - 1)
            shifted = torch.stack([code.roll(i, 0) for i in range(n_others + 1)])
            scores = critic(shifted, of_x[rows, None])  # (1 + n_others, n_rows, 1)
            return scores[0], scores[1:].transpose(0, 1)

        return _held_out_bound(
            critic,
            score,
            len(x),
            n_others=N_OTHERS,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            generator=generator,
        )


@validate_params({**TRAINING, "squash": ["boolean"]}, prefer_skip_nested_validation=True)
def dependence(
    codes,
    *,
    squash=False,
    max_epochs=20,
    batch_size=256,
    learning_rate=1e-3,
    random_state=None,
    device="auto",
) -> float:
    """Dependence of the components of codes on each other: the neural dependency measure, NDM.

    Codes are told from codes whose every component is permuted over the batch by itself, by a
    network of 1000 and 200 ReLU units. In nats it is the total correlation, 0 for independent
    components and without a limit for components that repeat each other.

    Parameters
    ----------
    codes : array-like of shape (n, n_components)
        Of 16 samples at least.
    squash : bool, default=False
        Whether codes are measured behind a sigmoid, as the prior sees them. In theory this changes
        nothing; where it saturates, it hides dependence from the network. The paper reports both.
    max_epochs : int, default=20
    batch_size : int, default=256
    learning_rate : float, default=1e-3
        The highest.
    random_state : int, RandomState or None, default=None
        An int makes estimates repeat exactly; on a GPU up to rounding.
    device : str or torch.device, default="auto"

    Returns
    -------
    dependence : float
        In nats; lower is more independent.

    References
    ----------
    Hjelm et al., ICLR 2019, table 3, "NDM"; Brakel and Bengio, "Learning independent features with
    adversarial nets for non-linear ICA", 2017.
    """
    codes = read_rows(codes, "codes")
    _check_enough(codes, "codes")
    if squash:
        codes = torch.from_numpy(codes).sigmoid().numpy()
    with seeded_device(random_state, device, batch_size) as generator:
        of_codes = torch.from_numpy(standardize(codes)[0]).to(generator.device)
        critic = Discriminator(codes.shape[1]).to(generator.device)

        def score(rows: Tensor, n_others: int) -> tuple[Tensor, Tensor]:
            code = of_codes[rows]
            permuted = [critic(_permute_columns(code, generator)) for _ in range(n_others)]
            return critic(code), torch.stack(permuted, 1)  # (n_rows, 1), (n_rows, n_others, 1)

        return _held_out_bound(
            critic,
            score,
            len(codes),
            n_others=N_PERMUTED,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            generator=generator,
        )


def _permute_columns(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Permute every column by itself, which leaves of a distribution only its margins."""
    noise = torch.rand(rows.shape, generator=generator, device=rows.device)
    return rows.gather(0, noise.argsort(0))


def _held_out_bound(
    critic: nn.Module,
    score: Scores,
    n_samples: int,
    *,
    n_others: int,
    generator: torch.Generator,
    **training,
) -> float:
    """Train a critic on three quarters of the samples, return its bound on the last one.

    Parameters
    ----------
    critic : nn.Module
    score : callable (rows, n_others) -> joint, marginal
        Of shapes (n_rows, 1) and (n_rows, n_others, 1).
    n_samples, n_others : int
    generator : torch.Generator
    **training
        Of `train`.

    Returns
    -------
    bound : float
        In nats.
    """
    order = torch.randperm(n_samples, generator=generator, device=generator.device)
    held_out, trained_on = order.tensor_split([n_samples // 4])
    bounds: list[Tensor] = []

    @torch.inference_mode()
    def measure() -> None:
        halves = held_out.tensor_split(2)
        bounds.append(torch.stack([dv(*score(half, N_HELD_OUT)) for half in halves]))

    measure()  # a critic that knows nothing is the best there is for independent rows
    train(
        critic,
        lambda rows: -dv(*score(trained_on[rows], n_others)),
        len(trained_on),
        generator=generator,
        after_epoch=measure,
        **training,
    )
    by_epoch = torch.stack(bounds).cpu().numpy()  # (1 + max_epochs, 2)
    best = by_epoch.argmax(0)
    return float(by_epoch[best[::-1], [0, 1]].mean())


def _check_enough(rows: np.ndarray, name: str) -> None:
    if len(rows) < FEWEST_SAMPLES:
        raise ValueError(
            f"The {name!r} must be those of at least {FEWEST_SAMPLES} samples, to train a critic "
            f"on some and measure on others. Got {len(rows)}."
        )


def mine_scorer(estimator, X, y=None) -> float:
    """Mutual information of X and ``estimator.transform(X)``: a legal ``scoring``.

    Parameters
    ----------
    estimator : transformer
    X : array-like
    y : None
        Ignored.

    Returns
    -------
    information : float
        In nats; higher is better.
    """
    return mine(X, estimator.transform(X), random_state=0)


def neg_dependence_scorer(estimator, X, y=None) -> float:
    """Negated dependence of what ``estimator.transform(X)`` returns: a legal ``scoring``.

    Parameters
    ----------
    estimator : transformer
    X : array-like
    y : None
        Ignored.

    Returns
    -------
    independence : float
        In nats; higher is better, 0 the best there is.
    """
    return -dependence(estimator.transform(X), random_state=0)
