"""Sound files: probe headers, decode ranges to float32, mix channels, resample, write."""

import atexit
import contextlib
import ctypes
import functools
import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from nearfield.core.errors import DataError, RequestError
from nearfield.core.types import Bools
from nearfield.data.faults import Fault, check_file
from nearfield.data.npy import Samples, check_full_scale, npy_layout
from nearfield.data.settings import Channels

# Checks of file headers that the decoder does not make: unsupported formats, missing lengths.

_FOREIGN = {
    (0, b"BW64"): "BW64",
    (4, b"ftyp"): "MP4 or M4A",
    (0, b"\x1aE\xdf\xa3"): "Matroska or WebM",
    (0, b"wvpk"): "WavPack",
    (0, b"MAC "): "Monkey's Audio",
    (0, b"0&\xb2u\x8ef\xcf\x11"): "WMA",
    (0, b"#!AMR"): "AMR",
}
"""Offset and magic bytes of formats that are not supported."""

_LONGEST_HEADER = 1 << 20


def foreign(path: Path) -> str:
    """Returns the name of an unsupported format; "" for any other file."""
    with path.open("rb") as file:
        start = file.read(16)
    return next((name for (place, magic), name in _FOREIGN.items() if start[place:].startswith(magic)), "")


def unwritten_bytes(path: Path) -> int:
    """Returns the number of bytes after the header of a wav file that declares 0 samples; else 0."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
        place = start.find(b"data", 12)
        if start[:4] != b"RIFF" or place < 0 or start[place + 4 : place + 8] != bytes(4):
            return 0
        return file.seek(0, 2) - place - 8


def bytes_after_first_mp3(path: Path) -> int:
    """Returns the number of bytes of further mp3 files appended to the first one; 0 if there are none."""
    with path.open("rb") as file:
        first = _after_tag(file.read(10), 0)
        file.seek(first)
        head = file.read(512)
        place = max(head[:256].find(b"Xing"), head[:256].find(b"Info"))
        if not _is_frame(head) or place < 0:
            return 0
        (flags,) = struct.unpack_from(">I", head, place + 4)
        if not flags & 2:
            return 0
        (length,) = struct.unpack_from(">I", head, place + (12 if flags & 1 else 8))
        size = file.seek(0, 2)
        file.seek(first + length)
        after = file.read(128)
        if after.startswith(b"TAG"):
            file.seek(first + length + 128)
            after = file.read(10)
        file.seek(_after_tag(after, file.tell() - len(after)))
        return size - first - length if _is_frame(file.read(4)) else 0


def _after_tag(start: bytes, place: int) -> int:
    """The end of an ID3v2 tag at `place`; `place` if there is no tag."""
    if start[:3] != b"ID3" or len(start) < 10:
        return place
    size = start[6] << 21 | start[7] << 14 | start[8] << 7 | start[9]
    return place + 10 + size


def _is_frame(start: bytes) -> bool:
    """Whether the bytes begin with a frame of MPEG audio, layer 3."""
    if len(start) < 4 or start[0] != 0xFF or start[1] & 0xE6 != 0xE2:
        return False
    return start[2] >> 4 not in (0, 15) and start[2] & 12 != 12


# Capture of messages that a decoder prints while it reads a file.
#
# libmpg123 prints warnings about an mp3 to the standard error of the C library, without the name of the file.
# With glibc, this stream is replaced by one that captures messages while a thread reads a file, and passes
# all others to the terminal. Python's own standard error is another stream and is not changed.

_READING = threading.local()
_WRITE = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)
_KEPT: list[Any] = []  # callbacks of C code, which must not be garbage-collected
_UNBUFFERED = 2  # _IONBF of stdio.h


class _Functions(ctypes.Structure):
    """cookie_io_functions_t of glibc's stdio.h."""

    _fields_ = (
        ("read", ctypes.c_void_p),
        ("write", _WRITE),
        ("seek", ctypes.c_void_p),
        ("close", ctypes.c_void_p),
    )


@contextlib.contextmanager
def words_kept(said: list[str]) -> Iterator[None]:
    """Adds to `said` what C code of this thread prints to standard error during the block."""
    _replace_stderr()
    before = getattr(_READING, "said", None)
    _READING.said = said
    try:
        yield
    finally:
        _READING.said = before


@functools.cache
def _replace_stderr() -> None:
    """Replaces the standard error of the C library, once; does nothing without glibc."""
    try:
        library = ctypes.CDLL(None)
        make, unbuffer = library.fopencookie, library.setvbuf
        place = ctypes.c_void_p.in_dll(library, "stderr")
    except (AttributeError, OSError, TypeError, ValueError):
        return
    make.restype, make.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p, _Functions)
    unbuffer.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    write = _WRITE(_take)
    stream, before = make(None, b"w", _Functions(None, write, None, None)), place.value
    if stream is None:
        return
    _KEPT.append(write)
    unbuffer(stream, None, _UNBUFFERED, 0)
    place.value = stream
    atexit.register(setattr, place, "value", before)


def _take(_: Any, data: Any, size: int) -> int:
    written = ctypes.string_at(data, size)
    said: list[str] | None = getattr(_READING, "said", None)
    if said is None:
        with contextlib.suppress(OSError):
            os.write(2, written)
    else:
        said.append(written.decode("utf-8", errors="replace").strip())
    return size


# Decoding: headers, ranges of samples, channels, resampling.
#
# Waves are (C, T): channels, samples. Full scale is 1; floating-point files may exceed it.

Waves = npt.NDArray[np.float32]
"""(C, T) float32."""

_PLAIN = (".wav", ".wave", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf")
_CODED = (".flac", ".ogg", ".oga", ".opus", ".mp3")

SUFFIXES = frozenset((*_PLAIN, *_CODED))
"""Suffixes of files that count as sounds when a folder is searched."""

UNREAD_SUFFIXES = frozenset(
    (".m4a", ".mp4", ".aac", ".wma", ".amr", ".ape", ".wv", ".mka", ".webm", ".ac3", ".dsf", ".3gp")
)
"""Suffixes of sounds that cannot be decoded; such files are reported as left out."""

_MOST_SAMPLES = 2**40  # a larger number in a header means that the length is unknown

RATES = (100, 10_000_000)
"""Lowest and highest supported sample rate in hertz. Other rates are errors in a header; resampled to a usual
rate, a small file would become gigabytes."""

LARGEST = 1e10
"""Largest valid absolute sample: sums of larger squares exceed the range of float32."""
UNUSABLE = "are NaN, infinite or beyond 1e10 (full scale is 1)."
"""Reason for samples that are not usable."""
EXPORT = "Export the sound again, with samples from -1 to 1."

MOST_AT_ONCE = 1 << 24
"""Largest number of samples, of all channels, per call of a decoder, whatever the header declares."""

_INEXACT = ("OGG", "MP3")
_PASSED = 1 << 18  # samples per call that are decoded and skipped before the first one needed


class _Forwards(soundfile.SoundFile):  # type: ignore[misc]  # the library has no types
    """A sound file that is read sequentially without seeking.

    The library seeks after each read, which restarts the decoders of mp3 and ogg: samples after each block
    would differ from those of a single read.
    """

    def __init__(self, file: Any, *raw: Any) -> None:
        self.said: list[str] = []
        """Messages of the decoder so far (libmpg123 prints them)."""
        self._prints = str(file).lower().endswith(".mp3")
        with self._words_kept():
            super().__init__(file, "r", *raw)

    def read(self, frames: int = -1, dtype: str = "float32", always_2d: bool = False) -> Any:
        """Reads like the library, capturing messages of the decoder."""
        with self._words_kept():
            return super().read(frames, dtype, always_2d)

    def _words_kept(self) -> contextlib.AbstractContextManager[None]:
        return words_kept(self.said) if self._prints else contextlib.nullcontext()

    def seekable(self) -> bool:
        """Returns False, which prevents the library from seeking; `seek` works nevertheless."""
        return False

    @property
    def is_exact(self) -> bool:
        """Whether seeking is exact. libsndfile (1.2.2) misses the position on the last page of an ogg file,
        decodes some frames of mp3 wrongly after a seek, and cannot seek in some formats, as GSM."""
        return super().seekable() and self.format not in _INEXACT


# Messages of the library that only say that the file could not be read.
_DULL = ("error opening", "format not recognised")


@dataclass(frozen=True)
class SoundFacts:
    """The header of a sound file."""

    rate: int
    """Sample rate in hertz."""
    channels: int
    frames: int
    """Samples per channel."""
    floating: bool = False
    """Whether samples are stored as floating-point numbers, which may be NaN or infinite."""

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate


def describe(path: Path) -> SoundFacts:
    """Reads the header. Raises Fault if the file is missing, not a regular file, unreadable or empty."""
    with opened(path) as file:
        floating = file.subtype in ("FLOAT", "DOUBLE")
        return SoundFacts(file.samplerate, file.channels, file.frames, floating)


def decode(path: Path, start: float = 0.0, seconds: float | None = None) -> tuple[Waves, int]:
    """Decodes a part of a sound file.

    Parameters
    ----------
    path
        A sound file.
    start
        Start of the part, in seconds.
    seconds
        Length of the part; None: to the end of the file.

    Returns
    -------
    waves : ndarray
        (C, T) float32 samples; fewer than requested, but at least one, if the file is truncated.
    rate : int
        Sample rate in hertz.

    Raises
    ------
    Fault
        If the file is missing, unreadable or empty, `start` is after its end, decoding fails, or a sample is
        not usable. Fault is a DataError.
    """
    with opened(path) as file:
        first, last = _range(path, file, start, seconds)
        pieces = list(_pieces(path, file, first, last, last - first))
        waves = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)
        rate = int(file.samplerate)
    usable = is_usable(waves)
    if not usable.all():
        bad = int(waves.size - usable.sum())
        raise Fault("not_numbers", f"{bad:,} of {waves.size:,} samples {UNUSABLE}", EXPORT, path)
    return waves, rate


def is_usable(waves: Waves) -> Bools:
    """Masks samples that are not NaN, infinite or beyond `LARGEST`."""
    return np.asarray(np.abs(waves) <= LARGEST)


def blocks(
    path: Path,
    start: float,
    seconds: float | None,
    block_seconds: float,
    said: list[str] | None = None,
) -> Iterator[Waves]:
    """Yields the samples of `decode` in blocks (C, T) of at most `block_seconds`, with unusable samples.

    Messages of the decoder are added to `said`.
    """
    with opened(path) as file:
        file.said = file.said if said is None else said
        first, last = _range(path, file, start, seconds)
        yield from _pieces(path, file, first, last, max(1, round(block_seconds * file.samplerate)))


def mix(waves: Waves, channels: Channels) -> Waves:
    """Reduces (C, T) to (1, T) by the mean of all channels, or by one channel counted from 0; `all` keeps
    (C, T).

    `views` makes clips of channels when a collection is opened; for a single sound it means the mean. Raises
    DataError if the sound has no channel of that number.
    """
    if channels == "all":
        return waves
    if channels in ("mean", "views"):
        return waves if len(waves) == 1 else waves.mean(axis=0, keepdims=True, dtype=np.float32)
    assert isinstance(channels, int)
    if channels >= len(waves):
        raise DataError(
            f"data.channels: there is no channel {channels}; the sound has {len(waves)}, counted from 0. "
            "Use mean, all, or a smaller number."
        )
    return waves[channels : channels + 1]


def resample(waves: Waves, rate: float, target: float) -> Waves:
    """Resamples (C, T) from `rate` to `target` hertz with the band-limited filter HQ of soxr."""
    if rate == target:
        return waves
    return np.ascontiguousarray(soxr.resample(waves.T, rate, target, quality="HQ").T)


def _range(path: Path, file: Any, start: float, seconds: float | None) -> tuple[int, int]:
    """The first sample and the one after the last."""
    rate = file.samplerate
    first = round(min(start * rate, file.frames))
    if not 0 <= first < file.frames:
        reason = f"the clip starts at {start:g} s, but the file has {file.frames / rate:g} s."
        raise Fault("short", reason, "Correct `start`.", path)
    last = file.frames if seconds is None else round(min((start + seconds) * rate, file.frames))
    if last <= first:
        raise Fault("short", f"a clip of {seconds} s has no samples.", "Correct `seconds`.", path)
    return first, last


def _go_to(file: Any, first: int) -> None:
    """Moves to sample `first`: by seeking if that is exact, else by decoding everything before it."""
    if first and file.is_exact:
        file.seek(first)
        return
    while first > 0 and (passed := len(file.read(min(first, _PASSED), dtype="float32"))):
        first -= passed


def _pieces(path: Path, file: Any, first: int, last: int, size: int) -> Iterator[Waves]:
    """Samples `first` to `last` of `_decoded`, after `check_scale`."""
    check_scale(path)
    return _decoded(path, file, first, last, size)


def check_scale(path: Path) -> None:
    """Raises Fault if the file is an array whose samples do not use the full scale of their type."""
    if _is_array(path):
        check_full_scale(path)


def _is_array(path: Path) -> bool:
    return path.suffix.lower() == ".npy"


def _decoded(path: Path, file: Any, first: int, last: int, size: int) -> Iterator[Waves]:
    """Samples `first` to `last` in blocks of at most `size`, until decoding ends; at least one block.

    A block has at most `MOST_AT_ONCE` samples, because the library allocates what a wrong header declares.
    """
    _go_to(file, first)
    place = first
    size = min(size, max(1, MOST_AT_ONCE // file.channels))
    while place < last:
        samples = file.read(min(size, last - place), dtype="float32", always_2d=True)
        if not len(samples):
            break
        place += len(samples)
        yield np.ascontiguousarray(samples.T)
    if place == first:
        reason = f"nothing could be decoded after {first / file.samplerate:g} s."
        raise Fault("cut_off", reason, path=path)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Opens a soundfile.SoundFile with at least one sample; errors of the library become Faults."""
    check_file(path)
    try:
        with _open(path) as file:
            if not 0 < file.frames < _MOST_SAMPLES:
                raise _no_samples(path)
            if not RATES[0] <= file.samplerate <= RATES[1]:
                reason = (
                    f"its sample rate is {file.samplerate:,} Hz; {RATES[0]} to {RATES[1]:,} Hz are allowed."
                )
                raise Fault("rate", reason, "Export it again with its true rate, or remove it.", path)
            yield file
    except (soundfile.SoundFileError, TypeError, OSError) as error:
        raise _unreadable(path, error) from None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[_Forwards]:
    if not _is_array(path):
        with _Forwards(str(path)) as file:
            yield file
        return
    found = npy_layout(path)
    with (
        Samples(path, found.offset) as raw,
        _Forwards(raw, found.rate, 1, found.subtype, found.endian, "RAW") as file,
    ):
        yield file


def _no_samples(path: Path) -> Fault:
    follow = unwritten_bytes(path)
    if not follow:
        return Fault("empty", "it has no sound: 0 samples.", path=path)
    reason = (
        f"its header declares 0 samples, but {follow:,} bytes follow. The recorder may have been interrupted."
    )
    cure = f"Repair it, for example: ffmpeg -ignore_length 1 -i {path.name} {path.stem}-whole.wav"
    return Fault("unfinished", reason, cure, path)


def _unreadable(path: Path, error: Exception) -> Fault:
    name = foreign(path)
    if not name:
        return Fault("unreadable", f"it cannot be read as sound{_said(error)}.", path=path)
    cure = f"Convert it, for example: ffmpeg -i {path.name} {path.stem}.flac"
    return Fault("format", f"its format {name} is not supported.", cure, path)


def _said(error: Exception) -> str:
    """The message of the decoder in parentheses, if it adds something."""
    words = str(getattr(error, "error_string", error)).removeprefix("Error : ").strip(" .")
    return "" if not words or words.lower().startswith(_DULL) else f" ({words})"


# Writing of sound files, in blocks.

FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
"""Suffixes of supported output files to format and encoding of soundfile."""

BLOCK = 1 << 16
"""Samples per channel per call of the encoder. The Vorbis encoder of libsndfile puts all samples of one call
on the stack, which crashes above about two million."""


def check_name(path: Path) -> None:
    """Raises RequestError unless the suffix is a supported output format."""
    if path.suffix.lower() not in FORMATS:
        raise RequestError(
            f"{path}: sounds can be written as {', '.join(FORMATS)}. Use one of these suffixes."
        )


def write_sound(file: BinaryIO, waves: Waves, rate: int, suffix: str) -> None:
    """Writes waves (C, T) at `rate` hertz to an open file, in the format of `suffix`.

    The file is open because errors of soundfile do not report a full disk.
    """
    form, subtype = FORMATS[suffix.lower()]
    with soundfile.SoundFile(file, "w", rate, len(waves), subtype, format=form) as sound:
        for first in range(0, waves.shape[1], BLOCK):
            sound.write(np.ascontiguousarray(waves[:, first : first + BLOCK].T, np.float32))
