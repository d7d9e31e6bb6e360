"""Files: found in natural order, named in messages, the first of many."""

from pathlib import Path

import numpy as np
import pytest

from skdim.exceptions import DataWarning
from skdim.sources.files import find_files, find_readable, name_some, natural_key, stamp


def test_numbers_in_names_are_sorted_by_their_value():
    names = ["a", "a1", "a2b", "a2c", "a10", "b007", "b8"]
    shuffled = np.random.default_rng(0).permutation(names).tolist()
    assert sorted(shuffled, key=natural_key) == names


def test_wanted_files_are_found_and_hidden_ones_are_not(tmp_path):
    for name in ("10/a.txt", "9/b.txt", "9/c.csv", ".cache/d.txt", ".e.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = find_files(tmp_path, lambda path: path.suffix == ".txt")
    assert found == [tmp_path / "9/b.txt", tmp_path / "10/a.txt"]
    assert find_files(tmp_path / "missing", bool) == []


@pytest.mark.parametrize("n_threads", [1, None])
def test_files_that_cannot_be_read_are_told_in_one_warning(n_threads):
    def read(path):
        if path.suffix == ".bad":
            raise ValueError

    good, bad = Path("a.good"), [Path(f"{i}.bad") for i in range(4)]
    with pytest.warns(DataWarning, match=r"4 of 5: '0\.bad', '1\.bad', '2\.bad' and 1 more"):
        assert find_readable([*bad, good], read, n_threads).tolist() == [False] * 4 + [True]
    assert find_readable([good, good], read, n_threads).all()
    with pytest.raises(ZeroDivisionError):  # not an error of the file
        find_readable([good], lambda path: 1 / 0, n_threads)


def test_the_first_of_many_are_named():
    assert name_some(["a"]) == "'a'"
    assert name_some("abc") == "'a', 'b', 'c'"
    assert name_some("abcde") == "'a', 'b', 'c' and 2 more"


def test_a_stamp_tells_that_a_file_changed(tmp_path):
    path = tmp_path / "a"
    path.write_text("x")
    before = stamp(path)
    assert before == stamp(path)
    path.write_text("xy")
    assert before != stamp(path)
