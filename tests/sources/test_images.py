"""Images in files are read as they are, or refused by the name of the file."""

import io
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skdim import DIMClassifier, DIMTransformer
from skdim.exceptions import DataWarning
from skdim.sources import ImageFiles, ImageFolder, read_labels

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


def without_one(folder, **options):
    """Leave out the only file that cannot be read, which a warning counts."""
    with pytest.warns(DataWarning, match=r"left out, 1 of \d+: '"):
        return ImageFolder(folder, on_error="skip", **options)


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
    folder = without_one(tmp_path)
    assert folder.n_skipped == 1
    assert folder.read(slice(None)).shape == (1, 32, 32, 3)
    with pytest.raises(ValueError, match="on_error"):
        ImageFolder(tmp_path, on_error="ignore")


def save_some(folder, names):
    """Write an image of one grey value for each name, its number; return the paths."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not name.startswith("bad"):
            Image.fromarray(np.full((8, 8), i, np.uint8)).save(path)
        else:
            path.write_bytes(b"no image")
    return [folder / name for name in names]


def test_a_list_of_paths_is_read_in_its_order_with_its_labels(tmp_path):
    frame = pd.DataFrame({"file": save_some(tmp_path, ["2.png", "sub/1.png", "bad.png", "0.png"])})
    frame["species"] = ["cat", "dog", "cat", "ant"]
    order = [3, 0, 1, 3]
    files = ImageFiles(frame["file"].iloc[order], 8, False, labels=frame["species"].iloc[order])
    assert files.read(slice(None))[:, 0, 0].tolist() == order
    assert files.labels.tolist() == ["ant", "cat", "dog", "ant"]
    with pytest.warns(DataWarning, match=r"1 of 4: .*bad\.png'\.$"):
        kept = ImageFiles(frame["file"], 8, False, "skip", frame["species"])
    assert kept.read(slice(None))[:, 0, 0].tolist() == [0, 1, 3]
    assert (kept.labels.tolist(), kept.n_skipped) == (["cat", "dog", "ant"], 1)
    assert ImageFiles(map(str, frame["file"]), 8).labels is None


def test_only_the_first_files_that_are_left_out_are_named(tmp_path):
    paths = save_some(tmp_path, ["0.png", *(f"bad{i}.png" for i in range(5))])
    with pytest.warns(DataWarning) as caught:
        ImageFiles(paths, on_error="skip")
    assert len(caught) == 1
    names = ", ".join(repr(str(path)) for path in paths[1:4])
    assert str(caught[0].message).endswith(f"left out, 5 of 6: {names} and 2 more.")
    with pytest.raises(ValueError, match="Got none that can be read"), pytest.warns(DataWarning):
        ImageFiles(paths[1:], on_error="skip")


@pytest.mark.parametrize(
    ("paths", "options", "kind", "sentence"),
    [
        ("a.png", {}, TypeError, r"'paths' must be a list of paths\. Got the path 'a\.png'"),
        (["a.png", float("nan")], {}, TypeError, r"'paths' must be .* Got nan among them"),
        (["a.png"], {}, ValueError, r"Got 'a\.png': No such file"),
        ([], {}, ValueError, "Got none that can be read"),
        (["a.png"], {"labels": [1, 2]}, ValueError, r"one label for each of 1 paths.*\(2,\)"),
    ],
)
def test_what_is_no_list_of_files_is_named(paths, options, kind, sentence):
    with pytest.raises(kind, match=sentence):
        ImageFiles(paths, **options)


def test_features_of_two_folders_with_labels_in_a_table(quick, tmp_path):
    """The files of two folders are one X, and a table labels some of them."""
    save_some(tmp_path, [f"{folder}/{i}.png" for folder in ("old", "new") for i in range(10)])
    old, new = ImageFolder(tmp_path / "old", 8, False), ImageFolder(tmp_path / "new", 8, False)
    X = ImageFiles([*old.paths, *new.paths], 8, False)
    np.testing.assert_array_equal(X, np.concatenate([old, new]))
    rows = [f"new/{i},{'odd' if i % 2 else 'even'}" for i in range(10)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    y, classes = read_labels(tmp_path / "labels.csv", X.paths)
    assert y.tolist() == [-1] * 10 + [0, 1] * 5
    assert classes.tolist() == ["even", "odd"]
    classifier = DIMClassifier(quick(max_epochs=1), max_epochs=1, random_state=0).fit(X, y)
    assert classifier.classes_.tolist() == [0, 1]


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


def png(pixels, kind):
    """Write pixels (height, width, channels) of 16 bits as a PNG of a colour type."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def sgi(pixels, is_compressed):
    """Write pixels of 16 bits as an SGI image, by runs of one value or not."""
    height, width, n = pixels.shape
    header = struct.pack(
        ">hBBHHHH", 474, is_compressed, 2, 3 if n > 1 else 2, width, height, n
    ).ljust(512, b"\0")
    if not is_compressed:
        return header + np.moveaxis(pixels[::-1], 2, 0).astype(">u2").tobytes()
    rows = [
        struct.pack(">H", 0x80 + width) + row.astype(">u2").tobytes() + b"\0\0"
        for row in np.moveaxis(pixels[::-1], 2, 0).reshape(-1, width)
    ]
    starts = 512 + 8 * len(rows) + np.cumsum([0, *map(len, rows[:-1])])
    tables = starts.astype(">u4").tobytes() + np.array([*map(len, rows)], ">u4").tobytes()
    return header + tables + b"".join(rows)


def tiff(pixels):
    """Write pixels of 16 bits as an uncompressed TIFF."""
    height, width, n = pixels.shape
    tags = {
        256: (4, width),
        257: (4, height),
        259: (3, 1),
        262: (3, 2),
        277: (3, n),
        278: (4, height),
    }
    data = pixels.astype("<u2").tobytes()
    start = 8 + 2 + 12 * (len(tags) + 3) + 4
    entries = [(258, 3, n, start), (273, 4, 1, start + 2 * n), (279, 4, 1, len(data))]
    entries += [(tag, kind, 1, value) for tag, (kind, value) in tags.items()]
    fields = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + bytes(4)
    return head + struct.pack(f"<{n}H", *[16] * n) + data


def patched_avif(pixels):
    """Return an AVIF whose header says that it has 10 bits."""
    file = io.BytesIO()
    try:
        Image.fromarray((pixels[..., :3] // 256).astype(np.uint8)).save(file, "AVIF")
    except (KeyError, OSError, ValueError):
        pytest.skip("Pillow does not write AVIF")
    head, box, rest = file.getvalue().partition(b"av1C")
    deep = head + box + rest[:2] + bytes([rest[2] | 0x40]) + rest[3:]
    return deep.replace(b"pixi\0\0\0\0\3\x08\x08\x08", b"pixi\0\0\0\0\3\x0a\x0a\x0a")


def jpeg2000(pixels):
    """Return a JPEG 2000 whose header says that it has 16 bits."""
    file = io.BytesIO()
    try:
        Image.fromarray((pixels[..., :3] // 256).astype(np.uint8)).save(file, "JPEG2000")
    except (KeyError, OSError, ValueError):
        pytest.skip("Pillow does not write JPEG 2000")
    head, marker, rest = file.getvalue().partition(b"\xff\x4f\xff\x51")
    depths = b"".join(bytes([15]) + rest[39 + 3 * i : 41 + 3 * i] for i in range(3))
    return head + marker + rest[:38] + depths + rest[47:]


DEEP = {
    "grey.png": lambda x: png(x[..., :1], 0),
    "grey with opacity.png": lambda x: png(x[..., [0, 3]], 4),
    "colour.png": lambda x: png(x[..., :3], 2),
    "colour with opacity.png": lambda x: png(x, 6),
    "colour.tiff": lambda x: tiff(x[..., :3]),
    "colour.ppm": lambda x: b"P6 20 20 65535\n" + x[..., :3].astype(">u2").tobytes(),
    "10 bits.ppm": lambda x: b"P6 20 20 1023\n" + (x[..., :3] >> 6).astype(">u2").tobytes(),
    "text.ppm": lambda x: b"P3 20 20 65535\n" + " ".join(map(str, x[..., :3].ravel())).encode(),
    "grey.pgm": lambda x: b"P5 20 20 65535\n" + x[..., 0].astype(">u2").tobytes(),
    "colour.sgi": lambda x: sgi(x[..., :3], False),
    "grey.sgi": lambda x: sgi(x[..., :1], False),
    "runs.sgi": lambda x: sgi(x[..., :3], True),
    "colour.jp2": jpeg2000,
    "10 bits.avif": patched_avif,
}


@pytest.mark.parametrize("name", DEEP)
def test_more_than_eight_bits_are_refused_in_every_format(tmp_path, name):
    pixels = 20_000 + np.random.default_rng(0).integers(0, 256, (20, 20, 4))
    pixels[..., 3] = 65_535  # opaque
    (tmp_path / name).write_bytes(DEEP[name](pixels))
    with pytest.raises(ValueError, match="more than 8 bits"):
        ImageFolder(tmp_path, size=20).read(slice(None))
    Image.fromarray(COLOUR).save(tmp_path / "good.png")
    folder = without_one(tmp_path, size=20)
    assert (folder.n_skipped, [path.name for path in folder.paths]) == (1, ["good.png"])


@pytest.mark.parametrize("suffix", [".tiff", ".gif", ".png", ".webp", ".avif"])
def test_pages_and_frames_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(np.roll(COLOUR, i, 0)) for i in range(3)]
    try:
        frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    except (KeyError, OSError, ValueError) as error:
        pytest.skip(f"Pillow does not write it: {error}")
    with pytest.raises(ValueError, match="3 pages or frames, of which only the first"):
        ImageFolder(tmp_path).read(slice(None))


def test_the_first_picture_of_a_photograph_with_several_is_read(tmp_path):
    frames = [Image.fromarray(np.roll(COLOUR, i, 0)) for i in range(2)]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    read = ImageFolder(tmp_path, size=20).read(slice(None))[0]
    with Image.open(tmp_path / "a.jpg") as file:
        assert file.n_frames == 2
        np.testing.assert_array_equal(read, np.asarray(file.convert("RGB")))


def test_links_are_followed_but_not_in_circles(tmp_path):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    for path in (elsewhere / "below", folder / "cat"):
        path.mkdir(parents=True)
        Image.fromarray(COLOUR).save(path / "0.png")
    (folder / "dog").symlink_to(elsewhere)
    (folder / "cat" / "1.png").symlink_to(elsewhere / "below" / "0.png")
    (folder / "cat" / "up").symlink_to(folder)
    (folder / "cat" / "self").symlink_to(folder / "cat" / "self")
    (folder / "notes.txt").symlink_to(tmp_path / "missing.txt")
    images = without_one(folder)
    names = [str(path.relative_to(folder)) for path in images.paths]
    assert names == ["cat/0.png", "cat/1.png", "dog/below/0.png"]
    assert images.labels.tolist() == ["cat", "cat", "below"]
    assert images.n_skipped == 1  # the link to itself may have been a folder


@pytest.mark.parametrize("name", ["missing.png", "missing folder"])
def test_broken_links_are_an_error_or_counted(tmp_path, name):
    Image.fromarray(COLOUR).save(tmp_path / "good.png")
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=f"Got '.*{name}': .*No such file"):
        ImageFolder(tmp_path).read(slice(None))
    folder = without_one(tmp_path)
    assert folder.n_skipped == 1
    assert folder.read(slice(None)).shape == (1, 32, 32, 3)


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize(
    "kind", sorted(set(FORMATS) & {*LOSSY, "PNG", "TIFF", "BMP", "TGA", "QOI"})
)
def test_a_truncated_file_is_an_error_or_counted(tmp_path, kind):
    path = tmp_path / f"a{EXTENSION[kind]}"
    save(Image.fromarray(COLOUR), path, kind)
    data = path.read_bytes()
    Image.fromarray(COLOUR).save(tmp_path / "good.png")
    for part in (0.0, 0.1, 0.5, 0.9):
        path.write_bytes(data[: int(part * len(data))])
        with pytest.raises(ValueError, match="X must hold pictures"):
            ImageFolder(tmp_path, size=20).read(slice(None))
        folder = without_one(tmp_path, size=20)
        assert folder.n_skipped == 1
        assert (
            len(folder) == len(folder.paths) == len(folder.labels) == len(folder.read(slice(None)))
        )


def test_orientation_and_printing_colours_are_respected(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    wide = Image.fromarray(COLOUR[:10])
    wide.save(tmp_path / "0.png", exif=exif)
    wide.convert("CMYK").save(tmp_path / "1.tiff")
    turned = np.asarray(wide.transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(ImageFolder(tmp_path, size=(20, 10)).read(slice(1))[0], turned)
    printed = ImageFolder(tmp_path, size=(10, 20)).read(slice(1, 2))[0]
    np.testing.assert_array_equal(printed, np.asarray(wide.convert("CMYK").convert("RGB")))


@pytest.mark.parametrize("size", [0, 16.0, None, (16,), (8, -1), "16"])
def test_a_size_that_is_none_is_named(size):
    with pytest.raises(ValueError, match="'size' must be a whole number of at least 1, or two"):
        ImageFiles([], size=size)


def test_color_is_true_or_false():
    with pytest.raises(TypeError, match="'color' must be True or False"):
        ImageFiles([], color="grey")
