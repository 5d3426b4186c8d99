"""Listens to clips, block by block, for what only their samples can tell."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nearfield.core.nouns import Bools, Floats
from nearfield.data import audio, pictures
from nearfield.data.containers import bytes_after_first_mp3
from nearfield.data.cutoff import breaks_off
from nearfield.data.faults import Fault
from nearfield.data.trimming import Loudness

FULL_SCALE, ABOVE = 0.999, 1.0001
"""Between these a sample stands at full scale. Files of floating-point numbers go beyond without being
clipped; in lossy formats, what lies beyond is what decoding makes of clipped samples."""
CLIPPED_RUN = 3
"""So many such samples on end are clipping; one or two may be a peak."""

TRIM_DB = 60.0
"""How far below a clip's loudest moment its beginning and end must stay to count as quiet, in decibels."""

_BLOCK_SECONDS = 30.0


@dataclass(frozen=True)
class Heard:
    """What the samples of a clip say; arrays have one value a channel."""

    rate: int
    channels: int
    frames: int
    """Samples of each channel that could be decoded."""
    not_numbers: int
    """Samples that are NaN, infinite or beyond `audio.LARGEST`; the other values here are of the rest."""
    not_numbers_beside: int
    """Such samples of its file outside the clip; they spoil it too, as a file is decoded whole."""
    peaks: Floats
    """Largest absolute value."""
    means: Floats
    levels: Floats
    """Root of the mean square."""
    clipped: float
    """Share of samples that stand at full scale, at least `CLIPPED_RUN` on end."""
    digest: str
    """The same for clips that decode to the same samples."""
    cut_off: bool
    """The file ends before it says it does."""
    unread: int
    """Bytes of the file that are not decoded, as another mp3 begins there."""
    damage: str
    """What the decoder said first about damage within the file; "" where it said nothing."""
    quiet: int
    """Samples at beginning and end that `data.trim_db: 60` would cut away."""


def hear(path: Path, spans: Sequence[tuple[float, float]]) -> list[Heard | Fault]:
    """Listens to clips of one file, each a start and a length in seconds (0: to the end), decoding all of it.

    A file that breaks while it is decoded gives its fault for every clip: training, which decodes files
    whole, could use none of them.
    """
    try:
        facts = audio.describe(path)
        cut_off, unread = breaks_off(path), bytes_after_first_mp3(path)
    except Fault as fault:
        return [fault] * len(spans)
    ears = [_Ear(facts, start, seconds) for start, seconds in spans]
    place, not_numbers, said = 0, 0, list[str]()
    try:
        for waves in audio.blocks(path, 0.0, None, _BLOCK_SECONDS, said):
            for ear in ears:
                ear.take(waves, place)
            not_numbers += int((~audio.is_usable(waves)).sum()) if facts.floating else 0
            place += waves.shape[1]
    except Fault as fault:
        return [fault] * len(spans)
    whole = _Whole(cut_off, unread, said[0] if said else "", not_numbers)
    return [ear.heard(whole) for ear in ears]


@dataclass(frozen=True)
class _Whole:
    """What is so of a whole file."""

    cut_off: bool
    unread: int
    damage: str
    not_numbers: int


class _Ear:
    """Gathers what one clip sounds like, from blocks that may begin before it and end after it."""

    def __init__(self, facts: audio.SoundFacts, start: float, seconds: float) -> None:
        self.first = round(start * facts.rate)
        self.last = min(facts.frames, round((start + seconds) * facts.rate)) if seconds else facts.frames
        self._facts = facts
        self._digest = hashlib.sha256(f"{facts.rate} {facts.channels}".encode())
        self._peaks, self._sums, self._squares = np.zeros((3, facts.channels))
        self._frames = self._not_numbers = self._clipped = 0
        self._loudness = Loudness(facts.channels)

    def take(self, block: audio.Waves, place: int) -> None:
        """A block (C, T) that begins at sample `place` of the file."""
        waves = block[:, max(0, self.first - place) : max(0, self.last - place)]
        if not waves.size:
            return
        self._digest.update(np.ascontiguousarray(waves.T).tobytes())
        bad = ~audio.is_usable(waves)
        sound = np.where(bad, 0, waves).astype(np.float64)
        size = np.abs(sound)
        self._not_numbers += int(bad.sum())
        self._peaks = np.maximum(self._peaks, size.max(axis=1))
        self._sums += sound.sum(axis=1)
        self._squares += np.einsum("ct,ct->c", sound, sound)
        self._clipped += int(standing_at_full_scale(size, self._facts.floating).sum())
        self._frames += waves.shape[1]
        self._loudness.take(sound.astype(np.float32))

    def heard(self, whole: _Whole) -> Heard:
        """What was gathered."""
        samples = max(self._frames, 1)
        first, last = self._loudness.sounding(TRIM_DB)
        return Heard(
            rate=self._facts.rate,
            channels=self._facts.channels,
            frames=self._frames,
            not_numbers=self._not_numbers,
            not_numbers_beside=max(0, whole.not_numbers - self._not_numbers),
            peaks=self._peaks,
            means=self._sums / samples,
            levels=np.sqrt(self._squares / samples),
            clipped=self._clipped / (samples * self._facts.channels),
            digest=self._digest.hexdigest(),
            cut_off=whole.cut_off,
            unread=whole.unread,
            damage=whole.damage,
            quiet=self._frames - (last - first),
        )


def standing_at_full_scale(size: Floats, floating: bool) -> Bools:
    """Which of the absolute values (C, T) stand at full scale, `CLIPPED_RUN` on end at least.

    `floating`: whether the file keeps floating-point numbers.
    """
    full = size >= FULL_SCALE
    if floating:
        full &= size <= ABOVE
    last = full.shape[1] - CLIPPED_RUN + 1
    inside = np.zeros_like(full)
    if last < 1 or not full.any():
        return inside
    begins = np.logical_and.reduce([full[:, lag : lag + last] for lag in range(CLIPPED_RUN)])
    for lag in range(CLIPPED_RUN):
        inside[:, lag : lag + last] |= begins
    return inside


@dataclass(frozen=True)
class Seen:
    """What the pixels of a picture say."""

    height: int
    width: int
    channels: int
    blank: bool
    """Every pixel has the same colour."""
    digest: str


def look(path: Path) -> Seen:
    """Decodes a picture. Raises Fault where it cannot be decoded."""
    pixels = pictures.picture(path)
    height, width, channels = pixels.shape
    digest = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
    return Seen(height, width, channels, bool((pixels == pixels[0, 0]).all()), digest)
