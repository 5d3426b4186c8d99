"""Sets made on the spot: labelled tones, long unlabelled scenes, tagged ensembles; same seed, same set.

Each is a folder of 16 kHz sound files and a `labels.csv`, made once and kept in the cache.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from nearfield.core.errors import RequestError, choose
from nearfield.core.nouns import Floats
from nearfield.core.seeds import stream
from nearfield.data.cache import cache_folder
from nearfield.data.instruments import HIGHEST, INSTRUMENTS, LOWEST, RATE, Chance, Player, draw_pitch, play
from nearfield.data.space import writing_to
from nearfield.data.textures import TEXTURES, sound
from nearfield.data.writing import write_sound

VERSION = 1
"""To be raised whenever the same seed would give other sound: older folders are then not used again."""

SPLITS = ("train", "train", "test", "train", "val")
"""Sides of a split for players, bands and recordings, in turn: three fifths train, one each val and test."""


@dataclass(frozen=True)
class Made:
    """How one set is made."""

    clips: int
    """Number of clips (of recordings for scenes) where nobody says."""
    bytes: int
    """About how many bytes each takes on disk."""
    fill: Callable[[int, int, Path], None]
    """Takes seed, number of clips and an empty folder."""


def make(name: str, seed: int = 0, folder: Path | None = None, clips: int | None = None) -> Path:
    """The folder of the set called `name` (tones, scenes, ensembles), made now unless it is there already.

    It lies in `folder`, or in the cache, under a name that says set, seed, number of clips and version.
    Raises RequestError for an unknown name or fewer than one clip, WorkError where the disk is full.
    """
    if name not in SETS:
        raise RequestError(f"synthetic: there is no set {name!r}. {choose(name, SETS)}")
    count = SETS[name].clips if clips is None else clips
    if count < 1:
        raise RequestError(f"synthetic:{name}: {count} clips asked for. Ask for at least one.")
    parent = folder or cache_folder() / "synthetic"
    whole = parent / f"{name}-{count}-seed{seed}-v{VERSION}"
    if not (whole / "labels.csv").is_file():
        with writing_to(parent, count * SETS[name].bytes):
            _make_whole(SETS[name], seed, count, whole)
    return whole


def _make_whole(made: Made, seed: int, count: int, whole: Path) -> None:
    """Fills a folder beside `whole` and renames it: whoever was first wins, nobody sees half a set."""
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
    """Between five and twenty players, about twenty clips each."""
    return [Player.drawn(stream(seed, name, number)) for number in range(min(20, max(5, clips // 20)))]


def _tones(seed: int, clips: int, folder: Path) -> None:
    """One second each, eight instruments in turn, each played by everybody."""
    players = _players(seed, "synthetic/tones/player", clips)
    names = list(INSTRUMENTS)
    rows: list[dict[str, object]] = []
    for number in range(clips):
        chance = stream(seed, "synthetic/tones/clip", number)
        label, player = names[number % 8], number // 8 % len(players)
        wave = players[player].records(chance, play(chance, label, RATE))
        path = f"audio/{label}_{number:04d}.wav"
        _write(folder / path, wave)
        rows.append({"path": path, "label": label, "split": _side(player), "group": f"player_{player:02d}"})
    _table(folder, "labels.csv", rows)


def _side(number: int) -> str:
    return SPLITS[number % len(SPLITS)]


REGISTERS = {"low": (LOWEST, 2 * LOWEST), "": (2 * LOWEST, HIGHEST / 2), "high": (HIGHEST / 2, HIGHEST)}
"""Tag (none in the middle) and range of pitches in Hz."""
TEMPI = {"slow": (1, 2), "": (3, 4), "fast": (6, 9)}
"""Tag and numbers of notes in two seconds, both ends included."""


def _ensembles(seed: int, clips: int, folder: Path) -> None:
    """Two seconds each: one to three instruments at once, in one register and one tempo."""
    bands = _players(seed, "synthetic/ensembles/band", clips)
    rows: list[dict[str, object]] = []
    for number in range(clips):
        chance = stream(seed, "synthetic/ensembles/clip", number)
        band = number % len(bands)
        wave, tags = _piece(chance)
        path = f"audio/piece_{number:04d}.wav"
        _write(folder / path, bands[band].records(chance, wave))
        rows.append({"path": path, "tags": "|".join(tags), "split": _side(band), "group": f"band_{band:02d}"})
    _table(folder, "labels.csv", rows)


def _piece(chance: Chance) -> tuple[Floats, list[str]]:
    """Two seconds of music and its tags, sorted."""
    names = chance.choice(list(INSTRUMENTS), int(chance.integers(1, 4)), replace=False)
    register, tempo = str(chance.choice(list(REGISTERS))), str(chance.choice(list(TEMPI)))
    wave = np.zeros(2 * RATE)
    for name in names:
        notes = int(chance.integers(TEMPI[tempo][0], TEMPI[tempo][1] + 1))
        edges = np.linspace(0, len(wave), notes + 1).astype(int)
        part = [
            play(chance, str(name), b - a, draw_pitch(chance, *REGISTERS[register]))
            for a, b in pairwise(edges)
        ]
        wave += 10 ** chance.uniform(-0.3, 0.0) * np.concatenate(part)
    noisy = bool(chance.random() < 0.25)
    if noisy:
        wave += chance.uniform(0.5, 1.0) * chance.standard_normal(len(wave))
    tags = [*map(str, names), register, tempo, "noisy" if noisy else ""]
    return wave, sorted(tag for tag in tags if tag)


def _scenes(seed: int, recordings: int, folder: Path) -> None:
    """60 to 90 s each, in sections of 5 to 15 s; what is where stands in two further tables."""
    rows: list[dict[str, object]] = []
    sections: list[dict[str, object]] = []
    clips: list[dict[str, object]] = []
    for number in range(recordings):
        chance = stream(seed, "synthetic/scenes/recording", number)
        name, split = f"scene_{number:02d}", _side(number)
        path = f"audio/{name}.flac"
        wave, parts = _scene(chance)
        _write(folder / path, Player.drawn(chance).records(chance, wave))
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
"""Half the length of a crossfade in seconds: sections meet in the middle of it."""


def _scene(chance: Chance) -> tuple[Floats, list[tuple[float, float, str]]]:
    """A recording before its microphone, with (start s, end s, kind) of its sections."""
    total, edges = float(np.round(chance.uniform(60.0, 90.0), 1)), [0.0]
    while edges[-1] < total - 20.0:
        edges.append(edges[-1] + float(np.round(chance.uniform(5.0, 15.0), 1)))
    last = total - edges[-1]
    edges += [edges[-1] + float(np.round(last / 2, 1)), total] if last > 15.0 else [total]
    kinds = _order(chance, len(edges) - 1)
    wave = _hum(chance, round(total * RATE))
    fade = round(FADE * RATE)
    for (start, end), kind in zip(pairwise(edges), kinds, strict=True):
        a, b = max(0, round(start * RATE) - fade), min(len(wave), round(end * RATE) + fade)
        piece = sound(chance, kind, b - a) * 10 ** chance.uniform(-0.2, 0.2)
        ramp = np.sin(np.linspace(0, np.pi / 2, 2 * fade))
        if a > 0:
            piece[: 2 * fade] *= ramp
        if b < len(wave):
            piece[-2 * fade :] *= ramp[::-1]
        wave[a:b] += piece
    return wave, list(zip(edges[:-1], edges[1:], kinds, strict=True))


def _order(chance: Chance, sections: int) -> list[str]:
    """A kind for each section: round after round of all of them, so that each recording has nearly each."""
    rounds = -(-sections // len(TEXTURES))
    return [str(kind) for _ in range(rounds) for kind in chance.permutation(list(TEXTURES))][:sections]


def _hum(chance: Chance, samples: int) -> Floats:
    """The mains in the cable: 50 Hz and four harmonics, of a strength that the recording keeps."""
    phase = 2 * np.pi * 50.0 * np.arange(samples) / RATE
    strengths = 10 ** chance.uniform(-2.5, -0.7) / np.arange(1, 6)
    return np.asarray(sum(float(s) * np.sin((i + 1) * phase) for i, s in enumerate(strengths)))


SETS = {
    "tones": Made(400, 32_000, _tones),
    "scenes": Made(12, 2_000_000, _scenes),
    "ensembles": Made(300, 64_000, _ensembles),
}
