"""What a row's start, seconds and end mean for a file of a known length: examples and laws."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.data.faults import Fault
from nearfield.data.times import Span, on_clock, settle, uncut

NOON = datetime(2019, 5, 22, 12, tzinfo=UTC).timestamp()
SENSE = "Write seconds as 2.5, or a date and time as 2019-05-22T00:15."


@pytest.mark.parametrize(
    ("starts", "seconds", "end", "length", "span"),
    [
        # nothing given: the whole file
        ([], "", "", 10.0, Span(0, 10, 0, "whole")),
        ([""], "10.00", "", 9.98, Span(0, 9.98, 0, "whole")),
        ([""], "10", "", 10.14, Span(0, 10.14, 0, "whole")),
        # a part of the file
        ([""], "4", "", 10.0, Span(0, 4, 0, "whole")),
        (["2.5"], "4", "", 10.0, Span(2.5, 4, 2.5, "offset")),
        (["2.5"], "", "4", 10.0, Span(2.5, 1.5, 2.5, "offset")),
        (["2.5"], "", "", 10.0, Span(2.5, 7.5, 2.5, "offset")),
        (["9"], "1.04", "", 10.0, Span(9, 1, 9, "offset")),
        # the file is the clip: the number is its moment in a longer recording
        (["77.42"], "10.00", "", 10.0, Span(0, 10, 77.42, "moment")),
        (["77.42"], "", "87.42", 10.02, Span(0, 10.02, 77.42, "moment")),
        (["0.5"], "10", "", 10.0, Span(0, 10, 0.5, "moment")),
        (["-3"], "10", "", 10.0, Span(0, 10, -3, "moment")),
        # nearly the whole of a long file, but it fits: an offset
        (["20"], "3570", "", 3600.0, Span(20, 3570, 20, "offset")),
        # a date and time is a moment always
        (["2019-05-22T12:00"], "10", "", 10.0, Span(0, 10, NOON, "clock")),
        (["2019-05-22 14:00:00+02:00"], "", "", 7.0, Span(0, 7, NOON, "clock")),
        (["2019-05-22T12:00Z"], "", "2019-05-22T12:00:03Z", 10.0, Span(0, 3, NOON, "clock")),
        (["30", "2019-05-22T12:00"], "5", "", 60.0, Span(30, 5, NOON + 30, "clock")),
        (["30", "2019-05-22T12:00"], "60", "", 60.0, Span(0, 60, NOON, "clock")),
    ],
)
def test_the_rule(starts: list[str], seconds: str, end: str, length: float, span: Span) -> None:
    found = settle(starts, seconds, end, length)
    assert found.how == span.how
    expected = (span.start, span.seconds, span.moment)
    assert (found.start, found.seconds, found.moment) == pytest.approx(expected, rel=0, abs=1e-9)


def test_a_file_shorter_than_all_of_its_set_was_cut_off() -> None:
    assert uncut(10.0, 10.0) == 10.0
    assert uncut(9.9, 10.0) == 9.9
    assert uncut(3.0, 0.0) == 3.0
    with pytest.raises(Fault) as error:
        uncut(9.8, 10.0)
    assert str(error.value) == (
        "it has 9.8 s, but each clip of this set has 10 s: it is truncated. "
        "Copy or download it again, or remove it."
    )


def test_a_piece_of_a_file_whose_moment_is_known() -> None:
    span = settle(["2.5"], "4", "", 10.0)
    assert on_clock(span, None) == span
    assert on_clock(span, 100.0) == Span(2.5, 4, 102.5, "moment")


def test_a_time_without_a_zone_is_the_same_moment_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert settle(["2019-05-22T12:00"], "", "", 1.0).moment == NOON
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("starts", "seconds", "end", "text"),
    [
        (["soon"], "", "", f"start is 'soon', neither seconds nor a date and time. {SENSE}"),
        (["inf"], "", "", f"start is 'inf', neither seconds nor a date and time. {SENSE}"),
        ([], "", "late", f"end is 'late', neither seconds nor a date and time. {SENSE}"),
        ([], "ten", "", "seconds is 'ten', not a number. Write seconds as 2.5."),
        ([], "0", "", "the clip is 0 s long. Correct `seconds` or `end`."),
        (["4"], "", "3", "the clip is -1 s long. Correct `seconds` or `end`."),
        (["-1"], "2", "", "start is -1 s, before the file begins. Correct `start`."),
        (
            ["10"],
            "",
            "",
            "the clip starts at 10 s, but the file has 10 s. Correct `start`; "
            "if it is a time in a longer recording, give the clip's length in `seconds`.",
        ),
        (
            ["8"],
            "3",
            "",
            "the clip ends at 11 s, but the file has 10 s. "
            "Correct the row, or copy the file again if it is truncated.",
        ),
        (
            [],
            "10.5",
            "",
            "the clip ends at 10.5 s, but the file has 10 s. "
            "Correct the row, or copy the file again if it is truncated.",
        ),
    ],
)
def test_times_that_make_no_sense(starts: list[str], seconds: str, end: str, text: str) -> None:
    with pytest.raises(Fault) as error:
        settle(starts, seconds, end, 10.0)
    assert str(error.value) == text


lengths = st.floats(0.1, 1e5)


@given(length=lengths, start=st.floats(0, 2e5), seconds=st.floats(0.01, 2e5))
def test_a_clip_lies_inside_its_file(length: float, start: float, seconds: float) -> None:
    try:
        span = settle([repr(start)], repr(seconds), "", length)
    except Fault:
        return
    assert 0 <= span.start < length
    assert 0 < span.seconds <= length - span.start + 1e-9
    assert span.moment == start
    assert abs(span.seconds - seconds) <= 0.05 + 0.01 * seconds + 1e-9


@given(length=lengths, start=st.floats(0, 1), part=st.floats(0.01, 1))
def test_what_fits_inside_is_an_offset(length: float, start: float, part: float) -> None:
    offset = start * length * 0.99
    seconds = (length - offset) * part
    span = settle([repr(offset)], repr(seconds), "", length)
    assert span.how == "offset"
    assert span.start == offset


@given(length=lengths, start=st.floats(1, 1e6))
def test_a_file_as_long_as_its_row_is_the_clip(length: float, start: float) -> None:
    span = settle([repr(start)], f"{length:.2f}", "", length)
    assert span == Span(0.0, length, start, "moment")
