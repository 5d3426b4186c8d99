"""Tables in all their forms give the same rows and the right lines; what is broken is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from nearfield.core.errors import DataError
from nearfield.data.tables import cell_text, read_table

Write = Callable[..., Path]


def test_every_form_gives_the_same_rows(tmp_path: Path, write_table: Write) -> None:
    rows = [{"path": "a.wav", "label": "dog, wet"}, {"path": "b.wav", "label": "Hund"}]
    paths = [
        write_table(tmp_path / "c.csv", "path,label", 'a.wav,"dog, wet"', "b.wav,Hund"),
        write_table(tmp_path / "s.csv", "path;label", "a.wav;dog, wet", "b.wav;Hund"),
        write_table(tmp_path / "t.tsv", "path\tlabel", "a.wav\tdog, wet", "b.wav\tHund"),
        write_table(tmp_path / "misnamed.tsv", "path,label", 'a.wav,"dog, wet"', "b.wav,Hund"),
        write_table(tmp_path / "j.jsonl", *map(json.dumps, rows)),
    ]
    marked = tmp_path / "marked.csv"
    marked.write_text("\ufeff" + paths[0].read_text(), encoding="utf-8")
    windows = tmp_path / "windows.csv"
    windows.write_bytes(paths[0].read_bytes().replace(b"\n", b"\r\n"))
    pd.DataFrame(rows).to_parquet(tmp_path / "p.parquet")
    for path in (*paths, marked, windows, tmp_path / "p.parquet"):
        listing = read_table(path)
        assert listing.table.to_dict("records") == rows, path
        assert listing.base == tmp_path
        assert not listing.problems


def test_lines_are_those_that_an_editor_shows(tmp_path: Path, write_table: Write) -> None:
    path = write_table(
        tmp_path / "t.csv",
        "path,note",
        "a.wav,",
        "",
        'b.wav,"two',
        'lines"',
        "c.wav",
        ",",
        "d.wav,x,y",
        "e.wav,z",
    )
    listing = read_table(path)
    assert list(listing.table["path"]) == ["a.wav", "b.wav", "c.wav", "e.wav"]
    assert listing.lines == (2, 4, 6, 9)
    assert [str(problem) for problem in listing.problems] == [
        "t.csv (row 8): the row has 3 cells where the header has 2. "
        "Put cells that hold the separator in double quotes."
    ]


def test_json_lines_that_are_none_are_listed(tmp_path: Path, write_table: Write) -> None:
    path = write_table(
        tmp_path / "t.jsonl", '{"path": "a.wav"}', "", "{path: b}", '["c.wav"]', '{"path": "d.wav"}'
    )
    listing = read_table(path)
    assert listing.lines == (1, 5)
    cure = 'Write one object a line: {"file_name": "a.wav", "label": "dog"}.'
    assert [str(problem) for problem in listing.problems] == [
        f"t.jsonl (row 3): the line is not JSON (Expecting property name enclosed in double quotes). {cure}",
        f"t.jsonl (row 4): the line is not a JSON object. {cure}",
    ]


def test_json_lines_without_end_and_halves_of_pairs_are_listed(tmp_path: Path, write_table: Write) -> None:
    lines = [
        '{"path": "a.wav"}',
        "[" * 100_000,
        '{"a": ' + "1" * 5000 + "}",
        r'{"label": "\ud800"}',
        r'{"path": "\ud83d\ude00"}',
    ]
    listing = read_table(write_table(tmp_path / "t.jsonl", *lines))
    assert list(listing.table["path"]) == ["a.wav", "\U0001f600"]
    assert [(problem.row, problem.reason) for problem in listing.problems] == [
        (2, "the line is not JSON that can be read: a number or a nesting in it has no end."),
        (3, "the line is not JSON that can be read: a number or a nesting in it has no end."),
        (4, "the line holds half of a pair of signs (\\ud800 to \\udfff), which is no text."),
    ]


def test_the_separator_that_excel_writes_first(tmp_path: Path, write_table: Write) -> None:
    listing = read_table(write_table(tmp_path / "t.csv", "sep=;", "path;label", "a,b.wav;x"))
    assert listing.table.to_dict("records") == [{"path": "a,b.wav", "label": "x"}]
    assert listing.lines == (3,)


def test_a_quote_that_swallows_rows_is_told(tmp_path: Path, write_table: Write) -> None:
    path = write_table(
        tmp_path / "t.csv", "path,label", "a.wav,x", 'b.wav,"y', "c.wav,y", 'd.wav,"', "e.wav,z"
    )
    listing = read_table(path)
    assert list(listing.table["path"]) == ["a.wav", "b.wav", "e.wav"]
    assert [str(problem) for problem in listing.problems] == [
        "t.csv (row 3): a cell in quotes holds lines that look like rows, which were not read as such. "
        "See whether a quote is closed too late."
    ]


def test_cells_as_text() -> None:
    cells = [None, float("nan"), pd.NaT, pd.NA, " a ", 3, 3.0, 3.5, True]
    assert [cell_text(cell) for cell in cells] == ["", "", "", "", "a", "3", "3", "3.5", "True"]


LATIN = "path,label\na.wav,Bär\n".encode("latin-1")
LONG = b"path\n" + b"x" * 200_000 + b"\n"
BROKEN = [
    ("empty.csv", b"", "there are no rows in it. Add a row for each clip."),
    ("header.csv", b"path,label\n", "there are no rows in it. Add a row for each clip."),
    ("empty.jsonl", b"\n\n", "there are no rows in it. Add a row for each clip."),
    ("latin.csv", LATIN, "it is not UTF-8 text (invalid continuation byte). Save it as UTF-8."),
    ("twice.csv", b"path,label,label\na,x,y\n", "two columns are named 'label'. Rename or remove one."),
    ("long.csv", LONG, "line 2: field larger than field limit (131072). Save the table as plain CSV."),
    (
        "open.csv",
        b'path,label\na,x\nb,"y\nc,z\n',
        'line 3: a double quote (") is opened in this row and not closed. Close it, or write a quote inside '
        'a cell as "".',
    ),
    (
        "twofold.csv",
        b'path,label\na,x\nb,"y\nc,z\nd,"w"\n',
        "line 3: this row has text between a closing quote and the next cell. Close it, or write "
        'a quote inside a cell as "".',
    ),
    ("broken.parquet", b"PAR1 and no more", None),
]


@pytest.mark.parametrize(("name", "content", "text"), BROKEN, ids=[broken[0] for broken in BROKEN])
def test_broken_tables(tmp_path: Path, name: str, content: bytes, text: str | None) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_table(path)
    if text is None:  # pyarrow's own words stand in the middle
        assert str(error.value).startswith(f"{path}: it cannot be read as Parquet (")
        assert str(error.value).endswith("). Write it again.")
    else:
        assert str(error.value) == f"{path}: {text}"


def test_names_of_columns_in_tsv_may_hold_commas(tmp_path: Path, write_table: Write) -> None:
    path = write_table(tmp_path / "t.tsv", "path\tlabel (a, b, or c)", "a.wav\tb")
    assert read_table(path).table.to_dict("records") == [{"path": "a.wav", "label (a, b, or c)": "b"}]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.wav,dog,\nb.wav,cat, ,\n",
        "\n \npath,label\na.wav,dog\nb.wav,cat\n",
        ",,\nsep=;\n\npath;label\na.wav;dog\nb.wav;cat\n",
    ],
    ids=["empty cells beyond the header", "empty lines before the header", "both kinds and sep="],
)
def test_empty_cells_and_lines_take_no_row_away(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    listing = read_table(path)
    assert list(listing.table["path"]) == ["a.wav", "b.wav"]
    assert list(listing.table["label"]) == ["dog", "cat"]
    assert not listing.problems
    shown = text.splitlines()
    assert [shown[line - 1][:5] for line in listing.lines if line] == ["a.wav", "b.wav"]


def test_rows_of_which_none_can_be_read_are_told_with_the_reason(tmp_path: Path, write_table: Write) -> None:
    path = write_table(tmp_path / "t.csv", "# made in 2024", "path,label", "a.wav,dog")
    with pytest.raises(DataError) as error:
        read_table(path)
    cure = "Put cells that hold the separator in double quotes."
    assert str(error.value) == (
        f"{path}: not one of its 2 rows can be read. The first reasons:\n"
        f"  t.csv (row 2): the row has 2 cells where the header has 1. {cure}\n"
        f"  t.csv (row 3): the row has 2 cells where the header has 1. {cure}"
    )
