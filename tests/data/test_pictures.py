"""Pictures against Pillow's own pixels, and those that must not be opened."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nearfield.data import images as pictures
from nearfield.data.faults import Fault

AGAIN = "Copy or download it again, or remove it."


def save(path: Path, pixels: np.ndarray, **how: Any) -> Path:
    """A picture file of an array."""
    Image.fromarray(pixels).save(path, **how)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_colour_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    path = save(tmp_path / f"a.{suffix}", pixels, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(pictures.picture(path), pixels)
    assert pictures.size(path) == (7, 5)


def test_jpeg_comes_back_nearly(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    found = pictures.picture(save(tmp_path / "a.jpg", pixels))
    assert found.shape == (16, 16, 3)
    assert np.abs(found.astype(int) - pixels).max() < 4


def test_grey_of_any_depth_is_one_channel(tmp_path: Path) -> None:
    grey = np.array([[0, 100, 255]], np.uint8)
    np.testing.assert_array_equal(pictures.picture(save(tmp_path / "8.png", grey)), grey[:, :, None])
    deep = np.array([[0, 0x1234, 0xFFFF]], np.uint16)
    np.testing.assert_array_equal(
        pictures.picture(save(tmp_path / "16.png", deep)), np.array([[[0], [0x12], [0xFF]]])
    )
    bit = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    bit.save(tmp_path / "1.png")
    np.testing.assert_array_equal(pictures.picture(tmp_path / "1.png"), [[[0], [255]]])


def test_transparent_is_white_and_pictures_stand_upright(tmp_path: Path) -> None:
    clear = np.zeros((1, 2, 4), np.uint8)
    clear[0, 1] = (10, 20, 30, 255)
    np.testing.assert_array_equal(
        pictures.picture(save(tmp_path / "a.png", clear)), [[[255, 255, 255], [10, 20, 30]]]
    )
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned clockwise by a quarter
    path = save(tmp_path / "turned.png", np.array([[0, 50, 100]], np.uint8), exif=turned)
    np.testing.assert_array_equal(pictures.picture(path)[:, :, 0], [[0], [50], [100]])


def giant(path: Path, split: int) -> Path:
    """A small png file that says it has `split` times `split` pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", split, split, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    )
    return path


@pytest.mark.parametrize("split", [8_000, 10_000, 60_000])
def test_a_giant_is_refused_before_it_is_decoded(tmp_path: Path, split: int) -> None:
    path = giant(tmp_path / "giant.png", split)
    for act in (pictures.size, pictures.picture):
        with pytest.raises(Fault) as error:
            act(path)
        assert str(error.value) == f"{path}: the image has more than 50,000,000 pixels. Make it smaller."


def test_broken_pictures_and_other_files_are_named(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    half = tmp_path / "half.png"
    half.write_bytes(whole.read_bytes()[:2000])
    words = tmp_path / "words.png"
    words.write_text("no picture")
    script = tmp_path / "script.png"
    script.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert pictures.size(half) == (64, 64)
    for path in (half, words, script):
        with pytest.raises(Fault) as error:
            pictures.picture(path)
        assert str(error.value) == f"{path}: it cannot be read as an image. {AGAIN}"
    with pytest.raises(Fault) as error:
        pictures.picture(tmp_path / "gone.png")
    assert error.value.kind == "missing"
