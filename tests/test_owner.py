"""What estimators that have a transformer of their own share: copies, files, the contract."""

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator

from skdim import DIMClassifier, DIMOutlierDetector, DIMTransformer
from skdim._files.safe import READERS
from skdim.exceptions import FileError

X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
Y = np.arange(40) % 2
SMALL = {"max_epochs": 1, "encoder_params": {"width": 8, "n_hidden": 16}, "device": "cpu"}
OWNERS = {
    "classifier": lambda transformer: DIMClassifier(transformer, max_epochs=1, random_state=0),
    "detector": DIMOutlierDetector,
}


@pytest.fixture(scope="module")
def dim():
    return DIMTransformer(4, random_state=0, **SMALL).fit(X)


@pytest.fixture(params=OWNERS)
def kind(request):
    return request.param


def test_every_kind_of_file_is_that_of_an_owner_or_has_none():
    assert set(READERS) == {"transformer", "checkpoint", *OWNERS}


def test_a_fitted_transformer_is_copied_frozen_or_not(kind, dim):
    features = dim.transform(X)
    for given in (dim, FrozenEstimator(dim)):
        owner = OWNERS[kind](given).fit(X, Y)
        assert owner.transformer_ is not dim
        assert owner.transformer_.n_iter_ == dim.n_iter_
        owner.transformer_.trim()
        assert not dim.model_.is_trimmed
    np.testing.assert_array_equal(dim.transform(X), features)


def test_a_transformer_that_is_not_fitted_stays_so(kind):
    own = DIMTransformer(4, random_state=0, **SMALL)
    owner = OWNERS[kind](own).fit(X, Y)
    assert not own.__sklearn_is_fitted__()
    assert owner.transformer_.__sklearn_is_fitted__()


def test_names_and_number_of_columns_are_those_of_the_transformer(kind):
    frame = pd.DataFrame(X, columns=list("abcde"))
    owner = OWNERS[kind](DIMTransformer(4, random_state=0, **SMALL)).fit(frame, Y)
    assert owner.n_features_in_ == 5
    assert list(owner.feature_names_in_) == list("abcde")


@pytest.mark.parametrize("allow_nan", [False, True])
def test_nan_may_be_in_x_if_the_transformer_allows_it(kind, allow_nan):
    owner = OWNERS[kind](DIMTransformer(allow_nan=allow_nan))
    assert owner.__sklearn_tags__().input_tags.allow_nan == allow_nan


def test_a_file_is_read_by_its_own_kind_only(kind, dim, tmp_path):
    owner = OWNERS[kind](dim).fit(X, Y)
    owner.save(tmp_path / kind)
    assert type(owner).load(tmp_path / kind).transformer_.sample_shape_ == (5,)
    others = {DIMTransformer, DIMClassifier, DIMOutlierDetector} - {type(owner)}
    for other in others:
        reader = READERS[kind].replace(".", r"\.")
        with pytest.raises(FileError, match=f"holds a {kind}, which {reader} reads"):
            other.load(tmp_path / kind)


def test_load_asks_for_the_views_that_no_file_can_hold(kind, tmp_path):
    owner = OWNERS[kind](DIMTransformer(4, augment=double, random_state=0, **SMALL))
    owner.fit(X, Y).save(tmp_path / kind)
    with pytest.raises(FileError, match=r"augment=\.\.\."):
        type(owner).load(tmp_path / kind)
    again = type(owner).load(tmp_path / kind, augment=double)
    assert again.transformer_.augment is double
    with pytest.raises(TypeError, match="has no parameter 'augmentt'"):
        type(owner).load(tmp_path / kind, augmentt=double)


def double(batch, generator):
    return batch * 2
