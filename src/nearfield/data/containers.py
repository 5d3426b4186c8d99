"""What a sound file's first bytes say, where the decoder does not: foreign formats, lengths never written."""

import struct
from pathlib import Path

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
