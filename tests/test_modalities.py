"""The row of a modality: what it is read as, its views, its encoder and its budget."""

import numpy as np
import pytest
import torch
from helpers.capture import NoReading

from skdim.encoders import ENCODERS, ConvEncoder
from skdim.modalities import MODALITIES, SIGNALS, check_ends, modality_of, modality_of_x, short_axis

NAMED = pytest.mark.parametrize("modality", MODALITIES, ids=lambda modality: modality.name)


def sample_shape(modality, side=16, n_channels=3):
    return (n_channels, *[side] * modality.n_sides)


def test_every_number_of_sides_up_to_three_is_a_modality():
    assert [modality.n_sides for modality in MODALITIES] == [0, 1, 2, 3]
    for modality in MODALITIES:
        assert modality_of(sample_shape(modality)) is modality
    nothing = modality_of((1, 2, 3, 4, 5))
    assert (nothing.encoder, nothing.augment) == (None, None)


def test_an_x_is_read_as_one_modality_at_most():
    names = [getattr(modality_of_x((9,) * n), "name", None) for n in range(1, 7)]
    assert names == [None, "tables", "images", "images", "volumes", None]


@NAMED
def test_the_default_encoder_takes_the_default_views(modality):
    shape = sample_shape(modality)
    batch, generator = torch.randn(4, *shape), torch.Generator().manual_seed(0)
    encoder = ENCODERS[modality.encoder](shape, 2).eval()
    for augment in (modality.augment, modality.augment_smaller):
        if augment is not None:
            assert encoder(augment(batch, generator)).code.shape == (4, 2)


@NAMED
def test_default_views_can_be_captured(modality):
    generator = torch.Generator().manual_seed(0)
    with NoReading():
        modality.augment(torch.randn(6, *sample_shape(modality, side=8)), generator)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@NAMED
def test_views_flip_says_whether_default_views_are_flipped(modality, n_channels):
    """Values rise along the last axis, and fall only in a flipped copy."""
    if modality is SIGNALS or not modality.n_sides:
        assert not modality.views_flip(n_channels)
        return
    ramp = torch.linspace(-1, 1, 16).expand(64, n_channels, *[16] * modality.n_sides)
    views = modality.augment(ramp, torch.Generator().manual_seed(0))
    rises = views.unflatten(-1, (2, -1)).mean((*range(1, views.ndim - 1), -1)).diff()  # (64, 1)
    assert (rises < 0).any() == modality.views_flip(n_channels)


@NAMED
def test_only_signals_have_a_place_where_nan_must_be(modality):
    samples = np.ones((5, *sample_shape(modality, side=8)))
    samples[2, 1] = np.nan  # a cell, or a whole channel
    if modality is not SIGNALS:
        modality.check_missing(samples)
        return
    with pytest.raises(ValueError, match="only at the end of a signal"):
        modality.check_missing(samples)
    samples[2] = 1.0
    samples[2, :, 6:] = np.nan
    modality.check_missing(samples)
    samples[2, :, 7] = 1.0
    with pytest.raises(ValueError, match="only at the end of a signal"):
        modality.check_missing(samples)


@pytest.mark.parametrize("length", [0, 3, 4, 8])
def test_a_signal_has_four_points_before_its_end(length):
    samples = np.ones((5, 2, 8))
    samples[3, :, length:] = np.nan
    if length >= 4:
        check_ends(samples)
    else:
        with pytest.raises(ValueError, match=f"at least 4 points .* Got one of {length}"):
            check_ends(samples)


@pytest.mark.parametrize(
    ("sides", "axis"),
    [
        ((12, 256), 1),
        ((100, 9), 2),
        ((28, 28), None),
        ((20, 40), None),
        ((20, 160), 1),
        ((0, 9), None),
    ],
)
def test_a_side_that_is_far_shorter_is_likely_channels(sides, axis):
    assert short_axis(sides) == axis


class WatchedEncoder(ConvEncoder):
    """Remembers the sides of the views it was trained on."""

    sides: set = set()

    def forward(self, x):
        if self.training:
            WatchedEncoder.sides.add(tuple(x.shape[2:]))
        return super().forward(x)


class FixedSizeEncoder(WatchedEncoder):
    takes_any_size = False


@pytest.mark.parametrize(
    ("encoder", "params", "sides"),
    [
        (WatchedEncoder, {}, (12, 15)),
        (WatchedEncoder, {"global_weight": 1.0}, (16, 20)),
        (WatchedEncoder, {"augment": None}, (16, 20)),
        (FixedSizeEncoder, {}, (16, 20)),
    ],
)
def test_views_of_colour_images_are_smaller_if_the_encoder_takes_any_size(
    quick, encoder, params, sides
):
    X = np.random.default_rng(0).integers(0, 255, (40, 16, 20, 3), dtype=np.uint8)
    WatchedEncoder.sides.clear()
    small = {"width": 8, "n_hidden": 16}
    dim = quick(encoder=encoder, encoder_params=small, **params).fit(X)
    assert WatchedEncoder.sides == {sides}
    assert np.isfinite(dim.score_samples(X)).all()


def test_a_fit_of_a_table_says_what_to_expect(quick, rows, caplog):
    with caplog.at_level("INFO", "skdim"):
        quick().fit(rows[0])
    assert "Features of a table owe most of their gain" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", "skdim"):
        quick(channel_axis=None).fit(rows[0])
    assert "table" not in caplog.text
