"""Priors draw what they promise, and codes trained with one follow it."""

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.base import clone

from skdim import DIMTransformer
from skdim.priors import (
    PRIORS,
    Discriminator,
    Prior,
    as_prior,
    discriminator_loss,
    encoder_loss,
    gradient_penalty,
    normal,
    unchanged,
    uniform,
)

N_CODE = 8

# The distribution of one component of a draw of N_CODE.
COMPONENT = {
    "uniform": stats.uniform.cdf,
    "normal": stats.norm.cdf,
    "sphere": lambda x: stats.beta.cdf((x + 1) / 2, (N_CODE - 1) / 2, (N_CODE - 1) / 2),
}


def draw(name, n=1000):
    return PRIORS[name].sample((n, N_CODE), torch.Generator().manual_seed(0))


def median_distance(name, values):
    """Median over components of the Kolmogorov-Smirnov statistic."""
    return np.median([stats.kstest(column, COMPONENT[name]).statistic for column in values.T])


@pytest.mark.parametrize("name", PRIORS)
def test_components_of_a_draw_follow_the_stated_distribution(name):
    assert median_distance(name, draw(name).numpy()) < 0.05


@pytest.mark.parametrize("name", PRIORS)
def test_draws_follow_the_generator_and_nothing_else(name):
    before = torch.get_rng_state()
    assert draw(name).equal(draw(name))
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("name", PRIORS)
def test_codes_are_squashed_into_the_range_of_the_prior(name):
    codes = 30 * torch.randn(500, N_CODE, generator=torch.Generator().manual_seed(1))
    for values in (draw(name), PRIORS[name].squash(codes)):
        if name == "uniform":
            assert 0 <= values.min() <= values.max() <= 1
        if name == "sphere":
            torch.testing.assert_close(values.norm(dim=1), torch.ones(len(values)))
        assert values.isfinite().all()


def test_what_a_name_a_function_and_a_prior_mean():
    assert as_prior("uniform") == PRIORS["uniform"] == Prior(uniform, torch.sigmoid)
    assert as_prior(normal) == Prior(normal, unchanged)
    settings = {"gradient_penalty": 1.0, "learning_rate": 0.5}
    assert as_prior(Prior("sphere", **settings)) == replace(PRIORS["sphere"], **settings)
    assert as_prior(Prior("sphere", torch.tanh)) == replace(PRIORS["sphere"], squash=torch.tanh)
    with pytest.raises(ValueError, match=r"'prior'.*Did you mean 'normal'"):
        as_prior(Prior("norml"))


UNFIT = {
    "sample": [None, 3, b"uniform"],
    "squash": ["tanh", 1.0],
    "gradient_penalty": [-1.0, None, "1"],
    "learning_rate": [0, -1.0, "1e-3"],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in UNFIT.items() for v in values])
def test_unfit_arguments_of_a_prior_are_named(name, value):
    with pytest.raises(ValueError, match=f"^The '{name}' parameter of Prior must be .* Got "):
        Prior(**{"sample": "uniform", name: value})


def test_a_prior_is_a_value(quick):
    prior = Prior("normal", gradient_penalty=2.0)
    assert prior == Prior("normal", gradient_penalty=2.0) != Prior("normal")
    with pytest.raises(FrozenInstanceError):
        prior.gradient_penalty = 1.0
    transformer = quick(prior=prior)
    for twin in (clone(transformer), pickle.loads(pickle.dumps(transformer))):
        assert twin.prior == prior


def test_a_prior_of_a_name_alone_is_the_name_and_its_settings_matter(quick, images):
    def losses(prior):
        history = quick(prior=prior, prior_weight=0.5).fit(images).history_
        return [epoch["discriminator"] for epoch in history]

    expected = losses("uniform")
    assert losses(Prior("uniform")) == losses(PRIORS["uniform"]) == expected
    assert losses(Prior("uniform", learning_rate=1e-12)) != expected
    assert losses(Prior("uniform", gradient_penalty=10.0)) != expected


def test_discriminator_is_that_of_the_paper():
    assert sum(p.numel() for p in Discriminator(64).parameters()) == 265_401


def test_encoder_and_discriminator_pull_in_opposite_directions():
    fake = torch.zeros(3, requires_grad=True)
    (against,) = torch.autograd.grad(discriminator_loss(torch.zeros(3), fake), fake)
    (towards,) = torch.autograd.grad(encoder_loss(fake), fake)
    assert (against > 0).all()
    assert (towards < 0).all()


def test_gradient_penalty_is_the_mean_over_all_codes_and_trains_the_discriminator():
    torch.manual_seed(0)
    discriminator = Discriminator(N_CODE).double()
    codes = torch.randn(7, N_CODE, dtype=torch.float64)
    penalty = gradient_penalty(discriminator, codes)
    step = 1e-6 * torch.eye(N_CODE, dtype=torch.float64)
    plain = 0.0
    for code in codes:
        gradient = (discriminator(code + step) - discriminator(code - step)) / 2e-6
        plain += gradient.square().sum().item() / len(codes)
    assert penalty.item() == pytest.approx(plain, rel=1e-5)
    penalty.backward()
    assert discriminator[0].weight.grad.abs().sum() > 0


def test_gradient_penalty_of_a_linear_function_is_its_squared_gradient():
    linear = torch.nn.Linear(3, 1)
    expected = linear.weight.square().sum()
    torch.testing.assert_close(gradient_penalty(linear, torch.randn(5, 3)), expected)


SETTINGS = {
    "n_components": N_CODE,
    "encoder": "paper32",  # its code is a plain linear layer: only the adversarial loss shapes it
    "encoder_params": {"scale": 0.125},
    "mi_estimator": "jsd",
    "critic": "separable",
    "critic_width": 32,
    "local_weight": 0.1,
    "augment": None,
    "max_epochs": 25,
    "batch_size": 64,
    "optimizer": "adam",
    "optimizer_params": {"betas": (0.5, 0.999)},
    "learning_rate": 1e-3,
    "precision": "float32",
    "random_state": 0,
}


def squashed_codes(name, transformer, images):
    readout = transformer.model_.readouts["code"]
    transformer.set_params(output="code")
    codes = torch.from_numpy(transformer.transform(images) * readout.scale + readout.mean)
    return PRIORS[name].squash(codes).numpy()


@pytest.fixture(scope="module")
def some_images(digits):
    return digits.images[:512].astype(np.float32)


@pytest.fixture(scope="module")
def trained_without_prior(some_images):
    return DIMTransformer(**SETTINGS).fit(some_images)


@pytest.mark.parametrize("name", PRIORS)
def test_training_with_a_prior_makes_codes_follow_it(name, some_images, trained_without_prior):
    prior = Prior(name, gradient_penalty=0.1)
    trained = DIMTransformer(**SETTINGS, prior=prior, prior_weight=1.0).fit(some_images)
    distance = median_distance(name, squashed_codes(name, trained, some_images))
    without = median_distance(name, squashed_codes(name, trained_without_prior, some_images))
    assert distance < 0.1
    assert distance < without / 3
