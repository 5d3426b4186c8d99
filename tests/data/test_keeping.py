"""Kept pictures: a window of the kept picture is the picture of the window."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nearfield.core.types import BatchIndices, Vectors
from nearfield.data import feature_cache as keeping
from nearfield.data.feature_cache import cache_features
from nearfield.data.signals import ArraySignals, Loader

SPAN, HOP = 10, 4


class Loudness:
    """A feature of three bands from frames of ten samples, one every four."""

    hop = HOP

    def __init__(self) -> None:
        self.heard = 0

    def frames(self, samples: int) -> int:
        return max(0, 1 + (samples - SPAN) // HOP)

    def samples(self, frames: int) -> int:
        return SPAN + (frames - 1) * HOP

    def __call__(self, waves: Tensor) -> Tensor:
        self.heard += waves.shape[-1]
        frames = waves.unfold(-1, SPAN, HOP)  # (B, C, frames, SPAN)
        bands = [frames.sum(-1), frames.square().mean(-1).sqrt() - 1, frames[..., 0]]
        return torch.stack(bands, -2)


def clips(lengths: list[int], channels: int = 2) -> ArraySignals:
    rng = np.random.default_rng(sum(lengths))
    waves = [rng.standard_normal((channels, length)).astype(np.float32) for length in lengths]
    return ArraySignals.of(waves, 100.0)


def picture_of_window(signals: ArraySignals, row: int, start: int, length: int) -> Vectors:
    """Feature of the samples that a window of `length` frames from frame `start` on hears."""
    samples = Loudness().samples(length)
    wave = np.zeros((1, 2, samples), np.float32)
    signals.cut(row, start * HOP, samples, wave[0])
    return np.asarray(Loudness()(torch.from_numpy(wave))[0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=6), st.integers(1, 20), st.integers(0, 60))
def test_a_window_of_the_picture_is_the_picture_of_the_window(
    lengths: list[int], frames: int, start: int
) -> None:
    signals = clips(lengths)
    kept = cache_features(signals, Loudness(), least=Loudness().samples(frames))
    assert (kept.rate, kept.channels, kept.shape(frames)) == (25.0, 2, (2, 3, frames))
    for row, length in enumerate(lengths):
        assert kept.length(row) == max(frames, Loudness().frames(length))
        begin = min(start, kept.length(row) - frames)
        out = np.empty(kept.shape(frames), np.float32)
        kept.cut(row, begin, frames, out)
        np.testing.assert_allclose(out, picture_of_window(signals, row, begin, frames), atol=1e-6)


def test_loader_gives_pictures_as_it_gives_waves() -> None:
    signals = clips([400, 30])
    kept = cache_features(signals, Loudness(), least=Loudness().samples(20))
    indices = BatchIndices(np.array([0, 1, 0]), np.array([0.4, 0.0, 99.0]))
    (batch,) = Loader(kept, [indices], 20)
    assert batch.signal.shape == (3, 2, 3, 20)
    first, last = picture_of_window(signals, 0, 10, 20), picture_of_window(signals, 0, 98 - 20, 20)
    np.testing.assert_allclose(batch.signal[0], first, atol=1e-6)
    np.testing.assert_allclose(batch.signal[1], picture_of_window(signals, 1, 0, 20), atol=1e-6)
    np.testing.assert_allclose(batch.signal[2], last, atol=1e-6)


def test_long_clips_in_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = clips([997, 40])
    at_once = cache_features(signals, Loudness(), least=30)
    monkeypatch.setattr(keeping, "BLOCK", 64)
    in_blocks = cache_features(signals, Loudness(), least=30)
    for one, other in zip(at_once.arrays, in_blocks.arrays, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_under_a_key_pictures_are_made_once(tmp_path: Path) -> None:
    signals, told = clips([100, 57, 3]), []
    made = cache_features(signals, Loudness(), 20, "abc", tmp_path, lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    idle = Loudness()
    found = cache_features(signals, idle, 20, "abc", tmp_path, lambda done, of: told.append((done, of)))
    assert len(told) == 3
    assert idle.heard == SPAN  # one frame, to learn the shape
    in_memory = cache_features(signals, Loudness(), 20)
    for arrays in zip(made.arrays, found.arrays, in_memory.arrays, strict=True):
        np.testing.assert_array_equal(arrays[0], arrays[1])
        np.testing.assert_array_equal(arrays[0], arrays[2])
    with pytest.raises(ValueError, match="read-only"):
        found.arrays[0][...] = 0


@pytest.mark.parametrize("harm", ["other clips", "index gone", "index cut short", "file cut short"])
def test_what_does_not_fit_is_made_again(tmp_path: Path, harm: str) -> None:
    signals = clips([100, 57])
    cache_features(signals, Loudness(), 20, "abc", tmp_path)
    (index,) = tmp_path.glob("features/abc/*.json")
    if harm == "other clips":
        signals = clips([100, 90])
    elif harm == "index gone":
        index.unlink()
    elif harm == "index cut short":
        index.write_text("{")
    else:
        index.with_suffix(".npy").write_bytes(index.with_suffix(".npy").read_bytes()[:-1])
    again = cache_features(signals, Loudness(), 20, "abc", tmp_path)
    for row in range(2):
        wanted = picture_of_window(signals, row, 0, again.length(row))
        np.testing.assert_allclose(again.arrays[row], wanted, atol=1e-6)
    assert len(list(tmp_path.glob("features/abc/*"))) == 2


def test_torch_has_its_threads_again_afterwards() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        cache_features(clips([100, 57]), Loudness(), 20)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_what_went_to_make_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "waves/old/a.npy"
    old.parent.mkdir(parents=True)
    old.write_bytes(bytes(50_000))
    monkeypatch.setenv("NEARFIELD_CACHE_GB", "0")
    told: list[str] = []
    cache_features(clips([100]), Loudness(), 10, "key", tmp_path, tell=told.append)
    assert not old.exists()
    assert [f"{tmp_path}: the least recently used 0.05 MB of decoded data" in each for each in told] == [True]
