"""What a user of DIMTransformer sees: learning, repeating, views, terms, errors."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.products import cover
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline

from skdim import DIMTransformer
from skdim.critics import CRITICS
from skdim.evaluation import few_labels_scorer
from skdim.exceptions import DataWarning, IneffectiveParameterWarning
from skdim.mutual_information import ESTIMATORS
from skdim.priors import PRIORS, Prior, as_prior


def test_features_beat_those_of_an_untrained_encoder(digits):
    images, _, y, _ = train_test_split(
        digits.images, digits.target, train_size=900, random_state=0, stratify=digits.target
    )

    def accuracy(transformer):
        codes = transformer.fit(images[:600]).transform(images)
        few = LogisticRegression(max_iter=1000).fit(codes[:100], y[:100])
        return few.score(codes[600:], y[600:])

    small = {"output": "code", "encoder_params": {"width": 16, "n_hidden": 128}, "random_state": 0}
    trained = DIMTransformer(max_epochs=15, **small)
    untrained = DIMTransformer(max_epochs=1, learning_rate=1e-12, **small)
    assert accuracy(trained) > accuracy(untrained) + 0.05


@pytest.mark.parametrize("mi_estimator", [*ESTIMATORS, ESTIMATORS["jsd"]])
def test_every_mi_estimator_raises_its_bound(quick, images, mi_estimator):
    weights = {"global_weight": 0.5, "local_weight": 1.0, "prior_weight": 0.1}
    history = quick(mi_estimator=mi_estimator, max_epochs=10, **weights).fit(images).history_
    assert len(history) == 10
    for term in ("global", "local"):
        assert history[-1][term] > history[0][term]


@pytest.mark.parametrize("mi_estimator", ["nwj", "rkl", "hellinger"])
def test_exponential_mi_estimators_learn_with_the_published_critic(quick, images, mi_estimator):
    """Its scores are not scaled: the first bounds are huge, and stay so without clipping."""
    dim = quick(critic="separable_published", mi_estimator=mi_estimator, max_epochs=40)
    assert dim.fit(images).history_[-1]["local"] > -1


@pytest.mark.parametrize(("critic", "mi_estimator"), cover(CRITICS, ESTIMATORS))
def test_every_critic_trains_with_every_mi_estimator(quick, images, critic, mi_estimator):
    transformer = quick(
        critic=critic, mi_estimator=mi_estimator, critic_width=32, global_weight=0.5, n_locations=8
    )
    assert np.isfinite(transformer.fit_transform(images)).all()


def laplace(shape, generator):
    draw = torch.rand(shape, generator=generator, device=generator.device) - 0.5
    return -draw.sign() * (1 - 2 * draw.abs()).log()


@pytest.mark.parametrize("prior", [*PRIORS, laplace, Prior(laplace, torch.tanh)])
def test_every_prior_has_a_finite_adversarial_loss(quick, images, prior):
    prior = replace(as_prior(prior), gradient_penalty=0.1)
    history = quick(prior=prior, prior_weight=1.0).fit(images).history_
    assert np.isfinite([[epoch["prior"], epoch["discriminator"]] for epoch in history]).all()


def test_history_holds_every_term(quick, images):
    history = quick(prior_weight=0.1).fit(images).history_
    names = {"epoch", "loss", "local", "prior", "discriminator", "learning_rate", "seconds"}
    assert set(history[-1]) == {*names, "samples_per_second"}
    assert [epoch["epoch"] for epoch in history] == [1, 2]


def test_random_state_repeats_a_fit_and_leaves_generators_untouched(quick, images):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second, other = (quick(random_state=s).fit_transform(images) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert torch.get_rng_state().equal(torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_a_random_state_instance_moves_on(quick, images):
    shared = np.random.RandomState(0)
    first, second = (quick(random_state=shared).fit_transform(images) for _ in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_types_of_the_same_numbers_give_the_same_features(quick, images, dtype):
    # The steps of other optimisers amplify rounding, which differs from processor to processor.
    params = {"precision": "float32", "optimizer": "sgd", "learning_rate": 1e-3}
    expected = quick(**params).fit(images).transform(images)
    typed = images.astype(dtype)
    features = quick(**params).fit(typed).transform(typed)
    np.testing.assert_allclose(features, expected, atol=1e-3)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 7])
def test_any_number_of_channels(quick, n_channels):
    X = np.random.default_rng(0).random((20, 32, 32, n_channels), dtype=np.float32)
    assert quick().fit_transform(X).shape == (20, 8)


@pytest.mark.parametrize("n_columns", [1, 2, 50])
def test_any_number_of_columns(quick, n_columns):
    X = np.random.default_rng(0).normal(size=(20, n_columns))
    assert np.isfinite(quick().fit_transform(X)).all()


@pytest.mark.filterwarnings("ignore:.* has no effect with .* samples")  # of 2 and 3
@pytest.mark.parametrize(("n", "batch_size"), [(2, 128), (3, 2), (33, 32), (10, 10_000)])
def test_awkward_batches_train(quick, images, n, batch_size):
    transformer = quick(batch_size=batch_size).fit(images[:n])
    assert np.isfinite(transformer.transform(images[:n])).all()


@pytest.mark.parametrize(("n_views", "n_crops"), cover([1, 2, 3], [0, 4, 8]))
def test_views_and_crops_train_every_term(quick, images, n_views, n_crops):
    weights = {"global_weight": 1.0, "local_weight": 1.0, "prior_weight": 0.1}
    dim = quick(n_views=n_views, n_crops=n_crops, **weights).fit(images)
    assert np.isfinite(list(dim.history_[-1].values())).all()
    assert 0 < dim.score(images) < 1


def test_groups_change_the_negatives_whatever_their_names(quick, images):
    n = len(images)
    single = quick().fit(images, groups=np.arange(n))
    paired = quick().fit(images, groups=np.arange(n) // 2)
    named = quick().fit(images, groups=[f"patient {i // 2:02}" for i in range(n)])
    assert single.history_[0]["loss"] != paired.history_[0]["loss"]
    np.testing.assert_array_equal(named.transform(images), paired.transform(images))


def test_labels_that_a_search_does_not_use_are_told_and_no_others(quick, images):
    y = np.arange(90) % 3
    search = GridSearchCV(quick(max_epochs=1), {"critic_width": [8]}, cv=2)
    with pytest.warns(IneffectiveParameterWarning, match=r"labels 'y' have no effect on DIMTr"):
        with_labels = clone(search).fit(images, y)
    # Warnings are errors here: these use the labels, or have none.
    without = clone(search).fit(images)
    assert with_labels.best_score_ != 0.5 != without.best_score_
    clone(search).set_params(scoring=few_labels_scorer).fit(images, y)
    pipeline = make_pipeline(quick(max_epochs=1), LogisticRegression())
    pipeline.fit(images, y).score(images, y)


@pytest.mark.filterwarnings("ignore:X seems to be in other units")
@pytest.mark.parametrize("method", ["score", "score_terms", "score_samples"])
def test_what_has_no_finite_features_has_no_score(quick, rows, method):
    X = rows[0].astype(np.float64)
    dim = quick(encoder_params=None).fit(X)
    X[0] *= 1e200
    with pytest.raises(ValueError, match="features are not finite"), np.errstate(all="ignore"):
        getattr(dim, method)(X)


@pytest.mark.parametrize("augment", ["crop_and_flip", 3])
def test_views_of_no_kind_are_named(quick, images, augment):
    with pytest.raises(ValueError, match="'augment' parameter of transform_views must be"):
        quick().fit(images).transform_views(images, augment=augment)


def test_missing_values_after_a_fit_without_are_named(quick, rows):
    X = np.array(rows[0])
    dim = quick(encoder_params=None).fit(X).set_params(allow_nan=True)
    dim.transform(X)
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="no NaN, as in fit, when 'allow_nan' was False"):
        dim.transform(X)


def test_a_shape_that_is_not_that_of_fit_is_named_whatever_its_second_axis(quick, images):
    dim = quick().fit(images)
    for shape in ((3, 14, 14), (3, 144)):
        with pytest.raises(ValueError, match=r"X must hold samples of shape \(1, 8, 8\)"):
            dim.transform(np.zeros(shape))


def test_partial_fit_on_other_units_is_told(quick, images):
    dim = quick().partial_fit(images)
    with pytest.warns(DataWarning, match="other units"):
        dim.partial_fit(np.asarray(images) * 1000)


class ForFolders(DIMTransformer):
    """A class with parameters of its own, and without most of those of its base."""

    def __init__(self, folder, n_components=4):
        super().__init__(n_components, max_epochs=1, random_state=0, device="cpu")
        self.folder = folder


def test_a_class_with_a_constructor_of_its_own_fits_and_is_pickled(images):
    own, plain = ForFolders("here", 5), DIMTransformer(5, max_epochs=1, random_state=0)
    features = own.fit(images).transform(images)
    np.testing.assert_array_equal(features, plain.fit(images).transform(images))
    again = pickle.loads(pickle.dumps(own))
    np.testing.assert_array_equal(again.transform(images), features)
    assert (again.folder, again.max_epochs) == ("here", 1)
