"""``python -m skdim``: fit, transform, score and inspect from a command line.

Results go to stdout; the progress bar, warnings and errors go to stderr. Modules that are slow to
import are imported by the commands that need them, so that help is shown at once.
"""

import argparse
import ast
import csv
import json
import os
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skdim._files.atomic_write import replace_when_done
from skdim._tables import (
    TABLE_WRITERS,
    TABLES,
    Table,
    check_complete,
    read_column,
    read_table,
)
from skdim._version import __version__

if TYPE_CHECKING:
    from skdim.transformer import DIMTransformer

DONE, FAILED, USAGE_ERROR, INTERRUPTED = 0, 1, 2, 130

# Folds of the cross-validated accuracies.
N_FOLDS = 5

# Epochs whose losses ``inspect`` shows.
N_LOSSES = 5

# The keys of skdim._model.readout.OUTPUTS, whose import needs torch.
OUTPUTS = ("components", "hidden", "code", "local")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str or None, default=None
        The arguments after ``python -m skdim``; None takes those of this process.

    Returns
    -------
    status : int
        0 for success, 1 for an error, 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        With code 2 for wrong arguments, and with code 0 after help.

    Examples
    --------
    >>> from skdim.command_line import main
    >>> main(["inspect", "nowhere.safetensors"])  # stderr: no such file
    1
    """
    args = build_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        # Columns of tables are read by their names, which arrays do not keep.
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        try:
            results = COMMANDS[args.command].run(args)
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


# ---- Commands ------------------------------------------------------------------------------


def fit(args: argparse.Namespace) -> dict[str, Any]:
    """Train a transformer and save it; after Ctrl-C, as it was after its last complete epoch."""
    check_output(args.output, args.force, args.input)
    params = unique(args.params)
    X = read(args.input, **reading_options(args))
    check_missing(args.input, X, params.get("allow_nan", False))
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
    if isinstance(X, Table):
        dim.feature_names_in_ = np.array(X.names, dtype=object)
    dim.set_params(verbose=0).save(args.output)
    if not is_complete:
        raise KeyboardInterrupt(f"{args.output} holds the model after epoch {dim.n_iter_}.")
    return {
        "shape": X.shape,
        "epochs": dim.n_iter_,
        "loss": dim.history_[-1]["loss"],
        "seconds": round(seconds, 1),
        **left_out(X),
        "wrote": str(args.output),
    }


def transform(args: argparse.Namespace) -> dict[str, Any]:
    """Write the features of X to a file."""
    inputs = args.model, args.input
    check_output(args.output, args.force, *inputs)
    paths = args.output.with_suffix(".paths.txt")  # a .npy file has no column for them
    has_paths = args.input.is_dir() and args.output.suffix == ".npy"
    if has_paths:
        check_output(paths, args.force, *inputs)
    dim = load(args.model)
    X = read_like(dim, args)
    if args.what:
        dim.set_params(output=args.what)
    shape = WRITERS[args.output.suffix](dim, X, args.output)
    results = {"shape": shape, "features": dim.output, **left_out(X), "wrote": str(args.output)}
    if has_paths:
        write_paths(X, paths)
        results["paths"] = str(paths)
    return results


def score(args: argparse.Namespace) -> dict[str, Any]:
    """Score X and, with labels, compute accuracies of classifiers."""
    dim = load(args.model)
    X = read_like(dim, args)
    labels = read_labels(args, X) if args.labels else None
    results = {"score": dim.score(X), "score_terms": dim.score_terms(X), **left_out(X)}
    return results if labels is None else {**results, **accuracies(dim, X, labels)}


def inspect(args: argparse.Namespace) -> dict[str, Any]:
    """Describe the file of a model."""
    dim = load(args.model)
    from skdim._files.safe import read as read_state

    defaults = type(dim)().get_params()
    return {
        "file": str(args.model),
        "bytes": args.model.stat().st_size,
        "skdim": read_state(args.model, {})["model"]["version"],
        "sample_shape": dim.sample_shape_,
        "params": {k: v for k, v in dim.get_params().items() if v != defaults[k]},
        "output": dim.output,
        "n_features": {name: readout.n_features for name, readout in dim.model_.readouts.items()},
        "epochs": dim.n_iter_,
        "losses": [epoch["loss"] for epoch in dim.history_[-N_LOSSES:]],
        "trimmed": dim.model_.is_trimmed,
    }


def load(path: Path) -> "DIMTransformer":
    """Read a transformer that ``fit`` wrote."""
    if not path.is_file():
        raise FileNotFoundError(f"The model must be an existing file. Got {path}.")
    from skdim.transformer import DIMTransformer

    return DIMTransformer.load(path)


def accuracies(dim: "DIMTransformer", X: Any, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """Cross-validate linear classifiers on the columns of X, on their PCA, and on features.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Read into memory as a whole, which columns and PCA need.
    labels : ndarray of shape (n,)

    Returns
    -------
    results : dict
        "accuracy" and "accuracy_std": mean and standard deviation over `N_FOLDS` folds, each a
        dict with the keys "raw", "pca" and "dim".
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = dim.transform(X)  # (n, n_features)
    columns = np.asarray(X).reshape(len(X), -1)  # (n, n_columns)
    n_components = min(features.shape[1], columns.shape[1], len(X) // 2)
    classifier = LogisticRegression(max_iter=5000)
    pca = PCA(n_components, random_state=0)
    compared = {
        "raw": (make_pipeline(StandardScaler(), classifier), columns),
        "pca": (make_pipeline(StandardScaler(), pca, classifier), columns),
        "dim": (classifier, features),
    }
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    scores = {
        name: cross_val_score(model, table, labels, cv=folds, error_score="raise")
        for name, (model, table) in compared.items()
    }
    return {
        "accuracy": {name: float(values.mean()) for name, values in scores.items()},
        "accuracy_std": {name: float(values.std()) for name, values in scores.items()},
    }


# ---- Reading --------------------------------------------------------------------------------


def read_npy(path: Path) -> np.ndarray:
    """Return an array on disk."""
    return np.lib.format.open_memmap(path, mode="r")


def read_npz(path: Path, array: str | None = None) -> np.ndarray:
    """Return one of several arrays: that called ``array``, the only one, or that called X."""
    with open(path, "rb") as stream, np.lib.npyio.NpzFile(stream) as file:
        name = array or (file.files[0] if len(file.files) == 1 else "X")
        if name not in file.files:
            raise ValueError(f"--array must be one of {file.files}. Got {name!r}.")
        return file[name]


def read_folder(
    path: Path, size: int | tuple[int, int] = 32, grey: bool = False, on_error: str = "raise"
) -> Any:
    """Return images on disk."""
    from skdim.sources import ImageFolder

    return ImageFolder(path, size=size, color=not grey, on_error=on_error)


READERS: dict[str, Callable[..., Any]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    **dict.fromkeys(TABLES, read_table),
    "folder": read_folder,
}

# The kinds of input that each reading option is for.
READING_OPTIONS = {
    "array": (".npz",),
    "columns": tuple(TABLES),
    "drop_columns": tuple(TABLES),
    "size": ("folder",),
    "grey": ("folder",),
    "on_error": ("folder",),
}


def kind_of(path: Path) -> str:
    """Return the key of an input in `READERS`."""
    return "folder" if path.is_dir() else path.suffix.lower()


def read(path: Path, **options) -> Any:
    """Return X, without reading all of it where possible.

    Parameters
    ----------
    path : Path
        A file or folder of a kind in `READERS`.
    **options
        Of that kind; see `READING_OPTIONS`.
    """
    if not path.exists():
        raise FileNotFoundError(f"An input must be an existing file or folder. Got {path}.")
    kind = kind_of(path)
    if kind not in READERS:
        raise ValueError(f"An input must be one of {', '.join(READERS)}. Got {path}.")
    for name in options:
        if kind not in READING_OPTIONS[name]:
            kinds = ", ".join(READING_OPTIONS[name])
            raise ValueError(f"--{name.replace('_', '-')} is for the kind {kinds}. Got {path}.")
    with named(path):
        return READERS[kind](path, **options)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name the file in errors about what is in it."""
    try:
        yield
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, csv.Error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def reading_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the reading options that were given."""
    return {name: getattr(args, name) for name in READING_OPTIONS if getattr(args, name, None)}


def read_like(dim: "DIMTransformer", args: argparse.Namespace) -> Any:
    """Return X: images of the size and channels, tables of the columns that ``fit`` has read."""
    options, kind = reading_options(args), kind_of(args.input)
    if kind == "folder":
        n_channels, *sides = dim.sample_shape_
        if len(sides) != 2 or n_channels not in (1, 3):
            raise ValueError(
                f"The model must be one of images to read a folder of images. Got {args.model}, "
                f"of samples of shape {dim.sample_shape_} (channels first)."
            )
        options = {**options, "size": tuple(sides), "grey": n_channels == 1}
    elif kind in TABLES:
        options = {**options, **columns_like(dim, args)}
    X = read(args.input, **options)
    check_missing(args.input, X, dim.allow_nan)
    return X


def columns_like(dim: "DIMTransformer", args: argparse.Namespace) -> dict[str, list[str]]:
    """Return which columns of a table to read: those of ``fit``, in their order, if it had names.

    Else all but that of the labels.
    """
    names = getattr(dim, "feature_names_in_", None)
    labels = [args.labels] if is_column(getattr(args, "labels", None)) else []
    if names is None:
        return {"drop_columns": [*(args.drop_columns or []), *labels]}
    if args.columns or args.drop_columns:
        raise ValueError(
            "--columns and --drop-columns are for models that know no names of columns. "
            f"{args.model} reads those of fit: {', '.join(names)}."
        )
    if set(labels) & set(names):
        raise ValueError(f"--labels must not be a column that fit has read. Got {args.labels}.")
    return {"columns": list(names)}


def check_missing(path: Path, X: Any, allow_nan: Any) -> None:
    """Raise if cells of a table are missing that may not be."""
    if isinstance(X, Table) and not allow_nan:
        with named(path):
            check_complete(X)


def left_out(X: Any) -> dict[str, Any]:
    """Return what was not read of an input: columns of a table, files that are no images."""
    if isinstance(X, Table) and X.left_out:
        return {"left_out": X.left_out}
    n_skipped = getattr(X, "n_skipped", 0)
    return {"skipped": n_skipped} if n_skipped else {}


def is_column(source: str | None) -> bool:
    """Whether labels are a column of the table that is read."""
    return source is not None and source != "folder" and Path(source).suffix.lower() != ".npy"


def read_labels(args: argparse.Namespace, X: Any) -> np.ndarray:
    """Return a label for each sample: from a file, a column, or the folders of the images."""
    from skdim.sources import ImageFolder

    if args.labels == "folder":
        if not isinstance(X, ImageFolder):
            raise ValueError("--labels folder is for an input that is a folder of images.")
        return X.labels
    if is_column(args.labels):
        if not isinstance(X, Table):
            raise ValueError(
                "--labels must be a .npy file, 'folder' where the input is a folder of images, or "
                f"the name of a column where it is a table. Got {args.labels}."
            )
        with named(args.input):
            return read_column(args.input, args.labels)
    labels = read(Path(args.labels))
    if labels.shape != X.shape[:1]:
        raise ValueError(
            f"--labels must hold one label for each of {len(X)} samples. Got shape {labels.shape}."
        )
    return np.asarray(labels)


# ---- Writing --------------------------------------------------------------------------------


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


def write_npy(dim: "DIMTransformer", X: Any, path: Path) -> tuple[int, ...]:
    """Write features in batches."""
    return dim.transform_to(X, path).shape


def write_table(dim: "DIMTransformer", X: Any, path: Path) -> tuple[int, ...]:
    """Write features with their names, and of images with their files in a first column."""
    features = dim.transform(X)
    TABLE_WRITERS[path.suffix](path, features, dim.get_feature_names_out(), image_paths(X))
    return features.shape


def write_paths(X: Any, path: Path) -> None:
    """Write which image each of the features is of, a line each."""
    with replace_when_done(path) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in image_paths(X)), encoding="utf-8")


def image_paths(X: Any) -> list[str]:
    """Return the paths of images below their folder; nothing for all other inputs."""
    return [image.relative_to(X.folder).as_posix() for image in getattr(X, "paths", [])]


WRITERS: dict[str, Callable[..., tuple[int, ...]]] = {
    ".npy": write_npy,
    **dict.fromkeys(TABLE_WRITERS, write_table),
}


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


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    _print_to_stderr(f"Warning: {message}")


# ---- Arguments ------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line."""

    def error(self, message):
        """Print the error and exit."""
        self.exit(USAGE_ERROR, f"{self.prog}: {_one_line(message)} (see --help)\n")


def literal(text: str) -> Any:
    """Return the value of a Python literal; any other text is returned as a string."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


def parameter(name: str) -> Callable[[str], tuple[str, Any]]:
    """Return a function that reads the value of an option for a parameter."""
    return lambda text: (name, literal(text))


def assignment(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE. Got {text!r}.")
    return name, literal(value)


def unique(params: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return parameters by name, unless one was given twice."""
    names = [name for name, _ in params]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"The {name!r} parameter must be given once. Got it several times.")
    return dict(params)


def names(text: str) -> list[str]:
    """Read names with commas between them; one that has a comma is put in double quotes."""
    (found,) = csv.reader([text], skipinitialspace=True)
    if not all(found) or len(set(found)) < max(len(found), 1):
        raise argparse.ArgumentTypeError(f"must be different names, such as a,b. Got {text!r}.")
    return found


def sides(text: str) -> int | tuple[int, int]:
    """Read SIDE or HEIGHTxWIDTH, in pixels."""
    numbers = text.split("x")
    if len(numbers) > 2 or not all(n.isdecimal() and int(n) > 0 for n in numbers):
        raise argparse.ArgumentTypeError(f"must be pixels, such as 32 or 48x64. Got {text!r}.")
    return int(numbers[0]) if len(numbers) == 1 else (int(numbers[0]), int(numbers[1]))


def model_path(text: str) -> Path:
    """Read the path of a model to be written."""
    path = Path(text)
    if path.suffix != ".safetensors":
        raise argparse.ArgumentTypeError(
            "must end in .safetensors, a file that cannot run code when it is read. Pickles, such "
            f"as those of joblib, can, and are not written here. Got {text!r}."
        )
    return path


def features_path(text: str) -> Path:
    """Read the path of features to be written."""
    path = Path(text)
    if path.suffix not in WRITERS:
        raise argparse.ArgumentTypeError(f"must end in one of {', '.join(WRITERS)}. Got {text!r}.")
    return path


# Options of ``fit`` that set a parameter: the name of the parameter, and the help text.
FIT_OPTIONS = {
    "--n-components": ("n_components", "number of features (default: 64)"),
    "--max-epochs": (
        "max_epochs",
        "number of epochs; auto shows about 30,000 samples, 60,000 images or rows, plus three "
        "epochs; of tables 60 at most, of signals 120 (default: auto)",
    ),
    "--max-time": ("max_time", "time limit of training, in seconds (default: None)"),
    "--seed": (
        "random_state",
        "integer; the same seed gives the same model on the same machine (default: None)",
    ),
}


def _add_fit(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    _add_output(parser, model_path, "the model: a .safetensors file")
    params = parser.add_argument_group("parameters of DIMTransformer")
    params.set_defaults(params=[])
    for option, (name, text) in FIT_OPTIONS.items():
        params.add_argument(
            option,
            dest="params",
            action="append",
            type=parameter(name),
            metavar="VALUE",
            help=text,
        )
    params.add_argument(
        "--set",
        dest="params",
        action="append",
        type=assignment,
        metavar="NAME=VALUE",
        help="set any parameter of DIMTransformer; may be repeated. VALUE is read as a Python "
        "literal, such as 3, True or {'width': 64}; all other text is a string",
    )
    images = parser.add_argument_group("folders of images")
    images.add_argument(
        "--size",
        type=sides,
        help="size of images in pixels, SIDE or HEIGHTxWIDTH (default: 32)",
    )
    images.add_argument(
        "--grey", action="store_true", help="read images as grey (default: in colour)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar (default: show it)")


def _add_transform(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    _add_input(parser)
    _add_output(
        parser,
        features_path,
        "the features: a .npy file of float32, or a .csv, .tsv or .parquet file with their names",
    )
    parser.add_argument(
        "--what",
        choices=OUTPUTS,
        help="which features (default: the output parameter of the model, which is components "
        "if it was not set)",
    )


def _add_score(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    _add_input(parser)
    parser.add_argument(
        "--labels",
        metavar="LABELS",
        help="a .npy file with one label for each sample, the name of a column of the table, or "
        "'folder', which takes the names of the folders of the images (default: no accuracies)",
    )


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="a file written by fit")


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        metavar="INPUT",
        type=Path,
        help="a .npy, .npz, .csv, .tsv or .parquet file, or a folder of images",
    )
    parser.add_argument(
        "--array",
        metavar="NAME",
        help="name of an array in a .npz file (default: the only one, or X)",
    )
    parser.add_argument(
        "--columns",
        metavar="NAMES",
        type=names,
        help="columns of a table to be read, with commas between them (default: all, or those of "
        "the model)",
    )
    parser.add_argument(
        "--drop-columns",
        metavar="NAMES",
        type=names,
        help="columns of a table to be left out, such as that of labels (default: none)",
    )
    parser.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        help="what to do with files in a folder that are no images (default: raise)",
    )


def _add_output(parser: argparse.ArgumentParser, read_path: Callable, text: str) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", type=read_path, required=True, help=text)
    parser.add_argument(
        "--force", action="store_true", help="replace an existing output (default: an error)"
    )


class Command(NamedTuple):
    """A command: its function, its arguments and its help."""

    run: Callable[[argparse.Namespace], dict[str, Any]]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    summary: str
    text: str
    example: str


COMMANDS = {
    "fit": Command(
        fit,
        _add_fit,
        "train on samples without labels and write the model",
        "Input and output are checked before training begins. A progress bar on stderr shows the\n"
        "loss and the time left. After Ctrl-C, the model of the last complete epoch is written,\n"
        "and the exit code is 130.",
        "python -m skdim fit images.npy --output model.safetensors --max-epochs 20 --seed 0\n"
        "python -m skdim fit images.npy --output wide.safetensors --set flip_averaging=True \\\n"
        "    --set 'encoder_params={\"width\": 64}' --max-epochs 10",
    ),
    "transform": Command(
        transform,
        _add_transform,
        "write the features of samples",
        "The output is either complete or not written. A .npy file is written in batches; for\n"
        "other files all features are held in memory. Images are read with the size and channels\n"
        "of the model, tables with its columns. Which image features are of is told in the first\n"
        "column, file, of a table, or in a .paths.txt file beside a .npy file.",
        "python -m skdim transform model.safetensors images.npy --output features.npy",
    ),
    "score": Command(
        score,
        _add_score,
        "measure the quality of features, with or without labels",
        "score is the probability that the critic scores a sample's code higher with the sample's\n"
        "own local features than with those of other samples: 0.5 at chance, at most 1.\n"
        "score_terms are the terms of the objective. Use samples that fit has not seen. With\n"
        "labels, accuracy is that of logistic regression on the standardised input (raw), on as\n"
        f"many principal components of it as there are features (pca), and on the features (dim):\n"
        f"the mean over {N_FOLDS} folds. The input is then read into memory.",
        "python -m skdim score model.safetensors images.npy --labels labels.npy",
    ),
    "inspect": Command(
        inspect,
        _add_inspect,
        "describe the file of a model",
        "params are the parameters that differ from the defaults of DIMTransformer. losses are\n"
        "those of the last epochs, oldest first. Files cannot run code, so that files from\n"
        "untrusted sources can be inspected.",
        "python -m skdim inspect model.safetensors --json",
    ),
}

DESCRIPTION = """\
Learn features without labels, by Deep InfoMax.

An input is one of
  .npy     an array written by numpy.save, samples on its first axis; read when needed
  .npz     several such arrays, of which one is read into memory
  .csv     numbers below a line of column names, with commas between them; .tsv with tabs
  .parquet numbers in columns with names; needs pyarrow
  folder   images in the folder and its sub-folders, read when needed; needs Pillow

The script skdim, which is installed with the package, is the same as python -m skdim.\
"""

EXIT_CODES = """\
Results go to stdout, everything else to stderr.
Exit codes: 0 success; 1 an error, with a message; 2 wrong arguments; 130 ended by Ctrl-C.\
"""

EXAMPLE = """\
example:
  python -m skdim fit images.npy --output model.safetensors
  python -m skdim transform model.safetensors images.npy --output features.npy
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _parser(Parser, DESCRIPTION, f"{EXAMPLE}\n{EXIT_CODES}", prog="python -m skdim")
    parser.add_argument("--version", action="version", version=f"skdim {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--json", action="store_true", help="print results as one line of JSON (default: as text)"
    )
    common.add_argument(
        "--traceback",
        action="store_true",
        help="print the traceback of errors (default: the message)",
    )
    subparsers = parser.add_subparsers(title="commands", dest="command", required=True)
    for name, command in COMMANDS.items():
        example = "\n".join(f"  {line}" for line in command.example.splitlines())
        command.add_arguments(
            _parser(
                subparsers.add_parser,
                f"{command.summary.capitalize()}.\n\n{command.text}",
                f"example:\n{example}\n\n{EXIT_CODES}",
                name=name,
                help=command.summary,
                parents=[common],
            )
        )
    return parser


def _parser(make: Callable[..., Any], description: str, epilog: str, **arguments) -> Any:
    """Make a parser whose help keeps the line breaks of its texts."""
    return make(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **arguments,
    )
