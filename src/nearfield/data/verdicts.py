"""From what a clip's samples or pixels say to problems: the limits, the words and the cures."""

from collections.abc import Iterator

import numpy as np

from nearfield.data.audio import EXPORT, UNUSABLE
from nearfield.data.faults import AGAIN, Problem
from nearfield.data.listening import Heard, Seen

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


def judge_sound(heard: Heard, seconds: float) -> Iterator[_Words]:
    """What is wrong with a clip that is to be `seconds` long; nothing more where it cannot be used."""
    if heard.not_numbers:
        total = heard.frames * heard.channels
        yield "not_numbers", f"{heard.not_numbers:,} of {total:,} samples {UNUSABLE}", EXPORT
        return
    if heard.not_numbers_beside:
        reason = f"{heard.not_numbers_beside:,} samples of its file, outside the clip, {UNUSABLE}"
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


def _judge_level(heard: Heard) -> Iterator[_Words]:
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
