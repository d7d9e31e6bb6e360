"""An unknown name leads to the one that was meant."""

import inspect

import pytest

from skdim import DIMClassifier, DIMOutlierDetector, DIMTransformer
from skdim._names import SETTINGS_OF_PRIOR, SYNONYMS, lookup, suggest
from skdim.critics import CRITICS
from skdim.exceptions import IneffectiveParameterWarning
from skdim.priors import Prior

KINDS = {kind.__name__: kind for kind in (DIMTransformer, DIMClassifier, DIMOutlierDetector)}


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


@pytest.mark.parametrize(("name", "setting"), SETTINGS_OF_PRIOR.items())
def test_a_setting_of_the_prior_says_where_it_is(name, setting):
    assert setting in inspect.signature(Prior).parameters
    sentence = rf"Set prior=Prior\(sample, {setting}=0.5"
    with pytest.warns(IneffectiveParameterWarning, match=sentence):
        dim = DIMTransformer(**{name: 0.5})
    assert dim.get_params() == DIMTransformer().get_params()
    with pytest.raises(TypeError, match=name):
        DIMClassifier(**{name: 0.5})


def test_a_choice_is_looked_up_by_name():
    assert lookup("concat", CRITICS, "critic") is CRITICS["concat"]
    assert lookup(len, CRITICS, "critic") is len
    with pytest.raises(ValueError, match=r"^The 'critic' parameter .*Did you mean 'concat'\?$"):
        lookup("conkat", CRITICS, "critic")
    with pytest.raises(TypeError, match=r"or a callable\. Got 3 instead\.$"):
        lookup(3, CRITICS, "critic")
    with pytest.raises(TypeError, match=r"must be one of \[[^]]*\]\. Got"):
        lookup(len, CRITICS, "critic", or_callable=False)
