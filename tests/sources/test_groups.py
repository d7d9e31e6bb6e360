"""Groups of samples and of columns: labels of any kind, names or numbers."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skdim import DIMTransformer
from skdim.exceptions import DataWarning
from skdim.sources.groups import index_column_groups, number_groups


def test_groups_are_numbered_by_decreasing_size():
    for labels in (["b", "a", "b", "c", "b", "a"], [2.5, -1, 2.5, 7, 2.5, -1]):
        groups = number_groups(labels, 6)
        assert groups.dtype == np.int64
        assert groups.tolist() == [0, 1, 0, 2, 0, 1]
    assert number_groups(None, 6) is None


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_a_missing_label_is_no_group(rows, missing):
    groups = np.arange(120) // 3
    groups = groups.astype(float) if missing is np.nan else groups.astype(object)
    groups[5] = missing
    with pytest.raises(ValueError, match=r"'groups'.*missing for 1 of 120"):
        DIMTransformer(4, max_epochs=1).fit(rows[0], groups=groups)


@pytest.mark.parametrize(
    ("groups", "kind"),
    [
        (3, ValueError),
        (np.zeros((4, 2)), ValueError),
        ([[1], [1, 2], [1], [1]], ValueError),
        (np.array(["a", "b", 1, 2], dtype=object), TypeError),
    ],
    ids=["a number", "two axes", "lists", "words and numbers"],
)
def test_groups_that_are_no_labels_are_named(groups, kind):
    with pytest.raises(kind, match="The 'groups' must have one axis"):
        number_groups(groups, 4)


@pytest.mark.parametrize("groups", [[0], ["ab"], [None]])
def test_a_column_group_that_is_no_list_is_named(groups):
    with pytest.raises(ValueError, match="'column_groups' parameter must be a list of groups"):
        index_column_groups(groups, 3, np.array(["a", "b", "ab"]))


def test_a_column_that_is_neither_number_nor_name_is_named():
    with pytest.raises(ValueError, match=r"'column_groups' parameter must name columns.*\[0\]"):
        index_column_groups([[[0]]], 3, None)


def test_columns_are_indexed_by_name_or_by_number():
    names = np.array(["age", "red", "green", "size"])
    assert index_column_groups([["red", 2], [], ("age",)], 4, names) == ((1, 2), (0,))
    with pytest.raises(ValueError, match=r"at most once\. Got 'red' twice"):
        index_column_groups([[1], ["red"]], 4, names)


NAMES = ["age", "colour_red", "colour_green", "colour_blue", "size"]


def table(n=60, seed=0):
    rng = np.random.default_rng(seed)
    colour = OneHotEncoder(sparse_output=False).fit_transform(rng.integers(3, size=(n, 1)))
    numbers = rng.normal(size=(n, 2))
    return pd.DataFrame(np.column_stack([numbers[:, :1], colour, numbers[:, 1:]]), columns=NAMES)


def test_columns_are_grouped_by_name_or_by_number(quick):
    X = table()
    named = quick(column_groups=[NAMES[1:4]]).fit(X)
    numbered = quick(column_groups=[[1, 2, 3]]).fit(X)
    np.testing.assert_array_equal(named.transform(X), numbered.transform(X))
    assert not np.array_equal(named.transform(X), quick().fit(X).transform(X))
    loaded = pickle.loads(pickle.dumps(named))
    np.testing.assert_array_equal(loaded.transform(X), named.transform(X))
    assert loaded.score(X) == named.score(X)


def by_prefix(names):
    """Group the columns whose names have the same text before the last underscore."""
    prefixes = [name.rpartition("_")[0] for name in names]
    return [
        [name for name, own in zip(names, prefixes, strict=True) if own == prefix]
        for prefix in sorted(set(prefixes) - {""})
    ]


@pytest.mark.parametrize(
    "groups",
    [["colour_*"], ("c*_???*",), by_prefix, lambda names: ["*_[rgb]*"], lambda names: [[1, 2, 3]]],
    ids=["prefix", "other wildcards", "function", "function of a pattern", "function of numbers"],
)
def test_columns_are_grouped_by_patterns_and_functions_of_names(groups):
    names = np.array(NAMES, dtype=object)
    assert index_column_groups(groups, 5, names) == ((1, 2, 3),)


def test_patterns_hold_for_names_in_their_case_and_once():
    names = np.array(["a_x", "A_x", "b_x", "a*b"], dtype=object)
    assert index_column_groups(["a_*", ["A_x", "a*b"]], 4, names) == ((0,), (1, 3))
    with pytest.raises(ValueError, match=r"at most once\. Got 'a_x' twice"):
        index_column_groups(["a*", "*_x"], 4, names)
    with pytest.warns(DataWarning, match=r"does not have.*: 'c_\*'"):
        assert index_column_groups(["c_*", "b_*"], 4, names) == ((2,),)
    for absent in (names, None):
        with pytest.raises(ValueError, match=r"must name columns.*Got 'c_\*'"):
            index_column_groups(["c_*"], 4, absent)


@pytest.mark.parametrize("result", ["colour_*", None, [0]])
def test_a_function_that_returns_no_groups_is_named(result):
    with pytest.raises(ValueError, match=r"'column_groups' parameter must be a list of groups"):
        index_column_groups(lambda names: result, 5, np.array(NAMES))
    with pytest.raises(ValueError, match=r"numbers of columns.*Got a function of the names"):
        index_column_groups(lambda names: [], 5, None)


@pytest.mark.parametrize("groups", [["colour_*"], by_prefix], ids=["pattern", "function"])
def test_patterns_and_functions_are_those_of_numbers_and_files_keep_them(quick, tmp_path, groups):
    X = table()
    dim = clone(quick(column_groups=groups, max_epochs=1)).fit(X)
    numbered = quick(column_groups=[[1, 2, 3]], max_epochs=1).fit(X)
    np.testing.assert_array_equal(dim.transform(X), numbered.transform(X))
    dim.save(tmp_path / "dim.safetensors")
    custom = {"column_groups": groups} if callable(groups) else {}
    for again in (
        pickle.loads(pickle.dumps(dim)),
        DIMTransformer.load(tmp_path / "dim.safetensors", **custom),
    ):
        assert again.column_groups == groups
        np.testing.assert_array_equal(again.transform(X), dim.transform(X))


def test_columns_that_x_lacks_are_left_out_of_their_groups_with_a_warning(quick):
    names = np.array(["age", "red", "green"])
    with pytest.warns(DataWarning, match="columns that X does not have.*: 'blue', 'large'"):
        groups = index_column_groups([["red", "blue", "green"], ["large"]], 3, names)
    assert groups == ((1, 2),)
    for absent in ([["blue"]], [["blue", "large"], []]):
        with pytest.raises(ValueError, match=r"must name columns.*Got 'blue'"):
            index_column_groups(absent, 3, names)
    with pytest.raises(ValueError, match=r"must name columns.*Got 3"):
        index_column_groups([["red", 3]], 3, names)
    with pytest.raises(ValueError, match=r"must name columns.*Got 'red'"):
        index_column_groups([[0, "red"]], 3, None)


def names_of_city(names):
    return [[name for name in names if "city" in name]]


@pytest.mark.parametrize("groups", [["*__city_*"], names_of_city], ids=["pattern", "function"])
def test_patterns_group_what_a_column_transformer_returns_in_each_fold(quick, groups):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(size=90), "city": rng.choice(list("ABC"), 90)})
    X.loc[5, "city"] = "rare"  # folds have different columns
    code = ColumnTransformer(
        [("city", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), ["city"])],
        remainder="passthrough",
    ).set_output(transform="pandas")
    pipeline = make_pipeline(code, quick(column_groups=groups, max_epochs=1), LogisticRegression())
    folds = cross_validate(pipeline, X, X.age > 0, cv=3, return_estimator=True)
    found = [fold[1].model_.config.column_groups for fold in folds["estimator"]]
    assert sorted(map(len, (columns for (columns,) in found))) == [3, 4, 4]


@pytest.mark.filterwarnings("ignore")
def test_groups_of_one_hot_columns_survive_folds_without_a_category(quick):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(size=90), "city": rng.choice(list("ABC"), 90)})
    X.loc[5, "city"] = "rare"
    code = ColumnTransformer(
        [("city", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), ["city"])],
        remainder="passthrough",
    ).set_output(transform="pandas")
    names = [name for name in code.fit_transform(X).columns if "city" in name]
    pipeline = make_pipeline(code, quick(column_groups=[names], max_epochs=1), LogisticRegression())
    assert np.isfinite(cross_val_score(pipeline, X, X.age > 0, cv=3)).all()
