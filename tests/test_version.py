"""What a bug report needs, and files of other versions."""

import pickle

import numpy as np
import pytest

from skdim import DIMTransformer
from skdim.exceptions import VersionWarning

RNG = np.random.default_rng(0)


def test_another_version_is_warned_about(quick, tmp_path, monkeypatch):
    dim = quick().fit(RNG.normal(size=(40, 5)))
    monkeypatch.setattr("skdim._model.fitted.__version__", "0.0.1")
    dim.save(tmp_path / "dim")
    pickled = pickle.dumps(dim)
    with pytest.warns(VersionWarning, match="saved by skdim 0.0.1"):
        DIMTransformer.load(tmp_path / "dim")
    with pytest.warns(VersionWarning, match="saved by skdim 0.0.1"):
        pickle.loads(pickled)
