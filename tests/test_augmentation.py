"""Views are seeded, batched and keep what they promise to keep."""

import pytest
import torch

from skdim.augmentation import crop_and_flip, jitter_colors, move, swap_cells

GRAY, COLOR, ROWS = (6, 1, 8, 8), (6, 3, 16, 12), (6, 5)
CASES = [(move, GRAY), (crop_and_flip, COLOR), (jitter_colors, COLOR), (swap_cells, ROWS)]


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


def test_move_without_amplitude_is_the_identity():
    x = torch.randn(GRAY, generator=seeded(0))
    still = move(x, seeded(1), degrees=0, scale=0, shift=0)
    torch.testing.assert_close(still, x, rtol=0, atol=1e-5)


def test_whole_image_crops_are_the_image_or_its_mirror():
    x = torch.randn(20, 3, 8, 8, generator=seeded(0))
    views = crop_and_flip(x, seeded(1), smallest=1.0)
    mirrored = x.flip(-1)
    is_same = torch.isclose(views, x, atol=1e-4).flatten(1).float().mean(1)
    is_mirror = torch.isclose(views, mirrored, atol=1e-4).flatten(1).float().mean(1)
    assert is_same.max() > 0.0
    assert is_mirror.max() > 0.0


def test_grey_images_have_equal_channels():
    x = torch.randn(COLOR, generator=seeded(0))
    view = jitter_colors(x, seeded(1), gray=1.0)
    torch.testing.assert_close(view[:, 0], view[:, 1])
    torch.testing.assert_close(view[:, 0], view[:, 2])


def test_swapped_cells_come_from_their_own_column_at_the_stated_rate():
    x = torch.arange(4000.0).reshape(1000, 4)
    view = swap_cells(x, seeded(0), probability=0.4)
    assert (view % 4).equal(x % 4)
    assert (view != x).float().mean().item() == pytest.approx(0.4, abs=0.03)
