"""An unknown name leads to the one that was meant."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skdim import DIMClassifier, DIMTransformer
from skdim._names import SYNONYMS, lookup, suggest
from skdim._runtime.devices import DEVICES, choose_device
from skdim.critics import CRITICS
from skdim.sources.checks import CALLS

KINDS = {"DIMTransformer": DIMTransformer, "DIMClassifier": DIMClassifier}


def parameters(kind):
    return list(inspect.signature(KINDS[kind]).parameters)


def test_every_synonym_leads_from_an_unknown_name_to_a_parameter():
    names = {name for kind in KINDS for name in parameters(kind)}
    assert set(SYNONYMS.values()) <= names
    for kind in KINDS:
        meant = {name for name in SYNONYMS if SYNONYMS[name] in parameters(kind)}
        assert not meant & set(parameters(kind))


@pytest.mark.parametrize("name", SYNONYMS)
def test_a_synonym_that_spelling_would_find_is_not_listed(name, monkeypatch):
    known = SYNONYMS[name]
    monkeypatch.delitem(SYNONYMS, name)
    close = {suggest(name, parameters(kind)) for kind in KINDS if known in parameters(kind)}
    assert close != {f" Did you mean {known!r}?"}


# Names that are close enough in spelling.
CLOSE = {
    "epochs": "max_epochs",
    "n_epochs": "max_epochs",
    "batch": "batch_size",
    "augmentation": "augment",
    "optim": "optimizer",
    "scheduler": "lr_schedule",
    "random_seed": "random_state",
    "input_shape": "sample_shape",
    "checkpoint_dir": "checkpoint",
    "validation_split": "validation_fraction",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "known"), [*SYNONYMS.items(), *CLOSE.items()])
def test_the_error_names_the_parameter(kind, name, known):
    if known in parameters(kind):
        with pytest.raises(TypeError) as caught:
            KINDS[kind](**{name: 1})
        sentence = f"{kind} has no parameter {name!r}. Did you mean {known!r}?"
        assert str(caught.value) == sentence


def test_a_name_like_no_other_is_named_alone():
    with pytest.raises(TypeError, match=r"^DIMTransformer has no parameter 'qqq'\.$"):
        DIMTransformer.paper(qqq=1)


@pytest.mark.parametrize("kind", KINDS)
def test_scikit_learn_sees_the_parameters(kind):
    class Child(KINDS[kind]):
        """It inherits the constructor."""

    for some in (KINDS[kind], Child):
        names = set(inspect.signature(some).parameters)
        assert names == set(some().get_params(deep=False))
        assert "kwargs" not in names
        assert clone(some(batch_size=7)).batch_size == 7
    with pytest.raises(TypeError, match="Child has no parameter 'seed'"):
        Child(seed=0)


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_of_another_name_is_named(name):
    with pytest.raises(ValueError, match=rf"Got '{name}:1'\. Did you mean '{DEVICES[name]}:1'"):
        choose_device(f"{name}:1")


def test_a_choice_is_looked_up_by_name():
    assert lookup("concat", CRITICS, "critic") is CRITICS["concat"]
    assert lookup(len, CRITICS, "critic") is len
    with pytest.raises(ValueError, match=r"^The 'critic' parameter .*Did you mean 'concat'\?$"):
        lookup("conkat", CRITICS, "critic")
    with pytest.raises(TypeError, match=r"or a callable\. Got 3 instead\.$"):
        lookup(3, CRITICS, "critic")
    with pytest.raises(TypeError, match=r"must be one of \[[^]]*\]\. Got"):
        lookup(len, CRITICS, "critic", or_callable=False)


WRITERS = {
    ".npy": lambda frame, path: np.save(path, frame),
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    ".parquet": lambda frame, path: frame.to_parquet(path),
}


@pytest.mark.parametrize("suffix", CALLS)
@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_path_is_refused_and_what_the_error_says_reads_it(tmp_path, suffix, kind):
    path = tmp_path / f"digits{suffix}"
    with pytest.raises(TypeError, match="Got the path") as caught:
        DIMTransformer().fit(kind(path))
    (call,) = re.findall(r": pass (.*)\.$", str(caught.value))
    assert repr(str(path)) in call
    if suffix in WRITERS:
        frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
        WRITERS[suffix](frame, path)
        np.testing.assert_array_equal(eval(call, {"numpy": np, "pandas": pd}), frame)


def test_a_folder_is_refused_with_the_source_for_images(tmp_path):
    with pytest.raises(TypeError, match=r"ImageFolder\(.*\) if it holds images"):
        DIMTransformer().fit(tmp_path)
