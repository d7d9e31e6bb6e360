"""Write files of the present version, for the suites of later ones.

    python tests/tools/keep_files.py tests/data/0.2.0

Each release adds a folder, and none is ever changed: `tests/contract/test_earlier_versions.py`
reads them all. A folder holds, for each kind of model, a safetensors file, a pickle, an ONNX graph
(of a detector there is none), and samples with what the model gave for them; a checkpoint of a fit
that had two of four epochs, with the features after all four; and what computed all this.
"""

import json
import logging
import pickle
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import sklearn
import torch

import skdim
from skdim import DIMClassifier, DIMOutlierDetector, DIMTransformer

SMALL = {"n_components": 4, "max_epochs": 1, "batch_size": 16, "critic_width": 8, "random_state": 0}
OF_THE_MACHINE = {"device": "cpu", "precision": "float32"}
ENCODERS = {
    "table": {"width": 8, "n_hidden": 16, "n_local_channels": 8},
    "signals": {"width": 2, "n_hidden": 4, "n_thresholds": 1},
    "images": {"width": 4, "n_hidden": 16, "max_filters": 4, "n_patches": 5, "n_slow": 2},
}
OTHERS = {
    "table": {"global_weight": 1.0, "column_groups": [[0, 1]]},
    "signals": {"channel_axis": 1, "allow_nan": True},
    "images": {
        "flip_averaging": True,
        "neighbor_averaging": True,
        "occlusion": True,
        "mi_estimator": "jsd",
    },
}
OUTPUTS = ("components", "hidden", "code", "local")
N_RECORDED = 8  # samples whose features are recorded


def samples(kind: str) -> np.ndarray:
    """Samples that every version of numpy makes alike."""
    shape = {"table": (48, 5), "signals": (16, 2, 32), "images": (32, 16, 16)}[kind]
    X = np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)
    if kind == "signals":
        X[::3, :, 24:] = np.nan  # shorter ones
    return X


def small(kind: str, **params) -> DIMTransformer:
    """A transformer whose file has a few kilobytes."""
    others = {"encoder_params": ENCODERS[kind], **OTHERS[kind]}
    return DIMTransformer(**{**SMALL, **OF_THE_MACHINE, **others, **params})


def keep_transformer(folder: Path, kind: str) -> None:
    X = samples(kind)
    dim = small(kind).fit(X)
    keep_model(folder / kind, dim)
    X = X[:N_RECORDED]
    features = {output: dim.set_params(output=output).transform(X) for output in OUTPUTS}
    np.savez(folder / f"{kind}.npz", X=X, score_samples=dim.score_samples(X), **features)


def keep_classifier(folder: Path) -> None:
    X = samples("table")
    y = np.where(X[:, 0] > 0, "yes", "no")
    dim = small("table").fit(X)
    classifier = DIMClassifier(dim, max_epochs=1, random_state=0).fit(X, y)
    keep_model(folder / "classifier", classifier)
    probabilities = classifier.predict_proba(X[:N_RECORDED])
    np.savez(folder / "classifier.npz", X=X[:N_RECORDED], predict_proba=probabilities)


def keep_detector(folder: Path) -> None:
    X = samples("table")
    detector = DIMOutlierDetector(small("table"), contamination=0.25).fit(X)
    keep_estimator(folder / "detector", detector)
    decisions = detector.decision_function(X[:N_RECORDED])
    np.savez(folder / "detector.npz", X=X[:N_RECORDED], decision_function=decisions)


def keep_model(path: Path, model) -> None:
    keep_estimator(path, model)
    model.export_onnx(path.with_suffix(".onnx"))


def keep_estimator(path: Path, estimator) -> None:
    estimator.save(path.with_suffix(".safetensors"))
    path.with_suffix(".pickle").write_bytes(pickle.dumps(estimator, protocol=4))


def resumable(checkpoint) -> DIMTransformer:
    return small("table", max_epochs=4, checkpoint=checkpoint)


class KeepSecondEpoch(logging.Handler):
    """Copies the state of a fit as it is after two epochs."""

    def __init__(self, checkpoints: Path, destination: Path):
        super().__init__(logging.INFO)
        self.checkpoints, self.destination = checkpoints, destination

    def emit(self, record):
        if record.getMessage().startswith("State after epoch 2 "):
            (state,) = self.checkpoints.glob("*/state.safetensors")
            shutil.copytree(state.parent, self.destination / state.parent.name)


def keep_checkpoint(folder: Path) -> None:
    X, log = samples("table"), logging.getLogger("skdim")
    with tempfile.TemporaryDirectory() as checkpoints:
        handler = KeepSecondEpoch(Path(checkpoints), folder / "checkpoint")
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        features = resumable(checkpoints).fit(X).transform(X[:N_RECORDED])
        log.removeHandler(handler)
    np.savez(folder / "checkpoint.npz", X=X[:N_RECORDED], features=features)


def computer() -> dict[str, str]:
    """What decides the last bits of features."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    cells = [line.partition(":") for line in lines[: lines.index("") if "" in lines else None]]
    cpu = {name.strip(): value.strip() for name, _, value in cells}
    return {
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "processor": " ".join(cpu.get(n, "") for n in ("vendor_id", "cpu family", "model")),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in ENCODERS:
            keep_transformer(folder, kind)
        keep_classifier(folder)
        keep_detector(folder)
        keep_checkpoint(folder)
    stated = {"skdim": skdim.__version__, **computer()}
    (folder / "made_by.json").write_text(json.dumps(stated, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
