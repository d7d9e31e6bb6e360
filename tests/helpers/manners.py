"""Every error and warning that a user may see, each with a way to provoke it.

The suite provokes them all; ``python tests/helpers/manners.py`` writes them to ``docs/errors.md``.
"""

import contextlib
import os
import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse
import torch
from PIL import Image
from scipy.io import wavfile
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback, LRScheduler
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from skdim import Checkpoint, DIMClassifier, DIMOutlierDetector, DIMTransformer, _version
from skdim.encoders import MLPEncoder, tap
from skdim.exceptions import (
    CollapseWarning,
    DataWarning,
    FewSamplesWarning,
    FileError,
    IneffectiveParameterWarning,
    VersionWarning,
)
from skdim.mutual_information import infonce
from skdim.priors import Prior
from skdim.sources import (
    ImageFiles,
    ImageFolder,
    Joined,
    SoundFolder,
    Source,
    StoredArray,
    read_labels,
)

IMAGES = load_digits().images[:90].astype(np.float32)
ROWS = IMAGES.reshape(90, 64)


class Case(NamedTuple):
    """A situation, the error or warning that it leads to, and a function that provokes it."""

    situation: str
    kind: type[Warning] | type[Exception]
    sentence: str  # a pattern that the message matches
    provoke: Callable[[], object]


def dim(**params) -> DIMTransformer:
    """Build a transformer whose fits take a moment."""
    defaults = {"n_components": 8, "max_epochs": 2, "batch_size": 32, "random_state": 0}
    if "encoder" not in params:
        defaults["encoder_params"] = {"width": 16, "n_hidden": 64}
    return DIMTransformer(**{**defaults, "device": "cpu", **params})


class OneOutput(nn.Module):
    """An encoder that returns neither hidden layer nor local maps."""

    def __init__(self, sample_shape, n_components):
        super().__init__()
        self.layer = nn.Linear(sample_shape[0], n_components)

    def forward(self, x):
        """Return the code only."""
        return self.layer(x)


class TooLarge(MLPEncoder):
    """An encoder that asks for more memory than there is."""

    def forward(self, x):
        """Raise what torch raises, in training only."""
        if self.training:
            raise torch.cuda.OutOfMemoryError("Tried to allocate 9.00 GiB.")
        return super().forward(x)


class CompilerFailed(RuntimeError):  # noqa: N818
    """The error of torch, which is recognised by its module."""

    __module__ = "torch._dynamo.exc"


class Uncompiled(MLPEncoder):
    """An encoder on a machine without a compiler."""

    def forward(self, x):
        """Fail as the compiler does, in training only."""
        if self.training:
            raise CompilerFailed("backend='inductor' raised:\nNo working C++ compiler found\n\n...")
        return super().forward(x)


class OneDirection(MLPEncoder):
    """An encoder whose components are all the same."""

    def __init__(self, sample_shape, n_components):
        super().__init__(sample_shape, n_components)

    def forward(self, x):
        """Repeat the first component."""
        encoding = super().forward(x)
        return encoding._replace(code=encoding.code[:, :1].expand_as(encoding.code))


class RandomRows(Dataset):
    """Rows with a random transform."""

    def __len__(self):
        return len(ROWS)

    def __getitem__(self, index):
        return ROWS[index] + np.random.default_rng().normal(size=64)


class DictItems(Dataset):
    """A dataset whose items are dicts."""

    def __len__(self):
        """Return the number of items."""
        return len(IMAGES)

    def __getitem__(self, index):
        """Return an item."""
        return {"image": IMAGES[index]}


class Stream(IterableDataset):
    """A stream that does not know of workers."""

    def __iter__(self):
        """Yield rows."""
        return iter(ROWS)


def infinite(joint, marginal):
    """Return a bound that is not finite."""
    return joint.mean() / 0


def build_network():
    """Return a small network with numbered layers."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))


def fit(X, **params):
    """Return a function that fits."""

    def first_fit():
        return dim(**params).fit(X)

    return first_fit


def with_value(value):
    """Return the images with one pixel changed."""
    X = IMAGES.copy()
    X[3, 4, 5] = value
    return X


def unchanged(batch, generator):
    """Return views that are the samples themselves."""
    return batch


def load_without_function():
    """Save a transformer with a custom function, and load it without."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        dim(augment=unchanged).fit(ROWS).save("dim.safetensors")
        DIMTransformer.load("dim.safetensors")


def load_with(**params):
    """Return a function that loads a file with further arguments."""

    def load():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            dim().fit(ROWS).save("dim.safetensors")
            DIMTransformer.load("dim.safetensors", **params)

    return load


def load_later(file_format=_version.FORMAT, **params):
    """Return a function that loads a file of a later version, with further parameters."""

    def load():
        later = dim().fit(ROWS)
        params_of_later = {**later.get_params(deep=False), **params}
        later.get_params = lambda deep=True: params_of_later
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            with patch.multiple(_version, __version__="0.4.0", FORMAT=file_format):
                later.save("dim.safetensors")
            DIMTransformer.load("dim.safetensors")

    return load


def load_classifier_as_transformer():
    """Load the file of a classifier by the method of a transformer."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        classifier = DIMClassifier(dim(), max_epochs=1, random_state=0)
        classifier.fit(ROWS, np.arange(90) % 2).save("classifier.safetensors")
        DIMTransformer.load("classifier.safetensors")


def fit_next_to_another_version():
    """Fit with a checkpoint in a folder that holds a state of another version."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        with patch.object(_version, "__version__", "0.1.9"):
            dim(checkpoint="states").fit(ROWS)
        (path,) = Path("states").glob("*/state.safetensors")
        path.parent.rename("states/named by another version")
        dim(checkpoint="states").fit(ROWS)


def with_files(use, names, content=b"no image"):
    """Return a function that writes some files into a folder, and uses the folder."""

    def write_and_use():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            Path("files").mkdir()
            for name in names:
                Path("files", name).write_bytes(content)
            return use("files")

    return write_and_use


def with_sounds(use, rates):
    """Return a function that writes a sound of each rate, and uses their folder."""

    def write_and_use():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            for number, rate in enumerate(rates):
                wavfile.write(f"{number}.wav", rate, ROWS[number])
            return use(".")

    return write_and_use


def read_labels_of(names, table):
    """Return a function that reads the labels of files from a table."""

    def read():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            Path("labels.csv").write_text(table)
            return read_labels("labels.csv", names)

    return read


def skip_a_broken_image(folder):
    """Read a folder with a broken image."""
    Image.fromarray(IMAGES[0].astype(np.uint8)).save(Path(folder, "good.png"))
    return ImageFolder(folder, on_error="skip")


INPUT = [
    Case("NaN in X", ValueError, "contains NaN.*allow_nan=True", fit(with_value(np.nan))),
    Case(
        "NaN in images",
        ValueError,
        "'allow_nan' parameter must be False for encoders without",
        fit(with_value(np.nan), allow_nan=True),
    ),
    Case(
        "NaN within signals",
        ValueError,
        "NaN only at the end of a signal",
        fit(with_value(np.nan), allow_nan=True, channel_axis=1),
    ),
    Case(
        "signals that end early",
        ValueError,
        "at least 4 points in time before they end in NaN. Got one of 2",
        fit(np.where(np.arange(8) < 2, IMAGES, np.nan), allow_nan=True, channel_axis=1),
    ),
    Case("infinity in X", ValueError, "contains infinity", fit(with_value(np.inf))),
    Case(
        "values too large to be added",
        ValueError,
        "X must hold values that can be added",
        fit(ROWS.astype(np.float64) / np.abs(ROWS).max() * 1.7e308),
    ),
    Case("no samples", ValueError, "0 sample", fit(IMAGES[:0])),
    Case("one sample", ValueError, "minimum of 2 is required", fit(IMAGES[:1])),
    Case("words", ValueError, "X must hold real numbers", fit(np.array([["a", "b"]] * 4))),
    Case("objects", TypeError, "X must hold real numbers", fit(np.array([[{}, 1]] * 4))),
    Case("a sparse matrix", TypeError, "dense data is required", fit(scipy.sparse.eye(9).tocsr())),
    Case("dates", TypeError, "dates or times", fit(np.arange(90).astype("datetime64[D]")[:, None])),
    Case("the path of an array", TypeError, "numpy.load.'digits.npy'", fit("digits.npy")),
    Case("the path of another file", TypeError, "Read it into", fit(Path("notes.docx"))),
    Case("masked values", ValueError, "masked values", fit(np.ma.array(ROWS, mask=ROWS > 3))),
    Case("a series", ValueError, "Got a Series", fit(pd.DataFrame(ROWS)[0])),
    Case("a dict of arrays", TypeError, r"pass one.*X\['rows'\]", fit({"rows": ROWS})),
    Case(
        "a table that is not in memory",
        TypeError,
        "pass X.collect",
        fit(pl.DataFrame({"a": [1.0, 2.0]}).lazy()),
    ),
    Case(
        "a stream of tables",
        TypeError,
        "Got data frames: pass",
        lambda: dim().fit(pd.DataFrame(ROWS) for _ in range(2)),
    ),
    Case(
        "arrays in cells",
        ValueError,
        r"pass np.stack\(X\['pixels'\]\)",
        fit(pd.DataFrame({"pixels": list(ROWS)})),
    ),
    Case(
        "signals of unequal length",
        ValueError,
        "pad signals",
        fit([row[: 60 + i % 3] for i, row in enumerate(ROWS)]),
    ),
    Case(
        "a column of text",
        ValueError,
        "'x' in column 'city'",
        fit(pd.DataFrame({"age": range(30), "city": ["x"] * 30})),
    ),
    Case("paths of images", ValueError, "ImageFiles", fit(["cats/1.png", "cats/2.png"])),
    Case("items that are dicts", TypeError, "dict of .'image'.", fit(DictItems())),
    Case(
        "a torch dataset, as scikit-learn cuts it",
        TypeError,
        "as_source",
        fit([(torch.from_numpy(row), 1) for row in ROWS]),
    ),
    Case("complex numbers", ValueError, "X must hold real numbers", fit(ROWS * 1j)),
    Case("one dimension", ValueError, "Expected 2D array, got 1D array", fit(ROWS[0])),
    Case(
        "too many dimensions",
        ValueError,
        "'channel_axis' parameter says where",
        fit(IMAGES[:, None, None, None]),
    ),
    Case(
        "another sample shape than in fit",
        ValueError,
        r"samples of shape \(1, 8, 8\).*Got",
        lambda: dim().fit(IMAGES).transform(np.zeros((3, 8, 9))),
    ),
    Case(
        "another channel axis than in fit",
        ValueError,
        r"'sample_shape' and 'channel_axis' parameters.*samples of shape \(1, 8, 8\).*Got",
        lambda: dim().fit(IMAGES).set_params(channel_axis=1).transform(IMAGES),
    ),
    Case(
        "images whose channels may be first or last",
        ValueError,
        "channel_axis=1.*channel_axis=-1",
        fit(np.stack([IMAGES] * 8, -1)),
    ),
    Case(
        "volumes whose channels may be first or last",
        ValueError,
        "8 x 8 x 8 volumes of 8 channels .channel_axis=1. or as",
        fit(np.stack([np.stack([IMAGES] * 8, -1)] * 8, -1)),
    ),
    Case("images too small", ValueError, "at least 8 on every side", fit(IMAGES[:, :5, :5])),
    Case(
        "signals too short",
        ValueError,
        "at least 4 points in time",
        fit(ROWS[:, :3], channel_axis=None),
    ),
    Case(
        "samples that are all the same",
        ValueError,
        "must hold samples that differ",
        fit(np.ones((9, 5))),
    ),
    Case(
        "columns that do not make the sample shape",
        ValueError,
        "'sample_shape' parameter .* holds 64 values, but X has 60",
        fit(ROWS[:, :60], sample_shape=(8, 8)),
    ),
    Case(
        "transform before fit", NotFittedError, "is not fitted yet", lambda: dim().transform(IMAGES)
    ),
    Case(
        "score of one sample",
        ValueError,
        "each has negatives to be compared with",
        lambda: dim().fit(IMAGES).score(IMAGES[:1]),
    ),
]

PARAMETERS = [
    Case("a negative weight", ValueError, "'prior_weight' parameter", fit(ROWS, prior_weight=-1)),
    Case(
        "no weight",
        ValueError,
        "'prior_weight' and 'coordinate_weight'",
        fit(ROWS, local_weight=0),
    ),
    Case(
        "a misspelt MI estimator",
        ValueError,
        "'mi_estimator'.*Did you mean 'jsd'",
        fit(ROWS, mi_estimator="jds"),
    ),
    Case(
        "a misspelt critic",
        ValueError,
        "'critic'.*Did you mean 'concat'",
        fit(ROWS, critic="concta"),
    ),
    Case(
        "a misspelt prior", ValueError, "'prior'.*Did you mean 'normal'", fit(ROWS, prior="norml")
    ),
    Case(
        "a misspelt encoder",
        ValueError,
        "'encoder'.*Did you mean 'conv'",
        fit(ROWS, encoder="cnov"),
    ),
    Case(
        "a misspelt optimiser",
        ValueError,
        "'optimizer'.*Did you mean 'adamw'",
        fit(ROWS, optimizer="adam_w"),
    ),
    Case(
        "a misspelt schedule",
        ValueError,
        "'lr_schedule'.*Did you mean 'warmup_cosine'",
        fit(ROWS, lr_schedule="warmupcosine"),
    ),
    Case(
        "a misspelt variant of the paper",
        ValueError,
        "'variant'.*Did you mean 'local'",
        lambda: DIMTransformer.paper("lokal"),
    ),
    Case(
        "an encoder that is an instance",
        TypeError,
        "must be a class, so that every fit",
        fit(ROWS, encoder=MLPEncoder((64,), 2)),
    ),
    Case(
        "an encoder that breaks the contract",
        TypeError,
        "OneOutput must return a code",
        fit(ROWS, encoder=OneOutput),
    ),
    Case(
        "an encoder for another modality",
        ValueError,
        "encoder for rows needs samples of one axis",
        fit(IMAGES, encoder="mlp"),
    ),
    Case(
        "a layer that is not there",
        ValueError,
        "tap.. needs names of layers",
        fit(IMAGES, encoder=tap(build_network, local="1", hidden="9")),
    ),
    Case(
        "a device that is not there",
        ValueError,
        "'device' parameter must be 'auto' or a device",
        fit(ROWS, device="tpu9"),
    ),
    Case("a device in capitals", ValueError, "Did you mean 'cpu'", fit(ROWS, device="CPU")),
    Case(
        "views by a function without a generator",
        TypeError,
        "'augment' parameter must be a function of a batch and a generator",
        fit(ROWS, augment=lambda batch: batch),
    ),
    Case(
        "views that are not a batch",
        ValueError,
        "'augment' parameter must return",
        fit(ROWS, augment=lambda batch, generator: None),
    ),
    Case(
        "an MI estimator that returns more than a number",
        ValueError,
        "'mi_estimator' parameter must return",
        fit(ROWS, mi_estimator=lambda joint, marginal: joint.mean(1)),
    ),
    Case(
        "a schedule that returns nothing",
        ValueError,
        "'lr_schedule' parameter must return",
        fit(ROWS, lr_schedule=lambda progress: None),
    ),
    Case(
        "a prior of another shape",
        ValueError,
        "'prior' parameter must return",
        fit(ROWS, prior=lambda shape, generator: torch.zeros(3), prior_weight=1.0),
    ),
    Case(
        "another name of a device",
        ValueError,
        r"Got 'gpu'\. Did you mean 'cuda'.",
        fit(ROWS, device="gpu"),
    ),
    Case(
        "another library's name of a parameter",
        TypeError,
        "no parameter 'lr'. Did you mean 'learning_rate'",
        lambda: DIMTransformer(lr=0.1),
    ),
    Case(
        "a misspelt parameter",
        TypeError,
        "no parameter 'n_componets'. Did you mean 'n_components'",
        lambda: DIMTransformer(n_componets=8),
    ),
    Case(
        "a channel axis that is not there",
        ValueError,
        "'channel_axis' parameter must be an axis",
        fit(IMAGES, channel_axis=9),
    ),
    Case(
        "no locations",
        ValueError,
        "'n_locations' parameter",
        fit(ROWS, n_locations=0),
    ),
    Case(
        "a negative penalty",
        ValueError,
        "'gradient_penalty' parameter of Prior",
        lambda: Prior("uniform", gradient_penalty=-1.0),
    ),
    Case(
        "gradients clipped to nothing",
        ValueError,
        "'gradient_clip_norm' parameter",
        fit(ROWS, gradient_clip_norm=0),
    ),
    Case(
        "occlusion of rows",
        ValueError,
        "'occlusion' parameter must be False for tables",
        fit(ROWS, occlusion=True),
    ),
    Case(
        "a misspelt coordinate task",
        ValueError,
        "'coordinates' parameter",
        fit(IMAGES, coordinates="relativ"),
    ),
    Case(
        "coordinates of rows",
        ValueError,
        "'coordinate_weight' parameter must be 0, unless",
        fit(ROWS, coordinate_weight=1.0),
    ),
    Case(
        "crops of rows",
        ValueError,
        "'n_crops' parameter must be 0 for tables",
        fit(ROWS, n_crops=4),
    ),
    Case(
        "crops that do not fill an image",
        ValueError,
        "'n_crops' parameter must be a multiple of 4",
        fit(IMAGES, n_crops=6),
    ),
    Case(
        "crops of signals that end in NaN",
        ValueError,
        "'n_crops' parameter must be 0 if allow_nan=True",
        fit(IMAGES, n_crops=2, allow_nan=True, channel_axis=1),
    ),
    Case(
        "flip averaging of rows",
        ValueError,
        "'flip_averaging' parameter must be 'auto' or False for tables",
        fit(ROWS, flip_averaging=True),
    ),
    Case(
        "more tapped levels than there are",
        ValueError,
        "'n_local_maps' must be 1 to 1",
        fit(IMAGES, encoder_params={"n_local_maps": 2}),
    ),
    Case(
        "arguments that the optimiser does not know",
        TypeError,
        "'optimizer_params' parameter does not suit",
        fit(ROWS, optimizer_params={"odd": 1}),
    ),
    Case(
        "updates to differentiate through",
        ValueError,
        "'optimizer_params' parameter must not ask for updates",
        fit(ROWS, optimizer_params={"differentiable": True}),
    ),
    Case(
        "updates to capture on a CPU",
        ValueError,
        "'optimizer_params' parameter must not hold capturable=True",
        fit(ROWS, optimizer_params={"capturable": True}, device="cpu"),
    ),
    Case("no callbacks", TypeError, "'callbacks' parameter must hold", fit(ROWS, callbacks=[1])),
    Case("batches of one", ValueError, "'batch_size' parameter", fit(ROWS, batch_size=1)),
    Case(
        "a precision that is not offered",
        ValueError,
        "'precision' parameter",
        fit(ROWS, precision="float16"),
    ),
    Case(
        "a column that X does not have",
        ValueError,
        "'column_groups' parameter must name columns",
        fit(ROWS, column_groups=[[1, 64]]),
    ),
    Case(
        "a column in two groups",
        ValueError,
        "every column at most once",
        fit(ROWS, column_groups=[[1, 2], [2, 3]]),
    ),
    Case(
        "column groups that are names",
        ValueError,
        "'column_groups' parameter must be a list of groups",
        fit(pd.DataFrame(ROWS[:, :3], columns=list("abc")), column_groups=["a", "b"]),
    ),
    Case(
        "a function that groups columns without names",
        ValueError,
        "Got a function of the names: pass a data frame",
        fit(ROWS, column_groups=lambda names: [names[:2]]),
    ),
    Case(
        "column groups of images",
        ValueError,
        "'column_groups' parameter must be None except for tables",
        fit(IMAGES, column_groups=[[1, 2]]),
    ),
    Case(
        "nothing left to hold out",
        ValueError,
        "'validation_fraction' parameter must leave at least 2",
        fit(ROWS[:9], early_stopping=True),
    ),
    Case(
        "groups of another length",
        ValueError,
        "a group for each of the 90 samples",
        lambda: dim().fit(ROWS, groups=[0, 1]),
    ),
    Case(
        "a label that is missing",
        ValueError,
        "a label is missing for 45 of 90 samples",
        lambda: dim().fit(ROWS, groups=["a", None] * 45),
    ),
    Case(
        "one group", ValueError, "at least two groups", lambda: dim().fit(ROWS, groups=np.zeros(90))
    ),
    Case(
        "a group without enough negatives in the others",
        ValueError,
        "set the 'batch_size' parameter to",
        lambda: dim().fit(ROWS, groups=np.arange(90) < 1),
    ),
    Case(
        "warm start of another network",
        ValueError,
        "'n_components' parameter was 8.*warm_start=False",
        lambda: dim(warm_start=True).fit(ROWS).set_params(n_components=9).fit(ROWS),
    ),
    Case(
        "an output that there is not, set after fit",
        ValueError,
        "'output' parameter.*'components'",
        lambda: dim().fit(ROWS).set_params(output="component").transform(ROWS),
    ),
]

TRAINING = [
    Case(
        "memory that is exhausted",
        MemoryError,
        "reduce 'batch_size' .now 32. or 'critic_width'",
        fit(ROWS, encoder=TooLarge),
    ),
    Case(
        "compilation without a compiler",
        RuntimeError,
        "'compile' parameter.*No working.*compile=False",
        fit(ROWS, encoder=Uncompiled, compile=True),
    ),
    Case(
        "a loss that diverges",
        FloatingPointError,
        "local term became .* in epoch 1.*learning_rate",
        fit(ROWS, mi_estimator=infinite),
    ),
    Case(
        "loading a file with a parameter that it holds",
        ValueError,
        "there are none. Got n_components; .*'set_params'",
        load_with(n_components=9),
    ),
    Case(
        "loading a file with a misspelt parameter",
        TypeError,
        "DIMTransformer has no parameter 'encodr'. Did you mean 'encoder'",
        load_with(encodr=unchanged),
    ),
    Case(
        "loading a file of a later version that has more parameters",
        FileError,
        "written by skdim 0.4.0, which knows 'temperature'; skdim",
        load_later(temperature=0.1),
    ),
    Case(
        "loading a file of a later format",
        FileError,
        "has format 9 of skdim 0.4.0; skdim .* reads formats up to",
        load_later(9),
    ),
    Case(
        "loading a classifier as a transformer",
        FileError,
        "holds a classifier, which DIMClassifier.load reads",
        load_classifier_as_transformer,
    ),
    Case(
        "a classifier that diverges",
        FloatingPointError,
        "cross-entropy became nan.*learning_rate",
        lambda: DIMClassifier(
            dim().fit(ROWS), learning_rate=1e30, max_epochs=3, random_state=0
        ).fit(ROWS, np.arange(90) % 2),
    ),
    Case(
        "more than half of the samples as outliers",
        ValueError,
        "'contamination' parameter of DIMOutlierDetector must be .* Got 0.7",
        lambda: DIMOutlierDetector(dim(), contamination=0.7).fit(ROWS),
    ),
    Case(
        "a detector with a transformer that was trimmed",
        ValueError,
        "This transformer was trimmed: .* not what scoring needs",
        lambda: DIMOutlierDetector(dim().fit(ROWS).trim()).fit(ROWS),
    ),
    Case(
        "loading a file without its custom function",
        FileError,
        "custom objects.*Pass them: load.path, augment=",
        load_without_function,
    ),
]

WARNINGS = [
    Case(
        "signals that could be images",
        DataWarning,
        "signals of 8 channels, set channel_axis=1",
        fit(np.repeat(IMAGES, 8, axis=2)),
    ),
    Case(
        "signals that are read as a table",
        DataWarning,
        "as alike as in signals.*channel_axis=None",
        fit(np.random.default_rng(0).normal(size=(90, 64)).cumsum(1)),
    ),
    Case(
        "column groups of a one-hot code that X holds in part",
        DataWarning,
        "names columns that X does not have",
        fit(pd.DataFrame(ROWS[:, :3], columns=list("abc")), column_groups=[["a", "b", "d"]]),
    ),
    Case(
        "images that cannot be read, left out",
        DataWarning,
        "Files that cannot be read are left out, 2 of 3",
        with_files(skip_a_broken_image, ["a.png", "b.png"]),
    ),
    Case(
        "a table of labels that names more files than there are",
        DataWarning,
        "names files that are not there, 1 in all: '3.png'",
        read_labels_of(["1.png", "2.png"], "file,label\n1.png,cat\n3.png,dog\n"),
    ),
    Case(
        "workers that repeat the samples",
        DataWarning,
        "workers read the same samples",
        fit(DataLoader(Stream(), batch_size=30, num_workers=2)),
    ),
    Case(
        "a loader that shuffles",
        DataWarning,
        "shuffles .RandomSampler.*shuffle=False",
        fit(DataLoader(TensorDataset(torch.from_numpy(ROWS)), batch_size=30, shuffle=True)),
    ),
    Case(
        "a loader that leaves samples out",
        DataWarning,
        "gives 90 samples, but its dataset has 100",
        fit(DataLoader(TensorDataset(torch.randn(100, 6)), batch_size=30, drop_last=True)),
    ),
    Case(
        "a dataset with random transforms",
        DataWarning,
        "items differ each time",
        fit(RandomRows()),
    ),
    Case(
        "a checkpoint in a folder with states of another version",
        VersionWarning,
        "holds states of fits by skdim 0.1.9 .* it starts again",
        fit_next_to_another_version,
    ),
    Case(
        "a search with labels but without scoring",
        IneffectiveParameterWarning,
        "labels 'y' have no effect.*few_labels_scorer",
        lambda: cross_val_score(dim(), ROWS, np.arange(90) % 2, cv=2),
    ),
    Case("few samples", FewSamplesWarning, "'n_components'", fit(ROWS[:30])),
    Case(
        "a budget too small",
        ConvergenceWarning,
        "max_epochs=2\\. .*set a larger .max_epochs.\\.",
        fit(ROWS),
    ),
    Case(
        "codes that collapse",
        CollapseWarning,
        "'learning_rate' parameter, raise 'prior_weight'",
        fit(ROWS, encoder=OneDirection, mi_estimator=infonce),
    ),
    Case(
        "a prior without a weight",
        IneffectiveParameterWarning,
        "'prior' parameter .* has no effect with prior_weight=0",
        fit(ROWS, prior="normal"),
    ),
    Case(
        "coordinates without a weight",
        IneffectiveParameterWarning,
        "'coordinates' parameter .* has no effect with coordinate_weight=0",
        fit(IMAGES, coordinates="relative"),
    ),
    Case(
        "a critic without a bound",
        IneffectiveParameterWarning,
        "'critic' parameter .* has no effect with global_weight=0 and local_weight=0",
        fit(ROWS, local_weight=0, prior_weight=1, critic="concat"),
    ),
    Case(
        "locations without a local term",
        IneffectiveParameterWarning,
        "'n_locations' parameter .* has no effect with local_weight=0",
        fit(ROWS, local_weight=0, global_weight=1, n_locations=4),
    ),
    Case(
        "more locations than a local map has",
        IneffectiveParameterWarning,
        "'n_locations' parameter .* has no effect with local maps of",
        fit(ROWS, n_locations=1000),
    ),
    Case(
        "a number of views without augmentation",
        IneffectiveParameterWarning,
        "'n_views' parameter .* has no effect with augment=None",
        fit(ROWS, augment=None, n_views=3),
    ),
    Case(
        "patience without early stopping",
        IneffectiveParameterWarning,
        "'n_iter_no_change' parameter .* has no effect with early_stopping=False",
        fit(ROWS, n_iter_no_change=3),
    ),
    Case(
        "weight averaging together with early stopping",
        IneffectiveParameterWarning,
        "'weight_averaging' parameter .* has no effect with early_stopping=True",
        fit(ROWS, early_stopping=True, weight_averaging=0.5),
    ),
    Case(
        "column groups that nothing uses",
        IneffectiveParameterWarning,
        "'column_groups' parameter .* has no effect with the custom 'encoder'",
        fit(ROWS, encoder=OneDirection, column_groups=[[1, 2]]),
    ),
    Case(
        "a sample shape for samples that have one",
        IneffectiveParameterWarning,
        "'sample_shape' parameter .* has no effect with an X that is not flat",
        fit(IMAGES, sample_shape=(8, 8)),
    ),
    Case(
        "learning rates of a callback next to a schedule",
        IneffectiveParameterWarning,
        "'callbacks' set learning rates.*lr_schedule=None",
        lambda: dim(max_epochs=2, callbacks=[LRScheduler(StepLR, step_size=1, gamma=0.1)]).fit(
            ROWS
        ),
    ),
    Case(
        "more components than the hidden layer has units",
        IneffectiveParameterWarning,
        "'n_components' parameter .* has no effect with a hidden layer of 16 units",
        fit(
            IMAGES,
            n_components=20,
            encoder_params={"width": 16, "n_hidden": 16, "reads_map": False},
        ),
    ),
    Case(
        "more components than samples",
        IneffectiveParameterWarning,
        "'n_components' parameter .* has no effect with 30 samples",
        fit(ROWS[:30], n_components=30),
    ),
]


class Uneven(Dataset):
    """Images of two sizes."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return IMAGES[index, : 8 - index]


def resume_with_callbacks():
    """Run a line with callbacks and a checkpoint again."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for _ in range(2):
            dim(checkpoint="states", callbacks=[Callback()]).fit(ROWS)


class OnDisk(Source):
    """An array that is read when it is needed, as if it were on disk."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def read(self, indices):
        """Return samples."""
        return self.array[indices]


class Halved(OnDisk):
    """A source that returns half of the samples."""

    def read(self, indices):
        """Return samples."""
        return super().read(indices)[::2]


DATA_ON_DISK = [
    Case("NaN in X on disk", ValueError, "contains NaN", fit(OnDisk(with_value(np.nan)))),
    Case("one sample on disk", ValueError, "at least 2 samples", fit(OnDisk(ROWS[:1]))),
    Case("complex numbers on disk", ValueError, "complex64", fit(OnDisk(ROWS * 1j))),
    Case(
        "a source that returns something else than it says",
        ValueError,
        "Halved.read.. must return an array of shape",
        fit(Halved(ROWS)),
    ),
    Case(
        "a loader without batches",
        ValueError,
        "batch_size=None",
        fit(DataLoader(TensorDataset(torch.from_numpy(ROWS)), batch_size=None)),
    ),
    Case(
        "a list of a sample and its label",
        ValueError,
        "must be a tuple",
        fit([row.tolist(), 1] for row in ROWS),
    ),
    Case("an iterator that was read before", ValueError, "read once", fit(iter(()))),
    Case(
        "images of two sizes in a dataset", ValueError, "for item 1 of the dataset", fit(Uneven())
    ),
    Case(
        "images of two sizes in a stream",
        ValueError,
        "of one shape and type",
        lambda: dim().fit(iter([IMAGES[0], IMAGES[1, :7]])),
    ),
    Case(
        "a folder without pictures",
        ValueError,
        "must hold pictures",
        lambda: ImageFolder("pictures"),
    ),
    Case(
        "an image that cannot be read",
        ValueError,
        "must hold pictures.*a.png",
        with_files(lambda folder: np.asarray(ImageFolder(folder)), ["a.png"]),
    ),
    Case(
        "paths of which one is missing",
        TypeError,
        "'paths' must be a list of paths",
        lambda: ImageFiles(["a.png", None]),
    ),
    Case(
        "a folder without sounds",
        ValueError,
        "must hold sounds",
        lambda: SoundFolder("sounds"),
    ),
    Case(
        "a sound that cannot be read",
        ValueError,
        "must hold sounds.*a.wav",
        with_files(SoundFolder, ["a.wav"], b"no sound"),
    ),
    Case(
        "sounds of two rates",
        ValueError,
        "All sounds must have one sampling rate",
        with_sounds(SoundFolder, [8000, 8000, 16000]),
    ),
    Case(
        "a table of labels that names no file at all",
        ValueError,
        "must hold labels of the files",
        read_labels_of(["1.png"], "file,label\ncats/1,cat\n"),
    ),
    Case(
        "a table of labels whose names fit several files",
        ValueError,
        "write more of its path",
        read_labels_of(["cats/1.png", "dogs/1.png"], "file,label\n1.png,cat\n"),
    ),
    Case(
        "sources that differ",
        ValueError,
        "'sources' must hold samples of one shape and type",
        lambda: Joined([StoredArray(ROWS), StoredArray(ROWS[:, 1:])]),
    ),
    Case(
        "features into an array of another shape",
        ValueError,
        "'out' must be a path, or an array",
        lambda: dim().fit(ROWS).transform_to(ROWS, np.empty((2, 2))),
    ),
    Case(
        "a checkpoint that is not a folder",
        ValueError,
        "'checkpoint' parameter must name a folder",
        fit(ROWS, checkpoint=os.devnull),
    ),
    Case(
        "a checkpoint every 0 epochs",
        ValueError,
        "'every_epochs' parameter of Checkpoint",
        lambda: Checkpoint("states", every_epochs=0),
    ),
    Case(
        "resuming a fit with callbacks",
        ValueError,
        "'callbacks' parameter must be None if a fit is resumed.*resume=False",
        resume_with_callbacks,
    ),
    Case(
        "a distributed fit in one process",
        ValueError,
        "processes that torchrun started",
        fit(ROWS, distributed=True),
    ),
]

TITLES = {
    "What is in X": INPUT,
    "Parameters": PARAMETERS,
    "Training and saving": TRAINING,
    "Data on disk, checkpoints, several processes": DATA_ON_DISK,
    "Warnings": WARNINGS,
}
CASES = [case for cases in TITLES.values() for case in cases]


def sentence(case: Case) -> str:
    """Return the text of the error or warning of a case."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            case.provoke()
        except case.kind as error:
            return str(error)
    return next(str(w.message) for w in caught if w.category is case.kind)


def row(case: Case, text: str) -> str:
    """Return the row of a case on the page, with the first line of a text."""
    first_line = in_order(text.splitlines()[0]).replace("|", "/")
    return f"| {case.situation} | `{case.kind.__name__}` | {first_line} |"


def in_order(text: str) -> str:
    """Sort what stands in braces: scikit-learn prints sets, whose order differs by process."""
    return re.sub(
        r"\{(.*?)\}", lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}", text
    )


def page() -> str:
    """Return the page of all errors and warnings."""
    lines = [
        "# What skdim says when something is wrong",
        "",
        "Every error and warning, with the situation that leads to it. A fit that fails leaves",
        "the transformer as it was. `python tests/helpers/manners.py` writes this page; the tests",
        "provoke every error and warning on it. With Python 3.12 or later, a warning points to",
        "your line.",
    ]
    for title, cases in TITLES.items():
        lines += ["", f"## {title}", "", "| situation | class | what it says |", "|---|---|---|"]
        lines += [row(case, sentence(case)) for case in cases]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "errors.md").write_text(page())
