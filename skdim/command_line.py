"""Learn features without labels, by Deep InfoMax.

An input is one of
  .npy       an array written by numpy.save, samples on its first axis; read when needed
  .npz       several such arrays, of which one is read into memory
  .csv .tsv  numbers below a line of column names, between commas or tabs; needs pandas.
             --delimiter, --encoding and --no-header read others
  .parquet   numbers in columns with names; needs pandas and pyarrow
  folder     images in the folder and its sub-folders, read when needed; needs Pillow

The script skdim, which is installed with the package, is the same as python -m skdim.

example:
  python -m skdim fit images.npy --output model.safetensors
  python -m skdim transform model.safetensors images.npy --output features.npy
"""
# --help shows this docstring, and those of the commands.

import argparse
import ast
import csv
import importlib
import json
import math
import os
import re
import sys
import time
import warnings
import zipfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from inspect import cleandoc
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

# Packages that are slow to import are imported where they are needed, so that help comes at once.
from skdim._files.atomic_write import replace_when_done
from skdim._version import __version__

if TYPE_CHECKING:
    from pandas import DataFrame

    from skdim.outlier_detector import DIMOutlierDetector
    from skdim.transformer import DIMTransformer

DONE, FAILED, USAGE_ERROR, INTERRUPTED = 0, 1, 2, 130

N_FOLDS = 5  # of the cross-validated accuracies
N_LOSSES = 5  # epochs whose losses ``inspect`` shows
OUTPUTS = ("components", "hidden", "code", "local")  # as in _model.readout, which needs torch
DTYPES = ("float32", "float64", "uint8")  # as in onnx_export, which needs torch

SEPARATORS = {".csv": ",", ".tsv": "\t"}  # tables that are text
TABLES = (*SEPARATORS, ".parquet")
FEATURE_FILES = (".npy", *TABLES)

# Cells of a column that holds nothing else, as pandas and R write them.
FLAGS = {"True": 1.0, "TRUE": 1.0, "true": 1.0, "False": 0.0, "FALSE": 0.0, "false": 0.0}

# Cells of text that hold nothing, in lower case.
MISSING = ("", "na", "n/a", "nan", "null", "none")

# A column of one-hot codes is called by its column, this sign, and its category.
EQUALS = "="
# A column with more categories more likely holds names of samples.
N_CATEGORIES = 1000

# Columns of Parquet files that are numbers, in the words of pandas.api.types.infer_dtype.
NUMERIC = ("boolean", "decimal", "empty", "floating", "integer")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command of ``argv``, or of this process; return the exit code.

    Raises
    ------
    SystemExit
        With code 2 for wrong arguments, and with code 0 after help.
    """
    args = build_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _print_to_stderr(f"Warning: {message}")
        try:
            results = COMMANDS[args.command](args)
        except KeyboardInterrupt as interrupt:
            _print_to_stderr(f"Interrupted: {str(interrupt) or 'nothing was written.'}")
            return INTERRUPTED
        except Exception as error:
            if args.traceback:
                raise
            _print_to_stderr(f"Error: {str(error) or type(error).__name__}")
            return FAILED
    _print(json.dumps(results, default=str) if args.json else "\n".join(lines(results)))
    return DONE


# ---- Commands -------------------------------------------------------------------------------


def fit(args: argparse.Namespace) -> dict[str, Any]:
    r"""Train on samples without labels and write the model.

    Input and output are checked before training begins. A progress bar on stderr shows the loss
    and the time left. After Ctrl-C, the model of the last complete epoch is written, and the exit
    code is 130.

    example:
      python -m skdim fit images.npy --output model.safetensors --max-epochs 20 --seed 0
      python -m skdim fit images.npy --output wide.safetensors --set flip_averaging=True \
          --set 'encoder_params={"width": 64}' --max-epochs 10
    """
    check_output(args.output, args.force, args.input)
    params = dict(args.params)
    if len(params) < len(args.params):
        names = ", ".join(name for name, _ in args.params)
        raise ValueError(f"Each parameter must be given once. Got {names}.")
    if args.categories and "column_groups" in params:
        raise ValueError("--categories sets 'column_groups'. Got another value of it by --set.")
    X = read(args)
    groups = getattr(X, "attrs", {}).get("one_hot", {})
    params.update({"column_groups": list(groups.values())} if groups else {})
    from skdim.transformer import DIMTransformer

    dim = DIMTransformer(verbose=0 if args.quiet else 1).set_params(**params)
    is_complete = True
    start = time.perf_counter()
    try:
        dim.fit(X)
    except KeyboardInterrupt:
        if not dim.__sklearn_is_fitted__():
            raise
        is_complete = False
    seconds = time.perf_counter() - start
    dim.set_params(verbose=0).save(args.output)
    if not is_complete:
        raise KeyboardInterrupt(f"{args.output} holds the model after epoch {dim.n_iter_}.")
    results = {"shape": X.shape, "epochs": dim.n_iter_, "loss": dim.history_[-1]["loss"]}
    if groups:
        results["categories"] = {name: len(columns) for name, columns in groups.items()}
    return {**results, "seconds": round(seconds, 1), **unread(X), "wrote": str(args.output)}


def transform(args: argparse.Namespace) -> dict[str, Any]:
    """Write the features of samples.

    The output is either complete or not written. A .npy file is written in batches; for other
    files all features are held in memory. Images are read with the size and channels of the model,
    tables with its columns. Tables have a first column, file, that names the image of each row;
    the images of a .npy file are named on the lines of a second file, which ends in .paths.txt.

    example:
      python -m skdim transform model.safetensors images.npy --output features.npy
    """
    paths = args.output.with_suffix(".paths.txt")
    has_paths = args.input.is_dir() and args.output.suffix == ".npy"
    for path in (args.output, paths) if has_paths else (args.output,):
        check_output(path, args.force, args.model, args.input)
    dim = load(args.model)
    X = read(args, dim)
    images = names_of_images(args, X)
    if args.what:
        dim.set_params(output=args.what)
    if args.output.suffix == ".npy":
        shape = dim.transform_to(X, args.output).shape
    else:
        features = dim.set_output(transform="pandas").transform(X)
        shape = features.shape
        if images:
            features.insert(0, "file", images)
        write_table(features, args.output)
    results = {"shape": shape, "features": dim.output, **unread(X), "wrote": str(args.output)}
    if has_paths:
        with replace_when_done(paths) as temporary:
            temporary.write_text("".join(f"{image}\n" for image in images), encoding="utf-8")
        results["paths"] = str(paths)
    return results


def detect(args: argparse.Namespace) -> dict[str, Any]:
    """Write how similar samples are to those of fit, and which are outliers.

    The output is a table with a row for each sample: score, which is at most 0 and lowest for
    outliers, and label, -1 for outliers and 1 for others. If the input is a folder of images, a
    first column, file, names them. The model is a file of a transformer, whose fit should have seen
    normal samples, or one of DIMOutlierDetector.

    example:
      python -m skdim detect model.safetensors images.npy --output outliers.csv
    """
    check_output(args.output, args.force, args.model, args.input)
    detector = load_detector(args.model, args.contamination)
    X = read(args, detector.transformer_)
    scores = detector.score_samples(X)
    labels = np.where(scores < detector.offset_, -1, 1)
    from pandas import DataFrame

    table = DataFrame({"score": scores, "label": labels})
    images = names_of_images(args, X)
    if images:
        table.insert(0, "file", images)
    write_table(table, args.output)
    results = {"samples": len(table), "outliers": int((labels == -1).sum())}
    return {**results, "threshold": detector.offset_, **unread(X), "wrote": str(args.output)}


def score(args: argparse.Namespace) -> dict[str, Any]:
    """Measure the quality of features, with or without labels.

    score is the probability that the critic scores a sample's code higher with the sample's own
    local features than with those of other samples: 0.5 at chance, at most 1. score_terms are the
    terms of the objective. Use samples that fit has not seen.

    With labels, accuracy is that of logistic regression on the standardised input (raw), on as
    many principal components of it as there are features (pca), and on the features (dim): the
    mean over five folds. The input is then read into memory.

    example:
      python -m skdim score model.safetensors images.npy --labels labels.npy
    """
    dim = load(args.model)
    X = read(args, dim)
    labels = read_labels(args, X) if args.labels else None
    results = {"score": dim.score(X), "score_terms": dim.score_terms(X), **unread(X)}
    return results if labels is None else {**results, **accuracies(dim, X, labels)}


def export(args: argparse.Namespace) -> dict[str, Any]:
    """Write a model as an ONNX graph, which runs without skdim and torch.

    The graph leads from raw samples, X, to the features of a transformer or to the probabilities
    of a classifier. Needs the package onnx. shape is that of X, and columns are the columns of a
    table, in their order in X.

    example:
      python -m skdim export model.safetensors --output model.onnx
    """
    check_output(args.output, args.force, args.model)
    check_is_file(args.model)
    from skdim._files.safe import describe

    if describe(args.model).kind == "classifier":
        if args.what:
            raise ValueError(f"--what is for transformers. Got the classifier {args.model}.")
        from skdim.classifier import DIMClassifier

        model = DIMClassifier.load(args.model)
        dim, output = model.transformer_, "probabilities, label_index"
    else:
        model = dim = load(args.model)
        if args.what:
            dim.set_params(output=args.what)
        output = dim.output
    model.export_onnx(args.output, dtype=args.dtype)
    results = {"shape": ("n_samples", *dim.model_.config.layout.x_shape), "dtype": args.dtype}
    if hasattr(dim, "feature_names_in_"):
        results["columns"] = dim.feature_names_in_.tolist()
    return {**results, "features": output, "wrote": str(args.output)}


def inspect(args: argparse.Namespace) -> dict[str, Any]:
    """Describe a file of skdim, whichever version wrote it.

    skdim and packages are the versions that wrote it. readable is whether this version reads it,
    and reason why not. params are the parameters that differ from the defaults of DIMTransformer.
    losses are those of the last epochs, oldest first. Files cannot run code, so that files from
    untrusted sources can be inspected.

    example:
      python -m skdim inspect model.safetensors --json
    """
    check_is_file(args.model)
    from skdim._files.safe import describe
    from skdim.exceptions import FileError

    origin = describe(args.model, check_digest=True)
    results = {
        "file": str(args.model),
        "bytes": args.model.stat().st_size,
        "kind": origin.kind,
        "format": origin.format,
        "skdim": origin.version,
        "packages": origin.packages,
    }
    try:
        content = CONTENTS.get(origin.kind, transformer_content)(args.model)
    except FileError as error:
        return {**results, "readable": False, "reason": str(error)}
    return {**results, "readable": True, **content}


def transformer_content(path: Path) -> dict[str, Any]:
    """Describe the transformer in a file."""
    from skdim.transformer import DIMTransformer

    return describe_transformer(DIMTransformer.load(path))


def classifier_content(path: Path) -> dict[str, Any]:
    """Describe the classifier in a file, and its transformer."""
    from skdim.classifier import DIMClassifier

    classifier = DIMClassifier.load(path)
    return {
        **describe_transformer(classifier.transformer_),
        "classes": classifier.classes_.tolist(),
    }


def detector_content(path: Path) -> dict[str, Any]:
    """Describe the outlier detector in a file, and its transformer."""
    from skdim.outlier_detector import DIMOutlierDetector

    detector = DIMOutlierDetector.load(path)
    return {
        **describe_transformer(detector.transformer_),
        "contamination": detector.contamination,
        "threshold": detector.offset_,
    }


def describe_transformer(dim: "DIMTransformer") -> dict[str, Any]:
    """Describe a fitted transformer."""
    defaults = type(dim)().get_params()
    return {
        "sample_shape": dim.sample_shape_,
        "params": {k: v for k, v in dim.get_params().items() if v != defaults[k]},
        "output": dim.output,
        "n_features": {name: readout.n_features for name, readout in dim.model_.readouts.items()},
        "epochs": dim.n_iter_,
        "losses": last_losses(dim.history_),
        "trimmed": dim.model_.is_trimmed,
    }


def checkpoint_content(path: Path) -> dict[str, Any]:
    """Describe the state of a fit in a file."""
    from skdim._training.checkpoint import read_state

    state = read_state(path)
    history = state["net"]["epochs"]
    results = {"epochs": len(history), "losses": last_losses(history)}
    return {**results, "circumstances": state["circumstances"]}


def last_losses(history: list[dict]) -> list[float]:
    """Return the losses of the last epochs, oldest first."""
    return [epoch["loss"] for epoch in history[-N_LOSSES:]]


# What ``inspect`` shows of each kind of file.
CONTENTS = {
    "transformer": transformer_content,
    "classifier": classifier_content,
    "detector": detector_content,
    "checkpoint": checkpoint_content,
}

COMMANDS = {
    command.__name__: command for command in (fit, transform, detect, score, export, inspect)
}


def load(path: Path) -> "DIMTransformer":
    """Read a transformer that ``fit`` wrote."""
    check_is_file(path)
    from skdim.transformer import DIMTransformer

    return DIMTransformer.load(path)


def load_detector(path: Path, contamination: float | str | None) -> "DIMOutlierDetector":
    """Read a detector, or make one of a transformer; None is the file's own contamination."""
    check_is_file(path)
    from skdim._files.safe import describe
    from skdim.outlier_detector import DIMOutlierDetector

    if describe(path).kind != "detector":
        return DIMOutlierDetector.from_transformer(load(path), contamination or "auto")
    detector = DIMOutlierDetector.load(path)
    if contamination is None:
        return detector
    return DIMOutlierDetector.from_transformer(detector.transformer_, contamination)


def check_is_file(path: Path) -> None:
    """Raise FileNotFoundError if a model is not an existing file."""
    if not path.is_file():
        raise FileNotFoundError(f"The model must be an existing file. Got {path}.")


def accuracies(dim: "DIMTransformer", X: Any, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """Cross-validate logistic regression on the columns of X, on their PCA, and on features.

    In columns, missing values are replaced by the mean.
    """
    from sklearn.decomposition import PCA
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = np.asarray(dim.transform(X))  # (n, n_features)
    columns = np.asarray(X).reshape(len(X), -1)  # (n, n_columns)
    n_components = min(features.shape[1], columns.shape[1], len(X) // 2)
    classifier = LogisticRegression(max_iter=5000)
    prepare = SimpleImputer(keep_empty_features=True), StandardScaler()
    pca = PCA(n_components, random_state=0)
    compared = {
        "raw": (make_pipeline(*prepare, classifier), columns),
        "pca": (make_pipeline(*prepare, pca, classifier), columns),
        "dim": (classifier, features),
    }
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    means, deviations = {}, {}
    for name, (model, inputs) in compared.items():
        scores = cross_val_score(model, inputs, labels, cv=folds, error_score="raise")
        means[name], deviations[name] = float(scores.mean()), float(scores.std())
    return {"accuracy": means, "accuracy_std": deviations}


# ---- Inputs ---------------------------------------------------------------------------------


def read(args: argparse.Namespace, dim: "DIMTransformer | None" = None) -> Any:
    """Return X, read like that of ``dim``; arrays in .npy files and images are left on disk."""
    path = args.input
    kind = "folder" if path.is_dir() else path.suffix.lower()
    if not path.exists():
        raise FileNotFoundError(f"An input must be an existing file or folder. Got {path}.")
    if kind not in READERS:
        raise ValueError(f"An input must be one of {', '.join(READERS)}. Got {path}.")
    for name, kinds in READING_OPTIONS.items():
        if getattr(args, name, None) and kind not in kinds:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is for the kind {', '.join(kinds)}. Got {path}.")
    with named(path):
        return READERS[kind](args, dim)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name the file in errors about its content."""
    try:
        yield
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, csv.Error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def read_npy(args: argparse.Namespace, dim: "DIMTransformer | None") -> np.ndarray:
    """Read an array from disk, as needed."""
    return np.lib.format.open_memmap(args.input, mode="r")


def read_npz(args: argparse.Namespace, dim: "DIMTransformer | None") -> np.ndarray:
    """Read one of several arrays: that called ``--array``, the only one, or that called X."""
    with open(args.input, "rb") as stream, np.lib.npyio.NpzFile(stream) as file:
        name = args.array or (file.files[0] if len(file.files) == 1 else "X")
        if name not in file.files:
            raise ValueError(f"--array must be one of {file.files}. Got {name!r}.")
        return file[name]


def read_folder(args: argparse.Namespace, dim: "DIMTransformer | None") -> Any:
    """Read images from disk, as needed, with the size and channels of the model."""
    from skdim.sources import ImageFolder

    if dim is None:
        size, color = args.size or 32, not args.grey
    else:
        n_channels, *size = dim.sample_shape_
        color = n_channels == 3
        if len(size) != 2 or n_channels not in (1, 3):
            raise ValueError(
                f"the model must be one of images. Got {args.model}, of samples of shape "
                f"{dim.sample_shape_} (channels first)."
            )
    return ImageFolder(args.input, size, color, args.on_error or "raise")


def read_table(args: argparse.Namespace, dim: "DIMTransformer | None") -> "DataFrame":
    """Read columns of numbers, which are NaN if they are missing and ``allow_nan`` is set.

    A column of categories becomes a column for each category that ``fit`` saw.

    Returns
    -------
    table : DataFrame of shape (n, n_columns), float64
        Its columns have no names if the model was fitted without. ``table.attrs["left_out"]`` names
        the columns of the file that were not read, and ``table.attrs["one_hot"]`` the columns in
        place of each column of categories.
    """
    pandas = import_pandas(args.input)
    all_names = column_names(args)
    known = categories_of_fit(dim, all_names)
    names = select_columns(args, dim, all_names, known)
    categorical = known if dim is not None else check_categories(args.categories or [], names)
    plain = [name for name in names if name not in categorical]
    texts = {name: read_cells(args, name) for name in names if name in categorical}
    numbers = np.empty((len(next(iter(texts.values()), [])), 0))
    if plain:
        numbers = (text_numbers if is_text(args.input) else parquet_numbers)(args, plain)
    if not (dict(args.params).get("allow_nan", False) if dim is None else dim.allow_nan):
        check_complete(numbers, plain, texts)
    has_names = dim is None or hasattr(dim, "feature_names_in_")
    table = pandas.DataFrame(numbers, columns=plain if has_names else None, copy=False)
    codes = {name: one_hot(name, cells, known.get(name)) for name, cells in texts.items()}
    if codes:
        table = pandas.concat([table, *codes.values()], axis=1)
        if not table.columns.is_unique:
            name = table.columns[table.columns.duplicated()][0]
            raise ValueError(
                f"it must have no column {name!r}: --categories makes one of that name."
            )
        table = table if dim is None else table[list(dim.feature_names_in_)]
    table.attrs["left_out"] = [name for name in all_names if name not in names]
    table.attrs["one_hot"] = {name: list(code.columns) for name, code in codes.items()}
    return table


def check_complete(
    numbers: np.ndarray, names: Sequence[str], texts: dict[str, list[str | None]]
) -> None:
    """Raise ValueError if a cell is missing among columns of numbers or of categories."""
    is_missing = [[cell is None for cell in cells] for cells in texts.values()]
    rows, columns = np.nonzero(np.column_stack([np.isnan(numbers), *is_missing]))
    if len(rows):
        kind = "a number" if columns[0] < len(names) else "a category"
        raise ValueError(
            f"row {rows[0] + 1}, column {[*names, *texts][columns[0]]!r} must be {kind}. Got "
            f"nothing there, and in {len(rows)} cells in all: fill them, leave their columns out "
            "by --drop-columns, or fit with --set allow_nan=True, which takes them as a value of "
            "their own."
        )


READERS: dict[str, Callable[..., Any]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    **dict.fromkeys(TABLES, read_table),
    "folder": read_folder,
}

# The kinds of input that each reading option is for.
READING_OPTIONS = {
    "array": (".npz",),
    **dict.fromkeys(("columns", "drop_columns", "categories"), TABLES),
    **dict.fromkeys(("delimiter", "encoding", "no_header"), tuple(SEPARATORS)),
    **dict.fromkeys(("size", "grey", "on_error"), ("folder",)),
}


def names_of_images(args: argparse.Namespace, X: Any) -> list[str]:
    """Return the names of the files in a folder that was read, below it; none of other inputs."""
    return [p.relative_to(X.folder).as_posix() for p in X.paths] if args.input.is_dir() else []


def unread(X: Any) -> dict[str, Any]:
    """Name the parts of an input that were not read: columns, files that are not images."""
    if hasattr(X, "attrs"):
        return {"left_out": X.attrs["left_out"]} if X.attrs["left_out"] else {}
    n_skipped = getattr(X, "n_skipped", 0)
    return {"skipped": n_skipped} if n_skipped else {}


def is_column(labels: str | None) -> bool:
    """Whether labels are a column of the table that is read."""
    return labels is not None and labels != "folder" and Path(labels).suffix.lower() != ".npy"


def read_labels(args: argparse.Namespace, X: Any) -> np.ndarray:
    """Read a label for each sample from a file, a column, or the folders of the images."""
    if args.labels == "folder" and args.input.is_dir():
        return X.labels
    if is_column(args.labels) and args.input.suffix.lower() in TABLES:
        with named(args.input):
            return read_column(args, args.labels)
    path = Path(args.labels)
    if path.suffix.lower() != ".npy":
        raise ValueError(
            "--labels must be a .npy file, 'folder' if the input is a folder of images, or the "
            f"name of a column if it is a table. Got {args.labels}."
        )
    with named(path):
        labels = np.lib.format.open_memmap(path, mode="r")
    if labels.shape != X.shape[:1]:
        raise ValueError(
            f"--labels must hold one label for each of {len(X)} samples. Got shape {labels.shape}."
        )
    return np.asarray(labels)


# ---- Tables ---------------------------------------------------------------------------------


def is_text(path: Path) -> bool:
    """Whether a table is text."""
    return path.suffix.lower() in SEPARATORS


def import_pandas(path: Path) -> Any:
    """Import the packages that a kind of table needs; return pandas."""
    for package in ("pandas",) if is_text(path) else ("pandas", "pyarrow"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise ImportError(
                f"Tables in {path.suffix} files need the package {package}, which is missing: "
                f"pip install {package}."
            ) from None
    return sys.modules["pandas"]


def column_names(args: argparse.Namespace) -> list[str]:
    """Return the names of all columns; the index that pandas wrote is not a column."""
    if is_text(args.input):
        names = next(text_rows(args))
    else:
        from pyarrow.parquet import read_schema

        names = [str(name) for name in read_schema(args.input).empty_table().to_pandas()]
    if not all(names) or len(set(names)) < max(len(names), 1):
        raise ValueError(
            f"it must give each column a name of its own. Got {','.join(names)!r}; a column "
            "without a name may be an index, to be left out."
        )
    return names


def select_columns(
    args: argparse.Namespace,
    dim: "DIMTransformer | None",
    all_names: Sequence[str],
    known: dict[str, list[str]],
) -> list[str]:
    """Return the columns to read: those of fit in their order, if they had names, or all others.

    ``known`` are the categories of fit, by their column.
    """
    fitted = getattr(dim, "feature_names_in_", None)
    labels = [args.labels] if is_column(getattr(args, "labels", None)) else []
    wanted, dropped = args.columns or all_names, [*(args.drop_columns or []), *labels]
    if fitted is not None:
        column_of = {one_hot_name(name, c): name for name, cs in known.items() for c in cs}
        wanted = list(dict.fromkeys(column_of.get(name, name) for name in fitted))
        if args.columns or args.drop_columns:
            raise ValueError(
                "--columns and --drop-columns are for models that know no names of columns. "
                f"{args.model} reads those of fit: {', '.join(wanted)}."
            )
        if set(labels) & set(wanted):
            raise ValueError(f"--labels must not be a column of fit. Got {args.labels}.")
    for name in (*wanted, *dropped):
        if name not in all_names:
            columns = ", ".join(all_names)
            raise ValueError(f"it must have a column {name!r}. Its columns are {columns}.")
    names = [name for name in wanted if name not in dropped]
    if not names:
        raise ValueError("at least one of its columns must be read. Got none.")
    return names


def check_categories(categories: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """Return columns of categories, after a check that they are read and unlike one-hot columns."""
    for name in categories:
        if name not in names:
            raise ValueError(f"--categories must be columns that are read. Got {name!r}.")
        if EQUALS in name:
            raise ValueError(f"--categories must be columns without {EQUALS!r}. Got {name!r}.")
    return categories


def one_hot_name(column: str, category: str) -> str:
    """Return the name of the column that is 1 if a column holds a category, else 0."""
    return f"{column}{EQUALS}{category}"


def categories_of_fit(
    dim: "DIMTransformer | None", all_names: Sequence[str]
) -> dict[str, list[str]]:
    """Return the categories that ``fit`` saw in columns, which the names in the model tell.

    A table that has the one-hot columns themselves has no such columns.
    """
    fitted = getattr(dim, "feature_names_in_", None)
    known: dict[str, list[str]] = {}
    if dim is None or fitted is None:
        return known
    for group in dim.model_.config.column_groups:
        columns, signs, categories = zip(*(fitted[i].partition(EQUALS) for i in group), strict=True)
        is_one_hot = all(signs) and len(set(columns)) == 1
        if is_one_hot and not set(fitted[list(group)]) <= set(all_names):
            known[columns[0]] = list(categories)
    return known


def one_hot(column: str, cells: Sequence[str | None], known: Sequence[str] | None) -> "DataFrame":
    """Return a column of 0 and 1 for each category; a missing cell is NaN in all of them.

    Parameters
    ----------
    column : str
    cells : sequence of str or None
    known : sequence of str or None
        The categories that ``fit`` saw. None takes those that are there, in order.
    """
    from pandas import DataFrame

    from skdim.exceptions import DataWarning, warn

    categories = sorted({c for c in cells if c is not None}) if known is None else list(known)
    if known is None and not 0 < len(categories) <= N_CATEGORIES:
        raise ValueError(
            f"column {column!r} must hold 1 to {N_CATEGORIES} categories. Got {len(categories)}."
        )
    number_of = {category: number for number, category in enumerate(categories)}
    codes = np.zeros((len(cells), len(categories)))
    unseen = []
    for row, cell in enumerate(cells):
        if cell is None:
            codes[row] = np.nan
        elif cell in number_of:
            codes[row, number_of[cell]] = 1
        else:
            unseen.append(cell)
    if unseen:
        warn(
            f"Column {column!r} holds categories that 'fit' did not see, the first of them "
            f"{unseen[0]!r}, in {len(unseen)} of {len(cells)} rows: these have none of its "
            "categories.",
            DataWarning,
        )
    return DataFrame(codes, columns=[one_hot_name(column, c) for c in categories], copy=False)


def text_rows(args: argparse.Namespace) -> Iterator[list[str]]:
    """Yield the names of the columns, then the cells of each row.

    Columns without names are called by their number, from 0. An empty line is a missing cell in a
    table of one column, and is ignored in all others.
    """
    encoding = args.encoding or "utf-8-sig"
    separator = args.delimiter or SEPARATORS[args.input.suffix.lower()]
    # The csv module counts the cells of a row; pandas.read_csv fills short rows without a word.
    with open(args.input, encoding=encoding, newline="") as file, explain_encoding(encoding):
        rows: Iterator[list[str]] = csv.reader(file, delimiter=separator, strict=True)
        first = next(rows, [])
        names = [name.strip() for name in first]
        if args.no_header and not first:
            raise ValueError("its first line must have a cell for each column. Got an empty line.")
        if args.no_header:
            names, rows = list(map(str, range(len(first)))), chain([first], rows)
        elif any(map(is_number, names)):
            raise ValueError(
                f"its first line must name the columns. Got {','.join(names)!r}; --no-header reads "
                "a table without names."
            )
        yield names
        cells = (row or [""] for row in rows) if len(names) == 1 else filter(None, rows)
        for number, row in enumerate(cells, start=1):
            if len(row) != len(names):
                raise ValueError(
                    f"row {number} must have a cell for each of {len(names)} columns. "
                    f"Got {len(row)}."
                )
            yield row


@contextmanager
def explain_encoding(encoding: str) -> Iterator[None]:
    """Say which option is for text that is not in the encoding that was expected."""
    try:
        yield
    except UnicodeError as error:
        raise ValueError(
            f"its text must be in the encoding {encoding}: {error}. --encoding names another."
        ) from None


def text_numbers(args: argparse.Namespace, columns: Sequence[str]) -> np.ndarray:
    """Read columns of text as numbers (n, n_columns)."""
    rows, numbers = text_rows(args), array("d")
    names = next(rows)
    positions = [names.index(name) for name in columns]
    is_flags: dict[int, bool | None] = dict.fromkeys(positions)  # as the first cell of a column
    for number, row in enumerate(rows, start=1):
        for position in positions:
            text = row[position].strip()
            if is_flags[position] is None and text.lower() not in MISSING:
                is_flags[position] = text in FLAGS
            if text in FLAGS and is_flags[position]:
                numbers.append(FLAGS[text])
            elif is_number(text) and not is_flags[position]:
                numbers.append(float(text))
            elif text.lower() in MISSING:
                numbers.append(math.nan)
            else:
                raise not_a_number(number, names[position], row[position])
    return np.array(numbers).reshape(-1, len(columns))


def is_number(text: str) -> bool:
    """Whether text is a number; float also takes 2024_01 and the digits of any script."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text and text.isascii()


def parquet_table(args: argparse.Namespace, columns: Sequence[str]) -> "DataFrame":
    """Read columns of their own types; rows are counted from 0."""
    pandas = import_pandas(args.input)
    table = pandas.read_parquet(args.input, engine="pyarrow", columns=list(columns))
    return table.set_axis(list(columns), axis=1).reset_index(drop=True)


def parquet_numbers(args: argparse.Namespace, columns: Sequence[str]) -> np.ndarray:
    """Read columns of numbers (n, n_columns)."""
    from pandas.api.types import infer_dtype

    table = parquet_table(args, columns)
    for name, values in table.items():
        if infer_dtype(values) not in NUMERIC:
            row = values.first_valid_index() or 0
            raise not_a_number(row + 1, name, values.get(row))
    return table.astype(np.float64).to_numpy()


def not_a_number(row: int, column: str, value: Any) -> ValueError:
    """Return the error that names a cell; rows are counted from 1, below the names."""
    return ValueError(
        f"row {row}, column {column!r} must be a number. Got {value!r}. --columns names the "
        "columns to be read, --drop-columns those to be left out."
    )


def read_cells(args: argparse.Namespace, name: str) -> list[str | None]:
    """Read a column of text (n,), without spaces around it; missing cells are None."""
    return list(map(_as_text, _raw_cells(args, name)))


def read_column(args: argparse.Namespace, name: str) -> np.ndarray:
    """Read a column of labels (n,), none of which may be missing; text is not changed."""
    cells = _raw_cells(args, name)
    for number, cell in enumerate(cells, start=1):
        if _as_text(cell) is None:
            raise ValueError(f"row {number}, column {name!r} must hold a label. Got none.")
    return np.array(cells)


def _as_text(cell: Any) -> str | None:
    text = str(cell).strip()
    return None if text.lower() in MISSING else text


def _raw_cells(args: argparse.Namespace, name: str) -> list[Any]:
    if is_text(args.input):
        rows = text_rows(args)
        position = next(rows).index(name)
        return [row[position] for row in rows]
    cells = parquet_table(args, [name])[name].tolist()
    is_missing = import_pandas(args.input).isna
    return ["" if is_missing(cell) else cell for cell in cells]


# ---- Outputs --------------------------------------------------------------------------------


def check_output(path: Path, force: bool, *inputs: Path) -> None:
    """Raise before any work if the output cannot or should not be written."""
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise OSError(f"--output must be in an existing folder with write access. Got {path}.")
    if path.is_dir():
        raise IsADirectoryError(f"--output must be a file. Got the folder {path}.")
    if any(path.exists() and other.exists() and path.samefile(other) for other in inputs):
        raise ValueError(f"--output must differ from the files that are read. Got {path} for both.")
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists: --force replaces it.")
    if path.suffix in TABLES:
        import_pandas(path)


def write_table(table: "DataFrame", path: Path) -> None:
    """Write a table without its index; text has enough digits to recover the same float32."""
    with replace_when_done(path) as temporary:
        if is_text(path):
            text = {"sep": SEPARATORS[path.suffix], "float_format": "%.9g", "lineterminator": "\n"}
            table.to_csv(temporary, index=False, **text)
        else:
            table.to_parquet(temporary, engine="pyarrow", index=False)


def lines(results: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield results as lines ``name: value``; nested names are joined by dots."""
    for name, value in results.items():
        if isinstance(value, dict):
            yield from lines(value, f"{prefix}{name}.")
        else:
            yield _one_line(f"{prefix}{name}: {_format(value)}")


def _format(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_format(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _one_line(text: str) -> str:
    """Return one line without control characters, which an untrusted file may hold."""
    line = " ".join(text.split())
    return line if line.isprintable() else ascii(line)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader has gone; prevent a second try at the end of the process
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_to_stderr(message: str) -> None:
    print(_one_line(message), file=sys.stderr)


# ---- Arguments ------------------------------------------------------------------------------

EXIT_CODES = """\
Results go to stdout, everything else to stderr.
Exit codes: 0 success; 1 an error, with a message; 2 wrong arguments; 130 ended by Ctrl-C.\
"""

# Options of ``fit`` that set a parameter: the name of the parameter, and the help text.
FIT_OPTIONS = {
    "--n-components": ("n_components", "number of features (default: 64)"),
    "--max-epochs": ("max_epochs", "number of epochs; auto depends on X (default: auto)"),
    "--max-time": ("max_time", "time limit of training, in seconds (default: None)"),
    "--seed": ("random_state", "integer, for the same model on the same machine (default: None)"),
}


class Parser(argparse.ArgumentParser):
    """A parser that keeps the lines of its texts, and reports an error in one line."""

    def __init__(self, **options):
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=layout, allow_abbrev=False, epilog=EXIT_CODES, **options)

    def error(self, message):
        """Print the error and exit."""
        self.exit(USAGE_ERROR, f"{self.prog}: {_one_line(message)} (see --help)\n")


def build_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(prog="python -m skdim", description=__doc__)
    parser.add_argument("--version", action="version", version=f"skdim {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True)
    for name, command in COMMANDS.items():
        text = cleandoc(command.__doc__ or "")
        summary, _, _ = text.partition(".\n")
        add_arguments(commands.add_parser(name, help=summary, description=text), name)
    return parser


def add_arguments(parser: Parser, command: str) -> None:
    """Add the arguments of a command."""
    add = parser.add_argument
    if command != "fit":
        add("model", metavar="MODEL", type=Path, help="a file written by fit")
    if command in ("fit", "transform", "detect", "score"):
        add_input(add)
    if command == "fit":
        add_output(add, model_path, "the model: a .safetensors file")
        add("--size", type=sides, help="of images in pixels, SIDE or HEIGHTxWIDTH (default: 32)")
        add("--grey", action="store_true", help="read images as grey (default: in colour)")
        text = "columns of text to read as categories, a column of 0 and 1 for each (default: none)"
        add("--categories", metavar="NAMES", type=names, help=text)
        add("--quiet", action="store_true", help="no progress bar (default: show it)")
        add_parameters(parser)
    elif command == "transform":
        add_output(add, features_path, f"the features: a {' or '.join(FEATURE_FILES)} file")
        add("--what", choices=OUTPUTS, help="which features (default: as set in the model)")
    elif command == "export":
        add_output(add, graph_path, "the graph: an .onnx file")
        add("--what", choices=OUTPUTS, help="which features (default: as set in the model)")
        add("--dtype", choices=DTYPES, default="float32", help="type of X (default: float32)")
    elif command == "detect":
        add_output(add, scores_path, f"the scores: a {' or '.join(TABLES)} file")
        text = (
            "part of the samples of fit that is below the threshold, more than 0 and at most 0.5, "
            "or auto (default: that of the model, or auto)"
        )
        add("--contamination", metavar="PART", type=part, help=text)
    elif command == "score":
        text = (
            "a .npy file with one label for each sample, the name of a column of the table, or "
            "'folder' for the names of the folders of images (default: no accuracies)"
        )
        add("--labels", metavar="LABELS", help=text)
    add("--json", action="store_true", help="print results as one line of JSON (default: as text)")
    add("--traceback", action="store_true", help="print the traceback of errors (default: no)")


def add_input(add: Callable[..., Any]) -> None:
    """Add the input and how it is read."""
    text = "a .npy, .npz, .csv, .tsv or .parquet file, or a folder of images"
    add("input", metavar="INPUT", type=Path, help=text)
    add("--array", metavar="NAME", help="array of a .npz file (default: the only one, or X)")
    text = "columns of a table to read, such as a,b (default: all, or those of the model)"
    add("--columns", metavar="NAMES", type=names, help=text)
    text = "columns of a table to leave out, such as labels (default: none)"
    add("--drop-columns", metavar="NAMES", type=names, help=text)
    text = "character between the cells of a row of text; or tab (default: , in .csv, tab in .tsv)"
    add("--delimiter", metavar="CHARACTER", type=delimiter, help=text)
    text = "encoding of a table of text, such as latin-1 (default: utf-8)"
    add("--encoding", metavar="NAME", type=encoding, help=text)
    text = "the first line holds no names: columns are called 0, 1, ... (default: it does)"
    add("--no-header", action="store_true", help=text)
    text = "what to do with files in a folder that are not images (default: raise)"
    add("--on-error", choices=("raise", "skip"), help=text)


def add_output(add: Callable[..., Any], check: Callable[[str], Path], text: str) -> None:
    """Add the output, and the function that checks its path."""
    add("-o", "--output", metavar="FILE", type=check, required=True, help=text)
    add("--force", action="store_true", help="replace an existing output (default: an error)")


def add_parameters(parser: Parser) -> None:
    """Add the options that set parameters."""
    group = parser.add_argument_group("parameters of DIMTransformer")
    add = partial(group.add_argument, dest="params", action="append", default=[])
    for option, (name, text) in FIT_OPTIONS.items():
        add(option, type=partial(parameter, name), metavar="VALUE", help=text)
    text = "any parameter; VALUE is a Python literal, or else a string; may be repeated"
    add("--set", type=assignment, metavar="NAME=VALUE", help=text)


def parameter(name: str, text: str) -> tuple[str, Any]:
    """Return a parameter and its value: a Python literal, or any other text as a string."""
    try:
        return name, ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return name, text


def assignment(text: str) -> tuple[str, Any]:
    """Split NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE. Got {text!r}.")
    return parameter(name, value)


def names(text: str) -> list[str]:
    """Split names at commas; one that has a comma is put in double quotes."""
    (columns,) = csv.reader([text], skipinitialspace=True)
    if not all(columns) or len(set(columns)) < max(len(columns), 1):
        raise argparse.ArgumentTypeError(f"must be different names, such as a,b. Got {text!r}.")
    return columns


def delimiter(text: str) -> str:
    """Return the character between two cells."""
    character = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(character) != 1 or character in '"\r\n':
        raise argparse.ArgumentTypeError(
            f"must be one character, such as ';', or tab. Got {text!r}."
        )
    return character


def encoding(text: str) -> str:
    """Return the name of an encoding, after a check that Python knows it."""
    try:
        "".encode(text)
    except LookupError:
        message = f"must be an encoding, such as latin-1 or utf-16. Got {text!r}."
        raise argparse.ArgumentTypeError(message) from None
    return text


def sides(text: str) -> tuple[int, ...]:
    """Split HEIGHTxWIDTH, in pixels; SIDE is both."""
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"must be pixels, such as 32 or 48x64. Got {text!r}.")
    return tuple(map(int, (text if "x" in text else f"{text}x{text}").split("x")))


def part(text: str) -> float | str:
    """Read a part of the samples, or "auto"."""
    if text == "auto" or (is_number(text) and 0 < float(text) <= 0.5):
        return text if text == "auto" else float(text)
    raise argparse.ArgumentTypeError(
        f"must be auto, or a number above 0 and at most 0.5. Got {text!r}."
    )


def model_path(text: str) -> Path:
    """Check the path of a model to be written."""
    if Path(text).suffix != ".safetensors":
        raise argparse.ArgumentTypeError(
            "must end in .safetensors, a file that cannot run code when it is read. Pickles, such "
            f"as those of joblib, can, and are not written here. Got {text!r}."
        )
    return Path(text)


def graph_path(text: str) -> Path:
    """Check the path of a graph to be written."""
    if Path(text).suffix != ".onnx":
        raise argparse.ArgumentTypeError(f"must end in .onnx. Got {text!r}.")
    return Path(text)


def scores_path(text: str) -> Path:
    """Check the path of scores to be written."""
    return features_path(text, TABLES)


def features_path(text: str, kinds: Sequence[str] = FEATURE_FILES) -> Path:
    """Check the path of features to be written."""
    if Path(text).suffix not in kinds:
        suffixes = ", ".join(kinds)
        raise argparse.ArgumentTypeError(f"must end in one of {suffixes}. Got {text!r}.")
    return Path(text)
