"""Synthetic words: signals that are long and oscillate, whose classes and nuisances are known.

A word is a sequence of three sounds. Vowels are harmonics of a gliding pitch under three formants,
hisses are noise in a band. Pitch, length of the vocal tract, spectral tilt, phases, durations,
level and background noise are different in every sample, and say nothing about its class.
"""

import numpy as np

LENGTH, RATE = 4096, 8000.0
BINS = np.fft.rfftfreq(LENGTH, 1 / RATE)  # in Hz
N_HARMONICS = 40

# Centre frequencies of three formants in Hz, of an average speaker.
VOWELS = {
    "a": (750, 1200, 2500),
    "e": (500, 1850, 2500),
    "i": (300, 2250, 3000),
    "o": (480, 850, 2400),
    "u": (320, 800, 2250),
    "r": (450, 1250, 1650),
    "n": (260, 1450, 2600),
}
# Centre and width of the band of a hiss, in Hz.
HISSES = {"s": (3300, 500), "f": (2200, 1200), "x": (1500, 400)}
# Sounds are shared by words, and some words differ in their order only.
WORDS = ("sai", "fai", "sau", "rau", "rai", "nia", "ian", "uar", "eoi", "xoi")
BANDWIDTHS = (90.0, 130.0, 200.0)  # of the formants


def make_words(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return X of shape (n, LENGTH), float32, and the words y of shape (n,), 0 to 9."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % len(WORDS))
    return np.stack([_speak(WORDS[word], rng) for word in y]).astype(np.float32), y


def _speak(word: str, rng: np.random.Generator) -> np.ndarray:
    """One word, by a new speaker in front of a new microphone: (LENGTH,)."""
    start, stop = rng.uniform(0, 0.35), rng.uniform(0.6, 1.0)
    time = (np.arange(LENGTH) / LENGTH - start) / (stop - start)  # 0 to 1 within the word
    signal = _utter(word, time, rng)
    # A random gain in each of eight bands of frequency.
    gains = np.interp(BINS, np.linspace(0, RATE / 2, 8), rng.normal(0, 0.5, 8))
    signal = np.fft.irfft(np.fft.rfft(signal) * np.exp(gains), LENGTH)
    background = 10 ** rng.uniform(-1.5, -0.3)
    noisy = signal / signal.std() + background * rng.normal(size=LENGTH)
    return 10 ** rng.uniform(-0.4, 0) * noisy


def _utter(word: str, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One word by a new speaker, without noise, from time 0 to 1: (LENGTH,)."""
    tract, tilt = rng.uniform(0.75, 1.3), rng.uniform(0.4, 1.8)
    durations = rng.uniform(0.4, 2.0, len(word))
    middles = (durations.cumsum() - durations / 2) / durations.sum()
    # How present each sound is, (n_sounds, LENGTH): neighbours overlap.
    closeness = -np.abs(time - middles[:, None]) / 0.06
    presence = np.exp(closeness - closeness.max(0))
    presence *= np.clip(np.minimum(time, 1 - time) / 0.08, 0, 1) / presence.sum(0)
    pitch = rng.uniform(90, 300) * np.exp(rng.normal(0, 0.2) * time)
    phase = 2 * np.pi * pitch.cumsum() / RATE
    harmonics = np.arange(1, N_HARMONICS + 1)[:, None]
    frequencies = harmonics * pitch  # (N_HARMONICS, LENGTH)
    offsets = rng.uniform(0, 2 * np.pi, (N_HARMONICS, 1))
    tones = np.sin(harmonics * phase + offsets) * harmonics**-tilt * (frequencies < RATE / 2)
    noise = np.fft.rfft(rng.normal(size=LENGTH))
    signal = np.zeros(LENGTH)
    for sound, share in zip(word, presence, strict=True):
        if sound in VOWELS:
            signal += share * (tones * _formants(frequencies, VOWELS[sound], tract)).sum(0)
        else:
            center, width = HISSES[sound]
            band = np.exp(-np.square((BINS - center * tract) / width))
            hiss = np.fft.irfft(noise * band, LENGTH)
            signal += rng.uniform(0.2, 0.8) * share * hiss / hiss.std()
    return signal


def _formants(frequencies: np.ndarray, centers: tuple[int, ...], tract: float) -> np.ndarray:
    """Gain of the vocal tract at each frequency."""
    gain = np.full_like(frequencies, 0.01)
    for center, width in zip(centers, BANDWIDTHS, strict=True):
        gain += 1 / (1 + np.square((frequencies - center * tract) / width))
    return gain
