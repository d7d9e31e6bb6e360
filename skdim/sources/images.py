"""Folders of images, read without loss or refused."""

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from skdim.sources.readers import Indices, Source

# Formats that Pillow recognises but cannot read by itself.
STUBS = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF", "EMF"}
# Formats whose first frame is the photograph or all layers together.
FIRST_FRAME_IS_ALL = {"MPO", "PSD"}
# Parts of the names of Pillow's decoders that reduce channels to 8 bits.
REDUCING = re.compile(r";16[BLN]|SGI16|BC6")


class ImageFolder(Source):
    """Images in a folder and its sub-folders, read when they are needed.

    All images are scaled to the same size and cropped along the longer side. Needs Pillow.

    Parameters
    ----------
    folder : path
    size : int or (int, int), default=32
        Height and width.
    color : bool, default=True
        Whether to read three channels, or grey images.
    on_error : {"raise", "skip"}, default="raise"
        "raise" raises an error if a file that is read is not an image that can be read without
        loss. "skip" decodes all files at once, to leave such files out from the start.

    Attributes
    ----------
    paths : list of Path
        All files, except hidden ones, with the extension of a format that Pillow reads, also in
        linked folders. They are in natural order: 2 before 10.
    labels : ndarray of str
        Name of the folder of each image.
    n_skipped : int
        Number of files that were left out because they cannot be read.
    shape : (n, height, width, 3) or (n, height, width)
    dtype : uint8

    Raises
    ------
    ValueError
        If there are no images in the folder. ``read`` also raises it if an image has more than 8
        bits a channel, transparent parts, or several pages or frames, which would be lost.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from PIL import Image
    >>> from skdim.sources import ImageFolder
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("one.png", "two.png"):
    ...     noise = np.random.default_rng(0).integers(
    ...         0, 256, (60, 40, 3), dtype=np.uint8
    ...     )
    ...     Image.fromarray(noise).save(os.path.join(folder, name))
    >>> ImageFolder(folder, size=16).shape
    (2, 16, 16, 3)
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        size: int | tuple[int, int] = 32,
        color: bool = True,
        on_error: str = "raise",
    ):
        image_module = _pillow()
        if on_error not in ("raise", "skip"):
            raise ValueError(f"'on_error' must be 'raise' or 'skip'. Got {on_error!r}.")
        self.folder = Path(folder)
        self.size = (size, size) if isinstance(size, int | np.integer) else tuple(size)
        self.color = color
        self.on_error = on_error
        files = _image_files(self.folder, image_module)
        self.paths = files if on_error == "raise" else self._readable(files)
        self.n_skipped = len(files) - len(self.paths)
        if not self.paths:
            raise ValueError(f"The folder {str(self.folder)!r} must hold pictures. Got none.")
        self.labels = np.array([path.parent.name for path in self.paths])
        # Caches compare sources by their attributes, and so notice that a file has changed.
        stats = [path.stat() if path.exists() else path.lstat() for path in self.paths]
        self.stamps = [(stat.st_mtime_ns, stat.st_size) for stat in stats]
        self.shape = (len(self.paths), *self.size, *([3] if color else []))
        self.dtype = np.dtype(np.uint8)

    def read(self, indices: Indices) -> np.ndarray:
        """Return images, decoded in several threads."""
        paths = [self.paths[index] for index in np.arange(len(self))[indices]]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            images = list(pool.map(self._decode, paths))
        return np.stack(images) if images else np.empty((0, *self.shape[1:]), self.dtype)

    def _readable(self, paths: list[Path]) -> list[Path]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            are_readable = list(pool.map(self._is_readable, paths))
        return [path for path, is_readable in zip(paths, are_readable, strict=True) if is_readable]

    def _is_readable(self, path: Path) -> bool:
        try:
            self._decode(path)
        except ValueError:
            return False
        return True

    def _decode(self, path: Path) -> np.ndarray:
        from PIL import Image, ImageOps

        height, width = self.size
        try:
            with Image.open(path) as file:
                _check_lossless(file, path)
                image = ImageOps.exif_transpose(file).convert("RGB" if self.color else "L")
                return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC))
        except MemoryError:
            raise
        except Exception as error:  # whose class depends on the format
            raise ValueError(f"X must hold pictures. Got {str(path)!r}: {error}") from None


def _image_files(folder: Path, image_module: Any) -> list[Path]:
    """List the files that Pillow can read, by their extensions, in natural order."""
    image_module.init()
    extensions = image_module.registered_extensions().items()
    readable = {suffix for suffix, kind in extensions if kind in image_module.OPEN} - {
        suffix for suffix, kind in extensions if kind in STUBS
    }
    files = [
        path
        for path in _files_below(folder)
        if path.suffix.lower() in readable or not (path.suffix or path.exists())
    ]
    return sorted(files, key=lambda path: _natural_key(path.relative_to(folder)))


def _files_below(folder: Path, parents: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield files and broken links, not hidden ones; follow links, except to a folder above."""
    real = os.path.realpath(folder)
    if real in parents or not folder.is_dir():
        return
    for name in os.listdir(folder):
        path = folder / name
        if name.startswith("."):
            continue
        if os.path.isdir(path):
            yield from _files_below(path, (*parents, real))
        elif os.path.isfile(path) or (path.is_symlink() and not os.path.exists(path)):
            yield path


def _natural_key(path: Path) -> list[list[tuple[int, int | str]]]:
    """Return a key that sorts names as people do: numbers in them by their value."""
    return [
        [(0, int(text)) if text.isdecimal() else (1, text) for text in re.split(r"(\d+)", part)]
        for part in path.parts
    ]


def _check_lossless(image: Any, path: Path) -> None:
    """Raise ValueError if values of an image would be lost: bits, opacity, pages or frames."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        raise ValueError(
            f"it has more than 8 bits a pixel (mode {image.mode}), most of which would be lost. "
            "Read it into an array of its type."
        )
    if _is_reduced(image, path):
        raise ValueError(
            "it has more than 8 bits a channel, often 16, which Pillow would reduce to 8. Read it "
            "into an array of its type by another package."
        )
    if getattr(image, "is_animated", False) and image.format not in FIRST_FRAME_IS_ALL:
        raise ValueError(
            f"it has {image.n_frames} pages or frames, of which only the first would be read. "
            "Write each to a file of its own."
        )
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    if has_alpha and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        raise ValueError("it has transparent parts, whose colour is not known. Flatten it first.")


def _is_reduced(image: Any, path: Path) -> bool:
    """Whether Pillow reduces the channels of an image to 8 bits when it reads it."""
    for decoder, _, _, args in image.tile:
        args = args if isinstance(args, tuple) else (args,)
        if decoder in ("ppm", "ppm_plain"):
            return args[-1] > 255
        if any(REDUCING.search(text) for text in (decoder, *args) if isinstance(text, str)):
            return True
    if image.format == "JPEG2000":  # the marker SIZ holds the bits of each channel, less 1
        header = path.read_bytes().partition(b"\xff\x4f\xff\x51")[2]
        n_channels = int.from_bytes(header[36:38], "big")
        return any(bits & 0x7F > 7 for bits in header[38 : 38 + 3 * n_channels : 3])
    if image.format == "AVIF":  # the box av1C says whether there are 10 or 12 bits
        header = path.read_bytes().partition(b"av1C")[2]
        return len(header) > 2 and bool(header[2] & 0x40)
    return False


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            "Folders of images need the package Pillow, which is missing: pip install pillow."
        ) from None
    return Image
