"""Small data to draw, and where things are in a picture."""

import numpy as np

from skdim.displays import (
    CodeDisplay,
    LocalScoreDisplay,
    LossCurveDisplay,
    NearestNeighborsDisplay,
    PriorDisplay,
    ViewsDisplay,
)

FROM_ESTIMATOR = {
    LossCurveDisplay: lambda dim, X, ax, **params: LossCurveDisplay.from_estimator(
        dim, ax=ax, **params
    ),
    NearestNeighborsDisplay: lambda dim, X, ax, **params: NearestNeighborsDisplay.from_estimator(
        dim, X, ax=ax, **params
    ),
    CodeDisplay: lambda dim, X, ax, **params: CodeDisplay.from_estimator(dim, X, ax=ax, **params),
    LocalScoreDisplay: lambda dim, X, ax, **params: LocalScoreDisplay.from_estimator(
        dim, X, ax=ax, **params
    ),
    PriorDisplay: lambda dim, X, ax, **params: PriorDisplay.from_estimator(dim, X, ax=ax, **params),
    ViewsDisplay: lambda dim, X, ax, **params: ViewsDisplay.from_estimator(dim, X, ax=ax, **params),
}
# Few pictures, in several rows and columns: most of the time goes into pictures.
FEW_PICTURES = {
    NearestNeighborsDisplay: {"n_queries": 2, "n_neighbors": 2},
    LocalScoreDisplay: {"n_samples": 3},
    ViewsDisplay: {"n_samples": 2, "n_views": 2},
}
SHORT = {
    "n_components": 8,
    "encoder_params": {"width": 8, "n_hidden": 32},
    "max_epochs": 1,
    "batch_size": 32,
    "random_state": 0,
}


def draw_few(display, dim, X, ax=None):
    """Draw a display of few pictures."""
    return FROM_ESTIMATOR[display](dim, X, ax, **FEW_PICTURES.get(display, {}))


def noise(*shape, seed=0):
    """Draw standard normal numbers, float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


SIGNALS, ROWS = noise(40, 2, 32), noise(40, 5)


def new_axes():
    """Make an ax that no window shows."""
    from matplotlib.figure import Figure

    return Figure().subplots()


def picture_of(display):
    """Every pixel of a display's figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(display.figure_.figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def lay_out(display):
    """Give a display's figure its final layout, as drawing does, without any pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(display.figure_.figure)
    display.figure_.figure.draw_without_rendering()


def extent_of(artist):
    """Left, right, bottom and top of an artist in the picture, in pixels."""
    return np.array(artist.get_window_extent().extents)[[0, 2, 1, 3]]


def overlap(a, b):
    """Whether two extents have a pixel in common."""
    return a[0] < b[1] - 0.5 and b[0] < a[1] - 0.5 and a[2] < b[3] - 0.5 and b[2] < a[3] - 0.5


def is_inside(inner, outer):
    """Whether an extent is inside another."""
    signs = np.array([1, -1, 1, -1])
    return (signs * (np.asarray(inner) - outer) >= -0.5).all()


def innermost(ax):
    """Axes inside of these axes that contain no other axes."""
    return [ax] if not ax.child_axes else [a for child in ax.child_axes for a in innermost(child)]
