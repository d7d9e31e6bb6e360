"""Scores of local features, each at its location."""

import itertools

import numpy as np
import pytest
import torch
from helpers.displays import (
    SHORT,
    SIGNALS,
    extent_of,
    is_inside,
    lay_out,
    noise,
)
from torch import nn

from skdim import DIMTransformer
from skdim.displays import (
    LocalScoreDisplay,
)
from skdim.displays.local_score import find_map_shape, local_scores
from skdim.encoders import ENCODERS, Encoding, encode


def test_local_scores_of_products_have_a_closed_form():
    codes, local_map = noise(6), noise(9, seed=1)  # T(y, l) = y l
    scores = local_scores(codes[0] * local_map, codes[1:, None] * local_map)
    np.testing.assert_allclose(scores, (codes[0] - codes[1:].mean()) * local_map, rtol=1e-5)


def test_what_raises_the_scores_of_all_codes_does_not_count():
    common, positives = noise(4, 9), noise(4, 9, seed=1)
    negatives = noise(4, 5, 9, seed=2)
    moved = local_scores(positives + common, negatives + common[:, None])
    np.testing.assert_allclose(moved, local_scores(positives, negatives), atol=1e-6)
    np.testing.assert_allclose(local_scores(positives, np.stack([positives] * 2, 1)), 0)


class ProductCritic(nn.Module):
    """The first component of the code times the first of the local vector: T = y l."""

    def __init__(self, n_code, n_channels, width):
        super().__init__()

    def forward(self, code, local_map):
        return code[..., :1] * local_map[..., 0]


def test_scores_of_a_simple_critic_are_at_their_locations(images):
    dim = DIMTransformer(critic=ProductCritic, **SHORT).fit(images)
    display = LocalScoreDisplay.from_estimator(dim, images, n_samples=3)
    standardized = (torch.from_numpy(images)[:, None] - dim.mean_[0]) / dim.scale_[0]
    with torch.no_grad():
        code, _, (local_map,), *_ = encode(dim.encoder_, standardized.float())
    y = code[:, 0].numpy()
    for i in range(3):
        expected = (y[i] - np.delete(y, i).mean()) * local_map[i, :, 0].numpy()
        np.testing.assert_allclose(display.scores[i].ravel(), expected, rtol=1e-3, atol=1e-6)
    shown = np.stack([heat.to_rgba(heat.get_array()) for heat in display.heat_])
    bar = display.colorbar_
    np.testing.assert_array_equal(shown, bar.cmap(bar.norm(display.scores)))
    assert (shown[..., 3] == 1).all()  # colours are those of the bar
    np.testing.assert_allclose(bar.cmap(bar.norm(0.0)), 1, atol=0.01)  # white


IMAGE_ENCODERS = [name for name in ENCODERS if name not in ("mlp", "signal", "spectrogram")]
SAMPLE_SHAPES = {"conv": (3, 8, 21), "resnet": (1, 30, 16)}


@pytest.mark.parametrize("name", IMAGE_ENCODERS)
def test_the_map_of_an_encoder_lies_as_the_image_lies(name):
    """Change a corner of an image, and the local vectors of that corner change most."""
    shape = SAMPLE_SHAPES.get(name, (3, 64, 64) if "64" in name else (3, 32, 32))
    params = {"scale": 0.05} if "paper" in name else {"width": 4}
    torch.manual_seed(0)
    encoder = ENCODERS[name](shape, 4, **params).eval()
    map_shape = find_map_shape(encoder, shape, torch.device("cpu"))
    x = torch.from_numpy(noise(1, *shape))
    with torch.no_grad():
        before = encode(encoder, x).local_maps[-1]
        for down, right in itertools.product((0, -1), repeat=2):
            y = x.clone()
            rows, columns = (slice(0, 4) if end == 0 else slice(-4, None) for end in (down, right))
            y[..., rows, columns] += 3
            change = (encode(encoder, y).local_maps[-1] - before).norm(dim=-1)
            row, column = np.unravel_index(change.argmax().item(), map_shape)
            assert (row < map_shape[0] / 2) == (down == 0)
            assert (column < map_shape[1] / 2) == (right == 0)


def test_the_map_of_a_signal_has_one_axis(of_signals):
    display = LocalScoreDisplay.from_estimator(of_signals, SIGNALS, n_samples=4)
    assert display.scores.shape == (4, 16)
    assert display.panels_.shape == (4, 2)
    (curve, other_channel) = display.panels_[1, 0].lines
    np.testing.assert_array_equal(curve.get_ydata(), SIGNALS[1, 0])
    lane = SIGNALS[1, 1] - other_channel.get_ydata()  # below the first channel, by one number
    np.testing.assert_allclose(lane, lane[0], rtol=1e-5)
    assert lane[0] > np.ptp(display.samples)
    (stairs,) = display.panels_[1, 1].patches
    values, edges, _ = stairs.get_data()
    np.testing.assert_array_equal(values, display.scores[1])
    np.testing.assert_array_equal(edges, np.arange(0, 33, 2))


def test_all_signals_are_on_one_scale_and_so_are_all_scores(of_signals):
    display = LocalScoreDisplay.from_estimator(of_signals, SIGNALS)
    for panels, values in zip(display.panels_.T, (display.samples, display.scores), strict=True):
        assert {panel.get_xlim() for panel in panels} == {(0, 32)}
        assert len({panel.get_ylim() for panel in panels}) == 1
        low, high = panels[0].get_ylim()
        assert low <= values.min()
        assert high >= values.max()


@pytest.mark.parametrize("n_samples", [1, 2, 7, 13])
def test_each_sample_has_a_picture_and_its_heat_below(fitted, images, n_samples):
    display = LocalScoreDisplay.from_estimator(fitted, images, n_samples=n_samples)
    lay_out(display)
    assert len(display.pictures_) == len(display.heat_) == n_samples
    for picture, heat in zip(display.pictures_, display.heat_, strict=True):
        above, below = extent_of(picture), extent_of(heat)
        np.testing.assert_allclose(above[:2], below[:2])
        assert above[2] > below[3]
        assert above[3] - above[2] == pytest.approx(above[1] - above[0])  # 8 x 8 is a square
        assert is_inside(above, extent_of(display.ax_))
        assert is_inside(below, extent_of(display.ax_))


def test_scores_over_an_image_cover_it_and_are_transparent_at_0(fitted, images):
    display = LocalScoreDisplay.from_estimator(fitted, images, over=True)
    lay_out(display)
    assert display.panels_.shape == (6, 1)
    largest = np.abs(display.scores).max()
    for picture, heat, score in zip(display.pictures_, display.heat_, display.scores, strict=True):
        np.testing.assert_allclose(extent_of(picture), extent_of(heat))
        assert heat.get_zorder() > picture.get_zorder()
        np.testing.assert_array_equal(heat.get_array(), score)
        np.testing.assert_allclose(heat.get_alpha(), 0.8 * np.abs(score) / largest)


def test_below_scores_an_image_has_no_colours_of_its_own():
    X = noise(10, 3, 9, 9)
    dim = DIMTransformer(**SHORT).fit(X)
    display = LocalScoreDisplay.from_estimator(dim, X, over=True)
    assert {picture.get_array().ndim for picture in display.pictures_} == {2}


def test_scores_over_a_signal_are_behind_its_curves(of_signals):
    display = LocalScoreDisplay.from_estimator(of_signals, SIGNALS, over=True)
    lay_out(display)
    for (panel,), heat, score in zip(display.panels_, display.heat_, display.scores, strict=True):
        np.testing.assert_array_equal(heat.get_array()[0], score)
        np.testing.assert_allclose(extent_of(heat), extent_of(panel), atol=1)
        assert all(line.get_zorder() > heat.get_zorder() for line in panel.lines)


class TokenEncoder(nn.Module):
    """Patches of 4 x 4 as tokens; no layer returns a map with axes."""

    def __init__(self, sample_shape, n_components):
        super().__init__()
        self.code = nn.Linear(16, n_components)

    def forward(self, x):
        tokens = x.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4).flatten(1, 3)  # (n, 4, 16)
        hidden = tokens.mean(1)
        return Encoding(self.code(hidden), hidden, (tokens,))


def test_a_map_shape_that_cannot_be_found_must_be_given(images):
    dim = DIMTransformer(encoder=TokenEncoder, **{**SHORT, "encoder_params": None}).fit(images)
    with pytest.raises(ValueError, match=r"TokenEncoder cannot be known.* 4 .*'map_shape'"):
        LocalScoreDisplay.from_estimator(dim, images)
    display = LocalScoreDisplay.from_estimator(dim, images, map_shape=(2, 2))
    assert display.scores.shape == (6, 2, 2)
    with pytest.raises(ValueError, match=r"'map_shape' .* 2 axes of 4 .* Got \(2, 3\)"):
        LocalScoreDisplay.from_estimator(dim, images, map_shape=(2, 3))


def test_flip_averaging_does_not_flip_the_map(images):
    dims = [DIMTransformer(flip_averaging=f, **SHORT).fit(images) for f in (False, True)]
    shapes = {find_map_shape(dim.encoder_, dim.sample_shape_, dim.device_) for dim in dims}
    assert shapes == {(4, 4)}


def test_finding_the_map_shape_leaves_no_hooks(fitted):
    find_map_shape(fitted.encoder_, fitted.sample_shape_, fitted.device_)
    assert not any(vars(module)["_forward_hooks"] for module in fitted.encoder_.modules())


def test_local_scores_need_two_samples_and_a_local_critic(fitted, images):
    with pytest.raises(ValueError, match="X must hold at least 2 samples, so that"):
        LocalScoreDisplay.from_estimator(fitted, images[:1])
    dim = DIMTransformer(local_weight=0, global_weight=1, **SHORT).fit(images)
    with pytest.raises(ValueError, match=r"'local_weight' .* Got 0"):
        LocalScoreDisplay.from_estimator(dim, images)
