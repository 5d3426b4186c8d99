"""Waves stored as NumPy files (`.npy`): one array of samples, read as raw sound after the header.

An array has no sample rate: a file `npy_rate.txt` in its folder, or in a folder above, has it in hertz.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.data.faults import AGAIN, Fault

RATE_FILE = "npy_rate.txt"
LOUDEST = 1000.0
"""Largest allowed floating-point sample if full scale is 1: 60 dB above full scale."""
QUIETEST = 2**15
"""If all samples of int32 are below this, they have 16 bits, or the sound is nearly silent."""
_BLOCK = 1 << 20  # samples that are checked at once
_ENCODINGS = {"f4": "FLOAT", "f8": "DOUBLE", "i2": "PCM_16", "i4": "PCM_32", "i1": "PCM_S8", "u1": "PCM_U8"}


@dataclass(frozen=True)
class Layout:
    """Format of the samples of a file."""

    rate: int
    subtype: str
    endian: str
    offset: int
    """Bytes before the first sample."""


class Samples(io.FileIO):
    """A file without its header, for a decoder of raw samples."""

    def __init__(self, path: Path, offset: int) -> None:
        super().__init__(path)
        self._offset = offset
        self.seek(0)

    def seek(self, place: int, whence: int = 0) -> int:
        """Seeks relative to the first sample."""
        return super().seek(place + self._offset if whence == 0 else place, whence) - self._offset

    def tell(self) -> int:
        """Returns the position in bytes after the first sample."""
        return super().tell() - self._offset


def is_unscaled(wave: npt.NDArray[Any]) -> bool:
    """Whether floating-point samples are integers that were not divided by full scale, or not a sound."""
    return _is_beyond(float(np.abs(wave).max(initial=0.0)), [wave])


def _is_beyond(peak: float, pieces: Iterable[npt.NDArray[Any]]) -> bool:
    """The same for a wave in blocks with a given peak."""
    if not np.isfinite(peak):  # a different fault
        return False
    return peak > LOUDEST or (peak >= 2 and all(np.array_equal(piece, np.rint(piece)) for piece in pieces))


def check_full_scale(path: Path) -> None:
    """Raises Fault if the samples of an array file do not use the full scale of their type.

    All samples are checked, because a part is not conclusive; the result is cached for unchanged files.
    """
    found = path.stat()
    if problem := _unscaled(path, found.st_mtime_ns, found.st_size):
        raise Fault("unscaled", *problem, path)


@lru_cache(1 << 16)
def _unscaled(path: Path, changed: int, size: int) -> tuple[str, str] | None:
    """Reason and cure if the scale of a file is wrong; time and size identify its version."""
    wave = np.load(path, mmap_mode="r", allow_pickle=False).reshape(-1)
    pieces = [wave[first : first + _BLOCK] for first in range(0, len(wave), _BLOCK)]
    if wave.dtype.str[1:] not in ("f4", "f8", "i4"):
        return None
    peak = max(max(float(piece.max()), -float(piece.min())) for piece in pieces)
    if wave.dtype.kind == "i":
        reason = f"its largest sample is {peak:.0f}, and full scale of int32 is 2147483648."
        cure = "Of 16 bits: save wave.astype('int16'). Next to silence: save wave / 2147483648."
        return (reason, cure) if 0 < peak < QUIETEST else None
    if not _is_beyond(peak, pieces):
        return None
    reason = f"its samples reach {peak:g}, and full scale is 1: whole numbers, or no sound."
    cure = "Save the whole numbers (int16), or divide by full scale: wave / 32768 for 16 bits."
    return reason, cure


def npy_layout(path: Path) -> Layout:
    """Reads the format of an array file. Raises Fault unless it is a wave with full scale and sample rate."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        reason = f"it cannot be read as an array ({str(error).splitlines()[0].rstrip('.')})."
        raise Fault("unreadable", reason, AGAIN, path) from None
    if not isinstance(array, np.memmap):
        array.close()
        cure = "Save each array as a file of its own: numpy.save."
        raise Fault("shape", "it is an archive of several arrays (.npz).", cure, path)
    if array.size != max(array.shape, default=0):
        reason = f"its array has the shape {array.shape}; one wave (samples,) is wanted."
        raise Fault("shape", reason, "Save each channel or clip as a file of its own.", path)
    subtype = _ENCODINGS.get(array.dtype.str[1:])
    if subtype is None:
        reason = f"its samples are {array.dtype}; float32, float64, int16, int32, int8 or uint8 are read."
        raise Fault("type", reason, "Save it as float32, with samples from -1 to 1.", path)
    endian = "BIG" if array.dtype.str[0] == ">" else "LITTLE"
    return Layout(_rate(path), subtype, endian, array.offset)


def rate_file(folder: Path) -> Path | None:
    """Returns the file with the sample rate for arrays in a folder: its own, or that of a folder above."""
    places = [place / RATE_FILE for place in (folder, *folder.parents)]
    return next((place for place in places if place.is_file()), None)


def _rate(path: Path) -> int:
    place = rate_file(path.absolute().parent)
    if place is None:
        cure = f"Write it in hertz into a text file {RATE_FILE} beside it or in a folder above it."
        raise Fault("no_rate", "an array does not say its sample rate.", cure, path)
    text = place.read_text(encoding="utf-8", errors="replace").strip()
    if not text.isdecimal():
        raise Fault(
            "no_rate", f"{place} holds {text[:20]!r}.", "Write a number of hertz into it: 16000.", path
        )
    return int(text)
