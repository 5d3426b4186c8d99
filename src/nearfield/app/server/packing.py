"""Arrays and a JSON header in one body: what a map of 100,000 points travels in.

Four bytes: the length of the header, little-endian; the header, filled up with blanks to whole eights; the
arrays one after the other, each filled up to whole eights. The header's `arrays` gives name, type, first
byte after the header, and how many numbers.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_TYPES = ("float32", "uint8", "uint16", "uint32", "int32")


def pack(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """One body of a header and flat arrays of float32 or integers."""
    listed, parts, place = [], [], 0
    for name, array in arrays.items():
        assert array.dtype.name in _TYPES, array.dtype
        raw = np.ascontiguousarray(array).tobytes()
        listed.append({"name": name, "type": array.dtype.name, "offset": place, "length": int(array.size)})
        filled = raw + bytes(-len(raw) % 8)
        parts.append(filled)
        place += len(filled)
    text = json.dumps({**header, "arrays": listed}, allow_nan=False, ensure_ascii=False).encode()
    text += b" " * (-(len(text) + 4) % 8)
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def unpack(body: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """What `pack` packed."""
    (length,) = struct.unpack_from("<I", body)
    header = json.loads(body[4 : 4 + length])
    begin = 4 + length
    arrays = {
        each["name"]: np.frombuffer(body, each["type"], each["length"], begin + each["offset"])
        for each in header["arrays"]
    }
    return header, arrays
