"""Waves kept as NumPy arrays: read as the sound they are, at the rate that is written beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearfield.core.errors import DataError
from nearfield.data import audio
from nearfield.data.arrays import as_wave
from nearfield.data.check import inspect
from nearfield.data.collection import Collection
from nearfield.data.faults import Fault
from nearfield.data.settings import DataSettings
from nearfield.data.store import Store

WAVE = np.random.default_rng(0).uniform(-0.9, 0.9, 8000)


def rate_of(folder: Path, rate: str = "8000\n") -> None:
    (folder / "npy_rate.txt").write_text(rate)


@pytest.mark.parametrize(
    ("kind", "scale", "zero"),
    [
        ("<f4", 1, 0),
        (">f4", 1, 0),
        ("<f8", 1, 0),
        ("<i2", 2**15, 0),
        ("<i4", 2**31, 0),
        ("i1", 128, 0),
        ("u1", 128, 128),
    ],
)
@pytest.mark.parametrize("shape", [(8000,), (1, 8000), (8000, 1)])
def test_numbers_of_every_kind_are_the_same_sound(
    tmp_path: Path, kind: str, scale: int, zero: int, shape: tuple[int, ...]
) -> None:
    rate_of(tmp_path)
    array = (WAVE * scale + zero).astype(kind).reshape(shape)
    np.save(tmp_path / "a.npy", array)
    wanted = ((array.ravel().astype(np.float64) - zero) / scale).astype(np.float32)
    waves, rate = audio.decode(tmp_path / "a.npy")
    assert rate == 8000
    np.testing.assert_array_equal(waves, wanted[None])
    np.testing.assert_array_equal(audio.decode(tmp_path / "a.npy", 0.5, 0.25)[0], wanted[None, 4000:6000])
    metadata = audio.describe(tmp_path / "a.npy")
    assert (metadata.frames, metadata.channels, metadata.floating) == (8000, 1, kind[1] == "f")


_DIVIDE = (
    "whole numbers, or no sound. Save the whole numbers (int16), or divide by full scale: wave / 32768 for "
    "16 bits."
)
UNSCALED = {
    "whole numbers": (
        np.array([0.0, 12000.0, -7.0] * 2000),
        f"its samples reach 12000, and full scale is 1: {_DIVIDE}",
    ),
    "no sound": (WAVE * 5000, f"and full scale is 1: {_DIVIDE}"),
    "16 bits in 32": (
        (WAVE * 32768).astype("<i4"),
        "and full scale of int32 is 2147483648. Of 16 bits: save wave.astype('int16'). Next to silence: save "
        "wave / 2147483648.",
    ),
}


@pytest.mark.parametrize(("array", "text"), UNSCALED.values(), ids=UNSCALED)
def test_arrays_without_their_full_scale_are_left_out_wherever_they_are_heard(
    tmp_path: Path, array: Any, text: str
) -> None:
    rate_of(tmp_path)
    np.save(tmp_path / "a.npy", array)
    np.save(tmp_path / "b.npy", WAVE)
    np.save(tmp_path / "loud.npy", 3 * WAVE)
    with pytest.raises(Fault) as error:
        audio.decode(tmp_path / "a.npy")
    assert text in str(error.value)
    with pytest.raises(DataError):
        as_wave(array, "the same")
    found = Collection.load(tmp_path)
    (told,) = [each for each in inspect(found).problems if each.severity == "left out"]
    kept = Store(tmp_path / "cache").usable(found, DataSettings(sample_rate=8000))
    (left,) = [each for each in kept.problems if each.severity == "left out"]
    for problem in (told, left):
        assert (problem.path, problem.kind) == ("a.npy", "unscaled")
        assert text in str(problem)
    assert list(kept.table["id"]) == ["b.npy", "loud.npy"]


@pytest.mark.parametrize(("array", "text"), UNSCALED.values(), ids=UNSCALED)
def test_spans_of_such_arrays_are_refused_by_the_whole(tmp_path: Path, array: Any, text: str) -> None:
    rate_of(tmp_path)
    path = tmp_path / "a.npy"
    np.save(path, np.concatenate([np.zeros(4000, array.dtype), array]))
    for start, seconds in ((0.0, 0.25), (0.6, 0.01), (0.6, None)):
        with pytest.raises(Fault) as error:
            audio.decode(path, start, seconds)
        assert text in str(error.value)
        with pytest.raises(Fault, match="full scale"):
            list(audio.blocks(path, start, seconds, 0.1))
    np.save(path, WAVE)  # mended: what was found of the former is not held against it
    assert audio.decode(path, 0.1, 0.5)[0].shape == (1, 4000)


def test_one_loud_sample_that_is_a_whole_number_is_no_fault(tmp_path: Path) -> None:
    rate_of(tmp_path)
    np.save(tmp_path / "a.npy", np.append(WAVE, 2.0))
    assert audio.decode(tmp_path / "a.npy", 1.0, 1 / 8000)[0].tolist() == [[2.0]]


BAD: dict[str, tuple[Any, str | None, str]] = {
    "two channels": (
        np.zeros((2, 100), np.float32),
        "8000",
        "its array has the shape (2, 100); one wave (samples,)",
    ),
    "a number": (np.float32(3), "8000", "its array has the shape (); one wave"),
    "halves": (np.zeros(100, np.float16), "8000", "its samples are float16; float32, float64, int16,"),
    "marks": (np.zeros(100, bool), "8000", "its samples are bool; float32,"),
    "objects": (np.array([{}], object), "8000", "it cannot be read as an array ("),
    "no samples": (np.zeros(0, np.float32), "8000", "it has no sound: 0 samples."),
    "no rate": (
        WAVE,
        None,
        "an array does not say its sample rate. Write it in hertz into a text file npy_rate.txt",
    ),
    "words": (WAVE, "16 kHz", "npy_rate.txt holds '16 kHz'. Write a number of hertz into it: 16000."),
    "rate": (WAVE, "16", "its sample rate is 16 Hz; 100 to 10,000,000 Hz are allowed."),
}


@pytest.mark.parametrize(("array", "rate", "text"), BAD.values(), ids=BAD)
def test_arrays_that_are_no_sound_are_named(tmp_path: Path, array: Any, rate: str | None, text: str) -> None:
    if rate is not None:
        rate_of(tmp_path, rate)
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(Fault) as error:
        audio.decode(tmp_path / "a.npy")
    assert str(error.value).startswith(f"{tmp_path / 'a.npy'}: ")
    assert text in str(error.value)


def test_a_folder_of_arrays_is_a_collection_once_their_rate_is_written(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(4):
            rng = np.random.default_rng([ord(label), number])
            np.save(tmp_path / "set" / label / f"{number}.npy", rng.uniform(-0.5, 0.5, 4000))
    rate_of(tmp_path / "set")
    found = Collection.load(tmp_path / "set")
    assert found.problems == ()
    assert list(found.table["seconds"]) == [0.5] * 8
    assert inspect(found).problems == ()
    store = Store(tmp_path / "cache")
    assert store.open(found, DataSettings(sample_rate=8000)).length(0) == 4000
    rate_of(tmp_path / "set", "16000")  # the rate was wrong: nothing of before is used
    again = Collection.load(tmp_path / "set")
    assert list(again.table["seconds"]) == [0.25] * 8
    assert store.open(again, DataSettings(sample_rate=8000)).length(0) == 2000


def test_the_archive_of_the_course_is_read(tmp_path: Path, write_table: Callable[..., Path]) -> None:
    lines = ['"clip_id"\t"rock"\t"slow"\t"mp3_path"']
    for number, folder in enumerate("0012abccdd"):
        path = f"{folder}/ann-first-{number:02d}-song_{number}-0-29"
        lines.append(f'"{number}"\t"{number % 2}"\t"1"\t"{path}.mp3"')
        (tmp_path / "waveform" / folder).mkdir(parents=True, exist_ok=True)
        wave = np.random.default_rng(number).uniform(-0.5, 0.5, 8 * 16000)
        np.save(tmp_path / "waveform" / f"{path}.npy", wave.astype(np.float32))
    write_table(tmp_path / "annotations_final.csv", *lines)
    rate_of(tmp_path / "waveform", "16000")
    found = Collection.load(f"magnatagatune:{tmp_path}?audio=waveform")
    assert [len(found.rows(split)) for split in ("train", "val", "test")] == [6, 2, 2]
    assert set(found.table["seconds"]) == {8.0}
    assert not [problem for problem in found.problems if problem.severity == "left out"]
    signals = Store(tmp_path / "cache").open(found, DataSettings())
    out = np.empty((1, 16000), np.float32)
    signals.cut(3, 32000, 16000, out)
    wanted = np.load(found.table["path"].iloc[3])[32000:48000]
    np.testing.assert_array_equal(out[0], wanted)


def test_an_archive_under_the_name_of_an_array_is_named(tmp_path: Path) -> None:
    rate_of(tmp_path)
    np.savez(tmp_path / "a.npz", wave=WAVE)
    path = (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(Fault, match=r"a\.npy: it is an archive of several arrays \(\.npz\)"):
        audio.decode(path)
