"""Channels: four microphones that hear four tones, and every way in which they can be taken."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from nearfield.core.errors import DataError, RequestError
from nearfield.core.types import Vectors
from nearfield.data.audio import Waves, decode, mix, resample
from nearfield.data.collection import Collection
from nearfield.data.faults import Fault
from nearfield.data.probing import channel_counts
from nearfield.data.settings import Channels, Columns, DataSettings
from nearfield.data.signals import Signals
from nearfield.data.store import Store
from nearfield.training.prepare import Request, open_collection
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch

Write = Callable[..., Path]

PITCHES = (500, 1000, 2000, 3500)
"""Hertz of channel 0, 1, 2, 3."""
SECONDS = 0.5


def tones(path: Path, rate: int, pitches: tuple[int, ...] = PITCHES, seconds: float = SECONDS) -> Path:
    """A file whose channels each hold a tone of their own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * rate)) / rate
    samples = np.stack([0.3 * np.sin(2 * np.pi * pitch * times) for pitch in pitches], axis=1)
    soundfile.write(path, samples, rate)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same four tones in three formats and at two rates."""
    tones(tmp_path / "set/a/1.wav", 16000)
    tones(tmp_path / "set/a/2.flac", 44100)
    tones(tmp_path / "set/b/3.ogg", 16000)
    return tmp_path / "set"


def opened(folder: Path, channels: Channels) -> tuple[Collection, Signals]:
    settings = DataSettings(channels=channels)
    found = Collection.load(folder, settings.columns)
    return found, Store(folder.parent / "cache").open(found, settings)


def whole(signals: Signals, row: int) -> Vectors:
    out = np.empty(signals.shape(signals.length(row)), np.float32)
    signals.cut(row, 0, signals.length(row), out)
    return out


def heard(wave: Waves) -> list[int]:
    """The pitches (Hz) in a wave (T,) at 16 kHz that stand out."""
    strength = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    bins = [round(pitch * len(wave) / 16000) for pitch in PITCHES]
    peaks = [strength[place - 2 : place + 3].max() for place in bins]
    return [pitch for pitch, peak in zip(PITCHES, peaks, strict=True) if peak > 0.2 * strength.max()]


@pytest.mark.parametrize("channel", range(4))
def test_one_channel_is_the_one_of_that_number(folder: Path, channel: int) -> None:
    _, signals = opened(folder, channel)
    assert signals.channels == 1
    assert [heard(whole(signals, row)[0]) for row in range(3)] == [[PITCHES[channel]]] * 3


def test_the_mean_holds_all(folder: Path) -> None:
    _, signals = opened(folder, "mean")
    assert signals.channels == 1
    assert [heard(whole(signals, row)[0]) for row in range(3)] == [list(PITCHES)] * 3


def test_all_channels_stand_in_their_order(folder: Path) -> None:
    _, signals = opened(folder, "all")
    assert signals.channels == 4
    for row in range(3):
        assert [heard(wave) for wave in whole(signals, row)] == [[pitch] for pitch in PITCHES]


def test_views_are_clips_of_one_channel_at_one_moment(folder: Path) -> None:
    found, signals = opened(folder, "views")
    table = found.table
    assert len(found) == len(signals) == 12
    assert signals.channels == 1
    assert list(table["channel"]) == [0, 1, 2, 3] * 3
    for row, channel in enumerate(table["channel"]):
        assert heard(whole(signals, row)[0]) == [PITCHES[channel]]
    assert list(table["id"][:4]) == [f"a/1.wav#channel{channel}" for channel in range(4)]
    assert table.groupby("recording").size().tolist() == [4, 4, 4]
    same = ["path", "start", "seconds", "moment", "recording", "group", "label", "split"]
    assert len(table[same].drop_duplicates()) == 3
    metadata = found.metadata()
    assert list(metadata.columns["channel"]) == [0, 1, 2, 3] * 3
    assert len(set(metadata.recordings)) == 3


@pytest.mark.parametrize("channel", range(4))
def test_a_view_is_bit_for_bit_its_channel(folder: Path, channel: int) -> None:
    found, views = opened(folder, "views")
    _, alone = opened(folder, channel)
    rows = np.flatnonzero(found.table["channel"] == channel)
    for row, path, other in zip(rows.tolist(), found.table["path"].iloc[rows], range(3), strict=True):
        np.testing.assert_array_equal(whole(views, row), whole(alone, other))
        waves, rate = decode(Path(path))
        np.testing.assert_array_equal(whole(views, row), resample(mix(waves, channel), rate, 16000))


def test_views_are_decoded_once_for_all_channels(folder: Path) -> None:
    store = Store(folder.parent / "cache")
    settings = DataSettings(channels="views")
    done: list[int] = []
    found = Collection.load(folder, settings.columns)
    store.open(found, settings, lambda count, total: done.append(total))
    assert done == [3, 3, 3]
    store.open(Collection.load(folder), DataSettings(channels="all"), lambda *_: done.append(0))
    assert 0 not in done


def test_files_may_have_other_numbers_of_channels(folder: Path) -> None:
    tones(folder / "b/4.wav", 16000, (1000,))
    tones(folder / "b/5.wav", 16000, (2000, 500))
    found, signals = opened(folder, "views")
    rows = found.table.set_index("id")
    assert list(found.table["channel"][12:]) == [0, 0, 1]
    wanted = {"b/4.wav#channel0": 1000, "b/5.wav#channel0": 2000, "b/5.wav#channel1": 500}
    for name, pitch in wanted.items():
        assert heard(whole(signals, list(rows.index).index(name))[0]) == [pitch]
    with pytest.raises(DataError, match=r"4 channels, but|1 channels, but"):
        opened(folder, "all")


def test_views_of_pieces_stay_together_when_they_are_trimmed(tmp_path: Path) -> None:
    path = tones(tmp_path / "set/1.wav", 16000, (500, 1000), 2.0)
    samples, rate = soundfile.read(path)
    samples[:8000, 0] = samples[:4000, 1] = 0.0
    soundfile.write(path, samples, rate)
    table = pd.DataFrame(
        {"path": ["1.wav"] * 2, "start": [0.0, 1.0], "seconds": [1.0, 1.0], "channel": ["left", "right"]}
    )
    table.to_csv(tmp_path / "set/labels.csv", index=False)
    settings = DataSettings(channels="views", trim_db=40.0)
    found = Collection.load(tmp_path / "set", settings.columns)
    assert list(found.table["id"]) == [
        f"1.wav#{piece}#channel{channel}" for piece in ("0.000-1.000", "1.000-2.000") for channel in (0, 1)
    ]
    assert list(found.table["given_channel"]) == ["left", "left", "right", "right"]
    assert list(found.table["row"]) == [2, 2, 3, 3]
    signals = Store(tmp_path / "cache").open(found, settings)
    lengths = [signals.length(row) for row in range(4)]
    assert lengths[0] == lengths[1] == pytest.approx(12000, abs=1024)
    assert lengths[2:] == [16000, 16000]


def test_pictures_have_no_views(tmp_path: Path, write_sound: Write) -> None:
    from PIL import Image

    for number in range(3):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"{number}.png")
    found = Collection.load(tmp_path, Columns(views=True))
    assert len(found) == 3
    assert "channel" not in found.table


def test_rows_without_a_channel_are_refused(folder: Path) -> None:
    with pytest.raises(RequestError) as error:
        Store(folder.parent / "cache").open(Collection.load(folder), DataSettings(channels="views"))
    assert str(error.value) == (
        "data.channels: 'views' needs a row for each channel, but set has none. "
        "Load it by Collection.load(data, Columns(views=True)), or use mean or all."
    )


def test_a_sound_asked_for_as_one_is_heard_by_the_mean(folder: Path) -> None:
    waves, _ = decode(folder / "a/1.wav")
    np.testing.assert_array_equal(mix(waves, "views"), waves.mean(axis=0, keepdims=True, dtype=np.float32))


def test_a_recipe_opens_its_collection_by_channel(folder: Path) -> None:
    recipe = Recipe.of({"data": {"channels": "views"}})
    assert len(open_collection(str(folder), recipe, False)) == 12


@pytest.mark.parametrize(
    ("channels", "rows", "lead"), [("mean", 6, 1), (0, 6, 1), ("all", 6, 4), ("views", 24, 1)]
)
def test_every_way_trains(tmp_path: Path, channels: Channels, rows: int, lead: int) -> None:
    """Two updates from four-channel files to weights, and vectors of a file out of them."""
    for number in range(6):
        tones(tmp_path / f"set/{'ab'[number % 2]}/{number}.wav", 16000)
    recipe = Recipe.of(
        {
            "data": {"channels": channels, "clip_seconds": SECONDS},
            "feature": {"kind": "log_mel", "bands": 32},
            "embedding": {"size": 8},
            "sampler": {"kind": "balanced", "classes": 2, "per_class": 2},
            "train": {"updates": 2, "validate_every": 0},
        }
    )
    launch(Request(recipe, str(tmp_path / "set"), tmp_path / "run", device="cpu"))
    data = RunFolder(tmp_path / "run").environment()["data"]
    assert (data["clips"], data["channels"]) == (rows, lead)
    vectors = Run.load(tmp_path / "run").encode([tmp_path / "set/a/0.wav"])
    assert np.isfinite(vectors).all()
    assert vectors.shape == (1, 8)


def test_a_file_that_is_gone_is_told_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"gone\.wav: there is no such file"):
        channel_counts([str(tmp_path / "gone.wav")])
