"""The suite of the pretended device, in processes of its own: it changes torch for good."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.pretended_device import IS_SUPPORTED, REASON

PROGRAM = Path(__file__).parents[1] / "device" / "run.py"


@pytest.mark.skipif(not IS_SUPPORTED, reason=REASON)
def test_training_on_a_device():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment |= {"OMP_NUM_THREADS": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    ended = subprocess.run(
        [sys.executable, str(PROGRAM), "both", "--tb=short"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2_000:]
