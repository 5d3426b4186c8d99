"""Files to what the store keeps: sounds at one rate in blocks of bounded size, pictures as small squares."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from PIL import Image

from nearfield.data.audio import (
    EXPORT,
    MOST_AT_ONCE,
    UNUSABLE,
    Waves,
    check_scale,
    decode,
    is_usable,
    mix,
    opened,
    resample,
)
from nearfield.data.faults import Fault
from nearfield.data.pictures import picture
from nearfield.data.settings import Channels, DataSettings

BLOCK = 1 << 20
"""Samples of each channel that are decoded at a time: 24 s at 44.1 kHz."""


def read_sound(path: Path, settings: DataSettings, start: float = 0.0, seconds: float | None = None) -> Waves:
    """A stretch of a file, mixed and at the rate of `settings`, (C, T). Raises Fault as `decode` does."""
    waves, rate = decode(path, start, seconds)
    return resample(mix(waves, settings.channels), rate, settings.sample_rate)


def sound_blocks(path: Path, rate: int, channels: Channels, block: int = BLOCK) -> Iterator[Waves]:
    """The whole file, mixed and at `rate` hertz, in pieces (T, C): samples first, as they are stored.

    Put together they are bit for bit `resample(mix(decode(path)))`. Raises Fault as `audio.decode` does.
    """
    samples = 0
    with opened(path) as file:
        own = file.samplerate
        check_scale(path)
        mixed = (mix(waves, channels).T for waves in _read(path, file, block))
        for piece in mixed if own == rate else _resampled(mixed, own, rate):
            samples += len(piece)
            yield piece
    if not samples:
        raise Fault("short", f"it is too short to hold a sample at {rate} Hz.", "Remove it.", path)


def _resampled(pieces: Iterator[Waves], own: int, rate: int) -> Iterator[Waves]:
    """Pieces (T, C) at another rate, as they came or shorter; the filter's memory goes on through all."""
    first = next(pieces)
    stream = soxr.ResampleStream(own, rate, first.shape[1], dtype="float32", quality="HQ")
    for piece in chain([first], pieces):
        step = max(1, len(piece) * own // max(own, rate))
        for begin in range(0, len(piece), step):
            yield stream.resample_chunk(np.ascontiguousarray(piece[begin : begin + step]))
    yield stream.resample_chunk(np.empty((0, first.shape[1]), np.float32), last=True)


def _read(path: Path, file: Any, block: int) -> Iterator[Waves]:
    """The file as decoded, in pieces (C, T).

    No more is asked for than there is: the library would fill up the rest with zeros, megabytes a file.
    """
    first = 0
    whole = file.subtype == "PCM_16"  # read as they are, and scaled here: the same floats in half the time
    try:
        while first < file.frames:
            wanted = min(block, MOST_AT_ONCE // file.channels, file.frames - first)
            samples = file.read(wanted, dtype="int16" if whole else "float32", always_2d=True)
            if not len(samples):
                break
            if whole:
                samples = samples * np.float32(1 / 32768)
            elif not is_usable(samples).all():
                reason = f"some samples after {first / file.samplerate:.1f} s {UNUSABLE}"
                raise Fault("not_numbers", reason, EXPORT, path)
            yield np.ascontiguousarray(samples.T)
            first += len(samples)
    except (soundfile.SoundFileError, OSError):
        raise Fault("unreadable", f"it cannot be decoded after sample {first}.", path=path) from None
    if not first:
        raise Fault("cut_off", "nothing could be decoded.", path=path)


def square(path: Path, size: int, channels: int) -> npt.NDArray[np.uint8]:
    """A picture as (C, size, size) bytes: grey or colour as `channels` says, stretched to the square.

    Bilinear with antialiasing. Raises Fault as `pictures.picture` does.
    """
    pixels = picture(path)
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image = image.convert("L" if channels == 1 else "RGB")
    small = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.uint8)
    return np.ascontiguousarray(small.reshape(size, size, channels).transpose(2, 0, 1))
