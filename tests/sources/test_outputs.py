"""Features go to files, to arrays on disk and to dask arrays."""

import numpy as np
import pytest
import torch
from helpers.sources import ArraySource

from skdim.sources.outputs import open_output


@pytest.fixture(scope="module")
def fitted(quick, images):
    return quick(max_epochs=1).fit(images)


@pytest.mark.parametrize("kind", ["path", "memmap", "hdf5"])
def test_features_are_written_to_files_and_arrays(kind, fitted, images, tmp_path):
    if kind == "path":
        out = tmp_path / "features.npy"
    elif kind == "memmap":
        out = np.memmap(tmp_path / "features", np.float32, "w+", shape=(90, 8))
    else:
        h5py = pytest.importorskip("h5py")
        out = h5py.File(tmp_path / "features.h5", "w").create_dataset("features", (90, 8), "f4")
    expected = fitted.transform(images)
    assert np.array_equal(np.asarray(fitted.transform_to(images, out)), expected)
    if kind == "path":
        assert np.array_equal(np.load(out), expected)
        assert [path.name for path in tmp_path.iterdir()] == ["features.npy"]


def test_a_file_of_features_is_complete_or_absent(quick, images, tmp_path):
    class Torn(ArraySource):
        def read(self, indices):
            if isinstance(indices, slice) and indices.start:
                raise OSError("the disk went away")
            return super().read(indices)

    dim = quick(max_epochs=1, transform_batch_size=16).fit(images)
    with pytest.raises(OSError, match="went away"):
        dim.transform_to(Torn(images), tmp_path / "features.npy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", [np.empty((2, 2)), np.empty((90, 9)), [[0.0]], None])
def test_an_output_of_another_shape_is_refused(out):
    with (
        pytest.raises(ValueError, match=r"'out' must be a path, or an array of shape \(90, 8\)"),
        open_output(out, (90, 8)),
    ):
        pass


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "out",
    [
        np.empty((90, 8), int),
        np.empty((90, 8), np.uint8),
        np.empty((90, 8), "U8"),
        np.empty((90, 8), complex),
        torch.empty(90, 8),
        read_only(np.empty((90, 8))),
    ],
    ids=["int", "uint8", "text", "complex", "tensor", "read-only"],
)
def test_an_output_that_would_change_features_is_refused(out):
    with (
        pytest.raises(ValueError, match=r"'out' must be an array of floats.*written to\. Got"),
        open_output(out, (90, 8)),
    ):
        pass


def test_a_dask_array_is_transformed_lazily_by_chunks(fitted, images):
    array = pytest.importorskip("dask.array")
    X = array.from_array(images, chunks=(40, 4, 8))
    features, expected = fitted.transform(X), fitted.transform(images)
    assert isinstance(features, array.Array)
    assert features.chunks == ((40, 40, 10), (8,))
    assert np.array_equal(features.compute(), expected)
    assert np.array_equal(features[85:].compute(), expected[85:])
