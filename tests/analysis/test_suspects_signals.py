"""Faulty signals, planted in the statistics of clips from four-channel recorders."""

from dataclasses import replace

import numpy as np
import pytest

from nearfield.analysis.suspects.signals import SignalSettings, SignalStatistics, signal_suspects
from nearfield.core.errors import RequestError


def _recorders(clips: int = 200, channels: int = 4, seed: int = 0) -> SignalStatistics:
    """Sounds of all levels and colours, through microphones of which each has its own."""
    chance = np.random.default_rng(seed)
    sound = chance.normal(-30, 6, (clips, 1)), chance.normal(-4, 1.5, (clips, 1))
    levels = sound[0] + np.array([0, 3, -2, 5])[:channels] + chance.normal(0, 0.4, (clips, channels))
    tilts = sound[1] + np.array([0, 1, -1, 0.5])[:channels] + chance.normal(0, 0.2, (clips, channels))
    together = np.clip(chance.normal(0.8, 0.03, (clips, channels)), -1, 1)
    correlations = together if channels > 1 else np.full((clips, 1), np.nan)
    quiet = np.zeros((clips, channels))
    return SignalStatistics(levels, quiet.copy(), quiet.copy(), tilts, correlations, levels + 12)


def test_clean_recorders_are_not_suspected() -> None:
    for channels in (1, 2, 4):
        assert signal_suspects(_recorders(channels=channels)) == []


@pytest.mark.parametrize("channels", [2, 4])
def test_planted_broken_channels_are_found_with_their_number(channels: int) -> None:
    statistics = _recorders(channels=channels)
    planted = {5: 1, 60: 0, 99: 1}
    levels, tilts, together = (
        getattr(statistics, name).copy() for name in ("levels", "tilts", "correlations")
    )
    levels[5, 1] = -np.inf
    levels[60, 0] -= 25
    tilts[60, 0] -= 4
    levels[99, 1] -= 12
    together[99] -= 0.7
    found = signal_suspects(replace(statistics, levels=levels, tilts=tilts, correlations=together))
    assert {each.row for each in found} == set(planted)
    assert all(each.kind == "channel" and 0.5 <= each.score <= 1 for each in found)
    if channels == 4:
        assert {each.row: int(each.reason[8]) for each in found if each.row != 99} == {5: 1, 60: 0}


def test_one_microphone_gone_bad_is_found_among_clips_of_one_channel() -> None:
    statistics = _recorders(channels=1)
    tilts = statistics.tilts.copy()
    tilts[77] = 20
    found = signal_suspects(replace(statistics, tilts=tilts))
    assert [(each.row, each.kind) for each in found] == [(77, "channel")]
    assert "tilt of the spectrum" in found[0].reason


def test_planted_swaps_are_found_with_both_channels() -> None:
    statistics = _recorders()
    levels, tilts = statistics.levels.copy(), statistics.tilts.copy()
    for row, (one, other) in {10: (0, 3), 20: (1, 2), 30: (2, 3)}.items():
        for table in (levels, tilts):
            table[row, [one, other]] = table[row, [other, one]]
    found = signal_suspects(replace(statistics, levels=levels, tilts=tilts))
    named = {each.row: each.reason[:30] for each in found if each.kind == "swapped"}
    assert named == {
        10: "With channels 0 and 3 swapped,",
        20: "With channels 1 and 2 swapped,",
        30: "With channels 2 and 3 swapped,",
    }
    assert {each.row for each in found} == {10, 20, 30}


def test_units_with_other_microphones_do_not_accuse_each_other() -> None:
    one, two = _recorders(60), _recorders(60, seed=1)
    turned = SignalStatistics(
        *(np.concatenate([getattr(one, name), getattr(two, name)[:, ::-1]]) for name in
          ("levels", "clipped", "offsets", "tilts", "correlations", "peaks"))
    )  # fmt: skip
    assert signal_suspects(turned, np.repeat([0, 1], 60)) == []


def test_silent_clipped_and_offset_clips_are_found() -> None:
    statistics = _recorders()
    levels, clipped, offsets = (getattr(statistics, n).copy() for n in ("levels", "clipped", "offsets"))
    levels[3], clipped[4, 2], offsets[6, 1] = -90, 0.2, -0.3
    statistics = replace(statistics, peaks=levels + 12)
    found = signal_suspects(replace(statistics, levels=levels, clipped=clipped, offsets=offsets))
    assert {(each.row, each.kind) for each in found} == {(3, "silent"), (4, "clipped"), (6, "offset")}
    reasons = {each.kind: each.reason for each in found}
    assert reasons["silent"] == (
        "Its level is -90 dB relative to full scale, below -60 dB, and it contains no short sound: its peak "
        "is 12 dB above the level."
    )
    assert reasons["clipped"] == "20 % of the samples are at full scale."
    assert "channel 1 have a mean of -30 %" in reasons["offset"]
    loose = SignalSettings(silent=-100, clipped=0.5, offset=0.5)
    spared = signal_suspects(replace(statistics, levels=levels, clipped=clipped), None, loose)
    # What is left is that its channels are as loud as each other, which these never are.
    assert {(each.row, each.kind) for each in spared} == {(3, "channel")}


def test_a_short_sound_in_a_quiet_file_is_not_silent() -> None:
    statistics = _recorders(channels=1)
    levels, peaks = statistics.levels.copy(), statistics.peaks.copy()
    levels[[3, 4, 5], 0] = -70, -70, -np.inf
    peaks[[3, 4, 5], 0] = -57, -38, -np.inf  # noise; a click; nothing at all
    found = signal_suspects(replace(statistics, levels=levels, peaks=peaks))
    assert {each.row for each in found if each.kind == "silent"} == {3, 5}


def test_statistics_of_unlike_shapes_are_refused() -> None:
    with pytest.raises(
        RequestError, match=r"tilts must have shape \(clips, channels\) \(200, 4\)\. Given: \(200, 2\)"
    ):
        replace(_recorders(), tilts=np.zeros((200, 2)))
