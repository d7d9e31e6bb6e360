"""``python -m skdim``: fit, transform, score and inspect from a command line.

Results go to stdout; the progress bar, warnings and errors go to stderr. What is slow to import is
imported by the command that needs it, so that help comes at once.
"""

import argparse
import ast
import json
import os
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skdim._utils.atomic_write import replace_when_done

if TYPE_CHECKING:
    from skdim.transformer import DIMTransformer

DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130

# Folds that the accuracy of a classifier is a mean over.
N_FOLDS = 5

# Epochs whose losses ``inspect`` shows.
N_LOSSES = 5

# What ``transform`` may write: the keys of skdim._model.readout.OUTPUTS, which torch comes with.
OUTPUTS = ("components", "hidden", "code", "local")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str or None, default=None
        The words after ``python -m skdim``; None takes those of this process.

    Returns
    -------
    status : int
        0 where it is done, 1 where it failed, 130 where Ctrl-C ended it.

    Raises
    ------
    SystemExit
        Of code 2 if the words are no command, and of code 0 after help.

    Examples
    --------
    >>> from skdim.command_line import main
    >>> main(["inspect", "nowhere.safetensors"])  # stderr says that there is no such file
    1
    """
    args = build_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            results = COMMANDS[args.command].run(args)
        except KeyboardInterrupt as interrupt:
            _tell(f"Interrupted: {str(interrupt) or 'nothing was written.'}")
            return INTERRUPTED
        except Exception as error:
            if args.traceback:
                raise
            _tell(f"Error: {str(error) or type(error).__name__}")
            return FAILED
    _print(json.dumps(results, default=str) if args.json else "\n".join(lines(results)))
    return DONE


# ---- What the commands do -------------------------------------------------------------------


def fit(args: argparse.Namespace) -> dict[str, Any]:
    """Train a transformer and save it; after an interrupt, as of its last whole epoch."""
    check_output(args.output, args.force, args.input)
    params = unique(args.params)
    X = read(args.input, **reading_options(args))
    from skdim.transformer import DIMTransformer

    dim = DIMTransformer(verbose=0 if args.quiet else 1).set_params(**params)
    is_whole = True
    start = time.perf_counter()
    try:
        dim.fit(X)
    except KeyboardInterrupt:
        if not dim.__sklearn_is_fitted__():
            raise
        is_whole = False
    seconds = time.perf_counter() - start
    dim.set_params(verbose=0).save(args.output)
    if not is_whole:
        raise KeyboardInterrupt(f"{args.output} holds what epoch {dim.n_iter_} had learned.")
    return {
        "shape": X.shape,
        "epochs": dim.n_iter_,
        "loss": dim.history_[-1]["loss"],
        "seconds": round(seconds, 1),
        "wrote": str(args.output),
    }


def transform(args: argparse.Namespace) -> dict[str, Any]:
    """Write the features of X."""
    check_output(args.output, args.force, args.model, args.input)
    dim = load(args.model)
    X = read_like(dim, args)
    if args.what:
        dim.set_params(output=args.what)
    shape = WRITERS[args.output.suffix](dim, X, args.output)
    return {"shape": shape, "features": dim.output, "wrote": str(args.output)}


def score(args: argparse.Namespace) -> dict[str, Any]:
    """Tell how well samples are told apart and, with labels, what classifiers make of features."""
    dim = load(args.model)
    X = read_like(dim, args)
    labels = read_labels(args.labels, X) if args.labels else None
    results = {"score": dim.score(X), "score_terms": dim.score_terms(X)}
    return results if labels is None else {**results, **accuracies(dim, X, labels)}


def inspect(args: argparse.Namespace) -> dict[str, Any]:
    """Tell what is in a model's file."""
    dim = load(args.model)
    from skdim._utils.files import read as read_state

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
        raise FileNotFoundError(f"The model must be a file that is there. Got {path}.")
    from skdim.transformer import DIMTransformer

    return DIMTransformer.load(path)


def accuracies(dim: "DIMTransformer", X: Any, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """Cross-validate linear classifiers on columns of X, their components, and features.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Read whole: the first two need it.
    labels : ndarray of shape (n,)

    Returns
    -------
    results : dict
        Mean and standard deviation over `N_FOLDS` folds, under "raw", "pca" and "dim" each.
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
    pca = PCA(n_components, whiten=True, random_state=0)
    contest = {
        "raw": (make_pipeline(StandardScaler(), classifier), columns),
        "pca": (make_pipeline(StandardScaler(), pca, classifier), columns),
        "dim": (classifier, features),
    }
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    found = {
        name: cross_val_score(model, rows, labels, cv=folds, error_score="raise")
        for name, (model, rows) in contest.items()
    }
    return {
        "accuracy": {name: float(values.mean()) for name, values in found.items()},
        "accuracy_std": {name: float(values.std()) for name, values in found.items()},
    }


# ---- What is read ---------------------------------------------------------------------------


def read_npy(path: Path) -> np.ndarray:
    """Return an array that stays on disk."""
    return np.lib.format.open_memmap(path, mode="r")


def read_npz(path: Path, array: str | None = None) -> np.ndarray:
    """Return one array of several: the one named, the only one, or X."""
    with open(path, "rb") as stream, np.lib.npyio.NpzFile(stream) as file:
        name = array or (file.files[0] if len(file.files) == 1 else "X")
        if name not in file.files:
            raise ValueError(f"--array must be one of {file.files}. Got {name!r}.")
        return file[name]


def read_csv(path: Path) -> np.ndarray:
    """Return the numbers beneath a line of column names, (n, n_columns)."""
    with open(path, encoding="utf-8-sig") as file:
        names = file.readline().strip().split(",")
        if any(_is_number(name) for name in names):
            raise ValueError(f"its first line must name the columns. Got {','.join(names)!r}.")
        return np.loadtxt(file, delimiter=",", ndmin=2, comments=None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_folder(path: Path, size: int | tuple[int, int] = 32, grey: bool = False) -> Any:
    """Return pictures that stay on disk."""
    from skdim.sources import ImageFolder

    return ImageFolder(path, size=size, color=not grey)


READERS: dict[str, Callable[..., Any]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    "folder": read_folder,
}

# What each option of reading is for.
READING_OPTIONS = {"array": ".npz", "size": "folder", "grey": "folder"}


def read(path: Path, **options) -> Any:
    """Return X, checked as far as that goes without reading it all.

    Parameters
    ----------
    path : Path
        Of a kind in `READERS`.
    **options
        Those of the kind; see `READING_OPTIONS`.
    """
    if not path.exists():
        raise FileNotFoundError(f"An input must be a file or a folder that is there. Got {path}.")
    kind = "folder" if path.is_dir() else path.suffix.lower()
    if kind not in READERS:
        raise ValueError(f"An input must be one of {', '.join(READERS)}. Got {path}.")
    for name in options:
        if READING_OPTIONS[name] != kind:
            raise ValueError(f"--{name} is for the kind {READING_OPTIONS[name]}. Got {path}.")
    try:
        return READERS[kind](path, **options)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def reading_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return those that were given."""
    return {name: getattr(args, name) for name in READING_OPTIONS if getattr(args, name, None)}


def read_like(dim: "DIMTransformer", args: argparse.Namespace) -> Any:
    """Return X; pictures in the size and colours that the transformer was fitted to."""
    options = reading_options(args)
    if args.input.is_dir():
        n_channels, *sides = dim.sample_shape_
        if len(sides) != 2 or n_channels not in (1, 3):
            raise ValueError(
                f"The model must be one of pictures to read a folder of them. Got {args.model}, "
                f"of samples of shape {dim.sample_shape_} (channels first)."
            )
        options = {**options, "size": tuple(sides), "grey": n_channels == 1}
    return read(args.input, **options)


def read_labels(source: str, X: Any) -> np.ndarray:
    """Return a label for each sample: of a file, or the names of the folders of pictures."""
    from skdim.sources import ImageFolder

    if source == "folder":
        if not isinstance(X, ImageFolder):
            raise ValueError("--labels folder is for an input that is a folder of pictures.")
        return X.labels
    if Path(source).suffix.lower() != ".npy":
        raise ValueError(f"--labels must be a .npy file, or 'folder'. Got {source}.")
    labels = read(Path(source))
    if labels.shape != X.shape[:1]:
        raise ValueError(
            f"--labels must hold one label for each of {len(X)} samples. Got shape {labels.shape}."
        )
    return np.asarray(labels)


# ---- What is written ------------------------------------------------------------------------


def check_output(path: Path, force: bool, *inputs: Path) -> None:
    """Refuse, before any work, what could not be written or should not be."""
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise OSError(f"--output must lie in a folder that is there, to write to. Got {path}.")
    if path.is_dir():
        raise IsADirectoryError(f"--output must be a file. Got the folder {path}.")
    if any(path.exists() and other.exists() and path.samefile(other) for other in inputs):
        raise ValueError(f"--output must be another file than what is read. Got {path} for both.")
    if path.exists() and not force:
        raise FileExistsError(f"{path} is there already: --force replaces it.")


def write_npy(dim: "DIMTransformer", X: Any, path: Path) -> tuple[int, ...]:
    """Write features a few at a time."""
    return dim.transform_to(X, path).shape


def write_csv(dim: "DIMTransformer", X: Any, path: Path) -> tuple[int, ...]:
    """Write features beneath their names, with the digits that make the same floats again."""
    features = dim.transform(X)
    names = ",".join(dim.get_feature_names_out())
    with replace_when_done(path) as temporary:
        np.savetxt(temporary, features, fmt="%.9g", delimiter=",", header=names, comments="")
    return features.shape


WRITERS: dict[str, Callable[..., tuple[int, ...]]] = {".npy": write_npy, ".csv": write_csv}


def lines(results: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield results as lines ``name: value``, names of names joined by dots."""
    for name, value in results.items():
        if isinstance(value, dict):
            yield from lines(value, f"{prefix}{name}.")
        else:
            yield _plain(f"{prefix}{name}: {_word(value)}")


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_word(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(text: str) -> str:
    """Return one line without control characters, which a stranger's file may hold."""
    line = " ".join(text.split())
    return line if line.isprintable() else ascii(line)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # nobody reads on; the end of the process shall not try again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(sentence: str) -> None:
    print(_plain(sentence), file=sys.stderr)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    _tell(f"Warning: {message}")


# ---- What may be typed ----------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """One that says what is wrong in one line."""

    def error(self, message):
        """Exit, pointing to help."""
        self.exit(MISUSED, f"{self.prog}: {_plain(message)} (--help tells more)\n")


def literal(text: str) -> Any:
    """Return the Python literal that a text is; a text that is none, as it is."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


def parameter(name: str) -> Callable[[str], tuple[str, Any]]:
    """Return what reads the value of an option that stands for a parameter."""
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
            raise ValueError(f"The {name!r} parameter must be given once. Got it more often.")
    return dict(params)


def sides(text: str) -> int | tuple[int, int]:
    """Read SIDE or HEIGHTxWIDTH, in pixels."""
    numbers = text.split("x")
    if len(numbers) > 2 or not all(n.isdecimal() and int(n) > 0 for n in numbers):
        raise argparse.ArgumentTypeError(f"must be pixels, such as 32 or 48x64. Got {text!r}.")
    return int(numbers[0]) if len(numbers) == 1 else (int(numbers[0]), int(numbers[1]))


def model_path(text: str) -> Path:
    """Read where a model is to be written."""
    path = Path(text)
    if path.suffix != ".safetensors":
        raise argparse.ArgumentTypeError(
            "must end in .safetensors, a file that cannot run code when it is read; pickles, such "
            f"as those of joblib, can, and are not written here. Got {text!r}."
        )
    return path


def features_path(text: str) -> Path:
    """Read where features are to be written."""
    path = Path(text)
    if path.suffix not in WRITERS:
        raise argparse.ArgumentTypeError(f"must end in {' or '.join(WRITERS)}. Got {text!r}.")
    return path


# Options of ``fit`` that stand for a parameter: its name, and what help says of it.
FIT_OPTIONS = {
    "--n-components": ("n_components", "number of features (default: 64)"),
    "--max-epochs": (
        "max_epochs",
        "passes over the input; auto shows about 30,000 samples, 100,000 of rows, plus three "
        "passes (default: auto)",
    ),
    "--max-time": ("max_time", "seconds after which training ends (default: None)"),
    "--seed": (
        "random_state",
        "a number that makes the same command give the same model on one machine (default: None)",
    ),
}


def _add_fit(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    _add_output(parser, model_path, "the model: a .safetensors file")
    params = parser.add_argument_group("what is learned, and how long")
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
        help="any parameter of DIMTransformer, may be repeated; VALUE is a Python literal, and "
        "a word that is none stands for itself",
    )
    pictures = parser.add_argument_group("folders of pictures")
    pictures.add_argument(
        "--size", type=sides, help="pixels, SIDE or HEIGHTxWIDTH, that all are cut to (default: 32)"
    )
    pictures.add_argument(
        "--grey", action="store_true", help="read them without colours (default: with)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar (default: one)")


def _add_transform(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    _add_input(parser)
    _add_output(
        parser, features_path, "the features: a .npy file, float32, or .csv beneath their names"
    )
    parser.add_argument(
        "--what",
        choices=OUTPUTS,
        help="which features (default: those that the model was fitted for, components unless "
        "its output parameter was set)",
    )


def _add_score(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    _add_input(parser)
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="a .npy file of one label a sample, or the word folder: the names of the folders "
        "that pictures lie in (default: no accuracies)",
    )


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="a file that fit wrote")


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        metavar="INPUT",
        type=Path,
        help="a .npy, .npz or .csv file, or a folder of pictures",
    )
    parser.add_argument(
        "--array", metavar="NAME", help="which of a .npz file (default: the only one, or X)"
    )


def _add_output(parser: argparse.ArgumentParser, read_path: Callable, text: str) -> None:
    parser.add_argument("--output", metavar="FILE", type=read_path, required=True, help=text)
    parser.add_argument(
        "--force", action="store_true", help="replace an output that is there (default: refuse)"
    )


class Command(NamedTuple):
    """A command: what it does, what it takes, and how it is explained."""

    run: Callable[[argparse.Namespace], dict[str, Any]]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    summary: str
    text: str
    example: str


COMMANDS = {
    "fit": Command(
        fit,
        _add_fit,
        "learn features from samples without labels, and write a model",
        "The input is checked, and so is the output, before training begins. A bar on stderr\n"
        "shows loss and time left. Ctrl-C keeps the last whole epoch: it is written, and the\n"
        "exit code is 130.",
        "python -m skdim fit images.npy --output model.safetensors --max-epochs 20 --seed 0\n"
        "python -m skdim fit images.npy --output wide.safetensors --set flip_averaging=True \\\n"
        "    --set 'encoder_params={\"width\": 64}' --max-epochs 10",
    ),
    "transform": Command(
        transform,
        _add_transform,
        "write the features of samples",
        "The output is whole or not there. Features go to .npy a few at a time; .csv holds them\n"
        "in memory first. Pictures are read in the size and colours of the model.",
        "python -m skdim transform model.safetensors images.npy --output features.npy",
    ),
    "score": Command(
        score,
        _add_score,
        "tell how good features are, with or without labels",
        "score is the probability that a sample's code finds its own locals among strangers':\n"
        "0.5 at chance, 1 at best. score_terms are the terms of the objective. Take samples that\n"
        "fit has not seen. With labels, accuracy is that of logistic regression on the input,\n"
        "standardised (raw), on as many principal components of it (pca) and on the features\n"
        f"(dim), a mean over {N_FOLDS} folds; the input is then held in memory.",
        "python -m skdim score model.safetensors images.npy --labels labels.npy",
    ),
    "inspect": Command(
        inspect,
        _add_inspect,
        "tell what is in a model's file",
        "params are those that differ from the defaults of DIMTransformer; losses those of the\n"
        "last epochs, oldest first. Nothing in a file can run code, so that it may come from a\n"
        "stranger.",
        "python -m skdim inspect model.safetensors --json",
    ),
}

DESCRIPTION = """\
Features learned without labels, by Deep InfoMax.

An input is one of
  .npy     an array of numpy.save, its first axis samples; read from disk as it is wanted
  .npz     several of them; held in memory
  .csv     numbers beneath a line of column names, which are told apart by their place
  folder   pictures in it and in its sub-folders, read as they are wanted; needs Pillow\
"""

EXIT_CODES = """\
Results go to stdout, all else to stderr.
Exit codes: 0 done; 1 it failed, and one sentence says why; 2 no such command or option;
130 ended by Ctrl-C.\
"""

EXAMPLE = """\
example:
  python -m skdim fit images.npy --output model.safetensors
  python -m skdim transform model.safetensors images.npy --output features.npy
"""


def build_parser() -> argparse.ArgumentParser:
    """Return what reads a command line; its defaults are in its help."""
    parser = _parser(Parser, DESCRIPTION, f"{EXAMPLE}\n{EXIT_CODES}", prog="python -m skdim")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--json", action="store_true", help="results as one line of JSON (default: as lines)"
    )
    common.add_argument(
        "--traceback", action="store_true", help="where an error came from (default: a sentence)"
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
    """Make a parser that keeps the lines of its texts."""
    return make(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **arguments,
    )
