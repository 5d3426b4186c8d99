"""Eight sorts of background that go on for as long as wanted: what made-up long recordings consist of.

Waves are mono float64 at 16 kHz with loudness (root mean square) 1. Each call draws new settings from the
sort's ranges, so that two stretches of one sort are alike but not the same.
"""

from collections.abc import Callable

import numpy as np
from scipy.signal import lfilter

from nearfield.core.nouns import Floats
from nearfield.data.instruments import RATE, Chance, loudness

Texture = Callable[[Chance, int], Floats]


def _hiss(chance: Chance, samples: int, low: float, high: float) -> Floats:
    """Noise between two frequencies in Hz, the edges half an octave soft."""
    spectrum = np.fft.rfft(chance.standard_normal(samples))
    octave = np.log2(np.fft.rfftfreq(samples, 1 / RATE) + 1.0)
    below, above = octave - np.log2(low), np.log2(high) - octave
    return np.fft.irfft(spectrum / (1 + np.exp(-8 * below)) / (1 + np.exp(-8 * above)), samples)


def _drift(chance: Chance, samples: int, speed: float) -> Floats:
    """A smooth random curve in 0..1 that turns about `speed` times a second."""
    knots = chance.uniform(0.0, 1.0, max(2, int(samples / RATE * speed) + 2))
    return np.interp(np.linspace(0, len(knots) - 1, samples), np.arange(len(knots)), knots)


def _ticks(chance: Chance, samples: int, rate: float) -> Floats:
    """Clicks at random moments, `rate` a second on average, of random strength."""
    hits = chance.random(samples) < rate / RATE
    return np.asarray(hits * chance.exponential(1.0, samples) * chance.choice([-1.0, 1.0], samples))


def _ring(wave: Floats, frequency: float, radius: float) -> Floats:
    resonance = [1.0, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2]
    return np.asarray(lfilter([1.0], resonance, wave))


def _scatter(chance: Chance, samples: int, rate: float, grain: Callable[[], Floats]) -> Floats:
    """Grains laid down at random moments, `rate` a second."""
    wave = np.zeros(samples)
    for start in chance.integers(0, samples, int(samples / RATE * rate)):
        piece = grain()[: samples - start]
        wave[start : start + len(piece)] += piece
    return wave


def rain(chance: Chance, samples: int) -> Floats:
    """A broad hiss with drops in it."""
    drops = _ring(_ticks(chance, samples, chance.uniform(20, 80)), chance.uniform(800, 3000), 0.93)
    hiss = _hiss(chance, samples, chance.uniform(300, 900), chance.uniform(4000, 7000))
    return hiss / loudness(hiss) + chance.uniform(0.3, 0.8) * drops / loudness(drops)


def wind(chance: Chance, samples: int) -> Floats:
    """Low noise in gusts."""
    gusts = 0.15 + _drift(chance, samples, chance.uniform(0.4, 1.2)) ** 2
    return _hiss(chance, samples, 60, chance.uniform(300, 900)) * gusts


def surf(chance: Chance, samples: int) -> Floats:
    """Broad noise that comes and goes every three to six seconds."""
    time = np.arange(samples) / RATE
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * (time / chance.uniform(3.0, 6.0) + chance.random()))
    return _hiss(chance, samples, 150, chance.uniform(2500, 6000)) * (0.1 + wave**2)


def crickets(chance: Chance, samples: int) -> Floats:
    """High tones, gated fast, in short calls."""
    time = np.arange(samples) / RATE
    wave = 0.15 * chance.standard_normal(samples)
    for _ in range(int(chance.integers(1, 4))):
        tone = np.sin(2 * np.pi * chance.uniform(2000, 5000) * time)
        gate = np.maximum(0, np.sin(2 * np.pi * chance.uniform(18, 40) * time))
        calls = (time * chance.uniform(1.5, 4.0) + chance.random()) % 1 < chance.uniform(0.3, 0.7)
        wave += tone * gate * calls
    return wave


def engine(chance: Chance, samples: int) -> Floats:
    """A low pulse rich in harmonics whose speed wanders a little, over noise."""
    speed = chance.uniform(35, 110) * (0.92 + 0.16 * _drift(chance, samples, 0.5))
    phase = 2 * np.pi * np.cumsum(speed) / RATE
    pulse = np.exp(chance.uniform(2.0, 6.0) * (np.cos(phase) - 1)) - 0.3
    noise = _hiss(chance, samples, 100, chance.uniform(1000, 4000))
    return pulse / loudness(pulse) + chance.uniform(0.3, 0.9) * noise / loudness(noise)


def bubbles(chance: Chance, samples: int) -> Floats:
    """Short rising blips at random moments."""

    def blip() -> Floats:
        time = np.arange(int(RATE * chance.uniform(0.03, 0.1))) / RATE
        pitch = chance.uniform(350, 1600) * (1 + chance.uniform(2, 8) * time)
        return np.sin(2 * np.pi * np.cumsum(pitch) / RATE) * np.exp(-time * 30) * chance.uniform(0.3, 1.0)

    return _scatter(chance, samples, chance.uniform(6, 18), blip) + 0.02 * chance.standard_normal(samples)


def crackle(chance: Chance, samples: int) -> Floats:
    """Sharp clicks at random moments over a murmur: a fire."""
    clicks = _ring(_ticks(chance, samples, chance.uniform(6, 25)), chance.uniform(1500, 5000), 0.8)
    murmur = _hiss(chance, samples, 60, 400)
    return clicks / loudness(clicks) + chance.uniform(0.2, 0.5) * murmur / loudness(murmur)


def chatter(chance: Chance, samples: int) -> Floats:
    """Buzzing syllables with wandering resonances: talk one cannot make out."""
    voice = np.zeros(samples)
    for _ in range(int(chance.integers(2, 4))):
        pitch = chance.uniform(90, 260) * (0.85 + 0.3 * _drift(chance, samples, 2.0))
        phase = np.cumsum(pitch) / RATE
        buzz = np.diff(np.floor(phase), prepend=0.0)
        syllables = _drift(chance, samples, chance.uniform(6.0, 12.0)) ** 3
        vowels = _ring(buzz, chance.uniform(350, 800), 0.97) + _ring(buzz, chance.uniform(900, 2400), 0.97)
        voice += vowels * syllables
    return voice / loudness(voice) + 0.1 * chance.standard_normal(samples)


TEXTURES: dict[str, Texture] = {
    maker.__name__: maker for maker in (rain, wind, surf, crickets, engine, bubbles, crackle, chatter)
}


def sound(chance: Chance, name: str, samples: int) -> Floats:
    """`samples` of one sort of background as heard from some place: tilted, resonant, loudness 1."""
    wave = TEXTURES[name](chance, samples)
    octave = np.log2(np.fft.rfftfreq(samples, 1 / RATE) / 1000 + 0.05)
    decibels = chance.uniform(-4.0, 4.0) * octave
    for _ in range(2):
        centre = chance.uniform(-3.0, 3.0)
        decibels += chance.uniform(-10.0, 10.0) * np.exp(-2 * (octave - centre) ** 2)
    heard = np.fft.irfft(np.fft.rfft(wave) * 10 ** (decibels / 20), samples)
    return heard / loudness(heard)
