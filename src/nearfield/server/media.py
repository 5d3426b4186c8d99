"""Clips as WAV files and as small PNG images."""

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from nearfield.data.audio import Waves, blocks, describe
from nearfield.data.images import picture
from nearfield.models.features.log_mel import LogMelSettings

# A clip as a 16-bit WAV file, streamed in any byte range.

HEAD = 44
"""Bytes before the first sample."""

_MOST = 2**32 - 1  # bytes that a RIFF header can name
_PIECE_SECONDS = 10.0
_BYTE_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


@dataclass(frozen=True)
class WavRange:
    """Samples `first` to `first + frames` of a file, as a WAV file."""

    path: Path
    first: int
    frames: int
    rate: int
    """Sample rate of the file in hertz."""
    channels: int
    """Channels of the file up to two; more are mixed to mono, since browsers treat them as surround sound."""
    channel: int | None
    """The channel of a clip of one channel, or None."""

    @classmethod
    def of(cls, path: Path, start: float, seconds: float, channel: int | None = None) -> "WavRange":
        """The window of a clip, in seconds of its file. Raises DataError if it cannot be read."""
        facts = describe(path)
        first = min(round(start * facts.rate), facts.frames)
        last = min(facts.frames, round((start + seconds) * facts.rate))
        channels = facts.channels if channel is None and facts.channels <= 2 else 1
        return cls(path, first, max(0, last - first), facts.rate, channels, channel)

    @property
    def size(self) -> int:
        """Bytes of the WAV file."""
        return HEAD + self.frames * self.width

    @property
    def width(self) -> int:
        """Bytes of one sample of all channels."""
        return 2 * self.channels

    def head(self) -> bytes:
        """The RIFF header of PCM16; beyond 4 GiB it states the largest length that it can."""
        data = self.frames * self.width
        whole, data = min(36 + data, _MOST), min(data, _MOST)
        shape = (self.channels, self.rate, self.rate * self.width, self.width, 16)
        return struct.pack(
            "<4sI4s4sIHHIIHH4sI", b"RIFF", whole, b"WAVE", b"fmt ", 16, 1, *shape, b"data", data
        )

    def read(self, begin: int, end: int) -> Iterator[bytes]:
        """Yields bytes `begin` to `end` (exclusive) of the WAV file in pieces.

        A file that ends before the length in its header is padded with silence.
        """
        if begin < HEAD:
            yield self.head()[begin : min(end, HEAD)]
        begin, end = max(begin, HEAD) - HEAD, end - HEAD
        if begin >= end:
            return
        skip, left = begin % self.width, end - begin
        for piece in self._pieces(begin // self.width, -(-end // self.width)):
            given = piece[skip : skip + left]
            skip, left = 0, left - len(given)
            yield given
        while left > 0:
            given = bytes(min(left, 2**16))
            left -= len(given)
            yield given

    def _pieces(self, low: int, high: int) -> Iterator[bytes]:
        """Samples `low` to `high` of the window as PCM16."""
        start, seconds = (self.first + low) / self.rate, (high - low) / self.rate
        for waves in blocks(self.path, start, seconds, _PIECE_SECONDS):
            yield pcm16(self._mixed(waves))

    def _mixed(self, waves: Waves) -> Waves:
        if self.channel is not None:
            return waves[self.channel : self.channel + 1]
        return waves if len(waves) == self.channels else waves.mean(0, keepdims=True, dtype=np.float32)


def pcm16(waves: Waves) -> bytes:
    """Converts (C, T) floats of full scale 1 to interleaved little-endian integers; NaN becomes 0."""
    finite = np.nan_to_num(waves, nan=0.0, posinf=1.0, neginf=-1.0)
    return bytes(np.clip(np.rint(finite.T * 32768.0), -32768, 32767).astype("<i2").tobytes())


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the end (exclusive) of a Range header; None for the whole file.

    Several ranges and invalid headers select the whole file, as RFC 9110 allows. Raises ValueError if the
    range is beyond the end.
    """
    asked = _BYTE_RANGE.match((header or "").replace(" ", ""))
    if asked is None or asked.groups() == ("", ""):
        return None
    low, high = asked.groups()
    if not low:
        first, last = max(0, size - int(high)), size
    else:
        first, last = int(low), min(size, int(high) + 1) if high else size
        if high and int(high) < int(low):
            return None
    if first >= size or first >= last:
        raise ValueError("beyond the end")
    return first, last


# A clip as a small PNG: an image, or the log-mel spectrogram of a sound with one color scale per theme.

Theme = Literal["light", "dark"]

_WIDEST = 1200  # largest number of frames in a spectrogram
_RANGE = 80.0  # dynamic range in decibels
_SCALES: dict[Theme, tuple[str, ...]] = {
    "light": ("f4f1ea", "dcd9d2", "a9b7c4", "5f86a8", "2b5a86", "14304f"),
    "dark": ("17191d", "20303f", "2c587a", "4b8fb8", "a3cfe0", "f6f4ee"),
}


def log_mel_png(waves: Waves, rate: int, settings: LogMelSettings, theme: Theme) -> bytes:
    """The log-mel spectrogram of (C, T) at `rate` hertz as a PNG, 80 decibels down from its maximum.

    Low bands are at the bottom. Longer sounds have a longer hop, so that there are at most 1,200 frames.
    """
    levels = _levels(waves, rate, settings)
    loudest = levels.max()
    shown = np.clip((levels - loudest + _RANGE) / _RANGE, 0, 1) if loudest > -190 else np.zeros_like(levels)
    image = Image.fromarray((shown[::-1] * 255).astype(np.uint8))
    image.putpalette(_palette(theme))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def picture_png(path: Path, side: int) -> bytes:
    """An image as an upright PNG whose longer side has at most `side` pixels; smaller ones are not scaled.

    Raises DataError if it cannot be read.
    """
    pixels = picture(path)
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((side, side))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _levels(waves: Waves, rate: int, settings: LogMelSettings) -> npt.NDArray[np.float32]:
    """The log-mel spectrogram (bands, frames) in decibels."""
    seconds = waves.shape[1] / rate
    hop = min(1000.0, max(settings.hop_ms, 1000 * seconds / _WIDEST))
    plain = settings.model_copy(update={"log": "db", "floor": None, "hop_ms": hop, "padding": "zero"})
    feature = plain.build(rate, 1)
    least = 2 * feature.framing.fft  # centered frames need more than half a window
    mono = waves.mean(0, keepdims=True, dtype=np.float32)
    padded = np.pad(mono, ((0, 0), (0, max(0, least - mono.shape[1]))))
    with torch.no_grad():
        spectrogram = feature(torch.from_numpy(padded[None]))[0, 0]
    found: npt.NDArray[np.float32] = spectrogram.numpy()
    return found[:, : max(1, round(found.shape[1] * mono.shape[1] / padded.shape[1]))]


def _palette(theme: Theme) -> bytes:
    """256 interpolated colors of a scale."""
    stops = np.array([[int(code[at : at + 2], 16) for at in (0, 2, 4)] for code in _SCALES[theme]])
    place = np.linspace(0, len(stops) - 1, 256)
    colors = [np.interp(place, np.arange(len(stops)), stops[:, part]) for part in range(3)]
    return np.stack(colors, 1).round().astype(np.uint8).tobytes()
