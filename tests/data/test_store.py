"""The store against plain decoding; whole files for everybody at once; errors in words."""

import hashlib
import multiprocessing
import resource
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from nearfield.core.errors import DataError, WorkError
from nearfield.core.machine import peak_memory
from nearfield.core.types import Vectors
from nearfield.data import packs as filling
from nearfield.data import packs as packs_module
from nearfield.data import store as decoding
from nearfield.data.audio import decode, describe, mix, resample
from nearfield.data.collection import Collection
from nearfield.data.packs import Packs
from nearfield.data.settings import Channels, DataSettings
from nearfield.data.signals import ArraySignals, Signals
from nearfield.data.store import Store

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["nearfield.data.store", "pytest", "PIL.Image"])  # imported once for all


def noise(path: Path, seconds: float, rate: int = 44100, channels: int = 1, **written: Any) -> Path:
    """A file of noise."""
    rng = np.random.default_rng(len(path.name))
    samples = 0.1 * rng.standard_normal((round(seconds * rate), channels))
    soundfile.write(path, samples, rate, **written)
    return path


def collection(paths: list[Path], starts: float = 0.0, seconds: float | list[float] = 0.0) -> Collection:
    """Whole files, or the same part of each."""
    table = pd.DataFrame({"path": [str(path) for path in paths], "start": starts, "seconds": seconds})
    return Collection(table)


def whole(signals: Signals, row: int) -> Vectors:
    """A clip as the store has it."""
    out = np.empty(signals.shape(signals.length(row)), np.float32)
    signals.cut(row, 0, signals.length(row), out)
    return out


@pytest.fixture
def sounds(tmp_path: Path) -> list[Path]:
    """Every format, several rates."""
    return [
        noise(tmp_path / "a.wav", 1.23456),
        noise(tmp_path / "float.wav", 0.71237, subtype="FLOAT"),
        noise(tmp_path / "c.flac", 0.9, rate=16000),
        noise(tmp_path / "d.ogg", 1.10107, rate=48000),
        noise(tmp_path / "e.mp3", 2.0, rate=22050),
        noise(tmp_path / "f.wav", 0.4, rate=8000, channels=4),
    ]


@pytest.mark.parametrize("channels", ["mean", "all", 0])
@pytest.mark.parametrize("block", [1000, decoding.BLOCK])
def test_bit_identical_to_decoding(
    sounds: list[Path], tmp_path: Path, channels: Channels, block: int
) -> None:
    wanted = [resample(mix(waves, channels), rate, 16000) for waves, rate in map(decode, sounds)]
    for path, waves in zip(sounds, wanted, strict=True):
        pieces = list(decoding.sound_blocks(path, 16000, channels, block))
        np.testing.assert_array_equal(np.concatenate(pieces).T, waves)
    if channels == "all":
        sounds, wanted = sounds[:5], wanted[:5]
    store = Store(tmp_path / "cache")
    headers = [describe(path).seconds for path in sounds]
    for seconds in (0.0, headers):  # decoded, then found; to the end, or as long as headers say
        signals = store.open(collection(sounds, seconds=seconds), DataSettings(channels=channels))
        for row, waves in enumerate(wanted):
            np.testing.assert_array_equal(whole(signals, row), waves)
    assert signals.rate == 16000
    assert signals.channels == 1


def test_channels_stay_in_order(tmp_path: Path) -> None:
    path = tmp_path / "four.wav"
    samples = np.arange(400).reshape(100, 4) / 1000
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    signals = Store(tmp_path / "cache").open(collection([path]), DataSettings(channels="all"))
    assert signals.channels == 4
    np.testing.assert_array_equal(whole(signals, 0), samples.T.astype(np.float32))


def test_a_low_rate_is_decoded_in_little_memory_and_to_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "low.flac"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(30_000), 100)
    wanted = resample(decode(path)[0], 100, 48000)
    pieces = list(decoding.sound_blocks(path, 48000, "mean"))
    np.testing.assert_array_equal(np.concatenate(pieces).T, wanted)
    assert max(len(piece) for piece in pieces) < 1_000_000  # of 14 million


def test_clips_are_parts_of_their_source(tmp_path: Path) -> None:
    path = noise(tmp_path / "long.wav", 10.0, rate=16000)
    table = pd.DataFrame({"path": str(path), "start": [0.0, 2.5, 9.0], "seconds": [1.0, 2.0, 5.0]})
    signals = Store(tmp_path / "cache").open(Collection(table), DataSettings())
    waves, _ = decode(path)
    np.testing.assert_array_equal(whole(signals, 0), waves[:, :16000])
    np.testing.assert_array_equal(whole(signals, 1), waves[:, 40000:72000])
    np.testing.assert_array_equal(whole(signals, 2), waves[:, 144000:])
    past = np.ones((1, 20000), np.float32)
    signals.cut(2, 8000, 20000, past)
    np.testing.assert_array_equal(past, np.pad(waves[:, 152000:], ((0, 0), (0, 12000))))


def test_each_content_is_decoded_once(sounds: list[Path], tmp_path: Path) -> None:
    twin = Path(shutil.copy(sounds[0], tmp_path / "twin.wav"))
    told: list[tuple[int, int]] = []
    store = Store(tmp_path / "cache")
    store.open(collection([*sounds, twin]), DataSettings(), lambda done, of: told.append((done, of)))
    assert told == [(number, 6) for number in range(1, 7)]
    told.clear()
    more = noise(tmp_path / "more.wav", 0.2)
    store.open(collection([twin, more]), DataSettings(), lambda done, of: told.append((done, of)))
    assert told == [(1, 1)]


def test_trims_clips_and_says_how_much(tmp_path: Path) -> None:
    waves = np.zeros(32000, np.float32)
    waves[9000:20000] = 0.2 * np.random.default_rng(1).standard_normal(11000)
    soundfile.write(tmp_path / "a.wav", waves, 16000, subtype="FLOAT")
    signals = Store(tmp_path / "cache").open(collection([tmp_path / "a.wav"]), DataSettings(trim_db=40))
    wanted = waves[16 * 512 : 42 * 512]  # the first and last looks, of 2,048 samples, that hear something
    np.testing.assert_array_equal(whole(signals, 0)[0], wanted)
    assert isinstance(signals, ArraySignals)
    assert signals.trimmed == (32000 - len(wanted)) / 16000
    assert signals.seconds.tolist() == [len(wanted) / 16000]


def memory_to_open(path: Path, warm: Path, cache: Path) -> tuple[int, int]:
    """Bytes by which the process's peak grows, and samples found; what `warm` loads does not count."""
    Store(cache).open(collection([warm]), DataSettings())
    before = peak_memory()
    signals = Store(cache).open(collection([path]), DataSettings())
    return peak_memory() - before, signals.length(0)


def test_short_files_are_decoded_in_little_memory(tmp_path: Path) -> None:
    path = noise(tmp_path / "short.flac", 0.2)  # 35 kB as float32
    tracemalloc.start()
    list(decoding.sound_blocks(path, 16000, "mean"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000


def test_long_files_are_decoded_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        for _ in range(30):
            file.write(np.zeros(8000 * 60, np.int16))  # half an hour: 115 MB at 16 kHz
    with PROCESSES.Pool(1) as pool:
        warm = noise(tmp_path / "warm.wav", 0.2, 8000)
        grown, samples = pool.apply(memory_to_open, (path, warm, tmp_path / "cache"))
    assert samples == 1800 * 16000
    assert grown < 60e6


def digest(cache: Path, paths: list[Path]) -> str:
    """What one process sees of all files."""
    signals = Store(cache).open(collection(paths), DataSettings())
    waves = [whole(signals, row).tobytes() for row in range(len(signals))]
    return hashlib.sha256(b"".join(waves)).hexdigest()


def test_four_processes_at_once_all_see_whole_files(tmp_path: Path) -> None:
    paths = [noise(tmp_path / f"{'x' * number}.wav", 2.0) for number in range(1, 40)]
    wanted = hashlib.sha256()
    for path in paths:
        wanted.update(resample(*decode(path), 16000).tobytes())
    with PROCESSES.Pool(4) as pool:
        answers = pool.starmap(digest, [(tmp_path / "cache", paths)] * 4, chunksize=1)
    assert answers == [wanted.hexdigest()] * 4
    packs = list((tmp_path / "cache").rglob("*.npy"))
    assert sum(np.load(pack, mmap_mode="r").size for pack in packs) == 39 * 32000  # nothing twice


def test_a_pack_without_its_index_or_cut_short_is_as_if_not_there(tmp_path: Path) -> None:
    packs = Packs(tmp_path, np.float32)
    with packs.writing() as writer:
        writer.add("a", [np.ones((3, 2))])
        writer.add("b", [np.zeros((1, 2)), np.ones((2, 2))])
    places = packs.places()
    assert packs.views([places["b"]])[0].tolist() == [[0, 0], [1, 1], [1, 1]]
    (pack,) = tmp_path.glob("*.npy")
    assert np.load(pack).tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1]
    whole_pack = pack.read_bytes()
    pack.write_bytes(whole_pack[:-4])
    assert packs.places() == {}
    pack.write_bytes(whole_pack)
    assert packs.places() == places
    for other in ("[1, 2]", '{"a": 3}', '{"a": ["x", 2]}', '{"a": [0, null]}', "null", '{"a": []}'):
        pack.with_suffix(".json").write_text(other)
        assert packs.places() == {}, other
    pack.with_suffix(".json").unlink()
    assert packs.places() == {}


def test_damage_to_what_was_kept_is_found_told_and_mended(
    sounds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clips = Store(tmp_path / "cache"), collection(sounds).table
    rows = Collection(clips.assign(id=clips["path"]), name="sounds")
    wanted = [whole(store.open(rows, DataSettings()), row).tobytes() for row in range(len(rows))]
    for pack in (tmp_path / "cache").rglob("*.npy"):
        kept = np.memmap(pack, np.uint32, mode="r+", offset=128)
        kept[::1000] ^= 1 << 20
        kept.flush()
    monkeypatch.setattr(packs_module, "_COMPARED", set())  # as in another process
    told = list[str]()
    assert len(store.usable(rows, DataSettings(), tell=told.append)) == len(rows)
    assert [whole(store.open(rows, DataSettings()), row).tobytes() for row in range(len(rows))] == wanted
    assert len(told) == 1
    assert told[0].endswith("will be decoded again. Check the disk.")


def test_much_is_told_before_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "LARGE", 100_000)
    paths = [noise(tmp_path / "a.wav", 1.0), noise(tmp_path / "b.wav", 2.5)]
    rows = collection(paths).table
    told = list[str]()
    Store(tmp_path / "cache").usable(
        Collection(rows.assign(id=rows["path"])), DataSettings(), tell=told.append
    )
    assert len(told) == 1
    assert told[0].startswith(f"2 files will be decoded once to {tmp_path / 'cache' / 'waves'}")
    assert "about 0.0 GB of " in told[0]
    assert "NEARFIELD_CACHE sets another folder" in told[0]


def test_an_error_while_writing_leaves_no_pack_and_one_source_no_trace(tmp_path: Path) -> None:
    packs = Packs(tmp_path, np.float32)

    def breaks() -> Any:
        yield np.ones((5, 1))
        raise DataError("broken")

    with packs.writing() as writer:
        with pytest.raises(DataError):
            writer.add("broken", breaks())
        writer.add("sound", [np.full((2, 1), 7)])
    assert packs.views(packs.places().values())[0].tolist() == [[7], [7]]
    with pytest.raises(KeyError), packs.writing():
        raise KeyError
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npy"]


def test_every_unusable_file_is_named_and_the_others_are_kept(sounds: list[Path], tmp_path: Path) -> None:
    broken, poisoned = tmp_path / "broken.wav", tmp_path / "poisoned.wav"
    broken.write_bytes(b"RIFF not a sound at all")
    soundfile.write(poisoned, np.array([0.0, np.nan, 0.0] * 100), 16000, subtype="FLOAT")
    store = Store(tmp_path / "cache")
    with pytest.raises(DataError) as error:
        store.open(collection([*sounds, broken, poisoned]), DataSettings())
    assert f"{broken}: it cannot be read as sound" in str(error.value)
    assert f"{poisoned}: some samples" in str(error.value)
    told: list[int] = []
    store.open(collection(sounds), DataSettings(), lambda done, of: told.append(done))
    assert told == []


def test_every_missing_file_is_named(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.wav" for number in range(12)]
    with pytest.raises(DataError) as error:
        Store(tmp_path / "cache").open(collection(paths), DataSettings())
    lines = str(error.value).splitlines()
    assert lines[3].startswith(f"{paths[3]}: there is no such file.")
    assert lines[10:] == ["... and 2 more."]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    path = noise(tmp_path / "a.wav", 1.0)
    with pytest.raises(WorkError, match=r"cache.*NEARFIELD_CACHE"):
        Store(tmp_path / "cache").open(collection([path]), DataSettings())


def test_odd_numbers_of_channels_are_refused(sounds: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        Store(tmp_path / "cache").open(collection(sounds), DataSettings(channels="all"))
    assert str(error.value) == (
        f"{sounds[5]}: 4 channels, but {sounds[0]} has 1. With `channels: all` every file needs the same "
        "number; use `channels: mean` or the number of one."
    )


def test_a_channel_that_is_not_there_is_named_with_its_file(sounds: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.wav: .*no channel 2"):
        Store(tmp_path / "cache").open(collection(sounds), DataSettings(channels=2))


def test_a_clip_past_the_end_is_named(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.wav", 1.0)
    with pytest.raises(DataError, match=r"a\.wav: the clip from 3 s on has no samples; the file has 1 s"):
        Store(tmp_path / "cache").open(collection([path], starts=3.0, seconds=1.0), DataSettings())


def open_with_little_room(path: Path, cache: Path) -> str:
    """Opens a sound where the system lets no file grow beyond 1 MB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    with pytest.raises(WorkError) as error:
        Store(cache).open(collection([path]), DataSettings())
    return str(error.value)


def test_a_full_disk_is_said_with_folder_and_space(tmp_path: Path) -> None:
    path, cache = noise(tmp_path / "a.wav", 100.0, rate=8000), tmp_path / "cache"
    with PROCESSES.Pool(1) as pool:
        said = pool.apply(open_with_little_room, (path, cache))
    assert said.startswith(f"{cache}")
    assert "6.4 MB are needed" in said
    assert "NEARFIELD_CACHE" in said
    assert not [file for file in cache.rglob("*") if "npy" in file.name]


def test_pictures_are_brought_to_one_shape(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (90, 60, 3), np.uint8)
    grey = rng.integers(0, 256, (40, 40), np.uint8)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    paths = [tmp_path / "colour.png", tmp_path / "grey.png"]
    clips = Collection(collection(paths).table, "picture")
    store = Store(tmp_path / "cache")
    signals = store.open(clips, DataSettings(image_size=32))
    assert (signals.rate, signals.channels, signals.shape(1)) == (0.0, 3, (3, 32, 32))
    wanted = np.asarray(Image.fromarray(colour).resize((32, 32), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(whole(signals, 0), wanted.transpose(2, 0, 1) / 255, atol=1e-7)
    in_colour = whole(signals, 1)
    assert (in_colour[0] == in_colour[1]).all()
    grey_signals = store.open(clips, DataSettings(image_size=40, image_channels=1))
    np.testing.assert_allclose(whole(grey_signals, 1)[0], grey / 255, atol=1e-7)


def test_clear_frees_what_size_says(sounds: list[Path], tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    (tmp_path / "cache" / "mine").mkdir(parents=True)
    signals = store.open(collection(sounds), DataSettings())
    held = sum(signals.length(row) for row in range(len(signals))) * 4
    size = store.size()
    assert held < size < held + 10_000
    assert store.clear() == size
    assert store.size() == 0
    assert (tmp_path / "cache" / "mine").is_dir()


def test_real_collection_opens_warm_in_half_a_second(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    base = real_data("fsdd")
    labels = pd.read_csv(base / "labels.csv").head(1000)
    clips = collection([base / path for path in labels["path"]])
    store = Store(tmp_path / "cache")
    store.open(clips, DataSettings(sample_rate=8000))
    times = []
    for _ in range(3):
        begun = time.thread_time()  # what others on the machine take does not count
        signals = store.open(clips, DataSettings(sample_rate=8000))
        times.append(time.thread_time() - begun)
    assert min(times) < 0.5
    np.testing.assert_array_equal(whole(signals, 999), decode(base / labels["path"][999])[0])
