"""Sounds in files, one length for all: shorter ones end in NaN."""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skdim.sources.files import Files, check_is_bool, find_files, name_some
from skdim.sources.readers import Indices


class SoundFiles(Files):
    """Sounds in files, read when they are needed.

    All sounds become as long as the longest: shorter ones end in NaN, for ``allow_nan=True``. All
    must have one sampling rate. WAV files need no further package, all others need soundfile.

    Parameters
    ----------
    paths : iterable of path
        For instance a list, or a column of a data frame.
    mono : bool, default=True
        Whether to take the mean of the channels. If False, all sounds must have as many channels.
    max_seconds : float or None, default=None
        Longer sounds are cut to this length. None cuts nothing.
    on_error : {"raise", "skip"}, default="raise"
        "raise" raises an error if a file is not a sound that can be read. "skip" reads all files
        at once, and leaves such files out from the start. One `DataWarning` counts them and names
        the first.
    labels : array-like of shape (n_paths,), default=None
        A label for each path, or anything else to be kept for it.

    Attributes
    ----------
    paths : list of Path
        The files that are read, in the order of ``paths``.
    labels : ndarray of shape (n,), or None
        The label of each of them.
    rate : int
        Sampling rate in Hz.
    lengths : ndarray of shape (n,), int
        Number of points of each sound, after it was cut.
    n_skipped : int
        Number of files that were left out because they cannot be read.
    shape : (n, longest) with ``mono``, or (n, n_channels, longest)
        For ``channel_axis=None`` and ``channel_axis=1``.
    dtype : float32
        Whole numbers are scaled to between -1 and 1, whatever their number of bits.

    Raises
    ------
    ImportError
        If a file is not a WAV file and the package soundfile is missing.
    ValueError
        If there are no files, one of them cannot be read, or they differ in their sampling rate or
        number of channels; the message names files.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from scipy.io import wavfile
    >>> from skdim.sources import SoundFiles
    >>> folder = tempfile.mkdtemp()
    >>> paths = [os.path.join(folder, name) for name in ("one.wav", "two.wav")]
    >>> for path, n_points in zip(paths, (400, 300)):
    ...     wavfile.write(path, 8000, np.zeros(n_points, np.int16))
    >>> sounds = SoundFiles(paths)
    >>> sounds.shape, sounds.rate, sounds.lengths.tolist()
    ((2, 400), 8000, [400, 300])
    """

    are_signals = True

    def __init__(
        self,
        paths: Iterable[str | os.PathLike],
        mono: bool = True,
        max_seconds: float | None = None,
        on_error: str = "raise",
        labels: Any = None,
    ):
        check_is_bool(mono, "mono")
        is_number = isinstance(max_seconds, Real) and 0 < float(max_seconds) < math.inf
        if max_seconds is not None and not is_number:
            raise ValueError(f"'max_seconds' must be positive, or None. Got {max_seconds!r}.")
        self.mono = mono
        self.max_seconds = max_seconds
        self.on_error = on_error
        # One after the other: the filters of warnings belong to all threads.
        self._keep(paths, labels, on_error, read_points, 1)
        if not self.paths:
            raise ValueError("X must hold sounds. Got none that can be read.")
        headers = [read_header(path) for path in self.paths]
        self.rate = _same([header.rate for header in headers], self.paths, "sampling rate in Hz")
        lengths = np.array([header.n_points for header in headers])
        n_most = None if max_seconds is None else max(1, int(max_seconds * self.rate))
        self.lengths = np.minimum(lengths, n_most or lengths)
        axes = [self.lengths.max()]
        if not mono:
            numbers = [header.n_channels for header in headers]
            axes.insert(0, _same(numbers, self.paths, "number of channels"))
        self.shape = (len(self.paths), *map(int, axes))
        self.dtype = np.dtype(np.float32)

    def read(self, indices: Indices) -> np.ndarray:
        """Return sounds, which are read one by one."""
        indices = np.arange(len(self))[indices]
        samples = np.full((len(indices), *self.shape[1:]), np.nan, self.dtype)
        for sample, index in zip(samples, indices.tolist(), strict=True):
            path, n_points = self.paths[index], int(self.lengths[index])
            points = read_points(path)[:n_points]  # (n_points, n_channels)
            if len(points) < n_points:
                raise ValueError(
                    f"X must hold sounds. Got {str(path)!r}: it became shorter than it was."
                )
            sample[..., :n_points] = points.mean(1) if self.mono else points.T
        return samples


class SoundFolder(SoundFiles):
    """Sounds in a folder and its sub-folders, read when they are needed.

    All sounds become as long as the longest: shorter ones end in NaN, for ``allow_nan=True``. All
    must have one sampling rate. WAV files need no further package, all others need soundfile.

    Parameters
    ----------
    folder : path
    mono, max_seconds, on_error
        As in `SoundFiles`.

    Attributes
    ----------
    paths : list of Path
        All files, except hidden ones, with the extension of a format of sounds, also in linked
        folders. They are in natural order: 2 before 10.
    labels : ndarray of str
        Name of the folder of each sound. `read_labels` reads labels from a file.
    rate, lengths, n_skipped, shape, dtype
        As in `SoundFiles`.

    Raises
    ------
    ImportError, ValueError
        As in `SoundFiles`.
    """

    labels: np.ndarray

    def __init__(
        self,
        folder: str | os.PathLike,
        mono: bool = True,
        max_seconds: float | None = None,
        on_error: str = "raise",
    ):
        self.folder = Path(folder)
        files = find_files(self.folder, lambda path: path.suffix.lower() in FORMATS)
        if not files:
            raise ValueError(f"The folder {str(self.folder)!r} must hold sounds. Got none.")
        super().__init__(files, mono, max_seconds, on_error, [file.parent.name for file in files])


def _same(values: Sequence[int], paths: Sequence[Path], name: str) -> int:
    """Return the value that all files have in common; name those that have another."""
    different = sorted(set(values))
    if len(different) > 1:
        texts = []
        for value in different:
            files = [path for path, own in zip(paths, values, strict=True) if own == value]
            texts.append(f"{value} in {name_some(files)}")
        raise ValueError(f"All sounds must have one {name}. Got {'; '.join(texts)}.")
    return different[0]


# ---- Formats --------------------------------------------------------------------------------


class Header(NamedTuple):
    """What a file says of its sound."""

    rate: int
    n_points: int
    n_channels: int


def read_header(path: Path) -> Header:
    """Read what a file says of its sound, without its points if its format allows it."""
    with named(path):
        header = _format(path)[0](path)
        if not header.n_points:
            raise ValueError("it holds no points.")
        return header


def read_points(path: Path) -> np.ndarray:
    """Read the points (n_points, n_channels) of a sound as float32, all that its header tells."""
    n_points = read_header(path).n_points
    with named(path):
        points = _format(path)[1](path)
        if len(points) != n_points:
            raise ValueError(f"it has {len(points)} points in place of {n_points}.")
        return points


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name the file in errors about its content."""
    try:
        yield
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # whose class depends on the format
        raise ValueError(f"X must hold sounds. Got {str(path)!r}: {error}") from None


def _format(path: Path) -> "Format":
    return FORMATS.get(path.suffix.lower(), OTHER)


def _read_wav(path: Path) -> tuple[int, np.ndarray]:
    """Return the rate and the points (n_points, n_channels), on disk if their type allows it."""
    from scipy.io import wavfile

    with warnings.catch_warnings():
        # A file may hold text in addition to its sound, but must not end early.
        warnings.simplefilter("ignore", wavfile.WavFileWarning)
        warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)
        try:
            rate, points = wavfile.read(path, mmap=True)
        except ValueError:  # there is no type of 24 bits, and no map of an empty file
            rate, points = wavfile.read(path)
    return rate, points[:, None] if points.ndim == 1 else points


def _wav_header(path: Path) -> Header:
    rate, points = _read_wav(path)
    return Header(rate, *points.shape)


def _wav_points(path: Path) -> np.ndarray:
    _, points = _read_wav(path)
    if points.dtype == np.uint8:  # whose silence is 128
        return (points.astype(np.float32) - 128) / 128
    if points.dtype.kind == "i":
        return (points / 2.0 ** (8 * points.dtype.itemsize - 1)).astype(np.float32)
    return points.astype(np.float32)


def _other_header(path: Path) -> Header:
    info = _soundfile().info(path)
    return Header(info.samplerate, info.frames, info.channels)


def _other_points(path: Path) -> np.ndarray:
    points, _ = _soundfile().read(path, dtype="float32", always_2d=True)
    return points


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError:
        raise ImportError(
            "Files of sounds other than WAV need the package soundfile, which is missing: pip "
            "install soundfile."
        ) from None
    return soundfile


Format = tuple[Callable[[Path], Header], Callable[[Path], np.ndarray]]
WAV: Format = (_wav_header, _wav_points)
OTHER: Format = (_other_header, _other_points)

# By extension, the functions that read the header and the points.
FORMATS: dict[str, Format] = {
    ".wav": WAV,
    **dict.fromkeys((".aif", ".aiff", ".au", ".caf", ".flac", ".w64"), OTHER),
    **dict.fromkeys((".mp3", ".oga", ".ogg", ".opus"), OTHER),
}
