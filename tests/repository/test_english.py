"""The tool that finds habits of English, and words that skdim once made up."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tools import english
from tools.english import NAMES, PROSE, WORDS, hits_of_names, hits_of_prose

ROOT = Path(__file__).parents[2]
BUILT = {"_build", "auto_examples", "generated", "__pycache__", "gen_modules"}

# By habit: what has it, and what has not.
SAID = {
    "is no": (
        ["It is no file.", "These are no images.", "a path that is no folder", "is no number"],
        [
            "It is no longer there.",
            "There is no file.",
            "there are no sides",
            "It is no more than a sum.",
            "is no larger than x",
            "There is often no label.",
        ],
    ),
    "before": (
        ["Fill them before.", "Read it into an array before.", "Divide X before; then fit."],
        [
            "Fill them first.",
            "before the first epoch",
            "as learned before training",
            "than before.",
        ],
    ),
    "beside": (
        ["beside the hidden units", "has no effect beside the others", "Beside them stands this."],
        ["besides, it is fast", "axes besides that of channels", "the function `beside`"],
    ),
    "where": (
        [
            "0.5 where there is no critic",
            "Where the encoder is trained, it learns.",
            "where none is",
        ],
        [
            "says where the channels are",
            "Samples stay where they are.",
            "where r is the ratio",
            "imported where they are needed",
        ],
    ),
    "Return what": (
        ["Return what a step depends on.", "It returns what was read."],
        ["Return whether it is so.", "Return the sum; what it is for is said below."],
    ),
    "Of ...,": (
        [
            "Of 32 x 32 pixels, 10 are hidden.",
            "Read. Of a table: nothing.",
            "n : int\n    Of it, one.",
        ],
        ["Of course, it is.", "the mean of views, and more", "Of two (a, b) one", "sizes of it: 3"],
    ),
    "Those of": (
        ["Those of a dask array are lazy.", "Means are kept. Those of X are not."],
        ["higher than those of PCA", "Those are read."],
    ),
    "from N on": (
        [
            "whole numbers from 1 on",
            "from 16 pixels on",
            "from epoch 100 on",
            "from one point in time on",
            "side from which on images",
            "from 0.2.0 on",
        ],
        ["from then on", "from files on disk", "from 3 on the CPU", "from a file on your disk"],
    ),
    "tells from": (
        [
            "tells codes from noise",
            "can be told apart",
            "is told from others",
            "colours are hard to tell apart",
            "taken for images",
            "take it for an attack",
        ],
        ["told by the user", "taken from X", "tells the truth", "takes time for a step"],
    ),
    "less of what is counted": (
        ["a signal of less points", "less than 16 pixels", "less than twenty random samples"],
        [
            "fewer points",
            "less noise",
            "less loss",
            "less noisy weights",
            "less than 20 seconds",
            "less than 2 % of it",
            "less than half of the samples",
        ],
    ),
}
PAIRS = [(name, text, True) for name, (texts, _) in SAID.items() for text in texts]
PAIRS += [(name, text, False) for name, (_, texts) in SAID.items() for text in texts]


def test_every_habit_has_texts_that_have_it_and_texts_that_have_not():
    assert [habit.name for habit in PROSE] == list(SAID)
    assert all(has and has_not for has, has_not in SAID.values())


@pytest.mark.parametrize(("name", "text", "has_it"), PAIRS)
def test_a_habit_is_found_if_it_is_there(name, text, has_it):
    docstring = '"""' + text.replace("\n", "\n    ") + '"""\n'
    for path, source in (("x.md", text), ("x.py", docstring), ("y.py", f"# {text!s}\n")):
        if "\n" not in text or path == "x.py":
            found = {hit.habit.name for hit in hits_of_prose(path, source)}
            assert (name in found) == has_it, path


CODE = '''"""A line, and a habit
that goes on: it is
no file.

    >>> where = "there is none, where it is no file"
"""

x = "is no file"
# This is no
# file, either.


def f(a):
    """Is ``no file``.

    Parameters
    ----------
    a : int
        Beside it.
    """
    key = "where the"
    raise ValueError(f"A {key} is no {a}, and no file where "
                     "there is one.")
'''


def test_docstrings_comments_and_messages_are_read_line_by_line():
    hits = [(hit.line, hit.habit.name, hit.text) for hit in hits_of_prose("x.py", CODE)]
    assert sorted(hits) == [
        (2, "is no", "is no file"),
        (8, "is no", "is no file"),
        (9, "is no", "is no file"),
        (19, "beside", "Beside"),
        (22, "is no", "is no §"),
        (22, "where", "where there"),
    ]


def test_code_on_a_page_is_not_prose():
    page = "It `is no file`.\n\n```python\nx = 1  # is no file\n```\n\n| a | is no file |\n"
    assert [hit.line for hit in hits_of_prose("x.md", page)] == [7]


NAMED = """
def read_shape(x, given):
    '''Return the shape.'''
    found = [of_x for of_x in x]
    return whole_shape

def read_file(path):
    '''Read a file.'''
    kept_alive = offset = 0
"""


def test_names_that_do_not_name_their_thing_are_found():
    hits = [(hit.line, hit.text) for hit in hits_of_names("x.py", NAMED)]
    assert sorted(hits) == [(2, "given"), (2, "read_shape"), (4, "found"), (4, "of_x")]
    assert len({hit.habit.name for hit in hits_of_names("x.py", NAMED)}) == len(NAMES)


@pytest.mark.parametrize("path", english.files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_code_and_pages_have_no_habit(path):
    assert not "\n".join(map(str, english.hits_in(path)))


@pytest.mark.parametrize(("text", "code"), [("Fine.\n", 0), ("It is no file.\n", 1)])
def test_the_program_prints_hits_and_fails_if_there_are_any(tmp_path, text, code):
    path = tmp_path / "page.md"
    path.write_text(text)
    command = [sys.executable, "tests/tools/english.py", str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert (f"{path}:1: 'is no file': say is not a" in ended.stdout) == bool(code)


@pytest.fixture(scope="module")
def texts() -> dict[Path, str]:
    """Every page and module, but those that list the words."""
    folders = ("skdim", "docs", "tests", "benchmarks")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    kinds = {".py", ".md", ".rst", ".json", ".css", ".toml"}
    return {
        path.relative_to(ROOT): path.read_text(encoding="utf-8")
        for path in paths
        if path.suffix in kinds
        and not BUILT & set(path.parts)
        and path not in (Path(__file__), Path(english.__file__))
    }


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.pattern)
def test_the_fields_word_is_used(word, texts):
    assert texts
    pattern = re.compile(word.pattern, re.IGNORECASE)
    hits = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in texts.items()
        if pattern.search(text)
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not hits, f"say {word.say!r}:\n" + "\n".join(hits)
