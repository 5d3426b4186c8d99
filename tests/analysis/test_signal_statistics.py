"""What the samples say, against NumPy on the whole file, and against signals whose figures are known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.signal import lfilter

from nearfield.analysis.suspects import signals as signal_statistics
from nearfield.analysis.suspects.signals import ChannelStatistics, measure_channels, spectral_tilts
from nearfield.data.collection import Collection

RATE = 16000


def measured(folder: Path, *sounds: np.ndarray, rate: int = RATE) -> ChannelStatistics:
    """Statistics of waves (T, C), each written to a file of its own."""
    rows = []
    for number, sound in enumerate(sounds):
        path = folder / f"{number}.wav"
        soundfile.write(path, sound, rate, subtype="FLOAT")
        rows.append({"path": str(path), "seconds": len(sound) / rate})
    return measure_channels(Collection.from_rows(pd.DataFrame(rows)))


def test_figures_equal_those_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal_statistics, "_BLOCK_SECONDS", 0.7)  # several blocks, cut anywhere
    chance = np.random.default_rng(0)
    sound = 0.1 * chance.standard_normal((3 * RATE, 4)) @ chance.standard_normal((4, 4)) + [0, 0.1, -0.2, 0]
    found = measured(tmp_path, sound)
    stored = sound.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(found.levels[0], 10 * np.log10((stored**2).mean(axis=0)), atol=1e-9)
    np.testing.assert_allclose(found.offsets[0], stored.mean(axis=0), atol=1e-9)
    expected = (np.corrcoef(stored.T).sum(axis=1) - 1) / 3
    np.testing.assert_allclose(found.correlations[0], expected, atol=1e-9)
    assert found.channels.tolist() == [4]
    assert found.problems == ()


def test_tilts_are_those_that_noise_was_given(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    white = 0.05 * chance.standard_normal(8 * RATE)
    frequencies = np.fft.rfftfreq(len(white), 1 / RATE)
    pink = np.fft.irfft(np.fft.rfft(white) * np.maximum(frequencies, 20) ** -0.5, len(white))
    brown = np.fft.irfft(np.fft.rfft(white) / np.maximum(frequencies, 20), len(white))
    found = measured(tmp_path, np.stack([white, pink, brown], axis=1))
    # 3.01 dB an octave are half of the power.
    np.testing.assert_allclose(found.tilts[0], [0, -3.01, -6.02], atol=0.25)
    louder = measured(tmp_path, 5 * np.stack([white, pink, brown], axis=1))
    np.testing.assert_allclose(louder.tilts, found.tilts, atol=1e-5)
    assert spectral_tilts(np.ones((2, 5)), 100.0).tolist() == [0, 0]


def test_silence_and_full_scale_are_told(tmp_path: Path) -> None:
    time = np.arange(RATE) / RATE
    sine = 2 * np.sin(2 * np.pi * 100 * time)
    clipped = np.clip(sine, -1, 1)
    dead = np.stack([clipped, np.zeros(RATE)], axis=1)
    found = measured(tmp_path, clipped[:, None], dead, np.zeros((RATE, 1)), 0.9 * clipped[:, None])
    # A sine of twice full scale stands at it for two thirds of the time.
    assert found.clipped[0, 0] == pytest.approx(2 / 3, abs=0.02)
    assert found.clipped[3, 0] == 0
    assert np.isneginf(found.levels[1, 1])
    assert np.isneginf(found.levels[2, 0])
    assert found.correlations[1].tolist() == [0, 0]
    assert np.isnan(found.correlations[[0, 2, 3], 0]).all()
    assert np.isnan(found.levels[[0, 2, 3], 1]).all()
    assert np.isfinite(found.tilts[1]).all()
    assert found.channels.tolist() == [1, 2, 1, 1]


def test_clips_of_one_file_are_heard_apart(tmp_path: Path) -> None:
    levels = [0.5, 0.1, 0.02]
    wave = np.concatenate([level * np.ones(RATE) for level in levels])[:, None]
    path = tmp_path / "all.wav"
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    rows = [{"id": str(n), "path": str(path), "start": float(n), "seconds": 1.0} for n in (2, 0, 1)]
    found = measure_channels(Collection.from_rows(pd.DataFrame(rows)))
    expected = 20 * np.log10([levels[2], levels[0], levels[1]])
    np.testing.assert_allclose(found.levels[:, 0], expected, atol=1e-4)


def test_what_cannot_be_decoded_is_listed(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.wav", tmp_path / "bad.wav"
    soundfile.write(good, lfilter([1], [1, -0.9], np.random.default_rng(0).uniform(-0.05, 0.05, 900)), 8000)
    bad.write_bytes(b"no sound at all")
    rows = pd.DataFrame({"path": [str(bad), str(good)], "seconds": [1.0, 900 / 8000]})
    seen: list[tuple[int, int]] = []
    found = measure_channels(Collection.from_rows(rows), lambda done, total: seen.append((done, total)))
    assert found.channels.tolist() == [0, 1]
    assert np.isnan(found.levels[0]).all()
    assert [each.path for each in found.problems] == [str(bad)]
    assert seen == [(1, 2), (2, 2)]


def test_real_clips_have_plausible_figures(real_data: Callable[[str], Path]) -> None:
    collection = Collection.load(real_data("esc10"))
    some = collection.subset(np.arange(0, len(collection), 5))
    found = measure_channels(some)
    assert found.channels.tolist() == [1] * len(some)
    assert ((found.levels > -90) & (found.levels < 0)).all()
    assert (np.abs(found.offsets) < 0.02).all()
    tilts = pd.Series(found.tilts[:, 0]).groupby(list(some.table["label"])).median()
    assert tilts.idxmin() == "helicopter"
    assert tilts["rooster"] > tilts["rain"]
