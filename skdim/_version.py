"""The version of skdim, and those of all that it builds on, to paste into a bug report."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.2.0"

PACKAGES = (
    "skdim",
    "torch",
    "scikit-learn",
    "skorch",
    "numpy",
    "scipy",
    "joblib",
    "safetensors",
    "filelock",
    "tqdm",
)


def show_versions() -> None:
    """Print the versions of Python and of packages that skdim needs, and the device of torch.

    Examples
    --------
    >>> import skdim
    >>> skdim.show_versions()  # doctest: +ELLIPSIS
    python: ...
    """
    import torch  # takes seconds, which asking for the version alone should not

    from skdim._runtime.devices import choose_device, choose_precision

    device = choose_device("auto")
    lines = {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        **{package: _version(package) for package in PACKAGES},
        "cuda": torch.version.cuda or "not in this build of torch",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": str(torch.get_num_threads()),
        "precision for images": choose_precision("auto", device, has_large_layers=True),
    }
    for name, value in lines.items():
        print(f"{name}: {value}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def compare_versions(written_by: str | None) -> None:
    """Warn if a transformer was saved by another version of skdim."""
    if written_by is not None and written_by != __version__:
        from skdim.exceptions import VersionWarning, warn  # imports scikit-learn

        warn(
            f"This transformer was saved by skdim {written_by} and is read by {__version__}: "
            "features may differ. Fit it again with this version, or read it with that one.",
            VersionWarning,
        )
