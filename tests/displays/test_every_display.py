"""What all displays promise: pictures where they were asked for, in which nothing overlaps."""

import importlib
import itertools
import multiprocessing
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.displays import (
    FROM_ESTIMATOR,
    ROWS,
    SHORT,
    SIGNALS,
    draw_few,
    extent_of,
    innermost,
    is_inside,
    lay_out,
    new_axes,
    overlap,
    picture_of,
)
from helpers.sources import ArraySource
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch.utils.data import DataLoader, TensorDataset

from skdim import DIMTransformer
from skdim.displays import (
    CodeDisplay,
    LocalScoreDisplay,
    LossCurveDisplay,
    NearestNeighborsDisplay,
    PriorDisplay,
    ViewsDisplay,
)
from skdim.sources import StoredSamples

# From the attributes of a display to another one of the same arrays.
FROM_ARRAYS = {
    LossCurveDisplay: lambda d: LossCurveDisplay(
        d.epochs, d.curves, bound=d.bound, chance=d.chance
    ),
    NearestNeighborsDisplay: lambda d: NearestNeighborsDisplay(d.queries, d.neighbors, d.distances),
    CodeDisplay: lambda d: CodeDisplay(
        d.embedding, samples=d.samples, y=d.y, axis_labels=d.axis_labels
    ),
    LocalScoreDisplay: lambda d: LocalScoreDisplay(d.samples, d.scores),
    PriorDisplay: lambda d: PriorDisplay(d.codes, d.draws),
    ViewsDisplay: lambda d: ViewsDisplay(d.samples, d.views),
}


def import_afresh():
    """End the process with 1 if displays import matplotlib, else with 0."""
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("skdim", "matplotlib"):
            del sys.modules[name]
    importlib.import_module("skdim.displays")
    sys.exit("matplotlib" in sys.modules)


def test_importing_displays_does_not_import_matplotlib():
    child = multiprocessing.get_context("fork").Process(target=import_afresh)
    child.start()
    child.join()
    assert child.exitcode == 0


@pytest.mark.parametrize("display", FROM_ESTIMATOR)
def test_a_missing_matplotlib_is_named(display, fitted, images, monkeypatch):
    drawn = draw_few(display, fitted, images, new_axes())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        draw_few(display, fitted, images)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        FROM_ARRAYS[display](drawn).plot()


@pytest.mark.parametrize("display", FROM_ESTIMATOR)
def test_constructor_and_from_estimator_draw_one_picture(display, fitted, images):
    drawn = draw_few(display, fitted, images)
    rebuilt = FROM_ARRAYS[display](drawn)
    assert not hasattr(rebuilt, "ax_")
    assert rebuilt.plot() is rebuilt
    np.testing.assert_array_equal(picture_of(rebuilt), picture_of(drawn))


@pytest.mark.parametrize("display", FROM_ESTIMATOR)
def test_a_given_ax_is_drawn_on_and_no_figure_is_made(display, fitted, images):
    import matplotlib.pyplot as plt

    ax = new_axes()
    before = draw_few(display, fitted, images, ax)
    assert before.ax_ is ax
    assert before.figure_ is ax.figure
    assert not plt.get_fignums()
    assert (picture_of(before) != 255).any()  # all of it in the figure that was given
    assert draw_few(display, fitted, images).figure_ is plt.gcf()


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
    drawn = draw_few(display, fitted, images, AXES[axes]())
    lay_out(drawn)
    panels = [extent_of(panel) for panel in innermost(drawn.ax_)]
    assert all(is_inside(panel, extent_of(drawn.ax_)) for panel in panels)
    assert not any(overlap(a, b) for a, b in itertools.combinations(panels, 2))


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
    lay_out(drawn)
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
        draw_few(display, pipeline, images)
    if display is not ViewsDisplay:  # views are worth a look before a fit
        with pytest.raises(NotFittedError):
            draw_few(display, DIMTransformer(), images)


def written(images):
    path = Path(tempfile.mkdtemp()) / "X.npy"
    np.save(path, images)
    return np.load(path, mmap_mode="r")


def in_hdf5(images):
    file = pytest.importorskip("h5py").File("X.h5", "w", driver="core", backing_store=False)
    return file.create_dataset("X", data=images)


SOURCES = {
    "a source": ArraySource,
    "a file": written,
    "HDF5": in_hdf5,
    "a dataset": lambda images: TensorDataset(torch.from_numpy(images)),
    "a stream": iter,
    "a loader": lambda images: DataLoader(torch.from_numpy(images), batch_size=32),
    "a list": list,
    "a tensor": torch.from_numpy,
}


@pytest.mark.parametrize("display", FROM_ESTIMATOR)
def test_an_x_that_fit_takes_is_drawn_as_if_it_were_an_array(display, fitted, images, monkeypatch):
    plot = display.plot

    def plot_what_is_stored(drawn, *args, **kwargs):
        """Leave out pictures of arrays, which other tests draw."""
        values = [getattr(drawn, field.name) for field in fields(display)]
        is_stored = any(isinstance(value, StoredSamples) for value in values)
        return plot(drawn, *args, **kwargs) if is_stored else drawn

    monkeypatch.setattr(display, "plot", plot_what_is_stored)
    expected = draw_few(display, fitted, images, new_axes())
    for source in SOURCES.values():
        drawn = draw_few(display, fitted, source(images), new_axes())
        for field in fields(display):
            value = getattr(drawn, field.name)
            value = value[:] if isinstance(value, StoredSamples) else value
            np.testing.assert_equal(value, getattr(expected, field.name))


@pytest.mark.parametrize("display", FROM_ESTIMATOR)
def test_a_trimmed_transformer_draws_what_needs_neither_critic_nor_history(display, images):
    trimmed = DIMTransformer(**SHORT).fit(images).trim()
    if display in (LossCurveDisplay, LocalScoreDisplay):
        with pytest.raises(ValueError, match=r"was trimmed.*Fit it again"):
            draw_few(display, trimmed, images)
    else:
        draw_few(display, trimmed, images)


DISPLAYS = {
    "loss": lambda dim, X, **p: LossCurveDisplay.from_estimator(dim, **p),
    "neighbors": NearestNeighborsDisplay.from_estimator,
    "code": CodeDisplay.from_estimator,
    "local": LocalScoreDisplay.from_estimator,
    "prior": PriorDisplay.from_estimator,
    "views": ViewsDisplay.from_estimator,
}
ERRORS = [
    ("loss", {"terms": ["locale"]}, "'terms' .* Did you mean 'local'"),
    ("loss", {"terms": []}, "'terms' .* Got none"),
    ("neighbors", {"n_queries": 0}, "'n_queries' .* 1 to the 90 .* Got 0"),
    ("neighbors", {"n_neighbors": 90}, "'n_neighbors' .* 1 to the 89 other .* Got 90"),
    ("neighbors", {"queries": ROWS}, "X .* as in fit|X has 5 features"),
    ("code", {"y": [1, 2]}, "'y' .* 90 samples. Got 2"),
    ("code", {"embedding": np.zeros((90, 3))}, r"'embedding' .* Got \(90, 3\)"),
    ("code", {"embedding": np.full((90, 2), np.nan)}, "'embedding' .* not finite"),
    ("code", {"embedding": np.zeros((9, 2))}, "'embedding' .* 90 samples of X. Got 9"),
    ("code", {"thumbnail_size": 0}, "'thumbnail_size' .* Got 0"),
    ("local", {"n_samples": 0}, "'n_samples' .* Got 0"),
    ("views", {"n_samples": 91}, "'n_samples' .* 1 to the 90 samples of X. Got 91"),
    ("views", {"n_views": 0}, "'n_views' .* Got 0"),
    ("prior", {"components": 0}, "'components' .* Got 0"),
    ("prior", {"components": [8]}, r"'components' .* 0 to 7. Got \[8\]"),
]


@pytest.mark.parametrize(("name", "params", "sentence"), ERRORS)
def test_an_error_names_the_parameter(name, params, sentence, fitted, images):
    with pytest.raises(ValueError, match=f"(?s){sentence}"):
        DISPLAYS[name](fitted, images, **params)
