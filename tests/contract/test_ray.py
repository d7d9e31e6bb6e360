"""Ray: the script of the page on scale, where Ray is installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skdim import DIMTransformer

pytest.importorskip("ray")

ROOT = Path(__file__).parents[2]

BEFORE = """
import os
import numpy as np
from skdim import DIMTransformer
folder = {folder!r}
"""


def test_workers_of_ray_train_fit_together(tmp_path):
    page = (ROOT / "docs" / "scale.md").read_text()
    (block,) = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    X = load_digits().images[:200].astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    (tmp_path / "script.py").write_text(BEFORE.format(folder=str(tmp_path)) + block)
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", str(tmp_path / "script.py")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    dim = DIMTransformer.load(tmp_path / "dim.safetensors")
    assert dim.n_iter_ == 1
    assert np.isfinite(dim.transform(X)).all()
