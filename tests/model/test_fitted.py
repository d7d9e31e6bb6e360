"""A fitted model: its state is numbers, it moves, it is trimmed, and it encodes views."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import torch
from torch import nn

from skdim import DIMTransformer
from skdim.augmentation import move


def test_pickles_hold_numpy_and_no_net(quick, images):
    transformer = quick().fit(images)
    state = transformer.__getstate__()
    assert not any(isinstance(value, (nn.Module, torch.Tensor)) for value in values_in(state))
    assert b"skorch" not in pickle.dumps(transformer)
    arrays = sum(value.nbytes for value in values_in(state) if isinstance(value, np.ndarray))
    assert len(pickle.dumps(transformer)) < arrays + 10_000


def values_in(state):
    """Return all values of a state, at any depth."""
    if isinstance(state, dict | list | tuple):
        items = state.values() if isinstance(state, dict) else state
        return [value for item in items for value in values_in(item)]
    return [state]


def test_parameters_changed_after_fit_do_not_spoil_a_pickle(quick, images):
    transformer = quick().fit(images)
    expected = transformer.transform(images)
    transformer.set_params(n_components=3, encoder="mlp", encoder_params={"width": 4})
    loaded = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(loaded.transform(images), expected)


RNG = np.random.default_rng(0)


def test_a_trimmed_transformer_transforms_and_says_what_it_cannot(quick, tmp_path):
    X = RNG.normal(size=(60, 5))
    dim = quick(warm_start=True).partial_fit(X)
    trimmed = copy.deepcopy(dim).trim()
    for reload in (
        lambda d: d,
        lambda d: pickle.loads(pickle.dumps(d)),
        lambda d: (d.save(tmp_path / "dim"), DIMTransformer.load(tmp_path / "dim"))[1],
    ):
        again = reload(trimmed)
        np.testing.assert_array_equal(again.transform(X), dim.transform(X))
        for use in (again.score, again.score_samples, again.partial_fit, again.fit):
            with pytest.raises(ValueError, match="was trimmed"):
                use(X)
    assert again.set_params(warm_start=False).fit(X).score(X) > 0


def test_trimmed_files_are_hardly_larger_than_their_weights(tmp_path, digits):
    dim = DIMTransformer(max_epochs=1, random_state=0).fit(digits.images[:200]).trim()
    n_bytes = sum(t.numel() * t.element_size() for t in dim.encoder_.state_dict().values())
    neighbors = dim.model_.readouts["hidden"].neighbors
    parts = [neighbors.directions, neighbors.samples]
    parts += [part for r in dim.model_.readouts.values() for part in r.state().values()]
    n_bytes += sum(part.nbytes for part in parts if isinstance(part, np.ndarray))
    dim.save(tmp_path / "dim")
    joblib.dump(dim, tmp_path / "dim.joblib")
    for name in ("dim", "dim.joblib"):
        assert (tmp_path / name).stat().st_size < 1.1 * n_bytes


def test_to_moves_what_was_fitted(quick):
    X = RNG.normal(size=(40, 5))
    dim = quick().fit(X)
    assert dim.to("cpu").device_.type == "cpu"
    with pytest.raises(ValueError, match="device"):
        dim.to("cuda:99")


@pytest.fixture(scope="module")
def fitted(quick, digits):
    return quick().fit(digits.images[:200])


@pytest.mark.parametrize("output", ["components", "code", "hidden", "local"])
def test_unchanged_views_have_the_features_of_transform(fitted, digits, output):
    X = digits.images[:150]

    def unchanged(batch, generator):
        return batch

    fitted.set_params(output=output)
    views = fitted.transform_views(X, n_views=2, augment=unchanged)
    expected = fitted.transform(X)
    np.testing.assert_allclose(views, np.stack([expected] * 2), atol=2e-4)
    fitted.set_params(output="components")


def test_views_repeat_and_do_not_depend_on_the_batch(fitted, digits):
    X = digits.images[:150]
    views = fitted.transform_views(X, random_state=3)
    assert views.shape == (4, 150, 8)
    assert np.array_equal(views, fitted.transform_views(X, random_state=3))
    assert not np.allclose(views, fitted.transform_views(X, random_state=4))
    assert not np.allclose(views[0], views[1])
    fitted.set_params(transform_batch_size=17)
    np.testing.assert_allclose(views, fitted.transform_views(X, random_state=3), atol=1e-4)
    fitted.set_params(transform_batch_size=None)


def test_auto_makes_the_views_of_the_modality_whatever_the_encoder_saw(fitted, quick, digits):
    X = digits.images[:60]
    views = fitted.transform_views(X, random_state=0)
    assert np.array_equal(views, fitted.transform_views(X, augment=move, random_state=0))
    without = quick(augment=None).fit(X)
    assert not np.allclose(*without.transform_views(X, n_views=2, random_state=0))


def test_drawn_samples_keep_their_order(fitted, digits):
    X = digits.images[:100]

    def unchanged(batch, generator):
        return batch

    drawn = fitted.transform_views(X, 1, augment=unchanged, max_samples=30, random_state=0)[0]
    distances = np.abs(drawn[:, None] - fitted.transform(X)).max(2)
    assert distances.min(1).max() < 1e-3
    assert (np.diff(distances.argmin(1)) > 0).all()
