"""Errors are sentences, warnings name what to change, and docs/errors.md lists them all."""

import re
import warnings
from pathlib import Path

import pytest
import sklearn
from helpers import manners
from helpers.manners import CASES, WARNINGS, dim, page

from skdim import DIMTransformer

ERRORS = [case for case in CASES if case not in WARNINGS]


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


@pytest.mark.parametrize("case", WARNINGS, ids=lambda case: case.situation)
def test_warning_names_what_to_change(case):
    with pytest.warns(case.kind, match=case.sentence):
        case.provoke()


@pytest.mark.skipif(
    not sklearn.__version__.startswith("1.9"), reason="other versions have other sentences"
)
@pytest.mark.filterwarnings("ignore")
def test_the_page_lists_what_the_library_says():
    written = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    assert written == page(), "run python tests/helpers/manners.py"


def test_a_default_fit_of_enough_samples_warns_of_nothing(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Narrow, which takes a fraction of the time; the budget is the default.
        narrow = {"encoder_params": {"width": 8, "n_hidden": 64}, "critic_width": 32}
        DIMTransformer(**narrow, random_state=0).fit(digits.images[:300])
