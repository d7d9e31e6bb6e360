"""A small part of the campaign, and the faults that campaigns have found."""

import time
import warnings

import numpy as np
import pandas as pd
import pytest
import skorch.callbacks
import torch
from helpers import campaign
from helpers.campaign import BEYOND, PROPERTIES, VALUES_OF, Case, Fault, Sketch, attempt, examine
from hypothesis import HealthCheck, Phase, given, settings

from skdim import DIMTransformer
from skdim._runtime.devices import choose_device
from skdim.augmentation import make_views
from skdim.encoders import ConvEncoder, MLPEncoder, Paper28, SignalEncoder
from skdim.sources._arrays import read_array, read_column_groups, read_groups, read_samples

pytestmark = pytest.mark.filterwarnings("ignore")  # cases check their warnings themselves

# How many cases of each property the suite tries: they take a few seconds.
N_EXAMPLES = {
    "fit, any X": 10,
    "fit, extreme X": 10,
    "fit, strange X": 60,
    "fit, odd parameters": 25,
    "fit, good parameters": 5,
    "fit, any X and parameters": 5,
    "layouts": 15,
    "transform, any X": 40,
    "transform, extreme X": 10,
    "calls in any order": 5,
}


@pytest.mark.parametrize("name", N_EXAMPLES)
def test_every_case_gives_a_right_result_or_a_clear_error(name):
    law, cases, _ = PROPERTIES[name]

    @settings(
        max_examples=N_EXAMPLES[name],
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def hold(case):
        examine(law, case)

    hold()


def test_the_campaign_draws_every_parameter():
    assert set(VALUES_OF) == set(DIMTransformer().get_params())
    assert all(len(values) > 3 for values in VALUES_OF.values())


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: [][1], "undocumented IndexError"),
        (lambda: torch.zeros(2) @ torch.zeros(3), "undocumented RuntimeError"),
        (lambda: int("x"), "names nothing"),
        (lambda: np.float64(1) / np.float64(0), "warns: RuntimeWarning"),
        (lambda: warnings.warn("from torch", stacklevel=1), "warns: UserWarning"),
    ],
)
def test_an_unclear_error_is_a_fault(call, reason):
    with pytest.raises(Fault, match=reason):
        attempt(call)


def test_a_feature_that_is_no_number_is_a_fault(monkeypatch):
    read = DIMTransformer.transform
    monkeypatch.setattr(DIMTransformer, "transform", lambda self, X: read(self, X) * np.nan)
    with pytest.raises(Fault, match="features are finite"):
        examine(campaign.check_fit, Case("rows", Sketch((6, 3))))


def test_a_call_that_hangs_is_a_fault():
    def hang():
        with campaign.within(seconds=1, gibibytes=4):
            time.sleep(60)

    with pytest.raises(Fault, match="hangs"):
        hang()


# ---------------------------------------------------------------------------- what campaigns found


@pytest.mark.parametrize(
    ("groups", "kind"),
    [
        (3, ValueError),
        (np.zeros((4, 2)), ValueError),
        ([[1], [1, 2], [1], [1]], ValueError),
        (np.array(["a", "b", 1, 2], dtype=object), TypeError),
    ],
    ids=["a number", "two axes", "lists", "words and numbers"],
)
def test_groups_that_are_no_labels_are_named(groups, kind):
    with pytest.raises(kind, match="The 'groups' must be of one axis"):
        read_groups(groups, 4)


@pytest.mark.parametrize("view", [torch._neg_view, lambda t: t.to(torch.complex64).conj().imag])
def test_views_that_numpy_does_not_know_are_read(view):
    X = view(torch.ones(3, 2))
    assert np.array_equal(read_array(X), X.clone().resolve_neg().numpy())


def test_floats_of_eight_bits_are_read():
    assert np.array_equal(read_array(torch.ones(3, 2).to(torch.float8_e4m3fn)), np.ones((3, 2)))


@pytest.mark.parametrize(
    "X", [torch.ones(3, 2).to_sparse(), torch.ones(3, 2, device="meta")], ids=["sparse", "meta"]
)
def test_a_tensor_without_stored_numbers_is_refused(X):
    with pytest.raises(TypeError, match="X must be a dense tensor"):
        read_array(X)


@pytest.mark.parametrize(
    "X",
    [
        [[1.0, 2.0], [1.0]],
        np.array([[10**400, 1.0], [1.0, 2.0]], object),
        np.zeros((4, 2), [("a", "f4"), ("b", "i4")]),
    ],
    ids=["ragged", "a huge integer", "records"],
)
def test_the_error_of_what_holds_no_numbers_names_x(X):
    with pytest.raises((TypeError, ValueError), match="X must hold real numbers"):
        DIMTransformer().fit(X)


def test_numbers_beyond_float64_are_infinite_without_another_warning():
    X = np.ones((5, 3), np.longdouble) * np.array([["1", "2", "1e400"]], np.longdouble)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="X contains infinity"):
            DIMTransformer().fit(X)


def test_a_frame_of_another_byte_order_is_read_as_any_other():
    X = np.random.default_rng(0).normal(size=(6, 3))
    dim = campaign.transformer(Case("rows", Sketch((6, 3))))
    features = dim.fit_transform(pd.DataFrame(X))
    assert np.array_equal(dim.fit_transform(pd.DataFrame(X.astype(">f8"))), features)


@pytest.mark.parametrize("shape", [(-1, -6), (0,), (2.0, 3.0), ("a",), (None,)])
def test_a_sample_shape_of_no_lengths_is_named(shape):
    with pytest.raises(ValueError, match="'sample_shape' parameter must hold whole numbers"):
        read_samples(np.zeros((4, 6)), shape, "auto")


@pytest.mark.parametrize("groups", [[0], ["ab"], [None]])
def test_a_column_group_that_is_no_list_is_named(groups):
    with pytest.raises(ValueError, match="'column_groups' parameter must be a list of groups"):
        read_column_groups(groups, 3, np.array(["a", "b", "ab"]))


def test_a_column_that_is_neither_number_nor_name_is_named():
    with pytest.raises(ValueError, match=r"'column_groups' parameter must name columns.*\[0\]"):
        read_column_groups([[[0]]], 3, None)


@pytest.mark.parametrize(
    "augment", [lambda batch, generator: batch[:1], lambda batch, generator: None]
)
def test_views_of_another_number_are_named(augment):
    with pytest.raises(ValueError, match="'augment' parameter must return a batch of as many"):
        make_views(torch.zeros(4, 3), augment, torch.Generator())


@pytest.mark.parametrize(
    ("encoder", "shape", "name"),
    [
        (MLPEncoder, (3,), "width"),
        (MLPEncoder, (3,), "n_hidden"),
        (MLPEncoder, (3,), "max_locations"),
        (MLPEncoder, (3,), "n_local_channels"),
        (SignalEncoder, (1, 8), "width"),
        (SignalEncoder, (1, 8), "n_hidden"),
        (ConvEncoder, (1, 8, 8), "width"),
        (ConvEncoder, (1, 8, 8), "n_hidden"),
        (ConvEncoder, (1, 8, 8), "max_filters"),
        (ConvEncoder, (1, 8, 8), "n_local_maps"),
        (Paper28, (1, 28, 28), "scale"),
    ],
)
@pytest.mark.parametrize("size", [0, -1, "x", None])
def test_a_layer_of_no_size_is_named(encoder, shape, name, size):
    with pytest.raises(ValueError, match=f"'{name}' must be a"):
        encoder(shape, 2, **{name: size})


@pytest.mark.parametrize("params", [{"odd": 1}, {1: 2}, {"sample_shape": (3,)}])
def test_arguments_that_no_encoder_has_are_named(params):
    X = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.raises(TypeError, match="'encoder_params' parameter must hold keyword arguments"):
        DIMTransformer(encoder_params=params).fit(X)


@pytest.mark.parametrize("name", ["n_views", "critic_width", "n_locations"])
def test_true_counts_as_one(name):
    dim = campaign.transformer(Case("rows", Sketch((6, 3)), {name: True}))
    one = campaign.transformer(Case("rows", Sketch((6, 3)), {name: 1}))
    X = np.random.default_rng(0).normal(size=(6, 3))
    assert np.array_equal(dim.fit_transform(X), one.fit_transform(X))


ROWS = Sketch((6, 3))


def fit(sketch, groups=None, modality="rows", **params):
    dim = campaign.transformer(Case(modality, sketch, params))
    return dim.fit(campaign.make(sketch), groups=groups)


@pytest.mark.parametrize(
    ("modality", "sketch", "params"),
    [
        ("channels last", Sketch((3, 10, 11, 3)), {"transform_batch_size": 3}),
        ("rows", Sketch((3, 5), seed=1), {"encoder_params": {"width": 4, "n_hidden": 4}}),
        ("flat", Sketch((5, 72), "denormal in float64", seed=1), {}),
    ],
    ids=["batches of three", "layers of four units", "constant units"],
)
def test_small_batches_layers_and_values_keep_every_law(modality, sketch, params):
    examine(campaign.check_fit, Case(modality, sketch, params))


def test_a_component_that_two_samples_do_not_span_is_zero_in_every_batch():
    case = Case("signals last", Sketch((2, 6, 3)), groups="words")
    examine(campaign.check_fit, case)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ("one is the smallest", "f4"),
        ("of float32, the largest", "f4"),
        ("of float64, the largest", "f8"),
    ],
)
def test_numbers_that_cannot_be_standardised_are_refused(values, dtype):
    with pytest.raises(ValueError, match="X must hold values"):
        fit(Sketch((8, 9, 11), values, dtype), modality="grey")


def test_features_that_overflow_are_refused():
    dim = fit(ROWS)
    with pytest.raises(ValueError, match="X must hold samples like those of 'fit'"):
        dim.transform(np.full((2, 3), 3e38))


def test_a_size_beyond_all_memory_is_a_memory_error():
    with pytest.raises(MemoryError, match="exhausted"):
        fit(ROWS, n_components=BEYOND)


def test_n_components_true_counts_as_one():
    X = campaign.make(ROWS)
    assert np.array_equal(
        fit(ROWS, n_components=True).transform(X), fit(ROWS, n_components=1).transform(X)
    )


@pytest.mark.parametrize("callbacks", [[1], ["a"], [skorch.callbacks.Callback], [("a", 1)]])
def test_what_is_no_callback_is_named(callbacks):
    with pytest.raises(TypeError, match="'callbacks' parameter must hold instances"):
        fit(ROWS, callbacks=callbacks)


@pytest.mark.parametrize(("groups", "part"), [(np.zeros(6), 0.5), (None, 0.999)])
def test_a_fraction_that_leaves_nothing_to_train_on_is_named(groups, part):
    with pytest.raises(ValueError, match="'validation_fraction' parameter must leave"):
        fit(ROWS, groups, early_stopping=True, validation_fraction=part)


@pytest.mark.parametrize("params", [{"odd": 1}, {"weight_decay": -1}, {"betas": "x"}])
def test_arguments_that_the_optimiser_refuses_are_named(params):
    with pytest.raises((TypeError, ValueError), match="'optimizer_params' parameter"):
        fit(ROWS, optimizer_params=params)


def test_a_device_that_holds_no_numbers_is_refused():
    with pytest.raises(ValueError, match="'device' parameter"):
        choose_device("meta")


def test_weights_that_diverge_in_the_last_step_end_the_fit():
    sketch = Sketch((7, 23, 2))
    params = {"learning_rate": 1e6, "critic": "separable_published", "mi_estimator": "rkl"}
    params |= {"gradient_clip_norm": 1e-9, "critic_width": 1, "augment": campaign.unchanged}
    params |= {"random_state": 2, "lr_schedule": "constant", "batch_size": 8, "n_locations": 1}
    with pytest.raises(FloatingPointError, match="'learning_rate'"):
        fit(sketch, modality="signals last", **params)
