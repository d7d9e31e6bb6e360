"""Which signals are treated as oscillations, and that the choice of ``fit`` is remembered."""

import pickle

import numpy as np
import pytest
from helpers.signals import with_ends

from skdim import DIMTransformer
from skdim.augmentation import augment_oscillations, augment_signals
from skdim.encoders import SignalEncoder, SpectrogramEncoder
from skdim.sources.oscillation import are_oscillations

RNG = np.random.default_rng(0)
T = np.arange(2048)
WAVES = np.sin(T / 3 + RNG.uniform(0, 6, (16, 1, 1))) + 0.1 * RNG.normal(size=(16, 1, 2048))
WALKS = RNG.normal(size=(16, 1, 2048)).cumsum(2)
SMALL = {
    "encoder_params": {"width": 4, "n_hidden": 16},
    "channel_axis": 1,
    "max_epochs": 1,
    "random_state": 0,
}


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (WAVES, True),
        (WAVES * 1e-6 + 100, True),
        (np.concatenate([WAVES, 1e-4 * WAVES, 1e4 * WALKS], 1), True),  # most channels
        (WAVES[:, :, :2000], False),  # too short
        (with_ends(WAVES, [1000] * 16), False),  # too short, without its padding
        (with_ends(np.repeat(WAVES, 2, 2), [2500] * 16), True),
        (WALKS, False),
        (np.sin(T / 30 + RNG.uniform(0, 6, (16, 1, 1))), False),  # slow
        (np.zeros((4, 1, 4096)), False),
        ((100 * RNG.normal(size=(16, 2, 3000))).astype(np.int16), True),
        (RNG.normal(size=(4, 3000)), False),  # a table
        (RNG.normal(size=(4, 1, 8, 3000)), False),  # images
    ],
)
def test_long_signals_oscillate_if_most_energy_is_fast(samples, expected):
    assert are_oscillations(samples) == expected


def test_the_level_of_a_signal_does_not_matter():
    loud = WALKS.copy()
    loud[:3] = 1e6 * WAVES[:3]
    assert not are_oscillations(loud)


def test_fit_chooses_encoder_and_views():
    for X, encoder, augment in (
        (WAVES, SpectrogramEncoder, augment_oscillations),
        (WALKS, SignalEncoder, augment_signals),
    ):
        dim = DIMTransformer(4, **SMALL).fit(X)
        assert type(dim.encoder_) is encoder
        assert dim.model_.config.augment is augment


def test_a_named_encoder_has_its_own_views():
    for X, name, encoder, augment in (
        (WALKS, "spectrogram", SpectrogramEncoder, augment_oscillations),
        (WAVES, "signal", SignalEncoder, augment_signals),
    ):
        dim = DIMTransformer(4, encoder=name, **SMALL).fit(X)
        assert type(dim.encoder_) is encoder
        assert dim.model_.config.augment is augment


@pytest.mark.filterwarnings("ignore:X seems to be in other units")
def test_the_choice_survives_files_pickles_and_further_training(tmp_path):
    dim = DIMTransformer(4, **SMALL).partial_fit(WAVES)
    dim.save(tmp_path / "dim")
    features = dim.transform(WAVES)
    for twin in (DIMTransformer.load(tmp_path / "dim"), pickle.loads(pickle.dumps(dim))):
        np.testing.assert_array_equal(twin.transform(WAVES), features)
        twin.partial_fit(WALKS)  # which alone would choose the other encoder
        assert type(twin.encoder_) is SpectrogramEncoder
        assert twin.model_.config.augment is augment_oscillations


@pytest.mark.filterwarnings("ignore:X seems to be in other units")
def test_signals_that_do_not_oscillate_stay_with_their_encoder():
    dim = DIMTransformer(4, **SMALL).partial_fit(WALKS).partial_fit(WAVES)
    assert type(dim.encoder_) is SignalEncoder
    assert dim.model_.config.augment is augment_signals


def test_features_do_not_depend_on_the_other_samples():
    dim = DIMTransformer(4, output="hidden", allow_nan=True, **SMALL)
    X = with_ends(WAVES, [2048] * 12 + [2000] * 4)
    features = dim.fit(X).transform(X)
    assert type(dim.encoder_) is SpectrogramEncoder
    for n in (1, 3, 7):
        np.testing.assert_array_equal(dim.transform(X[-n:]), features[-n:])
