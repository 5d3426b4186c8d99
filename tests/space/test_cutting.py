"""Windows cut from a stream against the store, which decodes whole files, and the plan of windows over it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from nearfield.core.errors import DataError
from nearfield.core.types import BatchIndices
from nearfield.data.audio import Waves, decode
from nearfield.data.collection import Collection
from nearfield.data.settings import Channels, Columns, DataSettings
from nearfield.data.signals import Loader
from nearfield.data.store import Store, sound_blocks
from nearfield.training import stream as cutting
from nearfield.training.setup import windows
from nearfield.training.stream import Piece, cut


def noise(path: Path, seconds: float, rate: int = 11025, channels: int = 1) -> Path:
    """A file of noise, louder towards its middle."""
    chance = np.random.default_rng(round(seconds * 1000))
    samples = round(seconds * rate)
    waves = chance.uniform(-0.5, 0.5, (samples, channels)) * np.hanning(samples)[:, None] ** 2
    subtype = {"wav": "FLOAT"}.get(path.suffix[1:])
    soundfile.write(path, waves, rate, subtype=subtype)
    return path


def whole(collection: Collection, settings: DataSettings) -> list[list[np.ndarray]]:
    """For each clip its windows, out of the store."""
    signals = Store().open(collection, settings)
    length = round(settings.clip_seconds * settings.sample_rate)
    found = []
    for row in range(len(signals)):
        starts = windows(signals.length(row) / settings.sample_rate, settings.clip_seconds)
        draw = BatchIndices(np.full(len(starts), row), np.array(starts))
        found.append(list(next(iter(Loader(signals, [draw], length))).signal.numpy()))
    return found


def streamed(path: Path, pieces: list[Piece], settings: DataSettings) -> list[list[np.ndarray]]:
    """The same from the stream; windows filled up with zeros."""
    length = round(settings.clip_seconds * settings.sample_rate)
    found: list[list[np.ndarray]] = [[] for _ in pieces]
    for window in cut(path, pieces, settings):
        found[window.piece].append(np.pad(window.wave, ((0, 0), (0, length - window.wave.shape[1]))))
    return found


def blocks_of(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets files be decoded so many samples at a time."""

    def blocks(path: Path, rate: int, channels: Channels) -> Iterator[Waves]:
        return sound_blocks(path, rate, channels, samples)

    monkeypatch.setattr(cutting, "sound_blocks", blocks)


def check(path: Path, spans: list[tuple[float, float]], settings: DataSettings) -> None:
    """Both ways give the same windows, bit for bit."""
    starts, seconds = zip(*spans, strict=True)
    rows = pd.DataFrame({"path": str(path), "start": starts, "seconds": seconds, "id": range(len(spans))})
    ours = streamed(path, [Piece(*span) for span in spans], settings)
    for mine, its in zip(ours, whole(Collection.from_rows(rows), settings), strict=True):
        assert len(mine) == len(its)
        for left, right in zip(mine, its, strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("seconds", [0.03, 0.5, 1.0, 2.0, 3.7])
def test_a_whole_file_of_any_length(suffix: str, seconds: float, tmp_path: Path) -> None:
    path = noise(tmp_path / f"a.{suffix}", seconds)
    check(path, [(0.0, 0.0)], DataSettings(sample_rate=8000, clip_seconds=0.5))


@pytest.mark.parametrize("block", [1000, 1 << 20])
def test_pieces_side_by_side_far_apart_and_over_one_another(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks_of(block, monkeypatch)
    path = noise(tmp_path / "a.wav", 9.0)
    spans = [(0.0, 1.0), (0.5, 3.1), (0.6, 0.2), (1.0, 0.7), (7.25, 1.0), (8.9, 0.0)]
    check(path, spans, DataSettings(sample_rate=8000, clip_seconds=0.4))


def test_pieces_in_another_order_and_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks_of(1000, monkeypatch)
    monkeypatch.setattr(cutting, "_KEPT", 4000)
    path = noise(tmp_path / "a.wav", 6.0)
    check(
        path,
        [(0.0, 6.0), (0.2, 3.0), (5.0, 0.5), (1.0, 0.5)],
        DataSettings(sample_rate=8000, clip_seconds=0.4),
    )


def test_silence_is_trimmed_as_in_the_store(tmp_path: Path) -> None:
    settings = DataSettings(sample_rate=8000, clip_seconds=0.4, trim_db=20)
    check(noise(tmp_path / "a.wav", 3.0), [(0.0, 0.0), (0.5, 2.0)], settings)


def test_each_channel_as_a_clip_of_its_own(tmp_path: Path) -> None:
    noise(tmp_path / "a.wav", 1.3, channels=3)
    settings = DataSettings(sample_rate=8000, clip_seconds=0.4, channels="views")
    collection = Collection.load(str(tmp_path), Columns(views=True))
    pieces = [Piece(0.0, seconds, channel) for channel, seconds in enumerate(collection.table["seconds"])]
    for mine, its in zip(
        streamed(tmp_path / "a.wav", pieces, settings), whole(collection, settings), strict=True
    ):
        np.testing.assert_array_equal(mine, its)


def test_a_sound_that_is_no_channel_is_the_mean_of_all_where_channels_are_clips(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.wav", 0.4, 8000, channels=3)
    settings = DataSettings(sample_rate=8000, clip_seconds=0.4, channels="views")
    waves, _ = decode(path)
    alone, one = (next(iter(cut(path, [Piece(0.0, 0.0, which)], settings))).wave for which in (None, 2))
    np.testing.assert_allclose(alone, waves.mean(0, keepdims=True), atol=1e-7)
    np.testing.assert_array_equal(one, waves[2:])


@pytest.mark.parametrize("seconds", [1e308, np.inf])
def test_more_than_there_is_is_all_there_is(tmp_path: Path, seconds: float) -> None:
    path = noise(tmp_path / "a.wav", 1.0)
    settings = DataSettings(sample_rate=8000, clip_seconds=0.5)
    mine, whole = (list(cut(path, [Piece(0.2, length)], settings)) for length in (seconds, 0.0))
    for one, other in zip(mine, whole, strict=True):
        np.testing.assert_array_equal(one.wave, other.wave)
    with pytest.raises(DataError, match="has no samples"):
        list(cut(path, [Piece(seconds, 1.0)], settings))


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks_of(4000, monkeypatch)
    held: list[int] = []
    pull = cutting._Stream._pull

    def watched(stream: cutting._Stream, wanted: int, needed: int) -> None:
        pull(stream, wanted, needed)
        held.append(len(stream._buffer))

    monkeypatch.setattr(cutting._Stream, "_pull", watched)
    path = noise(tmp_path / "a.wav", 60.0, 8000)
    list(cut(path, [Piece(0.0, 0.0)], DataSettings(sample_rate=8000, clip_seconds=0.5)))
    assert len(held) > 100
    assert max(held) < 4 * 4000 + 2 * 4000


def test_a_piece_after_the_end_is_refused_by_name(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.wav", 1.0)
    with pytest.raises(DataError, match=r"a\.wav: the clip from 5 s on has no samples"):
        list(cut(path, [Piece(5.0, 1.0)], DataSettings(sample_rate=8000, clip_seconds=0.5)))
