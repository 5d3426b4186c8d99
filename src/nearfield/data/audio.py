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

# What a sound file's first bytes say, where the decoder does not: foreign formats, lengths never written.

_FOREIGN = {
    (0, b"BW64"): "BW64",
    (4, b"ftyp"): "MP4 or M4A",
    (0, b"\x1aE\xdf\xa3"): "Matroska or WebM",
    (0, b"wvpk"): "WavPack",
    (0, b"MAC "): "Monkey's Audio",
    (0, b"0&\xb2u\x8ef\xcf\x11"): "WMA",
    (0, b"#!AMR"): "AMR",
}
"""Place and bytes by which formats are known that are not decoded here."""

_LONGEST_HEADER = 1 << 20


def foreign(path: Path) -> str:
    """The name of a format that is not decoded here; "" for any other."""
    with path.open("rb") as file:
        start = file.read(16)
    return next((name for (place, magic), name in _FOREIGN.items() if start[place:].startswith(magic)), "")


def unwritten_bytes(path: Path) -> int:
    """Bytes that follow in a wav file whose header says that it holds no samples; 0 for any other file."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
        place = start.find(b"data", 12)
        if start[:4] != b"RIFF" or place < 0 or start[place + 4 : place + 8] != bytes(4):
            return 0
        return file.seek(0, 2) - place - 8


def bytes_after_first_mp3(path: Path) -> int:
    """Bytes of further mp3 files that were joined to the first, whose header ends it before; 0 where none."""
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
    """Where an ID3v2 tag that begins at `place` ends; `place` where there is none."""
    if start[:3] != b"ID3" or len(start) < 10:
        return place
    size = start[6] << 21 | start[7] << 14 | start[8] << 7 | start[9]
    return place + 10 + size


def _is_frame(start: bytes) -> bool:
    """Whether a frame of MPEG audio, layer 3, begins here."""
    if len(start) < 4 or start[0] != 0xFF or start[1] & 0xE6 != 0xE2:
        return False
    return start[2] >> 4 not in (0, 15) and start[2] & 12 != 12


# What a decoder prints while it reads a file, kept from the terminal and given to whoever reads the file.
#
# libmpg123 prints what it thinks of an mp3 on the C library's standard error, without the file's name. Where
# the C library is glibc, its standard error is replaced by a stream of ours; what others print, or is printed
# while no file is read, goes on to the terminal. Python's own standard error is another stream, and stays so.

_READING = threading.local()
_WRITE = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)
_KEPT: list[Any] = []  # functions that C code may call
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
    """Adds to `said` what C code of this thread prints on its standard error within the block."""
    _replaced()
    before = getattr(_READING, "said", None)
    _READING.said = said
    try:
        yield
    finally:
        _READING.said = before


@functools.cache
def _replaced() -> None:
    """Puts our stream in place of the C library's, once; does nothing where that is not glibc."""
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


# Sound files to float32 waves: probing headers, decoding ranges, mixing channels, resampling.
#
# Waves are (C, T): channels, samples. Full scale is 1; files of floating-point samples may go beyond it.

Waves = npt.NDArray[np.float32]
"""(C, T) float32."""

_PLAIN = (".wav", ".wave", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf")
_CODED = (".flac", ".ogg", ".oga", ".opus", ".mp3")

SUFFIXES = frozenset((*_PLAIN, *_CODED))
"""Names of files that are taken for sounds when a folder is searched."""

UNREAD_SUFFIXES = frozenset(
    (".m4a", ".mp4", ".aac", ".wma", ".amr", ".ape", ".wv", ".mka", ".webm", ".ac3", ".dsf", ".3gp")
)
"""Sounds that cannot be decoded here; they are named as left out rather than passed over."""

_MOST_SAMPLES = 2**40  # more than this in a header means that the length is not known

RATES = (100, 10_000_000)
"""Lowest and highest rate, in hertz, of a file that is read. Beyond them the header is wrong: brought to a
usual rate, a small file would become gigabytes."""

LARGEST = 1e10
"""Floating-point samples beyond this are no sound: sums of their squares leave the range of float32."""
UNUSABLE = "are NaN, infinite or beyond 1e10 (full scale is 1)."
"""What is wrong with samples that are not usable."""
EXPORT = "Export the sound again, with samples from -1 to 1."

MOST_AT_ONCE = 1 << 24
"""Samples, of all channels together, that are asked of a decoder at a time, whatever the header promises."""

_INEXACT = ("OGG", "MP3")
_PASSED = 1 << 18  # samples decoded at a time on the way to the first one that is wanted


class _Forwards(soundfile.SoundFile):  # type: ignore[misc]  # the library has no types
    """A file that is read on from where it stands.

    The library would jump to that place after each read, which makes decoders of mp3 and ogg start anew:
    samples after each seam would differ from those of the file read at once.
    """

    def __init__(self, file: Any, *raw: Any) -> None:
        self.said: list[str] = []
        """What the decoder printed so far; libmpg123 prints."""
        self._prints = str(file).lower().endswith(".mp3")
        with self._words_kept():
            super().__init__(file, "r", *raw)

    def read(self, frames: int = -1, dtype: str = "float32", always_2d: bool = False) -> Any:
        """As the library reads, what the decoder prints being kept."""
        with self._words_kept():
            return super().read(frames, dtype, always_2d)

    def _words_kept(self) -> contextlib.AbstractContextManager[None]:
        return words_kept(self.said) if self._prints else contextlib.nullcontext()

    def seekable(self) -> bool:
        """What keeps the library from jumping; `seek` works all the same."""
        return False

    @property
    def is_exact(self) -> bool:
        """Whether it can jump to a sample: libsndfile (1.2.2) lands beside the mark on the last page of an
        ogg file, mp3 sounds wrong for some frames after a jump, and some formats, as GSM, cannot jump."""
        return super().seekable() and self.format not in _INEXACT


# A file's own words, where they say more than that it could not be read.
_DULL = ("error opening", "format not recognised")


@dataclass(frozen=True)
class SoundFacts:
    """What a sound file's header says."""

    rate: int
    """Samples a second, in hertz."""
    channels: int
    frames: int
    """Samples of each channel."""
    floating: bool = False
    """Whether samples are kept as floating-point numbers, of which some may be NaN or infinite."""

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate


def describe(path: Path) -> SoundFacts:
    """What the header says, without decoding. Raises Fault: missing, not a file, unreadable, empty."""
    with opened(path) as file:
        floating = file.subtype in ("FLOAT", "DOUBLE")
        return SoundFacts(file.samplerate, file.channels, file.frames, floating)


def decode(path: Path, start: float = 0.0, seconds: float | None = None) -> tuple[Waves, int]:
    """The samples from `start` (seconds into the file) for `seconds` or to the end: (C, T), and hertz.

    A file that breaks off gives the samples that are there, at least one. Raises Fault (a DataError) where
    the file is missing, unreadable or empty, `start` lies beyond its end, it breaks while decoding, or a
    sample is not a number.
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
    """Which samples are numbers that sound can have: neither NaN nor infinite, nor beyond `LARGEST`."""
    return np.asarray(np.abs(waves) <= LARGEST)


def blocks(
    path: Path,
    start: float,
    seconds: float | None,
    block_seconds: float,
    said: list[str] | None = None,
) -> Iterator[Waves]:
    """The same samples in pieces (C, T) of at most `block_seconds`; unusable samples are let through.

    `said` gets what the decoder prints about the file.
    """
    with opened(path) as file:
        file.said = file.said if said is None else said
        first, last = _range(path, file, start, seconds)
        yield from _pieces(path, file, first, last, max(1, round(block_seconds * file.samplerate)))


def mix(waves: Waves, channels: Channels) -> Waves:
    """(C, T) to (1, T) by the mean of all channels or one channel counted from 0; `all` keeps (C, T).

    `views` makes clips of channels where a collection is opened; a sound that is asked for as one is
    heard by the mean. Raises DataError where the sound has no channel of that number.
    """
    if channels == "all":
        return waves
    if channels in ("mean", "views"):
        return waves if len(waves) == 1 else waves.mean(axis=0, keepdims=True, dtype=np.float32)
    assert isinstance(channels, int)
    if channels >= len(waves):
        raise DataError(
            f"data: channels: there is no channel {channels}: the sound has {len(waves)}, counted from 0. "
            "Use mean, all, or a smaller number."
        )
    return waves[channels : channels + 1]


def resample(waves: Waves, rate: float, target: float) -> Waves:
    """(C, T) at `rate` hertz to (C, T') at `target` hertz by soxr's HQ band-limited filter."""
    if rate == target:
        return waves
    return np.ascontiguousarray(soxr.resample(waves.T, rate, target, quality="HQ").T)


def _range(path: Path, file: Any, start: float, seconds: float | None) -> tuple[int, int]:
    """The first sample, and the one after the last."""
    rate = file.samplerate
    first = round(min(start * rate, file.frames))
    if not 0 <= first < file.frames:
        reason = f"the clip starts at {start:g} s, but the file has {file.frames / rate:g} s."
        raise Fault("short", reason, "Correct `start`.", path)
    last = file.frames if seconds is None else round(min((start + seconds) * rate, file.frames))
    if last <= first:
        raise Fault("short", f"a clip of {seconds} s holds no sample.", "Correct `seconds`.", path)
    return first, last


def _go_to(file: Any, first: int) -> None:
    """Stands before sample `first`: by a jump where jumps are exact, else by decoding all before it."""
    if first and file.is_exact:
        file.seek(first)
        return
    while first > 0 and (passed := len(file.read(min(first, _PASSED), dtype="float32"))):
        first -= passed


def _pieces(path: Path, file: Any, first: int, last: int, size: int) -> Iterator[Waves]:
    """Samples `first` to `last` as `_decoded` gives them. Raises Fault as `check_scale`."""
    check_scale(path)
    return _decoded(path, file, first, last, size)


def check_scale(path: Path) -> None:
    """Raises Fault where the file is an array whose samples do not have the full scale of their type."""
    if _is_array(path):
        check_full_scale(path)


def _is_array(path: Path) -> bool:
    return path.suffix.lower() == ".npy"


def _decoded(path: Path, file: Any, first: int, last: int, size: int) -> Iterator[Waves]:
    """Samples `first` to `last`, at most `size` at a time, while some can be decoded; at least one piece.

    No more than `MOST_AT_ONCE`: the library would make room for all that a wrong header promises.
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
        reason = f"nothing could be decoded from {first / file.samplerate:g} s on."
        raise Fault("cut_off", reason, path=path)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An open soundfile.SoundFile with at least one sample; the library's errors in our words."""
    check_file(path)
    try:
        with _open(path) as file:
            if not 0 < file.frames < _MOST_SAMPLES:
                raise _no_samples(path)
            if not RATES[0] <= file.samplerate <= RATES[1]:
                reason = f"its header says {file.samplerate:,} Hz; {RATES[0]} to {RATES[1]:,} Hz are read."
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
        return Fault("empty", "there is no sound in it: 0 samples.", path=path)
    reason = (
        f"its header says 0 samples, but {follow:,} bytes follow, as where a recorder was stopped by force."
    )
    cure = f"Repair it, for example: ffmpeg -ignore_length 1 -i {path.name} {path.stem}-whole.wav"
    return Fault("unfinished", reason, cure, path)


def _unreadable(path: Path, error: Exception) -> Fault:
    name = foreign(path)
    if not name:
        return Fault("unreadable", f"it cannot be read as sound{_said(error)}.", path=path)
    cure = f"Convert it, for example: ffmpeg -i {path.name} {path.stem}.flac"
    return Fault("format", f"it is a file of the format {name}, which is not decoded here.", cure, path)


def _said(error: Exception) -> str:
    """What the decoder said, in brackets, where it helps."""
    words = str(getattr(error, "error_string", error)).removeprefix("Error : ").strip(" .")
    return "" if not words or words.lower().startswith(_DULL) else f" ({words})"


# Waves to sound files, a block at a time.

FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
"""Endings of files that are written: format and encoding, as soundfile names them."""

BLOCK = 1 << 16
"""Samples of each channel that the encoder gets at a time. libsndfile's Vorbis encoder puts all samples of
one call on the stack, which ends the process beyond some two million."""


def check_name(path: Path) -> None:
    """Raises RequestError where a sound cannot be written under this name."""
    if path.suffix.lower() not in FORMATS:
        raise RequestError(f"{path}: a sound is written as one of {', '.join(FORMATS)}. Name it so.")


def write_sound(file: BinaryIO, waves: Waves, rate: int, suffix: str) -> None:
    """Writes waves (C, T) at `rate` hertz to an open file, in the format that `suffix` stands for.

    An open file, because soundfile's own errors do not say that the disk is full.
    """
    form, subtype = FORMATS[suffix.lower()]
    with soundfile.SoundFile(file, "w", rate, len(waves), subtype, format=form) as sound:
        for first in range(0, waves.shape[1], BLOCK):
            sound.write(np.ascontiguousarray(waves[:, first : first + BLOCK].T, np.float32))
