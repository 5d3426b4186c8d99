"""Eight ways to sound a note, and the player whose room and microphone colour it: the stuff of made-up sets.

Waves are mono float64 at 16 kHz. A note's pitch (Hz), timbre and length are drawn anew each time from the
same ranges for every instrument, so that neither loudness nor pitch tells the instrument.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from nearfield.core.nouns import Floats

RATE = 16000
LOWEST, HIGHEST = 160.0, 1280.0
"""Range of a note's pitch in Hz: three octaves."""

Chance = np.random.Generator
Instrument = Callable[[Chance, float, int], Floats]


def _times(samples: int) -> Floats:
    return np.arange(samples) / RATE


def _harmonics(chance: Chance, phase: Floats, pitch: float) -> Floats:
    """A tone with up to six harmonics of random strength; `phase` is that of the first, in radians."""
    count = max(1, min(6, int(0.45 * RATE / (1.3 * pitch))))
    strengths = chance.uniform(0.2, 1.0, count) * np.arange(1, count + 1) ** -chance.uniform(0.3, 2.0)
    return np.asarray(np.sin(np.outer(np.arange(1, count + 1), phase)).T @ strengths)


def _swell(chance: Chance, samples: int) -> Floats:
    """A loudness curve: quick or slow attack, then decay of random speed."""
    time = _times(samples)
    attack = chance.uniform(0.004, 0.08)
    return np.minimum(time / attack, 1.0) * np.exp(-time * chance.uniform(0.5, 6.0))


def vibrato(chance: Chance, pitch: float, samples: int) -> Floats:
    """A steady tone whose pitch trembles 4 to 8 times a second by 1 to 4 per cent."""
    speed, depth = chance.uniform(4.0, 8.0), chance.uniform(0.01, 0.04)
    time = _times(samples)
    phase = 2 * np.pi * pitch * time - depth * pitch / speed * np.cos(2 * np.pi * speed * time)
    return _harmonics(chance, phase, pitch) * _swell(chance, samples)


def plucked(chance: Chance, pitch: float, samples: int) -> Floats:
    """A string by Karplus and Strong (1983): noise that goes round a delay line and is averaged each time."""
    period = max(2, round(RATE / pitch - 0.5))
    excitation = np.zeros(samples)
    excitation[:period] = chance.standard_normal(min(period, samples))
    kept = 0.5 * chance.uniform(0.985, 0.999)
    loop = np.zeros(period + 2)
    loop[0], loop[period:] = 1.0, -kept
    return np.asarray(lfilter([1.0], loop, excitation))


def burst(chance: Chance, pitch: float, samples: int) -> Floats:
    """Noise through one resonance, swelling and dying away: a struck hollow thing."""
    radius = chance.uniform(0.96, 0.992)
    resonance = [1.0, -2 * radius * np.cos(2 * np.pi * pitch / RATE), radius**2]
    return np.asarray(lfilter([1.0], resonance, chance.standard_normal(samples))) * _swell(chance, samples)


def _chirp(chance: Chance, pitch: float, samples: int, octaves: float) -> Floats:
    bend = octaves * (np.arange(samples) / samples - 0.5)
    phase = 2 * np.pi * np.cumsum(pitch * 2.0**bend) / RATE
    return _harmonics(chance, phase, pitch) * _swell(chance, samples)


def rising(chance: Chance, pitch: float, samples: int) -> Floats:
    """A tone that climbs by a third to an octave."""
    return _chirp(chance, pitch, samples, chance.uniform(0.35, 1.0))


def falling(chance: Chance, pitch: float, samples: int) -> Floats:
    """A tone that sinks by a third to an octave."""
    return _chirp(chance, pitch, samples, -chance.uniform(0.35, 1.0))


def tremolo(chance: Chance, pitch: float, samples: int) -> Floats:
    """A steady tone whose loudness beats 6 to 20 times a second."""
    beat = 1 + chance.uniform(0.6, 1.0) * np.sin(2 * np.pi * chance.uniform(6.0, 20.0) * _times(samples))
    tone = _harmonics(chance, 2 * np.pi * pitch * _times(samples), pitch)
    return tone * beat * _swell(chance, samples)


def bell(chance: Chance, pitch: float, samples: int) -> Floats:
    """Frequency modulation at an inharmonic ratio, the modulation dying away (Chowning 1973)."""
    time = _times(samples)
    index = chance.uniform(1.5, 5.0) * np.exp(-time * chance.uniform(2.0, 8.0))
    ratio = chance.choice([1.41, 1.73, 2.24, 2.76, 3.33])
    phase = 2 * np.pi * pitch * time
    return np.asarray(np.sin(phase + index * np.sin(ratio * phase)) * _swell(chance, samples))


def pulses(chance: Chance, pitch: float, samples: int) -> Floats:
    """A train of clicks, 9 to 30 a second, each ringing at the pitch."""
    gap = int(RATE / chance.uniform(9.0, 30.0))
    clicks = np.zeros(samples)
    clicks[int(chance.integers(gap)) % samples :: gap] = 1.0
    radius = chance.uniform(0.97, 0.992)
    ring = [1.0, -2 * radius * np.cos(2 * np.pi * pitch / RATE), radius**2]
    return np.asarray(lfilter([1.0], ring, clicks)) * _swell(chance, samples)


INSTRUMENTS: dict[str, Instrument] = {
    maker.__name__: maker for maker in (vibrato, plucked, burst, rising, falling, tremolo, bell, pulses)
}


def draw_pitch(chance: Chance, low: float = LOWEST, high: float = HIGHEST) -> float:
    """A pitch in Hz, even over the octaves."""
    return float(np.exp(chance.uniform(np.log(low), np.log(high))))


@dataclass(frozen=True)
class Player:
    """Somebody with a room, a microphone and a level of their own: what a good space must not hear."""

    response: Floats
    """Strength of 129 frequencies, even from 0 to 8 kHz."""
    room: Floats
    """The room's answer to a click."""
    level: float
    """Root mean square of the finished wave, full scale 1."""
    noise: float
    """Root mean square of the noise floor against that of the sound."""

    @classmethod
    def drawn(cls, chance: Chance) -> "Player":
        """A player by chance."""
        octave = np.log2(np.linspace(0.05, 8.0, 129))
        decibels = chance.uniform(-3.0, 3.0) * octave
        for _ in range(3):
            centre, width = chance.uniform(-3.0, 3.0), chance.uniform(0.3, 1.0)
            decibels += chance.uniform(-12.0, 12.0) * np.exp(-0.5 * ((octave - centre) / width) ** 2)
        time = _times(int(0.35 * RATE))
        room = chance.standard_normal(len(time)) * np.exp(-time * chance.uniform(10.0, 40.0))
        room *= chance.uniform(0.1, 0.8) / np.linalg.norm(room)
        room[0] += 1.0
        level, noise = 10 ** chance.uniform(-1.7, -0.9), 10 ** chance.uniform(-1.7, -0.7)
        return cls(10 ** (decibels / 20), room, float(level), float(noise))

    def records(self, chance: Chance, dry: Floats) -> Floats:
        """`dry` as this player's microphone has it: coloured, in the room, over noise, -1..1."""
        size = 1 << (len(dry) + len(self.room) - 1).bit_length()
        grid = np.fft.rfftfreq(size, 1 / RATE)
        response = np.interp(grid, np.linspace(0, RATE / 2, len(self.response)), self.response)
        spectrum = np.fft.rfft(dry, size) * np.fft.rfft(self.room, size) * response
        wet = np.fft.irfft(spectrum, size)[: len(dry)]
        hiss = np.fft.irfft(np.fft.rfft(chance.standard_normal(len(dry)), size) * response, size)[: len(dry)]
        wave = wet / loudness(wet) + self.noise * hiss / loudness(hiss)
        wave *= self.level * 10 ** chance.uniform(-0.3, 0.3) / loudness(wave)
        return np.asarray(wave / max(1.0, np.abs(wave).max() / 0.99))


def loudness(wave: Floats) -> float:
    """Root mean square, never quite 0."""
    return float(np.sqrt(np.mean(wave**2))) + 1e-12


def play(chance: Chance, name: str, samples: int, pitch: float | None = None) -> Floats:
    """A note of one instrument somewhere in `samples` of silence, its loudness 1."""
    length = int(samples * chance.uniform(0.5, 1.0))
    start = int(chance.integers(samples - length + 1))
    note = INSTRUMENTS[name](chance, draw_pitch(chance) if pitch is None else pitch, length)
    fade = min(length, 160)
    note[-fade:] *= np.linspace(1.0, 0.0, fade)
    wave = np.zeros(samples)
    wave[start : start + length] = note / loudness(note)
    return wave
