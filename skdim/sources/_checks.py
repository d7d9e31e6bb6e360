"""X held against scikit-learn's contract, and read as samples."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from skdim.exceptions import DataWarning, warn
from skdim.sources._arrays import (
    DTYPES,
    check_ends,
    numbers_wanted,
    read_array,
    read_samples,
    widen_exactly,
)
from skdim.sources._lazy import Samples, StoredSamples
from skdim.sources._readers import Source, as_source

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


def check_samples(transformer: Any, X: Any, *, reset: bool = False) -> Samples:
    """Check X and read it as samples, channels first.

    Parameters
    ----------
    transformer : DIMTransformer
        Its ``sample_shape`` and ``channel_axis`` say how X is read.
    X : array-like, or anything that `skdim.sources.as_source` recognises
    reset : bool, default=False
        Whether X may have any shape, and the transformer is to remember its columns
        (``n_features_in_``, ``feature_names_in_``); else X must be like that of ``fit``.

    Returns
    -------
    samples : ndarray or StoredSamples, of shape (n, channels, *sides)

    Raises
    ------
    ValueError, TypeError
        If X is unfit; the message says in which respect.
    """
    _check_is_no_path(X)
    source = as_source(X)
    if source is None:
        samples: Samples = _check_array(transformer, X, reset)
    else:
        samples = _check_source(transformer, source, reset)
    if reset:
        _warn_of_signals(transformer, samples)
    if not reset and samples.shape[1:] != transformer.sample_shape_:
        raise ValueError(
            f"X must hold samples of shape {transformer.sample_shape_} (channels first), as in "
            f"fit. Got samples of shape {samples.shape[1:]}."
        )
    return samples


def _check_is_no_path(X: Any) -> None:
    """Raise TypeError if X is the path of a file, and say how to read it."""
    if not isinstance(X, str | PathLike):
        return
    path = Path(X)
    folder = "skdim.sources.ImageFolder({path}) if it holds images"
    call = folder if path.is_dir() else CALLS.get(path.suffix.lower())
    advice = (
        f": pass {call.format(path=repr(str(X)))}." if call else ". Read it into an array first."
    )
    raise TypeError(f"X must hold samples. Got the path {str(X)!r}{advice}")


def _warn_of_signals(transformer: Any, samples: Samples) -> None:
    """Warn where a three-dimensional X, which is read as grey images, is likelier signals."""
    if transformer.channel_axis != "auto" or samples.ndim != 4 or samples.shape[1] != 1:
        return
    height, width = samples.shape[2:]
    shorter, longer = sorted((height, width))
    if not shorter:
        return  # scikit-learn says what is wrong with it
    if longer >= 8 * shorter or (shorter <= 16 and longer >= 4 * shorter):
        axis = 1 if height == shorter else 2
        warn(
            f"X of shape {(len(samples), height, width)} is read as grey images of {height} x "
            f"{width}. If it holds signals of {shorter} channels, set channel_axis={axis}; if it "
            "holds images, set channel_axis=None.",
            DataWarning,
        )


def _check_array(transformer: Any, X: Any, reset: bool) -> np.ndarray:
    with numbers_wanted():
        X = validate_data(
            transformer,
            widen_exactly(read_array(X)),
            dtype=list(DTYPES),
            allow_nd=True,
            ensure_all_finite="allow-nan" if transformer.allow_nan else True,
            reset=reset,
            ensure_min_samples=2 if reset else 1,
        )
    samples = read_samples(X, transformer.sample_shape, transformer.channel_axis)
    if transformer.allow_nan:
        check_ends(samples)
    return samples


def _check_source(transformer: Any, source: Source, reset: bool) -> StoredSamples:
    """Check what is known without reading; values are checked when they are read."""
    n_min = 2 if reset else 1
    if source.ndim < 2 or len(source) < n_min:
        raise ValueError(
            f"X must hold at least {n_min} samples, each with at least one axis. Got X of shape "
            f"{source.shape}."
        )
    validate_data(transformer, source, reset=reset, skip_check_array=True)
    return StoredSamples(
        source, transformer.sample_shape, transformer.channel_axis, transformer.allow_nan
    )
