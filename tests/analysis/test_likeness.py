"""Copies are told from likenesses: by another gain, codec, place or polarity, on real clips."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from nearfield.analysis.suspects.duplicates import RATE, compare, likeness


def _brute(one: np.ndarray[tuple[int], np.dtype[np.float64]], other: np.ndarray, shift: int) -> float:
    one, other = one - one.mean(), other - other.mean()
    raised = [np.diff(wave, prepend=0.0) + 0.03 * np.concatenate([[0.0], wave[:-1]]) for wave in (one, other)]
    first, second = (raised[0][shift:], raised[1]) if shift >= 0 else (raised[0], raised[1][-shift:])
    length = min(len(first), len(second))
    first, second = first[:length], second[:length]
    return float(abs(first @ second) / np.sqrt((first @ first) * (second @ second)))


def test_the_best_correlation_is_that_of_a_loop_over_shifts() -> None:
    chance = np.random.default_rng(0)
    one, other = chance.standard_normal(400), chance.standard_normal(300)
    other[20:] += 1.2 * one[60:340]
    found = likeness(one, other)
    loop = {shift: _brute(one, other, shift) for shift in range(-149, 250)}
    best = max(loop, key=lambda shift: loop[shift])
    assert best == 40
    assert found.shift == pytest.approx(best / RATE)
    assert found.waves == pytest.approx(loop[best], abs=1e-9)


def test_a_copy_is_the_same_by_any_gain_place_and_polarity() -> None:
    chance = np.random.default_rng(1)
    sound = chance.standard_normal(2 * RATE) * np.repeat(chance.uniform(0, 1, 16), RATE // 8)
    for copy in (0.01 * sound, -sound, sound[3000:], np.concatenate([np.zeros(2000), sound])):
        found = likeness(sound, copy)
        assert found.is_same
        assert found.waves == pytest.approx(1, abs=1e-4)
    assert likeness(sound, sound[3000:]).shift == pytest.approx(3000 / RATE)
    assert not likeness(sound, chance.permutation(sound)).is_same
    assert likeness(sound, np.zeros(RATE)).score == 0


def test_real_clips_re_encoded_are_found_and_others_of_the_class_are_not(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = real_data("esc10")
    table = pd.read_csv(folder / "labels.csv")
    clips = table.groupby("label").sample(2, random_state=3).reset_index(drop=True)
    for row in range(0, len(clips), 2):
        path = folder / clips["path"][row]
        waves, rate = soundfile.read(path)
        copies = (tmp_path / "copy.mp3", tmp_path / "copy.ogg")
        for copy in copies:
            soundfile.write(copy, 0.2 * waves[rate // 10 :], rate)
            found = compare((path, 0.0, 0.0), (copy, 0.0, 0.0))
            assert found.is_same, (path, copy, found)
            assert found.shift == pytest.approx(0.1, abs=0.005) or found.waves < 0.9
        other = compare((path, 0.0, 0.0), (folder / clips["path"][row + 1], 0.0, 0.0))
        assert not other.is_same, (path, clips["path"][row + 1], other)


def test_an_offset_that_recordings_share_makes_no_copies_of_them() -> None:
    rng = np.random.default_rng(5)
    one, other = (0.029 + 0.001 * rng.standard_normal(4 * RATE) for _ in range(2))
    found = likeness(one, other)
    assert found.waves < 0.1
    assert not found.is_same
    assert likeness(one, 0.4 * one - 0.02).waves > 0.999
