"""Decoding against the standard library's own reader, resampling against closed forms, and every bad file."""

import ctypes
import os
import struct
import tracemalloc
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearfield.core.errors import DataError
from nearfield.data import audio
from nearfield.data.faults import Fault

Write = Callable[..., Path]


def reference(path: Path) -> tuple[np.ndarray, int]:
    """A 16-bit wav file by the standard library: (C, T), rate."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples.reshape(-1, file.getnchannels()).T / 32768, file.getframerate()


def test_wav_is_decoded_to_the_bit(tmp_path: Path, write_sound: Write) -> None:
    path = write_sound(tmp_path / "a.wav", 0.3, 44100, 3)
    waves, rate = audio.decode(path)
    expected, expected_rate = reference(path)
    assert rate == expected_rate
    assert waves.dtype == np.float32
    assert waves.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(waves, expected)
    assert audio.describe(path) == audio.SoundFacts(44100, 3, 13230)
    assert audio.describe(path).seconds == pytest.approx(0.3)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.floats(0, 0.29), seconds=st.one_of(st.none(), st.floats(0.001, 0.5)), block=st.floats(0.001, 0.1)
)
def test_a_range_is_a_slice_and_blocks_put_together_are_the_range(
    tmp_path: Path, write_sound: Write, start: float, seconds: float | None, block: float
) -> None:
    path = tmp_path / "a.wav"
    if not path.exists():
        write_sound(path, 0.3, 8000, 2)
    expected = reference(path)[0]
    first = round(start * 8000)
    last = 2400 if seconds is None else round((start + seconds) * 8000)
    if first >= min(last, 2400):
        return
    waves, _ = audio.decode(path, start, seconds)
    np.testing.assert_array_equal(waves, expected[:, first:last])
    pieces = list(audio.blocks(path, start, seconds, block))
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), waves)
    assert max(piece.shape[1] for piece in pieces) <= max(1, round(block * 8000))


@pytest.mark.parametrize(("suffix", "close"), [("flac", 0.0), ("aiff", 0.0), ("ogg", 0.05), ("mp3", 0.05)])
def test_other_formats_hold_the_same_sound(tmp_path: Path, suffix: str, close: float) -> None:
    time = np.arange(16000) / 16000
    tone = 0.5 * np.sin(2 * np.pi * 440 * time) * np.hanning(16000)
    sound = np.round(tone * 32767).astype(np.int16)[:, None]
    path, plain = tmp_path / f"a.{suffix}", tmp_path / "a.wav"
    soundfile.write(path, sound, 16000)
    soundfile.write(plain, sound, 16000)
    waves, rate = audio.decode(path)
    assert rate == 16000
    assert np.abs(waves - reference(plain)[0]).max() <= close


@pytest.mark.parametrize("suffix", ["flac", "aiff", "ogg", "mp3"])
def test_a_range_of_any_format_is_what_the_whole_file_has_there(tmp_path: Path, suffix: str) -> None:
    time = np.arange(60 * 16000) / 16000
    bursts = (np.sin(time) > 0) * np.sin(2 * np.pi * (200 + 50 * np.sin(time)) * time)
    noise = (np.sin(time / 2) > 0.5) * np.random.default_rng(0).standard_normal(len(time))
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, 0.5 * bursts + 0.1 * noise, 16000)
    whole = audio.decode(path)[0]
    for start in np.arange(0, 59, 2.3):
        first = round(start * 16000)
        part, _ = audio.decode(path, start, 0.5)
        np.testing.assert_allclose(part, whole[:, first : first + 8000], rtol=0, atol=1e-6)
    pieces = np.concatenate(list(audio.blocks(path, 0, None, 0.61)), axis=1)
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-6)


def test_what_a_decoder_prints_does_not_reach_the_terminal_and_all_else_does(
    tmp_path: Path, write_sound: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_sound(tmp_path / "a.mp3", 5.0)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 600] = bytes(600)
    path.write_bytes(content)
    said: list[str] = []
    pieces = audio.blocks(path, 0.0, None, 1.0, said)
    next(pieces)
    library = ctypes.CDLL(None)
    library.perror(b"of others")  # on the same thread, between two reads
    assert list(pieces)
    audio.decode(path)
    shown = capfd.readouterr().err
    assert shown.startswith("of others: ")
    assert shown.count("\n") == 1
    assert any("Illegal Audio-MPEG-Header" in words for words in said)


def test_formats_that_cannot_jump_are_read_from_any_place(tmp_path: Path) -> None:
    path = tmp_path / "phone.wav"
    soundfile.write(path, 0.3 * np.sin(np.arange(16000) / 5), 8000, subtype="GSM610")
    whole, rate = audio.decode(path)
    with soundfile.SoundFile(path) as file:
        np.testing.assert_array_equal(whole[0], file.read(16000, dtype="float32"))
    assert (rate, whole.shape) == (8000, (1, 16000))
    np.testing.assert_array_equal(audio.decode(path, 0.7, 0.4)[0], whole[:, 5600:8800])
    pieces = np.concatenate(list(audio.blocks(path, 0.2, None, 0.3)), axis=1)
    np.testing.assert_array_equal(pieces, whole[:, 1600:])


def test_floating_point_samples_go_beyond_full_scale(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.array([0.5, -1.5, 3.0]), 8000, subtype="FLOAT")
    np.testing.assert_array_equal(audio.decode(path)[0], [[0.5, -1.5, 3.0]])


def test_mix_takes_the_mean_all_or_one_channel_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "four.wav"
    levels = np.array([0.125, 0.25, 0.5, -0.25])
    soundfile.write(path, np.tile(levels, (10, 1)), 8000)
    waves, _ = audio.decode(path)
    assert audio.mix(waves, "all") is waves
    for channel, level in enumerate(levels):
        np.testing.assert_array_equal(audio.mix(waves, channel), np.full((1, 10), level))
    mean = audio.mix(waves, "mean")
    assert mean.dtype == np.float32
    np.testing.assert_array_equal(mean, np.full((1, 10), 0.15625))
    with pytest.raises(DataError) as error:
        audio.mix(waves, 4)
    assert str(error.value) == (
        "data.channels: there is no channel 4; the sound has 4, counted from 0. "
        "Use mean, all, or a smaller number."
    )


@pytest.mark.parametrize("target", [8000, 22050, 48000])
def test_resampling_keeps_a_tone_that_both_rates_can_hold(target: int) -> None:
    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)

    waves = np.stack([tone(16000), -tone(16000)]).astype(np.float32)
    other = audio.resample(waves, 16000, target)
    assert other.shape == (2, target)
    assert other.dtype == np.float32
    inner = slice(target // 10, -target // 10)
    np.testing.assert_allclose(other[0, inner], tone(target)[inner], atol=2e-4)
    np.testing.assert_array_equal(other[0], -other[1])
    assert audio.resample(waves, 16000, 16000) is waves


def test_resampling_down_removes_what_the_lower_rate_cannot_hold() -> None:
    tone = np.sin(2 * np.pi * 6000 * np.arange(16000) / 16000)[None].astype(np.float32)
    assert np.abs(audio.resample(tone, 16000, 8000)[:, 800:-800]).max() < 1e-3


def header_only(path: Path, write_sound: Write) -> None:
    soundfile.write(path, np.zeros((0, 1)), 8000)


def words(path: Path, write_sound: Write) -> None:
    path.write_text("This is no sound." * 20)


def nothing(path: Path, write_sound: Write) -> None:
    path.touch()


def folder(path: Path, write_sound: Write) -> None:
    path.mkdir()


def pipe(path: Path, write_sound: Write) -> None:
    os.mkfifo(path)


def dangling(path: Path, write_sound: Write) -> None:
    path.symlink_to(path.parent / "gone.wav")


def headless(path: Path, write_sound: Write) -> None:
    path.write_bytes(write_sound(path, 0.5).read_bytes()[100:])


def killed(path: Path, write_sound: Write) -> None:
    content = bytearray(write_sound(path, 2.0).read_bytes())
    content[4:8] = content[40:44] = bytes(4)
    path.write_bytes(content)


def broadcast(path: Path, write_sound: Write) -> None:
    path.write_bytes(b"BW64" + write_sound(path, 0.5).read_bytes()[4:])


def renamed(path: Path, write_sound: Write) -> None:
    path.write_bytes(bytes(4) + b"ftypM4A " + bytes(1000))


AGAIN = "Copy or download it again, or remove it."
BAD: list[tuple[str, Callable[[Path, Write], None] | None, str, str]] = [
    ("gone.wav", None, "missing", "there is no such file. Correct the path or restore the file."),
    ("link.wav", dangling, "missing", "there is no such file. Correct the path or restore the file."),
    ("folder.wav", folder, "not_a_file", "it is a folder, pipe or device. Name a file."),
    ("pipe.wav", pipe, "not_a_file", "it is a folder, pipe or device. Name a file."),
    ("nothing.wav", nothing, "empty", f"the file is empty: 0 bytes. {AGAIN}"),
    ("header.wav", header_only, "empty", f"it has no sound: 0 samples. {AGAIN}"),
    ("words.wav", words, "unreadable", f"it cannot be read as sound. {AGAIN}"),
    ("headless.wav", headless, "unreadable", f"it cannot be read as sound. {AGAIN}"),
    (
        "killed.wav",
        killed,
        "unfinished",
        "its header declares 0 samples, but 32,000 bytes follow. The recorder may have been interrupted. "
        "Repair it, for example: ffmpeg -ignore_length 1 -i killed.wav killed-whole.wav",
    ),
    (
        "long.wav",
        broadcast,
        "format",
        "its format BW64 is not supported. Convert it, for example: ffmpeg -i long.wav long.flac",
    ),
    (
        "phone.mp3",
        renamed,
        "format",
        "its format MP4 or M4A is not supported. Convert it, for example: ffmpeg -i phone.mp3 phone.flac",
    ),
    ("words.raw", words, "unreadable", f"it cannot be read as sound (samplerate must be specified). {AGAIN}"),
]


@pytest.mark.parametrize(("name", "make", "kind", "text"), BAD, ids=[bad[0] for bad in BAD])
def test_bad_files_are_named_with_reason_and_cure(
    tmp_path: Path,
    write_sound: Write,
    name: str,
    make: Callable[[Path, Write], None] | None,
    kind: str,
    text: str,
) -> None:
    path = tmp_path / name
    if make:
        make(path, write_sound)
    for act in (audio.describe, audio.decode):
        with pytest.raises(Fault) as error:
            act(path)
        assert str(error.value) == f"{path}: {text}"
        assert error.value.kind == kind


def test_samples_that_are_not_numbers_are_refused_but_can_be_listened_to(tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.array([0, np.nan, 1, np.inf]), 8000, subtype="FLOAT")
    with pytest.raises(Fault) as error:
        audio.decode(path)
    assert str(error.value) == (
        f"{path}: 2 of 4 samples are NaN, infinite or beyond 1e10 (full scale is 1). "
        "Export the sound again, with samples from -1 to 1."
    )
    assert np.isnan(next(audio.blocks(path, 0, None, 1.0))).sum() == 1


def test_numbers_too_large_for_sound_are_refused_and_integers_that_were_not_scaled_are_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "huge.wav"
    soundfile.write(path, np.array([0, 3e38, 1, -1]), 8000, subtype="FLOAT")
    with pytest.raises(Fault, match="1 of 4 samples are NaN, infinite or beyond 1e10"):
        audio.decode(path)
    soundfile.write(path, np.array([0, 2.0**31, 1, -1]), 8000, subtype="FLOAT")
    assert audio.decode(path)[0].max() == 2.0**31


@pytest.mark.parametrize(("rate", "said"), [(1, "1 Hz"), (99, "99 Hz"), (2_000_000_000, "2,000,000,000 Hz")])
def test_a_header_with_an_impossible_rate_is_refused(tmp_path: Path, rate: int, said: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(1000), rate)
    for act in (audio.describe, audio.decode):
        with pytest.raises(Fault) as error:
            act(path)
        assert str(error.value) == (
            f"{path}: its sample rate is {said}; 100 to 10,000,000 Hz are allowed. "
            "Export it again with its true rate, or remove it."
        )
        assert error.value.kind == "rate"


def test_an_mp3_header_that_promises_a_day_costs_no_memory(tmp_path: Path, write_sound: Write) -> None:
    path = write_sound(tmp_path / "a.mp3", 2.0)
    content = bytearray(path.read_bytes())
    place = content.index(b"Xing")
    content[place + 8 : place + 12] = struct.pack(">I", 8_000_000)  # frames
    path.write_bytes(content)
    assert audio.describe(path).frames > 4e9
    tracemalloc.start()
    waves, _ = audio.decode(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 15000 < waves.shape[1] < 20000
    assert peak < 200e6


@pytest.mark.parametrize("seconds", [1e308, np.inf])
def test_more_than_there_is_is_all_there_is(tmp_path: Path, write_sound: Write, seconds: float) -> None:
    path = write_sound(tmp_path / "a.wav")
    np.testing.assert_array_equal(audio.decode(path, 0.1, seconds)[0], audio.decode(path, 0.1)[0])
    with pytest.raises(DataError, match="Correct `start`"):
        audio.decode(path, seconds)


def test_a_clip_beyond_the_end_is_refused(tmp_path: Path, write_sound: Write) -> None:
    path = write_sound(tmp_path / "a.wav", 1.0)
    for start, seconds, text in (
        (1.0, 0.5, "the clip starts at 1 s, but the file has 1 s. Correct `start`."),
        (-0.1, 0.5, "the clip starts at -0.1 s, but the file has 1 s. Correct `start`."),
        (0.5, 0.0, "a clip of 0.0 s has no samples. Correct `seconds`."),
    ):
        with pytest.raises(Fault) as error:
            audio.decode(path, start, seconds)
        assert str(error.value) == f"{path}: {text}"


def test_broken_inside_flac_is_an_error_and_mp3_gives_what_is_there(
    tmp_path: Path, write_sound: Write
) -> None:
    flac = write_sound(tmp_path / "a.flac", 2.0)
    content = flac.read_bytes()
    flac.write_bytes(content[: len(content) // 2])
    assert audio.describe(flac).frames == 16000
    with pytest.raises(Fault) as error:
        audio.decode(flac)
    assert str(error.value) == f"{flac}: it cannot be read as sound (flac decoder lost sync). {AGAIN}"
    mp3 = write_sound(tmp_path / "a.mp3", 2.0)
    content = mp3.read_bytes()
    mp3.write_bytes(content[: len(content) // 2])
    assert 4000 < audio.decode(mp3)[0].shape[1] < 12000
    with pytest.raises(Fault) as error:
        audio.decode(mp3, 1.9)
    assert str(error.value) == f"{mp3}: nothing could be decoded after 1.9 s. {AGAIN}"


def test_a_header_that_promises_more_than_memory_holds_costs_nothing(
    tmp_path: Path, write_sound: Write
) -> None:
    path = write_sound(tmp_path / "a.wav", 0.1)
    content = bytearray(path.read_bytes())
    place = content.index(b"data")
    content[place + 4 : place + 8] = struct.pack("<I", 0xFFFFFF00)
    path.write_bytes(bytes(content))
    assert audio.decode(path)[0].shape == (1, 800)
