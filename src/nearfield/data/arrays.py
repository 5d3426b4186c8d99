"""Validation of sounds given as arrays in Python instead of files.

The meaning of an array is not always clear, so anything ambiguous raises an error. Type, axes, length and
range of samples are checked only here.
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
"""Largest number of channels; a longer axis holds samples."""
_TEXT = "Give a path as str: os.fsdecode(path)."
_PAIR = (
    "{name} a pair of a sample rate and a wave. Give the wave alone, [wave], at the recipe's sample rate "
    "(data.sample_rate); or the file, which is brought to that rate."
)

Input = str | os.PathLike[str] | npt.ArrayLike
"""A path of a file, or a wave (T,) or (C, T) at the sample rate that the function expects."""

_FULL_SCALE = {"int8": 128, "uint8": 128, "int16": 2**15, "int32": 2**31}
_FLOATS = "samples are floating-point numbers from -1 to 1, or int16, int32, int8 or uint8 as in a file"


def as_sounds(given: Any) -> list[Path | Waves]:
    """Converts a sequence of files and waves; waves become (C, T) float32 with full scale 1.

    A single path is allowed. Raises DataError, with what to write instead, for anything else than a sequence
    of sounds: a single wave, a table, bytes.
    """
    if isinstance(given, str | os.PathLike):
        return [Path(given).expanduser()]
    return [_sound(each, f"sound {number}") for number, each in enumerate(_listed(given))]


def as_wave(given: Any, name: str) -> Waves:
    """Converts a wave (T,) or (C, T) to (C, T) float32. Raises DataError, with `name`, if it is not one."""
    array = _plain(given, name)
    if array.ndim not in (1, 2):
        raise DataError(
            f"{name}: a wave is (samples,) or (channels, samples). Given: an array of shape {array.shape}."
        )
    wave = np.atleast_2d(array)
    channels, samples = wave.shape
    if not wave.size:
        raise DataError(f"{name}: it has no sound: 0 samples. Leave it out.")
    if channels > max(1, min(MOST_CHANNELS, samples)):
        raise DataError(
            f"{name}: a wave is (channels, samples). Given: an array of shape {array.shape}, which would be "
            f"{channels:,} channels of {samples:,} samples. soundfile and scipy give (samples, channels): "
            "transpose it (wave.T)."
        )
    return _scaled(wave, name)


def as_data(given: Any) -> str:
    """Returns DATA as text: a folder, a table, NAME:PATH. Raises DataError for a table in memory."""
    if isinstance(given, str | os.PathLike):
        return os.fsdecode(given)
    raise DataError(
        f"Data are given by name: a folder, a table (CSV, Parquet), NAME:PATH. Given: {_said(given)}. Save a "
        "table in memory, table.to_csv('clips.csv', index=False), and give 'clips.csv'; its paths are "
        "relative to its folder."
    )


def _listed(given: Any) -> list[Any]:
    """The elements of a sequence of sounds. Raises DataError for anything else."""
    if hasattr(given, "columns") or isinstance(given, Mapping):
        raise DataError(
            f"A list of files or waves is expected. Given: a {type(given).__name__}. Give its column of "
            "paths: list(table['path'])."
        )
    if isinstance(given, bytes | Set) or not isinstance(given, Iterable):
        hint = f" {_TEXT}" if isinstance(given, bytes) else ""
        raise DataError(f"A list of files or waves is expected. Given: {_said(given)}.{hint}")
    if _is_pair_with_rate(given):
        raise DataError(_PAIR.format(name="A list of files or waves is expected. Given"))
    shape = _shape(given)
    if len(shape) == 1 and _holds_numbers(given):
        raise _one_wave(shape[0])
    if len(shape) == 2 and _holds_numbers(given):
        raise DataError(
            f"A list of files or waves is expected. Given: one array of shape {shape}. For several sounds of "
            "equal length, give list(array); for one sound of (channels, samples), [array]; of (samples, "
            "channels), [array.T]."
        )
    listed = list(given)
    if listed and all(_is_number(each) for each in listed):
        raise _one_wave(len(listed))
    return listed


def _one_wave(samples: int) -> DataError:
    return DataError(
        f"A list of files or waves is expected. Given: {samples:,} numbers, which are one wave. Give a "
        "list: [wave]."
    )


def _sound(given: Any, name: str) -> Path | Waves:
    if isinstance(given, str | os.PathLike):
        return Path(given).expanduser()
    if isinstance(given, bytes):
        raise DataError(f"{name}: a file or a wave is expected. Given: bytes. {_TEXT}")
    if _is_pair_with_rate(given):
        raise DataError(_PAIR.format(name=f"{name} is"))
    return as_wave(given, name)


def _plain(given: Any, name: str) -> npt.NDArray[Any]:
    """The wave as an array on the CPU, with a type that has a full scale."""
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        given = given.float() if given.is_floating_point() else given
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):  # the message of NumPy does not help
        raise DataError(f"{name}: a file or a wave is expected. Given: {_said(given)}.") from None
    if array.dtype.kind not in "iuf":
        what = _said(given) if array.dtype == object else f"an array of {array.dtype}"
        raise DataError(f"{name}: a file or a wave is expected. Given: {what}; {_FLOATS}.")
    return array


def _scaled(wave: npt.NDArray[Any], name: str) -> Waves:
    """Samples as float32 with full scale 1. Raises DataError if full scale is unknown or exceeded."""
    kind = wave.dtype.name
    if wave.dtype.kind in "iu":
        if kind not in _FULL_SCALE:
            raise DataError(
                f"{name}: samples of {kind} have no defined full scale; {_FLOATS}. Read the file again as "
                "one of these, or divide by full scale: wave / 32768 for 16 bits."
            )
        largest = int(np.abs(wave.astype(np.float64)).max())
        if kind == "int32" and 0 < largest < QUIETEST:
            raise DataError(
                f"{name}: its largest sample is {largest}, but full scale of int32 is 2147483648. For 16-bit "
                "samples stored in 32 bits, give wave.astype('int16'); for a nearly silent sound, "
                "wave / 2147483648."
            )
        zero = 128 if kind == "uint8" else 0  # 8-bit wav samples are unsigned
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
            f"{name}: its largest sample is {np.abs(wave).max():g}, but full scale is 1. These may be "
            "integers converted to floating point, or not a sound. Give the integers (int16), or divide by "
            "full scale: wave / 32768 for 16 bits."
        )
    return np.ascontiguousarray(wave, np.float32)


def _is_pair_with_rate(given: Any) -> bool:
    """Whether it is (rate, wave) of scipy.io.wavfile.read, or (wave, rate) of soundfile.read."""
    if not isinstance(given, tuple) or len(given) != 2:
        return False
    return any(_is_number(one) and not _is_number(other) for one, other in (given, given[::-1])) and not any(
        isinstance(each, str | os.PathLike | bytes) for each in given
    )


def _is_number(given: Any) -> bool:
    return isinstance(given, Number) or (getattr(given, "shape", None) == () and _holds_numbers(given))


def _shape(given: Any) -> tuple[int, ...]:
    """The shape of an array of any library; () for anything else."""
    shape = getattr(given, "shape", ())
    return tuple(shape) if isinstance(shape, tuple) else ()


def _holds_numbers(given: Any) -> bool:
    kind = getattr(
        getattr(given, "dtype", None), "kind", "f"
    )  # types of torch have no kind and are all numeric
    return kind in "biufc"


def _said(given: Any) -> str:
    """A short description of what was given."""
    if given is None or isinstance(given, Number):
        return repr(given)
    return f"a {type(given).__name__}"
