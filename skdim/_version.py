"""What to paste into a bug report."""

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
    "tqdm",
)


def show_versions() -> None:
    """Print versions of Python, of the packages skdim stands on, and what torch computes on.

    Examples
    --------
    >>> import skdim
    >>> skdim.show_versions()  # doctest: +ELLIPSIS
    python: ...
    """
    import torch  # here: the version alone is told without it

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
    """Warn if a transformer was saved by another version than this one."""
    if written_by is not None and written_by != __version__:
        from skdim._user_warnings import warn  # here: as above
        from skdim.exceptions import VersionWarning

        warn(
            f"This transformer was saved by skdim {written_by} and is read by {__version__}: "
            "features may differ. Fit it again with this version, or read it with that one.",
            VersionWarning,
        )
