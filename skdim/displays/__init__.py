"""Plots of a fitted transformer, in the style of scikit-learn's displays.

A display holds arrays and draws them with ``plot(ax=None)``. ``from_estimator`` makes one from a
fitted transformer and draws it. Displays need matplotlib (``pip install matplotlib``), which is
imported only when something is drawn.
"""

from skdim.displays.code import CodeDisplay
from skdim.displays.local_score import LocalScoreDisplay
from skdim.displays.loss_curve import LossCurveDisplay
from skdim.displays.mistakes import MistakesDisplay
from skdim.displays.neighbors import NearestNeighborsDisplay
from skdim.displays.prior import PriorDisplay
from skdim.displays.views import ViewsDisplay

__all__ = [
    "CodeDisplay",
    "LocalScoreDisplay",
    "LossCurveDisplay",
    "MistakesDisplay",
    "NearestNeighborsDisplay",
    "PriorDisplay",
    "ViewsDisplay",
]
