"""Settings of the paper: weights, sizes of critics, and whose parameters win."""

import numpy as np
import pytest
from helpers.products import cover

from skdim import DIMTransformer
from skdim.exceptions import IneffectiveParameterWarning
from skdim.mutual_information import ESTIMATORS

# The weights of global bound, local bound and prior.
WEIGHTS = {
    "global": (1.0, 0.0, 1.0),
    "local": (0.0, 1.0, 0.1),
    "local+global": (0.5, 0.1, 0.1),
}


@pytest.mark.parametrize(("variant", "mi_estimator"), cover(WEIGHTS, ESTIMATORS))
def test_settings_of_the_paper(variant, mi_estimator, images):
    dim = DIMTransformer.paper(
        variant, mi_estimator, max_epochs=2, critic_width=64, encoder_params={"scale": 0.1}
    )
    assert (dim.global_weight, dim.local_weight, dim.prior_weight) == WEIGHTS[variant]
    assert dim.mi_estimator == mi_estimator
    assert (dim.augment, dim.batch_size, dim.learning_rate) == (None, 64, 1e-4)
    assert dim.gradient_clip_norm is None
    assert np.isfinite(dim.fit_transform(images)).all()


WITHOUT = {
    "no prior": {"prior_weight": 0},
    "no bound": {"local_weight": 0, "global_weight": 0, "coordinate_weight": 1},
    "neither": {"local_weight": 0, "global_weight": 0, "prior_weight": 0, "coordinate_weight": 1},
    "all": {},
}


@pytest.mark.parametrize("variant", WEIGHTS)
@pytest.mark.parametrize("name", WITHOUT)
def test_what_the_user_did_not_set_gets_no_warning(variant, name, images):
    params = {"max_epochs": 1, "encoder_params": {"scale": 0.1}, **WITHOUT[name]}
    DIMTransformer.paper(variant, **params).fit(images)  # warnings are errors


def test_what_the_user_set_gets_a_warning_also_in_the_paper(images):
    params = {"max_epochs": 1, "encoder_params": {"scale": 0.1}, "prior_weight": 0}
    dim = DIMTransformer.paper(**params, prior="normal")
    assert dim.prior == "normal"
    with pytest.warns(IneffectiveParameterWarning, match="'prior'"):
        dim.fit(images)


@pytest.mark.parametrize("variant", ["local", "global"])
def test_instances_of_the_paper_share_nothing(variant):
    first, second = DIMTransformer.paper(variant), DIMTransformer.paper(variant)
    for name in ("optimizer_params", "encoder_params"):
        ours, others = getattr(first, name), getattr(second, name)
        assert ours == others
        assert ours is None or ours is not others


@pytest.mark.parametrize(
    ("encoder", "shape", "n_top"),
    [
        ("paper28", (1, 28, 28), 128 * 7 * 7),
        ("paper32", (3, 32, 32), 256 * 4 * 4),
        ("paper64", (3, 64, 64), 512 * 4 * 4),
    ],
)
def test_the_critic_of_dim_g_has_three_layers_over_code_and_last_convolution(encoder, shape, n_top):
    dim = DIMTransformer.paper("global", encoder=encoder, max_epochs=1, learning_rate=1e-12)
    X = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    objective = dim.set_params(channel_axis=1).fit(X).model_.objective
    n_critic = sum(p.numel() for p in objective.global_critic.parameters())
    assert n_critic == (64 + n_top + 1) * 512 + 513 * 512 + 513
    assert n_critic == {"paper28": 3_507_713, "paper32": 2_393_601, "paper64": 4_490_753}[encoder]


def test_parameters_of_an_encoder_are_added_to_those_of_the_paper():
    params = {"encoder_params": {"scale": 0.5}}
    dim = DIMTransformer.paper("global", **params)
    assert dim.encoder_params == {"local_layer": -1, "scale": 0.5}
    assert params == {"encoder_params": {"scale": 0.5}}
    assert DIMTransformer.paper("local", **params).encoder_params == {"scale": 0.5}
    # Other encoders have no such parameter.
    assert DIMTransformer.paper("global", encoder="conv").encoder_params is None
