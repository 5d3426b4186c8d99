"""The loader delivers exactly the draws, in order, whatever the number of threads, and cleans up."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfield.core.types import BatchIndices, MixPartner, Vectors
from nearfield.data.signals import ArraySignals, Loader, PhotographSignals

LENGTHS = (5, 12, 20, 33)
RATE = 10.0


def clips(channels: int = 2) -> ArraySignals:
    """Clip r holds 1000 r + 100 c + t + 1, so that every number tells where it came from; none is 0."""
    arrays = [
        (1000 * row + 100 * np.arange(channels)[:, None] + np.arange(length) + 1).astype(np.float32)
        for row, length in enumerate(LENGTHS)
    ]
    return ArraySignals.of(arrays, RATE)


def draw(rows: list[int], starts: list[float]) -> BatchIndices:
    return BatchIndices(np.array(rows, np.int64), np.array(starts, np.float64))


def expected(row: int, start: float, length: int, channels: int = 2) -> Vectors:
    """One window, sample by sample."""
    first = max(0, min(round(start * RATE), LENGTHS[row] - length))
    window = np.zeros((channels, length), np.float32)
    for channel in range(channels):
        for t in range(length):
            if first + t < LENGTHS[row]:
                window[channel, t] = 1000 * row + 100 * channel + first + t + 1
    return window


items = st.tuples(st.integers(0, 3), st.integers(0, 50).map(lambda tenths: tenths / 10))
batches = st.lists(st.lists(items, min_size=1, max_size=5), max_size=12)


@settings(max_examples=50, deadline=None)
@given(batches, st.integers(0, 4), st.integers(1, 6), st.integers(1, 40))
def test_delivers_exactly_the_draws_in_order(
    wanted: list[list[tuple[int, float]]], workers: int, ahead: int, length: int
) -> None:
    draws = [draw([row for row, _ in batch], [start for _, start in batch]) for batch in wanted]
    got = list(Loader(clips(), iter(draws), length, workers, ahead))
    assert [batch.indices for batch in got] == draws
    for batch, wants in zip(got, wanted, strict=True):
        assert batch.signal.dtype == torch.float32
        windows = np.stack([expected(row, start, length) for row, start in wants])
        np.testing.assert_array_equal(batch.signal.numpy(), windows)


def test_a_window_that_would_pass_the_end_is_moved_back_into_the_clip() -> None:
    loader = Loader(clips(1), [draw([3], [99.0])], 10)
    (batch,) = loader
    np.testing.assert_array_equal(batch.signal.numpy()[0, 0], 3000 + np.arange(23, 33) + 1)


def test_a_short_clip_is_filled_with_zeros_at_its_end() -> None:
    (batch,) = Loader(clips(1), [draw([0], [0.3])], 8)
    assert batch.signal.numpy()[0, 0].tolist() == [1, 2, 3, 4, 5, 0, 0, 0]


def test_kept_pictures_are_cut_along_time() -> None:
    picture = np.arange(2 * 3 * 20, dtype=np.float32).reshape(2, 3, 20)
    (batch,) = Loader(ArraySignals.of([picture], 10.0), [draw([0, 0], [0.5, 1.0])], 4)
    assert batch.signal.shape == (2, 2, 3, 4)
    np.testing.assert_array_equal(batch.signal.numpy()[0], picture[:, :, 5:9])


def test_photographs_come_whole_from_0_to_1() -> None:
    photograph = np.array([[[0, 51], [102, 255]]], np.uint8)
    (batch,) = Loader(PhotographSignals([photograph], (1, 2, 2)), [draw([0], [3.0])], 1)
    np.testing.assert_allclose(batch.signal.numpy(), [[[[0.0, 0.2], [0.4, 1.0]]]], rtol=1e-7)


class Broken(ArraySignals):
    """Clips of which number 2 cannot be cut."""

    def cut(self, row: int, start: int, length: int, out: Vectors) -> None:
        if row == 2:
            raise OSError("the disk is gone")
        super().cut(row, start, length, out)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_in_a_thread_is_raised_where_its_batch_was_due(workers: int) -> None:
    broken = Broken(clips().arrays, RATE, (2,))
    seen = []

    def read() -> None:
        for batch in Loader(broken, [draw([row], [0.0]) for row in (0, 1, 2, 3)], 5, workers):
            seen.append(int(batch.indices.rows[0]))

    with pytest.raises(OSError, match="the disk is gone"):
        read()
    assert seen == [0, 1]


def test_an_error_in_the_sampler_is_raised_too() -> None:
    def draws() -> Iterator[BatchIndices]:
        yield draw([0], [0.0])
        raise ValueError("no more luck")

    with pytest.raises(ValueError, match="no more luck"):
        list(Loader(clips(), draws(), 5, workers=2))


def loading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("load")]


def test_threads_end_when_the_loop_is_left_early() -> None:
    endless = (draw([0], [0.0]) for _ in iter(int, 1))
    for _ in Loader(clips(), endless, 5, workers=3):
        assert loading_threads()
        break
    assert not loading_threads()


def test_threads_end_when_the_reader_fails() -> None:
    endless = (draw([0], [0.0]) for _ in iter(int, 1))

    def read() -> None:
        for _ in Loader(clips(), endless, 5, workers=3):
            raise KeyError("reader")

    with contextlib.suppress(KeyError):
        read()
    assert not loading_threads()


def test_runs_no_further_ahead_than_asked() -> None:
    asked = []

    def draws() -> Iterator[BatchIndices]:
        for number in range(20):
            asked.append(number)
            yield draw([0], [0.0])

    batches = iter(Loader(clips(), draws(), 5, workers=1, ahead=3))
    next(batches)
    assert len(asked) == 4


class Meeting(ArraySignals):
    """Clips of which three have to be cut at the same time."""

    barrier = threading.Barrier(3)

    def cut(self, row: int, start: int, length: int, out: Vectors) -> None:
        self.barrier.wait(timeout=20)
        super().cut(row, start, length, out)


def test_several_threads_cut_at_the_same_time() -> None:
    signals = Meeting(clips().arrays, RATE, (2,))
    assert len(list(Loader(signals, [draw([0], [0.0])] * 9, 5, workers=3))) == 9


def test_windows_beside_each_other_add_up_at_the_level_asked_for() -> None:
    rng = np.random.default_rng(0)
    waves = [rng.normal(size=(2, length)).astype(np.float32) * level for length, level in ((40, 1), (60, 9))]
    waves.append(np.zeros((2, 30), np.float32))
    signals = ArraySignals.of(waves, RATE)
    plain = draw([0, 1, 0, 2, 1], [0.5, 2.0, 1.0, 0.0, 9.9])
    partner = MixPartner(
        np.array([1, 0, -1, 1, 2]), np.array([3.0, 0.2, 0.0, 1.0, 0.0]), np.array([6.0, -3, 0, 0, 0])
    )
    (alone,) = Loader(signals, [plain], 20)
    (other,) = Loader(signals, [draw([1, 0, 0, 1, 2], partner.starts.tolist())], 20)
    (both,) = Loader(signals, [replace(plain, partner=partner)], 20)
    added = (both.signal - alone.signal).numpy()
    own, theirs = alone.signal.numpy(), other.signal.numpy()
    for item, decibels in ((0, 6.0), (1, -3.0)):
        found = 10 * np.log10((own[item] ** 2).mean() / (added[item] ** 2).mean())
        assert found == pytest.approx(decibels, abs=1e-3)
        assert np.corrcoef(added[item].ravel(), theirs[item].ravel())[0, 1] == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(added[2], 0)
    np.testing.assert_allclose(both.signal.numpy()[3], theirs[3])  # under silence the other is as it is
    np.testing.assert_array_equal(added[4], 0)
