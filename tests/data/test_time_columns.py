"""Columns of times: understood by their names and units, or told, or refused; never left aside in silence."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from nearfield.core.errors import DataError
from nearfield.data.collection import Collection
from nearfield.data.columns import time_column
from nearfield.data.settings import Columns

Write = Callable[..., Path]

PIECES = [(0.0, 1.0), (1.0, 0.5), (2.5, 1.5)]
"""Start and length of the clips that every table below means, in seconds."""


def rows(start: Callable[[float], object], other: Callable[[float, float], object]) -> list[str]:
    return [f"r.wav,{start(a)},{other(a, b)},{'xyz'[n]}" for n, (a, b) in enumerate(PIECES)]


def milliseconds(value: float) -> int:
    return round(1000 * value)


ENDS = [
    ("start_time", "end_time"),
    ("start", "end_time"),
    ("Start", "End"),
    ("start_s", "end_s"),
    ("Start (s)", "End (s)"),
    ("Begin Time (s)", "End Time (s)"),
    ("begin_time", "end_time"),
    ("startTime", "stopTime"),
    ("onset", "offset"),
    ("begin", "finish"),
    ("start_seconds", "end_seconds"),
]
LENGTHS = [
    ("start", "length"),
    ("start_time", "duration_s"),
    ("begin", "dur"),
    ("start", "len"),
    ("onset", "clip_seconds"),
]
MILLISECONDS = [("start_ms", "duration_ms"), ("Begin (msec)", "Length (msec)")]
CASES = [
    *((*names, float, lambda a, b: a + b) for names in ENDS),
    *((*names, float, lambda a, b: b) for names in LENGTHS),
    *((*names, milliseconds, lambda a, b: milliseconds(b)) for names in MILLISECONDS),
    ("start_min", "end_h", lambda a: a / 60, lambda a, b: (a + b) / 3600),
]


@pytest.mark.parametrize(("one", "two", "start", "other"), CASES, ids=[f"{c[0]}, {c[1]}" for c in CASES])
def test_the_usual_ways_to_name_times_mean_the_same_pieces(
    tmp_path: Path, write_sound: Write, write_table: Write, one: str, two: str, start: object, other: object
) -> None:
    write_sound(tmp_path / "r.wav", 5.0)
    table = write_table(tmp_path / "t.csv", f"path,{one},{two},label", *rows(start, other))  # type: ignore[arg-type]
    found = Collection.load(table)
    assert found.problems == ()
    assert list(found.table["label"]) == ["x", "y", "z"]
    assert list(found.table["start"]) == pytest.approx([a for a, _ in PIECES], abs=1e-6)
    assert list(found.table["seconds"]) == pytest.approx([b for _, b in PIECES], abs=1e-6)


@pytest.mark.parametrize("name", ["min_duration", "Min Length", "min_start"])
def test_a_least_is_no_number_of_minutes(name: str) -> None:
    found = time_column(name)
    assert found is not None
    assert found.unit is None


def test_names_that_are_of_no_time() -> None:
    for name in ("label", "backend", "weekend", "site", "n_birds", "source_url", "min", "h", "calendar"):
        assert time_column(name) is None, name
    for name in ("recording_start", "end_sample", "track_length", "start_end"):
        column = time_column(name)
        assert column is not None, name
        assert column.unit is None, name


def test_a_half_that_is_not_understood_is_refused_and_chosen_or_denied(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    write_sound(tmp_path / "r.wav", 5.0)
    table = write_table(tmp_path / "t.csv", "path,start,call_end,label", "r.wav,1,2,a", "r.wav,2,4,b")
    with pytest.raises(DataError) as error:
        Collection.load(table)
    assert str(error.value) == (
        "t.csv: the column 'call_end' looks like the end of each clip, but its name is not clear; "
        "without it, clips would be other parts of their files. If it is that (in seconds): "
        "data.end=call_end. If not: data.end=false."
    )
    assert list(Collection.load(table, Columns(end="call_end")).table["seconds"]) == [1.0, 2.0]
    assert list(Collection.load(table, Columns(end=False)).table["seconds"]) == [4.0, 3.0]
    whole = Collection.load(table, Columns(start=False, end=False))
    assert list(whole.table["seconds"]) == [5.0]


def test_samples_and_an_offset_alone_are_refused(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    write_sound(tmp_path / "r.wav", 5.0)
    table = write_table(tmp_path / "t.csv", "path,start_sample,end_sample", "r.wav,8000,16000")
    with pytest.raises(
        DataError, match=r"'start_sample'.*in samples or frames.*write it in seconds as 'start'"
    ):
        Collection.load(table)
    with pytest.raises(DataError, match=r"data\.start: the column 'start_sample' counts samples"):
        Collection.load(table, Columns(start="start_sample"))
    table = write_table(tmp_path / "nemo.csv", "path,offset,duration", "r.wav,1,2")
    with pytest.raises(DataError, match=r"'offset' looks like the start.*data\.start=offset"):
        Collection.load(table)
    found = Collection.load(table, Columns(start="offset")).table
    assert (found["start"][0], found["seconds"][0]) == (1.0, 2.0)


def test_a_time_that_stands_alone_is_told(tmp_path: Path, write_sound: Write, write_table: Write) -> None:
    write_sound(tmp_path / "r.wav", 5.0)
    write_sound(tmp_path / "s.wav", 5.0)
    table = write_table(
        tmp_path / "t.csv",
        "path,length,recording_start,end_note",
        "r.wav,3,2024-01-01 05:00:00,loud",
        "s.wav,3,2024-01-01 06:00:00,end",
    )
    found = Collection.load(table)
    assert list(found.table["seconds"]) == [5.0, 5.0]
    assert [str(problem) for problem in found.problems] == [
        "t.csv: the column 'length' looks like a time and was not used. "
        "If it is the length of each clip: data.seconds=length.",
        "t.csv: the column 'recording_start' looks like a time and was not used. "
        "If it is the start of each clip: data.start=recording_start.",
    ]
    assert list(Collection.load(table, Columns(seconds="length")).table["seconds"]) == [3.0, 3.0]


def test_an_end_and_a_length_that_disagree_are_told_by_row(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    write_sound(tmp_path / "r.wav", 5.0)
    table = write_table(
        tmp_path / "t.csv", "path,start,end,duration", "r.wav,1,2,1", "r.wav,2,4,5", "r.wav,NA,na,NaN"
    )
    found = Collection.load(table)
    assert list(found.table["id"]) == ["r.wav#1.000-2.000", "r.wav"]
    assert [str(problem) for problem in found.problems] == [
        "r.wav (row 3): the clip is 5 s long in `seconds` and 2 s by `end`. "
        "Correct one, or leave one out: data.seconds=false or data.end=false."
    ]
    assert list(Collection.load(table, Columns(seconds=False)).table["seconds"])[1] == 2.0


def test_two_starts_that_disagree_are_told_by_row(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    write_sound(tmp_path / "r.wav", 5.0)
    table = write_table(tmp_path / "t.csv", "path,start,start_time,seconds", "r.wav,0,0.0,1", "r.wav,1,2.5,1")
    found = Collection.load(table)
    assert [str(problem) for problem in found.problems] == [
        "r.wav (row 3): the clip starts at 1 s in one column and at 2.5 s in another. "
        "Choose one: data.start=start or data.start=start_time."
    ]
    assert list(Collection.load(table, Columns(start="start_time")).table["start"]) == [0.0, 2.5]


def test_an_index_of_parquet_is_read_as_columns(tmp_path: Path, write_sound: Write) -> None:
    write_sound(tmp_path / "r.wav", 5.0)
    frame = pd.DataFrame(
        {"file": ["r.wav"] * 2, "start_time": [0.0, 1.0], "end_time": [1.0, 2.0], "x": [1, 0]}
    )
    frame.set_index(["file", "start_time", "end_time"]).to_parquet(tmp_path / "t.parquet")
    assert list(Collection.load(tmp_path / "t.parquet").table["seconds"]) == [1.0, 1.0]


@pytest.mark.parametrize(
    "name", ["filename", "slice_file_name", "file", "fname", "Path", "FilePath", "audio_file"]
)
def test_the_files_may_be_named_in_another_column(
    tmp_path: Path, write_sound: Write, write_table: Write, name: str
) -> None:
    write_sound(tmp_path / "r.wav")
    table = write_table(tmp_path / "t.csv", f"{name},Label,file_size", "r.wav,dog,17")
    found = Collection.load(table)
    assert (list(found.table["id"]), list(found.table["label"])) == (["r.wav"], ["dog"])


def test_path_and_file_name_may_stand_together_where_they_name_the_same_files(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    for name in ("a", "b"):
        write_sound(tmp_path / "x" / f"{name}.wav")
    table = write_table(tmp_path / "t.csv", "path,file_name", "x/a.wav,a.wav", "x/b.wav,b")
    assert list(Collection.load(table).table["id"]) == ["x/a.wav", "x/b.wav"]
    table = write_table(tmp_path / "t.csv", "path,file_name", "x/a.wav,x/b.wav")
    with pytest.raises(DataError, match=r"'path' and 'file_name' could both be the paths of the files\."):
        Collection.load(table)
    assert list(Collection.load(table, Columns(path="file_name")).table["id"]) == ["x/b.wav"]


def test_two_columns_that_could_name_the_files_are_refused(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    write_sound(tmp_path / "r.wav")
    table = write_table(tmp_path / "t.csv", "filename,wav_path,sound", "r.wav,r.wav,r.wav")
    with pytest.raises(DataError) as error:
        Collection.load(table)
    assert str(error.value) == (
        "t.csv: 'filename' and 'wav_path' could both be the paths of the files. "
        "Choose one, for example data.path=filename."
    )
    assert len(Collection.load(table, Columns(path="sound"))) == 1


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (
            "path,start,till,label",
            "t.csv: no column gives the end of clips, so each ends at the end of its file: clips of one file "
            "overlap (2 of 3 clips). Add a column `end` or `seconds`. If it is one of 'till': "
            "data.end=NAME or data.seconds=NAME.",
        ),
        (
            "path,from,end,label",
            "t.csv: no column gives the start of clips, so each starts at the beginning of its file: "
            "clips of one file overlap (2 of 3 clips). Add a column `start`. If it is one of 'from': "
            "data.start=NAME.",
        ),
    ],
)
def test_clips_that_overlap_for_want_of_a_half_are_told(
    tmp_path: Path, write_sound: Write, write_table: Write, header: str, told: str
) -> None:
    write_sound(tmp_path / "r.wav", 5.0)
    write_sound(tmp_path / "s.wav", 5.0)
    table = write_table(tmp_path / "t.csv", header, "r.wav,0.5,1,a", "r.wav,1,2,b", "s.wav,1,3,c")
    assert [str(problem) for problem in Collection.load(table).problems] == [told]
    apart = write_table(tmp_path / "t.csv", header, "r.wav,0.5,1,a", "s.wav,1,3,c")
    assert Collection.load(apart).problems == ()


def test_rows_of_one_piece_name_every_column_that_could_part_them(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    write_sound(tmp_path / "r.wav", 5.0)
    header = "path,t0,t1,site,label"
    table = write_table(tmp_path / "t.csv", header, "r.wav,0,1,wood,a", "r.wav,1,2,pond,b")
    (problem,) = Collection.load(table).problems
    assert "If 't0', 't1' are the times of a row, choose them: data.start=..., data.end=..." in str(problem)
    found = Collection.load(table, Columns(start="t0", end="t1"))
    assert list(found.table["seconds"]) == [1.0, 1.0]
