"""Features of views are those of samples that an augmentation made."""

import numpy as np
import pytest
import torch

from skdim._model.views import N_AUGMENTED, features_of_views


@pytest.fixture(scope="module")
def model(quick, images):
    return quick(augment=None).fit(images).model_


def views_of(model, samples, augment, n_views=2, batch_size=32):
    generator = torch.Generator().manual_seed(0)
    return features_of_views(
        model.readout("components"),
        model.encoder,
        samples,
        model.standardization,
        augment,
        n_views,
        generator,
        batch_size,
    )


def test_without_augmentation_every_view_is_the_sample(model, images):
    samples = np.concatenate([images, images])[:, None].astype(np.float32)
    assert len(samples) > N_AUGMENTED
    views = views_of(model, samples, None, n_views=3)
    expected = model.features(samples, "components")
    for view in views:
        np.testing.assert_allclose(view, expected, atol=1e-5)


def test_views_do_not_depend_on_how_many_are_encoded_at_once(model, images):
    def shift(batch, generator):
        return batch + torch.randn(len(batch), 1, 1, 1, generator=generator)

    samples = images[:, None].astype(np.float32)
    first, second = views_of(model, samples, shift)
    assert not np.allclose(first, second, atol=1e-2)
    few = views_of(model, samples, shift, batch_size=7)
    np.testing.assert_allclose(few, np.stack([first, second]), atol=1e-5)
