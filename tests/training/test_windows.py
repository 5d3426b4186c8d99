"""Windows and embeddings of files, waves and stores, against a slow version that writes the rule out."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import soundfile
import soxr
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearfield.core.errors import DataError
from nearfield.data.audio import decode
from nearfield.data.collection import Collection
from nearfield.data.settings import Channels, Columns, DataSettings
from nearfield.data.signals import ArraySignals, sounding
from nearfield.data.store import Store, sound_blocks
from nearfield.models.embedder import EmbeddingModel
from nearfield.training import windows as module
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder
from nearfield.training.setup import build_embedder
from nearfield.training.windows import (
    BATCH,
    Clip,
    FileClip,
    InputWindows,
    SignalWindows,
    Unusable,
    starts_in,
    table_clips,
    window_samples,
)
from tests.training.conftest import small

Wave = npt.NDArray[np.float32]


def noise(path: Path, seconds: float, rate: int = 11025, channels: int = 1) -> Path:
    """A file of noise, louder towards its middle."""
    rng = np.random.default_rng(round(seconds * 1000))
    samples = round(seconds * rate)
    waves = rng.uniform(-0.5, 0.5, (samples, channels)) * np.hanning(samples)[:, None] ** 2
    subtype = {"wav": "FLOAT"}.get(path.suffix[1:])
    soundfile.write(path, waves, rate, subtype=subtype)
    return path


def plain_windows(wave: Wave, data: DataSettings) -> list[Wave]:
    """The rule in plain words, over a whole wave (C, T)."""
    length = round(data.clip_seconds * data.sample_rate)
    if data.trim_db is not None:
        first, last = sounding(wave, data.trim_db)
        wave = wave[:, first:last]
    if wave.shape[1] < length:
        return [np.pad(wave, ((0, 0), (0, length - wave.shape[1])))]
    found, start, number = [], 0, 0
    while start + length <= wave.shape[1]:
        found.append(wave[:, start : start + length])
        number += 1
        start = round(number * data.clip_seconds * data.sample_rate)
    if wave.shape[1] / data.sample_rate - number * data.clip_seconds > 0.001:
        found.append(wave[:, -length:])
    return found


def plain_wave(path: Path, data: DataSettings, start: float = 0.0, seconds: float = 0.0) -> Wave:
    """A clip by soundfile and soxr alone: the whole file, mixed, resampled, then cut."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if data.channels == "mean":
        samples = samples.mean(axis=1, keepdims=True, dtype=np.float32)
    elif isinstance(data.channels, int):
        samples = samples[:, data.channels : data.channels + 1]
    if rate != data.sample_rate:
        samples = soxr.resample(samples, rate, data.sample_rate, quality="HQ")
    first = round(start * data.sample_rate)
    last = round((start + seconds) * data.sample_rate) if seconds else len(samples)
    whole: Wave = samples[first:last].T
    return whole


def cut(
    clips: list[Clip], data: DataSettings, channels: int = 1, unusable: list[Unusable] | None = None
) -> list[list[Wave]]:
    """The windows of each clip."""
    found: list[list[Wave]] = [[] for _ in clips]
    for batch in InputWindows(clips, data, channels, unusable=unusable):
        assert len(batch.rows) <= BATCH
        for row, signal in zip(batch.rows, batch.signal, strict=True):
            found[row].append(signal.numpy())
    return found


def stored(collection: Collection, data: DataSettings) -> list[list[Wave]]:
    """The same of a collection, out of the store."""
    signals = Store().open(collection, data)
    assert isinstance(signals, ArraySignals)
    found: list[list[Wave]] = [[] for _ in range(len(signals))]
    for batch in SignalWindows(signals, window_samples(data), signals.seconds, data):
        for row, signal in zip(batch.rows, batch.signal, strict=True):
            found[row].append(signal.numpy())
    return found


def check_equal(mine: list[list[Wave]], wanted: list[list[Wave]], tolerance: float = 0.0) -> None:
    for own, its in zip(mine, wanted, strict=True):
        assert len(own) == len(its)
        for left, right in zip(own, its, strict=True):
            np.testing.assert_allclose(left, right, rtol=0, atol=tolerance)


def check(path: Path, spans: list[tuple[float, float]], data: DataSettings) -> None:
    """File and store give the same windows, bit for bit."""
    starts, seconds = zip(*spans, strict=True)
    rows = pd.DataFrame({"path": str(path), "start": starts, "seconds": seconds, "id": range(len(spans))})
    collection = Collection.from_rows(rows)
    check_equal(cut([*table_clips(collection.table, data)], data), stored(collection, data))


def in_blocks(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decodes files so many samples at a time."""

    def blocks(path: Path, rate: int, channels: Channels, first: int = 0) -> Iterator[Wave]:
        return sound_blocks(path, rate, channels, samples, first)

    monkeypatch.setattr(module, "sound_blocks", blocks)


# The rule.


@settings(max_examples=200, deadline=None)
@given(
    samples=st.integers(1, 30000),
    clip_seconds=st.one_of(st.sampled_from([0.4, 0.5, 1.0]), st.floats(0.05, 2.0)),
    rate=st.sampled_from([1000, 8000, 11025]),
)
def test_windows_are_end_to_end_and_the_last_one_is_flush_with_the_end(
    samples: int, clip_seconds: float, rate: int
) -> None:
    data = DataSettings(sample_rate=rate, clip_seconds=clip_seconds)
    wave = np.arange(samples, dtype=np.float32)[None]
    wanted = [round(each[0, 0] * 1.0) for each in plain_windows(wave, data)]
    assert [round(start * rate) for start in starts_in(samples / rate, data)] == wanted


# Files against the store, which decodes them whole.


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("seconds", [0.03, 0.5, 1.0, 2.0, 3.7])
def test_a_whole_file_of_any_length(suffix: str, seconds: float, tmp_path: Path) -> None:
    path = noise(tmp_path / f"a.{suffix}", seconds)
    check(path, [(0.0, 0.0)], DataSettings(sample_rate=8000, clip_seconds=0.5))


@pytest.mark.parametrize("block", [1000, 1 << 20])
@pytest.mark.parametrize("rate", [8000, 11025])
def test_clips_side_by_side_far_apart_and_overlapping(
    rate: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_blocks(block, monkeypatch)
    path = noise(tmp_path / "a.wav", 9.0, rate)
    spans = [(0.3, 1.0), (0.5, 3.1), (0.6, 0.2), (1.0, 0.7), (7.25, 1.0), (8.9, 0.0)]
    check(path, spans, DataSettings(sample_rate=8000, clip_seconds=0.4))


def test_clips_in_another_order_and_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_blocks(1000, monkeypatch)
    monkeypatch.setattr(module, "_KEPT", 4000)
    path = noise(tmp_path / "a.wav", 6.0)
    spans = [(5.0, 0.5), (0.0, 6.0), (0.2, 3.0), (1.0, 0.5)]
    check(path, spans, DataSettings(sample_rate=8000, clip_seconds=0.4))


@pytest.mark.parametrize("kept", [3000, 1 << 25])
def test_silence_is_trimmed_as_in_the_store(
    kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_blocks(1000, monkeypatch)
    monkeypatch.setattr(module, "_KEPT", kept)
    monkeypatch.setattr(module, "BLOCK", 700)
    data = DataSettings(sample_rate=8000, clip_seconds=0.4, trim_db=20)
    check(noise(tmp_path / "a.wav", 3.0), [(0.0, 0.0), (0.5, 2.0)], data)


def test_starts_of_windows_count_the_trimmed_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    rng = np.random.default_rng(0)
    wave = np.zeros(16000, np.float32)
    wave[4096:12288] = rng.uniform(-0.5, 0.5, 8192)
    soundfile.write(path, wave, 8000, subtype="FLOAT")
    data = DataSettings(sample_rate=8000, clip_seconds=0.4, trim_db=40)
    for clip in (FileClip(path), wave[None]):
        (batch,) = InputWindows([clip], data, 1)
        for start, signal in zip(batch.starts, batch.signal, strict=True):
            first = round(start * 8000)
            np.testing.assert_array_equal(signal[0], wave[first : first + 3200])


def test_each_channel_as_a_clip_of_its_own(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.wav", 1.3, channels=3)
    data = DataSettings(sample_rate=8000, clip_seconds=0.4, channels="views")
    collection = Collection.load(str(tmp_path), Columns(views=True))
    check_equal(cut([*table_clips(collection.table, data)], data), stored(collection, data))
    waves, _ = decode(noise(path, 0.4, 8000, channels=3))
    ((mean,), (one,)) = cut([FileClip(path), FileClip(path, channel=2)], data)
    np.testing.assert_allclose(mean, waves.mean(0, keepdims=True), atol=1e-7)
    np.testing.assert_array_equal(one, waves[2:])


@pytest.mark.parametrize("seconds", [1e308, np.inf])
def test_a_clip_that_is_longer_than_its_file_ends_with_the_file(tmp_path: Path, seconds: float) -> None:
    path = noise(tmp_path / "a.wav", 1.0)
    data = DataSettings(sample_rate=8000, clip_seconds=0.5)
    check_equal(cut([FileClip(path, 0.2, seconds)], data), cut([FileClip(path, 0.2)], data))
    with pytest.raises(DataError, match="has no samples"):
        cut([FileClip(path, seconds, 1.0)], data)


def test_a_clip_after_the_end_of_its_file_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    path, other = noise(tmp_path / "a.wav", 1.0), noise(tmp_path / "b.wav", 2.0)
    broken = tmp_path / "c.flac"
    whole = noise(tmp_path / "whole.flac", 30.0).read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    data = DataSettings(sample_rate=8000, clip_seconds=0.5)
    clips: list[Clip] = [
        FileClip(path, 5.0, 1.0),
        FileClip(path, 0.0, 0.5),
        FileClip(broken),
        FileClip(other),
    ]
    unusable = list[Unusable]()
    found = cut(clips, data, unusable=unusable)
    check_equal([found[1], found[3]], cut([clips[1], clips[3]], data))
    assert [each.rows for each in unusable] == [(0,), (2,)]
    assert str(unusable[0].error).startswith(f"{path}: the clip from 5 s on has no samples.")
    assert str(broken) in str(unusable[1].error)
    with pytest.raises(DataError, match=r"a\.wav: the clip from 5 s on has no samples"):
        cut([clips[0]], data)


def test_another_number_of_channels_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    data = DataSettings(sample_rate=8000, clip_seconds=0.5, channels="all")
    path = noise(tmp_path / "a.wav", 1.0, channels=2)
    with pytest.raises(DataError, match=r"a\.wav has 2 channels, and this run reads sounds of 1"):
        cut([FileClip(path)], data)
    with pytest.raises(DataError, match=r"a\.wav: data\.channels: there is no channel 2"):
        cut([FileClip(path)], data.model_copy(update={"channels": 2}))


# The embedding of clips against a loop that embeds window after window.


def untrained(folder: Path, **changes: Any) -> Run:
    """A run with random weights."""
    recipe = Recipe.of(small(**changes))
    channels = 2 if recipe.data.channels == "all" else 1
    embedder: EmbeddingModel = build_embedder(recipe, channels, seed=0).eval()
    return Run(RunFolder(folder), recipe, embedder)


def slow(run: Run, waves: list[Wave]) -> Wave:
    """(N, D): each window embedded alone, averaged, and brought to unit length."""
    found = []
    with torch.no_grad():
        for wave in waves:
            windows = [
                torch.from_numpy(np.ascontiguousarray(each)) for each in plain_windows(wave, run.recipe.data)
            ]
            mean = torch.stack([run.embedder(window[None])[0].double() for window in windows]).mean(0)
            found.append((mean / mean.norm()).float().numpy())
    return np.stack(found)


KINDS: dict[str, dict[str, Any]] = {
    "mean": {},
    "one channel": {"channels": 1},
    "trimmed": {"trim_db": 20.0},
    "all": {"channels": "all"},
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_embeddings_are_those_of_a_slow_version(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sounds")
    feature = {"kind": "multi_log_mel", "bands": 8} if kind == "all" else {"kind": "log_mel", "bands": 16}
    seconds = data.draw(st.sampled_from([0.4, 0.33]), "clip_seconds")
    settings = {"sample_rate": 8000, "clip_seconds": seconds, **KINDS[kind]}
    run = untrained(folder, data=settings, feature=feature, augment=[])
    paths, clips, waves = [], list[Clip](), []
    for number in range(data.draw(st.integers(1, 4), "files")):
        rate = data.draw(st.sampled_from([8000, 11025, 16000]), "rate")
        channels = 2 if kind == "all" else data.draw(st.integers(2, 3), "channels")
        length = data.draw(st.floats(0.05, 3.0), "length")
        path = noise(folder / f"{number}.wav", length, rate, channels)
        start = data.draw(st.floats(0.0, length / 2), "start")
        rest = data.draw(st.one_of(st.just(0.0), st.floats(0.02, length / 2)), "seconds")
        paths.append(path)
        clips += [FileClip(path, start, rest), FileClip(path)]
        waves.append([plain_wave(path, run.recipe.data, start, rest), plain_wave(path, run.recipe.data)])
    np.testing.assert_allclose(
        run.embed(clips).by_clip(len(clips), True),
        slow(run, [each for pair in waves for each in pair]),
        atol=3e-5,
    )
    wanted = slow(run, [whole for _, whole in waves])
    np.testing.assert_allclose(run.encode(paths), wanted, atol=3e-5)
    if kind != "one channel":
        mixed: list[Any] = [
            whole if n % 2 else path for n, (path, (_, whole)) in enumerate(zip(paths, waves, strict=True))
        ]
        np.testing.assert_allclose(run.encode(mixed), wanted, atol=3e-5)


def test_sounds_that_differ_by_trimmed_silence_may_have_one_vector(tmp_path: Path) -> None:
    run = untrained(tmp_path, data={"sample_rate": 8000, "clip_seconds": 1.0, "trim_db": 40.0})
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 8192).astype(np.float32)
    early, late = (np.concatenate([np.zeros(zeros, np.float32), sound]) for zeros in (5120, 10240))
    vectors = run.encode([early, late])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


def test_a_file_that_is_no_sound_is_listed_while_progress_is_shown(tmp_path: Path) -> None:
    run, good, bad = untrained(tmp_path), noise(tmp_path / "good.wav", 1.0), tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    unusable, events = list[Unusable](), list[object]()
    found = run.embed([FileClip(good), FileClip(bad)], events.append, unusable)
    assert set(found.rows) == {0}
    assert [each.rows for each in unusable] == [(1,)]
    assert events


def test_batches_hold_many_files_and_parts_of_long_ones(tmp_path: Path) -> None:
    run = untrained(tmp_path)
    lengths = [0.1, 40.0, 0.4, 0.7, 30.1, 1.2] + [0.3] * 70
    paths = [noise(tmp_path / f"{n}.wav", seconds, 8000) for n, seconds in enumerate(lengths)]
    wanted = slow(run, [plain_wave(path, run.recipe.data) for path in paths])
    seen = list[Any]()
    np.testing.assert_allclose(run.encode(paths, callback=seen.append), wanted, atol=3e-5)
    total = sum(len(plain_windows(plain_wave(path, run.recipe.data), run.recipe.data)) for path in paths)
    assert [(each.done, each.total) for each in seen] == [
        *((done, total) for done in range(BATCH, total, BATCH)),
        (total, total),
    ]


# Memory.


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_blocks(4000, monkeypatch)
    run = untrained(tmp_path)
    monkeypatch.setattr(module, "AHEAD", 4.0)
    monkeypatch.setattr(module, "BLOCK", 4000)
    peaks = []
    for trim in (None, 20.0):
        data = run.recipe.data.model_copy(update={"trim_db": trim, "clip_seconds": 0.4})
        monkeypatch.setattr(module, "_KEPT", 16000)
        for seconds in (100.0, 1000.0):
            path = noise(tmp_path / "a.wav", seconds, 8000, channels=2)
            tracemalloc.start()
            count = sum(len(batch.rows) for batch in InputWindows([FileClip(path)], data, 1))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert count > seconds
    assert max(peaks) < 8e6  # of 32 MB that the longer file has at the rate of the network
    assert peaks[1] < 1.5 * peaks[0]
    assert peaks[3] < 1.5 * peaks[2]
