"""Sources: datasets and streams are read as they are, or refused by name."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.sources import ArraySource
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    TensorDataset,
    get_worker_info,
)

import skdim
from skdim import DIMTransformer
from skdim.exceptions import DataWarning
from skdim.sources import (
    Joined,
    Source,
    StoredArray,
    StoredDataset,
    StoredSamples,
    as_source,
    spool,
)
from skdim.sources.layout import find_layout

ROWS = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)
FRAME = pd.DataFrame(ROWS)


def fit(X, **params):
    settings = {"n_components": 4, "max_epochs": 1, "random_state": 0, "device": "cpu"}
    settings["encoder_params"] = {"width": 8, "n_hidden": 32}
    return DIMTransformer(**{**settings, **params}).fit(X)


class Items(Dataset):
    """Items of a list."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def test_items_of_another_type_are_refused_by_name():
    items = [torch.zeros(6, dtype=torch.int64), *torch.from_numpy(ROWS)]
    with pytest.raises(ValueError, match=r"one shape and type.*float32 for item 1"):
        fit(Items(items))


def test_items_that_are_dicts_are_read_by_their_key():
    dicts = Items([{"image": row, "label": 1} for row in ROWS])
    for X in (dicts, DataLoader(dicts, batch_size=7)):
        with pytest.raises(TypeError, match=r"dict of \['image', 'label'\].*key="):
            fit(X)
    np.testing.assert_array_equal(fit(StoredDataset(dicts, key="image")).mean_, fit(ROWS).mean_)


class Stream(IterableDataset):
    """A stream of items; ``split`` picks the items of a worker, or None for all of them."""

    def __init__(self, items, split=None):
        self.items, self.split = items, split

    def __iter__(self):
        worker = get_worker_info()
        numbers = range(len(self.items))
        if worker is not None and self.split == "shard":
            numbers = numbers[worker.id :: worker.num_workers]
        if worker is not None and self.split == "shuffle":
            numbers = np.random.default_rng(worker.id).permutation(len(self.items))
        yield from (self.items[i] for i in numbers)


def test_advice_about_items_that_are_dicts_can_be_followed():
    dicts = [{"image": row, "label": 1} for row in ROWS]
    dataset, stream = Items(dicts), Stream(dicts)
    loader = DataLoader(stream, batch_size=7)
    for X in (dataset, DataLoader(dataset, batch_size=7), stream, iter(dicts), loader):
        with pytest.raises(TypeError, match=r"dict of \['image', 'label'\]: name.*X=") as caught:
            as_source(X)
        call = str(caught.value).partition("X=")[2].removesuffix(".")
        names = {"skdim": skdim, "dataset": dataset, "stream": stream, "loader": loader}
        np.testing.assert_array_equal(np.asarray(as_source(eval(call, names))), ROWS)


def test_what_cannot_be_read_by_number_is_no_stored_dataset():
    for dataset in (Stream(list(ROWS)), Items([])):
        with pytest.raises(TypeError, match="'dataset' must hold items"):
            StoredDataset(dataset)


LISTS = [image.tolist() for image in np.random.default_rng(0).normal(size=(60, 8, 8))]


@pytest.mark.parametrize(
    "hold",
    [
        iter,
        Items,
        Stream,
        lambda items: iter([(item, 1) for item in items]),
        lambda items: Items([(item, 1) for item in items]),
        lambda items: Items([[torch.tensor(row) for row in item] for item in items]),
    ],
    ids=["generator", "dataset", "stream", "labelled", "labelled dataset", "tensors"],
)
def test_a_nested_list_is_a_whole_sample(hold):
    samples = as_source(hold(LISTS))
    assert samples.shape == (60, 8, 8)
    np.testing.assert_array_equal(np.asarray(samples).astype("f4"), np.array(LISTS, "f4"))


def test_lists_of_whole_numbers_and_fractions_are_samples_of_one_type():
    assert np.asarray(as_source(iter([[1, 2], [0.5, 2], [True, False]]))).dtype == np.float64


@pytest.mark.parametrize("label", [3, "cat", torch.tensor(3)])
def test_a_list_of_a_sample_and_its_label_is_refused(label):
    for X in (iter([[ROWS[0], label]] * 9), Items([[ROWS[0], label]] * 9)):
        with pytest.raises(ValueError, match="a sample and its label must be a tuple"):
            as_source(X).read(slice(None))


@pytest.mark.parametrize("kind", [Items, Stream])
def test_a_loader_without_batches_is_refused_with_what_to_pass(kind):
    loader = DataLoader(kind(list(ROWS)), batch_size=None)
    with pytest.raises(ValueError, match=r"batch_size=None.*pass the dataset"):
        as_source(loader)
    batches = DataLoader(kind(list(torch.from_numpy(ROWS).split(30))), batch_size=None)
    stream = (sample for batch in batches for sample in batch)
    np.testing.assert_array_equal(spool(stream), ROWS)


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(Items(LISTS), batch_size=6),
        DataLoader(Items([row.tolist() for row in ROWS]), batch_size=6),
        DataLoader(Items(list(ROWS[:, 0])), batch_size=6),
        DataLoader(Items(list(np.array(LISTS))), batch_size=6, collate_fn=list),
        DataLoader(Items([(x, 1) for x in np.array(LISTS)]), batch_size=6, collate_fn=list),
        *(
            DataLoader(Items(list(np.array(LISTS))), batch_size=n, collate_fn=kind)
            for n in (1, 2, 7)
            for kind in (list, tuple)
        ),
        DataLoader(Stream(list(np.array(LISTS))), batch_size=6, collate_fn=tuple),
    ],
)
def test_batches_that_are_no_arrays_are_refused(loader):
    with pytest.raises(ValueError, match="whose first entry is not a batch"):
        as_source(loader)


def test_batches_that_are_collated_otherwise_are_read():
    def two_views(samples):
        return torch.stack(samples), torch.stack(samples)

    for batch_size in (1, 2, 7):
        loader = DataLoader(
            Items(list(torch.from_numpy(ROWS))), batch_size=batch_size, collate_fn=two_views
        )
        np.testing.assert_array_equal(spool(loader), ROWS)


def test_samples_that_a_loader_leaves_out_are_told():
    dataset = TensorDataset(torch.from_numpy(ROWS))
    with pytest.warns(DataWarning, match=r"gives 128 samples, but its dataset has 150"):
        assert len(spool(DataLoader(dataset, batch_size=32, drop_last=True))) == 128


def test_an_iterator_of_a_loader_is_refused():
    with pytest.raises(TypeError, match="pass the loader"):
        as_source(iter(DataLoader(TensorDataset(torch.from_numpy(ROWS)))))


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        (lambda: iter([FRAME, FRAME]), "Got data frames: pass"),
        (FRAME.itertuples, "tuples that begin with 0: a tuple is a sample and its label"),
        (FRAME.iterrows, "tuples that begin with 0: a tuple is a sample and its label"),
        (lambda: iter([["1.5", "2"]]), r"must hold real numbers. Got the text '1\.5'"),
        (lambda: iter(np.array([["1.5", "2"]])), r"must hold real numbers. Got the text '1\.5'"),
        (lambda: iter(np.array([[{}, 2]])), "must hold real numbers: float"),
    ],
    ids=["frames", "itertuples", "iterrows", "text", "arrays of text", "objects"],
)
def test_items_that_are_no_samples_are_named(items, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        as_source(items())


def test_what_the_error_about_frames_says_reads_them():
    frames = [FRAME, FRAME]
    X = spool(row for frame in frames for row in frame.to_numpy())
    np.testing.assert_array_equal(X, np.concatenate([FRAME, FRAME]))


def test_items_of_python_numbers_are_read():
    np.testing.assert_array_equal(as_source(iter(ROWS.astype(object))), ROWS)


class Random(Items):
    """Items with a random transform."""

    def __getitem__(self, index):
        return self.items[index] + torch.randn(6)


def test_a_dataset_whose_items_differ_each_time_is_told():
    with pytest.warns(DataWarning, match="items differ each time they are read"):
        as_source(Random(list(torch.from_numpy(ROWS))))


def test_batches_with_labels_are_read():
    x, y = torch.from_numpy(ROWS), torch.arange(150)
    for items in (TensorDataset(x, y), TensorDataset(x, x), TensorDataset(x)):
        np.testing.assert_array_equal(spool(DataLoader(items, batch_size=7)), ROWS)


@pytest.mark.parametrize("split", [None, "shuffle", "shard"])
@pytest.mark.parametrize("n_workers", [0, 1, 2, 3])
def test_workers_that_repeat_the_samples_are_told(n_workers, split, recwarn):
    spool(DataLoader(Stream(list(ROWS[:40]), split), batch_size=8, num_workers=n_workers))
    warned = [w for w in recwarn if issubclass(w.category, DataWarning)]
    assert len(warned) == (n_workers > 1 and split != "shard")
    assert all("workers read the same samples" in str(w.message) for w in warned)


def test_a_loader_that_shuffles_is_told():
    dataset = TensorDataset(torch.from_numpy(ROWS))
    with pytest.warns(DataWarning, match="shuffle"):
        spool(DataLoader(dataset, batch_size=32, shuffle=True))
    with pytest.warns(DataWarning, match="shuffle"):
        spool(DataLoader(dataset, batch_sampler=BatchSampler(RandomSampler(dataset), 30, False)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spool(DataLoader(dataset, batch_size=32))


class Wrong(ArraySource):
    """A source that returns something else than it says."""

    def __init__(self, array, change, dtype=None):
        super().__init__(array)
        self.change, self.dtype = change, np.dtype(dtype or array.dtype)

    def read(self, indices):
        return self.change(super().read(indices))


WRONG = {
    "fewer samples": (lambda X: X[:-1], None, r"of shape \(149, 6\) and type float32"),
    "other columns": (lambda X: X[:, :3], None, r"of shape \(150, 3\)"),
    "one axis": (lambda X: X.ravel(), None, r"of shape \(900,\)"),
    "floats as bytes": (lambda X: X, "u1", "type float32"),
    "floats as flags": (lambda X: X, "?", "type float32"),
    "large numbers": (lambda X: (X * 1e6).astype("i8"), "i2", "type int64"),
    "float64": (lambda X: X.astype("f8"), "f4", "type float64"),
    "masked": (lambda X: np.ma.array(X, mask=X > -9), None, "masked values"),
    "a list": (lambda X: X.tolist(), None, "a list"),
    "a tensor": (torch.from_numpy, None, "a Tensor"),
    "nothing": (lambda X: None, None, "a NoneType"),
}


@pytest.mark.parametrize(("change", "dtype", "result"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(
    "read",
    [
        lambda X: StoredSamples(X, find_layout(X.shape))[:],
        np.asarray,
        spool,
        lambda X: X[3],
        lambda X: np.asarray(X[2:9]),
    ],
    ids=["fit", "array", "spool", "one", "part"],
)
def test_a_source_returns_what_it_says(read, change, dtype, result):
    X = Wrong(ROWS, change, dtype)
    with pytest.raises(ValueError, match=r"Wrong.read\(\) must return an array of shape"):
        read(X)
    if read is spool:
        with pytest.raises(ValueError, match=result):
            read(X)


def test_a_source_may_return_another_byte_order_and_a_subclass():
    for change in (lambda X: X.astype(">f4"), np.ma.array, lambda X: X[:, ::-1][:, ::-1]):
        np.testing.assert_array_equal(spool(Wrong(ROWS, change)), ROWS)


def test_a_search_folds_a_source_as_it_folds_an_array(quick, digits):
    images, y = digits.images[:96].astype(np.float32), digits.target[:96]
    X = ArraySource(images)
    pipeline = make_pipeline(quick(max_epochs=1), LogisticRegression())
    grid = {"dimtransformer__global_weight": [0, 1]}
    there = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    here = GridSearchCV(pipeline, grid, cv=2).fit(images, y)
    assert np.array_equal(there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"])
    parts = X[10:20]
    assert isinstance(parts, Source)
    assert np.array_equal(np.asarray(parts[np.array([3, 1])]), images[[13, 11]])
    assert np.array_equal(X[5], images[5])


def test_what_is_in_memory_is_no_source(images):
    for X in (images, images.tolist(), torch.from_numpy(images), pd.DataFrame({"a": [1]})):
        assert as_source(X) is None


def test_a_spool_that_fails_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "samples"
    np.zeros(3).tofile(path)
    with pytest.raises(ValueError, match="one shape"):
        spool([np.zeros(2), np.zeros(3)], path)
    assert [p.name for p in tmp_path.iterdir()] == ["samples"]
    again = spool(np.memmap(path, shape=(3, 1)), path)  # from the file that is replaced
    assert again.shape == (3, 1)
    assert not again.any()


def test_joined_sources_are_the_joined_arrays(quick):
    parts = [ROWS[:1], ROWS[1:1], ROWS[1:90], ROWS[90:]]
    joined = Joined([ArraySource(part) for part in parts])
    rng = np.random.default_rng(0)
    for indices in (slice(None), slice(80, 100, 3), slice(7, 7), rng.integers(0, 150, 400)):
        np.testing.assert_array_equal(joined.read(indices), ROWS[indices])
    dim = quick(max_epochs=1).fit(joined)
    np.testing.assert_array_equal(dim.transform(joined[100:]), dim.transform(ROWS[100:]))


@pytest.mark.parametrize(
    ("parts", "kind", "sentence"),
    [
        ([], ValueError, "one shape and type. Got none"),
        ([StoredArray(ROWS), StoredArray(ROWS[:, 1:])], ValueError, r"\(5,\) .* and \(6,\)"),
        ([StoredArray(ROWS), StoredArray(ROWS.astype(float))], ValueError, "float32 and .*float64"),
        ([StoredArray(ROWS), ROWS], TypeError, "Got a ndarray: skdim.sources.StoredArray makes"),
    ],
    ids=["none", "shapes", "types", "an array"],
)
def test_sources_that_cannot_be_joined_are_named(parts, kind, sentence):
    with pytest.raises(kind, match=sentence):
        Joined(parts)
