"""What a file holds of a model fits together, in types, ranges and lengths, or is refused."""

import copy
import resource
import sys

import numpy as np
import pytest
from helpers.products import cover

from skdim import DIMClassifier, DIMTransformer
from skdim._model.schema import LARGEST_SIZES, check_classifier, check_sizes, check_state
from skdim.encoders import MLPEncoder

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(30, 6)).astype(np.float32)
IMAGES = RNG.normal(size=(12, 9, 8)).astype(np.float32)
MLP, CONV = {"n_hidden": 16, "width": 8}, {"width": 4, "n_hidden": 8, "max_filters": 4}
FITS = {
    "rows": (ROWS, {"encoder_params": MLP, "prior_weight": 0.1, "global_weight": 1.0}),
    "rows, whole code": (ROWS, {"n_components": None, "encoder_params": MLP}),
    "rows, global": (ROWS, {"encoder_params": MLP, "local_weight": 0.0, "global_weight": 1.0}),
    "rows, no critic": (ROWS, {"encoder_params": MLP, "local_weight": 0.0, "prior_weight": 1.0}),
    "images": (IMAGES, {"encoder_params": CONV}),
    "images, sgd": (IMAGES, {"encoder_params": CONV, "optimizer": "sgd"}),
    "images, flipped": (IMAGES, {"encoder_params": CONV, "flip_averaging": True}),
}


@pytest.fixture(scope="module")
def states(quick):
    """States after ``partial_fit``, by kind."""
    return {
        kind: quick(**{"n_components": 4, **params}).partial_fit(X).model_.state()
        for kind, (X, params) in FITS.items()
    }


@pytest.mark.parametrize("kind", FITS)
def test_the_state_of_a_model_fits_together(states, quick, kind):
    check_state(states[kind])
    X, params = FITS[kind]
    check_state(quick(**{"n_components": 4, **params}).fit(X).trim().model_.state())


def places(value, path=()):
    """The places of all values in nested dicts and lists, except free ones."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if (*path, key)[0] != "given" and not (path[:1] == ("history",) and key != "loss"):
            yield (*path, key)
            if isinstance(item, dict | list | tuple) and "param_groups" not in (*path, key):
                yield from places(item, (*path, key))


def changed(value):
    """Values of another type, range or shape in place of one."""
    yield from ([], {"a": 1}, "x", object)
    if isinstance(value, np.ndarray):
        yield value.astype(np.int8 if value.dtype.kind == "f" else np.float32)
        yield value[None]
        if value.ndim:
            yield value[:0]
            yield np.concatenate([value, value])
    elif isinstance(value, list | tuple):
        yield dict(enumerate(value))
        yield [*value, None]
    elif isinstance(value, int):
        yield from (-1, 0.5, 2**64)


@pytest.mark.parametrize(("kind", "half"), cover(["rows", "images"], range(2)))
def test_any_change_of_a_type_a_range_or_a_shape_is_refused(states, kind, half):
    changes = [
        (place, value)
        for place in places(states[kind])
        for value in changed(at(states[kind], place))
    ]
    rng = np.random.default_rng(1)
    for i in rng.permutation(len(changes))[half:150:2]:
        place, value = changes[i]
        state = copy.copy(states[kind])
        put(state, place, value)
        try:
            check_state(state)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        # Versions and devices have any name, a reference any length, and an optimiser of the user
        # remembers what it likes.
        is_free = place[0] in ("version", "device", "reference") or place[-2:-1] == ("state",)
        assert is_free or "step" in place, (place, value)


def at(state, place):
    for key in place:
        state = state[key]
    return state


def put(state, place, value):
    """Replace a value in a copy of every container on the way to it."""
    *way, last = place
    for key in way:
        container = state[key]
        state[key] = dict(container) if isinstance(container, dict) else list(container)
        state = state[key]
    state[last] = value


@pytest.mark.parametrize(
    ("encoder", "params", "shape"),
    [
        ("conv", {"width": 4, "n_hidden": 8, "max_filters": 2, "n_patches": 1}, (16, 3_000_000)),
        ("conv", {"width": 4, "n_hidden": 8, "max_filters": 2, "n_patches": 1}, (10**8, 16)),
        ("paper_globals_resnet19", {"scale": 1 / 64}, (4000, 4000)),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="has no resource usage")
def test_a_side_that_no_weight_depends_on_takes_no_memory(quick, tmp_path, encoder, params, shape):
    X = RNG.normal(size=(8, *(min(side, 32) for side in shape))).astype(np.float32)
    dim = quick(n_components=4, encoder=encoder, encoder_params=params, augment=None).fit(X)
    state = dim.__getstate__()
    state["model_"]["layout"] |= {"x_shape": shape, "unflat_shape": shape}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        check_state(state["model_"])
        DIMTransformer().__setstate__(state)
    except ValueError:
        pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024  # KiB


class Counting(MLPEncoder):
    """Cannot compute shapes without numbers."""

    def forward(self, x):
        assert x.sum().item() is not None
        return super().forward(x)


def test_an_encoder_that_needs_numbers_can_be_loaded(quick, tmp_path):
    dim = quick(encoder=Counting, encoder_params={"width": 8, "n_hidden": 16}).fit(ROWS)
    dim.save(tmp_path / "dim")
    custom = {"encoder": Counting, "encoder_params": {"width": 8, "n_hidden": 16}}
    again = DIMTransformer.load(tmp_path / "dim", **custom)
    np.testing.assert_array_equal(again.transform(ROWS), dim.transform(ROWS))


def test_parameters_ask_for_no_more_than_any_model_has():
    params = dict.fromkeys(LARGEST_SIZES, 2)
    check_sizes(params)
    for name, largest in LARGEST_SIZES.items():
        check_sizes({**params, name: largest})
        with pytest.raises(ValueError, match=f"'{name}' must be at most {largest}"):
            check_sizes({**params, name: largest + 1})


def test_a_classifier_fits_its_hidden_layer_and_its_classes(quick):
    classifier = DIMClassifier(quick(), max_epochs=1).fit(ROWS, ROWS[:, 0] > 0)
    n_hidden = classifier.coef_.shape[1]
    names = ("coef", "intercept", "classes", "history")
    state = {name: getattr(classifier, f"{name}_") for name in names}
    check_classifier(state, n_hidden)
    with pytest.raises(ValueError, match="coef"):
        check_classifier(state, n_hidden + 1)
    for name, value in state.items():
        for other in (value[:1], [*value, *value], None, "x", np.array([[np.nan]])):
            if name != "history":
                with pytest.raises(ValueError, match="classifier"):
                    check_classifier({**state, name: other}, n_hidden)
    with pytest.raises(ValueError, match="in order"):
        check_classifier({**state, "classes": state["classes"][::-1]}, n_hidden)
