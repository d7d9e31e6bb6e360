"""The command line does what the library does, says what is wrong, and damages no file."""

import csv
import datetime
import json
import re
import shlex
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.hostile import redescribed
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch
from skorch.callbacks import Callback

import skdim
from skdim import DIMClassifier, DIMOutlierDetector, DIMTransformer, command_line
from skdim._model.readout import OUTPUTS as READOUTS
from skdim._training.net import DIMNet
from skdim._version import FORMAT
from skdim.command_line import (
    COMMANDS,
    DTYPES,
    FEATURE_FILES,
    FIT_OPTIONS,
    MISSING,
    OUTPUTS,
    READERS,
    SEPARATORS,
    TABLES,
    main,
    read_column,
)
from skdim.exceptions import DataWarning
from skdim.onnx_export import DTYPES as GRAPH_DTYPES
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


def read(path, *options):
    """Return X as fit reads it."""
    words = ["fit", path, "--output", "new.safetensors", *options]
    return command_line.read(command_line.build_parser().parse_args([str(w) for w in words]))


def read_labels(path, name, *options):
    """Return a column of labels as score reads it."""
    words = ["score", "model.safetensors", path, *options]
    return read_column(command_line.build_parser().parse_args([str(w) for w in words]), name)


def read_table(path, *options):
    """Return a table as fit reads it, which may miss numbers."""
    return read(path, "--set", "allow_nan=True", *options)


def save_text(path, rows, end="\n"):
    """Write rows of cells as text without quotes."""
    separator = SEPARATORS[path.suffix]
    path.write_text("".join(separator.join(row) + end for row in rows), encoding="utf-8")
    return path


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


@pytest.mark.parametrize("suffix", FEATURE_FILES)
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
        if suffix == ".parquet":
            assert set(frame.dtypes) == {np.dtype(np.float32)}
        found = frame.to_numpy(np.float32)
    np.testing.assert_array_equal(found, dim.transform(np.load("images.npy")))


@pytest.mark.parametrize("suffix", TABLES)
def test_outliers_are_those_of_the_library(here, capsys, suffix):
    dim, X = DIMTransformer.load("model.safetensors"), np.load("images.npy")
    DIMOutlierDetector(FrozenEstimator(dim), contamination=0.2).fit(X[:50]).save("detector")
    dim_again, own = DIMOutlierDetector(FrozenEstimator(dim)), DIMOutlierDetector.load("detector")
    output = Path(f"outliers{suffix}")
    for model, options, expected in (
        ("model.safetensors", [], dim_again.fit(X)),
        ("model.safetensors", ["--contamination", "0.1"], dim_again.set_params(contamination=0.1)),
        ("detector", [], own),
        ("detector", ["--contamination", "auto"], own.set_params(contamination="auto")),
    ):
        if options:
            expected.fit(X if model != "detector" else X[:50])
        words = ["detect", model, "images.npy", "-o", output, "--force", "--json", *options]
        assert run(*words) == 0
        found, frame = json.loads(capsys.readouterr().out), as_frame(output)
        assert list(frame.columns) == ["score", "label"]
        np.testing.assert_allclose(frame["score"], expected.score_samples(X), rtol=1e-6)
        np.testing.assert_array_equal(frame["label"], expected.predict(X))
        assert found["outliers"] == (expected.predict(X) == -1).sum()
        assert found["threshold"] == pytest.approx(expected.offset_)


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


def test_with_labels_missing_cells_are_filled_in_the_raw_input(here, capsys):
    X = np.random.default_rng(0).normal(size=(60, 4))
    table = pd.DataFrame(X, columns=list("abcd")).assign(class_=(X[:, 0] > 0).astype(int))
    table.iloc[::5, 1] = np.nan
    table.to_csv("holes.csv", index=False)
    labels = ("--labels", "class_")
    words = ("--drop-columns", "class_", "--set", "allow_nan=True", *QUICK)
    assert run("fit", "holes.csv", "-o", "holes.safetensors", *words) == 0
    capsys.readouterr()
    assert run("score", "holes.safetensors", "holes.csv", *labels, "--json") == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["raw"] > 0.8


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


DATA = Path(__file__).parent / "data" / "0.2.0"


def inspected(path, capsys):
    assert run("inspect", str(path), "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_inspect_says_who_wrote_a_file_of_any_kind(capsys):
    (state,) = (DATA / "checkpoint").glob("*/state.safetensors")
    own = [DATA / f"{kind}.safetensors" for kind in ("table", "classifier", "detector")]
    for path in (*own, state):
        shown = inspected(path, capsys)
        assert (shown["skdim"], shown["format"], shown["readable"]) == ("0.2.0", FORMAT, True)
        assert set(shown["packages"]) == {"python", "torch", "scikit-learn", "numpy"}
        assert shown["epochs"] == len(shown["losses"])
        assert shown["kind"] in path.name or shown["kind"] in str(path) or "table" in path.name
    assert shown["circumstances"]["skdim"] == "0.2.0"
    assert inspected(DATA / "classifier.safetensors", capsys)["classes"] == ["no", "yes"]
    detector = inspected(DATA / "detector.safetensors", capsys)
    assert detector["contamination"] == 0.25
    assert detector["threshold"] < 0


def test_inspect_describes_a_file_of_a_later_format(here, capsys):
    def change(document):
        document.update(format=7, version="1.7.2", kind="atlas")

    Path("later").write_bytes(redescribed(Path("model.safetensors").read_bytes(), change))
    shown = inspected("later", capsys)
    assert (shown["kind"], shown["format"], shown["skdim"]) == ("atlas", 7, "1.7.2")
    assert not shown["readable"]
    assert "has format 7 of skdim 1.7.2" in shown["reason"]


def test_inspect_says_why_a_file_of_a_later_version_is_not_read(here, capsys):
    def change(document):
        document["version"] = "1.7.2"
        document["state"]["aperture"] = 3

    Path("newer").write_bytes(redescribed(Path("model.safetensors").read_bytes(), change))
    shown = inspected("newer", capsys)
    assert not shown["readable"]
    assert "which knows 'aperture'" in shown["reason"]


def test_inspect_of_a_damaged_file_fails(here, capsys):
    content = bytearray(Path("model.safetensors").read_bytes())
    content[-5] ^= 1
    Path("damaged").write_bytes(content)
    assert run("inspect", "damaged") == 1
    assert "is damaged" in capsys.readouterr().err


# ---- Inputs ---------------------------------------------------------------------------------


def test_an_input_is_what_its_file_holds(here):
    images, rows = np.load("images.npy"), np.load("rows.npy")
    text, third = ["--drop-columns", "size"], ["--columns", "pixel 2"]
    cases = [
        ("images.npy", [], images),
        ("single.npz", [], images),
        ("several.npz", [], images),
        ("several.npz", ["--array", "other"], rows),
        ("rows.csv", [], rows),
        *((f"labelled{suffix}", text, rows[:, 20:24]) for suffix in TABLES),
        *((f"labelled{suffix}", third, rows[:, [22]]) for suffix in TABLES),
    ]
    for name, options, expected in cases:
        X = read(name, *options)
        np.testing.assert_array_equal(X, expected)
        assert np.asarray(X).dtype == expected.dtype
    assert {Path(name).suffix for name, *_ in cases} | {"folder"} == set(READERS)


# An array has no names of columns, which the model knows.
@pytest.mark.filterwarnings("default:X does not have valid feature names")
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
        table = read_table(f"gaps{suffix}")
        np.testing.assert_array_equal(table, known)
        assert list(table.columns) == ["a", "b, of b"]
    assert run("fit", "gaps.csv", *FIT, "--set", "allow_nan=True", *QUICK) == 0


@pytest.mark.parametrize("suffix", SEPARATORS)
@pytest.mark.parametrize("missing", MISSING)
def test_a_cell_is_missing_whatever_its_case(tmp_path, missing, suffix):
    rows = [["a", "b"], ["1", f" {missing.upper()}"], ["2", missing.title()], ["3", missing]]
    table = read_table(save_text(tmp_path / f"t{suffix}", rows))
    np.testing.assert_array_equal(table, [[1, np.nan], [2, np.nan], [3, np.nan]])


# Text that some parser reads as a number, a date or nothing, or that may mean something else.
NOT_NUMBERS = [
    *("2024_01", "1,000.5", "1.000,5", "1 000", "0x10", "0b1", "1j", "1d0", "1e", "e5", ".", "-"),
    *("--1", "1.2.3", "$1", "5%", "'1'", "infinite", "?", "#N/A", "<NA>", "NaT", "tRue", "T"),
    *("yes", "2024-01-02", "12:30", "1/2", "²", "½", "٣", "\uff12\uff10", "\u22121", "1\xa0000"),
]


@pytest.mark.parametrize("suffix", SEPARATORS)
@pytest.mark.parametrize("cell", NOT_NUMBERS)
def test_text_is_a_number_only_in_the_usual_notation(tmp_path, suffix, cell):
    path = tmp_path / f"t{suffix}"
    rows = [["a", "month"], *([str(row), f'"{cell}"'] for row in range(3))]
    with pytest.raises(ValueError, match="row 1, column 'month' must be a number") as caught:
        read_table(save_text(path, rows))
    assert f"must be a number. Got {cell!r}. --columns names" in str(caught.value)


@pytest.mark.parametrize("suffix", TABLES)
@pytest.mark.parametrize(
    "spell", [str, lambda flag: str(flag).lower(), lambda flag: str(flag).upper()]
)
def test_flags_are_one_and_zero_in_text_as_in_parquet(tmp_path, suffix, spell):
    path, flags = tmp_path / f"t{suffix}", [True, False, None, True]
    if suffix == ".parquet":
        pd.DataFrame({"a": [1, 2, 3, 4], "b": pd.array(flags, "boolean")}).to_parquet(path)
    else:
        cells = ["" if flag is None else spell(str(flag)) for flag in flags]
        save_text(path, [["a", "b"], *([str(i), cell] for i, cell in enumerate(cells, 1))])
    np.testing.assert_array_equal(read_table(path), [[1, 1], [2, 0], [3, np.nan], [4, 1]])


@pytest.mark.parametrize("cells", [["1", "True"], ["True", "1"], ["", "false", "0"]])
def test_flags_among_numbers_are_named(tmp_path, cells):
    path = save_text(tmp_path / "t.csv", [["a", "b"], *(["1", cell] for cell in cells)])
    with pytest.raises(ValueError, match=f"column 'b' must be a number. Got '{cells[-1]}'"):
        read_table(path)


@pytest.mark.parametrize("suffix", SEPARATORS)
def test_numbers_of_text_keep_every_bit(tmp_path, suffix):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**63, 4000, dtype=np.int64).view(np.float64)  # of all magnitudes
    values = np.r_[values[np.isfinite(values)], 5e-324, 2.0**53 + 2, 0.1 + 0.2, -0.0, 1e23]
    rows = [["a"], *([repr(float(value))] for value in values)]
    table = read_table(save_text(tmp_path / f"t{suffix}", rows))
    assert table["a"].to_numpy().tobytes() == values.tobytes()
    written = ["+1", "1.", ".5", "1E3", " 7 ", "1e-2", "-inf", "Infinity", "007"]
    table = read_table(save_text(tmp_path / f"t{suffix}", [["a"], *([cell] for cell in written)]))
    expected = [1, 1, 0.5, 1000, 7, 0.01, -np.inf, np.inf, 7]
    np.testing.assert_array_equal(table["a"], expected)


@pytest.mark.parametrize("suffix", SEPARATORS)
def test_an_empty_line_is_a_missing_cell_of_a_table_of_one_column(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    for end, expected in (
        ("4\n", [1, np.nan, 4]),
        ("4", [1, np.nan, 4]),
        ("\n", [1, np.nan, np.nan]),
    ):
        path.write_text(f"a\n1\n\n{end}")
        np.testing.assert_array_equal(read_table(path)["a"], expected)
        with pytest.raises(ValueError, match=r"row 2, column 'a' must be a number. Got nothing"):
            read(path)
    path.write_text('a\r\n1\r\n""\r\n\r\n4\r\n', newline="")
    np.testing.assert_array_equal(read_table(path)["a"], [1, np.nan, np.nan, 4])


@pytest.mark.parametrize("suffix", SEPARATORS)
def test_empty_lines_of_a_wider_table_are_no_rows(tmp_path, suffix):
    rows = [["a", "b"], ["1", "2"], [], ["3", "4"], [], []]
    table = read_table(save_text(tmp_path / f"t{suffix}", rows))
    np.testing.assert_array_equal(table, [[1, 2], [3, 4]])
    rows[4] = ["5", "x"]
    with pytest.raises(ValueError, match=r"row 3, column 'b' must be a number\. Got 'x'"):
        read_table(save_text(tmp_path / f"t{suffix}", rows))


@pytest.mark.parametrize("suffix", SEPARATORS)
@pytest.mark.parametrize("cells", [["3"], ["3", "4", "5"], ["3", "4", ""], [" "]])
@pytest.mark.parametrize("n_before", [0, 1])
def test_a_row_has_a_cell_for_each_column(tmp_path, suffix, cells, n_before):
    path = tmp_path / f"t{suffix}"
    rows = [["a", "b"], *[["1", ""]] * n_before, cells, ["6", "7"]]
    sentence = rf"row {n_before + 1} must have a cell for each of 2 columns\. Got {len(cells)}\."
    for read_any in (read_table, lambda path: read_labels(path, "a")):
        with pytest.raises(ValueError, match=sentence):
            read_any(save_text(path, rows))


@pytest.mark.parametrize("suffix", SEPARATORS)
@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["1", "2"], "its first line must name the columns"),
        (["a", "1e3"], "its first line must name the columns"),
        (["a", "NaN"], "its first line must name the columns"),
        (["a", "a"], "give each column a name of its own"),
        (["a", " a "], "give each column a name of its own"),
        (["", "a"], "give each column a name of its own. .* an index, to be left out"),
        ([], "give each column a name of its own"),
    ],
)
def test_the_first_line_names_the_columns(tmp_path, suffix, names, sentence):
    path = save_text(tmp_path / f"t{suffix}", [names, ["1", "2"], ["3", "4"]])
    with pytest.raises(ValueError, match=rf"t{re.escape(suffix)} cannot be read: .*{sentence}"):
        read(path)


@pytest.mark.parametrize("suffix", SEPARATORS)
def test_text_may_have_a_byte_order_mark_quotes_and_any_end_of_line(tmp_path, suffix):
    path, separator = tmp_path / f"t{suffix}", SEPARATORS[suffix]
    text = f'\ufeff"a, or\nA"{separator}"b"" "\n1{separator}"2"\n3{separator}"\n4"\n'
    for end in ("\n", "\r\n"):
        path.write_text(text.replace("\n", end), encoding="utf-8", newline="")
        table = read_table(path)
        np.testing.assert_array_equal(table, [[1, 2], [3, 4]])
        assert list(table.columns) == [f"a, or{end}A", 'b"']
        labels = read_labels(path, 'b"')
        assert list(labels) == ["2", f"{end}4"]
    path.write_text(f'a{separator}b\n1{separator}2\n3{separator}"4\n5{separator}6\n')
    with pytest.raises(ValueError, match="cannot be read: unexpected end of data"):
        read(path)  # the quote would swallow all rows below


@pytest.mark.parametrize("suffix", SEPARATORS)
def test_labels_keep_their_text(tmp_path, suffix):
    path, labels = tmp_path / f"t{suffix}", ["007", "1.0", "True", " a ", "2024_01", "é"]
    save_text(path, [["x", "kind"], *(["1", label] for label in labels)])
    assert list(read_labels(path, "kind")) == labels
    save_text(path, [["x", "kind"], ["1", "a"], ["2", " n/A "]])
    with pytest.raises(ValueError, match=r"row 2, column 'kind' must hold a label\. Got none"):
        read_labels(path, "kind")


@pytest.mark.parametrize(
    ("values", "row"),
    [
        (["007", None], 2),
        ([1.5, np.nan], 2),
        (pd.array([None, 1], dtype="Int64"), 1),
        ([pd.NaT, pd.Timestamp(0)], 1),
    ],
    ids=["text", "numbers", "nullable", "dates"],
)
def test_no_label_of_parquet_is_missing(tmp_path, values, row):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"kind": values}).to_parquet(path)
    with pytest.raises(ValueError, match=rf"row {row}, column 'kind' must hold a label"):
        read_labels(path, "kind")
    pd.DataFrame({"kind": values}).dropna().to_parquet(path)
    assert list(read_labels(path, "kind")) == list(pd.Series(values).dropna())


@pytest.mark.parametrize(
    "cell",
    ["text", "1.5", pd.Timestamp("2026-01-01"), datetime.date(2026, 1, 1), b"bytes", [1.0]],
    ids=lambda cell: type(cell).__name__ + "_" * (cell == "1.5"),
)
def test_what_is_no_number_in_parquet_is_named(tmp_path, cell):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [1, 2], "b": [None, cell]}, index=[7, 8]).to_parquet(path)
    with pytest.raises(ValueError, match=r"row 2, column 'b' must be a number\. Got "):
        read_table(path)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("str", ["1", "2"]),
        ("category", ["1", "2"]),
        ("datetime64[ns]", [None, None]),
        ("timedelta64[ns]", [None, None]),
    ],
)
def test_columns_of_parquet_are_numbers_by_their_type(tmp_path, dtype, values):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [1, 2], "b": pd.Series(values, dtype=dtype)}).to_parquet(path)
    with pytest.raises(ValueError, match=r"row 1, column 'b' must be a number\. Got "):
        read_table(path)


def test_numbers_of_parquet_keep_their_value(tmp_path):
    columns = {
        "flag": [True, False],
        "small": np.array([1, 255], np.uint8),
        "large": np.array([2**40 + 1, -1]),
        "half": np.array([0.5, np.nan], np.float16),
        "nullable": pd.array([7, None], dtype="Int64"),
        "nullable flag": pd.array([True, None], dtype="boolean"),
        "of arrow": pd.array([None, 7], dtype="int64[pyarrow]"),
        "decimal": [Decimal("0.25"), Decimal("-3")],
        "some decimal": [Decimal("0.1"), None],
        "precise": [0.1 + 0.2, 5e-324],
        "single": np.array([0.1, 1e-45], np.float32),
        "nothing": [None, None],
    }
    frame = pd.DataFrame(columns)
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    np.testing.assert_array_equal(table, frame.astype("float64").to_numpy())
    assert list(table.columns) == list(columns)
    assert set(table.dtypes) == {np.dtype(np.float64)}


@pytest.mark.parametrize(
    "index", [None, ["x", "y"], pd.Index([3, 4], name="key"), [[1, 1], [2, 3]]], ids=str
)
def test_the_index_of_pandas_is_no_column(tmp_path, index):
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"a.b": [1.0, 2.0], "a": [3.0, 4.0]}, index=index)
    frame.attrs["from"] = "elsewhere"
    frame.to_parquet(path)
    table = read_table(path, "--columns", "a,a.b")
    assert list(table.columns) == ["a", "a.b"]
    np.testing.assert_array_equal(table, frame[["a", "a.b"]])
    assert command_line.unread(table) == {}
    frame.set_axis([0, 1], axis=1).to_parquet(path)  # names that are numbers
    assert list(read_table(path).columns) == ["0", "1"]


def test_two_columns_of_parquet_with_one_name_are_an_error(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.Table.from_arrays([arrow.array([1]), arrow.array([2])], names=["a", "a"])
    parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"each column a name of its own. Got 'a,a'"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("package", "suffix"),
    [("pandas", ".csv"), ("pandas", ".tsv"), ("pandas", ".parquet"), ("pyarrow", ".parquet")],
)
def test_a_package_that_is_missing_is_named_before_any_work(
    here, monkeypatch, capsys, package, suffix
):
    monkeypatch.setitem(sys.modules, package, None)
    sentence = (
        f"Error: Tables in {suffix} files need the package {package}, which is missing: "
        f"pip install {package}.\n"
    )
    before = contents(here)
    assert run("fit", f"labelled{suffix}", *FIT) == 1
    assert capsys.readouterr().err == sentence
    monkeypatch.setattr(command_line, "load", lambda path: pytest.fail("it read the model"))
    assert run("transform", *IMAGES, "--output", f"new{suffix}") == 1
    assert capsys.readouterr().err == sentence
    assert contents(here) == before


def test_arrays_need_no_pandas(here, monkeypatch):
    monkeypatch.setattr(command_line, "import_pandas", lambda path: pytest.fail(f"for {path}"))
    assert run("transform", *IMAGES, *NPY) == 0
    assert run("score", *IMAGES, "--labels", "labels.npy") == 0


def test_the_same_numbers_give_the_same_model_in_every_format(here):
    numbers = np.load("labelled.npy") * np.pi
    np.save("same.npy", numbers)
    frame = pd.DataFrame(numbers, columns=list("abcd"))
    frame.to_csv("same.csv", index=False)
    frame.to_csv("same.tsv", sep="\t", index=False)
    frame.to_parquet("same.parquet")
    for suffix in FEATURE_FILES:
        assert run("fit", f"same{suffix}", "-o", f"{suffix[1:]}.safetensors", *QUICK) == 0
    of_array = DIMTransformer.load("npy.safetensors")
    for suffix in TABLES:
        dim = DIMTransformer.load(f"{suffix[1:]}.safetensors")
        np.testing.assert_array_equal(dim.transform(frame), of_array.transform(numbers))


def test_columns_may_have_the_names_of_attributes(here):
    names = ["shape", "paths", "n_skipped", "attrs", "dtype", "T", "columns"]
    X = np.random.default_rng(0).normal(size=(40, len(names)))
    pd.DataFrame(X, columns=names).to_csv("odd.csv", index=False)
    assert run("fit", "odd.csv", "-o", "odd.safetensors", *QUICK) == 0
    assert run("transform", "odd.safetensors", "odd.csv", "-o", "odd_features.tsv") == 0
    assert run("score", "odd.safetensors", "odd.csv") == 0


@pytest.mark.parametrize("suffix", TABLES)
def test_transform_takes_its_columns_from_any_place(here, capsys, suffix):
    assert run("fit", "labelled.npy", "-o", "nameless.safetensors", *QUICK) == 0
    frame = pd.DataFrame(np.load("labelled.npy"), columns=list("abcd"))
    columns = frame.assign(more=[str(i) for i in range(len(frame))])[["d", "more", "b", "a", "c"]]
    for name, table in (("fitted", frame), ("shuffled", columns), ("narrow", frame[["a", "b"]])):
        if suffix == ".parquet":
            table.to_parquet(f"{name}.parquet")
        else:
            table.to_csv(f"{name}{suffix}", sep=SEPARATORS[suffix], index=False)
    assert run("fit", f"fitted{suffix}", "-o", "table.safetensors", *QUICK) == 0
    capsys.readouterr()
    for name in ("fitted", "shuffled"):
        assert run("transform", "table.safetensors", f"{name}{suffix}", "-o", f"{name}.npy") == 0
    assert "left_out: more\n" in capsys.readouterr().out
    np.testing.assert_array_equal(np.load("shuffled.npy"), np.load("fitted.npy"))
    assert run("transform", "table.safetensors", f"narrow{suffix}", "-o", "narrow.npy") == 1
    assert "must have a column 'c'. Its columns are a, b" in capsys.readouterr().err
    assert run("transform", "nameless.safetensors", f"fitted{suffix}", "-o", "same.npy") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("default:X does not have valid feature names")
def test_an_array_for_a_model_that_knows_names_is_a_warning(here, capsys):
    assert run("fit", "labelled.csv", "-o", "t.safetensors", "--drop-columns", "size", *QUICK) == 0
    assert run("transform", "t.safetensors", "labelled.npy", *NPY) == 0
    assert "Warning: X does not have valid feature names" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--columns", "pixel 1"], "are for models that know no names of columns"),
        (["--drop-columns", "size"], "table.safetensors reads those of fit: pixel 0, pixel 1"),
        (["--labels", "pixel 1"], "--labels must not be a column of fit. Got pixel 1"),
        (["--labels", "colour"], "must have a column 'colour'. Its columns are pixel 0"),
        (["--labels", "none.npy"], "none.npy cannot be read"),
    ],
)
@pytest.mark.parametrize("suffix", TABLES)
def test_a_model_of_a_table_has_its_columns(here, capsys, suffix, words, sentence):
    frame = pd.DataFrame(np.load("labelled.npy"), columns=[f"pixel {i}" for i in range(4)])
    DIMTransformer(max_epochs=1, random_state=0).fit(frame).save("table.safetensors")
    assert run("score", "table.safetensors", f"labelled{suffix}", *words) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert sentence in printed.err


def test_an_array_on_disk_stays_there(here):
    assert isinstance(read("images.npy"), np.memmap)


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


@pytest.mark.filterwarnings("default:Files that cannot be read")
def test_features_of_pictures_stand_beside_their_files(here, tmp_path, capsys):
    folder, model = tmp_path / "some pictures", tmp_path / "pictures.safetensors"
    save_pictures(folder)
    (folder / "dark" / "0.png").rename(folder / "dark" / "a, b\t.png")
    assert run("fit", folder, "-o", model, "--size", "8", *QUICK, *NARROW) == 0
    (folder / "broken.png").write_text("no image")
    capsys.readouterr()
    assert run("transform", model, folder, "-o", "features.csv") == 1
    assert "broken.png" in capsys.readouterr().err
    with pytest.warns(DataWarning, match="left out, 1 of 25"):
        X = ImageFolder(folder, size=8, on_error="skip")
    features = DIMTransformer.load(model).transform(X)
    for suffix in TABLES:
        output = Path(f"features{suffix}")
        assert run("transform", model, folder, "-o", output, "--on-error", "skip") == 0
        result = capsys.readouterr()
        assert "skipped: 1" in result.out
        assert "left out, 1 of 25" in result.err
        frame = as_frame(output)
        assert list(frame.pop("file")) == files_of(X)
        np.testing.assert_array_equal(frame.to_numpy(np.float32), features)
    assert run("detect", model, folder, "-o", "outliers.csv", "--on-error", "skip") == 0
    assert list(as_frame(Path("outliers.csv"))["file"]) == files_of(X)


# ---- Text that is written otherwise, and categories ------------------------------------------


@pytest.mark.parametrize("suffix", SEPARATORS)
@pytest.mark.parametrize(
    ("character", "word"), [(";", ";"), ("|", "|"), (" ", " "), ("\t", "tab"), ("\t", "\\t")]
)
def test_text_may_have_any_delimiter_and_encoding(tmp_path, suffix, character, word):
    path = tmp_path / f"t{suffix}"
    for name in ("latin-1", "utf-16", "utf-8"):
        path.write_text(f"é{character}b\n1{character}2\n3{character}4\n", encoding=name)
        table = read(path, "--delimiter", word, "--encoding", name)
        assert list(table.columns) == ["é", "b"]
        np.testing.assert_array_equal(table, [[1, 2], [3, 4]])
        labels = read_labels(path, "é", "--delimiter", word, "--encoding", name)
        assert list(labels) == ["1", "3"]
    path.write_text(f"é{character}b\n1{character}2\n", encoding="latin-1")
    with pytest.raises(
        ValueError, match=r"must be in the encoding utf-8.*--encoding names another"
    ):
        read(path, "--delimiter", word)


@pytest.mark.parametrize("suffix", SEPARATORS)
def test_columns_without_names_are_called_by_their_number(tmp_path, suffix):
    path = save_text(tmp_path / f"t{suffix}", [["1", "x", "3"], ["4", "y", "6"]])
    table = read(path, "--no-header", "--columns", "2,0")
    assert list(table.columns) == ["2", "0"]
    np.testing.assert_array_equal(table, [[3, 1], [6, 4]])
    assert list(read_labels(path, "1", "--no-header")) == ["x", "y"]
    with pytest.raises(ValueError, match=r"first line must name the columns.*--no-header"):
        read(path)
    path.write_text("\n1\n2\n")
    with pytest.raises(
        ValueError, match=r"first line must have a cell for each column\. Got an em"
    ):
        read(path, "--no-header")


def save_shirts(path, colours, prices):
    """Write a table of a column of numbers between two columns of text."""
    frame = pd.DataFrame({"colour": colours, "price": prices, "size": ["7", "007"][1]})
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep=SEPARATORS[path.suffix], index=False)
    return path


@pytest.mark.parametrize("suffix", TABLES)
def test_categories_are_one_hot_columns(tmp_path, suffix):
    path = save_shirts(tmp_path / f"t{suffix}", ["red", None, " blue ", "red"], [1.5, 2, 3, 4])
    table = read_table(path, "--categories", "size,colour")
    assert list(table.columns) == ["price", "colour=blue", "colour=red", "size=007"]
    nan = np.nan
    expected = [[1.5, 0, 1, 1], [2, nan, nan, 1], [3, 1, 0, 1], [4, 0, 1, 1]]
    np.testing.assert_array_equal(table, expected)
    alone = read_table(path, "--categories", "colour", "--columns", "colour")
    np.testing.assert_array_equal(alone, np.array(expected)[:, 1:3])
    with pytest.raises(
        ValueError, match=r"row 2, column 'colour' must be a category\. Got nothing"
    ):
        read(path, "--categories", "colour,size")


@pytest.mark.parametrize("suffix", TABLES)
def test_a_model_keeps_the_categories_of_fit(here, capsys, suffix):
    rng = np.random.default_rng(0)
    colours, prices = rng.choice(["red", "blue", "a=b"], 60), rng.normal(size=60)
    path = save_shirts(Path(f"shirts{suffix}"), colours, prices)
    options = ["--categories", "colour", "--drop-columns", "size", *QUICK, *NARROW]
    assert run("fit", path, "-o", "m.safetensors", *options) == 0
    assert "categories.colour: 3" in capsys.readouterr().out
    dim = DIMTransformer.load("m.safetensors")
    names = ["price", "colour=a=b", "colour=blue", "colour=red"]
    assert list(dim.feature_names_in_) == names
    assert dim.model_.config.column_groups == ((1, 2, 3),)
    codes = {name: colours == name.partition("=")[2] for name in names[1:]}
    X = pd.DataFrame({"price": prices, **codes}).astype(float)
    features = dim.transform(X)
    X.to_csv("codes.csv", index=False)  # one-hot columns may also be those of the file
    for table in (path, "codes.csv"):
        assert run("transform", "m.safetensors", table, "-o", "f.npy", "--force") == 0
        np.testing.assert_array_equal(np.load("f.npy"), features)
    assert capsys.readouterr().err == ""
    assert run("score", "m.safetensors", path, "--labels", "colour") == 1
    assert "--labels must not be a column of fit. Got colour" in capsys.readouterr().err


@pytest.mark.filterwarnings("default:Column 'colour' holds categories")
def test_categories_that_fit_did_not_see_are_counted(here, capsys):
    colours = ["red", "blue"] * 30
    save_shirts(Path("old.csv"), colours, np.arange(60))
    options = ["--categories", "colour", "--drop-columns", "size", *QUICK, *NARROW]
    assert run("fit", "old.csv", "-o", "m.safetensors", *options) == 0
    new = ["pink", "teal", *colours[2:]]
    save_shirts(Path("new.csv"), new, np.arange(60))
    capsys.readouterr()
    assert run("transform", "m.safetensors", "new.csv", "-o", "f.npy") == 0
    assert "the first of them 'pink', in 2 of 60 rows" in capsys.readouterr().err
    dim = DIMTransformer.load("m.safetensors")
    codes = {f"colour={name}": np.array(new) == name for name in ("blue", "red")}
    X = pd.DataFrame({"price": np.arange(60), **codes}).astype(float)
    np.testing.assert_array_equal(np.load("f.npy"), dim.transform(X))
    pd.DataFrame({"price": [1.0]}).to_csv("narrow.csv", index=False)
    assert run("transform", "m.safetensors", "narrow.csv", "-o", "g.npy") == 1
    assert "must have a column 'colour'. Its columns are price" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("columns", "categories", "options", "sentence"),
    [
        ({"a": range(5)}, "b", [], "must be columns that are read. Got 'b'"),
        ({"a": range(5), "b": range(5)}, "b", ["--columns", "a"], "that are read. Got 'b'"),
        ({"a": range(5), "b=c": range(5)}, "b=c", [], "columns without '='. Got 'b=c'"),
        ({"a": range(1001)}, "a", [], "column 'a' must hold 1 to 1000 categories. Got 1001"),
        ({"a": [""] * 5, "b": range(5)}, "a", ["--set", "allow_nan=True"], "1000 categor.* Got 0"),
        (
            {"a=1": range(5), "a": range(5)},
            "a",
            [],
            "must have no column 'a=1': --categories makes",
        ),
        ({"a": range(5)}, "a", ["--set", "column_groups=[[0]]"], "--categories sets 'column_gro"),
    ],
)
def test_what_cannot_be_categories_is_named(here, capsys, columns, categories, options, sentence):
    pd.DataFrame(columns).to_csv("t.csv", index=False)
    assert run("fit", "t.csv", *FIT, "--categories", categories, *options) == 1
    assert re.search(sentence, capsys.readouterr().err)


# ---- Graphs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [None, "hidden"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_graph_gives_the_features_of_the_model(here, capsys, what, dtype):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    options = [] if what is None else ["--what", what]
    assert run("export", "model.safetensors", "-o", "m.onnx", "--dtype", dtype, *options) == 0
    printed = capsys.readouterr().out
    assert f"shape: n_samples, 8, 8\ndtype: {dtype}\nfeatures: {what or 'components'}" in printed
    X = np.load("images.npy").astype(dtype)
    (features,) = onnxruntime.InferenceSession("m.onnx").run(None, {"X": X})
    dim = DIMTransformer.load("model.safetensors")
    expected = dim.set_params(output=what or "components").transform(X)
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_a_graph_of_a_table_has_its_columns_and_that_of_a_classifier_its_classes(here, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 3)).astype(np.float32), columns=["a", "b", "c=d"])
    dim = DIMTransformer(4, max_epochs=1, random_state=0)
    classifier = DIMClassifier(dim, max_epochs=1, random_state=0).fit(X, X["a"] > 0)
    classifier.save("classifier.safetensors")
    assert run("export", "classifier.safetensors", "-o", "c.onnx") == 0
    assert "columns: a, b, c=d\nfeatures: probabilities, label_index" in capsys.readouterr().out
    session = onnxruntime.InferenceSession("c.onnx")
    probabilities, _ = session.run(None, {"X": X.to_numpy()})
    np.testing.assert_allclose(probabilities, classifier.predict_proba(X), atol=1e-4)
    assert run("export", "classifier.safetensors", "-o", "d.onnx", "--what", "code") == 1
    assert "--what is for transformers" in capsys.readouterr().err
    assert not Path("d.onnx").exists()


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
    (["detect", *IMAGES, *NPY], r"\.tsv, \.parquet\. Got 'new\.npy'"),
    (
        ["detect", *IMAGES, "-o", "new.csv", "--contamination", "0.6"],
        "auto, or a number above 0 and at most 0.5. Got '0.6'",
    ),
    (["fit", "rows.csv", *FIT, "--columns", "a,,b"], "different names, such as a,b. Got 'a,,b'"),
    (["fit", "rows.csv", *FIT, "--columns", "a,a"], "different names, such as a,b. Got 'a,a'"),
    (
        ["fit", "rows.csv", *FIT, "--delimiter", ";;"],
        "one character, such as ';', or tab. Got ';;'",
    ),
    (["fit", "rows.csv", *FIT, "--delimiter", '"'], "one character, such as ';', or tab"),
    (["fit", "rows.csv", *FIT, "--encoding", "klingon"], "must be an encoding.* Got 'klingon'"),
    (["fit", "rows.csv", *FIT, "--encoding", "base64"], "must be an encoding.* Got 'base64'"),
    (["export", "model.safetensors", "--output", "m.pt"], r"must end in \.onnx\. Got 'm\.pt'"),
    (["transform", *IMAGES, *NPY, "--categories", "a"], "unrecognized arguments: --categories"),
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
    (["transform", "model.safetensors", "rows.npy", *NPY], "samples of shape .1, 8, 8.*as in fit"),
    (["transform", *IMAGES, "--output", "labels.npy"], "labels.npy exists: --force replaces it"),
    (
        ["transform", *IMAGES, "--output", "images.npy", "--force"],
        "--output must differ from the files that are read",
    ),
    (
        ["score", *IMAGES, "--labels", "folder"],
        "'folder' if the input is a folder of images.* Got folder",
    ),
    (["score", *IMAGES, "--labels", "notes.txt"], r"\.npy file, 'folder' if.* Got notes\.txt"),
    (["score", *IMAGES, "--labels", "rows.npy"], r"each of 90 samples. Got shape \(90, 64\)"),
    (["score", *IMAGES, "--labels", "words.npy"], r"each of 90 samples. Got shape \(2,\)"),
    (["fit", "images.npy", *FIT, "--delimiter", ";"], r"is for the kind \.csv, \.tsv\. Got images"),
    (["fit", "labelled.parquet", *FIT, "--no-header"], r"is for the kind \.csv, \.tsv\. Got lab"),
    (["fit", "images.npy", *FIT, "--categories", "a"], r"is for the kind \.csv, .*, \.parquet"),
    (["export", "none.safetensors", "-o", "m.onnx"], "must be an existing file. Got none"),
    (["export", "images.npy", "-o", "m.onnx"], "images.npy is not a file of skdim"),
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

    monkeypatch.setattr(DIMNet, "__init__", train)
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


@pytest.mark.parametrize("suffix", TABLES)
def test_a_file_that_cannot_be_written_whole_is_not_there(here, monkeypatch, suffix):
    def fill(table, path, *args, **kwargs):
        Path(path).write_text("half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fill)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", fill)
    before = contents(here)
    assert run("transform", *IMAGES, "--output", f"new{suffix}") == 1
    assert contents(here) == before


@pytest.mark.parametrize("n_whole", [0, 1])
def test_an_interrupt_keeps_the_last_whole_epoch(here, monkeypatch, capsys, n_whole):
    class Interrupt(Callback):
        def on_batch_begin(self, net, **kwargs):
            if len(net.history) > n_whole:
                signal.raise_signal(signal.SIGINT)  # Ctrl-C

    def interrupted_fit(dim, X):
        try:
            return fit(dim.set_params(callbacks=[Interrupt()]), X)
        finally:
            dim.set_params(callbacks=None)

    fit = DIMTransformer.fit
    monkeypatch.setattr(DIMTransformer, "fit", interrupted_fit)
    words = ["fit", "images.npy", *FIT, "--quiet", "--max-epochs", "3", "--set", "batch_size=32"]
    assert run(*words) == 130
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


def test_what_stands_in_a_table_cannot_control_the_terminal(here, capsys):
    rows = [["\x1b[31mred", "a", "b"], *([str(i), str(i % 5), "\x1b[0m"] for i in range(30))]
    save_text(here / "red.csv", rows)
    assert run("fit", "red.csv", *FIT) == 1
    assert run("fit", "red.csv", *FIT, "--columns", "c") == 1
    assert run("fit", "red.csv", *FIT, "--columns", "a", *QUICK) == 0
    printed = capsys.readouterr()
    assert "left_out: " in printed.out
    assert "\x1b" not in printed.out + printed.err


# ---- Help -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_help_works_as_typed(here, capsys, name):
    if name == "fit":  # a new model, of a few images
        few = np.load("images.npy")[:30]
        Path("images.npy").unlink(), Path("model.safetensors").unlink()  # links
        np.save("images.npy", few)
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
    assert set(DTYPES) == set(GRAPH_DTYPES)


def test_help_needs_no_torch():
    script = (
        "import sys; "
        "sys.modules.update(torch=None, sklearn=None, pandas=None, pyarrow=None); "
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


def test_the_page_runs_from_an_empty_folder(tmp_path, monkeypatch, digits, set_default_width):
    set_default_width(16)
    monkeypatch.chdir(tmp_path)
    few = Bunch(images=digits.images[:300], target=digits.target[:300])
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: few)
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
    assert np.load("features.npy").shape == (300, 64)
