"""Run the suite of the pretended device; ``tests/robustness/test_pretended_device.py`` does.

    python tests/device/run.py cuda           # with CUDA read as this device: its branches run
    python tests/device/run.py generic        # skdim as it is: what differs on another device
    python tests/device/run.py both           # one after the other
    python tests/device/run.py generic -k ""  # all of it
    python tests/device/run.py cuda -m ""     # every combination of choices
    python tests/device/run.py cuda test_laws.py  # one file

Further arguments are those of pytest.
"""

import gc
import os
import sys
import traceback
from importlib import import_module
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
# What skdim and its tests import; not skdim itself, which differs between the modes.
SHARED = """skorch.callbacks safetensors.torch filelock tqdm torch._dynamo torch.export
    torch.distributed sklearn.datasets sklearn.decomposition sklearn.ensemble sklearn.linear_model
    sklearn.model_selection sklearn.neighbors sklearn.pipeline scipy.stats"""


def run(mode: str, *arguments: str) -> int:
    """Run tests in this process, and return pytest's exit code."""
    pretended_device.register()
    if mode == "cuda":
        pretended_device.replace_cuda("skdim")
    options = ["-k", MODES[mode], "-q", "-p", "no:cacheprovider", "--no-header"]
    names = [name for name in arguments if name.endswith(".py")]
    others = [argument for argument in arguments if argument not in names]
    files = [str(HERE / name) for name in names] or [str(HERE)]
    return int(pytest.main([*files, *options, *others]))


def run_both(*arguments: str) -> int:
    """Run both modes in processes that share the time of imports, one after the other."""
    gc.disable()
    for name in SHARED.split():
        import_module(name)
    gc.freeze()
    gc.enable()
    failed = []
    for mode in MODES:
        child = os.fork()
        if not child:
            os._exit(run_to_end(mode, *arguments))
        if os.waitpid(child, 0)[1]:
            failed.append(mode)
    print("failed:", *failed)
    return int(bool(failed))


def run_to_end(*arguments: str) -> int:
    """Run tests in a forked process, and return its exit code, whatever happens."""
    code = 1
    try:
        code = run(*arguments)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    mode, *arguments = sys.argv[1:] or ["generic"]
    if mode not in (*MODES, "both"):
        raise SystemExit(f"The first argument must be one of {[*MODES, 'both']}. Got {mode!r}.")
    if not pretended_device.IS_SUPPORTED:
        raise SystemExit(pretended_device.REASON)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # their imports take seconds
    raise SystemExit(run_both(*arguments) if mode == "both" else run(mode, *arguments))
