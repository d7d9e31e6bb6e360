"""Images in files, read without loss or refused."""

import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from skdim.sources.files import Files, check_is_bool, find_files
from skdim.sources.readers import Indices

# Formats that Pillow recognises but cannot read by itself.
STUBS = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF", "EMF"}
# Formats whose first frame is the photograph or all layers together.
FIRST_FRAME_IS_ALL = {"MPO", "PSD"}
# Parts of the names of Pillow's decoders that reduce channels to 8 bits.
REDUCING = re.compile(r";16[BLN]|SGI16|BC6")


class ImageFiles(Files):
    """Images in files, read when they are needed.

    All images are scaled to the same size and cropped along the longer side. Needs Pillow.

    Parameters
    ----------
    paths : iterable of path
        For instance a list, or a column of a data frame.
    size : int or (int, int), default=32
        Height and width.
    color : bool, default=True
        Whether to read three channels, or grey images.
    on_error : {"raise", "skip"}, default="raise"
        "raise" raises an error if a file that is read is not an image that can be read without
        loss. "skip" decodes all files at once, and leaves such files out from the start. One
        `DataWarning` counts them and names the first.
    labels : array-like of shape (n_paths,), default=None
        A label for each path, or anything else to be kept for it.

    Attributes
    ----------
    paths : list of Path
        The files that are read, in the order of ``paths``.
    labels : ndarray of shape (n,), or None
        The label of each of them.
    n_skipped : int
        Number of files that were left out because they cannot be read.
    shape : (n, height, width, 3) or (n, height, width)
    dtype : uint8

    Raises
    ------
    ValueError
        If there are no files, or one of them does not exist. ``read`` also raises it if an image
        has more than 8 bits a channel, transparent parts, or several pages or frames, which would
        be lost.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from PIL import Image
    >>> from skdim.sources import ImageFiles
    >>> folder = tempfile.mkdtemp()
    >>> paths = [os.path.join(folder, name) for name in ("one.png", "two.png")]
    >>> for path in paths:
    ...     Image.fromarray(np.zeros((60, 40, 3), dtype=np.uint8)).save(path)
    >>> images = ImageFiles(paths, size=16, labels=["cat", "dog"])
    >>> images.shape, images.labels.tolist()
    ((2, 16, 16, 3), ['cat', 'dog'])
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike],
        size: int | tuple[int, int] = 32,
        color: bool = True,
        on_error: str = "raise",
        labels: Any = None,
    ):
        _pillow()
        check_is_bool(color, "color")
        self.size = _as_size(size)
        self.color = color
        self.on_error = on_error
        self._keep(paths, labels, on_error, self._decode, None)
        if not self.paths:
            raise ValueError("X must hold pictures. Got none that can be read.")
        self.shape = (len(self.paths), *self.size, *([3] if color else []))
        self.dtype = np.dtype(np.uint8)

    def read(self, indices: Indices) -> np.ndarray:
        """Return images, decoded in several threads."""
        paths = [self.paths[index] for index in np.arange(len(self))[indices]]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            images = list(pool.map(self._decode, paths))
        return np.stack(images) if images else np.empty((0, *self.shape[1:]), self.dtype)

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


class ImageFolder(ImageFiles):
    """Images in a folder and its sub-folders, read when they are needed.

    All images are scaled to the same size and cropped along the longer side. Needs Pillow.

    Parameters
    ----------
    folder : path
    size, color, on_error
        As in `ImageFiles`.

    Attributes
    ----------
    paths : list of Path
        All files, except hidden ones, with the extension of a format that Pillow reads, also in
        linked folders. They are in natural order: 2 before 10.
    labels : ndarray of str
        Name of the folder of each image. `read_labels` reads labels from a file.
    n_skipped : int
        Number of files that were left out because they cannot be read.
    shape : (n, height, width, 3) or (n, height, width)
    dtype : uint8

    Raises
    ------
    ValueError
        If there are no images in the folder, or as in `ImageFiles`.

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

    labels: np.ndarray

    def __init__(
        self,
        folder: str | os.PathLike,
        size: int | tuple[int, int] = 32,
        color: bool = True,
        on_error: str = "raise",
    ):
        self.folder = Path(folder)
        files = find_files(self.folder, _is_image(_pillow()))
        if not files:
            raise ValueError(f"The folder {str(self.folder)!r} must hold pictures. Got none.")
        super().__init__(files, size, color, on_error, [file.parent.name for file in files])


def _is_image(image_module: Any) -> Callable[[Path], bool]:
    """Return a function that tells by the extension of a file whether Pillow can read it."""
    image_module.init()
    extensions = image_module.registered_extensions().items()
    readable = {suffix for suffix, kind in extensions if kind in image_module.OPEN} - {
        suffix for suffix, kind in extensions if kind in STUBS
    }
    # A broken link without an extension may have been a folder.
    return lambda path: path.suffix.lower() in readable or not (path.suffix or path.exists())


def _as_size(size: Any) -> tuple[int, int]:
    """Return height and width; raise ValueError unless they are whole numbers of at least 1."""
    sides = tuple(size) if isinstance(size, list | tuple | np.ndarray) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, Integral) and int(side) > 0 for side in sides):
        raise ValueError(
            f"'size' must be a whole number of at least 1, or two: height and width. Got {size!r}."
        )
    return int(sides[0]), int(sides[1])


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
            "Files of images need the package Pillow, which is missing: pip install pillow."
        ) from None
    return Image
