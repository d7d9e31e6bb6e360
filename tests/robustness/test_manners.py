"""Errors are sentences, warnings name what to change, and docs/errors.md lists them all."""

import re
import warnings
from pathlib import Path

import pytest
import sklearn
from helpers import manners
from helpers.manners import CASES, TITLES, WARNINGS, dim, row

from skdim import DIMTransformer, modalities

ERRORS = [case for case in CASES if case not in WARNINGS]
PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()


def assert_on_page(case, text):
    if sklearn.__version__.startswith("1.9"):  # other versions have other sentences
        assert row(case, text) in PAGE, "run python tests/helpers/manners.py"


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.situation)
@pytest.mark.filterwarnings("ignore")
def test_error_is_a_sentence_and_leaves_the_transformer_unfitted(case, monkeypatch):
    built = []
    monkeypatch.setattr(manners, "dim", lambda **params: built.append(dim(**params)) or built[-1])
    with pytest.raises(case.kind, match=re.compile(case.sentence, re.DOTALL)) as caught:
        case.provoke()
    if case.provoke.__name__ == "first_fit":
        (transformer,) = built
        assert not transformer.__sklearn_is_fitted__()
        assert set(vars(transformer)) == set(transformer.get_params())
    assert str(caught.value).strip()[-1] in ".?':)" or "\n" in str(caught.value)
    assert_on_page(case, str(caught.value))


@pytest.mark.parametrize("case", WARNINGS, ids=lambda case: case.situation)
def test_warning_names_what_to_change(case):
    with pytest.warns(case.kind, match=case.sentence) as caught:
        case.provoke()
    assert_on_page(case, next(str(w.message) for w in caught if w.category is case.kind))


def test_the_page_lists_every_situation_once_by_title():
    listed = re.findall(r"^(?:## |\| (?!situation|---))(.+?)(?:$| \|)", PAGE, re.MULTILINE)
    expected = [
        name for title, cases in TITLES.items() for name in (title, *(c.situation for c in cases))
    ]
    assert listed == expected


def test_a_default_fit_of_enough_samples_warns_of_nothing(digits, monkeypatch):
    # Narrow and a third of the default budget, which takes a fraction of the time.
    monkeypatch.setattr(modalities, "N_SHOWN_CROPPED", modalities.N_SHOWN_CROPPED // 3)
    monkeypatch.setattr(modalities, "N_SHOWN", modalities.N_SHOWN // 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        narrow = {"encoder_params": {"width": 8, "n_hidden": 64}, "critic_width": 32}
        DIMTransformer(**narrow, random_state=0).fit(digits.images[:300])
