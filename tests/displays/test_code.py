"""The map of codes: components, thumbnails that hide nothing, classes and numbers."""

import itertools

import numpy as np
import pytest
from helpers.displays import (
    ROWS,
    SHORT,
    extent_of,
    is_inside,
    lay_out,
    new_axes,
    noise,
    overlap,
)
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator

from skdim import DIMTransformer
from skdim.displays import (
    CodeDisplay,
)
from skdim.displays.code import arrange_thumbnails


def test_the_map_is_principal_components_unless_told_otherwise(fitted, images):
    features = fitted.transform(images)
    expected = PCA(2, random_state=0).fit_transform(features)
    for embedding in (None, PCA(2, random_state=0), expected, lambda features: expected):
        display = CodeDisplay.from_estimator(fitted, images, embedding=embedding, ax=new_axes())
        np.testing.assert_allclose(display.embedding, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(display.scatter_.get_offsets(), display.embedding)
    frozen = FrozenEstimator(PCA(2, random_state=0).fit(features))
    display = CodeDisplay.from_estimator(fitted, images, embedding=frozen)
    np.testing.assert_allclose(display.embedding, expected, rtol=1e-4, atol=1e-5)


def test_a_transformer_for_the_map_is_left_as_it_was(fitted, images):
    pca = PCA(2)
    CodeDisplay.from_estimator(fitted, images, embedding=pca)
    assert not hasattr(pca, "components_")


def test_thumbnails_lead_to_their_samples_and_hide_nothing(fitted, images):
    display = CodeDisplay.from_estimator(fitted, images, n_thumbnails=30)
    assert 5 < len(display.thumbnails_) <= 30
    extents = [artist.get_extent() for artist in display.thumbnails_]
    for a, b in itertools.combinations(extents, 2):
        assert a[1] < b[0] or b[1] < a[0] or a[3] < b[2] or b[3] < a[2]
    leaders = display.leaders_.get_segments()
    for artist, extent, leader in zip(display.thumbnails_, extents, leaders, strict=True):
        left, right, bottom, top = extent
        x, y = display.embedding.T
        assert not ((left < x) & (x < right) & (bottom < y) & (y < top)).any()
        np.testing.assert_allclose(leader[0], [(left + right) / 2, (bottom + top) / 2])
        (row,) = np.flatnonzero(np.isclose(display.embedding, leader[1]).all(1))
        picture = artist.get_array()
        assert np.corrcoef(picture.ravel(), images[row].ravel())[0, 1] == pytest.approx(1)
    assert display.ax_.get_aspect() == 1


def test_each_cell_of_the_map_with_samples_has_a_thumbnail_if_there_may_be_as_many():
    positions = noise(200, 2)
    shown, centers = arrange_thumbnails(positions, 0.5, 200)
    cells = np.rint((positions - positions.min(0)) / 0.5)
    assert len(shown) == len(np.unique(cells, axis=0)) == len(np.unique(cells[shown], axis=0))
    np.testing.assert_array_equal(arrange_thumbnails(positions, 0.5, 7)[0], shown[:7])
    apart = np.abs(centers[:, None] - centers).max(2) + np.diag(np.full(len(centers), np.inf))
    assert apart.min() > 0.5 - 1e-6
    assert np.abs(centers[:, None] - positions).max(2).min() >= 0.25 - 1e-6


@pytest.mark.parametrize("n_thumbnails", [1, 10, 100])
def test_there_is_room_for_thumbnails_even_if_all_cells_have_samples(n_thumbnails):
    positions = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), -1).reshape(-1, 2)
    shown, centers = arrange_thumbnails(positions, 1.0, n_thumbnails)
    assert len(shown) == len(np.unique(centers, axis=0)) == n_thumbnails
    shown, centers = arrange_thumbnails(np.zeros((n_thumbnails, 2)), 1.0, n_thumbnails)
    assert len(shown) == 1
    assert np.abs(centers).max() == 1


@pytest.mark.parametrize("shape", [(1, 9, 14), (3, 9, 9), (2, 32), (1, 4, 6, 8)])
def test_frames_of_thumbnails_neither_overlap_nor_cover_points(shape):
    from matplotlib.patches import Rectangle

    display = CodeDisplay(noise(50, 2), samples=noise(50, *shape)).plot()
    lay_out(display)
    extents = [extent_of(p) for p in display.ax_.patches if isinstance(p, Rectangle)]
    assert len(extents) == len(display.thumbnails_) > 5
    assert not any(overlap(a, b) for a, b in itertools.combinations(extents, 2))
    for x, y in display.ax_.transData.transform(display.embedding):
        assert not any(overlap(extent, (x, x, y, y)) for extent in extents)
    assert all(is_inside(extent, extent_of(display.ax_)) for extent in extents)


def test_rows_of_a_table_are_points_only(of_rows):
    display = CodeDisplay.from_estimator(of_rows, ROWS)
    assert display.thumbnails_ == []
    assert len(display.scatter_.get_offsets()) == 40


def test_classes_have_a_legend_and_numbers_a_bar():
    positions = noise(60, 2)
    words = np.array(["fox", "hare", "owl"])[np.arange(60) % 3]
    display = CodeDisplay(positions, y=words).plot()
    assert [text.get_text() for text in display.legend_.get_texts()] == ["fox", "hare", "owl"]
    assert display.colorbar_ is None
    colors = display.scatter_.get_facecolors()
    assert len({tuple(color) for color in colors}) == 3
    assert (colors[::3] == colors[0]).all()
    outlines = [path.vertices.tobytes() for path in display.scatter_.get_paths()]
    assert len(set(outlines)) == 3  # a shape for each class
    assert len(set(outlines[::3])) == 1
    display = CodeDisplay(positions, y=positions[:, 0]).plot()
    assert display.legend_ is None
    assert display.colorbar_.vmin == pytest.approx(positions[:, 0].min())
    assert CodeDisplay(positions).plot().legend_ is None


def test_a_hundred_classes_are_told_apart_by_colour_and_shape():
    y = [f"class {number}" for number in range(100)]
    scatter = CodeDisplay(noise(100, 2), y=y).plot().scatter_
    colors, outlines = scatter.get_facecolors(), scatter.get_paths()
    looks = {(*c, path.vertices.tobytes()) for c, path in zip(colors, outlines, strict=True)}
    assert len(looks) == 100
    assert len({tuple(color) for color in colors}) == 10
    with pytest.raises(ValueError, match=r"'y' .* 100 classes at most.* Got 101"):
        CodeDisplay(noise(101, 2), y=[*y, "one more"]).plot()


@pytest.mark.parametrize(("n", "is_class"), [(40, True), (41, False)])
def test_up_to_forty_whole_numbers_are_classes(n, is_class):
    display = CodeDisplay(noise(n, 2), y=np.arange(float(n))).plot()
    assert (display.legend_ is not None) == is_class
    assert (display.colorbar_ is not None) != is_class
    assert CodeDisplay(noise(n, 2), y=np.arange(n) / 2).plot().colorbar_ is not None


MISSING = {
    "-1": np.array([0, 1, 2, -1] * 5),
    "NaN": np.array([0, 1, 2, np.nan] * 5),
    "None": np.array(["fox", "hare", "owl", None] * 5, dtype=object),
    "NaN among words": np.array(["fox", "hare", "owl", np.nan] * 5, dtype=object),
    "NaN among numbers": np.where(np.arange(20) % 4 == 3, np.nan, np.arange(20) / 3),
}


@pytest.mark.parametrize("y", MISSING)
def test_samples_without_a_label_are_light_grey(y):
    display = CodeDisplay(noise(20, 2), y=MISSING[y]).plot()
    lay_out(display)
    colors = display.scatter_.get_facecolors()[:, :3]
    is_grey = (colors == 0.8).all(1)
    np.testing.assert_array_equal(is_grey, np.arange(20) % 4 == 3)
    if display.legend_ is not None:
        names = [text.get_text() for text in display.legend_.get_texts()]
        assert len(names) == 4
        assert names[-1] == "no label"


def test_of_two_classes_minus_one_is_one():
    display = CodeDisplay(noise(20, 2), y=np.array([-1, 1] * 10)).plot()
    assert [text.get_text() for text in display.legend_.get_texts()] == ["-1", "1"]


def test_without_a_limit_every_cell_with_samples_has_a_thumbnail(fitted, images):
    few = CodeDisplay.from_estimator(fitted, images, n_thumbnails=5)
    all_of_them = CodeDisplay.from_estimator(fitted, images, n_thumbnails=None)
    most = CodeDisplay.from_estimator(fitted, images, n_thumbnails=len(images))
    assert len(few.thumbnails_) == 5 < len(all_of_them.thumbnails_) == len(most.thumbnails_)
    assert CodeDisplay.from_estimator(fitted, images, n_thumbnails=0).thumbnails_ == []


def test_a_map_needs_two_features(images):
    dim = DIMTransformer(**{**SHORT, "n_components": 1}).fit(images)
    with pytest.raises(ValueError, match=r"two features .*\(90, 1\).*'embedding'"):
        CodeDisplay.from_estimator(dim, images)
