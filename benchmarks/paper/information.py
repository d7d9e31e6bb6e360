r"""Mutual information of samples and codes, and dependence between components, in nats.

Both are Kullback-Leibler divergences between the distributions of joint and of marginal pairs. A
critic is trained to distinguish the two, and the estimate is its Donsker-Varadhan bound,
`skdim.mutual_information.dv`.

A quarter of the samples is held out of training, and the bound is measured on them: on training
samples, a critic finds dependence even in noise. If training is too long, the bound falls again.
So the best epoch is chosen on one half of the held-out samples and measured on the other half, and
vice versa. The estimate is the mean of both. It may be slightly below 0 by chance.
"""

from collections.abc import Callable
from functools import partial
from numbers import Integral

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import Interval, validate_params
from torch import Tensor, nn

from benchmarks.paper.training import TRAINING_CONSTRAINTS, seeded_device, train
from skdim.critics import ConcatCritic
from skdim.mutual_information import dv
from skdim.priors import Discriminator

# Negatives for each positive: in training of `mine` and of `dependence`, and on held-out samples.
N_OTHERS, N_PERMUTED, N_HELD_OUT = 4, 1, 16

# With fewer samples, half of the held-out samples would be a single one.
FEWEST_SAMPLES = 16

# Takes the indices of samples and a number of negatives; returns joint and marginal scores, of
# shapes (n_indices, 1) and (n_indices, n_negatives, 1).
Scores = Callable[[Tensor, int], tuple[Tensor, Tensor]]

# Takes a generator, which also determines the device; returns a critic and its scores.
Build = Callable[[torch.Generator], tuple[nn.Module, Scores]]


@validate_params(
    {**TRAINING_CONSTRAINTS, "width": [Interval(Integral, 1, None, closed="left")]},
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
    """Mutual information of samples and their codes by MINE, which trains a critic of pairs.

    The critic learns to distinguish pairs of a sample and its own code from pairs of a sample and
    the code of another sample. If the code is a function of continuous samples, their mutual
    information is infinite. The estimate then is how much of it this critic finds in this training:
    use it only to compare codes of the same samples.

    Parameters
    ----------
    x : array-like of shape (n, ...)
        At least 16 samples. The axes of a sample are flattened. Columns are standardised, which
        does not change mutual information.
    codes : array-like of shape (n, n_components)
    width : int, default=128
        Units of each of the two hidden layers of the critic.
    max_epochs : int, default=60
    batch_size : int, default=256
    learning_rate : float, default=1e-3
        The highest learning rate. It falls to zero, which reduces the variance of the estimate.
    random_state : int, RandomState or None, default=None
        An int makes estimates reproducible, on a GPU up to rounding.
    device : str or torch.device, default="auto"

    Returns
    -------
    information : float
        In nats. For thousands of pairs of Gaussian vectors with 1 to 4 nats, the relative error is
        at most a tenth. Values above the logarithm of the number of held-out pairs, about 10, only
        rank codes.

    References
    ----------
    Belghazi et al., "Mutual information neural estimation", ICML 2018; Hjelm et al., ICLR 2019,
    table 4, "MINE".
    """
    x = check_array(
        x,
        dtype=np.float32,
        allow_nd=True,
        ensure_min_samples=FEWEST_SAMPLES,
        input_name="x",
    )
    codes = check_array(codes, dtype=np.float32, input_name="codes")
    check_consistent_length(x, codes)
    return _held_out_bound(
        partial(_build_mine, x.reshape(len(x), -1), codes, width),
        len(x),
        N_OTHERS,
        max_epochs=max_epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        random_state=random_state,
        device=device,
    )


def _build_mine(
    x: np.ndarray, codes: np.ndarray, width: int, generator: torch.Generator
) -> tuple[nn.Module, Scores]:
    """Return a critic of samples (n, n_columns) and codes (n, n_components), and its scores."""
    all_x, all_codes = (
        torch.from_numpy(StandardScaler().fit_transform(array)).to(generator.device)
        for array in (x, codes)
    )
    critic = ConcatCritic(codes.shape[1], x.shape[1], width).to(generator.device)

    def score(indices: Tensor, n_others: int) -> tuple[Tensor, Tensor]:
        # Indices are in random order, so a shift pairs each sample with the code of a random other.
        code, n_others = all_codes[indices], min(n_others, len(indices) - 1)
        shifted = torch.stack([code.roll(i, 0) for i in range(n_others + 1)])
        scores = critic(shifted, all_x[indices, None])  # (1 + n_others, n_indices, 1)
        return scores[0], scores[1:].transpose(0, 1)

    return critic, score


@validate_params(
    {**TRAINING_CONSTRAINTS, "squash": ["boolean"]}, prefer_skip_nested_validation=True
)
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
    """Dependence between the components of codes: the neural dependency measure, NDM.

    A network with 1000 and 200 ReLU units learns to distinguish codes from codes whose components
    are permuted over the batch, each independently. The result estimates the total correlation: 0
    if components are independent, and without an upper limit if they repeat each other.

    Parameters
    ----------
    codes : array-like of shape (n, n_components)
        At least 16 samples.
    squash : bool, default=False
        Whether to apply a sigmoid to codes first, as the uniform prior does. In theory this changes
        nothing, but if the sigmoid saturates, the network misses dependence. The paper reports
        both.
    max_epochs : int, default=20
    batch_size : int, default=256
    learning_rate : float, default=1e-3
        The highest learning rate.
    random_state : int, RandomState or None, default=None
        An int makes estimates reproducible, on a GPU up to rounding.
    device : str or torch.device, default="auto"

    Returns
    -------
    dependence : float
        In nats; lower means less dependence.

    References
    ----------
    Hjelm et al., ICLR 2019, table 4, "NDM"; Brakel and Bengio, "Learning independent features with
    adversarial nets for non-linear ICA", 2017.
    """
    codes = check_array(
        codes, dtype=np.float32, ensure_min_samples=FEWEST_SAMPLES, input_name="codes"
    )
    if squash:
        codes = torch.from_numpy(codes).sigmoid().numpy()
    return _held_out_bound(
        partial(_build_dependence, codes),
        len(codes),
        N_PERMUTED,
        max_epochs=max_epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        random_state=random_state,
        device=device,
    )


def _build_dependence(codes: np.ndarray, generator: torch.Generator) -> tuple[nn.Module, Scores]:
    """Return a critic of codes (n, n_components), permuted or not, and its scores."""
    all_codes = torch.from_numpy(StandardScaler().fit_transform(codes)).to(generator.device)
    critic = Discriminator(codes.shape[1]).to(generator.device)

    def score(indices: Tensor, n_permuted: int) -> tuple[Tensor, Tensor]:
        code = all_codes[indices]
        permuted = [critic(_permute_columns(code, generator)) for _ in range(n_permuted)]
        return critic(code), torch.stack(permuted, 1)

    return critic, score


def _permute_columns(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Permute each column independently, which makes columns independent and keeps their values."""
    noise = torch.rand(codes.shape, generator=generator, device=codes.device)
    return codes.gather(0, noise.argsort(0))


def _held_out_bound(
    build: Build, n_samples: int, n_negatives: int, *, random_state, device, batch_size, **training
) -> float:
    """Train a critic on three quarters of the samples; return its bound on the last quarter.

    Parameters
    ----------
    build : callable (generator) -> critic, score
    n_samples : int
    n_negatives : int
        Negatives for each positive in training.
    random_state, device, batch_size
        Parameters of `seeded_device`.
    **training
        Other parameters of `train`.

    Returns
    -------
    bound : float
        In nats.
    """
    with seeded_device(random_state, device, batch_size) as generator:
        critic, score = build(generator)
        bounds = _train_critic(
            critic, score, n_samples, n_negatives, generator, batch_size=batch_size, **training
        )
    best = bounds.argmax(0)
    return float(bounds[best[::-1], [0, 1]].mean())


def _train_critic(
    critic: nn.Module,
    score: Scores,
    n_samples: int,
    n_negatives: int,
    generator: torch.Generator,
    **training,
) -> np.ndarray:
    """Return the held-out bounds before training and after each epoch: (1 + max_epochs, 2 halves).

    Parameters
    ----------
    critic : nn.Module
    score : callable (indices, n_negatives) -> joint, marginal
    n_samples, n_negatives : int
    generator : torch.Generator
    **training
        Other parameters of `train`.
    """
    order = torch.randperm(n_samples, generator=generator, device=generator.device)
    held_out, training_set = order.tensor_split([n_samples // 4])
    bounds: list[Tensor] = []

    @torch.inference_mode()
    def measure() -> None:
        halves = held_out.tensor_split(2)
        bounds.append(torch.stack([dv(*score(half, N_HELD_OUT)) for half in halves]))

    measure()  # if samples are independent, the untrained critic may be the best
    train(
        critic,
        lambda indices: -dv(*score(training_set[indices], n_negatives)),
        len(training_set),
        generator=generator,
        after_epoch=measure,
        **training,
    )
    return torch.stack(bounds).cpu().numpy()


def mine_scorer(estimator, X, y=None) -> float:
    """Mutual information of X and ``estimator.transform(X)``; may be passed as ``scoring``.

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
    """Negative dependence of ``estimator.transform(X)``; may be passed as ``scoring``.

    Parameters
    ----------
    estimator : transformer
    X : array-like
    y : None
        Ignored.

    Returns
    -------
    independence : float
        In nats; higher is better, and about 0 is the best.
    """
    return -dependence(estimator.transform(X), random_state=0)
