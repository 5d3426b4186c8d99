"""Labels and tags out of cells: lists in every form, and separators that are refused until one is chosen."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nearfield.core.errors import DataError
from nearfield.core.settings import make
from nearfield.data.collection import Collection
from nearfield.data.labels import tag_tuples
from nearfield.data.settings import Columns

Write = Callable[..., Path]


def test_tags_out_of_every_form_of_a_list() -> None:
    two = ["a|b", ["a", "b"], "['a', 'b']", '["a", "b"]', "a|b|a"]
    assert list(tag_tuples(two)) == [("a", "b")] * len(two)
    assert list(tag_tuples(["['a']", "[]", None, '["it\'s"]'])) == [("a",), (), (), ("it's",)]
    odd = [r"['it\'s']", "[" * 10_000, "[[1]]"]
    assert list(tag_tuples(odd)) == [(each,) for each in odd]


@pytest.mark.parametrize(("sign", "word"), [(",", "comma"), (";", "semicolon"), (", ", "comma")])
def test_another_separator_is_refused_until_one_is_chosen(
    tmp_path: Path, write_sound: Write, write_table: Write, sign: str, word: str
) -> None:
    for name in "ab":
        write_sound(tmp_path / f"{name}.wav")
    table = write_table(tmp_path / "t.csv", "path,tags", 'a.wav,"rain"', f'b.wav,"rain{sign}wind"')
    with pytest.raises(DataError) as error:
        Collection.load(table)
    assert str(error.value) == (
        f"t.csv: row 3: the tags in the column 'tags' have no | between them, but a {word}: "
        f"'rain{sign}wind'. If it separates tags: data.tag_separator={word}. If each cell is one tag: "
        "data.tag_separator=bar."
    )
    chosen = Collection.load(table, make(Columns, "", {"tag_separator": word}))
    assert list(chosen.table["tags"]) == [("rain",), ("rain", "wind")]
    whole = Collection.load(table, Columns(tag_separator="bar"))
    assert list(whole.table["tags"]) == [("rain",), (f"rain{sign}wind",)]
    write_table(tmp_path / "t.csv", "path,tags", 'a.wav,"speech, loud|rain"', "b.wav,rain")
    assert list(Collection.load(table).table["tags"]) == [("speech, loud", "rain"), ("rain",)]


def test_labels_in_lists(tmp_path: Path, write_sound: Write, write_table: Write) -> None:
    for name in "ab":
        write_sound(tmp_path / f"{name}.wav")
    rows = [{"path": "a.wav", "label": ["dog"]}, {"path": "b.wav", "label": []}]
    table = write_table(tmp_path / "t.jsonl", *map(json.dumps, rows))
    assert list(Collection.load(table).table["label"]) == ["dog", ""]
    write_table(table, json.dumps(rows[0]), json.dumps({"path": "b.wav", "label": ["dog", "cat"]}))
    with pytest.raises(DataError) as error:
        Collection.load(table)
    assert str(error.value) == (
        "t.jsonl: row 2: the column 'label' has several labels: ['dog', 'cat']. A clip has one label; "
        "if they are tags: data.tags=label and data.label=false."
    )
    assert Collection.load(table, Columns(tags="label", label=False)).table["tags"][1] == ("dog", "cat")


@pytest.mark.parametrize(("sign", "word"), [("|", "bar"), (", ", "comma"), (";", "semicolon")])
def test_labels_that_look_like_lists_of_tags_are_told(
    tmp_path: Path, write_sound: Write, write_table: Write, sign: str, word: str
) -> None:
    for name in "ab":
        write_sound(tmp_path / f"{name}.wav")
    alone = "dog" if word == "comma" else "rain"
    rows = (f'a.wav,"{alone}"', f'b.wav,"dog{sign}cat"')
    table = write_table(tmp_path / "t.csv", "path,label", *rows)
    chosen = {} if word == "bar" else {"tag_separator": word}
    words = "".join(f" and data.{key}={value}" for key, value in chosen.items())
    looks = f"looks like lists of tags ('dog{sign}cat' contains a {word});"
    told = [str(problem) for problem in Collection.load(table).problems if problem.kind == "lists"]
    assert told == [
        f"t.csv (row 3): the column 'label' {looks} each such cell is used as one class. If they are tags: "
        f"data.tags=label and data.label=false{words}. If each cell is the name of one class: "
        "data.tags=false."
    ]
    tags = Collection.load(table, make(Columns, "", {"tags": "label", "label": False, **chosen}))
    assert list(tags.table["tags"]) == [(alone,), ("dog", "cat")]
    for columns in (Columns(tags=False), Columns(label=False)):
        assert Collection.load(table, columns).problems == ()
    write_table(table, "path,labels", *rows)
    assert [str(problem) for problem in Collection.load(table).problems] == [
        f"t.csv (row 3): the column 'labels' {looks} it was not used. If they are tags: data.tags=labels "
        f"and data.label=false{words}. If each cell is the name of one class: data.label=labels and "
        "data.tags=false."
    ]
    write_table(table, "path,label,tags", *(f"{row},x" for row in rows))
    assert str(Collection.load(table).problems[0]).endswith("one class: ignore this.")
    write_table(table, "path,label", "a.wav,|dog", 'b.wav,"cat, "')
    assert Collection.load(table).problems == ()


@pytest.mark.parametrize(("sign", "word"), [("|", "bar"), (" | ", "bar"), (";", "semicolon")])
@pytest.mark.parametrize("first", ["dog", "cat{sign}cow"])
def test_labels_whose_parts_recur_are_refused_until_a_reading_is_chosen(
    tmp_path: Path, write_sound: Write, write_table: Write, sign: str, word: str, first: str
) -> None:
    for name in "abc":
        write_sound(tmp_path / f"{name}.wav")
    cells = [first.format(sign=sign), f"dog{sign}cat", "rain"]
    rows = [f'{name}.wav,"{cell}"' for name, cell in zip("abc", cells, strict=True)]
    table = write_table(tmp_path / "t.csv", "path,label", *rows)
    chosen = {} if word == "bar" else {"tag_separator": word}
    words = "".join(f" and data.{key}={value}" for key, value in chosen.items())
    row, cell = next((at + 2, cell) for at, cell in enumerate(cells) if sign in cell)
    with pytest.raises(DataError) as error:
        Collection.load(table)
    assert str(error.value) == (
        f"t.csv: row {row}: {cell!r} in the column 'label' contains a {word}, and its parts occur in "
        f"other cells, too. If they are tags: data.tags=label and data.label=false{words}. If each cell is "
        "the name of one class: data.tags=false."
    )
    tags = Collection.load(table, make(Columns, "", {"tags": "label", "label": False, **chosen}))
    assert tags.table["tags"][1] == ("dog", "cat")
    assert list(Collection.load(table, Columns(tags=False)).table["label"]) == cells
    assert list(Collection.load(table, Columns(label="label")).table["label"]) == cells


def test_labels_in_lists_written_as_text(tmp_path: Path, write_sound: Write, write_table: Write) -> None:
    for name in "ab":
        write_sound(tmp_path / f"{name}.wav")
    table = write_table(tmp_path / "t.csv", "path,label", "a.wav,['dog']", "b.wav,[]")
    assert list(Collection.load(table).table["label"]) == ["dog", ""]
    write_table(table, "path,label", "a.wav,['dog']", "b.wav,\"['dog', 'cat']\"")
    with pytest.raises(DataError, match="row 3: the column 'label' has several labels"):
        Collection.load(table)


def test_whole_numbers_read_alike_in_text_and_as_numbers(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    for name in "abc":
        write_sound(tmp_path / f"{name}.wav")
    table = write_table(tmp_path / "t.csv", "path,label,fold", "a.wav,0.0,0.0", "b.wav,,1.0", "c.wav,1.0,2.0")
    found = Collection.load(table)
    assert list(found.table["label"]) == ["0", "", "1"]
    assert list(found.table["split"]) == ["train", "val", "test"]


def test_two_separators_at_once_are_refused(tmp_path: Path, write_sound: Write, write_table: Write) -> None:
    for name in "ab":
        write_sound(tmp_path / f"{name}.wav")
    table = write_table(tmp_path / "t.csv", "path,tags", "a.wav,dog|cat;x", 'b.wav,"rock, slow|pop"')
    with pytest.raises(DataError, match=r"t\.csv: row 2: some tags .* have a \| .* and some a ;"):
        Collection.load(table)
    whole = Collection.load(table, make(Columns, "", {"tag_separator": "bar"}))
    assert list(whole.table["tags"]) == [("dog", "cat;x"), ("rock, slow", "pop")]
