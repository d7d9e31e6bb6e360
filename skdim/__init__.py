"""Deep InfoMax features as an ordinary part of scikit-learn."""

from skdim.classifier import DIMClassifier
from skdim.transformer import DIMTransformer
from skdim.versions import __version__, show_versions


def get_skops_trusted() -> list[str]:
    """Return the types that ``skops.io.load`` is to trust, to read a transformer.

    Examples
    --------
    >>> import skdim
    >>> skdim.get_skops_trusted()
    ['skdim.transformer.DIMTransformer']
    """
    return ["skdim.transformer.DIMTransformer"]


__all__ = ["DIMClassifier", "DIMTransformer", "__version__", "get_skops_trusted", "show_versions"]
