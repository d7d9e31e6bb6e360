"""Warnings of parameters that were set and have no effect beside the others."""

import sys
import warnings

import numpy as np
import pytest
from helpers.products import cover
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from skdim import DIMTransformer
from skdim._training.advice import RULES, is_settled
from skdim.encoders import MLPEncoder
from skdim.exceptions import ConvergenceWarning, IneffectiveParameterWarning

IMAGES = load_digits().images[:60].astype(np.float32)
ROWS = IMAGES.reshape(60, 64)


class CustomEncoder(MLPEncoder):
    """An encoder that is not told of column groups."""

    def __init__(self, sample_shape, n_components):
        super().__init__(sample_shape, n_components)


# Values that differ from the defaults.
VALUES = {
    "prior": "normal",
    "coordinates": "relative",
    "mi_estimator": "jsd",
    "critic": "concat",
    "critic_width": 16,
    "n_locations": 4,
    "n_views": 3,
    "validation_fraction": 0.2,
    "n_iter_no_change": 3,
    "tol": 1e-3,
    "weight_averaging": 0.5,
    "column_groups": [[0, 1], [2, 3]],
}
# By the names of a rule: parameters beside which they have no effect, and others beside which
# they have one.
BESIDE = {
    ("prior",): ({}, [{"prior_weight": 0.1}]),
    ("coordinates",): ({}, [{"coordinate_weight": 0.5}]),
    ("mi_estimator", "critic", "critic_width"): (
        {"local_weight": 0.0, "prior_weight": 1.0},
        [{}, {"local_weight": 0.0, "global_weight": 1.0}],
    ),
    ("n_locations",): ({"local_weight": 0.0, "global_weight": 1.0}, [{}]),
    ("n_views",): ({"augment": None}, [{}]),
    ("validation_fraction", "n_iter_no_change", "tol"): ({}, [{"early_stopping": True}]),
    ("weight_averaging",): ({"early_stopping": True}, [{}]),
    ("column_groups",): (
        {"encoder": CustomEncoder},
        [
            {},
            {"augment": None},
            {"encoder": "mlp", "augment": None},
            {"encoder": MLPEncoder, "augment": None},
        ],
    ),
}
CASES = [(rule, name) for rule in RULES for name in rule.names]
NAMES = [name for _, name in CASES]


def dim(**params):
    """Build a transformer whose fits take a moment."""
    defaults = {"n_components": 8, "max_epochs": 1, "batch_size": 32, "random_state": 0}
    if "encoder" not in params:
        defaults["encoder_params"] = {"width": 16, "n_hidden": 64}
    return DIMTransformer(**{**defaults, "device": "cpu", **params})


def warnings_of(fit, kinds=(IneffectiveParameterWarning,)):
    """Return the warnings, of ineffective parameters if not of others, that a function leads to."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    return [w for w in caught if w.category in kinds]


def points_here(warning):
    """Whether a warning points to a line of this file, as far as Python can make it."""
    is_possible = sys.version_info >= (3, 12)
    return warning.filename == __file__ if is_possible else "skdim" in warning.filename


def data_for(name):
    return ROWS if name == "column_groups" else IMAGES


def test_every_rule_is_tested():
    assert [rule.names for rule in RULES] == list(BESIDE)
    assert set(NAMES) == set(VALUES)
    defaults = DIMTransformer().get_params()
    assert all(VALUES[name] != defaults[name] for name in VALUES)


@pytest.mark.parametrize(("rule", "name"), CASES, ids=NAMES)
def test_a_parameter_without_effect_is_warned_of(rule, name):
    without_effect, _ = BESIDE[rule.names]
    params = {**without_effect, name: VALUES[name]}
    (warning,) = warnings_of(lambda: dim(**params).fit(data_for(name)))
    value = repr(VALUES[name])
    sentence = f"The {name!r} parameter ({value}) has no effect with {rule.reason}."
    assert str(warning.message) == sentence
    assert points_here(warning)


@pytest.mark.parametrize(("rule", "name"), CASES, ids=NAMES)
def test_a_parameter_with_an_effect_is_not_warned_of(rule, name):
    _, with_effect = BESIDE[rule.names]
    for others in with_effect:
        params = {**others, name: VALUES[name]}
        assert not warnings_of(lambda: dim(**params).fit(data_for(name)))  # noqa: B023


@pytest.mark.parametrize(("rule", "name"), CASES, ids=NAMES)
def test_a_default_that_was_passed_is_not_warned_of(rule, name):
    without_effect, _ = BESIDE[rule.names]
    params = {**without_effect, name: DIMTransformer().get_params()[name]}
    assert not warnings_of(lambda: dim(**params).fit(data_for(name)))


def test_every_parameter_without_effect_is_warned_of_once():
    params = {"prior": "normal", "coordinates": "relative", "tol": 1e-3, "augment": None}
    caught = warnings_of(lambda: dim(**params, n_views=3).fit(IMAGES))
    named = [str(warning.message).split("'")[1] for warning in caught]
    assert named == ["prior", "coordinates", "n_views", "tol"]


def test_the_shape_of_samples_that_have_one_is_warned_of():
    (warning,) = warnings_of(lambda: dim(sample_shape=(8, 8)).fit(IMAGES))
    assert str(warning.message) == (
        "The 'sample_shape' parameter ((8, 8)) has no effect with an X that is not flat: its "
        "samples have a shape."
    )
    assert points_here(warning)
    assert not warnings_of(lambda: dim(sample_shape=(8, 8)).fit(ROWS))
    # As many values as X.shape[1].
    (warning,) = warnings_of(lambda: dim(sample_shape=(4, 2)).fit(IMAGES))
    assert "(4, 2)" in str(warning.message)


def test_more_components_than_hidden_units_are_warned_of():
    def fit(n_components):
        few = dim(n_components=n_components, encoder_params={"n_hidden": 16})
        return lambda: few.fit(ROWS[:, 18:22])

    (warning,) = warnings_of(fit(33))  # 16 units, 4 columns, 3 parts of each of them
    assert str(warning.message) == (
        "The 'n_components' parameter (33) has no effect with a hidden layer of 32 units: there "
        "are no more components."
    )
    assert points_here(warning)
    assert not warnings_of(fit(32))
    assert not warnings_of(fit(None))
    assert not warnings_of(fit(DIMTransformer().n_components))


def test_as_many_components_as_samples_are_warned_of():
    def fit(n_components):
        return lambda: dim(n_components=n_components).fit(ROWS[:20])

    (warning,) = warnings_of(fit(20))
    assert str(warning.message) == (
        "The 'n_components' parameter (20) has no effect with 20 samples: component 20 and "
        "all later ones are 0."
    )
    assert points_here(warning)
    assert not warnings_of(fit(19))
    assert not warnings_of(fit(None))
    assert not warnings_of(fit(DIMTransformer().n_components))


def test_as_many_locations_as_a_local_map_has_are_warned_of():
    _, (local_map,) = dim().fit(ROWS).model_.encode_all(ROWS)
    n_locations = local_map.shape[1]
    (warning,) = warnings_of(lambda: dim(n_locations=n_locations).fit(ROWS))
    assert str(warning.message) == (
        f"The 'n_locations' parameter ({n_locations}) has no effect with local maps of "
        f"{n_locations} locations: all of them are taken."
    )
    assert points_here(warning)
    assert not warnings_of(lambda: dim(n_locations=n_locations - 1).fit(ROWS))


def test_one_epoch_of_partial_fit_is_not_warned_of():
    assert not warnings_of(lambda: dim(prior="normal").partial_fit(ROWS))


# --------------------------------------------------------------- the budget


def test_a_budget_that_was_enough_is_not_warned_of():
    steps = np.arange(200)
    assert is_settled(np.exp(-steps / 20))
    assert not is_settled(-steps / 200)  # falls as fast as ever
    assert not is_settled(np.exp(-steps[:10] / 2))  # too short to tell
    assert is_settled(steps / 200)  # does not fall: more of it would not help


def test_a_short_time_is_warned_of():
    with pytest.warns(ConvergenceWarning, match="max_time"):
        dim(max_epochs=1000, max_time=1e-3).fit(IMAGES)


# --------------------------------------------------------- what warns of nothing

RNG = np.random.default_rng(0)
MODALITIES = {
    "rows": (ROWS, {}),
    "signals": (RNG.normal(size=(30, 2, 30)), {"channel_axis": 1}),
    "grey images": (IMAGES, {}),
    "colour images": (RNG.normal(size=(30, 16, 16, 3)), {}),
    "volumes": (RNG.normal(size=(8, 8, 8, 8)), {"channel_axis": None}),
}


@pytest.mark.parametrize("modality", MODALITIES)
def test_defaults_are_not_warned_of(modality, set_default_width):
    set_default_width(8)
    X, params = MODALITIES[modality]
    assert not warnings_of(lambda: DIMTransformer(max_epochs=1, **params).fit(X))


VARIANTS = ["local", "global", "local+global"]


@pytest.mark.parametrize(("variant", "mi_estimator"), cover(VARIANTS, ["jsd", "infonce", "dv"]))
def test_settings_of_the_paper_are_not_warned_of(variant, mi_estimator):
    small = {"max_epochs": 1, "critic_width": 64, "encoder_params": {"scale": 0.1}}
    paper = DIMTransformer.paper(variant, mi_estimator, **small)
    assert not warnings_of(lambda: paper.fit(IMAGES))


# --------------------------------------------------------------- where it points

LABELS = load_digits().target[:60]


def in_a_pipeline(transformer):
    pipeline = make_pipeline(transformer, LogisticRegression(max_iter=1000))
    return lambda: pipeline.fit(ROWS, LABELS)


def in_a_search(transformer):
    search = GridSearchCV(transformer, {"batch_size": [32]}, cv=2)
    return lambda: search.fit(ROWS)


WAYS = {
    "fit": lambda transformer: lambda: transformer.fit(ROWS),
    "fit_transform": lambda transformer: lambda: transformer.fit_transform(ROWS),
    "pipeline": in_a_pipeline,
    "search": in_a_search,
}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="warnings cannot skip files")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("params", [{"prior": "normal"}, {"n_locations": 1000}], ids=str)
def test_a_warning_points_to_the_line_of_the_user(way, params):
    call = WAYS[way](dim(**params))
    caught = warnings_of(call)
    assert caught
    line = call.__code__.co_firstlineno  # every way is a function of one line
    assert {(warning.filename, warning.lineno) for warning in caught} == {(__file__, line)}


# ------------------------------------------------------------- how often it comes


def test_a_filter_before_a_search_holds_for_all_of_its_fits():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", IneffectiveParameterWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        GridSearchCV(dim(prior="normal"), {"batch_size": [32, 64]}, cv=2).fit(ROWS)
    assert not {ConvergenceWarning, IneffectiveParameterWarning} & {w.category for w in caught}


def test_a_warning_that_is_an_error_is_raised_by_every_fit_of_a_search():
    with warnings.catch_warnings():
        warnings.simplefilter("error", IneffectiveParameterWarning)
        with pytest.raises(ValueError, match="All the 2 fits failed"):
            cross_val_score(dim(prior="normal"), ROWS, cv=2)
