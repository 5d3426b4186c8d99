"""Tells files that were cut off, by a broken download or a full disk, where the decoder does not complain.

wav and aiff say how long they are in the chunk that holds the samples; ogg marks its last page (RFC 3533).
"""

import struct
from pathlib import Path
from typing import BinaryIO

_UNKNOWN = 0x7FFFF000
"""Sizes from here on stand for "not known" in files that were written to a pipe."""
_LAST_PAGE = 27 + 255 + 255 * 255  # bytes: no page of an ogg file is longer


def breaks_off(path: Path) -> bool:
    """True where a wav, aiff or ogg file ends before it says it does; False for other files."""
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] == b"RIFF":
            return _chunks_break_off(file, b"data", "<")
        if start[:4] == b"FORM":
            return _chunks_break_off(file, b"SSND", ">")
        return start[:4] == b"OggS" and _last_page_missing(file)


def _chunks_break_off(file: BinaryIO, samples: bytes, order: str) -> bool:
    """Goes from chunk to chunk to the one with the samples; does it reach beyond the end of the file?"""
    end = file.seek(0, 2)
    place = 12
    while place + 8 <= end:
        file.seek(place)
        name, size = struct.unpack(f"{order}4sI", file.read(8))
        if name == samples:
            return bool(0 < size < _UNKNOWN and place + 8 + size > end)
        place += 8 + size + size % 2
    return False


def _last_page_missing(file: BinaryIO) -> bool:
    """The header of the last page carries the flag "end of stream", and the page is all there."""
    file.seek(max(0, file.seek(0, 2) - _LAST_PAGE))
    tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS\0")) :]
    if len(page) < 27 or not page[5] & 4:
        return True
    segments = page[26]
    return len(page) < 27 + segments + sum(page[27 : 27 + segments])
