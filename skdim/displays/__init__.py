"""Pictures of a fitted transformer, in the style of scikit-learn's displays.

Each display remembers arrays, draws them with ``plot(ax=None)``, and comes from a transformer with
``from_estimator``. They need matplotlib, which is imported when something is drawn:
``pip install "skdim[plot]"``.
"""

from skdim.displays.code import CodeDisplay
from skdim.displays.local_score import LocalScoreDisplay
from skdim.displays.loss_curve import LossCurveDisplay
from skdim.displays.neighbors import NearestNeighborsDisplay
from skdim.displays.prior import PriorDisplay

__all__ = [
    "CodeDisplay",
    "LocalScoreDisplay",
    "LossCurveDisplay",
    "NearestNeighborsDisplay",
    "PriorDisplay",
]
