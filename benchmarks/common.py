"""What the benchmarks share: the machine, the results, data from elsewhere, a classifier."""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import sklearn
import skorch
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import skdim
from skdim._model.inference import encode_padded, inference_batch_size
from skdim.encoders import Encoding
from skdim.sources.layout import find_layout
from skdim.sources.standardization import Standardization

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def argument_parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser whose ``--help`` shows the docstring of a script."""
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def machine() -> dict:
    """Date, processor, cores and versions."""
    return {
        "date": date.today().isoformat(),
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


def print_machine() -> None:
    """Print processor, cores and versions."""
    print("machine:", ", ".join(f"{key} {value}" for key, value in machine().items() if value))


def save(name: str, record: dict) -> None:
    """Write figures to ``results/<name>.json``, with the machine that they were measured on."""
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **record}, indent=2) + "\n")
    print_machine()
    print(f"written: {path.relative_to(ROOT)}")


def compare_versions(job: str, kind: str, against: str | None, rounds: int) -> dict[str, dict]:
    """Run code in new processes that import skdim from here, and in turn from another folder.

    The code gets ``kind`` as its argument, and prints a dict of figures as JSON. Returns the median
    of each figure for "skdim" and, if there is a folder ``against``, for "other".
    """
    folders = {"skdim": str(ROOT), **({"other": against} if against else {})}
    runs: dict[str, list[dict]] = {name: [] for name in folders}
    for _ in range(rounds):
        for name, folder in folders.items():
            done = subprocess.run(
                [sys.executable, "-c", job, kind],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": folder},
                capture_output=True,
                check=True,
                text=True,
            )
            runs[name].append(json.loads(done.stdout))
    return {
        name: {key: float(np.median([record[key] for record in records])) for key in records[0]}
        for name, records in runs.items()
    }


class Cells:
    """Results of a long benchmark: written one by one, and not computed again.

    Parameters
    ----------
    name : str
        They are in ``results/<name>.json``.
    fresh : bool, default=False
        Whether to ignore what was computed before.
    **protocol
        What all cells have in common. Cells of another protocol are ignored.
    """

    def __init__(self, name: str, *, fresh: bool = False, **protocol):
        self.path = RESULTS / f"{name}.json"
        self.cells: dict[str, dict] = {}
        self.record = {"machine": machine(), **protocol, "cells": self.cells}
        if self.path.exists() and not fresh:
            known = json.loads(self.path.read_text())
            if all(known.get(key) == value for key, value in protocol.items()):
                self.cells.update(known["cells"])

    def get(self, key: str, compute: Callable[[], dict]) -> dict:
        """Return a cell; compute and write it if it is not known yet."""
        if key not in self.cells:
            self.add(key, compute())
        return self.cells[key]

    def add(self, key: str, cell: dict) -> None:
        """Write a cell that was computed elsewhere."""
        self.cells[key] = cell
        self.write()

    def write(self, **further) -> None:
        """Write all cells, and what else is to be recorded."""
        self.record.update(further)
        self.path.write_text(json.dumps(self.record, indent=1) + "\n")


def mean_and_std(values) -> str:
    """Mean and standard deviation, as text."""
    return f"{np.mean(values):.4f} +- {np.std(values):.4f}"


def flatten(X: np.ndarray) -> np.ndarray:
    """Return samples (n, ...) as vectors: (n, n_values), float32."""
    return X.reshape(len(X), -1).astype(np.float32)


def flatten_pixels(X: np.ndarray) -> np.ndarray:
    """Return images of bytes (n, ...) as vectors of values from 0 to 1: (n, n_values), float32."""
    return flatten(X) / 255


def features_by_output(transformer, outputs, data) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Features of ``data.X`` and ``data.X_test`` by each output of a fitted transformer."""
    features = {}
    for output in outputs:
        transformer.set_params(output=output)
        features[output] = transformer.transform(data.X), transformer.transform(data.X_test)
    return features


def fit_and_score(train, y_train, test, y_test, **params) -> tuple[float, bool]:
    """Accuracy of LogisticRegression, and whether it warned that it had not converged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        score = LogisticRegression(**params).fit(train, y_train).score(test, y_test)
    return score, any(issubclass(w.category, ConvergenceWarning) for w in caught)


def choose_C(train, y_train, held_out, y_held_out, candidates, max_iter: int) -> float:  # noqa: N802
    """Return the C of LogisticRegression that is best on samples held out."""
    scores = [
        fit_and_score(train, y_train, held_out, y_held_out, C=C, max_iter=max_iter)[0]
        for C in candidates
    ]
    return candidates[int(np.argmax(scores))]


def channels_first(X, channel_axis="auto") -> np.ndarray:
    """Return samples (n, channels, *sides), as `DIMTransformer` reads X."""
    X = np.asarray(X)
    return find_layout(X.shape, channel_axis=channel_axis).as_samples(X)


def encode_images(estimator, X) -> Iterator[tuple[int, Encoding]]:
    """Encode images with the encoder of a fitted `DIMTransformer` or baseline, in padded batches.

    Yields
    ------
    n : int
        Number of images in the batch; padding follows them.
    encoding : Encoding
        Encoding of the batch with its padding.
    """
    standardization = Standardization(estimator.mean_, estimator.scale_, estimator.device_)
    size = inference_batch_size(estimator.sample_shape_, estimator.device_)
    return encode_padded(estimator.encoder_, channels_first(X), standardization, size)


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
