"""Deep InfoMax features as an ordinary part of scikit-learn."""

from skdim.classifier import DIMClassifier
from skdim.transformer import DIMTransformer
from skdim.versions import show_versions

__version__ = "0.1.0"

__all__ = ["DIMClassifier", "DIMTransformer", "__version__", "show_versions"]
