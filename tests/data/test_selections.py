"""Selection tables of Raven and labels of Audacity give the pieces that they mark."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nearfield.core.errors import DataError
from nearfield.data.collection import Collection

Write = Callable[..., Path]

HEAD = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"
ROWS = [
    "1\tWaveform 1\t1\t0.5\t1.25\t100\t2000",
    "1\tSpectrogram 1\t1\t0.5\t1.25\t100\t2000",
    "2\tWaveform 1\t1\t3.0\t4.5\t100\t2000",
    "2\tSpectrogram 1\t1\t3.0\t4.5\t100\t2000",
]


def pieces(found: Collection) -> list[tuple[str, float, float, str]]:
    columns = (found.table[name] for name in ("recording", "start", "seconds", "label"))
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("name", ["rain.Table.1.selections.txt", "rain.txt", "rain.tsv"])
def test_a_table_of_one_recording(tmp_path: Path, write_sound: Write, write_table: Write, name: str) -> None:
    write_sound(tmp_path / "rain.wav", 5.0)
    rows = [f"{row}\t{'ab'[number // 2]}" for number, row in enumerate(ROWS)]
    found = Collection.load(write_table(tmp_path / name, f"{HEAD}\tAnnotation", *rows))
    assert found.problems == ()
    assert pieces(found) == [("rain.wav", 0.5, 0.75, "a"), ("rain.wav", 3.0, 1.5, "b")]
    assert list(found.table["row"]) == [2, 4]


@pytest.mark.parametrize(
    ("place", "column"), [(3, "Begin Time (s)"), (4, "End Time (s)"), (5, "File Offset (s)")]
)
@pytest.mark.parametrize("cell", ["", "4,5", "inf"])
def test_a_selection_without_a_time_is_left_out(
    tmp_path: Path, write_sound: Write, write_table: Write, place: int, column: str, cell: str
) -> None:
    write_sound(tmp_path / "rain.wav", 5.0)
    rows = [["1", "Waveform 1", "1", "0.5", "1.25", "0.5"], ["2", "Waveform 1", "1", "3.0", "4.5", "3.0"]]
    rows[1][place] = cell
    head = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tFile Offset (s)"
    path = write_table(tmp_path / "rain.txt", head, *map("\t".join, rows))
    found = Collection.load(path)
    assert pieces(found) == [("rain.wav", 0.5, 0.75, "")]
    told = f"rain.wav (row 3): {column!r} is {cell!r}, no number of seconds. Correct it, or remove the row."
    assert [str(problem) for problem in found.problems] == [told]
    write_table(path, head, "\t".join(rows[1]))
    with pytest.raises(DataError) as error:
        Collection.load(path)
    assert str(
        error.value
    ) == f"{path}: not one of its 1 rows can be read. The first reasons:\n  " + told.replace("row 3", "row 2")


def test_a_table_of_several_recordings_needs_the_offset_in_each(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    for name in ("x", "y"):
        write_sound(tmp_path / f"{name}.wav", 2.0)
    path = tmp_path / "t.txt"
    files = ["C:\\rec\\x.wav", "C:\\rec\\x.wav", "C:\\rec\\y.wav", "C:\\rec\\y.wav"]
    rows = [f"{row}\t{file}" for row, file in zip(ROWS, files, strict=True)]
    with pytest.raises(DataError, match=r"t\.txt: .* has several files, and 'Begin Time \(s\)' counts"):
        Collection.load(write_table(path, f"{HEAD}\tBegin Path", *rows))
    rows = [f"{row}\t{offset}" for row, offset in zip(rows, ("0.5", "0.5", "0.25", "0.25"), strict=True)]
    found = Collection.load(write_table(path, f"{HEAD}\tBegin Path\tFile Offset (s)", *rows))
    assert pieces(found) == [("x.wav", 0.5, 0.75, ""), ("y.wav", 0.25, 1.5, "")]


def test_selections_of_two_tables_in_one_are_all_kept(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    """Their numbers begin anew where the second table begins."""
    write_sound(tmp_path / "rain.wav", 5.0)
    rows = [*ROWS[:2], "1\tWaveform 1\t1\t2.0\t2.5\t100\t2000", "1\tSpectrogram 1\t1\t2.0\t2.5\t100\t2000"]
    found = Collection.load(write_table(tmp_path / "rain.txt", HEAD, *rows))
    assert pieces(found) == [("rain.wav", 0.5, 0.75, ""), ("rain.wav", 2.0, 0.5, "")]


def test_labels_of_audacity(tmp_path: Path, write_sound: Write, write_table: Write) -> None:
    write_sound(tmp_path / "rain.flac", 5.0)
    path = write_table(
        tmp_path / "rain.txt", "0.5\t1.25\tdrops", "\\\t100\t2000", "3,0\t4,5\t", "2\t2\tpoint"
    )
    found = Collection.load(path)
    assert pieces(found) == [("rain.flac", 0.5, 0.75, "drops"), ("rain.flac", 3.0, 1.5, "")]
    assert [str(problem) for problem in found.problems] == [
        "rain.flac (row 4): the clip is 0 s long. Correct `seconds` or `end`."
    ]
    path.rename(tmp_path / "other.txt")
    with pytest.raises(DataError, match=r"other\.txt: .* there is no sound called other beside it"):
        Collection.load(tmp_path / "other.txt")
    write_table(tmp_path / "rain.txt", "hello")
    with pytest.raises(DataError, match=r"line 1 is no label of Audacity .* no selection table of Raven"):
        Collection.load(tmp_path / "rain.txt")
