"""Checks of decoded samples and pixels: silence, clipping, DC offset, truncated files, blank images."""

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

# Detects files truncated by an aborted download or a full disk, which decoders do not report.
#
# wav and aiff give the length in the header of the chunk with the samples; ogg marks its last page
# (RFC 3533).

_UNKNOWN = 0x7FFFF000
"""Files that were written to a pipe have this size or a larger one, which means "unknown"."""
_LAST_PAGE = 27 + 255 + 255 * 255  # bytes: no page of an ogg file is longer


def breaks_off(path: Path) -> bool:
    """Whether a wav, aiff or ogg file is shorter than its header declares; False for other files."""
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] == b"RIFF":
            return _chunk_is_truncated(file, b"data", "<")
        if start[:4] == b"FORM":
            return _chunk_is_truncated(file, b"SSND", ">")
        return start[:4] == b"OggS" and _last_page_missing(file)


def _chunk_is_truncated(file: BinaryIO, samples: bytes, order: str) -> bool:
    """Whether the chunk named `samples` extends beyond the end of the file."""
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
    """Whether the last page is incomplete or lacks the flag "end of stream"."""
    file.seek(max(0, file.seek(0, 2) - _LAST_PAGE))
    tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS\0")) :]
    if len(page) < 27 or not page[5] & 4:
        return True
    segments = page[26]
    return len(page) < 27 + segments + sum(page[27 : 27 + segments])


# Statistics of the samples of a clip, computed block by block.

FULL_SCALE, ABOVE = 0.999, 1.0001
"""Absolute values in this range are at full scale. Floating-point files may exceed it without clipping; in
lossy formats, larger values come from decoding clipped samples."""
CLIPPED_RUN = 3
"""Number of consecutive samples at full scale that count as clipping; one or two may be a peak."""

TRIM_DB = 60.0
"""Beginning and end of a clip are quiet if they stay this many decibels below its loudest part."""

_BLOCK_SECONDS = 30.0


@dataclass(frozen=True)
class SignalReport:
    """Statistics of the samples of a clip; arrays have one value per channel."""

    rate: int
    channels: int
    frames: int
    """Decoded samples per channel."""
    nan_samples: int
    """Samples that are NaN, infinite or beyond `audio.LARGEST`; the other statistics exclude them."""
    nan_outside_clip: int
    """Such samples of the file outside the clip. They affect the clip, because files are decoded whole."""
    peaks: Floats
    """Largest absolute value."""
    means: Floats
    levels: Floats
    """Root mean square."""
    clipped: float
    """Fraction of samples in runs of at least `CLIPPED_RUN` at full scale."""
    digest: str
    """Equal for clips that decode to the same samples."""
    cut_off: bool
    """Whether the file is shorter than its header declares."""
    unread: int
    """Bytes of the file that are not decoded, because another mp3 begins there."""
    damage: str
    """First message of the decoder about damage within the file; "" if there was none."""
    quiet: int
    """Samples at beginning and end that `data.trim_db: 60` would remove."""


def hear(path: Path, spans: Sequence[tuple[float, float]]) -> list[SignalReport | Fault]:
    """Analyzes clips of one file; the whole file is decoded once.

    Parameters
    ----------
    path
        A sound file.
    spans
        Start and length of each clip in seconds; length 0 means to the end of the file.

    Returns
    -------
    list
        A report for each clip. If decoding fails, each clip gets the fault: training decodes whole files, so
        it could use none of them.
    """
    try:
        metadata = audio.describe(path)
        cut_off, unread = breaks_off(path), bytes_after_first_mp3(path)
    except Fault as fault:
        return [fault] * len(spans)
    clips = [_ClipStatistics(metadata, start, seconds) for start, seconds in spans]
    place, nan_samples, messages = 0, 0, list[str]()
    try:
        for waves in audio.blocks(path, 0.0, None, _BLOCK_SECONDS, messages):
            for clip in clips:
                clip.add(waves, place)
            nan_samples += int((~audio.is_usable(waves)).sum()) if metadata.floating else 0
            place += waves.shape[1]
    except Fault as fault:
        return [fault] * len(spans)
    file = _FileStatistics(cut_off, unread, messages[0] if messages else "", nan_samples)
    return [clip.report(file) for clip in clips]


@dataclass(frozen=True)
class _FileStatistics:
    """Properties of a whole file."""

    cut_off: bool
    unread: int
    damage: str
    nan_samples: int


class _ClipStatistics:
    """Accumulates statistics of one clip from blocks, which may begin before it and end after it."""

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

    def add(self, block: audio.Waves, place: int) -> None:
        """Adds a block (C, T) that begins at sample `place` of the file."""
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

    def report(self, file: _FileStatistics) -> SignalReport:
        """Returns the statistics of all blocks."""
        samples = max(self._frames, 1)
        first, last = self._loudness.sounding(TRIM_DB)
        return SignalReport(
            rate=self._facts.rate,
            channels=self._facts.channels,
            frames=self._frames,
            nan_samples=self._not_numbers,
            nan_outside_clip=max(0, file.nan_samples - self._not_numbers),
            peaks=self._peaks,
            means=self._sums / samples,
            levels=np.sqrt(self._squares / samples),
            clipped=self._clipped / (samples * self._facts.channels),
            digest=self._digest.hexdigest(),
            cut_off=file.cut_off,
            unread=file.unread,
            damage=file.damage,
            quiet=self._frames - (last - first),
        )


def standing_at_full_scale(size: Floats, floating: bool) -> Bools:
    """Masks absolute values (C, T) in runs of at least `CLIPPED_RUN` at full scale.

    `floating`: whether the file stores floating-point numbers.
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
    """Properties of a decoded image."""

    height: int
    width: int
    channels: int
    blank: bool
    """Whether all pixels have the same color."""
    digest: str


def look(path: Path) -> Seen:
    """Decodes an image. Raises Fault if that fails."""
    pixels = images.picture(path)
    height, width, channels = pixels.shape
    digest = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
    return Seen(height, width, channels, bool((pixels == pixels[0, 0]).all()), digest)


# Limits beyond which statistics become problems, with texts and remedies.

SILENT_PEAK = 1e-4
"""A clip or channel whose peak stays below this (-80 dB of full scale) is silent."""
CLIPPED_SHARE = 0.001
"""Fraction of clipped samples above which clipping is reported."""
UNSCALED = 100.0
"""Peaks above this (40 dB above full scale) come from integers stored as floating-point numbers."""
OFFSET, OFFSET_SHARE = 0.02, 0.25
"""A mean above 2 % of full scale and above a quarter of the level is a DC offset of the recorder."""
LENGTH_SLACK = 0.05
"""Seconds by which a clip may be shorter than its header declares: lossy formats round to frames."""
_CARDS = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 176400, 192000)
_BATS = (128000, 200000, 250000, 256000, 300000, 312500, 375000, 384000, 500000)
USUAL_RATES = frozenset((*_CARDS, *_BATS))
"""Rates of sound cards and of bat recorders, in hertz; other rates are usually errors in a header."""
MANY_CHANNELS = 8
"""More channels than this are usually an error in a header rather than a microphone array."""

HARMLESS = (
    "It does not affect features that begin above 20 Hz (log_mel: feature.low, 50 Hz by default). "
    "For other features, apply a high-pass filter at 20 Hz."
)
"""Remedy for a DC offset."""

_Words = tuple[str, str, str]
"""Kind, reason and cure."""


def judge_sound(heard: SignalReport, seconds: float) -> Iterator[_Words]:
    """Yields the problems of a clip that should be `seconds` long; only the first if it is unusable."""
    if heard.nan_samples:
        total = heard.frames * heard.channels
        yield "not_numbers", f"{heard.nan_samples:,} of {total:,} samples {UNUSABLE}", EXPORT
        return
    if heard.nan_outside_clip:
        reason = f"{heard.nan_outside_clip:,} samples of its file, outside the clip, {UNUSABLE}"
        cure = "Export the sound again, or save the clip as its own file."
        yield "not_numbers", reason, cure
        return
    if not heard.frames:
        yield "beyond_end", "it begins after the end of the decodable sound.", AGAIN
        return
    decoded = heard.frames / heard.rate
    if decoded < seconds - LENGTH_SLACK:
        reason = f"its header declares {seconds:.2f} s, but only {decoded:.2f} s can be decoded."
        yield "cut_off", reason, AGAIN
    elif heard.cut_off:
        yield "cut_off", "the file is shorter than its header declares.", AGAIN
    if heard.damage:
        message = heard.damage.rpartition("error: ")[2].removeprefix("Note: ").rstrip(".")
        yield "damaged", f"parts of it are damaged; the decoder reports: {message}.", AGAIN
    if heard.unread:
        reason = f"another mp3 is appended to it: the last {heard.unread:,} bytes are not read."
        yield "joined", reason, "Decode it to one sound (ffmpeg -i FILE.mp3 FILE.flac), or split the file."
    yield from _level_problems(heard)
    if heard.rate not in USUAL_RATES:
        reason = f"its sample rate of {heard.rate} Hz is unusual."
        yield "odd_rate", reason, "Check that it plays at the right speed; if so, ignore this."
    if heard.channels > MANY_CHANNELS:
        reason = f"it has {heard.channels} channels."
        yield "many_channels", reason, "Check the file; use one channel or the mean with data.channels."


def _level_problems(heard: SignalReport) -> Iterator[_Words]:
    silent = np.flatnonzero(heard.peaks < SILENT_PEAK)
    if len(silent) == heard.channels:
        yield "silent", "it is silent.", "Remove it, or check the recorder."
        return
    if len(silent):
        listed = ", ".join(map(str, silent))
        reason = f"channel {listed} of {heard.channels} (counted from 0) is silent."
        yield "silent_channel", reason, "Choose another with data.channels; the mean of all is quieter."
    if heard.clipped > CLIPPED_SHARE:
        reason = f"{heard.clipped:.1%} of its samples are clipped at full scale."
        yield "clipped", reason, "Record at a lower level, or remove it if it sounds distorted."
    if heard.peaks.max() > UNSCALED:
        reason = f"its samples reach {heard.peaks.max():,.0f} (full scale = 1), like unscaled integers."
        yield "unscaled", reason, "Divide them by their full scale (32,768 for 16 bits) and export it again."
    offset = np.abs(heard.means)
    if bool(((offset > OFFSET) & (offset > OFFSET_SHARE * heard.levels)).any()):
        value = heard.means[int(offset.argmax())]
        reason = f"it has a DC offset of {value:.3f} (full scale = 1)."
        yield "offset", reason, HARMLESS


def judge_picture(seen: Seen) -> Iterator[_Words]:
    """Yields the problems of a decoded image."""
    if seen.blank:
        yield "blank", "all pixels have the same color.", "Remove it, or save it again."


def to_problem(words: _Words, path: str, row: int | None) -> Problem:
    """Converts kind, reason and cure to a `Problem` of one clip."""
    kind, reason, cure = words
    fatal = kind in ("not_numbers", "beyond_end")
    return Problem(kind, path, row, reason, cure, "left out" if fatal else "warning")
