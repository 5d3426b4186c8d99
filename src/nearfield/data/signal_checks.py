"""Faults that only the samples tell: silence, clipping, offset, files cut off; with limits and cures."""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nearfield.core.types import Bools, Floats
from nearfield.data import audio, images
from nearfield.data.audio import EXPORT, UNUSABLE, bytes_after_first_mp3
from nearfield.data.faults import AGAIN, Fault, Problem
from nearfield.data.signals import Loudness

# Tells files that were cut off, by a broken download or a full disk, where the decoder does not complain.
#
# wav and aiff say how long they are in the chunk that holds the samples; ogg marks its last page (RFC 3533).

_UNKNOWN = 0x7FFFF000
"""Sizes from here on stand for "not known" in files that were written to a pipe."""
_LAST_PAGE = 27 + 255 + 255 * 255  # bytes: no page of an ogg file is longer


def breaks_off(path: Path) -> bool:
    """True where a wav, aiff or ogg file ends before it says it does; False for other files."""
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] == b"RIFF":
            return _chunks_break_off(file, b"data", "<")
        if start[:4] == b"FORM":
            return _chunks_break_off(file, b"SSND", ">")
        return start[:4] == b"OggS" and _last_page_missing(file)


def _chunks_break_off(file: BinaryIO, samples: bytes, order: str) -> bool:
    """Goes from chunk to chunk to the one with the samples; does it reach beyond the end of the file?"""
    end = file.seek(0, 2)
    place = 12
    while place + 8 <= end:
        file.seek(place)
        name, size = struct.unpack(f"{order}4sI", file.read(8))
        if name == samples:
            return bool(0 < size < _UNKNOWN and place + 8 + size > end)
        place += 8 + size + size % 2
    return False


def _last_page_missing(file: BinaryIO) -> bool:
    """The header of the last page carries the flag "end of stream", and the page is all there."""
    file.seek(max(0, file.seek(0, 2) - _LAST_PAGE))
    tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS\0")) :]
    if len(page) < 27 or not page[5] & 4:
        return True
    segments = page[26]
    return len(page) < 27 + segments + sum(page[27 : 27 + segments])


# Listens to clips, block by block, for what only their samples can tell.

FULL_SCALE, ABOVE = 0.999, 1.0001
"""Between these a sample stands at full scale. Files of floating-point numbers go beyond without being
clipped; in lossy formats, what lies beyond is what decoding makes of clipped samples."""
CLIPPED_RUN = 3
"""So many such samples on end are clipping; one or two may be a peak."""

TRIM_DB = 60.0
"""How far below a clip's loudest moment its beginning and end must stay to count as quiet, in decibels."""

_BLOCK_SECONDS = 30.0


@dataclass(frozen=True)
class SignalReport:
    """What the samples of a clip say; arrays have one value a channel."""

    rate: int
    channels: int
    frames: int
    """Samples of each channel that could be decoded."""
    nan_samples: int
    """Samples that are NaN, infinite or beyond `audio.LARGEST`; the other values here are of the rest."""
    nan_outside_clip: int
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


def hear(path: Path, spans: Sequence[tuple[float, float]]) -> list[SignalReport | Fault]:
    """Listens to clips of one file, each a start and a length in seconds (0: to the end), decoding all of it.

    A file that breaks while it is decoded gives its fault for every clip: training, which decodes files
    whole, could use none of them.
    """
    try:
        metadata = audio.describe(path)
        cut_off, unread = breaks_off(path), bytes_after_first_mp3(path)
    except Fault as fault:
        return [fault] * len(spans)
    ears = [_Ear(metadata, start, seconds) for start, seconds in spans]
    place, nan_samples, said = 0, 0, list[str]()
    try:
        for waves in audio.blocks(path, 0.0, None, _BLOCK_SECONDS, said):
            for ear in ears:
                ear.take(waves, place)
            nan_samples += int((~audio.is_usable(waves)).sum()) if metadata.floating else 0
            place += waves.shape[1]
    except Fault as fault:
        return [fault] * len(spans)
    whole = _Whole(cut_off, unread, said[0] if said else "", nan_samples)
    return [ear.heard(whole) for ear in ears]


@dataclass(frozen=True)
class _Whole:
    """What is so of a whole file."""

    cut_off: bool
    unread: int
    damage: str
    nan_samples: int


class _Ear:
    """Gathers what one clip sounds like, from blocks that may begin before it and end after it."""

    def __init__(self, metadata: audio.SoundFacts, start: float, seconds: float) -> None:
        self.first = round(start * metadata.rate)
        self.last = (
            min(metadata.frames, round((start + seconds) * metadata.rate)) if seconds else metadata.frames
        )
        self._facts = metadata
        self._digest = hashlib.sha256(f"{metadata.rate} {metadata.channels}".encode())
        self._peaks, self._sums, self._squares = np.zeros((3, metadata.channels))
        self._frames = self._not_numbers = self._clipped = 0
        self._loudness = Loudness(metadata.channels)

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

    def heard(self, whole: _Whole) -> SignalReport:
        """What was gathered."""
        samples = max(self._frames, 1)
        first, last = self._loudness.sounding(TRIM_DB)
        return SignalReport(
            rate=self._facts.rate,
            channels=self._facts.channels,
            frames=self._frames,
            nan_samples=self._not_numbers,
            nan_outside_clip=max(0, whole.nan_samples - self._not_numbers),
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
    pixels = images.picture(path)
    height, width, channels = pixels.shape
    digest = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
    return Seen(height, width, channels, bool((pixels == pixels[0, 0]).all()), digest)


# From what a clip's samples or pixels say to problems: the limits, the words and the cures.

SILENT_PEAK = 1e-4
"""A clip or channel that never goes above this (-80 dB of full scale) is silent."""
CLIPPED_SHARE = 0.001
"""More samples than this share standing at full scale, three or more on end, are reported."""
UNSCALED = 100.0
"""Peaks beyond this (40 dB above full scale) are of integers that were kept as floating-point numbers."""
OFFSET, OFFSET_SHARE = 0.02, 0.25
"""A mean above 2 % of full scale and a quarter of the level is an offset that a recorder adds."""
LENGTH_SLACK = 0.05
"""A clip may decode to so many seconds less than its header says: lossy formats round to frames."""
_CARDS = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 176400, 192000)
_BATS = (128000, 200000, 250000, 256000, 300000, 312500, 375000, 384000, 500000)
USUAL_RATES = frozenset((*_CARDS, *_BATS))
"""Rates of sound cards and of recorders for bats, in hertz; others are more often a slip in a header."""
MANY_CHANNELS = 8
"""More channels than this are more often a slip in a header than an array of microphones."""

HARMLESS = (
    "It does no harm to features that begin above 20 Hz (log_mel: feature.low, 50 Hz by default). "
    "For others, use a high-pass filter at 20 Hz."
)
"""What is to be done about an offset."""

_Words = tuple[str, str, str]
"""Kind, reason and cure."""


def judge_sound(heard: SignalReport, seconds: float) -> Iterator[_Words]:
    """What is wrong with a clip that is to be `seconds` long; nothing more where it cannot be used."""
    if heard.nan_samples:
        total = heard.frames * heard.channels
        yield "not_numbers", f"{heard.nan_samples:,} of {total:,} samples {UNUSABLE}", EXPORT
        return
    if heard.nan_outside_clip:
        reason = f"{heard.nan_outside_clip:,} samples of its file, outside the clip, {UNUSABLE}"
        cure = "Export the sound again, or cut the clip out into a file of its own."
        yield "not_numbers", reason, cure
        return
    if not heard.frames:
        yield "beyond_end", "it begins after the end of what can be decoded.", AGAIN
        return
    decoded = heard.frames / heard.rate
    if decoded < seconds - LENGTH_SLACK:
        yield "cut_off", f"{seconds:.2f} s are promised, {decoded:.2f} s can be decoded.", AGAIN
    elif heard.cut_off:
        yield "cut_off", "the file ends before it says it does.", AGAIN
    if heard.damage:
        said = heard.damage.rpartition("error: ")[2].removeprefix("Note: ").rstrip(".")
        yield "damaged", f"parts of it are damaged; the decoder says: {said}.", AGAIN
    if heard.unread:
        reason = f"another mp3 was joined to it: the last {heard.unread:,} bytes are not read."
        yield "joined", reason, "Decode it to one sound (ffmpeg -i FILE.mp3 FILE.flac), or cut it in two."
    yield from _judge_level(heard)
    if heard.rate not in USUAL_RATES:
        reason = f"its rate of {heard.rate} Hz is unusual."
        yield "odd_rate", reason, "See whether it plays at the right speed; if so, nothing is to be done."
    if heard.channels > MANY_CHANNELS:
        reason = f"it has {heard.channels} channels."
        yield "many_channels", reason, "See whether that is so; choose one with data.channels, or their mean."


def _judge_level(heard: SignalReport) -> Iterator[_Words]:
    silent = np.flatnonzero(heard.peaks < SILENT_PEAK)
    if len(silent) == heard.channels:
        yield "silent", "it is silent.", "Remove it, or see whether the recorder was connected."
        return
    if len(silent):
        listed = ", ".join(map(str, silent))
        reason = f"channel {listed} of {heard.channels} (counted from 0) is silent."
        yield "silent_channel", reason, "Choose another with data.channels; their mean is quieter."
    if heard.clipped > CLIPPED_SHARE:
        reason = f"{heard.clipped:.1%} of its samples are clipped: they stand at full scale."
        yield "clipped", reason, "Record at a lower level, or take it away if it sounds harsh."
    if heard.peaks.max() > UNSCALED:
        reason = (
            f"its samples reach {heard.peaks.max():,.0f} (full scale = 1), as integers that were not scaled."
        )
        yield "unscaled", reason, "Divide them by their full scale (32,768 for 16 bits) and export it again."
    offset = np.abs(heard.means)
    if bool(((offset > OFFSET) & (offset > OFFSET_SHARE * heard.levels)).any()):
        value = heard.means[int(offset.argmax())]
        reason = f"it has a DC offset of {value:.3f} (full scale = 1)."
        yield "offset", reason, HARMLESS


def judge_picture(seen: Seen) -> Iterator[_Words]:
    """What is wrong with a picture that could be decoded."""
    if seen.blank:
        yield "blank", "every pixel has the same colour.", "Remove it, or see whether it was saved well."


def to_problem(words: _Words, path: str, row: int | None) -> Problem:
    """The words as a line of a report on one clip."""
    kind, reason, cure = words
    fatal = kind in ("not_numbers", "beyond_end")
    return Problem(kind, path, row, reason, cure, "left out" if fatal else "warning")
