"""Playlists and compilations: clips in an order, joined into one sound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nearfield.core.errors import RequestError
from nearfield.core.files import replacing, write_text
from nearfield.core.rng import stream
from nearfield.core.types import Bools, Distance, Floats, Ints, Vectors
from nearfield.data.audio import Waves, check_name, decode, resample, write_sound
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.neighbors import Search, nearest, unit
from nearfield.space.listening.library import ClipLibrary, angles, spherical_mean

# The clips nearest to the centroid of a label, and the clips nearest to one clip.


@dataclass(frozen=True)
class ClipSequence:
    """Clips in the order in which they are played."""

    rows: Ints
    """(n,) nearest first."""
    distances: Floats
    """(n,) from the centroid, or from the clip."""


def centre_clips(vectors: Vectors, labels: Ints, label: int, count: int = 5) -> ClipSequence:
    """The `count` clips of `label` nearest to its spherical centroid, by angle in radians.

    `vectors` (N, D); `labels` (N,), -1 for unknown. Raises RequestError if no clip has the label, or if the
    vectors of the label cancel out.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), labels=labels)
    members = np.flatnonzero(labels == label)
    if not len(members):
        raise RequestError(f"center clips: no clip has label number {label}. Choose a label that has clips.")
    apart = angles(vectors[members], spherical_mean(vectors[members]))
    order = np.argsort(apart, kind="stable")[:count]
    return ClipSequence(members[order], apart[order])


def neighbourhood(vectors: Vectors, row: int, count: int = 5, distance: Distance = "cosine") -> ClipSequence:
    """The clip `row`, followed by the `count` clips nearest to it."""
    check_vectors("vectors", vectors)
    if not 0 <= row < len(vectors):
        raise RequestError(f"neighbourhood: row {row} is not one of the {len(vectors)} clips.")
    index, apart = nearest(Search(vectors[[row]], vectors, distance, np.array([row])), count)
    there = index[0] >= 0
    return ClipSequence(np.append(row, index[0][there]), np.append(0.0, apart[0][there]))


# A playlist: each clip is the nearest to the previous one that was not played yet.


def playlist(
    vectors: Vectors,
    start: int,
    count: int = 20,
    distance: Distance = "cosine",
    once: Ints | None = None,
    allowed: Bools | None = None,
) -> ClipSequence:
    """A playlist of `count` clips that begins with row `start`; `distances` are to the previous clip.

    `vectors` (N, D). `once` (N,) are numbers of songs, artists or recordings of which one clip is played, -1
    for no limit; `allowed` (N,): which clips may be played. The playlist is shorter if no clip is left.
    Raises RequestError if `start` is not a row.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), once=once, allowed=allowed)
    if not 0 <= start < len(vectors):
        raise RequestError(f"playlist: row {start} is not one of the {len(vectors)} clips.")
    free = np.ones(len(vectors), dtype=bool) if allowed is None else allowed.copy()
    rows, apart = [start], [0.0]
    while len(rows) < count:
        free[rows[-1]] = False
        if once is not None and once[rows[-1]] >= 0:
            free &= once != once[rows[-1]]
        left = np.flatnonzero(free)
        if not len(left):
            break
        index, found = nearest(Search(vectors[[rows[-1]]], vectors[left], distance), 1)
        rows.append(int(left[index[0, 0]]))
        apart.append(float(found[0, 0]))
    return ClipSequence(np.array(rows, dtype=np.int64), np.array(apart))


# The smoothness of a given order of clips, such as a DJ set.
#
# Conventions: distances are 1 - cos, 0 to 2. `nearer` of a transition is the share of the other clips of the
# space that are nearer to the first clip than the second one is: 0 for the nearest clip, 1/2 at random. The
# order is compared with random orders of the same clips that begin with the same clip, and with `playlist`.


@dataclass(frozen=True, eq=False)
class Rating:
    """The transitions of n clips in their order."""

    distances: Floats
    """(n - 1,) from each clip to the next."""
    nearer: Floats
    """(n - 1,) share of the other clips of the space that are nearer, 0 to 1."""
    mean: float
    """Mean distance."""
    random: float
    """Mean distance of random orders."""
    smoother: float
    """Share of random orders whose mean distance is at most `mean`."""
    playlist: float
    """Mean distance of the playlist of the same clips that begins with the first one."""


def rate_order(vectors: Vectors, rows: Ints, seed: int = 0, draws: int = 1000) -> Rating:
    """Compares the order of the clips `rows` (n,) of `vectors` (N, D) with `draws` random orders.

    Raises RequestError for fewer than three clips.
    """
    check_vectors("vectors", vectors)
    if len(rows) < 3:
        raise RequestError(
            f"The rating of an order needs at least three clips. Given: {len(rows)}. Give more clips."
        )
    units = unit(vectors.astype(np.float64))
    chosen = units[rows]
    between = 1.0 - chosen @ chosen.T
    own = between[np.arange(len(rows) - 1), np.arange(1, len(rows))]
    around = 1.0 - chosen[:-1] @ units.T
    around[np.arange(len(rows) - 1), rows[:-1]] = np.inf  # a clip is not its own neighbor
    nearer = (around < own[:, None] - 1e-12).sum(axis=1) / max(1, len(vectors) - 2)
    chance = stream(seed, "orders")
    others = np.arange(1, len(rows))
    orders = np.stack([np.r_[0, chance.permutation(others)] for _ in range(draws)])
    means = between[orders[:, :-1], orders[:, 1:]].mean(axis=1)
    made = playlist(np.asarray(vectors[rows]), 0, len(rows))
    return Rating(
        distances=own,
        nearer=nearer,
        mean=float(own.mean()),
        random=float(means.mean()),
        smoother=float((means <= own.mean() + 1e-12).mean()),
        playlist=float(made.distances[1:].mean()),
    )


# Clips joined into one sound, with equal levels and fades.
#
# Conventions: waves are (C, T) float32; levels are root mean square in dB of full scale. Overlapping clips
# fade by a sine and a cosine, whose powers add up to one (equal power for uncorrelated sounds); others fade
# by a raised cosine.

LEVEL = -23.0
"""Level to which every clip is normalized."""
PEAK = 0.89
"""Largest sample value: -1 dB of full scale."""
MOST_GAIN = 30.0
"""Largest gain of a quiet clip in decibels, so that silence stays silent."""
LONG = 60.0
"""Length in seconds above which the middle of a clip is played, not its loudest part."""
FADE = 0.015
"""Length of fades in seconds where clips do not overlap."""


@dataclass(frozen=True)
class Transition:
    """The transition between two clips."""

    gap: float = 0.3
    """Seconds of silence."""
    crossfade: float = 0.0
    """Seconds of overlap, which replaces the gap."""


@dataclass(frozen=True)
class FileSpan:
    """A part of a file."""

    path: Path
    start: float
    """Seconds into the file."""
    seconds: float


@dataclass(frozen=True, eq=False)
class Joined:
    """Several clips joined into one sound."""

    wave: Waves
    """(C, T)"""
    rate: int
    """Sample rate in hertz."""
    begins: Floats
    """(n,) start of each piece in seconds."""

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return float(self.wave.shape[1] / self.rate)

    def write(self, path: Path) -> Path:
        """Writes .wav, .flac (16 bits) or .ogg atomically. Raises RequestError for other suffixes."""
        check_name(path)
        with replacing(path) as temporary, temporary.open("wb") as file:
            write_sound(file, self.wave, self.rate, path.suffix)
        return path


def pieces_of(clips: pd.DataFrame, most: float) -> list[FileSpan]:
    """The part of each clip that is played: its loudest `most` seconds, or the middle of a long clip.

    A clip of at most `most` seconds is played whole. Raises DataError if a file cannot be read.
    """
    rows = zip(clips["path"], clips["start"], clips["seconds"], strict=True)
    return [_part(Path(str(path)), float(start), float(seconds), most) for path, start, seconds in rows]


def _part(path: Path, start: float, seconds: float, most: float) -> FileSpan:
    spare = seconds - most
    if spare <= 0:
        return FileSpan(path, start, seconds)
    if seconds > LONG:
        return FileSpan(path, start + spare / 2, most)
    # The middle of a short clip may be silent padding.
    waves, rate = decode(path, start, seconds)
    power = np.concatenate([[0.0], np.cumsum(np.square(waves, dtype=np.float64).mean(axis=0))])
    length = min(round(most * rate), waves.shape[1])
    first = int(np.argmax(np.round(power[length:] - power[: len(power) - length], 9)))
    return FileSpan(path, start + first / rate, most)


def join(pieces: Sequence[FileSpan], seam: Transition | None = None) -> Joined:
    """Joins one or more pieces at the highest sample rate of the files.

    If all files are mono, or all are stereo, the result is too; else all are mixed to mono. Raises DataError
    if a file cannot be read.
    """
    decoded = [decode(piece.path, piece.start, piece.seconds) for piece in pieces]
    rate = max(each for _, each in decoded)
    channels = {len(wave) for wave, _ in decoded}
    mono = len(channels) > 1 or max(channels) > 2
    waves = [evened(resample(_mono(wave) if mono else wave, own, rate)) for wave, own in decoded]
    return lay(waves, rate, seam or Transition())


def lay(waves: Sequence[Waves], rate: int, seam: Transition) -> Joined:
    """Concatenates waves (C, T) of one sample rate with gaps or overlaps."""
    shortest = min(wave.shape[1] for wave in waves)
    overlap = min(round(seam.crossfade * rate), shortest // 2) if len(waves) > 1 else 0
    gap = 0 if overlap else round(seam.gap * rate)
    edge = min(round(FADE * rate), shortest // 2)
    begins, place = [], 0
    for wave in waves:
        begins.append(place)
        place += wave.shape[1] + gap - overlap
    out = np.zeros((len(waves[0]), begins[-1] + waves[-1].shape[1]), np.float32)
    for number, (wave, begin) in enumerate(zip(waves, begins, strict=True)):
        inward = overlap if number and overlap else edge
        outward = overlap if number < len(waves) - 1 and overlap else edge
        shaped = wave.copy()
        shaped[:, :inward] *= _rise(inward, bool(number and overlap))
        if outward:
            shaped[:, -outward:] *= _rise(outward, bool(number < len(waves) - 1 and overlap))[::-1]
        out[:, begin : begin + wave.shape[1]] += shaped
    peak = float(np.abs(out).max(initial=0.0))
    if peak > PEAK:  # overlapping clips add up
        out *= PEAK / peak
    return Joined(out, rate, np.array(begins, np.float64) / rate)


def evened(wave: Waves) -> Waves:
    """Normalizes a wave to `LEVEL`, within the limits of `PEAK` and `MOST_GAIN`."""
    power = float(np.square(wave, dtype=np.float64).mean()) if wave.size else 0.0
    peak = float(np.abs(wave).max(initial=0.0))
    if power <= 0:
        return wave
    gain = min(10 ** (LEVEL / 20) / np.sqrt(power), 10 ** (MOST_GAIN / 20), PEAK / peak)
    return (wave * np.float32(gain)).astype(np.float32)


def _rise(samples: int, overlapping: bool) -> Any:
    """A fade-in (samples,) from 0 to 1."""
    phase = (np.arange(samples) + 0.5) / max(samples, 1) * np.pi / 2
    return (np.sin(phase) if overlapping else np.sin(phase) ** 2).astype(np.float32)


def _mono(wave: Waves) -> Waves:
    mixed: Waves = wave.mean(axis=0, keepdims=True, dtype=np.float32)
    return mixed


# Compilations of clips, each a sound file and a list.


@dataclass(frozen=True, eq=False)
class Compilation:
    """Clips in the order in which they are played."""

    rows: Ints
    """(n,) rows of the library."""
    clips: pd.DataFrame
    """One row per clip: place (seconds in the sound), id, path, start, seconds (as played), label, tags, and
    distances."""
    audio: Path | None
    """The sound file; None if only the list was requested."""
    seconds: float
    """Length of the sound."""

    def plain(self) -> dict[str, Any]:
        """The fields as values for JSON."""
        clips = [{**row, "tags": list(row["tags"])} for row in self.records()]
        return {"audio": self.audio and str(self.audio), "seconds": self.seconds, "clips": clips}

    def records(self) -> list[dict[str, Any]]:
        """The list, one dict per clip."""
        return [{str(key): value for key, value in row.items()} for row in self.clips.to_dict("records")]


def centre(library: ClipLibrary, name: str, count: int = 5) -> ClipSequence:
    """The clips of a label (or tag) nearest to its centroid, by angle in radians."""
    return centre_clips(library.vectors, np.where(library.members(name), 0, -1), 0, count)


def surroundings(library: ClipLibrary, clip: str, count: int = 5) -> ClipSequence:
    """A clip and the clips nearest to it, by 1 - cos."""
    return neighbourhood(library.vectors, library.row(clip), count)


def sequence(library: ClipLibrary, clip: str, count: int = 20, once: bool = True) -> ClipSequence:
    """A playlist that begins with a clip; with `once`, at most one clip of each group."""
    return playlist(library.vectors, library.row(clip), count, once=library.groups if once else None)


def make_song(
    library: ClipLibrary,
    heard: ClipSequence,
    audio: Path | None,
    most: float,
    seam: Transition | None = None,
    further: Mapping[str, Sequence[float]] | None = None,
) -> Compilation:
    """Joins clips; writes `audio`, if given, and a CSV of the same name next to it.

    `most`: seconds of each clip that are played; `further`: additional columns of the list. Raises DataError
    if a file cannot be read, RequestError if the suffix of `audio` is not .wav, .flac or .ogg.
    """
    clips = library.take(heard.rows).assign(distance=heard.distances, **dict(further or {}))
    if audio is None:
        return Compilation(heard.rows, clips, None, 0.0)
    check_name(audio)
    pieces = pieces_of(clips, most)
    clips = clips.assign(start=[piece.start for piece in pieces], seconds=[piece.seconds for piece in pieces])
    joined = join(pieces, seam)
    clips.insert(0, "place", joined.begins)
    joined.write(audio)
    text = clips.assign(tags=["|".join(tags) for tags in clips["tags"]]).to_csv(index=False)
    write_text(audio.with_suffix(".csv"), text)
    return Compilation(heard.rows, clips, audio, joined.seconds)
