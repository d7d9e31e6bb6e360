"""The command line does what the library does, says what is wrong, and damages no file."""

import csv
import json
import re
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skdim._training.trainer

from skdim import DIMTransformer
from skdim import _tables as tables
from skdim._model.readout import OUTPUTS as READOUTS
from skdim._tables import TABLES, read_table
from skdim.command_line import COMMANDS, FIT_OPTIONS, OUTPUTS, READERS, WRITERS, main, read
from skdim.sources import ImageFolder

PAGE = Path(__file__).parents[1] / "docs" / "command_line.md"
LOUD = ["--max-epochs", "2", "--seed", "0", "--set", "batch_size=32"]
QUICK = [*LOUD, "--quiet"]
NARROW = ["--set", "encoder_params={'width': 8, 'n_hidden': 16}", "--n-components", "8"]


def run(*words):
    """Return the exit code of a command."""
    try:
        return main([str(word) for word in words])
    except SystemExit as stop:
        return stop.code


def save_pictures(folder, n=24):
    """Write pictures into two sub-folders, dark and light ones."""
    image_module = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for number in range(n):
        kind, least = (("dark", 0), ("light", 128))[number % 2]
        (folder / kind).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(least, least + 128, (12, 9, 3), dtype=np.uint8)
        image_module.fromarray(pixels).save(folder / kind / f"{number}.png")


def save_labelled(folder, rows, is_low):
    """Write the same table, whose last column is text, in every format."""
    labels = np.where(is_low, "low", "high, or middle")
    names = [f"pixel {i}" for i in range(4)]
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        with open(folder / f"labelled{suffix}", "w", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerows(
                [[*names, "size"], *([*r, k] for r, k in zip(rows, labels, strict=True))]
            )
    frame = pd.DataFrame(rows, columns=names).assign(size=labels)
    frame.index = [f"sample {i}" for i in range(len(frame))]  # becomes a column of the file
    frame.to_parquet(folder / "labelled.parquet")
    np.save(folder / "size.npy", labels)
    np.save(folder / "labelled.npy", rows)


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits):
    """Inputs of every kind, and a model of images, in a folder whose name has a space."""
    folder = tmp_path_factory.mktemp("command line") / "two words"
    folder.mkdir()
    images, rows = digits.images[:90].astype(np.float32), digits.data[:90]
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", digits.target[:90])
    np.save(folder / "rows.npy", rows)
    np.save(folder / "words.npy", np.array(["a", "b"]))
    np.save(folder / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    np.savez(folder / "several.npz", X=images, other=rows)
    np.savez(folder / "single.npz", anything=images)
    (folder / "cut.npy").write_bytes((folder / "images.npy").read_bytes()[:1000])
    (folder / "notes.txt").write_text("no input")
    names = ",".join(f"column {i}" for i in range(64))
    np.savetxt(folder / "rows.csv", rows, delimiter=",", header=names, comments="")
    np.savetxt(folder / "nameless.csv", rows, delimiter=",")
    (folder / "text.csv").write_text("a,b\n1,two\n")
    (folder / "gaps.csv").write_text('a,"b, of b"\n1,2\n3,NA\n,4\n5,6\n')
    (folder / "short.csv").write_text("a,b\n1,2\n3\n")
    (folder / "twice.csv").write_text("a,a\n1,2\n")
    save_labelled(folder, rows[:, 20:24], digits.target[:90] < 5)
    (folder / "empty").mkdir()
    model = folder / "model.safetensors"
    assert run("fit", folder / "images.npy", "--output", model, *QUICK, *NARROW) == 0
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """The working folder of a test, with the same files."""
    folder = tmp_path / "two words"
    folder.mkdir()
    for path in made.iterdir():
        folder.joinpath(path.name).symlink_to(path)
    monkeypatch.chdir(folder)
    return folder


def as_frame(path):
    """Read a table by pandas."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# ---- Like the library -----------------------------------------------------------------------


def test_fit_is_that_of_the_library(here, capsys):
    assert run("fit", "images.npy", "--output", "again.safetensors", *LOUD, *NARROW) == 0
    printed = capsys.readouterr()
    dim = DIMTransformer(
        8,
        max_epochs=2,
        random_state=0,
        batch_size=32,
        encoder_params={"width": 8, "n_hidden": 16},
    ).fit(np.load("images.npy"))
    again = DIMTransformer.load("again.safetensors")
    assert again.get_params() == dim.get_params()
    np.testing.assert_array_equal(
        again.transform(np.load("images.npy")), dim.transform(np.load("images.npy"))
    )
    assert printed.out.splitlines()[:2] == ["shape: 90, 8, 8", "epochs: 2"]
    assert printed.out.splitlines()[-1] == "wrote: again.safetensors"


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("what", [None, *OUTPUTS])
def test_features_written_are_those_of_the_model(here, what, suffix):
    output = here / f"features{suffix}"
    output.write_text("old ones")
    words = ["transform", *IMAGES, "--output", output, "--force"]
    assert run(*words, *(["--what", what] if what else [])) == 0
    dim = DIMTransformer.load("model.safetensors")
    dim.set_params(output=what or dim.output)
    if suffix == ".npy":
        found = np.load(output)
    else:
        frame = as_frame(output)
        assert list(frame.columns) == list(dim.get_feature_names_out())
        found = frame.to_numpy(np.float32)
    np.testing.assert_array_equal(found, dim.transform(np.load("images.npy")))


def test_score_is_that_of_the_model(here, capsys):
    assert run("score", "model.safetensors", "images.npy", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    dim, X = DIMTransformer.load("model.safetensors"), np.load("images.npy")
    assert found == {"score": dim.score(X), "score_terms": dim.score_terms(X)}


def test_with_labels_features_are_compared_with_raw_input_and_pca(here, capsys):
    words = ["score", "model.safetensors", "images.npy", "--labels", "labels.npy"]
    assert run(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["accuracy"]) == list(found["accuracy_std"]) == ["raw", "pca", "dim"]
    assert all(0.5 < accuracy <= 1 for accuracy in found["accuracy"].values())  # chance is 0.1
    np.save("shuffled.npy", np.random.default_rng(0).permutation(np.load("labels.npy")))
    assert run(*words[:-1], "shuffled.npy", "--json") == 0
    shuffled = json.loads(capsys.readouterr().out)["accuracy"]
    assert all(accuracy < 0.4 for accuracy in shuffled.values())


def test_inspect_shows_what_the_model_holds(here, capsys):
    assert run("inspect", "model.safetensors", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    dim = DIMTransformer.load("model.safetensors")
    assert DIMTransformer(**found["params"]).get_params() == dim.get_params()
    assert len(found["params"]) == 5  # those that were set
    assert found["skdim"] == skdim.__version__
    assert found["sample_shape"] == list(dim.sample_shape_)
    assert found["epochs"] == dim.n_iter_ == 2
    assert found["losses"] == [epoch["loss"] for epoch in dim.history_]
    assert found["bytes"] == Path("model.safetensors").stat().st_size
    for output, n_features in found["n_features"].items():
        features = dim.set_params(output=output).transform(np.load("images.npy")[:3])
        assert features.shape == (3, n_features)
    assert not found["trimmed"]
    assert run("inspect", "model.safetensors") == 0
    printed = capsys.readouterr().out.splitlines()
    assert "sample_shape: 1, 8, 8" in printed
    assert "params.encoder_params.width: 8" in printed
    dim.trim().save("trimmed.safetensors")
    assert run("inspect", "trimmed.safetensors") == 0
    assert "trimmed: True" in capsys.readouterr().out


# ---- Inputs ---------------------------------------------------------------------------------


def test_an_input_is_what_its_file_holds(here):
    images, rows = np.load("images.npy"), np.load("rows.npy")
    cases = [
        ("images.npy", {}, images),
        ("single.npz", {}, images),
        ("several.npz", {}, images),
        ("several.npz", {"array": "other"}, rows),
        ("rows.csv", {}, rows),
        *((f"labelled{suffix}", {"drop_columns": ["size"]}, rows[:, 20:24]) for suffix in TABLES),
        *((f"labelled{suffix}", {"columns": ["pixel 2"]}, rows[:, [22]]) for suffix in TABLES),
    ]
    for name, options, expected in cases:
        np.testing.assert_array_equal(read(Path(name), **options), expected)
    assert {Path(name).suffix for name, *_ in cases} | {"folder"} == set(READERS)


@pytest.mark.parametrize("suffix", TABLES)
def test_labels_may_be_a_column_of_the_table(here, capsys, suffix):
    table, model = f"labelled{suffix}", "table.safetensors"
    assert run("fit", table, "-o", model, "--drop-columns", "size", *QUICK) == 0
    assert "left_out: size" in capsys.readouterr().out
    dim = DIMTransformer.load(model)
    assert list(dim.feature_names_in_) == [f"pixel {i}" for i in range(4)]
    assert run("score", model, table, "--labels", "size", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("left_out") == ["size"]
    assert run("score", model, "labelled.npy", "--labels", "size.npy", "--json") == 0
    assert found == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("suffix", TABLES)
def test_a_model_without_names_of_columns_leaves_out_that_of_labels(here, capsys, suffix):
    assert run("fit", "labelled.npy", "-o", "table.safetensors", *QUICK) == 0
    words = ["table.safetensors", f"labelled{suffix}", "--labels", "size"]
    assert run("score", *words) == 0
    assert "left_out: size" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", TABLES)
def test_columns_are_found_by_the_names_that_fit_saw(here, suffix):
    order = "pixel 3,pixel 1"
    assert run("fit", f"labelled{suffix}", "-o", "two.safetensors", "--columns", order, *QUICK) == 0
    assert run("transform", "two.safetensors", f"labelled{suffix}", "-o", "two.npy") == 0
    X = np.load("labelled.npy")[:, [3, 1]].astype(np.float64)
    dim = DIMTransformer.load("two.safetensors")
    assert list(dim.feature_names_in_) == order.split(",")
    frame = pd.DataFrame(X, columns=order.split(","))
    np.testing.assert_array_equal(np.load("two.npy"), dim.transform(frame))


def test_missing_cells_are_nan_in_every_format(here):
    known = np.array([[1, 2], [3, np.nan], [np.nan, 4], [5, 6]])
    frame = pd.DataFrame(known, columns=["a", "b, of b"])
    frame.to_parquet("gaps.parquet")
    frame.to_csv("gaps.tsv", sep="\t", index=False)
    for suffix in TABLES:
        table = read_table(Path(f"gaps{suffix}"))
        np.testing.assert_array_equal(table, known)
        assert table.names == ["a", "b, of b"]
    assert run("fit", "gaps.csv", *FIT, "--set", "allow_nan=True", *QUICK) == 0


@pytest.mark.parametrize("missing", tables.MISSING)
def test_a_cell_is_missing_whatever_its_case(tmp_path, missing):
    path = tmp_path / "t.tsv"
    path.write_text(f"a\tb\n1\t {missing.upper()}\n2\t{missing}\n3\t4\n")
    np.testing.assert_array_equal(read_table(path), [[1, np.nan], [2, np.nan], [3, 4]])


def test_rows_are_counted_through_all_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "CHUNK_SIZE", 2)
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 4 + "\n3,x\n")
    with pytest.raises(ValueError, match=r"row 5, column 'b' must be a number\. Got 'x'"):
        read_table(path)


@pytest.mark.parametrize("cell", ["text", pd.Timestamp("2026-01-01"), b"bytes"])
def test_what_is_no_number_in_parquet_is_named(tmp_path, cell):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [1, 2], "b": [None, cell]}).to_parquet(path)
    with pytest.raises(ValueError, match=r"row 2, column 'b' must be a number\. Got "):
        read_table(path)


def test_numbers_of_parquet_keep_their_value(tmp_path):
    columns = {
        "flag": [True, False],
        "small": np.array([1, 255], np.uint8),
        "large": np.array([2**40 + 1, -1]),
        "half": np.array([0.5, np.nan], np.float16),
        "nullable": pd.array([7, None], dtype="Int64"),
        "decimal": [Decimal("0.25"), Decimal("-3")],
        "nothing": [None, None],
    }
    frame = pd.DataFrame(columns)
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    np.testing.assert_array_equal(table, frame.astype("float64").to_numpy())
    assert table.names == list(columns)


def test_without_pyarrow_a_sentence_says_what_to_install(here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run("fit", "labelled.parquet", *FIT) == 1
    assert "pip install pyarrow" in capsys.readouterr().err


def test_an_array_on_disk_stays_there(here):
    assert isinstance(read(Path("images.npy")), np.memmap)


@pytest.mark.parametrize("grey", [[], ["--grey"]])
def test_a_folder_of_pictures_needs_no_more_than_its_model(here, tmp_path, capsys, grey):
    folder, model = tmp_path / "some pictures", tmp_path / "pictures.safetensors"
    save_pictures(folder)
    output = ["--output", model, "--size", "9x8", *grey]
    assert run("fit", folder, *output, *QUICK, *NARROW) == 0
    assert run("transform", model, folder, "--output", "features.npy") == 0
    X = ImageFolder(folder, size=(9, 8), color=not grey)
    np.testing.assert_array_equal(np.load("features.npy"), DIMTransformer.load(model).transform(X))
    assert Path("features.paths.txt").read_text().splitlines() == files_of(X)
    capsys.readouterr()
    assert run("transform", model, folder, "--output", "features.npy") == 1  # nor the other file
    Path("features.npy").unlink()
    assert run("transform", model, folder, "--output", "features.npy") == 1
    assert "features.paths.txt exists" in capsys.readouterr().err
    assert run("score", model, folder, "--labels", "folder") == 0
    assert "accuracy.raw: 1" in capsys.readouterr().out  # dark ones and light ones


def files_of(X):
    return [path.relative_to(X.folder).as_posix() for path in X.paths]


def test_features_of_pictures_stand_beside_their_files(here, tmp_path, capsys):
    folder, model = tmp_path / "some pictures", tmp_path / "pictures.safetensors"
    save_pictures(folder)
    (folder / "dark" / "0.png").rename(folder / "dark" / "a, b\t.png")
    assert run("fit", folder, "-o", model, "--size", "8", *QUICK, *NARROW) == 0
    (folder / "broken.png").write_text("no image")
    capsys.readouterr()
    assert run("transform", model, folder, "-o", "features.csv") == 1
    assert "broken.png" in capsys.readouterr().err
    X = ImageFolder(folder, size=8, on_error="skip")
    features = DIMTransformer.load(model).transform(X)
    for suffix in TABLES:
        output = Path(f"features{suffix}")
        assert run("transform", model, folder, "-o", output, "--on-error", "skip") == 0
        assert "skipped: 1" in capsys.readouterr().out
        frame = as_frame(output)
        assert list(frame.pop("file")) == files_of(X)
        np.testing.assert_array_equal(frame.to_numpy(np.float32), features)


# ---- Wrong uses -----------------------------------------------------------------------------

FIT = ["--output", "new.safetensors"]
OLD = ["--output", "model.safetensors"]
NPY = ["--output", "new.npy"]
IMAGES = ["model.safetensors", "images.npy"]

MISUSES = [
    ([], "required: command"),
    (["fti"], "invalid choice: 'fti'"),
    (["fit"], "required: INPUT, -o/--output"),
    (["fit", "images.npy", *FIT, "--epochs", "3"], "unrecognized arguments: --epochs 3"),
    (["fit", "images.npy", *FIT, "--max-ep", "3"], "unrecognized arguments: --max-ep 3"),
    (["fit", "images.npy", "--output", "m.joblib"], r"\.safetensors, .* Got 'm\.joblib'"),
    (["fit", "images.npy", "--output", "m"], r"\.safetensors, .* Got 'm'"),
    (["fit", "images.npy", *FIT, "--set", "flip_averaging"], "NAME=VALUE. Got 'flip_averaging'"),
    (["fit", "images.npy", *FIT, "--set", "=1"], "NAME=VALUE. Got '=1'"),
    (["fit", "images.npy", *FIT, "--size", "8x8x8"], "pixels, such as 32 or 48x64. Got '8x8x8'"),
    (["fit", "images.npy", *FIT, "--size", "0"], "pixels, such as 32 or 48x64. Got '0'"),
    (
        ["transform", *IMAGES, "--output", "new.txt"],
        r"\.tsv, \.parquet\. Got 'new\.txt'",
    ),
    (["transform", *IMAGES, *NPY, "--what", "codes"], "invalid choice: 'codes'"),
    (["fit", "rows.csv", *FIT, "--columns", "a,,b"], "different names, such as a,b. Got 'a,,b'"),
    (["fit", "rows.csv", *FIT, "--columns", "a,a"], "different names, such as a,b. Got 'a,a'"),
    (["inspect"], "required: MODEL"),
]

FAILURES = [
    (["fit", "images.npy", *OLD], "model.safetensors exists: --force replaces it"),
    (
        ["fit", "images.npy", "--output", "no/m.safetensors"],
        "must be in an existing folder with write access. Got no/m",
    ),
    (["fit", "none.npy", *FIT], "must be an existing file or folder. Got none.npy"),
    (["fit", "notes.txt", *FIT], r"\.npy, \.npz, .*, folder\. Got notes\.txt"),
    (["fit", "cut.npy", *FIT], "cut.npy cannot be read: "),
    (["fit", "objects.npy", *FIT], "objects.npy cannot be read: .*Python objects"),
    (["fit", "words.npy", *FIT], "X must hold at least 2 samples, each with at least one axis"),
    (["fit", "nameless.csv", *FIT], "nameless.csv cannot be read: its first line must name"),
    (
        ["fit", "text.csv", *FIT],
        "text.csv cannot be read: row 1, column 'b' must be a number. Got 'two'. --columns names",
    ),
    (
        ["fit", "gaps.csv", *FIT],
        "gaps.csv cannot be read: row 2, column 'b, of b' must be a number. Got nothing there, and "
        "in 2 cells in all: .* --set allow_nan=True",
    ),
    (["fit", "short.csv", *FIT], "row 2 must have a cell for each of 2 columns. Got 1"),
    (["fit", "twice.csv", *FIT], "each column a name of its own. Got 'a,a'"),
    (["fit", "labelled.csv", *FIT, "--columns", "c"], "must have a column 'c'. Its columns are"),
    (["fit", "text.csv", *FIT, "--columns", "a", "--drop-columns", "a"], "at least one of its"),
    (["fit", "labelled.tsv", *FIT], "row 1, column 'size' must be a number. Got 'low'"),
    (["fit", "labelled.parquet", *FIT], "row 1, column 'size' must be a number. Got 'low'"),
    (["fit", "images.npy", *FIT, "--columns", "a"], r"--columns is for the kind \.csv, \.tsv"),
    (["fit", "rows.csv", *FIT, "--on-error", "skip"], "--on-error is for the kind folder"),
    (["fit", "empty", *FIT], "must hold pictures. Got none"),
    (["fit", "several.npz", *FIT, "--array", "Y"], r"--array must be one of .*'other'.* Got 'Y'"),
    (
        ["fit", "images.npy", *FIT, "--array", "X"],
        r"--array is for the kind \.npz\. Got images",
    ),
    (["fit", "images.npy", *FIT, "--grey"], r"--grey is for the kind folder. Got images\.npy"),
    (["fit", "images.npy", *FIT, "--set", "max_epoch=3"], "Invalid parameter 'max_epoch'"),
    (["fit", "images.npy", *FIT, "--max-epochs", "0"], "'max_epochs' .* Got 0"),
    (["fit", "images.npy", *FIT, "--max-epochs", "few"], "'max_epochs' .* Got 'few'"),
    (["fit", "images.npy", *FIT, "--seed", "1", "--set", "random_state=2"], "given once"),
    (
        ["transform", "none.safetensors", "images.npy", *NPY],
        "must be an existing file. Got none",
    ),
    (["transform", "images.npy", "images.npy", *NPY], "images.npy is not a file of skdim"),
    (["transform", "model.safetensors", "rows.npy", *NPY], "has 64 features"),
    (["transform", *IMAGES, "--output", "labels.npy"], "labels.npy exists: --force replaces it"),
    (
        ["transform", *IMAGES, "--output", "images.npy", "--force"],
        "--output must differ from the files that are read",
    ),
    (["score", *IMAGES, "--labels", "folder"], "for an input that is a folder"),
    (["score", *IMAGES, "--labels", "notes.txt"], r"\.npy file, 'folder' where.* Got notes\.txt"),
    (["score", *IMAGES, "--labels", "rows.npy"], r"each of 90 samples. Got shape \(90, 64\)"),
    (["score", *IMAGES, "--labels", "words.npy"], r"each of 90 samples. Got shape \(2,\)"),
    (["inspect", "none.safetensors"], "must be an existing file. Got none.safetensors"),
    (["inspect", "empty"], "must be an existing file. Got empty"),
]

WRONG = [(words, 2, sentence) for words, sentence in MISUSES]
WRONG += [(words, 1, sentence) for words, sentence in FAILURES]


@pytest.mark.parametrize(("words", "code", "sentence"), WRONG)
def test_wrong_use_is_one_sentence_before_training(
    here, monkeypatch, capsys, words, code, sentence
):
    def train(*args, **kwargs):
        pytest.fail("it trained")

    monkeypatch.setattr(skdim._training.trainer, "DIMNet", train)
    before = contents(here)
    assert run(*words) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search(sentence, printed.err)
    assert printed.err.count("\n") == 1
    assert contents(here) == before


def test_a_traceback_comes_where_it_is_wanted(here):
    with pytest.raises(FileNotFoundError, match=r"none\.npy"):
        main(["fit", "none.npy", *FIT, "--traceback"])


def test_what_failed_in_training_leaves_the_old_model(here, monkeypatch, capsys):
    def diverge(*args, **kwargs):
        raise FloatingPointError("The local term became nan in epoch 1.")

    monkeypatch.setattr("skdim._training.callbacks.StopOnDivergence.on_epoch_end", diverge)
    before = contents(here)
    assert run("fit", "images.npy", *OLD, "--force", *QUICK) == 1
    assert capsys.readouterr().err == "Error: The local term became nan in epoch 1.\n"
    assert contents(here) == before


def test_a_file_that_cannot_be_written_whole_is_not_there(here, monkeypatch):
    def fill(path, *args, **kwargs):
        Path(path).write_text("half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables.csv, "writer", fill)
    before = contents(here)
    assert run("transform", *IMAGES, "--output", "new.csv") == 1
    assert contents(here) == before


@pytest.mark.parametrize("n_whole", [0, 1])
def test_an_interrupt_keeps_the_last_whole_epoch(here, monkeypatch, capsys, n_whole):
    def interrupt(log, net, **kwargs):
        if len(net.history) > n_whole:
            raise KeyboardInterrupt

    monkeypatch.setattr("skdim._training.callbacks.EpochLog.on_epoch_begin", interrupt)
    assert run("fit", "images.npy", *FIT, "--quiet", "--max-epochs", "3") == 130
    printed = capsys.readouterr()
    assert printed.out == ""
    if n_whole:
        assert (
            printed.err == f"Interrupted: new.safetensors holds the model after epoch {n_whole}.\n"
        )
        assert DIMTransformer.load("new.safetensors").n_iter_ == n_whole
    else:
        assert printed.err == "Interrupted: nothing was written.\n"
        assert not Path("new.safetensors").exists()


def test_the_name_of_a_file_cannot_control_the_terminal(here, capsys):
    Path("\x1b[31mred.npy").write_text("")
    assert run("fit", "\x1b[31mred.npy", *FIT) == 1
    assert "\x1b" not in capsys.readouterr().err


# ---- Help -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_help_works_as_typed(here, capsys, name):
    Path("model.safetensors").rename("old")
    if name != "fit":
        Path("old").rename("model.safetensors")
    assert run(name, "--help") == 0
    example = re.search(r"example:\n(.*?)\n\n", capsys.readouterr().out, re.DOTALL)
    commands = example[1].replace("\\\n", " ").strip().splitlines()
    assert commands
    for command in commands:
        python, *words = shlex.split(command)
        assert [python, *words[:3]] == ["python", "-m", "skdim", name]
        assert run(*words[2:]) == 0


def test_defaults_in_help_are_those_of_the_constructor():
    defaults = DIMTransformer().get_params()
    for name, text in FIT_OPTIONS.values():
        assert text.endswith(f"(default: {defaults[name]})")
    assert set(OUTPUTS) == set(READOUTS)


def test_help_needs_no_torch():
    script = (
        "import sys; "
        "sys.modules.update(torch=None, sklearn=None); "
        "from skdim.command_line import main; "
        "main(['fit', '--help'])"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.startswith("usage: python -m skdim fit")


def test_the_version_needs_no_torch():
    script = (
        "import sys, runpy; "
        "sys.modules.update(torch=None, sklearn=None); "
        "sys.argv = ['skdim', '--version']; "
        "runpy.run_module('skdim', run_name='__main__')"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert printed.stdout == f"skdim {skdim.__version__}\n"
    assert printed.returncode == 0, printed.stderr


# ---- Another process ------------------------------------------------------------------------


def test_a_pipe_gets_nothing_but_results(here):
    words = ["fit", "images.npy", "--output", "new.safetensors", "--max-epochs", "1", "--json"]
    printed = subprocess.run(
        [sys.executable, "-m", "skdim", *words], capture_output=True, text=True, check=True
    )
    results = json.loads(printed.stdout)
    assert results["shape"] == [90, 8, 8]
    assert results["wrote"] == "new.safetensors"
    assert "samples/s" in printed.stderr
    assert "\nWarning: The loss was still falling" in printed.stderr


def test_a_process_ends_with_its_code_and_a_sentence(here):
    printed = subprocess.run(
        [sys.executable, "-m", "skdim", "inspect", "none"], capture_output=True, text=True
    )
    assert printed.returncode == 1
    assert printed.stdout == ""
    assert printed.stderr == "Error: The model must be an existing file. Got none.\n"


INTERRUPTED_IMPORT = """
import os, runpy, signal, sys

class Interrupt:
    def find_spec(name, *args):
        if name == {module!r}:
            sys.meta_path.remove(Interrupt)
            os.kill(os.getpid(), signal.SIGINT)

class Callback:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

class InterruptInCallback:
    def find_spec(name, *args):
        if name == {module!r}:
            sys.meta_path.remove(InterruptInCallback)
            Callback()

sys.meta_path.insert(0, {how})
sys.argv = ["skdim", "fit", "images.npy", "-o", "new.safetensors"]
runpy.run_module("skdim", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "how"),
    [
        ("skdim.command_line", "Interrupt"),
        ("numpy", "InterruptInCallback"),
        ("torch", "Interrupt"),
        ("torch.optim", "InterruptInCallback"),
    ],
)
def test_an_interrupt_of_imports_is_no_traceback(here, module, how):
    script = INTERRUPTED_IMPORT.format(module=module, how=how)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode in (130, -2)  # a shell shows 130 for both
    assert re.fullmatch(r"Interrupted(: nothing was written)?\.\n", ended.stderr)
    assert not Path("new.safetensors").exists()


# ---- The page -------------------------------------------------------------------------------


def test_the_page_runs_from_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL))
    lines = re.split(r"\n(?=python |\n|#)", text.replace("\\\n", ""))
    commands = [shlex.split(line, comments=True) for line in lines]
    used = set()
    for python, option, what, *words in filter(None, commands):
        assert python == "python"
        if option == "-c":
            exec(what, {})
        else:
            assert [option, what] == ["-m", "skdim"]
            assert run(*words) == 0
            used.add(words[0])
    assert used == set(COMMANDS)
    assert np.load("features.npy").shape == (1797, 64)
