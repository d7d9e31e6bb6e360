"""The command line does what the library does, says what is wrong, and damages no file."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import skdim._training.trainer
from skdim import DIMTransformer
from skdim._model.readout import OUTPUTS as READOUTS
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
    if suffix == ".csv":
        names = output.read_text().splitlines()[0].split(",")
        assert names == list(dim.get_feature_names_out())
        found = np.loadtxt(output, np.float32, delimiter=",", skiprows=1)
    else:
        found = np.load(output)
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
    ]
    for name, options, expected in cases:
        np.testing.assert_array_equal(read(Path(name), **options), expected)
    assert {Path(name).suffix for name, *_ in cases} | {"folder"} == set(READERS)


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
    capsys.readouterr()
    assert run("score", model, folder, "--labels", "folder") == 0
    assert "accuracy.raw: 1" in capsys.readouterr().out  # dark ones and light ones


# ---- Wrong uses -----------------------------------------------------------------------------

FIT = ["--output", "new.safetensors"]
OLD = ["--output", "model.safetensors"]
NPY = ["--output", "new.npy"]
IMAGES = ["model.safetensors", "images.npy"]

MISUSES = [
    ([], "required: command"),
    (["fti"], "invalid choice: 'fti'"),
    (["fit"], "required: INPUT, --output"),
    (["fit", "images.npy", *FIT, "--epochs", "3"], "unrecognized arguments: --epochs 3"),
    (["fit", "images.npy", *FIT, "--max-ep", "3"], "unrecognized arguments: --max-ep 3"),
    (["fit", "images.npy", "--output", "m.joblib"], r"\.safetensors, .* Got 'm\.joblib'"),
    (["fit", "images.npy", "--output", "m"], r"\.safetensors, .* Got 'm'"),
    (["fit", "images.npy", *FIT, "--set", "flip_averaging"], "NAME=VALUE. Got 'flip_averaging'"),
    (["fit", "images.npy", *FIT, "--set", "=1"], "NAME=VALUE. Got '=1'"),
    (["fit", "images.npy", *FIT, "--size", "8x8x8"], "pixels, such as 32 or 48x64. Got '8x8x8'"),
    (["fit", "images.npy", *FIT, "--size", "0"], "pixels, such as 32 or 48x64. Got '0'"),
    (["transform", *IMAGES, "--output", "new.txt"], r"\.npy or \.csv. Got 'new\.txt'"),
    (["transform", *IMAGES, *NPY, "--what", "codes"], "invalid choice: 'codes'"),
    (["inspect"], "required: MODEL"),
]

FAILURES = [
    (["fit", "images.npy", *OLD], "model.safetensors exists: --force replaces it"),
    (
        ["fit", "images.npy", "--output", "no/m.safetensors"],
        "must be in an existing folder with write access. Got no/m",
    ),
    (["fit", "none.npy", *FIT], "must be an existing file or folder. Got none.npy"),
    (["fit", "notes.txt", *FIT], r"\.npy, \.npz, \.csv, folder. Got notes\.txt"),
    (["fit", "cut.npy", *FIT], "cut.npy cannot be read: "),
    (["fit", "objects.npy", *FIT], "objects.npy cannot be read: .*Python objects"),
    (["fit", "words.npy", *FIT], "X must hold at least 2 samples, each with at least one axis"),
    (["fit", "nameless.csv", *FIT], "nameless.csv cannot be read: its first line must name"),
    (["fit", "text.csv", *FIT], "text.csv cannot be read: could not convert string 'two'"),
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
    (["transform", "images.npy", "images.npy", *NPY], "images.npy is no file of skdim"),
    (["transform", "model.safetensors", "rows.npy", *NPY], "has 64 features"),
    (["transform", *IMAGES, "--output", "labels.npy"], "labels.npy exists: --force replaces it"),
    (
        ["transform", *IMAGES, "--output", "images.npy", "--force"],
        "--output must differ from the files that are read",
    ),
    (["score", *IMAGES, "--labels", "folder"], "for an input that is a folder"),
    (["score", *IMAGES, "--labels", "notes.txt"], r"\.npy file, or 'folder'. Got notes\.txt"),
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

    monkeypatch.setattr(np, "savetxt", fill)
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
