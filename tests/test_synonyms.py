"""Names that other libraries use lead to those of skdim."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skdim import DIMClassifier, DIMTransformer
from skdim._runtime.devices import choose_device
from skdim._synonyms import DEVICES, READERS, SYNONYMS

KINDS = {"DIMTransformer": DIMTransformer, "DIMClassifier": DIMClassifier}
PAIRS = [
    (kind, known, name)
    for kind in KINDS
    for known, names in SYNONYMS.items()
    for name in names
    if known in inspect.signature(KINDS[kind]).parameters
]


def test_every_synonym_leads_to_one_parameter():
    parameters = {name for kind in KINDS.values() for name in inspect.signature(kind).parameters}
    assert set(SYNONYMS) <= parameters
    for kind in KINDS:
        names = [name for owner, _, name in PAIRS if owner == kind]
        assert len(set(names)) == len(names)
        assert not set(names) & set(inspect.signature(KINDS[kind]).parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_names_the_parameter(kind):
    for owner, known, name in PAIRS:
        if owner == kind:
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


WRITERS = {
    ".npy": lambda frame, path: np.save(path, frame),
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    ".parquet": lambda frame, path: frame.to_parquet(path),
}


@pytest.mark.parametrize("suffix", READERS)
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
