"""Wherever X is stored, a fit and its features are those of the array in memory."""

import numpy as np
import pytest
import torch
from helpers.sources import ArraySource
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from skdim import DIMClassifier, DIMTransformer
from skdim.sources import StoredSamples, spool
from skdim.sources.layout import find_layout

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
    "custom": lambda folder: ArraySource(IMAGES),
    "part": lambda folder: ArraySource(IMAGES)[np.arange(96)],
    "spooled": lambda folder: spool(ArraySource(IMAGES), folder / "X.raw"),
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


def test_a_classifier_is_tuned_on_samples_on_disk(tmp_path):
    y = DIGITS.target[:96]
    tuned = [
        DIMClassifier(clone(DIM), max_epochs=1, random_state=0).fit(X, y)
        for X in (IMAGES, memmap(tmp_path))
    ]
    assert np.array_equal(*(classifier.coef_ for classifier in tuned))


def test_stored_samples_have_the_size_of_those_in_memory():
    layout = find_layout(IMAGES.shape)
    there, here = StoredSamples(ArraySource(IMAGES), layout), layout.as_samples(IMAGES)
    assert (there.shape, there.ndim, there.nbytes) == (here.shape, here.ndim, here.nbytes)
    assert np.array_equal(there.subset(np.array([4, 2]))[:], here[[4, 2]])
