"""Displays: what is drawn is what was computed, where it was asked for, and nothing overlaps."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

from skdim import DIMTransformer
from skdim.displays import (
    CodeDisplay,
    LocalScoreDisplay,
    LossCurveDisplay,
    NearestNeighborsDisplay,
    PriorDisplay,
)
from skdim.displays.code import arrange_thumbnails
from skdim.displays.drawing import as_pictures
from skdim.displays.local_score import find_map_shape, local_scores
from skdim.encoders import ENCODERS, Encoding, encode

mpl = pytest.importorskip("matplotlib")
SHORT = {
    "n_components": 8,
    "encoder_params": {"width": 8, "n_hidden": 32},
    "max_epochs": 1,
    "batch_size": 32,
    "random_state": 0,
}


@pytest.fixture(autouse=True)
def closed_figures():
    """Draw into memory, and leave no figure open."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(images):
    return DIMTransformer(prior_weight=0.1, **{**SHORT, "max_epochs": 3}).fit(images)


SIGNALS, ROWS = noise(40, 2, 32), noise(40, 5)


@pytest.fixture(scope="module")
def of_signals():
    return DIMTransformer(channel_axis=1, **SHORT).fit(SIGNALS)


@pytest.fixture(scope="module")
def of_rows():
    return DIMTransformer(**SHORT).fit(ROWS)


def new_axes():
    from matplotlib.figure import Figure

    return Figure().subplots()


def picture_of(display):
    """Every pixel of a display's figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(display.figure_.figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def extent_of(artist):
    """Left, right, bottom and top of an artist in the picture, in pixels."""
    return np.array(artist.get_window_extent().extents)[[0, 2, 1, 3]]


def overlap(a, b):
    """Whether two extents have a pixel in common."""
    return a[0] < b[1] - 0.5 and b[0] < a[1] - 0.5 and a[2] < b[3] - 0.5 and b[2] < a[3] - 0.5


def is_inside(inner, outer):
    signs = np.array([1, -1, 1, -1])
    return (signs * (np.asarray(inner) - outer) >= -0.5).all()


FROM_ESTIMATOR = {
    LossCurveDisplay: lambda dim, X, ax: LossCurveDisplay.from_estimator(dim, ax=ax),
    NearestNeighborsDisplay: lambda dim, X, ax: NearestNeighborsDisplay.from_estimator(
        dim, X, ax=ax
    ),
    CodeDisplay: lambda dim, X, ax: CodeDisplay.from_estimator(dim, X, ax=ax),
    LocalScoreDisplay: lambda dim, X, ax: LocalScoreDisplay.from_estimator(dim, X, ax=ax),
    PriorDisplay: lambda dim, X, ax: PriorDisplay.from_estimator(dim, X, ax=ax),
}
# From the attributes of a display to another one of the same arrays.
FROM_ARRAYS = {
    LossCurveDisplay: lambda d: LossCurveDisplay(d.epochs, d.curves, bound=d.bound),
    NearestNeighborsDisplay: lambda d: NearestNeighborsDisplay(d.queries, d.neighbors, d.distances),
    CodeDisplay: lambda d: CodeDisplay(
        d.embedding, samples=d.samples, y=d.y, axis_labels=d.axis_labels
    ),
    LocalScoreDisplay: lambda d: LocalScoreDisplay(d.samples, d.scores),
    PriorDisplay: lambda d: PriorDisplay(d.codes, d.draws),
}


# ---- What all of them promise -----------------------------------------------------------------


def test_importing_displays_does_not_import_matplotlib():
    code = "import skdim, skdim.displays, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("display", FROM_ESTIMATOR)
def test_a_missing_matplotlib_is_named(display, fitted, images, monkeypatch):
    drawn = FROM_ESTIMATOR[display](fitted, images, new_axes())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        FROM_ESTIMATOR[display](fitted, images, None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        FROM_ARRAYS[display](drawn).plot()


@pytest.mark.parametrize("display", FROM_ESTIMATOR)
def test_constructor_and_from_estimator_draw_one_picture(display, fitted, images):
    drawn = FROM_ESTIMATOR[display](fitted, images, None)
    rebuilt = FROM_ARRAYS[display](drawn)
    assert not hasattr(rebuilt, "ax_")
    assert rebuilt.plot() is rebuilt
    np.testing.assert_array_equal(picture_of(rebuilt), picture_of(drawn))


@pytest.mark.parametrize("display", FROM_ESTIMATOR)
def test_a_given_ax_is_drawn_on_and_no_figure_is_made(display, fitted, images):
    import matplotlib.pyplot as plt

    ax = new_axes()
    before = FROM_ESTIMATOR[display](fitted, images, ax)
    assert before.ax_ is ax
    assert before.figure_ is ax.figure
    assert not plt.get_fignums()
    assert (picture_of(before) != 255).any()  # all of it in the figure that was given
    assert FROM_ESTIMATOR[display](fitted, images, None).figure_ is plt.gcf()


def axes_by_hand():
    from matplotlib.figure import Figure

    return Figure().add_axes((0.3, 0.3, 0.6, 0.5))


def axes_of(layout):
    from matplotlib.figure import Figure

    return Figure((15, 12), layout=layout).subplots(2, 2)[0, 1]


def axes_of_subfigure():
    from matplotlib.figure import Figure

    return Figure((12, 6)).subfigures(1, 2)[1].subplots()


AXES = {
    "by hand": axes_by_hand,
    "constrained": lambda: axes_of("constrained"),
    "compressed": lambda: axes_of("compressed"),
    "tight": lambda: axes_of("tight"),
    "subfigure": axes_of_subfigure,
}


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("display", FROM_ESTIMATOR)
def test_panels_are_inside_the_given_ax_and_do_not_overlap(display, axes, fitted, images):
    drawn = FROM_ESTIMATOR[display](fitted, images, AXES[axes]())
    picture_of(drawn)
    panels = [extent_of(panel) for panel in innermost(drawn.ax_)]
    assert all(is_inside(panel, extent_of(drawn.ax_)) for panel in panels)
    assert not any(overlap(a, b) for a, b in itertools.combinations(panels, 2))


def innermost(ax):
    """Axes inside of these axes that contain no other axes."""
    return [ax] if not ax.child_axes else [a for child in ax.child_axes for a in innermost(child)]


def texts_of(figure):
    """Extents of all texts of a figure that are seen."""
    from matplotlib.axis import Axis
    from matplotlib.text import Text

    unseen = set()
    for axis in figure.findobj(Axis):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high:
                unseen |= {tick.label1, tick.label2}
        if not axis.axes.axison:
            unseen |= set(axis.findobj(Text))
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    return {text: extent_of(text) for text in texts if text not in unseen}


@pytest.mark.parametrize("display", FROM_ESTIMATOR)
@pytest.mark.parametrize("kind", ["images", "signals"])
def test_texts_are_inside_the_figure_and_do_not_overlap(display, kind, request):
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    dim, X = {"images": ("fitted", "images"), "signals": ("of_signals", SIGNALS)}[kind]
    X = request.getfixturevalue(X) if isinstance(X, str) else X
    drawn = FROM_ESTIMATOR[display](request.getfixturevalue(dim), X, None)
    picture_of(drawn)
    texts = texts_of(drawn.figure_)
    assert len(texts) > 1
    panels = [extent_of(panel) for panel in innermost(drawn.ax_)]
    legends = {text for legend in drawn.figure_.findobj(Legend) for text in legend.findobj(Text)}
    for text, extent in texts.items():
        assert text in legends or not any(overlap(extent, panel) for panel in panels), text
    whole = (0, drawn.figure_.bbox.width, 0, drawn.figure_.bbox.height)
    assert not [text for text, extent in texts.items() if not is_inside(extent, whole)]
    for (a, of_a), (b, of_b) in itertools.combinations(texts.items(), 2):
        assert not overlap(of_a, of_b), f"{a} {b}"


@pytest.mark.parametrize("display", FROM_ESTIMATOR)
def test_only_fitted_transformers_are_accepted(display, fitted, images):
    pipeline = make_pipeline(FrozenEstimator(fitted), LogisticRegression())
    with pytest.raises(TypeError, match=r"'estimator' .* pass the step itself.* Got Pipeline"):
        FROM_ESTIMATOR[display](pipeline, images, None)
    with pytest.raises(NotFittedError):
        FROM_ESTIMATOR[display](DIMTransformer(), images, None)


@pytest.mark.parametrize("display", FROM_ESTIMATOR)
def test_a_trimmed_transformer_draws_what_needs_neither_critic_nor_history(display, images):
    trimmed = DIMTransformer(**SHORT).fit(images).trim()
    if display in (LossCurveDisplay, LocalScoreDisplay):
        with pytest.raises(ValueError, match=r"was trimmed.*Fit it again"):
            FROM_ESTIMATOR[display](trimmed, images, None)
    else:
        FROM_ESTIMATOR[display](trimmed, images, None)


# ---- Samples as pictures ----------------------------------------------------------------------

COLORED = np.random.default_rng(0).integers(0, 256, (40, 12, 10, 3), dtype=np.uint8)
LAYOUTS = {
    "channels last": ({}, COLORED),
    "channels first": ({}, COLORED.transpose(0, 3, 1, 2)),
    "flat": ({"sample_shape": (12, 10, 3)}, COLORED.reshape(40, -1)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_are_the_same_whatever_the_layout(layout):
    params, X = LAYOUTS[layout]
    dim = DIMTransformer(**SHORT, **params).fit(X)
    display = NearestNeighborsDisplay.from_estimator(dim, X, queries=X[3:5], n_neighbors=2)
    left, right = display.thumbnails_[:, 0]
    low, high = display.neighbors.min(), display.neighbors.max()
    np.testing.assert_allclose(left.get_array(), (COLORED[3] - float(low)) / (high - float(low)))
    west, east, south, north = right.get_extent()
    assert (north - south) / (east - west) == pytest.approx(12 / 10)
    assert LocalScoreDisplay.from_estimator(dim, X).pictures_[3].get_array().shape == (12, 10, 3)
    assert CodeDisplay.from_estimator(dim, X).thumbnails_[0].get_array().shape == (12, 10, 3)


@pytest.mark.parametrize("shape", [(3, 1, 5, 4), (3, 3, 5, 4), (3, 7, 5, 4), (3, 1, 6, 5, 4)])
def test_pictures_fill_the_range_from_0_to_1_in_the_order_of_the_values(shape):
    samples = noise(*shape) * 100 - 50
    pictures = as_pictures(samples)
    assert pictures.shape == (3, 5, 4, 3) if shape[1] == 3 else (3, 5, 4)
    assert (pictures.min(), pictures.max()) == (0, 1)
    np.testing.assert_allclose(as_pictures(2 * samples + 7), pictures, atol=1e-5)
    middle = samples[:, :, 3] if len(shape) == 5 else samples
    values = np.moveaxis(middle, 1, -1) if shape[1] == 3 else middle.mean(1, dtype=float)
    np.testing.assert_array_equal(pictures.ravel().argsort(), values.ravel().argsort())


def test_pictures_of_one_value_are_black():
    assert (as_pictures(np.full((2, 1, 4, 4), 9)) == 0).all()


# ---- Curves of the loss -----------------------------------------------------------------------


def test_every_term_of_the_history_is_a_curve(images):
    weights = {"global_weight": 0.5, "prior_weight": 0.1, "coordinate_weight": 0.1}
    dim = DIMTransformer(early_stopping=True, **weights, **{**SHORT, "max_epochs": 3}).fit(images)
    display = LossCurveDisplay.from_estimator(dim, learning_rate=True)
    hidden = {"epoch", "seconds", "samples_per_second"}
    assert set(display.lines_) == set(dim.history_[0]) - hidden
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), [epoch[name] for epoch in dim.history_])
    together = [sorted(line.get_label() for line in panel.lines) for panel in display.panels_]
    assert sorted(together) == [
        ["coordinates"],
        ["discriminator", "prior"],
        ["global", "local"],
        ["learning_rate"],
        ["loss"],
        ["validation_score"],
    ]


def test_terms_are_drawn_on_request_one_panel_on_the_ax_itself(fitted):
    display = LossCurveDisplay.from_estimator(fitted, terms=["local"])
    assert list(display.lines_) == ["local"]
    assert display.panels_.tolist() == [display.ax_]
    assert display.ax_.get_ylabel() == "nats"


def test_the_loss_of_a_single_term_is_not_drawn_twice(of_rows, fitted):
    assert list(LossCurveDisplay.from_estimator(of_rows).lines_) == ["local"]
    assert list(LossCurveDisplay.from_estimator(of_rows, terms=["loss"]).lines_) == ["loss"]
    assert "loss" in LossCurveDisplay.from_estimator(fitted).lines_


def test_panels_have_one_axis_of_epochs(fitted):
    display = LossCurveDisplay.from_estimator(fitted)
    display.panels_[0].set_xlim(1, 2)
    assert {panel.get_xlim() for panel in display.panels_} == {(1, 2)}
    assert [panel.get_xlabel() for panel in display.panels_] == ["", "", "epoch"]


def test_a_custom_bound_has_no_unit(images):
    def bound(joint, marginal):
        return joint.mean() - marginal.square().mean()

    dim = DIMTransformer(mi_estimator=bound, **SHORT).fit(images)
    assert LossCurveDisplay.from_estimator(dim, terms=["local"]).ax_.get_ylabel() == ""


# ---- Neighbours -------------------------------------------------------------------------------


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


def test_rows_go_down_and_neighbors_to_the_right(fitted, images):
    display = NearestNeighborsDisplay.from_estimator(fitted, images)
    picture_of(display)
    thumbnails = display.thumbnails_
    assert thumbnails.shape == (6, 8)
    extents = np.array([[extent_of(artist) for artist in row] for row in thumbnails])
    assert (extents[:, 1:, 0] > extents[:, :-1, 1]).all()
    assert (extents[1:, :, 3] < extents[:-1, :, 2]).all()


@pytest.mark.parametrize("display", [NearestNeighborsDisplay, LocalScoreDisplay])
@pytest.mark.parametrize("figsize", [(12, 4), (4, 12)])
def test_pictures_are_close_together_whatever_the_shape_of_the_ax(display, figsize, fitted, images):
    from matplotlib.figure import Figure

    drawn = FROM_ESTIMATOR[display](fitted, images, Figure(figsize).subplots())
    picture_of(drawn)
    left, right, bottom, top = np.array([extent_of(p) for p in innermost(drawn.ax_)]).T
    side = (right - left)[0]
    np.testing.assert_allclose([right - left, top - bottom], side)
    for low in (left, bottom):
        steps = np.diff(np.unique(low.round(3)))
        assert steps.max() < 1.5 * side


def test_signals_are_lines(of_signals):
    display = NearestNeighborsDisplay.from_estimator(of_signals, SIGNALS)
    line = display.thumbnails_[0, 0]
    assert [len(curve) for curve in line.get_segments()] == [32, 32]
    (y,) = (curve[:, 1] for curve in line.get_segments()[:1])
    assert np.corrcoef(y, display.queries[0, 0])[0, 1] == pytest.approx(1)


def test_channels_of_a_signal_do_not_cross(of_signals):
    display = NearestNeighborsDisplay.from_estimator(of_signals, SIGNALS)
    for line in display.thumbnails_.flat:
        upper, lower = line.get_segments()
        assert upper[:, 1].min() >= lower[:, 1].max()


# ---- The map ----------------------------------------------------------------------------------


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
    picture_of(display)
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


# ---- Local scores -----------------------------------------------------------------------------


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


IMAGE_ENCODERS = [name for name in ENCODERS if name not in ("mlp", "signal")]
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


@pytest.mark.parametrize("display", [NearestNeighborsDisplay, CodeDisplay, LocalScoreDisplay])
def test_the_ends_of_shorter_signals_are_not_drawn(display):
    X = SIGNALS.copy()
    X[::2, :, 20:] = np.nan
    dim = DIMTransformer(channel_axis=1, allow_nan=True, **SHORT).fit(X)
    drawn = FROM_ESTIMATOR[display](dim, X, None)
    if display is LocalScoreDisplay:
        curves = [line.get_xydata() for line in drawn.panels_[0, 0].lines]
    else:
        curves = [c for lines in drawn.thumbnails_ for c in np.ravel(lines)[0].get_segments()]
    points = {np.isfinite(curve).all(1).sum() for curve in curves}
    assert points <= {20, 32}
    assert 20 in points


@pytest.mark.parametrize("n_samples", [1, 2, 7, 13])
def test_each_sample_has_a_picture_and_its_heat_below(fitted, images, n_samples):
    display = LocalScoreDisplay.from_estimator(fitted, images, n_samples=n_samples)
    picture_of(display)
    assert len(display.pictures_) == len(display.heat_) == n_samples
    for picture, heat in zip(display.pictures_, display.heat_, strict=True):
        above, below = extent_of(picture), extent_of(heat)
        np.testing.assert_allclose(above[:2], below[:2])
        assert above[2] > below[3]
        assert above[3] - above[2] == pytest.approx(above[1] - above[0])  # 8 x 8 is a square
        assert is_inside(above, extent_of(display.ax_))
        assert is_inside(below, extent_of(display.ax_))


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


# ---- The prior --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prior", "squash"),
    [
        ("uniform", lambda code: 1 / (1 + np.exp(-code))),
        ("normal", lambda code: code),
        ("sphere", lambda code: code / np.linalg.norm(code, axis=1, keepdims=True)),
    ],
)
def test_codes_are_squashed_and_drawn_with_the_prior(images, prior, squash):
    dim = DIMTransformer(prior=prior, prior_weight=0.1, **SHORT).fit(images)
    display = PriorDisplay.from_estimator(dim, images, components=[4, 0], n_bins=10)
    readout = dim.model_.readouts["code"]
    code = dim.set_params(output="code").transform(images) * readout.scale + readout.mean
    np.testing.assert_allclose(display.codes, squash(code), rtol=1e-3, atol=1e-5)
    assert display.draws.shape == (20_000, 8)
    for component, codes, draws in zip([4, 0], display.codes_, display.draws_, strict=True):
        heights, edges, _ = codes.get_data()
        assert len(heights) == 10
        counts = np.histogram(display.codes[:, component], edges)[0]
        np.testing.assert_allclose(heights * np.diff(edges) * 90, counts, atol=1e-3)
        heights, edges, _ = draws.get_data()
        assert (heights * np.diff(edges)).sum() == pytest.approx(1)
    if prior == "uniform":
        np.testing.assert_allclose(heights[1:-1], 1, atol=0.1)


@pytest.mark.parametrize(("components", "n_panels"), [(1, 1), (5, 5), (99, 8), ([7], 1)])
def test_each_component_has_a_panel(fitted, images, components, n_panels):
    display = PriorDisplay.from_estimator(fitted, images, components=components)
    assert len(display.panels_) == len(display.codes_) == len(display.draws_) == n_panels
    assert len({panel.get_ylim() for panel in display.panels_}) == 1


# ---- Errors -----------------------------------------------------------------------------------

DISPLAYS = {
    "loss": lambda dim, X, **p: LossCurveDisplay.from_estimator(dim, **p),
    "neighbors": NearestNeighborsDisplay.from_estimator,
    "code": CodeDisplay.from_estimator,
    "local": LocalScoreDisplay.from_estimator,
    "prior": PriorDisplay.from_estimator,
}
ERRORS = [
    ("loss", {"terms": ["locale"]}, "'terms' .* Did you mean 'local'"),
    ("loss", {"terms": []}, "'terms' .* Got none"),
    ("neighbors", {"n_queries": 0}, "'n_queries' .* 1 to the 90 .* Got 0"),
    ("neighbors", {"n_neighbors": 90}, "'n_neighbors' .* 1 to the 89 other .* Got 90"),
    ("neighbors", {"queries": ROWS}, "X .* as in fit|X has 5 features"),
    ("code", {"y": [1, 2]}, "'y' .* 90 samples. Got 2"),
    ("code", {"y": [str(i) for i in range(90)]}, "'y' .* 10 classes at most.* Got 90"),
    ("code", {"embedding": np.zeros((90, 3))}, r"'embedding' .* Got \(90, 3\)"),
    ("code", {"embedding": np.full((90, 2), np.nan)}, "'embedding' .* not finite"),
    ("code", {"embedding": np.zeros((9, 2))}, "'embedding' .* 90 samples of X. Got 9"),
    ("code", {"thumbnail_size": 0}, "'thumbnail_size' .* Got 0"),
    ("local", {"n_samples": 0}, "'n_samples' .* Got 0"),
    ("prior", {"components": 0}, "'components' .* Got 0"),
    ("prior", {"components": [8]}, r"'components' .* 0 to 7. Got \[8\]"),
]


@pytest.mark.parametrize(("name", "params", "sentence"), ERRORS)
def test_an_error_names_the_parameter(name, params, sentence, fitted, images):
    with pytest.raises(ValueError, match=f"(?s){sentence}"):
        DISPLAYS[name](fitted, images, **params)


@pytest.mark.parametrize("name", ["neighbors", "local"])
def test_rows_of_a_table_cannot_be_shown_as_pictures(name, of_rows):
    with pytest.raises(ValueError, match=r"X must hold images.* Got samples of shape \(5,\)"):
        DISPLAYS[name](of_rows, ROWS)


def test_volumes_have_thumbnails_and_no_heat_map():
    X = noise(20, 8, 9, 10)
    dim = DIMTransformer(channel_axis=None, **SHORT).fit(X)
    display = NearestNeighborsDisplay.from_estimator(dim, X, n_queries=2)
    assert display.thumbnails_[0, 0].get_array().shape == (9, 10)
    with pytest.raises(ValueError, match=r"images or signals.*\(1, 8, 9, 10\)"):
        LocalScoreDisplay.from_estimator(dim, X)


def test_local_scores_need_two_samples_and_a_local_critic(fitted, images):
    with pytest.raises(ValueError, match="X must hold at least 2 samples, so that"):
        LocalScoreDisplay.from_estimator(fitted, images[:1])
    dim = DIMTransformer(local_weight=0, global_weight=1, **SHORT).fit(images)
    with pytest.raises(ValueError, match=r"'local_weight' .* Got 0"):
        LocalScoreDisplay.from_estimator(dim, images)


def test_a_map_needs_two_features(images):
    dim = DIMTransformer(**{**SHORT, "n_components": 1}).fit(images)
    with pytest.raises(ValueError, match=r"two features .*\(90, 1\).*'embedding'"):
        CodeDisplay.from_estimator(dim, images)


def test_a_prior_that_was_not_trained_is_named(of_rows, fitted, images):
    display = PriorDisplay.from_estimator(of_rows, ROWS)
    assert "No prior was trained" in display.ax_.get_legend().get_title().get_text()
    trained = PriorDisplay.from_estimator(fitted, images)
    assert trained.ax_.get_legend().get_title().get_text() == ""
