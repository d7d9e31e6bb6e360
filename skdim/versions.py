"""What to paste into a bug report."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

from skdim.devices import choose_device, choose_precision

PACKAGES = ("skdim", "torch", "scikit-learn", "skorch", "numpy", "scipy", "joblib", "tqdm")


def show_versions() -> None:
    """Print versions of Python, of the packages skdim stands on, and what torch computes on.

    Examples
    --------
    >>> import skdim
    >>> skdim.show_versions()  # doctest: +ELLIPSIS
    python: ...
    """
    device = choose_device("auto")
    lines = {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        **{package: _version(package) for package in PACKAGES},
        "cuda": torch.version.cuda or "not in this build of torch",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": str(torch.get_num_threads()),
        "precision for images": choose_precision("auto", device, n_axes=3),
    }
    for name, value in lines.items():
        print(f"{name}: {value}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
