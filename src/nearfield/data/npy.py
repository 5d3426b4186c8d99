"""Waves kept as NumPy files (`.npy`): one array of samples each, read as raw sound behind its header.

An array does not say its rate: a file `npy_rate.txt` beside it, or in a folder above, holds it in hertz.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.data.faults import AGAIN, Fault

RATE_FILE = "npy_rate.txt"
LOUDEST = 1000.0
"""Largest sample, of a full scale of 1, that floating-point sound may have: 60 dB above full scale."""
QUIETEST = 2**15
"""Samples of int32 that stay below this, but for silence, are of 16 bits or next to silence."""
_ENCODINGS = {"f4": "FLOAT", "f8": "DOUBLE", "i2": "PCM_16", "i4": "PCM_32", "i1": "PCM_S8", "u1": "PCM_U8"}


@dataclass(frozen=True)
class Layout:
    """How the samples of one file lie in it."""

    rate: int
    subtype: str
    endian: str
    offset: int
    """Bytes before the first sample."""


class Samples(io.FileIO):
    """A file from its first sample on, for a decoder that knows of no header."""

    def __init__(self, path: Path, offset: int) -> None:
        super().__init__(path)
        self._offset = offset
        self.seek(0)

    def seek(self, place: int, whence: int = 0) -> int:
        """As files do, counted from the first sample."""
        return super().seek(place + self._offset if whence == 0 else place, whence) - self._offset

    def tell(self) -> int:
        """Bytes behind the first sample."""
        return super().tell() - self._offset


def is_unscaled(wave: npt.NDArray[Any]) -> bool:
    """Whether floating-point samples are whole numbers that were never divided by full scale, or no sound."""
    peak = float(np.abs(wave).max(initial=0.0))
    if not np.isfinite(peak):  # which is another fault
        return False
    return peak > LOUDEST or (peak >= 2 and np.array_equal(wave, np.rint(wave)))


def of_full_scale(
    path: Path, pieces: Iterable[npt.NDArray[Any]], subtype: str, is_whole: bool
) -> Iterator[npt.NDArray[Any]]:
    """The same pieces (C, T) of an array's file, decoded; `is_whole`: they are all of it.

    Raises Fault where they show that the samples do not have the full scale that their type says.
    """
    peak = 0.0
    for piece in pieces:
        if subtype in ("FLOAT", "DOUBLE") and is_unscaled(piece):
            reason = (
                f"its samples reach {np.abs(piece).max():g}, and full scale is 1: whole numbers, or no sound."
            )
            cure = "Save the whole numbers (int16), or divide by full scale: wave / 32768 for 16 bits."
            raise Fault("unscaled", reason, cure, path)
        peak = max(peak, float(np.abs(piece).max(initial=0.0)) * 2**31)
        yield piece
    if subtype == "PCM_32" and is_whole and 0 < peak < QUIETEST:
        reason = f"its largest sample is {peak:.0f}, and full scale of int32 is 2147483648."
        cure = "Of 16 bits: save wave.astype('int16'). Next to silence: save wave / 2147483648."
        raise Fault("unscaled", reason, cure, path)


def npy_layout(path: Path) -> Layout:
    """Raises Fault for an array that is not one wave of numbers with a full scale, or has no rate."""
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
    """The file that says the rate of arrays in this folder: its own, or that of the nearest folder above."""
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
