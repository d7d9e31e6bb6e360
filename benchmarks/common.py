"""What every benchmark shares: the machine it ran on, its JSON, its data, its classifier."""

import importlib.util
import json
import os
import platform
import sys
import warnings
from pathlib import Path

import numpy as np
import sklearn
import skorch
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import skdim

RESULTS = Path(__file__).parent / "results"


def machine() -> dict:
    """Processor, cores and versions."""
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "skorch": skorch.__version__,
        "skdim": skdim.__version__,
    }


def _processor() -> str:
    try:
        return str(torch.cpu.get_capabilities()["cpu_name"])
    except (AttributeError, KeyError):
        return platform.processor() or platform.machine()


def save(name: str, record: dict) -> None:
    """Write ``results/<name>.json`` with the machine beside the figures."""
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **record}, indent=2) + "\n")
    print("machine:", ", ".join(f"{key} {value}" for key, value in machine().items() if value))
    print(f"written: {path.relative_to(Path(__file__).parents[1])}")


def spread(values) -> str:
    """Mean and standard deviation, as text."""
    return f"{np.mean(values):.4f} +- {np.std(values):.4f}"


def fit_and_score(train, y_train, test, y_test, **params) -> tuple[float, bool]:
    """Accuracy of LogisticRegression, and whether it warned that it had not converged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        score = LogisticRegression(**params).fit(train, y_train).score(test, y_test)
    return score, any(issubclass(w.category, ConvergenceWarning) for w in caught)


def data_loader():
    """Return the module ``load_data`` of the folder that SKDIM_DATA names."""
    folder = os.environ.get("SKDIM_DATA")
    if not folder:
        sys.exit("Set SKDIM_DATA to the folder that holds load_data.py and the data sets.")
    spec = importlib.util.spec_from_file_location("load_data", Path(folder) / "load_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def verdict(claims: dict[str, bool]) -> None:
    """Print each claim with its outcome; exit with 1 if one does not hold."""
    for claim, holds in claims.items():
        print(("holds: " if holds else "FAILS: ") + claim)
    if not all(claims.values()):
        sys.exit(1)
