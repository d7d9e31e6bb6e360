"""Nearest neighbours of queries, as pictures and as lines."""

import itertools

import numpy as np
import pytest
from helpers.displays import SHORT, SIGNALS, extent_of, lay_out, noise, overlap

from skdim import DIMTransformer
from skdim.displays import NearestNeighborsDisplay
from skdim.sources import ImageFolder


def test_queries_are_followed_by_their_nearest_neighbors(fitted, images):
    display = NearestNeighborsDisplay.from_estimator(fitted, images, n_queries=5, n_neighbors=3)
    features = fitted.transform(images)
    for row, query in enumerate([0, 18, 36, 54, 72]):
        apart = np.abs(features - features[query]).sum(1)
        nearest = apart.argsort()
        np.testing.assert_array_equal(display.queries[row, 0], images[query])
        np.testing.assert_array_equal(display.neighbors[row, :, 0], images[nearest[1:4]])
        np.testing.assert_allclose(display.distances[row], apart[nearest[1:4]], rtol=1e-5)
    shown = np.stack([artist.get_array() for artist in display.thumbnails_.flat])
    expected = np.concatenate([display.queries[:, None], display.neighbors], 1)[:, :, 0]
    np.testing.assert_allclose(shown.reshape(5, 4, 8, 8), expected / 16)


def test_a_query_is_never_its_own_neighbor_even_among_twins(fitted, images):
    twins = np.repeat(images[:3], 4, axis=0)
    display = NearestNeighborsDisplay.from_estimator(fitted, twins, n_queries=12, n_neighbors=2)
    np.testing.assert_array_equal(display.distances, np.zeros((12, 2)))


def test_pictures_have_the_names_of_their_files(tmp_path, images):
    image_module = pytest.importorskip("PIL.Image")
    for number, image in enumerate(images[:20]):
        folder = tmp_path / ("even" if number % 2 == 0 else "odd")
        folder.mkdir(exist_ok=True)
        image_module.fromarray((15 * image).astype(np.uint8)).save(folder / f"{number}.png")
    X = ImageFolder(tmp_path, size=8, color=False)
    dim = DIMTransformer(**SHORT).fit(X)
    for part, names in ((X, X.paths), (X[5:], X.paths[5:])):
        names = np.array([str(path.relative_to(tmp_path)) for path in names])
        display = NearestNeighborsDisplay.from_estimator(dim, part, n_queries=3, n_neighbors=2)
        pictures = np.asarray(part)
        np.testing.assert_array_equal(pictures[np.isin(names, display.query_names)].shape[0], 3)
        for name, picture in zip(
            display.neighbor_names.ravel(), display.neighbors.reshape(6, 8, 8), strict=True
        ):
            np.testing.assert_array_equal(pictures[names == name][0], picture)
        label = display.thumbnails_[0, 1].axes.get_xlabel()
        end = label.split("\n")[0].removeprefix("\u2026")
        assert display.neighbor_names[0, 0].endswith(end)
    queries = NearestNeighborsDisplay.from_estimator(dim, X, queries=images[:2], n_neighbors=2)
    assert queries.query_names is None
    assert queries.thumbnails_[0, 0].axes.get_xlabel() == "query"


def test_of_a_long_name_the_end_is_drawn():
    long = np.array([["cats/IMG_20260101_000000.png"] * 3] * 2)
    pictures = noise(2, 4, 1, 8, 8)
    display = NearestNeighborsDisplay(
        pictures[:, 0],
        pictures[:, 1:],
        np.ones((2, 3)),
        query_names=long[:, 0],
        neighbor_names=long,
    ).plot()
    lay_out(display)
    labels = [artist.axes.xaxis.label for artist in display.thumbnails_.flat]
    assert {label.get_text().split("\n")[0] for label in labels} == {"\u202600000.png"}
    extents = [extent_of(label) for label in labels]
    assert not any(overlap(a, b) for a, b in itertools.combinations(extents, 2))


def test_rows_go_down_and_neighbors_to_the_right(fitted, images):
    display = NearestNeighborsDisplay.from_estimator(fitted, images)
    lay_out(display)
    thumbnails = display.thumbnails_
    assert thumbnails.shape == (6, 8)
    extents = np.array([[extent_of(artist) for artist in row] for row in thumbnails])
    assert (extents[:, 1:, 0] > extents[:, :-1, 1]).all()
    assert (extents[1:, :, 3] < extents[:-1, :, 2]).all()


def test_signals_are_lines(of_signals):
    display = NearestNeighborsDisplay.from_estimator(of_signals, SIGNALS, n_queries=2)
    line = display.thumbnails_[0, 0]
    assert [len(curve) for curve in line.get_segments()] == [32, 32]
    (y,) = (curve[:, 1] for curve in line.get_segments()[:1])
    assert np.corrcoef(y, display.queries[0, 0])[0, 1] == pytest.approx(1)


def test_channels_of_a_signal_do_not_cross(of_signals):
    display = NearestNeighborsDisplay.from_estimator(of_signals, SIGNALS, n_queries=2)
    for line in display.thumbnails_.flat:
        upper, lower = line.get_segments()
        assert upper[:, 1].min() >= lower[:, 1].max()
