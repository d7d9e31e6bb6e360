"""Views are seeded, batched and keep what they promise to keep."""

import math

import numpy as np
import pytest
import torch
from helpers.signals import UNCUT, with_ends
from torch.nn import functional

from skdim.augmentation import (
    augment_oscillations,
    augment_signals,
    crop_and_flip,
    crop_and_warp,
    crop_grid,
    equalize,
    jitter_amplitudes,
    jitter_colors,
    jitter_contrast,
    make_views,
    move,
    occlude,
    swap_cells,
)
from skdim.modalities import modality_of

GRAY, COLOR, ROWS = (6, 1, 8, 8), (6, 3, 16, 12), (6, 5)
LARGE_GRAY = (6, 1, 16, 18)
SIGNAL, VOLUME = (6, 2, 30), (6, 1, 8, 9, 10)
CASES = [
    (move, GRAY),
    (move, VOLUME),
    (crop_and_flip, COLOR),
    (jitter_colors, COLOR),
    (jitter_contrast, COLOR),
    (crop_and_warp, SIGNAL),
    (jitter_amplitudes, SIGNAL),
    (equalize, SIGNAL),
    (augment_oscillations, SIGNAL),
    (occlude, SIGNAL),
    (occlude, COLOR),
    (swap_cells, ROWS),
    *((modality_of(s[1:]).augment, s) for s in (ROWS, SIGNAL, GRAY, LARGE_GRAY, COLOR, VOLUME)),
]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("augment", "shape"), CASES)
def test_shape_is_kept_and_values_follow_the_generator(augment, shape):
    x = torch.randn(shape, generator=seeded(0))
    before = torch.get_rng_state()
    views = [augment(x, seeded(seed)) for seed in (1, 1, 2)]
    assert views[0].shape == x.shape
    assert views[0].equal(views[1])
    assert not views[0].equal(views[2])
    assert not views[0].equal(x)
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("augment", [move, crop_and_flip])
def test_resampling_stays_within_the_range_of_the_image(augment):
    x = torch.rand(GRAY, generator=seeded(0))
    view = augment(x, seeded(1))
    assert view.min() >= x.min() - 1e-6
    assert view.max() <= x.max() + 1e-6


@pytest.mark.parametrize("shape", [GRAY, VOLUME])
def test_move_without_amplitude_is_the_identity(shape):
    x = torch.randn(shape, generator=seeded(0))
    still = move(x, seeded(1), degrees=0, scale=0, shift=0)
    torch.testing.assert_close(still, x, rtol=0, atol=1e-5)


def test_whole_image_crops_are_the_image_or_its_flip():
    x = torch.randn(20, 3, 8, 8, generator=seeded(0))
    views = crop_and_flip(x, seeded(1), smallest=1.0)
    flipped = x.flip(-1)
    is_same = torch.isclose(views, x, atol=1e-4).flatten(1).float().mean(1)
    is_flip = torch.isclose(views, flipped, atol=1e-4).flatten(1).float().mean(1)
    assert is_same.max() > 0.0
    assert is_flip.max() > 0.0


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_crops_are_flipped_with_the_probability_wanted(flip):
    ramp = torch.arange(8.0).expand(20, 1, 8, 8)
    views = crop_and_flip(ramp, seeded(1), flip=flip)
    rises = views[..., -1] > views[..., 0]
    assert (rises if flip == 0 else ~rises).all()


def test_a_change_of_contrast_is_affine_in_the_image():
    x = torch.randn(COLOR, generator=seeded(0))
    view = jitter_contrast(x, seeded(1))
    factor = (view.std((1, 2, 3)) / x.std((1, 2, 3)))[:, None, None, None]
    assert factor.min() > 0.6
    assert factor.max() < 1.4
    expected = x * factor + (view - x * factor).mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(view, expected)


def test_grey_images_have_equal_channels():
    x = torch.randn(COLOR, generator=seeded(0))
    view = jitter_colors(x, seeded(1), gray=1.0)
    torch.testing.assert_close(view[:, 0], view[:, 1])
    torch.testing.assert_close(view[:, 0], view[:, 2])


def test_light_changes_every_channel_by_itself():
    x = torch.randn(COLOR, generator=seeded(0))
    view = jitter_colors(x, seeded(1), strength=0.0, gray=0.0, tint=0.2)
    gain = view.std((2, 3), keepdim=True) / x.std((2, 3), keepdim=True)  # (n, channels, 1, 1)
    shift = (view - x * gain).mean((2, 3), keepdim=True)
    torch.testing.assert_close(view, x * gain + shift)
    for change in (gain - 1, shift):
        assert 0.1 < change.abs().max() <= 0.2 + 1e-5
        assert (change.std(1) > 0).all()


def test_without_any_change_colours_are_the_same():
    x = torch.randn(COLOR, generator=seeded(0))
    view = jitter_colors(x, seeded(1), strength=0.0, gray=0.0, tint=0.0)
    torch.testing.assert_close(view, x)


def test_swapped_cells_come_from_the_same_column_at_the_stated_rate():
    x = torch.arange(4000.0).reshape(1000, 4)
    view = swap_cells(x, seeded(0), probability=0.4)
    assert (view % 4).equal(x % 4)
    assert (view != x).float().mean().item() == pytest.approx(0.4, abs=0.03)


def test_a_turn_keeps_distances_in_pixels_on_sides_of_any_length():
    """A disc in an oblong image stays a disc of the same area."""
    row, column = torch.meshgrid(torch.arange(24) - 11.5, torch.arange(60) - 29.5, indexing="ij")
    disc = (row**2 + column**2 < 64).float().expand(20, 1, -1, -1)
    turned = move(disc, seeded(0), degrees=90, scale=0, shift=0)
    torch.testing.assert_close(turned, disc, rtol=0, atol=0.9)
    assert (turned - disc).abs().mean() < 0.02


def test_crop_and_warp_runs_forward_through_a_stretch_of_time():
    clock = torch.arange(50.0).expand(30, 1, 50)
    warped = crop_and_warp(clock, seeded(0))[:, 0]
    assert (warped.diff(dim=1) > 0).all()
    assert warped.min() >= 0
    assert warped.max() <= 49
    share = (warped[:, -1] - warped[:, 0]) / 49
    assert share.min() >= 0.6 - 1e-4
    assert share.max() > 0.9
    whole = crop_and_warp(clock, seeded(0), smallest=1.0, warp=0.0)
    torch.testing.assert_close(whole, clock, rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [SIGNAL, GRAY, COLOR, VOLUME, (40, 1, 9)])
def test_a_crop_grid_consists_of_windows_of_its_view(shape):
    # The channels of a point are its sample and its position, so that windows count upwards.
    n, _, *sides = shape
    position = torch.stack(torch.meshgrid(*map(torch.arange, sides), indexing="ij"))
    x = torch.cat(
        [
            torch.arange(n).view(n, *[1] * (1 + len(sides))).expand(n, 1, *sides),
            position.expand(n, -1, *sides),
        ],
        1,
    ).float()
    crops = crop_grid(x, seeded(0))
    assert crops.shape == x.shape
    assert crops[:, 0].equal(x[:, 0])  # of the same sample
    starts = set()
    for axis, side in enumerate(sides):
        coordinate = crops[:, 1 + axis]
        steps = coordinate.diff(dim=1 + axis)
        edge = side // 2 - 1
        inside = [i for i in range(side - 1) if i != edge]
        assert (steps.index_select(1 + axis, torch.tensor(inside)) == 1).all()
        assert coordinate.min() >= 0
        assert coordinate.max() <= side - 1
        starts |= set(coordinate.select(1 + axis, 0).flatten().tolist())
    assert len(starts) > 1


def test_views_come_first_and_crop_grids_after_them():
    x = torch.arange(64.0).view(1, 1, 8, 8)
    views = make_views(x, None, seeded(0), n_views=1, n_grids=2)
    assert views.shape == (3, 1, 1, 8, 8)
    assert views[0].equal(x)
    assert not views[1].equal(views[2])


@pytest.mark.parametrize("shape", [(2, 60), (3, 30, 45), (1, 12, 12, 15)])
def test_occlusion_hides_one_box_between_a_third_and_two_thirds_of_every_side(shape):
    x = torch.ones(200, *shape)
    occluded = occlude(x, seeded(0))
    is_hidden = occluded == 0
    assert (is_hidden | (occluded == x)).all()
    assert is_hidden.equal(is_hidden[:, :1].expand(x.shape))  # alike in all channels
    boxes = is_hidden[:, 0]
    volume = torch.ones(200)
    for axis, side in enumerate(shape[1:], start=1):
        others = [a for a in range(1, boxes.ndim) if a != axis]
        shadow = boxes.any(others) if others else boxes  # (n, side)
        assert (shadow.int().diff(dim=1).abs().sum(1) <= 2).all()  # connected
        length = shadow.sum(1)
        assert length.min() >= side // 3 - 1
        assert length.max() <= 2 * side // 3 + 1
        assert len(length.unique()) > 2
        volume = volume * length
    assert boxes.flatten(1).sum(1).equal(volume.long())  # a whole box


@pytest.mark.parametrize("shape", [(2, 60), (1, 32, 32), (3, 30, 45)])
def test_occlusion_leaves_a_third_of_every_side_visible_at_one_end(shape):
    boxes = occlude(torch.ones(500, *shape), seeded(0))[:, 0] == 0
    ends = set()
    for axis, side in enumerate(shape[1:], start=1):
        others = [a for a in range(1, boxes.ndim) if a != axis]
        shadow = boxes.any(others).int() if others else boxes.int()  # (n, side)
        before, after = shadow.argmax(1), shadow.flip(1).argmax(1)
        assert torch.maximum(before, after).min() >= side // 3
        assert shadow.sum(1).min() >= side // 3
        ends |= {"before"} if (before > after).any() else set()
        ends |= {"after"} if (after > before).any() else set()
    assert ends == {"before", "after"}


def test_views_keep_the_length_of_a_signal_and_show_nothing_else():
    generator = torch.Generator().manual_seed(0)
    signals = torch.from_numpy(with_ends(np.ones_like(UNCUT)))
    signals += torch.arange(60)[:, None, None]
    for augment in (augment_signals, augment_oscillations, occlude):
        assert torch.equal(augment(signals, generator).isnan(), signals.isnan())
    # Constant signals stay constant, however they are warped: no value comes from elsewhere.
    torch.testing.assert_close(crop_and_warp(signals, generator), signals, equal_nan=True)


def test_equalizing_changes_the_gain_of_frequencies_smoothly():
    t = torch.arange(4000.0)
    tones = sum(torch.sin(2 * np.pi * k / 400 * t) for k in range(1, 200))
    before, after = (
        torch.fft.rfft(x.expand(50, 1, -1)).abs()[:, 0, 10:2000:10]
        for x in (tones, equalize(tones.expand(50, 1, -1), seeded(0)))
    )
    log_gain = (after / before).log()
    torch.testing.assert_close(log_gain[:, 0].std(), torch.tensor(0.57), atol=0.15, rtol=0)
    assert (log_gain[:, 1:] - log_gain[:, :-1]).abs().max() < 0.1
    level_only = equalize(tones.expand(50, 1, -1), seeded(0), strength=0.0)
    torch.testing.assert_close(
        level_only / level_only.std(2, keepdim=True),
        (tones / tones.std()).expand(50, 1, -1),
        atol=1e-3,
        rtol=0,
    )


def test_swapped_groups_come_from_one_row():
    one_of_three = functional.one_hot(torch.randint(3, (500,), generator=seeded(0)))
    X = torch.cat([torch.randn(500, 1), one_of_three, torch.randn(500, 1)], 1)
    swapped = swap_cells(X, seeded(0), 0.4, column_groups=((1, 2, 3),))
    assert (swapped[:, 1:4].sum(1) == 1).all()
    assert (swapped[:, 1:4] != X[:, 1:4]).any()
    ungrouped = swap_cells(X, seeded(0), 0.4)
    assert (ungrouped[:, 1:4].sum(1) != 1).any()


@pytest.mark.parametrize(
    "augment",
    [
        lambda batch, generator: batch[:1],
        lambda batch, generator: None,
        lambda batch, generator: batch.numpy(),
        lambda batch, generator: batch[:, :2],
        lambda batch, generator: batch[:, None],
        lambda batch, generator: batch.sum(),
        lambda batch, generator: batch.long(),
        lambda batch, generator: batch.to("meta"),
    ],
    ids=["samples", "None", "numpy", "channels", "axes", "a number", "integers", "device"],
)
def test_views_that_are_no_views_of_the_batch_are_named(augment):
    with pytest.raises(ValueError, match="'augment' parameter must return a batch of as many"):
        make_views(torch.zeros(4, 3), augment, torch.Generator())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_views_of_other_floats_are_converted(dtype):
    batch = torch.arange(12.0).reshape(4, 3)
    views = make_views(batch, lambda batch, generator: batch.to(dtype), torch.Generator())
    assert torch.equal(views, torch.stack([batch, batch]))


def test_an_augmentation_of_other_arguments_is_named_and_its_own_errors_are_not_changed():
    batch = torch.zeros(4, 3)
    for augment in (lambda batch: batch, lambda: batch, lambda batch, generator, p: batch):
        with pytest.raises(TypeError, match="'augment' parameter must be a function of a batch"):
            make_views(batch, augment, torch.Generator())
    with pytest.raises(TypeError, match="must be real number"):
        make_views(batch, lambda batch, generator: batch * math.sin("a"), torch.Generator())
