"""How alike neighbours are distinguishes signals from tables and images."""

import numpy as np
import pytest
from helpers.sources import ArraySource
from scipy.ndimage import gaussian_filter
from scipy.signal import lfilter
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
    make_low_rank_matrix,
)
from sklearn.decomposition import PCA
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, SplineTransformer

from skdim import DIMTransformer
from skdim.exceptions import DataWarning
from skdim.sources.smoothness import find_channels, is_smooth
from skdim.transformer import _as_samples

RNG = np.random.default_rng(0)
N = 200
DIABETES, CANCER = load_diabetes().data, load_breast_cancer().data
POINTS = np.arange(128)


def one_factor():
    """Columns that are all alike, in no order."""
    return RNG.normal(size=(N, 1)) + 0.3 * RNG.normal(size=(N, 60))


def panel():
    """Eight quantities in each of four years."""
    quantities = np.repeat(RNG.normal(size=(N, 1, 8)), 4, axis=1)
    return (quantities + 0.4 * RNG.normal(size=(N, 4, 8))).reshape(N, -1)


def houses():
    """Columns of units and distributions like those of houses in California."""
    columns = [RNG.lognormal(mean, 0.5, N) for mean in (1, 3, 1.6, 0, 7, 1)]
    places = [RNG.uniform(32, 42, N), RNG.uniform(-124, -114, N)]
    return np.column_stack([*columns, *places, RNG.normal(size=(N, 12))])


TABLES = {
    "cancer": lambda: CANCER,
    "wine": lambda: load_wine().data,
    "iris": lambda: load_iris().data,
    "digits": lambda: load_digits().data,
    "houses": houses,
    "noise": lambda: RNG.normal(size=(N, 40)),
    "few rows": lambda: RNG.normal(size=(12, 40)),
    "one factor": one_factor,
    "panel": panel,
    "low rank": lambda: make_low_rank_matrix(N, 100, effective_rank=5, random_state=0),
    "time stamps": lambda: np.c_[1.7e9 + np.arange(N), RNG.normal(size=(N, 20))],
    "counts": lambda: RNG.poisson(RNG.gamma(1, 1, (N, 1)) * RNG.gamma(1, 1, (1, 80))),
    "missing": lambda: np.where(RNG.random((N, 30)) < 0.5, np.nan, RNG.normal(size=(N, 30))),
    "constant": lambda: np.ones((N, 30)) * np.pi,
    "twice": lambda: np.repeat(RNG.normal(size=(N, 12)), 2, axis=1),
    "one-hot": lambda: OneHotEncoder(sparse_output=False).fit_transform(RNG.integers(0, 8, (N, 6))),
    "principal components": lambda: PCA().fit_transform(CANCER),
    "splines": lambda: SplineTransformer().fit_transform(DIABETES),
    **{
        f"{n} made columns": lambda n=n: make_classification(N, n, n_informative=n // 3)[0]
        for n in (20, 40, 100)
    },
    **{
        f"products of {k}": lambda k=k: PolynomialFeatures(k).fit_transform(DIABETES[:N])
        for k in (2, 3)
    },
}


def autoregressive(coefficient, shape=(N, 100)):
    return lfilter([1], [1, -coefficient], RNG.normal(size=shape), axis=-1)


def bells():
    """Cylinders in noise, after the set CBF."""
    start = RNG.integers(16, 33, (N, 1))
    is_inside = (start <= POINTS) & (start + RNG.integers(32, 97, (N, 1)) > POINTS)
    return (6 + RNG.normal(size=(N, 1))) * is_inside + RNG.normal(size=(N, 128))


def beats():
    """Heart beats, most of whose points hardly vary."""
    waves = ((0.2, 30, 6), (1, 60, 3), (-0.3, 66, 3), (0.4, 95, 10))
    shift = RNG.normal(size=(N, 1)) * 3
    parts = [a * np.exp(-(((POINTS - c - shift) / w) ** 2)) for a, c, w in waves]
    return sum(parts) + 0.05 * RNG.normal(size=(N, 128))


def sines(period):
    phases = POINTS * RNG.uniform(0.8, 1.2, (N, 1)) / period + RNG.random((N, 1))
    return np.sin(2 * np.pi * phases)


def padded():
    walks = RNG.normal(size=(N, 60)).cumsum(1)
    return np.where(np.arange(60) < RNG.integers(30, 60, (N, 1)), walks, np.nan)


SIGNALS = {
    "walks": lambda: RNG.normal(size=(N, 50)).cumsum(1),
    "few walks": lambda: RNG.normal(size=(12, 50)).cumsum(1),
    "short walks": lambda: RNG.normal(size=(N, 24)).cumsum(1),
    "padded walks": padded,
    "bells": bells,
    "beats": beats,
    **{f"autoregression {a}": lambda a=a: autoregressive(a) for a in (0.8, 0.9, 0.99)},
    **{f"sines of {period}": lambda period=period: sines(period) for period in (3, 5, 10, 40)},
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("shuffles", [False, True], ids=["", "shuffled"])
def test_the_columns_of_a_table_have_no_order(name, shuffles):
    X = TABLES[name]()
    assert not is_smooth(X[:, RNG.permutation(X.shape[1])] if shuffles else X)


@pytest.mark.parametrize("name", SIGNALS)
def test_the_points_of_signals_have_an_order(name):
    X = SIGNALS[name]()
    assert is_smooth(X)
    assert is_smooth(X * 1e6 + 1e9)
    assert is_smooth(X[:, ::-1])
    assert not is_smooth(X[:, RNG.permutation(X.shape[1])])


def squeezed(step):
    return gaussian_filter(RNG.normal(size=(N, 32, 32)), (0, 2, 2))[:, ::step]


IMAGES = {
    "digits": lambda: load_digits().images,
    "smooth": lambda: gaussian_filter(RNG.normal(size=(N, 24, 20)), (0, 2, 2)),
    "wide": lambda: squeezed(2),
    "very wide": lambda: squeezed(4),
    "noise": lambda: RNG.normal(size=(N, 32, 32)),
    "spectrograms": lambda: gaussian_filter(RNG.normal(size=(N, 40, 60)), (0, 1, 3)),
    "few": lambda: RNG.normal(size=(5, 19, 100)).cumsum(-1),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_have_no_channels(name):
    images = IMAGES[name]()
    assert find_channels(images) is None
    assert find_channels(images.swapaxes(1, 2)) is None


def mixed(n_channels):
    """Walks, of which each channel measures several: the electrodes of an EEG."""
    weights = RNG.normal(size=(n_channels, n_channels))
    return np.einsum("ij,njt->nit", weights, RNG.normal(size=(60, n_channels, 100)).cumsum(-1))


ELECTRODES = {
    **{
        f"{a} x {b}": lambda a=a, b=b: RNG.normal(size=(60, a, b)).cumsum(-1)
        for a, b in ((19, 100), (24, 30), (17, 100), (64, 256))
    },
    "mixed": lambda: mixed(19),
    "less smooth": lambda: autoregressive(0.6, (60, 24, 60)),
    "few samples": lambda: RNG.normal(size=(15, 19, 100)).cumsum(-1),
}


@pytest.mark.parametrize("name", ELECTRODES)
def test_the_axis_of_channels_is_the_one_without_an_order(name):
    X = ELECTRODES[name]()
    assert find_channels(X) == 1
    assert find_channels(X.swapaxes(1, 2)) == 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("exponent", [-1000, 500, 1023])
def test_units_do_not_matter_up_to_the_limits_of_floats(exponent):
    rows, images = SIGNALS["walks"](), ELECTRODES["mixed"]()
    for samples, question in ((rows, is_smooth), (images, find_channels)):
        scaled = np.ldexp(samples / np.abs(samples).max(), exponent)
        assert question(scaled) == question(samples)


@pytest.mark.parametrize(
    ("X", "channel_axis", "setting"),
    [
        (SIGNALS["walks"](), None, "channel_axis=None"),
        (SIGNALS["walks"](), 1, "channel_axis=1"),
        (ELECTRODES["19 x 100"](), 1, "channel_axis=1"),
        (ELECTRODES["19 x 100"](), None, "channel_axis=None"),
    ],
)
def test_the_warning_names_settings_that_silence_it(X, channel_axis, setting, recwarn):
    with pytest.warns(DataWarning, match=setting):
        _as_samples(DIMTransformer(), X, reset=True)
    recwarn.clear()
    _as_samples(DIMTransformer(channel_axis=channel_axis), X, reset=True)
    assert not recwarn.list


def test_columns_that_are_grouped_are_a_table(recwarn):
    _as_samples(DIMTransformer(column_groups=[[0, 1]]), SIGNALS["walks"](), reset=True)
    assert not recwarn.list


def test_a_source_is_warned_of_by_a_part_of_it():
    class Counted(ArraySource):
        n_read = 0

        def read(self, indices):
            samples = super().read(indices)
            self.n_read += len(samples)
            return samples

    X = Counted(RNG.normal(size=(3000, 50)).cumsum(1))
    with pytest.warns(DataWarning, match="as alike as in signals"):
        _as_samples(DIMTransformer(), X, reset=True)
    assert X.n_read <= 300
