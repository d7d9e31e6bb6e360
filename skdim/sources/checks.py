"""Check X as scikit-learn does, and convert it to samples."""

from os import PathLike
from pathlib import Path
from typing import Any

from sklearn.utils import check_array

from skdim.exceptions import DataWarning, warn
from skdim.sources.arrays import DTYPES, as_numpy, explain_bad_numbers, widen_exactly
from skdim.sources.layout import Layout, find_layout
from skdim.sources.readers import as_source
from skdim.sources.stored import Samples, StoredSamples

# Calls that read a folder, and a file by its suffix.
IMAGES = "skdim.sources.ImageFolder({path}) if it holds images"
CALLS = {
    ".npy": "numpy.load({path}, mmap_mode='r')",
    ".npz": "numpy.load({path})['name of the array']",
    ".csv": "pandas.read_csv({path})",
    ".tsv": "pandas.read_csv({path}, sep='\\t')",
    ".parquet": "pandas.read_parquet({path})",
    ".h5": "h5py.File({path})['name of the array']",
    ".hdf5": "h5py.File({path})['name of the array']",
    ".zarr": "zarr.open({path}, mode='r')",
    ".pt": "torch.load({path})",
}


def as_samples(
    X: Any,
    sample_shape: tuple[int, ...] | None,
    channel_axis: int | str | None,
    allow_nan: bool,
    *,
    n_min: int = 1,
) -> tuple[Samples, Layout]:
    """Check X and convert it to samples, channels first, and their layout.

    An X in memory is checked now, a source only when it is read.

    Parameters
    ----------
    X : array-like, or anything that `skdim.sources.as_source` recognises
    sample_shape, channel_axis, allow_nan
        As in `skdim.DIMTransformer`.
    n_min : int, default=1
        Smallest number of samples.

    Raises
    ------
    ValueError, TypeError
        If X is invalid; the message says why.
    """
    _check_is_not_a_path(X)
    source = as_source(X)
    if source is not None:
        if source.ndim < 2 or len(source) < n_min:
            raise ValueError(
                f"X must hold at least {n_min} samples, each with at least one axis. Got X of "
                f"shape {source.shape}."
            )
        layout = find_layout(source.shape, sample_shape, channel_axis, allow_nan)
        return StoredSamples(source, layout), layout
    with explain_bad_numbers():
        array = check_array(
            widen_exactly(as_numpy(X)),
            dtype=list(DTYPES),
            allow_nd=True,
            ensure_all_finite="allow-nan" if allow_nan else True,
            ensure_min_samples=n_min,
            input_name="X",
            estimator="DIMTransformer",
        )
    layout = find_layout(array.shape, sample_shape, channel_axis, allow_nan)
    return layout.as_samples(array), layout


def _check_is_not_a_path(X: Any) -> None:
    """Raise TypeError if X is the path of a file, and say how to read it."""
    if not isinstance(X, str | PathLike):
        return
    path = Path(X)
    call = IMAGES if path.is_dir() else CALLS.get(path.suffix.lower())
    advice = ". Read it into an array first."
    if call is not None:
        advice = f": pass {call.format(path=repr(str(X)))}."
    raise TypeError(f"X must hold samples. Got the path {str(X)!r}{advice}")


def warn_of_signals(layout: Layout, n_samples: int) -> None:
    """Warn if an X without channels, as ``channel_axis="auto"`` reads it, likely holds signals."""
    if layout.channel_axis is not None:
        return
    sides = layout.unflat_shape
    axis = layout.modality.channels_of_signals(sides)
    if axis is not None:
        warn(
            f"X of shape {(n_samples, *sides)} is read as grey images of {sides[0]} x {sides[1]}. "
            f"If it holds signals of {sides[axis - 1]} channels, set channel_axis={axis}; if it "
            "holds images, set channel_axis=None.",
            DataWarning,
        )
