"""What comes in from Python in place of files: sounds as arrays, read rightly or refused with a reason.

An array does not say what it holds, so everything that would be a guess is refused: the one place where type,
axes, length and range of samples are looked at.
"""

import os
from collections.abc import Iterable, Mapping, Set
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.core.errors import DataError
from nearfield.data.audio import Waves
from nearfield.data.npy import QUIETEST, is_unscaled

MOST_CHANNELS = 1023
"""Channels that a sound may have; more of them are samples."""
_TEXT = "Give a path as str: os.fsdecode(path)."
_PAIR = (
    "{name} a pair of a sample rate and a wave. Give the wave alone, [wave], at the recipe's sample rate "
    "(data.sample_rate); or the file, which is brought to that rate."
)

Input = str | os.PathLike[str] | npt.ArrayLike
"""A file by its path; or a wave (T,) or (C, T) as an array, at the sample rate of whoever takes it."""

_FULL_SCALE = {"int8": 128, "uint8": 128, "int16": 2**15, "int32": 2**31}
_FLOATS = "samples are of floating point within -1 and 1, or int16, int32, int8, uint8 as a file has them"


def as_sounds(given: Any) -> list[Path | Waves]:
    """The files and waves of a sequence, waves as (C, T) float32 of full scale 1.

    One file may be given by its path alone. Raises DataError, with what to write instead, for everything
    that is no sequence of sounds: one wave without its list, a table, bytes.
    """
    if isinstance(given, str | os.PathLike):
        return [Path(given).expanduser()]
    return [_sound(each, f"sound {number}") for number, each in enumerate(_listed(given))]


def as_wave(given: Any, name: str) -> Waves:
    """(C, T) float32 of a wave (T,) or (C, T). Raises DataError, calling it `name`, where it is none."""
    array = _plain(given, name)
    if array.ndim not in (1, 2):
        raise DataError(
            f"{name}: a wave is (samples,) or (channels, samples). Given: an array of shape {array.shape}."
        )
    wave = np.atleast_2d(array)
    channels, samples = wave.shape
    if not wave.size:
        raise DataError(f"{name}: there is no sound in it: 0 samples. Leave it out.")
    if channels > max(1, min(MOST_CHANNELS, samples)):
        raise DataError(
            f"{name}: a wave is (channels, samples). Given: an array of shape {array.shape}, which would be "
            f"{channels:,} channels of {samples:,} samples. soundfile and scipy give (samples, channels): "
            "transpose it (wave.T)."
        )
    return _scaled(wave, name)


def as_data(given: Any) -> str:
    """DATA as text: a folder, a table, NAME:PATH. Raises DataError for a table in memory."""
    if isinstance(given, str | os.PathLike):
        return os.fsdecode(given)
    raise DataError(
        f"Data are given by name: a folder, a table (CSV, Parquet), NAME:PATH. Given: {_said(given)}. Of a "
        "table in memory: table.to_csv('clips.csv', index=False) and give 'clips.csv', whose paths count "
        "from its own folder."
    )


def _listed(given: Any) -> list[Any]:
    """The elements of a sequence of sounds. Raises DataError for what is another thing."""
    if hasattr(given, "columns") or isinstance(given, Mapping):
        raise DataError(
            f"A list of files or waves is wanted. Given: a {type(given).__name__}. Give its column of paths: "
            "list(table['path'])."
        )
    if isinstance(given, bytes | Set) or not isinstance(given, Iterable):
        hint = f" {_TEXT}" if isinstance(given, bytes) else ""
        raise DataError(f"A list of files or waves is wanted. Given: {_said(given)}.{hint}")
    if _is_pair_with_rate(given):
        raise DataError(_PAIR.format(name="A list of files or waves is wanted. Given"))
    shape = _shape(given)
    if len(shape) == 1 and _holds_numbers(given):
        raise _one_wave(shape[0])
    if len(shape) == 2 and _holds_numbers(given):
        raise DataError(
            f"A list of files or waves is wanted. Given: one array of shape {shape}. Several sounds of one "
            "length: list(array). One sound of (channels, samples): [array]; of (samples, channels): "
            "[array.T]."
        )
    listed = list(given)
    if listed and all(_is_number(each) for each in listed):
        raise _one_wave(len(listed))
    return listed


def _one_wave(samples: int) -> DataError:
    return DataError(
        f"A list of files or waves is wanted. Given: {samples:,} numbers, which are one wave. Put it in a "
        "list: [wave]."
    )


def _sound(given: Any, name: str) -> Path | Waves:
    if isinstance(given, str | os.PathLike):
        return Path(given).expanduser()
    if isinstance(given, bytes):
        raise DataError(f"{name}: a file or a wave is wanted. Given: bytes. {_TEXT}")
    if _is_pair_with_rate(given):
        raise DataError(_PAIR.format(name=f"{name} is"))
    return as_wave(given, name)


def _plain(given: Any, name: str) -> npt.NDArray[Any]:
    """The array that is meant, on the processor, with samples that have a full scale."""
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        given = given.float() if given.is_floating_point() else given
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):  # NumPy's own words are about its own shapes
        raise DataError(f"{name}: a file or a wave is wanted. Given: {_said(given)}.") from None
    if array.dtype.kind not in "iuf":
        what = _said(given) if array.dtype == object else f"an array of {array.dtype}"
        raise DataError(f"{name}: a file or a wave is wanted. Given: {what}; {_FLOATS}.")
    return array


def _scaled(wave: npt.NDArray[Any], name: str) -> Waves:
    """Samples as float32 of full scale 1. Raises DataError where full scale is not known, or is not kept."""
    kind = wave.dtype.name
    if wave.dtype.kind in "iu":
        if kind not in _FULL_SCALE:
            raise DataError(
                f"{name}: samples of {kind} do not tell what full scale is; {_FLOATS}. Read the file again "
                "as one of these, or divide by full scale: wave / 32768 for 16 bits."
            )
        largest = int(np.abs(wave.astype(np.float64)).max())
        if kind == "int32" and 0 < largest < QUIETEST:
            raise DataError(
                f"{name}: its largest sample is {largest}, and full scale of int32 is 2147483648: samples of "
                "16 bits held in 32, or next to silence. Of 16 bits: wave.astype('int16'). Next to silence: "
                "wave / 2147483648."
            )
        zero = 128 if kind == "uint8" else 0  # 8 bits in a wav are counted from 0
        scaled: Waves = ((wave.astype(np.float64) - zero) / _FULL_SCALE[kind]).astype(np.float32)
        return scaled
    finite = np.isfinite(wave)
    if not finite.all():
        raise DataError(
            f"{name}: {int(wave.size - finite.sum())} of {wave.size} samples are NaN or infinite. "
            "Export the sound again, or leave it out."
        )
    if is_unscaled(wave):
        raise DataError(
            f"{name}: its largest sample is {np.abs(wave).max():g}, and full scale is 1: whole numbers of a "
            "file that were turned to floating point, or no samples at all. Give the whole numbers as they "
            "were read (int16), or divide by full scale: wave / 32768 for 16 bits."
        )
    return np.ascontiguousarray(wave, np.float32)


def _is_pair_with_rate(given: Any) -> bool:
    """(rate, wave) as scipy.io.wavfile.read gives, or (wave, rate) as soundfile.read does."""
    if not isinstance(given, tuple) or len(given) != 2:
        return False
    return any(_is_number(one) and not _is_number(other) for one, other in (given, given[::-1])) and not any(
        isinstance(each, str | os.PathLike | bytes) for each in given
    )


def _is_number(given: Any) -> bool:
    return isinstance(given, Number) or (getattr(given, "shape", None) == () and _holds_numbers(given))


def _shape(given: Any) -> tuple[int, ...]:
    """Of an array of whatever library; () for what is none."""
    shape = getattr(given, "shape", ())
    return tuple(shape) if isinstance(shape, tuple) else ()


def _holds_numbers(given: Any) -> bool:
    kind = getattr(getattr(given, "dtype", None), "kind", "f")  # torch's types have no kind: all are numbers
    return kind in "biufc"


def _said(given: Any) -> str:
    """What was given, in words short enough for a sentence."""
    if given is None or isinstance(given, Number):
        return repr(given)
    return f"a {type(given).__name__}"
