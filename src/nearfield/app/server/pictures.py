"""A clip as a small PNG: a picture, or the log-mel of a sound in one colour scale a theme."""

import io
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from nearfield.data.audio import Waves
from nearfield.data.pictures import picture
from nearfield.models.features.log_mel import LogMelSettings

Theme = Literal["light", "dark"]

_WIDEST = 1200  # frames of a picture
_RANGE = 80.0  # decibels from the loudest to what is shown as nothing
_SCALES: dict[Theme, tuple[str, ...]] = {
    "light": ("f4f1ea", "dcd9d2", "a9b7c4", "5f86a8", "2b5a86", "14304f"),
    "dark": ("17191d", "20303f", "2c587a", "4b8fb8", "a3cfe0", "f6f4ee"),
}


def log_mel_png(waves: Waves, rate: int, settings: LogMelSettings, theme: Theme) -> bytes:
    """(C, T) at `rate` hertz as a PNG, low bands below; 80 decibels down from the loudest cell.

    Longer sounds have a longer hop, so that a picture is never wider than 1,200 cells.
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
    """A picture as a PNG, upright, its longer side at most `side` pixels; smaller ones stay as they are.

    Raises DataError where there is none.
    """
    pixels = picture(path)
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((side, side))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _levels(waves: Waves, rate: int, settings: LogMelSettings) -> npt.NDArray[np.float32]:
    """(bands, frames) in decibels."""
    seconds = waves.shape[1] / rate
    hop = min(1000.0, max(settings.hop_ms, 1000 * seconds / _WIDEST))
    plain = settings.model_copy(update={"log": "db", "floor": None, "hop_ms": hop, "padding": "zero"})
    feature = plain.build(rate, 1)
    least = 2 * feature.framing.fft  # centred frames need more than half a window
    mono = waves.mean(0, keepdims=True, dtype=np.float32)
    padded = np.pad(mono, ((0, 0), (0, max(0, least - mono.shape[1]))))
    with torch.no_grad():
        picture = feature(torch.from_numpy(padded[None]))[0, 0]
    found: npt.NDArray[np.float32] = picture.numpy()
    return found[:, : max(1, round(found.shape[1] * mono.shape[1] / padded.shape[1]))]


def _palette(theme: Theme) -> bytes:
    """256 colours between those of a scale."""
    stops = np.array([[int(code[at : at + 2], 16) for at in (0, 2, 4)] for code in _SCALES[theme]])
    place = np.linspace(0, len(stops) - 1, 256)
    colours = [np.interp(place, np.arange(len(stops)), stops[:, part]) for part in range(3)]
    return np.stack(colours, 1).round().astype(np.uint8).tobytes()
