"""Wherever X is stored, features, errors and folds are those of the array in memory."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from skdim import DIMClassifier, DIMTransformer
from skdim.sources import ImageFolder, Source, StoredSamples, as_source, spool
from skdim.sources._arrays import read_samples
from skdim.sources._statistics import channel_statistics

DIGITS = load_digits()
IMAGES = DIGITS.images[:96].astype(np.float32)
SMALL = {"width": 8, "n_hidden": 32}
DIM = DIMTransformer(
    8, max_epochs=1, batch_size=32, encoder_params=SMALL, random_state=0, device="cpu"
)


class Stream(IterableDataset):
    """Yields the samples in order, in every iteration."""

    def __iter__(self):
        return iter(IMAGES)


class Labelled(Dataset):
    """Pairs of an image and its label."""

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        return torch.from_numpy(IMAGES[index]), int(DIGITS.target[index])


class CustomSource(Source):
    """A source as a user would write one."""

    shape = IMAGES.shape
    dtype = IMAGES.dtype

    def read(self, indices):
        return IMAGES[indices]


def memmap(folder):
    np.save(folder / "X.npy", IMAGES)
    return np.load(folder / "X.npy", mmap_mode="r")


def hdf5(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "X.h5", "w") as file:
        file.create_dataset("X", data=IMAGES, chunks=(10, 8, 8), compression="gzip")
    return h5py.File(folder / "X.h5", "r")["X"]


def zarr_array(folder):
    zarr = pytest.importorskip("zarr")
    stored = zarr.open(str(folder / "X.zarr"), mode="w", shape=IMAGES.shape, dtype="f4")
    stored[:] = IMAGES
    return stored


def dask_array(folder):
    return pytest.importorskip("dask.array").from_array(IMAGES, chunks=(40, 4, 8))


# By name: callable (folder) -> X, stored elsewhere.
STORES = {
    "memmap": memmap,
    "hdf5": hdf5,
    "zarr": zarr_array,
    "dask": dask_array,
    "tensor dataset": lambda folder: TensorDataset(torch.from_numpy(IMAGES)),
    "labelled dataset": lambda folder: Labelled(),
    "iterable dataset": lambda folder: Stream(),
    "loader": lambda folder: DataLoader(Labelled(), batch_size=25),
    "generator": lambda folder: (image for image in IMAGES),
    "custom": lambda folder: CustomSource(),
    "part": lambda folder: CustomSource()[np.arange(96)],
    "spooled": lambda folder: spool(CustomSource(), folder / "X.raw"),
}


@pytest.fixture(scope="module")
def expected():
    return clone(DIM).fit(IMAGES).transform(IMAGES)


@pytest.mark.parametrize("store", STORES)
def test_a_fit_and_its_features_are_those_of_the_array_in_memory(store, tmp_path, expected):
    dim = clone(DIM).fit(STORES[store](tmp_path))
    assert np.array_equal(dim.transform(IMAGES), expected)
    assert np.array_equal(np.asarray(dim.transform(STORES[store](tmp_path))), expected)
    assert dim.n_features_in_ == 8


@pytest.mark.parametrize("store", ["memmap", "hdf5", "dask", "labelled dataset", "generator"])
def test_every_method_takes_every_store(store, tmp_path):
    def stored():
        return STORES[store](tmp_path)

    here, there = clone(DIM).fit(IMAGES), clone(DIM).fit(stored())
    assert there.score(stored()) == here.score(IMAGES)
    assert there.score_terms(stored()) == here.score_terms(IMAGES)
    assert np.array_equal(there.score_samples(stored()), here.score_samples(IMAGES))
    here.partial_fit(IMAGES), there.partial_fit(stored())
    assert np.array_equal(there.transform(IMAGES), here.transform(IMAGES))
    out = np.empty((96, 8), np.float32)
    assert there.transform_to(stored(), out) is out
    assert np.array_equal(out, here.transform(IMAGES))


def test_early_stopping_holds_out_the_same_samples(tmp_path):
    here = clone(DIM).set_params(early_stopping=True).fit(IMAGES)
    there = clone(DIM).set_params(early_stopping=True).fit(memmap(tmp_path))
    keys = ("loss", "validation_score")
    assert [[e[k] for k in keys] for e in here.history_] == [
        [e[k] for k in keys] for e in there.history_
    ]


def test_samples_kept_on_the_device_give_the_same_features(tmp_path, expected):
    dim = clone(DIM).set_params(data_on_device=True).fit(memmap(tmp_path))
    assert np.array_equal(dim.transform(IMAGES), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16, np.float64, bool])
def test_every_numeric_type_is_read_as_it_is_in_memory(dtype, tmp_path):
    X = IMAGES.astype(dtype)
    np.save(tmp_path / "X.npy", X)
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    features = [clone(DIM).fit(x).transform(x) for x in (X, stored)]
    assert np.array_equal(*features)


def test_a_search_folds_a_source_as_it_folds_an_array():
    X, y = CustomSource(), DIGITS.target[:96]
    pipeline = make_pipeline(clone(DIM), LogisticRegression())
    grid = {"dimtransformer__global_weight": [0, 1]}
    there = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    here = GridSearchCV(pipeline, grid, cv=2).fit(IMAGES, y)
    assert np.array_equal(there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"])
    parts = X[10:20]
    assert isinstance(parts, Source)
    assert np.array_equal(np.asarray(parts[np.array([3, 1])]), IMAGES[[13, 11]])
    assert np.array_equal(X[5], IMAGES[5])


def test_a_classifier_is_tuned_on_samples_on_disk(tmp_path):
    y = DIGITS.target[:96]
    tuned = [
        DIMClassifier(clone(DIM), max_epochs=1, random_state=0).fit(X, y)
        for X in (IMAGES, memmap(tmp_path))
    ]
    assert np.array_equal(*(classifier.coef_ for classifier in tuned))


@pytest.mark.parametrize("kind", ["path", "memmap", "hdf5"])
def test_features_are_written_to_files_and_arrays(kind, tmp_path, expected):
    dim = clone(DIM).fit(IMAGES)
    if kind == "path":
        out = tmp_path / "features.npy"
    elif kind == "memmap":
        out = np.memmap(tmp_path / "features", np.float32, "w+", shape=(96, 8))
    else:
        h5py = pytest.importorskip("h5py")
        out = h5py.File(tmp_path / "features.h5", "w").create_dataset("features", (96, 8), "f4")
    assert np.array_equal(np.asarray(dim.transform_to(IMAGES, out)), expected)
    if kind == "path":
        assert np.array_equal(np.load(out), expected)
        assert [path.name for path in tmp_path.iterdir()] == ["features.npy"]


def test_a_file_of_features_is_complete_or_absent(tmp_path):
    class Torn(CustomSource):
        def read(self, indices):
            if isinstance(indices, slice) and indices.start:
                raise OSError("the disk went away")
            return super().read(indices)

    dim = clone(DIM).fit(IMAGES).set_params(transform_batch_size=16)
    with pytest.raises(OSError, match="went away"):
        dim.transform_to(Torn(), tmp_path / "features.npy")
    assert not list(tmp_path.iterdir())


def test_a_dask_array_is_transformed_lazily_by_chunks(expected):
    array = pytest.importorskip("dask.array")
    dim = clone(DIM).fit(IMAGES)
    X = array.from_array(IMAGES, chunks=(40, 4, 8))
    features = dim.transform(X)
    assert isinstance(features, array.Array)
    assert features.chunks == ((40, 40, 16), (8,))
    assert np.array_equal(features.compute(), expected)
    assert np.array_equal(features[90:].compute(), expected[90:])


def test_statistics_do_not_depend_on_the_size_of_chunks(monkeypatch):
    X = read_samples(IMAGES, None, "auto")
    whole = channel_statistics(X)
    monkeypatch.setattr("skdim.sources._arrays.CHUNK_SIZE", 7 * 64)
    in_chunks = channel_statistics(X)
    np.testing.assert_allclose(whole, in_chunks, rtol=1e-12)


def test_pictures_in_folders_are_samples_with_labels(tmp_path):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for i in range(4):
            noise = rng.integers(0, 256, (20, 32, 3), dtype=np.uint8)
            image.fromarray(noise).save(tmp_path / label / f"{i}.png")
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    folder = ImageFolder(tmp_path, size=(16, 16))
    assert folder.shape == (8, 16, 16, 3)
    assert folder.labels.tolist() == ["cat"] * 4 + ["dog"] * 4
    grey = ImageFolder(tmp_path, size=20, color=False)
    # A picture of the right height is not scaled: the middle is cut out, exactly.
    whole = np.asarray(image.open(folder.paths[0]).convert("L"))
    assert np.array_equal(grey[0], whole[:, 6:26])
    dim = clone(DIM).set_params(n_components=4).fit(folder)
    assert np.array_equal(dim.transform(folder), dim.transform(np.asarray(folder)))


def test_what_is_in_memory_is_no_source():
    pandas = pytest.importorskip("pandas")
    for X in (IMAGES, IMAGES.tolist(), torch.from_numpy(IMAGES), pandas.DataFrame({"a": [1]})):
        assert as_source(X) is None


def test_stored_samples_have_the_size_of_those_in_memory():
    there = StoredSamples(CustomSource(), None, "auto", False)
    here = read_samples(IMAGES, None, "auto")
    assert (there.shape, there.ndim, there.nbytes) == (here.shape, here.ndim, here.nbytes)
    assert np.array_equal(there.subset(np.array([4, 2]))[:], here[[4, 2]])
