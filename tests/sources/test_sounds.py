"""Sounds in files: what was written is what is read, and one length and rate for all."""

import sys
import wave

import numpy as np
import pytest
from scipy.io import wavfile

from skdim import DIMTransformer
from skdim.exceptions import DataWarning
from skdim.sources import Joined, SoundFiles, SoundFolder
from skdim.sources.checks import as_samples, warn_of_another_reading

RATE = 8000
RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-0.99, 0.99, (50, 2))

# Types of points, with the value of 1 and of silence.
TYPES = {
    "uint8": (128, 128),
    "int16": (2**15, 0),
    "int32": (2**31, 0),
    "float32": (1, 0),
    "float64": (1, 0),
}


def save(path, points, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, points)
    return path


def save_24_bits(path, points):
    """Write whole numbers (n_points, n_channels) of 24 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(points.shape[1])
        file.setsampwidth(3)
        file.setframerate(RATE)
        file.writeframes(points.astype("<i4")[..., None].view(np.uint8)[..., :3].tobytes())


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n_channels", [1, 2])
def test_points_of_every_type_are_read_in_one_scale(tmp_path, dtype, n_channels):
    one, silence = TYPES[dtype]
    points = (POINTS[:, :n_channels] * one + silence).astype(dtype)
    path = save(tmp_path / "a.wav", points if n_channels > 1 else points[:, 0])
    expected = ((points.astype(float) - silence) / one).astype(np.float32)
    separate = SoundFiles([path], mono=False)
    assert (separate.shape, separate.rate) == ((1, n_channels, 50), RATE)
    np.testing.assert_array_equal(separate[0], expected.T)
    np.testing.assert_array_equal(SoundFiles([path])[0], expected.mean(1))


def test_twenty_four_bits_are_read_exactly(tmp_path):
    points = RNG.integers(-(2**23), 2**23, (50, 2))
    save_24_bits(tmp_path / "a.wav", points)
    np.testing.assert_array_equal(SoundFolder(tmp_path, mono=False)[0], points.T / 2**23)


def test_shorter_sounds_end_in_nan_and_longer_ones_are_cut(tmp_path):
    sounds = [RNG.uniform(-1, 1, n).astype(np.float32) for n in (30, 50, 1, 8)]
    paths = [save(tmp_path / f"{i}.wav", sound) for i, sound in enumerate(sounds)]
    for longest, max_seconds in ((50, None), (50, 1.0), (20, 20 / RATE)):
        X = SoundFiles(paths, max_seconds=max_seconds)
        lengths = [min(len(sound), longest) for sound in sounds]
        assert X.shape == (4, longest)
        assert X.lengths.tolist() == lengths
        for row, sound, length in zip(np.asarray(X), sounds, lengths, strict=True):
            np.testing.assert_array_equal(row[:length], sound[:length])
            assert np.isnan(row[length:]).all()
        order = np.array([3, 0, 3])
        np.testing.assert_array_equal(X.read(order), np.asarray(X)[order])


def test_a_folder_of_unequal_sounds_is_an_x(quick, tmp_path):
    for i in range(12):
        kind = ("low", "high")[i % 2]
        save(tmp_path / kind / f"{i}.wav", RNG.uniform(-1, 1, 100 + i).astype(np.float32))
    (tmp_path / "notes.txt").touch()
    X = SoundFolder(tmp_path)
    assert [path.name for path in X.paths][:3] == ["1.wav", "3.wav", "5.wav"]
    assert X.labels.tolist() == ["high"] * 6 + ["low"] * 6
    params = {"channel_axis": None, "allow_nan": True, "encoder": "signal", "max_epochs": 1}
    dim = DIMTransformer(4, encoder_params={"width": 8}, random_state=0, **params).fit(X)
    np.testing.assert_array_equal(dim.transform(X), dim.transform(np.asarray(X)))


def test_sounds_of_different_rates_are_named(tmp_path):
    paths = [save(tmp_path / f"{i}.wav", POINTS, RATE * (1 + i // 4)) for i in range(6)]
    with pytest.raises(ValueError, match="one sampling rate in Hz") as caught:
        SoundFiles(paths, on_error="skip")
    names = [repr(str(path)) for path in paths]
    assert str(caught.value).endswith(
        f"8000 in {', '.join(names[:3])} and 1 more; 16000 in {', '.join(names[4:])}."
    )


def test_sounds_of_different_channels_need_to_be_mono(tmp_path):
    paths = [save(tmp_path / "1.wav", POINTS[:, 0]), save(tmp_path / "2.wav", POINTS)]
    with pytest.raises(ValueError, match=r"one number of channels\. Got 1 in '.*1.wav'; 2 in '.*2"):
        SoundFiles(paths, mono=False)
    assert SoundFiles(paths).shape == (2, 50)


@pytest.mark.parametrize("n_bits", [16, 24])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_an_error_or_counted(tmp_path, n_bits, part):
    good, bad = tmp_path / "good.wav", tmp_path / "bad.wav"
    points = RNG.integers(-(2**15), 2**15, (400, 2))
    if n_bits == 24:
        save_24_bits(good, points)
    else:
        save(good, points.astype(np.int16))
    bad.write_bytes(good.read_bytes()[: int(part * good.stat().st_size)])
    with pytest.raises(ValueError, match=r"X must hold sounds\. Got '.*bad\.wav'"):
        SoundFolder(tmp_path)
    with pytest.warns(DataWarning, match=r"are left out, 1 of 2: .*bad\.wav"):
        X = SoundFolder(tmp_path, on_error="skip")
    assert (len(X), len(X.labels), X.n_skipped) == (1, 1, 1)


def test_text_in_a_file_is_no_sound(tmp_path):
    path = save(tmp_path / "a.wav", (POINTS * 2**15).astype(np.int16))
    before = np.asarray(SoundFiles([path]))
    data = path.read_bytes() + b"note\4\0\0\0text"
    path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
    np.testing.assert_array_equal(SoundFiles([path]), before)


def test_a_file_that_became_shorter_is_named(tmp_path):
    path = save(tmp_path / "a.wav", POINTS)
    X = SoundFiles([path])
    save(path, POINTS[:20])
    with pytest.raises(ValueError, match=r"a\.wav': it became shorter"):
        X.read(slice(None))


@pytest.mark.parametrize(("axes", "mono", "axis"), [((700,), True, "None"), ((2, 700), False, "1")])
def test_sounds_that_are_read_as_something_else_are_told(tmp_path, axes, mono, axis):
    for i in range(12):
        save(tmp_path / f"{i}.wav", RNG.uniform(-1, 1, axes).astype(np.float32).T)
    X = Joined([SoundFolder(tmp_path, mono=mono)[np.arange(6)], SoundFolder(tmp_path, mono=mono)])
    samples, layout = as_samples(X, None, "auto", False)
    with pytest.warns(DataWarning, match=rf"holds sounds, but is read as .* channel_axis={axis}"):
        warn_of_another_reading(samples, layout)


def test_mono_is_true_or_false():
    with pytest.raises(TypeError, match="'mono' must be True or False"):
        SoundFiles([], mono="no")


@pytest.mark.parametrize("seconds", [0, -1.0, np.inf, np.nan, "5"])
def test_a_length_that_is_none_is_named(seconds):
    with pytest.raises(ValueError, match="'max_seconds' must be positive"):
        SoundFiles([], max_seconds=seconds)


def test_a_file_without_points_is_named(tmp_path):
    save(tmp_path / "a.wav", POINTS[:0])
    with pytest.raises(ValueError, match=r"a\.wav': it holds no points"):
        SoundFolder(tmp_path)


def test_a_folder_without_sounds_is_named(tmp_path):
    with pytest.raises(ValueError, match="must hold sounds"):
        SoundFolder(tmp_path)
    with pytest.raises(ValueError, match="Got none that can be read"):
        SoundFiles([])


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_other_formats_need_a_package_that_is_named(tmp_path, monkeypatch, on_error):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.flac").touch()
    with pytest.raises(ImportError, match=r"need the package soundfile.*pip install soundfile"):
        SoundFolder(tmp_path, on_error=on_error)


@pytest.mark.parametrize("suffix", [".flac", ".aiff", ".w64", ".au", ".caf"])
def test_other_formats_are_read_as_wav_is(tmp_path, suffix):
    soundfile = pytest.importorskip("soundfile")
    points = (POINTS * 2**15).astype(np.int16)
    save(tmp_path / "a.wav", points)
    soundfile.write(tmp_path / f"b{suffix}", points, RATE)
    X = SoundFolder(tmp_path, mono=False)
    np.testing.assert_array_equal(*np.asarray(X))


@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".ogg"])
def test_truncated_files_of_other_formats_are_counted(tmp_path, suffix):
    soundfile = pytest.importorskip("soundfile")
    for name in ("good", "bad"):
        soundfile.write(tmp_path / f"{name}{suffix}", np.tile(POINTS, (200, 1)), RATE)
    bad = tmp_path / f"bad{suffix}"
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    with pytest.warns(DataWarning, match=rf"are left out, 1 of 2: .*bad\{suffix}"):
        X = SoundFolder(tmp_path, on_error="skip")
    assert X.read(slice(None)).shape == (1, 10_000)
