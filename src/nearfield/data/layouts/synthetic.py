"""Synthetic sets: labeled tones, long unlabeled scenes, tagged ensembles; reproducible by seed."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from nearfield.core.errors import RequestError, choose
from nearfield.core.rng import stream
from nearfield.core.types import Floats
from nearfield.data.audio import write_sound
from nearfield.data.packs import cache_folder, writing_to

# Eight instruments, and players whose room and microphone filter them.
#
# Waves are mono float64 at 16 kHz. Pitch (Hz), timbre and length of a note are random, from the same ranges
# for all instruments, so that neither loudness nor pitch identifies the instrument.

RATE = 16000
LOWEST, HIGHEST = 160.0, 1280.0
"""Range of pitches in Hz: three octaves."""

Rng = np.random.Generator
Instrument = Callable[[Rng, float, int], Floats]


def _times(samples: int) -> Floats:
    return np.arange(samples) / RATE


def _harmonics(rng: Rng, phase: Floats, pitch: float) -> Floats:
    """A tone with up to six harmonics of random amplitude; `phase` is that of the first, in radians."""
    count = max(1, min(6, int(0.45 * RATE / (1.3 * pitch))))
    strengths = rng.uniform(0.2, 1.0, count) * np.arange(1, count + 1) ** -rng.uniform(0.3, 2.0)
    return np.asarray(np.sin(np.outer(np.arange(1, count + 1), phase)).T @ strengths)


def _swell(rng: Rng, samples: int) -> Floats:
    """An envelope with random attack time and decay rate."""
    time = _times(samples)
    attack = rng.uniform(0.004, 0.08)
    return np.minimum(time / attack, 1.0) * np.exp(-time * rng.uniform(0.5, 6.0))


def vibrato(rng: Rng, pitch: float, samples: int) -> Floats:
    """A tone with a vibrato of 4 to 8 Hz and 1 to 4 % depth."""
    speed, depth = rng.uniform(4.0, 8.0), rng.uniform(0.01, 0.04)
    time = _times(samples)
    phase = 2 * np.pi * pitch * time - depth * pitch / speed * np.cos(2 * np.pi * speed * time)
    return _harmonics(rng, phase, pitch) * _swell(rng, samples)


def plucked(rng: Rng, pitch: float, samples: int) -> Floats:
    """A plucked string by Karplus and Strong (1983): noise in a delay line with an averaging filter."""
    period = max(2, round(RATE / pitch - 0.5))
    excitation = np.zeros(samples)
    excitation[:period] = rng.standard_normal(min(period, samples))
    kept = 0.5 * rng.uniform(0.985, 0.999)
    loop = np.zeros(period + 2)
    loop[0], loop[period:] = 1.0, -kept
    return np.asarray(lfilter([1.0], loop, excitation))


def burst(rng: Rng, pitch: float, samples: int) -> Floats:
    """Noise through a resonance with an envelope, like a struck hollow object."""
    radius = rng.uniform(0.96, 0.992)
    resonance = [1.0, -2 * radius * np.cos(2 * np.pi * pitch / RATE), radius**2]
    return np.asarray(lfilter([1.0], resonance, rng.standard_normal(samples))) * _swell(rng, samples)


def _chirp(rng: Rng, pitch: float, samples: int, octaves: float) -> Floats:
    shift = octaves * (np.arange(samples) / samples - 0.5)
    phase = 2 * np.pi * np.cumsum(pitch * 2.0**shift) / RATE
    return _harmonics(rng, phase, pitch) * _swell(rng, samples)


def rising(rng: Rng, pitch: float, samples: int) -> Floats:
    """A tone whose pitch rises by 0.35 to 1 octaves."""
    return _chirp(rng, pitch, samples, rng.uniform(0.35, 1.0))


def falling(rng: Rng, pitch: float, samples: int) -> Floats:
    """A tone whose pitch falls by 0.35 to 1 octaves."""
    return _chirp(rng, pitch, samples, -rng.uniform(0.35, 1.0))


def tremolo(rng: Rng, pitch: float, samples: int) -> Floats:
    """A tone with an amplitude modulation of 6 to 20 Hz."""
    beat = 1 + rng.uniform(0.6, 1.0) * np.sin(2 * np.pi * rng.uniform(6.0, 20.0) * _times(samples))
    tone = _harmonics(rng, 2 * np.pi * pitch * _times(samples), pitch)
    return tone * beat * _swell(rng, samples)


def bell(rng: Rng, pitch: float, samples: int) -> Floats:
    """Frequency modulation with an inharmonic ratio and a decaying index (Chowning 1973)."""
    time = _times(samples)
    index = rng.uniform(1.5, 5.0) * np.exp(-time * rng.uniform(2.0, 8.0))
    ratio = rng.choice([1.41, 1.73, 2.24, 2.76, 3.33])
    phase = 2 * np.pi * pitch * time
    return np.asarray(np.sin(phase + index * np.sin(ratio * phase)) * _swell(rng, samples))


def pulses(rng: Rng, pitch: float, samples: int) -> Floats:
    """A train of clicks at 9 to 30 Hz through a resonance at the pitch."""
    gap = int(RATE / rng.uniform(9.0, 30.0))
    clicks = np.zeros(samples)
    clicks[int(rng.integers(gap)) % samples :: gap] = 1.0
    radius = rng.uniform(0.97, 0.992)
    ring = [1.0, -2 * radius * np.cos(2 * np.pi * pitch / RATE), radius**2]
    return np.asarray(lfilter([1.0], ring, clicks)) * _swell(rng, samples)


INSTRUMENTS: dict[str, Instrument] = {
    maker.__name__: maker for maker in (vibrato, plucked, burst, rising, falling, tremolo, bell, pulses)
}


def draw_pitch(rng: Rng, low: float = LOWEST, high: float = HIGHEST) -> float:
    """Returns a random pitch in Hz, log-uniform between `low` and `high`."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


@dataclass(frozen=True)
class Player:
    """A player with a room, microphone and level: nuisance factors that embeddings should not encode."""

    response: Floats
    """Frequency response at 129 equally spaced frequencies from 0 to 8 kHz."""
    room: Floats
    """Impulse response of the room."""
    level: float
    """Root mean square of the recorded wave; full scale is 1."""
    noise: float
    """Root mean square of the noise floor relative to the sound."""

    @classmethod
    def drawn(cls, rng: Rng) -> "Player":
        """Creates a random player."""
        octave = np.log2(np.linspace(0.05, 8.0, 129))
        decibels = rng.uniform(-3.0, 3.0) * octave
        for _ in range(3):
            center, width = rng.uniform(-3.0, 3.0), rng.uniform(0.3, 1.0)
            decibels += rng.uniform(-12.0, 12.0) * np.exp(-0.5 * ((octave - center) / width) ** 2)
        time = _times(int(0.35 * RATE))
        room = rng.standard_normal(len(time)) * np.exp(-time * rng.uniform(10.0, 40.0))
        room *= rng.uniform(0.1, 0.8) / np.linalg.norm(room)
        room[0] += 1.0
        level, noise = 10 ** rng.uniform(-1.7, -0.9), 10 ** rng.uniform(-1.7, -0.7)
        return cls(10 ** (decibels / 20), room, float(level), float(noise))

    def records(self, rng: Rng, dry: Floats) -> Floats:
        """Applies room, frequency response, noise and level to `dry`; the result is in -1..1."""
        size = 1 << (len(dry) + len(self.room) - 1).bit_length()
        grid = np.fft.rfftfreq(size, 1 / RATE)
        response = np.interp(grid, np.linspace(0, RATE / 2, len(self.response)), self.response)
        spectrum = np.fft.rfft(dry, size) * np.fft.rfft(self.room, size) * response
        wet = np.fft.irfft(spectrum, size)[: len(dry)]
        hiss = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(dry)), size) * response, size)[: len(dry)]
        wave = wet / loudness(wet) + self.noise * hiss / loudness(hiss)
        wave *= self.level * 10 ** rng.uniform(-0.3, 0.3) / loudness(wave)
        return np.asarray(wave / max(1.0, np.abs(wave).max() / 0.99))


def loudness(wave: Floats) -> float:
    """Returns the root mean square plus a small constant."""
    return float(np.sqrt(np.mean(wave**2))) + 1e-12


def play(rng: Rng, name: str, samples: int, pitch: float | None = None) -> Floats:
    """Returns a note of an instrument with loudness 1, at a random position in `samples` of silence."""
    length = int(samples * rng.uniform(0.5, 1.0))
    start = int(rng.integers(samples - length + 1))
    note = INSTRUMENTS[name](rng, draw_pitch(rng) if pitch is None else pitch, length)
    fade = min(length, 160)
    note[-fade:] *= np.linspace(1.0, 0.0, fade)
    wave = np.zeros(samples)
    wave[start : start + length] = note / loudness(note)
    return wave


# Eight kinds of background of any length, from which long recordings are made.
#
# Waves are mono float64 at 16 kHz with loudness (root mean square) 1. Each call uses random parameters from
# the ranges of the kind, so that two backgrounds of one kind are similar but not equal.

Texture = Callable[[Rng, int], Floats]


def _hiss(rng: Rng, samples: int, low: float, high: float) -> Floats:
    """Band-pass noise between two frequencies in Hz, with edges of half an octave."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    octave = np.log2(np.fft.rfftfreq(samples, 1 / RATE) + 1.0)
    below, above = octave - np.log2(low), np.log2(high) - octave
    return np.fft.irfft(spectrum / (1 + np.exp(-8 * below)) / (1 + np.exp(-8 * above)), samples)


def _drift(rng: Rng, samples: int, speed: float) -> Floats:
    """A random piecewise linear curve in 0..1 with `speed` knots per second."""
    knots = rng.uniform(0.0, 1.0, max(2, int(samples / RATE * speed) + 2))
    return np.interp(np.linspace(0, len(knots) - 1, samples), np.arange(len(knots)), knots)


def _ticks(rng: Rng, samples: int, rate: float) -> Floats:
    """Clicks at random times, `rate` per second on average, with random amplitudes."""
    hits = rng.random(samples) < rate / RATE
    return np.asarray(hits * rng.exponential(1.0, samples) * rng.choice([-1.0, 1.0], samples))


def _ring(wave: Floats, frequency: float, radius: float) -> Floats:
    resonance = [1.0, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2]
    return np.asarray(lfilter([1.0], resonance, wave))


def _scatter(rng: Rng, samples: int, rate: float, grain: Callable[[], Floats]) -> Floats:
    """Grains at random times, `rate` per second."""
    wave = np.zeros(samples)
    for start in rng.integers(0, samples, int(samples / RATE * rate)):
        piece = grain()[: samples - start]
        wave[start : start + len(piece)] += piece
    return wave


def rain(rng: Rng, samples: int) -> Floats:
    """Broadband noise with drops."""
    drops = _ring(_ticks(rng, samples, rng.uniform(20, 80)), rng.uniform(800, 3000), 0.93)
    hiss = _hiss(rng, samples, rng.uniform(300, 900), rng.uniform(4000, 7000))
    return hiss / loudness(hiss) + rng.uniform(0.3, 0.8) * drops / loudness(drops)


def wind(rng: Rng, samples: int) -> Floats:
    """Low-frequency noise in gusts."""
    gusts = 0.15 + _drift(rng, samples, rng.uniform(0.4, 1.2)) ** 2
    return _hiss(rng, samples, 60, rng.uniform(300, 900)) * gusts


def surf(rng: Rng, samples: int) -> Floats:
    """Broadband noise, modulated with a period of three to six seconds."""
    time = np.arange(samples) / RATE
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * (time / rng.uniform(3.0, 6.0) + rng.random()))
    return _hiss(rng, samples, 150, rng.uniform(2500, 6000)) * (0.1 + wave**2)


def crickets(rng: Rng, samples: int) -> Floats:
    """High tones with a fast gate, in short calls."""
    time = np.arange(samples) / RATE
    wave = 0.15 * rng.standard_normal(samples)
    for _ in range(int(rng.integers(1, 4))):
        tone = np.sin(2 * np.pi * rng.uniform(2000, 5000) * time)
        gate = np.maximum(0, np.sin(2 * np.pi * rng.uniform(18, 40) * time))
        calls = (time * rng.uniform(1.5, 4.0) + rng.random()) % 1 < rng.uniform(0.3, 0.7)
        wave += tone * gate * calls
    return wave


def engine(rng: Rng, samples: int) -> Floats:
    """A low pulse with many harmonics and slightly varying speed, with noise."""
    speed = rng.uniform(35, 110) * (0.92 + 0.16 * _drift(rng, samples, 0.5))
    phase = 2 * np.pi * np.cumsum(speed) / RATE
    pulse = np.exp(rng.uniform(2.0, 6.0) * (np.cos(phase) - 1)) - 0.3
    noise = _hiss(rng, samples, 100, rng.uniform(1000, 4000))
    return pulse / loudness(pulse) + rng.uniform(0.3, 0.9) * noise / loudness(noise)


def bubbles(rng: Rng, samples: int) -> Floats:
    """Short rising tones at random times."""

    def blip() -> Floats:
        time = np.arange(int(RATE * rng.uniform(0.03, 0.1))) / RATE
        pitch = rng.uniform(350, 1600) * (1 + rng.uniform(2, 8) * time)
        return np.sin(2 * np.pi * np.cumsum(pitch) / RATE) * np.exp(-time * 30) * rng.uniform(0.3, 1.0)

    return _scatter(rng, samples, rng.uniform(6, 18), blip) + 0.02 * rng.standard_normal(samples)


def crackle(rng: Rng, samples: int) -> Floats:
    """Clicks at random times with low noise, like a fire."""
    clicks = _ring(_ticks(rng, samples, rng.uniform(6, 25)), rng.uniform(1500, 5000), 0.8)
    murmur = _hiss(rng, samples, 60, 400)
    return clicks / loudness(clicks) + rng.uniform(0.2, 0.5) * murmur / loudness(murmur)


def chatter(rng: Rng, samples: int) -> Floats:
    """Syllables of a buzz with resonances, like unintelligible speech."""
    voice = np.zeros(samples)
    for _ in range(int(rng.integers(2, 4))):
        pitch = rng.uniform(90, 260) * (0.85 + 0.3 * _drift(rng, samples, 2.0))
        phase = np.cumsum(pitch) / RATE
        buzz = np.diff(np.floor(phase), prepend=0.0)
        syllables = _drift(rng, samples, rng.uniform(6.0, 12.0)) ** 3
        vowels = _ring(buzz, rng.uniform(350, 800), 0.97) + _ring(buzz, rng.uniform(900, 2400), 0.97)
        voice += vowels * syllables
    return voice / loudness(voice) + 0.1 * rng.standard_normal(samples)


TEXTURES: dict[str, Texture] = {
    maker.__name__: maker for maker in (rain, wind, surf, crickets, engine, bubbles, crackle, chatter)
}


def sound(rng: Rng, name: str, samples: int) -> Floats:
    """Returns `samples` of a background with a random frequency response and loudness 1."""
    wave = TEXTURES[name](rng, samples)
    octave = np.log2(np.fft.rfftfreq(samples, 1 / RATE) / 1000 + 0.05)
    decibels = rng.uniform(-4.0, 4.0) * octave
    for _ in range(2):
        center = rng.uniform(-3.0, 3.0)
        decibels += rng.uniform(-10.0, 10.0) * np.exp(-2 * (octave - center) ** 2)
    filtered = np.fft.irfft(np.fft.rfft(wave) * 10 ** (decibels / 20), samples)
    return filtered / loudness(filtered)


# The sets. Each is a folder of 16 kHz sound files with a `labels.csv`, generated once and cached.

VERSION = 1
"""Increase this when the same seed gives other sounds; older folders are then ignored."""

SPLITS = ("train", "train", "test", "train", "val")
"""Splits of players, bands and recordings in turn: three fifths train, one fifth each val and test."""


@dataclass(frozen=True)
class Made:
    """Generator of a set."""

    clips: int
    """Default number of clips (of recordings for scenes)."""
    bytes: int
    """Approximate size of a clip on disk, in bytes."""
    fill: Callable[[int, int, Path], None]
    """Function of seed, number of clips and an empty folder."""


def make(name: str, seed: int = 0, folder: Path | None = None, clips: int | None = None) -> Path:
    """Returns the folder of the set `name` (tones, scenes, ensembles); generates it if it does not exist.

    It is in `folder` or in the cache, and its name has set, number of clips, seed and version. Raises
    RequestError for an unknown name or fewer than one clip, WorkError if the disk is full.
    """
    if name not in SETS:
        raise RequestError(f"synthetic: there is no set {name!r}. {choose(name, SETS)}")
    count = SETS[name].clips if clips is None else clips
    if count < 1:
        raise RequestError(f"synthetic:{name}: the number of clips is {count}. Use at least 1.")
    parent = folder or cache_folder() / "synthetic"
    whole = parent / f"{name}-{count}-seed{seed}-v{VERSION}"
    if not (whole / "labels.csv").is_file():
        with writing_to(parent, count * SETS[name].bytes):
            _make_whole(SETS[name], seed, count, whole)
    return whole


def _make_whole(made: Made, seed: int, count: int, whole: Path) -> None:
    """Fills a temporary folder and renames it to `whole`; of several processes, the first one wins."""
    whole.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=whole.parent, prefix=f".{whole.name}."))
    try:
        made.fill(seed, count, draft)
        draft.chmod(0o755)
        try:
            os.rename(draft, whole)
        except OSError:
            if not (whole / "labels.csv").is_file():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(path: Path, wave: Floats) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_sound(file, wave.astype(np.float32)[None], RATE, path.suffix)


def _table(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    pd.DataFrame(rows).to_csv(folder / name, index=False)


def _players(seed: int, name: str, clips: int) -> list[Player]:
    """Five to twenty players with about twenty clips each."""
    return [Player.drawn(stream(seed, name, number)) for number in range(min(20, max(5, clips // 20)))]


def _tones(seed: int, clips: int, folder: Path) -> None:
    """Clips of one second; the eight instruments alternate, and all players play each one."""
    players = _players(seed, "synthetic/tones/player", clips)
    names = list(INSTRUMENTS)
    rows: list[dict[str, object]] = []
    for number in range(clips):
        rng = stream(seed, "synthetic/tones/clip", number)
        label, player = names[number % 8], number // 8 % len(players)
        wave = players[player].records(rng, play(rng, label, RATE))
        path = f"audio/{label}_{number:04d}.wav"
        _write(folder / path, wave)
        rows.append({"path": path, "label": label, "split": _split(player), "group": f"player_{player:02d}"})
    _table(folder, "labels.csv", rows)


def _split(number: int) -> str:
    return SPLITS[number % len(SPLITS)]


REGISTERS = {"low": (LOWEST, 2 * LOWEST), "": (2 * LOWEST, HIGHEST / 2), "high": (HIGHEST / 2, HIGHEST)}
"""Tags (none for the middle) to ranges of pitches in Hz."""
TEMPI = {"slow": (1, 2), "": (3, 4), "fast": (6, 9)}
"""Tags to smallest and largest number of notes in two seconds."""


def _ensembles(seed: int, clips: int, folder: Path) -> None:
    """Clips of two seconds with one to three instruments in one register and tempo."""
    bands = _players(seed, "synthetic/ensembles/band", clips)
    rows: list[dict[str, object]] = []
    for number in range(clips):
        rng = stream(seed, "synthetic/ensembles/clip", number)
        band = number % len(bands)
        wave, tags = _piece(rng)
        path = f"audio/piece_{number:04d}.wav"
        _write(folder / path, bands[band].records(rng, wave))
        rows.append(
            {"path": path, "tags": "|".join(tags), "split": _split(band), "group": f"band_{band:02d}"}
        )
    _table(folder, "labels.csv", rows)


def _piece(rng: Rng) -> tuple[Floats, list[str]]:
    """Two seconds of music and its tags, sorted."""
    names = rng.choice(list(INSTRUMENTS), int(rng.integers(1, 4)), replace=False)
    register, tempo = str(rng.choice(list(REGISTERS))), str(rng.choice(list(TEMPI)))
    wave = np.zeros(2 * RATE)
    for name in names:
        notes = int(rng.integers(TEMPI[tempo][0], TEMPI[tempo][1] + 1))
        edges = np.linspace(0, len(wave), notes + 1).astype(int)
        part = [
            play(rng, str(name), b - a, draw_pitch(rng, *REGISTERS[register])) for a, b in pairwise(edges)
        ]
        wave += 10 ** rng.uniform(-0.3, 0.0) * np.concatenate(part)
    noisy = bool(rng.random() < 0.25)
    if noisy:
        wave += rng.uniform(0.5, 1.0) * rng.standard_normal(len(wave))
    tags = [*map(str, names), register, tempo, "noisy" if noisy else ""]
    return wave, sorted(tag for tag in tags if tag)


def _scenes(seed: int, recordings: int, folder: Path) -> None:
    """Recordings of 60 to 90 s in sections of 5 to 15 s, which two further tables describe."""
    rows: list[dict[str, object]] = []
    sections: list[dict[str, object]] = []
    clips: list[dict[str, object]] = []
    for number in range(recordings):
        rng = stream(seed, "synthetic/scenes/recording", number)
        name, split = f"scene_{number:02d}", _split(number)
        path = f"audio/{name}.flac"
        wave, parts = _scene(rng)
        _write(folder / path, Player.drawn(rng).records(rng, wave))
        rows.append({"path": path, "recording": name, "seconds": len(wave) / RATE, "split": split})
        for start, end, kind in parts:
            sections.append({"recording": name, "start": start, "end": end, "kind": kind})
            for second in np.arange(start + FADE, end - FADE - 2.0 + 1e-9, 2.0):
                place = {"path": path, "start": round(float(second), 3), "seconds": 2.0}
                clips.append({**place, "label": kind, "recording": name, "split": split})
    _table(folder, "sections.csv", sections)
    _table(folder, "clips.csv", clips)
    _table(folder, "labels.csv", rows)


FADE = 0.5
"""Half the length of a crossfade in seconds; sections meet in its middle."""


def _scene(rng: Rng) -> tuple[Floats, list[tuple[float, float, str]]]:
    """A recording before the microphone, with (start, end, kind) of its sections, in seconds."""
    total, edges = float(np.round(rng.uniform(60.0, 90.0), 1)), [0.0]
    while edges[-1] < total - 20.0:
        edges.append(edges[-1] + float(np.round(rng.uniform(5.0, 15.0), 1)))
    last = total - edges[-1]
    edges += [edges[-1] + float(np.round(last / 2, 1)), total] if last > 15.0 else [total]
    kinds = _order(rng, len(edges) - 1)
    wave = _hum(rng, round(total * RATE))
    fade = round(FADE * RATE)
    for (start, end), kind in zip(pairwise(edges), kinds, strict=True):
        a, b = max(0, round(start * RATE) - fade), min(len(wave), round(end * RATE) + fade)
        piece = sound(rng, kind, b - a) * 10 ** rng.uniform(-0.2, 0.2)
        ramp = np.sin(np.linspace(0, np.pi / 2, 2 * fade))
        if a > 0:
            piece[: 2 * fade] *= ramp
        if b < len(wave):
            piece[-2 * fade :] *= ramp[::-1]
        wave[a:b] += piece
    return wave, list(zip(edges[:-1], edges[1:], kinds, strict=True))


def _order(rng: Rng, sections: int) -> list[str]:
    """A kind for each section, in shuffled rounds of all kinds, so that each recording has almost all."""
    rounds = -(-sections // len(TEXTURES))
    return [str(kind) for _ in range(rounds) for kind in rng.permutation(list(TEXTURES))][:sections]


def _hum(rng: Rng, samples: int) -> Floats:
    """Mains hum: 50 Hz and four harmonics with amplitudes that are constant in a recording."""
    phase = 2 * np.pi * 50.0 * np.arange(samples) / RATE
    strengths = 10 ** rng.uniform(-2.5, -0.7) / np.arange(1, 6)
    return np.asarray(sum(float(s) * np.sin((i + 1) * phase) for i, s in enumerate(strengths)))


SETS = {
    "tones": Made(400, 32_000, _tones),
    "scenes": Made(12, 2_000_000, _scenes),
    "ensembles": Made(300, 64_000, _ensembles),
}
