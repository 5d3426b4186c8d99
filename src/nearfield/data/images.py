"""Decoding of image files to bytes; the size is checked before decoding."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nearfield.data.faults import Fault, check_file

Pixels = npt.NDArray[np.uint8]
"""(H, W, C) uint8; C is 1 for gray and 3 for RGB."""

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp"))
"""Suffixes of files that count as images when a folder is searched."""

MOST_PIXELS = 50_000_000
"""Largest number of pixels; a small file can contain billions of them."""

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_GRAY = ("1", "L", "I;16", "I", "F")


def picture(path: Path) -> Pixels:
    """Decodes an image to uint8 (H, W, 1) if it is gray, else (H, W, 3).

    The EXIF orientation is applied, and transparent pixels become white. Raises Fault if the file is missing,
    not an image, broken, or has more than `MOST_PIXELS` pixels.
    """
    with _opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in _GRAY:
            return _bytes(upright)[:, :, None]
        if upright.has_transparency_data:
            clear = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
        return np.asarray(upright.convert("RGB"), np.uint8)


def size(path: Path) -> tuple[int, int]:
    """Reads width and height in pixels from the header. Raises Fault like `picture`."""
    with _opened(path) as image:
        return image.size


def _bytes(image: Image.Image) -> Pixels:
    """Converts a gray image to bytes; of 16 bits the upper eight are used."""
    if image.mode in ("I;16", "I", "F"):
        return (np.clip(np.asarray(image, np.float64), 0, 65535) / 256).astype(np.uint8)
    return np.asarray(image.convert("L"), np.uint8)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    check_file(path)
    reason = f"the image has more than {MOST_PIXELS:,} pixels."
    too_many = Fault("too_large", reason, "Make it smaller.", path)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise too_many
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_many from None
    except (OSError, SyntaxError, ValueError, EOFError):
        raise Fault("unreadable", "it cannot be read as an image.", path=path) from None
