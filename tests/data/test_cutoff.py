"""Files that end before they say they do, and those that only look as if they did."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from nearfield.data.signal_checks import breaks_off

Write = Callable[..., Path]


def riff(*chunks: tuple[bytes, bytes], data_size: int | None = None, form: bytes = b"RIFF") -> bytes:
    """A wav (or aiff) file of chunks; `data_size` may lie about the last one."""
    order = "<" if form == b"RIFF" else ">"
    body = b""
    for name, content in chunks:
        size = data_size if data_size is not None and (name, content) == chunks[-1] else len(content)
        body += name + struct.pack(f"{order}I", size) + content + b"\0" * (len(content) % 2)
    return form + struct.pack(f"{order}I", len(body) + 4) + (b"WAVE" if form == b"RIFF" else b"AIFF") + body


@pytest.mark.parametrize(
    ("content", "broken"),
    [
        (riff((b"fmt ", b"\0" * 16), (b"data", b"\0" * 100)), False),
        (riff((b"fmt ", b"\0" * 16), (b"data", b"\0" * 100), data_size=101), True),
        (riff((b"odd ", b"\0" * 7), (b"data", b"\0" * 100), data_size=500), True),
        (riff((b"odd ", b"\0" * 7), (b"data", b"\0" * 100)), False),
        (riff((b"data", b"\0" * 100), (b"LIST", b"\0" * 9)), False),
        (riff((b"data", b"\0" * 100), data_size=0xFFFFFFFF), False),
        (riff((b"data", b"\0" * 100), data_size=0), False),
        (riff((b"COMM", b"\0" * 18), (b"SSND", b"\0" * 100), form=b"FORM"), False),
        (riff((b"COMM", b"\0" * 18), (b"SSND", b"\0" * 100), data_size=300, form=b"FORM"), True),
        (b"RIFF", False),
        (b"", False),
        (b"fLaC" + b"\0" * 50, False),
        (b"OggS" + b"\0" * 3, True),
    ],
)
def test_sizes_in_headers(tmp_path: Path, content: bytes, broken: bool) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    assert breaks_off(path) is broken


@pytest.mark.parametrize("suffix", ["wav", "aiff", "ogg"])
@pytest.mark.parametrize("seconds", [0.3, 20.0])
def test_real_encoders(tmp_path: Path, write_sound: Write, suffix: str, seconds: float) -> None:
    path = write_sound(tmp_path / f"a.{suffix}", seconds)
    assert not breaks_off(path)
    content = path.read_bytes()
    for share in (0.95, 0.5):
        path.write_bytes(content[: int(len(content) * share)])
        assert breaks_off(path)
