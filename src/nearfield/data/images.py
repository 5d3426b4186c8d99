"""Picture files to arrays of bytes; size is checked before anything is decoded."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nearfield.data.faults import Fault, check_file

Pixels = npt.NDArray[np.uint8]
"""(H, W, C) uint8, C being 1 for grey and 3 for colour."""

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp"))
"""Names of files that are taken for pictures when a folder is searched."""

MOST_PIXELS = 50_000_000
"""Larger pictures are refused: a small file can hold billions of pixels."""

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_GREY = ("1", "L", "I;16", "I", "F")


def picture(path: Path) -> Pixels:
    """The picture as uint8 (H, W, 1) where it is grey, else (H, W, 3); upright; what is transparent is white.

    Raises Fault where the file is missing, no picture, broken or has more than `MOST_PIXELS` pixels.
    """
    with _opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in _GREY:
            return _bytes(upright)[:, :, None]
        if upright.has_transparency_data:
            clear = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
        return np.asarray(upright.convert("RGB"), np.uint8)


def size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header alone. Raises Fault as `picture` does."""
    with _opened(path) as image:
        return image.size


def _bytes(image: Image.Image) -> Pixels:
    """A grey picture as bytes; 16-bit pictures keep their upper eight bits."""
    if image.mode in ("I;16", "I", "F"):
        return (np.clip(np.asarray(image, np.float64), 0, 65535) / 256).astype(np.uint8)
    return np.asarray(image.convert("L"), np.uint8)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    check_file(path)
    reason = f"the picture has more than {MOST_PIXELS:,} pixels."
    too_many = Fault("too_large", reason, "Make it smaller.", path)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise too_many
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_many from None
    except (OSError, SyntaxError, ValueError, EOFError):
        raise Fault("unreadable", "it cannot be read as a picture.", path=path) from None
