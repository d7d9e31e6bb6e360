"""Deep InfoMax features as an ordinary part of scikit-learn."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skdim._environment import show_versions
    from skdim._training.checkpoint import Checkpoint
    from skdim._version import __version__
    from skdim.classifier import DIMClassifier
    from skdim.outlier_detector import DIMOutlierDetector
    from skdim.transformer import DIMTransformer

__all__ = [
    "Checkpoint",
    "DIMClassifier",
    "DIMOutlierDetector",
    "DIMTransformer",
    "__version__",
    "get_skops_trusted",
    "show_versions",
]

HOMES = {
    "Checkpoint": "skdim._training.checkpoint",
    "DIMClassifier": "skdim.classifier",
    "DIMOutlierDetector": "skdim.outlier_detector",
    "DIMTransformer": "skdim.transformer",
    "__version__": "skdim._version",
    "show_versions": "skdim._environment",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use: torch takes seconds, and the help of a command needs no torch."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def get_skops_trusted() -> list[str]:
    """Return the types that ``skops.io.load`` must trust to read a transformer.

    Examples
    --------
    >>> import skdim
    >>> "skdim.Checkpoint" in skdim.get_skops_trusted()
    True
    """
    return [
        "skdim.Checkpoint",
        "skdim.classifier.DIMClassifier",
        "skdim.outlier_detector.DIMOutlierDetector",
        "skdim.priors.Prior",
        "skdim.transformer.DIMTransformer",
    ]
