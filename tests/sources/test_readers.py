"""Sources: datasets, streams and folders of images are read as they are, or refused by name."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.sources import ArraySource
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch.utils.data import DataLoader, Dataset, TensorDataset

from skdim import DIMTransformer
from skdim.exceptions import DataWarning
from skdim.sources import ImageFolder, Source, StoredDataset, as_source, spool

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 20), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8)
# Formats that Pillow both writes and reads, and knows by an extension.
EXTENSION = {kind: suffix for suffix, kind in Image.registered_extensions().items()}
# Without EPS, which needs Ghostscript, and IM, which Pillow is about to drop.
FORMATS = sorted((set(Image.OPEN) & set(Image.SAVE) & set(EXTENSION)) - {"EPS", "IM"})
LOSSY = {"JPEG", "JPEG2000", "WEBP", "AVIF", "GIF", "MPO"}


def save(image, path, kind=None):
    try:
        image.save(path, kind)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        pytest.skip(f"Pillow does not write it: {error}")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("color", [True, False])
def test_every_format_is_read_as_it_is_or_refused(tmp_path, kind, color):
    image = Image.fromarray(COLOUR if color else GREY)
    path = tmp_path / f"a{EXTENSION[kind]}"
    save(image, path, kind)
    with Image.open(path) as file:
        size = file.size[::-1]
        expected = np.asarray(file.convert("RGB" if color else "L"))
    found = ImageFolder(tmp_path, size=size, color=color).read(slice(None))[0]
    np.testing.assert_array_equal(found, expected)
    if kind not in LOSSY and size == (20, 20):
        np.testing.assert_array_equal(found, COLOUR if color else GREY)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("color", [True, False])
def test_more_than_eight_bits_are_refused_by_name(tmp_path, dtype, color):
    values = np.linspace(0, 4095, 400).reshape(20, 20).astype(dtype)
    Image.fromarray(values).save(tmp_path / "deep.tiff")
    folder = ImageFolder(tmp_path, size=20, color=color)
    with pytest.raises(ValueError, match=r"deep\.tiff.*more than 8 bits"):
        folder.read(slice(None))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_is_refused_by_name_unless_nothing_is_transparent(tmp_path, mode):
    opaque = Image.fromarray(COLOUR).convert("RGBA")
    clear = opaque.copy()
    clear.putpixel((3, 3), (10, 20, 30, 0))
    for name, image in (("opaque", opaque), ("clear", clear)):
        folder = tmp_path / name
        folder.mkdir()
        save(image if mode in ("P", "PA") else image.convert(mode), folder / f"{name}.png")
    ImageFolder(tmp_path / "opaque", size=20).read(slice(None))
    with pytest.raises(ValueError, match=r"clear\.png.*transparent"):
        ImageFolder(tmp_path / "clear", size=20).read(slice(None))


def test_files_that_are_no_images_are_left_out(tmp_path):
    for i in (0, 1, 2, 10):
        Image.fromarray(COLOUR).save(tmp_path / f"{i}.png")
    for name in ("features.h5", "readme.pdf", "clip.mpg", "notes.txt", "._1.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".cache").mkdir()
    Image.fromarray(COLOUR).save(tmp_path / ".cache" / "0.png")
    folder = ImageFolder(tmp_path)
    assert [path.name for path in folder.paths] == ["0.png", "1.png", "2.png", "10.png"]
    assert folder.n_skipped == 0


def test_broken_images_are_an_error_or_counted(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "good.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.png"):
        ImageFolder(tmp_path).read(slice(None))
    folder = ImageFolder(tmp_path, on_error="skip")
    assert folder.n_skipped == 1
    assert folder.read(slice(None)).shape == (1, 32, 32, 3)
    with pytest.raises(ValueError, match="on_error"):
        ImageFolder(tmp_path, on_error="ignore")


def test_a_cached_step_sees_that_images_changed(tmp_path):
    def write(seed):
        rng = np.random.default_rng(seed)
        for i in range(30):
            pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{i}.png")

    write(0)
    dim = DIMTransformer(4, max_epochs=1, random_state=0)
    pipeline = make_pipeline(dim, LogisticRegression(), memory=str(tmp_path / "cache"))
    y = np.arange(30) % 2
    clone(pipeline).fit(ImageFolder(tmp_path, size=16, color=False), y)
    write(1)
    again = clone(pipeline).fit(ImageFolder(tmp_path, size=16, color=False), y)
    plain = clone(dim).fit(ImageFolder(tmp_path, size=16, color=False))
    np.testing.assert_array_equal(again[0].mean_, plain.mean_)


ROWS = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)


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


def test_a_loader_that_shuffles_is_told():
    dataset = TensorDataset(torch.from_numpy(ROWS))
    with pytest.warns(DataWarning, match="shuffle"):
        fit(DataLoader(dataset, batch_size=32, shuffle=True))
    fit(DataLoader(dataset, batch_size=32))


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


def test_pictures_in_folders_are_samples_with_labels(quick, tmp_path):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for i in range(4):
            noise = rng.integers(0, 256, (20, 32, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / label / f"{i}.png")
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    folder = ImageFolder(tmp_path, size=(16, 16))
    assert folder.shape == (8, 16, 16, 3)
    assert folder.labels.tolist() == ["cat"] * 4 + ["dog"] * 4
    grey = ImageFolder(tmp_path, size=20, color=False)
    # A picture of the right height is not scaled: the middle is cut out, exactly.
    whole = np.asarray(Image.open(folder.paths[0]).convert("L"))
    assert np.array_equal(grey[0], whole[:, 6:26])
    dim = quick(n_components=4, max_epochs=1).fit(folder)
    assert np.array_equal(dim.transform(folder), dim.transform(np.asarray(folder)))


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
