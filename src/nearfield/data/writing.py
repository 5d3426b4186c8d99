"""Waves to sound files, a block at a time."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from nearfield.core.errors import RequestError
from nearfield.data.audio import Waves

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
