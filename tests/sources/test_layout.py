"""Where channels and sides of samples lie in X."""

import pickle

import numpy as np
import pytest

from skdim.sources.layout import find_layout

RNG = np.random.default_rng(0)
# Shape of X, channel_axis, shape of a sample.
KINDS = {
    "rows": ((20, 9), "auto", (9,)),
    "one signal": ((20, 40), None, (1, 40)),
    "signals, channels first": ((20, 3, 40), 1, (3, 40)),
    "signals, channels last": ((20, 40, 3), -1, (3, 40)),
    "grey images": ((20, 9, 10), "auto", (1, 9, 10)),
    "colour images": ((20, 16, 17, 3), "auto", (3, 16, 17)),
    "spectra": ((20, 16, 17, 31), 3, (31, 16, 17)),
    "volumes": ((20, 8, 9, 10), None, (1, 8, 9, 10)),
    "volumes of two channels": ((20, 2, 8, 9, 10), "auto", (2, 8, 9, 10)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_their_channels_first(kind):
    shape, channel_axis, sample_shape = KINDS[kind]
    X = RNG.normal(size=shape)
    layout = find_layout(shape, None, channel_axis)
    assert layout.sample_shape == sample_shape
    assert layout.x_shape == shape[1:]
    axis = shape.index(sample_shape[0], 1) if layout.channel_axis else None
    expected = X[:, None] if axis is None else np.moveaxis(X, axis, 1)
    np.testing.assert_array_equal(layout.as_samples(X), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_flat_samples_are_read_as_those_of_their_shape(kind):
    shape, channel_axis, _ = KINDS[kind]
    if len(shape) > 2:
        X = RNG.normal(size=shape)
        flat = find_layout((20, X[0].size), shape[1:], channel_axis)
        assert flat.is_flat
        expected = find_layout(shape, None, channel_axis).as_samples(X)
        np.testing.assert_array_equal(flat.as_samples(X.reshape(20, -1)), expected)


@pytest.mark.parametrize("shape", [(-1, -6), (0,), (2.0, 3.0), ("a",), (None,)])
def test_a_sample_shape_of_no_lengths_is_named(shape):
    with pytest.raises(ValueError, match="'sample_shape' parameter must hold whole numbers"):
        find_layout((4, 6), shape)


def test_layouts_of_the_same_images_give_the_same_features(quick, images):
    flat = images.reshape(len(images), -1)
    gray = quick().fit(images).transform(images)
    np.testing.assert_array_equal(quick(sample_shape=(8, 8)).fit(flat).transform(flat), gray)
    color = RNG.random((40, 8, 8, 3), dtype=np.float32)
    first = np.ascontiguousarray(np.moveaxis(color, -1, 1))
    np.testing.assert_array_equal(
        quick().fit(color).transform(color), quick().fit(first).transform(first)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_channel_axis_determines_the_modality(quick, kind):
    shape, channel_axis, sample_shape = KINDS[kind]
    X = RNG.normal(size=shape).astype(np.float32)
    # Volumes in large batches take most of the time, even if they are few and the rest is padding.
    params = {"global_weight": 0.1, "max_epochs": 1, "transform_batch_size": 32}
    transformer = quick(channel_axis=channel_axis, **params).fit(X)
    assert transformer.sample_shape_ == sample_shape
    assert transformer.mean_.shape == sample_shape[:1]
    features = transformer.transform(X)
    assert features.shape == (20, 8)
    np.testing.assert_array_equal(transformer.transform(X[:7]), features[:7])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(transformer)).transform(X), features)


@pytest.mark.parametrize(("axes", "channel_axis"), [((0, 2, 1), -1), ((0, 1, 2), 1)])
def test_signals_are_the_same_whatever_their_layout(quick, axes, channel_axis):
    X = RNG.normal(size=(20, 2, 30)).astype(np.float32)
    expected = quick(channel_axis=1).fit_transform(X)
    other = quick(channel_axis=channel_axis).fit_transform(X.transpose(axes))
    np.testing.assert_array_equal(other, expected)


@pytest.mark.parametrize("shape", [(10, 0, 8), (10, 8, 8, 0)])
def test_samples_without_values_are_named(shape):
    with pytest.raises(ValueError, match=r"X must hold values\. Got X of shape \(10, "):
        find_layout(shape)
