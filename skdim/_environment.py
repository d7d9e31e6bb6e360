"""The versions of all that skdim builds on, to paste into a bug report."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from skdim._version import FORMAT

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
    """Print the versions of Python, of packages and of the format of files, and torch's device.

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
        "format of files": f"{FORMAT}, reads 1 to {FORMAT}",
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
