"""Run the suite of the pretended device; ``tests/robustness/test_pretended_device.py`` does.

    python tests/device/run.py cuda           # with CUDA read as this device: its branches run
    python tests/device/run.py generic        # skdim as it is: what differs on another device
    python tests/device/run.py generic -k ""  # all of it
    python tests/device/run.py cuda -m ""     # every combination of choices
    python tests/device/run.py cuda test_laws.py  # one file

Further arguments are those of pytest.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

import pytest  # noqa: E402
from helpers import pretended_device  # noqa: E402

# Which tests run in each mode, as pytest's -k selects them.
MODES = {
    "cuda": "",
    "generic": "test_laws or kind or float or every_copy or over_pickles or with_groups",
}

if __name__ == "__main__":
    mode, *arguments = sys.argv[1:] or ["generic"]
    if mode not in MODES:
        raise SystemExit(f"The first argument must be one of {list(MODES)}. Got {mode!r}.")
    if not pretended_device.IS_SUPPORTED:
        raise SystemExit(pretended_device.REASON)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # their imports take seconds
    pretended_device.register()
    if mode == "cuda":
        pretended_device.replace_cuda("skdim")
    options = ["-k", MODES[mode], "-q", "-p", "no:cacheprovider", "--no-header"]
    names = [name for name in arguments if name.endswith(".py")]
    others = [argument for argument in arguments if argument not in names]
    files = [str(HERE / name) for name in names] or [str(HERE)]
    raise SystemExit(pytest.main([*files, *options, *others]))
