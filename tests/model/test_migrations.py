"""States of other versions: parameters that they lack or add, formats, and migrations of weights.

The table of `docs/upgrading.md` names tests of this file.
"""

import inspect
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers.hostile import drop, put, redescribed
from helpers.structural import put_together, take_apart
from safetensors.numpy import save_file
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdim import DIMClassifier, DIMOutlierDetector, DIMTransformer, _version
from skdim._files.safe import describe
from skdim._model.config import MODEL_PARAMETERS
from skdim._model.migrations import (
    BEFORE,
    MIGRATIONS,
    WRITTEN_BY,
    migrate,
    with_encoder_arguments,
)
from skdim._model.persistence import OF_THIS_MACHINE
from skdim.exceptions import FileError, VersionWarning

X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
Y = np.arange(40) % 2
KINDS = {
    "transformer": DIMTransformer,
    "classifier": DIMClassifier,
    "detector": DIMOutlierDetector,
}
LATER = "1.7.2"
PRESENT, NEXT = _version.FORMAT, _version.FORMAT + 1


@pytest.fixture(scope="module")
def fitted(quick):
    dim = quick(encoder_params=None, n_components=64).fit(X)
    return {
        "transformer": dim,
        "classifier": DIMClassifier(dim, max_epochs=1).fit(X, Y),
        "detector": DIMOutlierDetector(dim).fit(X),
    }


@pytest.fixture(scope="module")
def files(fitted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for kind, model in fitted.items():
        model.save(folder / kind)
    return folder


def output_of(model):
    for name in ("predict_proba", "decision_function", "transform"):
        if hasattr(model, name):
            return getattr(model, name)(X)
    raise TypeError(type(model))


def suffix_of(kind):
    return "" if kind == "transformer" else f" of {kind}"


def changed_file(path, change, target):
    """Write a file whose description was changed, with the digest of an honest one."""
    target.write_bytes(redescribed(path.read_bytes(), change))
    return target


# ------------------------------------------------------------ the table of values


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_has_a_value_that_it_had_before_it_was_there(kind):
    assert set(BEFORE[kind]) == set(KINDS[kind]().get_params(deep=False))


# The defaults of 0.2.0. A parameter that is added later is not among them.
FIRST = json.loads((Path(__file__).parents[1] / "data" / "defaults_0.2.0.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_values_before_a_parameter_never_change(kind):
    assert {name: BEFORE[kind][name] for name in FIRST[kind]} == FIRST[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_values_are_legal(kind):
    KINDS[kind](**BEFORE[kind])._validate_params()


# ------------------------------------------------------------ older, with less

EACH = [
    *[("transformer", [name]) for name in BEFORE["transformer"]],
    *[("classifier", [name]) for name in BEFORE["classifier"]],
    *[("detector", [name]) for name in BEFORE["detector"]],
    *[(kind, list(BEFORE[kind])) for kind in KINDS],
]
# `fitted` sets these to values of their own.
SET_IN_FIT = {"max_epochs", "batch_size", "random_state", "transformer"}


def id_of(value):
    return value if isinstance(value, str) else value[0] if len(value) == 1 else "all"


@pytest.mark.parametrize(("kind", "missing"), EACH, ids=id_of)
def test_a_file_that_lacks_parameters_gets_their_values_of_then(
    fitted, files, tmp_path, kind, missing
):
    suffix = suffix_of(kind)

    def forget(document):
        for name in missing:
            for full in (name + suffix, *([name + " in fit"] if not suffix else [])):
                document["state"].pop(full, None)

    path = changed_file(files / kind, forget, tmp_path / "older")
    again = KINDS[kind].load(path)
    np.testing.assert_array_equal(output_of(again), output_of(fitted[kind]))
    params = again.get_params(deep=False)
    for name in set(missing) - {"transformer"}:
        assert params[name] == BEFORE[kind][name]


class Forgetful(pickle.Pickler):
    """Pickles transformers and classifiers as a version without some parameters."""

    def __init__(self, file, missing):
        super().__init__(file)
        self.missing = missing

    def reducer_override(self, value):
        if not isinstance(value, DIMTransformer | DIMClassifier | DIMOutlierDetector):
            return NotImplemented
        state = {n: v for n, v in value.__getstate__().items() if n not in self.missing}
        if "model_" in state:
            in_fit = state["model_"]["given"]
            in_fit = {name: v for name, v in in_fit.items() if name not in self.missing}
            state["model_"] = {**state["model_"], "given": in_fit}
        return object.__new__, (type(value),), state


def unpickled_without(value, missing):
    file = io.BytesIO()
    Forgetful(file, missing).dump(value)
    return pickle.loads(file.getvalue())


@pytest.mark.parametrize(("kind", "missing"), EACH, ids=id_of)
def test_a_pickle_that_lacks_parameters_gets_their_values_of_then(fitted, kind, missing):
    missing = set(missing) - {"transformer"}
    pipeline = make_pipeline(StandardScaler(), fitted[kind])
    again = unpickled_without(pipeline, missing)[-1]
    np.testing.assert_array_equal(output_of(again), output_of(fitted[kind]))
    params = again.get_params(deep=False)
    assert {name: params[name] for name in missing} == {n: BEFORE[kind][n] for n in missing}
    unfitted = unpickled_without(make_pipeline(KINDS[kind]()), missing)[-1]
    assert {name: getattr(unfitted, name) for name in missing} == {
        name: BEFORE[kind][name] for name in missing
    }


@pytest.mark.parametrize("name", ["augment", "mi_estimator", "n_views"])
def test_the_value_of_then_need_not_be_the_default_of_today(
    fitted, files, tmp_path, monkeypatch, name
):
    then = {"augment": None, "mi_estimator": "jsd", "n_views": 3}[name]
    monkeypatch.setitem(BEFORE["transformer"], name, then)

    def forget(document):
        del document["state"][name], document["state"][name + " in fit"]

    loaded = DIMTransformer.load(changed_file(files / "transformer", forget, tmp_path / "older"))
    for again in (loaded, unpickled_without(fitted["transformer"], {name})):
        assert getattr(again, name) == again.model_.config.params[name] == then
        assert getattr(DIMTransformer(), name) != then


class Wider(DIMClassifier):
    """A user's, with a parameter more."""

    def __init__(self, transformer=None, *, max_epochs="auto", C=0.01, extra=3):
        super().__init__(transformer, max_epochs=max_epochs, C=C)
        self.extra = extra


def test_a_class_that_inherits_gets_its_own_defaults(fitted, tmp_path):
    again = Wider.__new__(Wider)
    again.__setstate__(fitted["classifier"].__getstate__())
    assert again.extra == 3
    np.testing.assert_array_equal(output_of(again), output_of(fitted["classifier"]))


# ------------------------------------------------------------ newer, with more


def set_later_version(document):
    document["version"] = LATER


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", [["depth_map"], ["zebra", "aperture"]])
def test_a_file_of_a_later_version_names_the_parameters_that_are_unknown(
    files, tmp_path, kind, names
):
    def add(document):
        set_later_version(document)
        for name in names:
            put(document["state"], name + suffix_of(kind), 3)

    path = changed_file(files / kind, add, tmp_path / "newer")
    listed = ", ".join(map(repr, sorted(names)))
    with pytest.raises(FileError, match=f"written by skdim {LATER}, which knows {listed}; skdim"):
        KINDS[kind].load(path)


def test_a_parameter_of_a_later_fit_is_named_too(files, tmp_path):
    def add(document):
        set_later_version(document)
        put(document["state"], "aperture in fit", 3)

    path = changed_file(files / "transformer", add, tmp_path / "newer")
    with pytest.raises(FileError, match="which knows 'aperture'"):
        DIMTransformer.load(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_of_a_later_version_names_the_parameters_that_are_unknown(fitted, kind):
    state = fitted[kind].__getstate__()
    state |= {"aperture": 3, "zebra": 4, WRITTEN_BY: {**state[WRITTEN_BY], "version": LATER}}
    again = KINDS[kind].__new__(KINDS[kind])
    with pytest.raises(FileError, match=f"skdim {LATER}, which knows 'aperture', 'zebra'; skdim"):
        again.__setstate__(state)


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_of_a_user_come_back_in_a_pickle(fitted, kind):
    model = pickle.loads(pickle.dumps(fitted[kind]))
    model.note = "mine"
    assert pickle.loads(pickle.dumps(model)).note == "mine"
    assert WRITTEN_BY not in vars(pickle.loads(pickle.dumps(model)))


def test_an_unknown_name_in_a_file_of_this_version_is_refused(files, tmp_path):
    for name in ("aperture", "aperture in fit", *OF_THIS_MACHINE, "model_"):
        path = changed_file(
            files / "transformer",
            lambda document, name=name: put(document["state"], name, 3),
            tmp_path / "more",
        )
        with pytest.raises(FileError, match="is not a file of skdim: it holds"):
            DIMTransformer.load(path)


def test_a_choice_of_a_later_version_says_who_wrote_it(files, tmp_path):
    def choose(document):
        set_later_version(document)
        document["state"]["mi_estimator in fit"] = "later_bound"

    path = changed_file(files / "transformer", choose, tmp_path / "newer")
    with pytest.raises(FileError, match=f"mi_estimator.*It was written by skdim {LATER}, and this"):
        DIMTransformer.load(path)


def test_a_later_version_that_added_nothing_is_read_with_a_warning(fitted, files, tmp_path):
    def rename(document):
        set_later_version(document)
        put(document["state"], "model/version", LATER)

    path = changed_file(files / "transformer", rename, tmp_path / "newer")
    with pytest.warns(VersionWarning, match=f"saved by skdim {LATER}"):
        again = DIMTransformer.load(path)
    np.testing.assert_array_equal(again.transform(X), output_of(fitted["transformer"]))


# ------------------------------------------------------------ a later format


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_a_later_format_says_which_version_reads_it(files, tmp_path, kind):
    def later(document):
        set_later_version(document)
        document["format"] = 7

    path = changed_file(files / kind, later, tmp_path / "later")
    sentence = (
        f"has format 7 of skdim {LATER}; skdim .* reads formats up to {PRESENT}. Read it with skdim"
    )
    with pytest.raises(FileError, match=sentence):
        KINDS[kind].load(path)
    assert describe(path)[:3] == (kind, 7, LATER)


def test_a_later_format_may_hold_anything_else(files, tmp_path):
    origin = {"format": NEXT, "kind": "atlas", "version": LATER, "packages": {}}
    text = json.dumps({**origin, "content": [1]})
    path = tmp_path / "later"
    save_file({"x": np.zeros(3)}, path, metadata={"skdim": text, "digest": "of another kind"})
    with pytest.raises(FileError, match=f"has format {NEXT} of skdim {LATER}"):
        DIMTransformer.load(path)
    assert describe(path) == ("atlas", NEXT, LATER, {})


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_of_a_later_format_says_which_version_reads_it(fitted, kind):
    state = {**fitted[kind].__getstate__(), WRITTEN_BY: {"format": 7, "version": LATER}}
    with pytest.raises(FileError, match=f"has format 7 of skdim {LATER}; skdim"):
        KINDS[kind].__new__(KINDS[kind]).__setstate__(state)


# ------------------------------------------------------------ of something else, and damaged


def test_a_file_of_another_kind_says_what_reads_it(files):
    with pytest.raises(FileError, match=r"holds a classifier, which DIMClassifier\.load reads"):
        DIMTransformer.load(files / "classifier")
    with pytest.raises(FileError, match=r"holds a transformer, which DIMTransformer\.load reads"):
        DIMClassifier.load(files / "transformer")


def test_a_safetensors_file_of_another_package_is_refused(tmp_path):
    save_file({"weight": np.zeros((3, 2))}, tmp_path / "other", metadata={"format": "pt"})
    with pytest.raises(FileError, match="is a safetensors file, but not one of skdim"):
        DIMTransformer.load(tmp_path / "other")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_a_damaged_file_is_refused(files, tmp_path, kind, at):
    content = bytearray((files / kind).read_bytes())
    content[int(at * len(content))] ^= 1
    (tmp_path / "damaged").write_bytes(content)
    with pytest.raises(FileError, match=r"damaged|is not a file of skdim"):
        KINDS[kind].load(tmp_path / "damaged")


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_that_was_cut_off_is_an_error_of_python(fitted, kind):
    content = pickle.dumps(fitted[kind])
    with pytest.raises((EOFError, pickle.UnpicklingError)):
        pickle.loads(content[: len(content) // 2])


@pytest.mark.parametrize(
    "origin",
    [
        {"format": 0},
        {"format": "2"},
        {"format": True},
        {"format": None},
        {"kind": None},
        {"kind": "a\nb"},
        {"version": 2},
        {"version": "9" * 100},
        {"version": "\x1b[2J"},
        {"packages": None},
        {"packages": {"torch": []}},
    ],
    ids=str,
)
def test_an_origin_that_follows_no_rule_is_refused(files, tmp_path, origin):
    path = changed_file(
        files / "transformer", lambda document: document.update(origin), tmp_path / "odd"
    )
    for reads in (DIMTransformer.load, describe):
        with pytest.raises(FileError, match="must be") as caught:
            reads(path)
        assert str(caught.value).startswith(str(path))
        assert str(caught.value).isprintable()


# ------------------------------------------------------------ migrations


def test_every_format_is_reached_by_at_most_one_migration_a_kind():
    for migrations in MIGRATIONS.values():
        assert set(migrations) <= set(range(2, _version.FORMAT + 1))
    for number in range(2, _version.FORMAT + 1):
        assert any(number in migrations for migrations in MIGRATIONS.values())


def test_migrations_say_which_format_they_lead_to():
    for migrations in MIGRATIONS.values():
        for number, migration in migrations.items():
            assert inspect.getdoc(migration).startswith(f"Format {number}: ")


def test_a_state_passes_all_migrations_in_order(monkeypatch):
    monkeypatch.setattr(_version, "FORMAT", 5)
    steps = {n: lambda state, n=n: {**state, "steps": [*state["steps"], n]} for n in (3, 5)}
    monkeypatch.setitem(MIGRATIONS, "transformer", steps)
    for written_in, expected in {1: [3, 5], 2: [3, 5], 3: [5], 4: [5], 5: []}.items():
        assert migrate("transformer", {"steps": []}, written_in)["steps"] == expected


def move_weight(state):
    """The next format: a layer and a parameter have another name, and a buffer was added."""
    if "model_" not in state:
        return {**state, "n_components": state["width_of_code"]}
    state, model = dict(state), dict(state["model_"])
    weights = dict(model["weights"]["encoder"])
    weights["token_bias"] = weights.pop("bias_of_tokens")
    weights["knots"] = weights["inverse_widths"] * 0 + model.pop("knot")
    in_fit = dict(model["given"])
    in_fit["n_components"] = in_fit.pop("width_of_code")
    state["n_components"] = state.pop("width_of_code")
    weights = {**model["weights"], "encoder": weights}
    return {**state, "model_": {**model, "weights": weights, "given": in_fit}}


def rename_head(state):
    """The next format: an attribute of the classifier has another name."""
    state = dict(state)
    state["intercept_"] = state.pop("bias_")
    return state


def as_present_format(state):
    """The inverse of the migrations to the next format."""
    if "coef_" in state:
        state["bias_"] = state.pop("intercept_")
        return state
    if "offset_" in state:
        return state
    model = state["model_"] = dict(state["model_"])
    weights = dict(model["weights"]["encoder"])
    weights["bias_of_tokens"] = weights.pop("token_bias")
    weights["knots"], model["knot"] = None, 0.5
    del weights["knots"]
    model["weights"] = {**model["weights"], "encoder": weights}
    for names in (state, model["given"]):
        names["width_of_code"] = names.pop("n_components")
    return state


@pytest.fixture
def next_format(monkeypatch):
    monkeypatch.setattr(_version, "FORMAT", NEXT)
    monkeypatch.setitem(MIGRATIONS["transformer"], NEXT, move_weight)
    monkeypatch.setitem(MIGRATIONS["classifier"], NEXT, rename_head)


@pytest.fixture
def with_half_knots(fitted):
    """The models as they are after a migration: the buffer that is new has this value."""
    models = {kind: pickle.loads(pickle.dumps(model)) for kind, model in fitted.items()}
    for model in models.values():
        dim = getattr(model, "transformer_", model)
        dim.model_.encoder.knots.fill_(0.5)
    return models


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_whose_weights_moved_is_migrated(with_half_knots, next_format, monkeypatch, kind):
    monkeypatch.setattr(_version, "FORMAT", PRESENT)
    model = with_half_knots[kind]

    class Earlier(pickle.Pickler):
        def reducer_override(self, value):
            if not isinstance(value, DIMTransformer | DIMClassifier | DIMOutlierDetector):
                return NotImplemented
            return object.__new__, (type(value),), as_present_format(value.__getstate__())

    file = io.BytesIO()
    Earlier(file).dump(make_pipeline(model))
    monkeypatch.setattr(_version, "FORMAT", NEXT)
    again = pickle.loads(file.getvalue())[-1]
    np.testing.assert_array_equal(output_of(again), output_of(model))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_whose_weights_moved_is_migrated(
    with_half_knots, next_format, monkeypatch, tmp_path, kind
):
    monkeypatch.setattr(_version, "FORMAT", PRESENT)
    model, path = with_half_knots[kind], tmp_path / "earlier"
    model.save(path)
    document, arrays = take_apart(path)
    state = document["state"]
    text = json.dumps(state).replace("token_bias", "bias_of_tokens")
    document["state"] = state = json.loads(text)
    arrays = {name.replace("token_bias", "bias_of_tokens"): a for name, a in arrays.items()}
    weights = dict(map(tuple, dict(map(tuple, state["model"]["dict"]))["weights"]["dict"]))
    pairs = weights["encoder"]["dict"]
    pairs[:] = [pair for pair in pairs if pair[0] != "knots"]
    del arrays["model/weights/encoder/knots"]
    put(state, "model/knot", 0.5)
    for name in ("n_components", "n_components in fit"):
        state[name.replace("n_components", "width_of_code")] = state.pop(name)
    if kind == "classifier":
        head = state["classifier"]["dict"]
        head[:] = [["bias" if name == "intercept" else name, value] for name, value in head]
    put_together(path, document, arrays)
    with pytest.raises(FileError):
        KINDS[kind].load(path)
    monkeypatch.setattr(_version, "FORMAT", NEXT)
    again = KINDS[kind].load(path)
    np.testing.assert_array_equal(output_of(again), output_of(model))
    again.save(tmp_path / "now")
    assert describe(tmp_path / "now").format == NEXT


@pytest.mark.parametrize("encoder", ["auto", "signal"])
def test_an_encoder_without_a_later_argument_is_built_as_it_was(
    quick, monkeypatch, tmp_path, encoder
):
    signals = np.random.default_rng(0).normal(size=(40, 2, 32)).astype(np.float32)
    width = {"width": 4, "n_hidden": 16}
    params = {"channel_axis": 1, "encoder": encoder, "encoder_params": {**width, "n_thresholds": 0}}
    dim = quick(**params).fit(signals)
    state = dim.__getstate__()  # as if the encoder had had no thresholds then
    state["encoder_params"] = state["model_"]["given"]["encoder_params"] = width
    with pytest.raises(RuntimeError, match="thresholds"):
        DIMTransformer.__new__(DIMTransformer).__setstate__(state)
    monkeypatch.setattr(_version, "FORMAT", NEXT)
    monkeypatch.setitem(
        MIGRATIONS["transformer"],
        NEXT,
        lambda state: with_encoder_arguments(state, ["signal"], n_thresholds=0),
    )
    again = DIMTransformer.__new__(DIMTransformer)
    again.__setstate__(state)
    np.testing.assert_array_equal(again.transform(signals), dim.transform(signals))
    assert again.encoder_params == params["encoder_params"]


@pytest.mark.parametrize("encoder", ["auto", "conv", "resnet"])
def test_features_of_format_5_are_the_hidden_layer_alone(quick, images, encoder):
    then = {"n_hidden": 2048, "reads_map": False}
    dim = quick(encoder=encoder, encoder_params={"width": 4, **then}, output="hidden").fit(images)
    state = dim.__getstate__()
    state["encoder_params"] = state["model_"]["given"]["encoder_params"] = {"width": 4}
    state[WRITTEN_BY] = {"format": 5, "version": "0.2.0"}
    again = DIMTransformer.__new__(DIMTransformer)
    again.__setstate__(state)
    np.testing.assert_array_equal(again.transform(images), dim.transform(images))


def test_a_later_argument_is_for_its_encoder_alone(fitted):
    state = fitted["transformer"].__getstate__()
    same = with_encoder_arguments(state, ["signal"], n_thresholds=0)
    assert same["encoder_params"] == same["model_"]["given"]["encoder_params"] is None
    assert with_encoder_arguments({"n_views": 2}, ["signal"], n_thresholds=0) == {"n_views": 2}


def test_a_migration_that_fails_is_an_error_of_the_file(files, next_format):
    with pytest.raises(FileError, match="does not fit together"):
        DIMTransformer.load(files / "transformer")


@pytest.mark.parametrize("name", ["layout", "readouts", "weights"])
def test_a_development_model_without_its_parts_is_refused(files, tmp_path, name):
    def change(document):
        for stated in ("kind", "version", "packages"):
            del document[stated]
        document["format"] = 1
        drop(document["state"], f"model/{name}")
        put(document["state"], "model/negatives", [])

    path = changed_file(files / "transformer", change, tmp_path / "development")
    with pytest.raises(FileError, match="layout of its samples" if name == "layout" else name):
        DIMTransformer.load(path)


def test_parameters_of_the_model_are_those_of_the_transformer():
    assert set(MODEL_PARAMETERS) <= set(BEFORE["transformer"])
