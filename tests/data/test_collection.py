"""Collections: the real sets against their own READMEs, what each column means, every bad row named."""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from nearfield.core.errors import DataError
from nearfield.data.clips import STANDARD
from nearfield.data.collection import Collection
from nearfield.data.faults import Problem
from nearfield.data.settings import Columns, DataSettings

Write = Callable[..., Path]
Real = Callable[[str], Path]

LEAK = "in more than one split, so test is not independent:"
LEAK_CURE = (
    "Give all clips of a group one split, name another column "
    "(data.group), leave out the split so that one is made, or allow it with --allow-leak."
)


def readme_counts(folder: Path, head: str) -> dict[str, tuple[int, ...]]:
    """The table of counts in a set's README: train, val, test, all by name."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    found: dict[str, tuple[int, ...]] = {}
    block = re.search(rf"^\| {head} \|.*?\n\n", text, re.MULTILINE | re.DOTALL)
    assert block, f"no table of {head} in {folder}"
    for line in block.group().strip().splitlines()[2:]:
        name, *numbers = (cell.strip(" *") for cell in line.strip("|").split("|"))
        found[name.strip()] = tuple(int(number) for number in numbers)
    return found


def counted(marks: Sequence[tuple[str, ...]], splits: list[str]) -> dict[str, tuple[int, ...]]:
    """The same out of a collection."""
    pairs = Counter((mark, split) for own, split in zip(marks, splits, strict=True) for mark in own)
    names = {mark for mark, _ in pairs}
    found = {}
    for name in names:
        each = [pairs[name, split] for split in ("train", "val", "test")]
        found[name] = (*each, sum(each))
    return found


@pytest.mark.parametrize("name", ["fsdd", "esc10", "arabic-commands", "oneshots", "blood-cells"])
def test_labels_of_the_real_sets_are_those_of_their_readmes(real_data: Real, name: str) -> None:
    folder = real_data(name)
    found = Collection.load(folder)
    expected = readme_counts(folder, "class")
    everything = expected.pop("all")
    assert counted([(label,) for label in found.table["label"]], list(found.table["split"])) == expected
    assert tuple(len(found.rows(split)) for split in ("train", "val", "test")) == everything[:3]
    assert len(found) == everything[3]
    assert found.problems == ()
    assert found.metadata().label_names == tuple(sorted(expected))


@pytest.mark.parametrize(
    ("name", "clips"), [("oneshots", 686), ("esc10-mix", 330), ("incompetech-tags", 492)]
)
def test_tags_of_the_real_sets_are_those_of_their_readmes(real_data: Real, name: str, clips: int) -> None:
    folder = real_data(name)
    found = Collection.load(folder)
    expected = readme_counts(folder, "tag")
    assert counted(list(found.table["tags"]), list(found.table["split"])) == expected
    assert len(found) == clips
    assert found.problems == ()
    metadata = found.metadata()
    assert metadata.tag_names == tuple(sorted(expected))
    assert [int(count) for count in metadata.tags.sum(axis=0)] == [
        expected[tag][3] for tag in metadata.tag_names
    ]


def test_omniglot_counts_by_alphabet_and_other_splits(real_data: Real) -> None:
    folder = real_data("omniglot-small")
    found = Collection.load(folder, Columns(group="drawer"))
    expected = readme_counts(folder, "class")
    assert len(found) == expected.pop("all")[3]
    alphabets = [(alphabet,) for alphabet in found.table["alphabet"]]
    assert counted(alphabets, list(found.table["split"])) == expected
    assert len(found.metadata().label_names) == 136
    assert found.kind == "picture"
    apart = Collection.load(folder, Columns(split="split_zeroshot", label="alphabet"))
    assert apart.metadata().label_names == ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin")
    assert set(apart.table["label"].iloc[apart.rows("test")]) == {"Korean"}
    assert set(apart.table["given_split"]) == {"train", "val", "test"}
    with pytest.raises(DataError, match=r"20 groups occur in more than one split"):
        Collection.load(folder, Columns(split="split_zeroshot", group="drawer"))


def test_groups_of_the_real_sets(real_data: Real) -> None:
    for name, columns, groups in (
        ("fsdd", Columns(), (3, 1, 2)),
        ("arabic-commands", Columns(), (14, 4, 6)),
        ("incompetech-tags", Columns(group="track"), None),
        ("blood-cells", Columns(group="image"), None),
    ):
        found = Collection.load(real_data(name), columns)
        own = [set(found.table["group"].iloc[found.rows(split)]) for split in ("train", "val", "test")]
        assert sum(map(len, own)) == len(set.union(*own))
        if groups:
            assert tuple(map(len, own)) == groups


def test_folds_of_esc10_can_be_the_split(real_data: Real) -> None:
    found = Collection.load(real_data("esc10"), Columns(split="fold"))
    assert list(found.table["split"]) == list(found.table["given_split"])


def test_excerpts_know_their_moment_in_the_track(real_data: Real) -> None:
    found = Collection.load(real_data("incompetech-tags"), Columns(recording="track"))
    assert found.starts == {"moment": 492}
    assert (found.table["start"] == 0).all()
    first = found.table[found.table["recording"] == "8bitdungeonboss"]
    assert list(first["moment"])[:2] == [20.64, 77.42]
    assert list(first["seconds"]) == pytest.approx([10.0] * 3, abs=0.01)


def test_the_forest_recorder_leaks_and_is_refused(real_data: Real) -> None:
    folder = real_data("long-recordings")
    with pytest.raises(DataError) as error:
        Collection.load(folder)
    assert str(error.value) == (
        f"labels.csv: 1 group occurs {LEAK}"
        f"\n  S4A03895: 64 train, 16 val, 16 test\nGroups are read from the column 'recording'. {LEAK_CURE}"
    )
    found = Collection.load(folder, allow_leak=True)
    assert found.leaks == ("S4A03895",)
    assert len(found) == 124
    assert [len(found.rows(split)) for split in ("train", "val", "test")] == [85, 19, 20]
    assert found.starts == {"whole": 27, "clock": 97}
    forest = found.table[found.table["group"] == "S4A03895"]
    assert list(np.diff(sorted(forest["moment"]))) == [900.0] * 95
    assert found.metadata().label_names == ()
    assert set(found.metadata().labels) == {-1}


@pytest.fixture
def three(tmp_path: Path, write_sound: Write, write_table: Write) -> Path:
    """A folder with three sounds of a second and a table."""
    for name in ("a", "b", "c"):
        write_sound(tmp_path / f"{name}.wav", 1.0)
    return write_table(
        tmp_path / "labels.csv",
        "path,label,tags,split,recording,group,id,note,row",
        "a.wav,dog,x|y,train,r1,g1,7,first,1",
        "b.wav,cat,,val,,,8,,1",
        "c.wav,dog, y | z |y,test,r2,,9,last,1",
    ).parent


def test_the_table_has_the_standard_columns_and_keeps_the_others(three: Path) -> None:
    table = Collection.load(three).table
    assert list(table)[:10] == list(STANDARD)
    assert list(table["id"]) == ["a.wav", "b.wav", "c.wav"]
    assert list(table["path"]) == [str(three / f"{name}.wav") for name in "abc"]
    assert list(table["recording"]) == ["r1", "b.wav", "r2"]
    assert list(table["group"]) == ["g1", "b.wav", "r2"]
    assert list(table["tags"]) == [("x", "y"), (), ("y", "z")]
    assert list(table["note"]) == ["first", "", "last"]
    assert list(table["given_id"]) == ["7", "8", "9"]
    assert list(table["row"]) == [2, 3, 4]
    assert list(table["given_row"]) == ["1", "1", "1"]


def test_facts_number_labels_tags_recordings_and_groups_by_name(three: Path) -> None:
    metadata = Collection.load(three).metadata()
    assert metadata.label_names == ("cat", "dog")
    assert list(metadata.labels) == [1, 0, 1]
    assert metadata.tag_names == ("x", "y", "z")
    assert metadata.tags.tolist() == [[True, True, False], [False, False, False], [False, True, True]]
    assert list(metadata.recordings) == [1, 0, 2]
    assert list(metadata.groups) == [1, 0, 2]
    assert list(metadata.seconds) == [1.0, 1.0, 1.0]
    assert metadata.labels.dtype == metadata.groups.dtype == np.int64


def test_the_group_is_the_first_of_the_usual_columns_or_the_chosen_one(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    write_sound(tmp_path / "a.wav")
    names = ["recording", "source", "speaker", "group"]
    for count in range(1, 5):
        header, cells = ",".join(names[:count]), ",".join(f"the {name}" for name in names[:count])
        table = write_table(tmp_path / "t.csv", f"path,{header}", f"a.wav,{cells}")
        assert list(Collection.load(table).table["group"]) == [f"the {names[count - 1]}"]
        chosen = Collection.load(table, Columns(group="recording")).table
        assert list(chosen["group"]) == list(chosen["recording"]) == ["the recording"]


def test_parts_of_one_file_are_clips_of_one_recording(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    write_sound(tmp_path / "C#4.wav", 3.0)
    table = write_table(
        tmp_path / "t.csv",
        "path,start,duration",
        "C#4.wav,0,1",
        "C#4.wav,1,1",
        "C#4.wav,2,",
        "C#4.wav,,",
        "C#4.wav,,1",
    )
    found = Collection.load(table)
    assert list(found.table["id"]) == [
        "C#4.wav#0.000-1.000", "C#4.wav#1.000-2.000", "C#4.wav#2.000-3.000", "C#4.wav"
    ]  # fmt: skip
    assert set(found.table["recording"]) == set(found.table["group"]) == {"C#4.wav"}
    assert list(found.table["moment"]) == [0.0, 1.0, 2.0, 0.0]
    assert set(found.table["split"]) == {"train"}
    assert str(found.problems[0]) == (
        "C#4.wav (row 6): row 2 is the same part of the same file. "
        "Keep one of them; write several tags of one clip in one cell: tags = a|b."
    )


def test_paths_may_lead_upwards_be_absolute_or_come_from_windows(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    write_sound(tmp_path / "sounds/dog/a.wav")
    write_sound(tmp_path / "b.wav")
    table = write_table(
        tmp_path / "tables/t.csv",
        "file_name",
        r"..\sounds\dog\a.wav",
        "../b.wav",
        f"{tmp_path}/sounds/../b.wav",
    )
    found = Collection.load(table)
    assert list(found.table["id"]) == ["../sounds/dog/a.wav", "../b.wav"]
    assert found.problems[0].kind == "doubled"
    assert found.name == "t"


def test_accents_of_a_path_may_be_encoded_otherwise_than_on_the_disk(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    write_sound(tmp_path / "caf\u00e9.wav")
    write_sound(tmp_path / "the\u0301/a.wav")
    table = write_table(tmp_path / "t.csv", "path", "cafe\u0301.wav", "th\u00e9/a.wav")
    found = Collection.load(table)
    assert found.problems == ()
    assert list(found.table["id"]) == ["caf\u00e9.wav", "the\u0301/a.wav"]


AGAIN = "Copy or download it again, or remove it."
GONE = "there is no such file. Correct the path or restore the file."
NO_FILE = "it is a folder, pipe or device. Name a file."
ONE_CELL = "write several tags of one clip in one cell: tags = a|b."
BAD_ROWS: list[tuple[str, str]] = [
    ("gone.wav,,", f"gone.wav: {GONE}"),
    ("good.flac,,", f"good.flac: {GONE} Its folder has 'good.wav'."),
    ("goood.wav,,", f"goood.wav: {GONE} Its folder has 'good.wav'."),
    ("GOOD.WAV,,", f"GOOD.WAV: {GONE} Its folder has 'good.wav'."),
    ("../../../../../../../../../etc/gone,,", f"../../../../../../../../../etc/gone: {GONE}"),
    ("a\0b.wav,,", "a\0b.wav: the path holds a zero byte. Correct the path."),
    (",1,", "t.csv: the row names no file. Give it a path or remove the row."),
    (
        "https://example.org/a.wav,,",
        "https://example.org/a.wav: it is an address, and nothing is fetched. Download it and give its path.",
    ),
    ("folder,,", f"folder: {NO_FILE}"),
    ("/dev/zero,,", f"/dev/zero: {NO_FILE}"),
    ("pipe.wav,,", f"pipe.wav: {NO_FILE}"),
    ("empty.wav,,", f"empty.wav: the file is empty: 0 bytes. {AGAIN}"),
    ("header.wav,,", f"header.wav: it has no sound: 0 samples. {AGAIN}"),
    ("words.wav,,", f"words.wav: it cannot be read as sound. {AGAIN}"),
    ("picture.png,,", f"picture.png: it cannot be read as sound. {AGAIN}"),
    (
        "good.wav,5,",
        "good.wav: the clip starts at 5 s, but the file has 1 s. Correct `start`; "
        "if it is a time in a longer recording, give the clip's length in `seconds`.",
    ),
    (
        "good.wav,0.5,0.9",
        "good.wav: the clip ends at 1.4 s, but the file has 1 s. "
        "Correct the row, or copy the file again if it is truncated.",
    ),
    ("good.wav,-1,0.5", "good.wav: start is -1 s, before the file begins. Correct `start`."),
    ("good.wav,0.1,0", "good.wav: the clip is 0 s long. Correct `seconds` or `end`."),
    ("good.wav,0.1,long", "good.wav: seconds is 'long', not a number. Write seconds as 2.5."),
    (
        "good.wav,noon,",
        "good.wav: start is 'noon', neither seconds nor a date and time. "
        "Write seconds as 2.5, or a date and time as 2019-05-22T00:15.",
    ),
    ("good.wav,,", f"good.wav: row 2 is the same part of the same file. Keep one of them; {ONE_CELL}"),
    (
        "good.wav,,,x,y",
        "t.csv: the row has 5 cells where the header has 3. "
        "Put cells that hold the separator in double quotes.",
    ),
]


def bad_folder(folder: Path, write_sound: Write) -> None:
    """Files of every bad sort, and one good one."""
    write_sound(folder / "good.wav", 1.0)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe.wav")
    (folder / "empty.wav").touch()
    soundfile.write(folder / "header.wav", np.zeros((0, 1)), 8000)
    (folder / "words.wav").write_text("no sound" * 100)
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)


def test_every_bad_row_is_left_out_and_named(tmp_path: Path, write_sound: Write, write_table: Write) -> None:
    bad_folder(tmp_path, write_sound)
    table = write_table(tmp_path / "t.csv", "path,start,seconds", "good.wav,,", *(row for row, _ in BAD_ROWS))
    found = Collection.load(table)
    assert list(found.table["id"]) == ["good.wav"]
    by_row = {problem.row: problem for problem in found.problems}
    for line, (row, text) in enumerate(BAD_ROWS, 3):
        problem = by_row.pop(line)
        assert f"{problem.path}: {problem.reason} {problem.cure}" == text, row
        assert problem.severity == "left out"
    assert not by_row


@pytest.mark.parametrize("row", range(0, len(BAD_ROWS) - 2, 5))
def test_a_table_of_bad_rows_alone_is_refused(
    tmp_path: Path, write_sound: Write, write_table: Write, row: int
) -> None:
    bad_folder(tmp_path, write_sound)
    text, reason = BAD_ROWS[row]
    table = write_table(tmp_path / "t.csv", "path,start,seconds", text)
    name, _, rest = reason.partition(": ")
    with pytest.raises(DataError) as error:
        Collection.load(table)
    assert str(error.value) == (
        f"t.csv: none of the 1 clips can be used. The first reasons:\n  {name} (row 2): {rest}"
    )


NAMELESS = "labels.csv: there is no column 'path' or 'file_name' that names the files."
REFUSED = [
    (
        ["filnam,label", "a.wav,x"],
        Columns(),
        f"{NAMELESS} Is it 'filnam'? Then choose it: data.path=filnam. Columns found: filnam, label.",
    ),
    (["sound,label", "a.wav,x"], Columns(), f"{NAMELESS} Columns found: sound, label."),
    (
        ["path,label", ",x"],
        Columns(),
        "labels.csv: the column 'path' is empty. Give each row the path of its file.",
    ),
    (
        ["path,labl", "a.wav,x"],
        Columns(label="label"),
        "labels.csv: there is no column 'label' for data.label. Did you mean 'labl'? Known: path, labl.",
    ),
    (
        ["path,label", "a.wav,x"],
        Columns(group="who"),
        "labels.csv: there is no column 'who' for data.group. Known: path, label.",
    ),
    (
        ["path,split", "a.wav,tset"],
        Columns(),
        "labels.csv: row 2: the split 'tset' is not known. Did you mean 'test'? "
        "Known: train, training, val, valid, validate, validation, dev, devel, eval, test, testing. "
        "Two or more fold numbers are allowed, too. An empty cell gives the clip no split.",
    ),
    (
        ["path,split,speaker", "a.wav,train,ann", "b.wav,test,ann", "c.wav,test,ben"],
        Columns(),
        f"labels.csv: 1 group occurs {LEAK}"
        f"\n  ann: 1 train, 1 test\nGroups are read from the column 'speaker'. {LEAK_CURE}",
    ),
]


@pytest.mark.parametrize(("lines", "columns", "text"), REFUSED)
def test_tables_that_are_refused(
    three: Path, write_table: Write, lines: list[str], columns: Columns, text: str
) -> None:
    write_table(three / "labels.csv", *lines)
    with pytest.raises(DataError) as error:
        Collection.load(three, columns)
    assert str(error.value) == text


def test_a_column_that_looks_misspelt_is_asked_about(three: Path, write_table: Write) -> None:
    write_table(three / "labels.csv", "path,lable,tag", "a.wav,x,y")
    assert [str(problem) for problem in Collection.load(three).problems] == [
        "labels.csv: there is no column 'label', but a column 'lable', which was not used. "
        "If it holds the label, choose it: data.label=lable.",
        "labels.csv: there is no column 'tags', but a column 'tag', which was not used. "
        "If it holds the tags, choose it: data.tags=tag.",
    ]
    write_table(three / "labels.csv", "path,Species,split,tags", "a.wav,owl,,")
    assert [str(problem) for problem in Collection.load(three).problems] == [
        "labels.csv: there is no column 'label', but a column 'Species', which was not used. "
        "If it holds the label, choose it: data.label=Species."
    ]
    assert Collection.load(three, Columns(label=False)).problems == ()


def test_a_missing_val_is_carved_out_and_empty_cells_are_counted(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    rows = [f"{n}.wav,{'test' if n > 8 else 'train'}" for n in range(10)]
    for number in range(11):
        write_sound(tmp_path / f"{number}.wav")
    found = Collection.load(write_table(tmp_path / "labels.csv", "path,split", *rows, "10.wav,"))
    assert [len(found.rows(split)) for split in ("train", "val", "test", "")] == [7, 2, 1, 1]
    assert [str(problem) for problem in found.problems] == [
        "labels.csv: clips without a split are not used for training or evaluation (1 of 11). "
        "Write train, val or test into each row.",
        "labels.csv: there were no val clips, so whole groups of train became val (2 clips). "
        "To choose them yourself, give some clips the split val.",
    ]
    assert found.split_from == "given by the column 'split'"


def test_a_split_is_made_where_none_is_given_and_kept_in_a_file(tmp_path: Path, write_sound: Write) -> None:
    for number in range(20):
        write_sound(tmp_path / f"set/{'dog' if number % 2 else 'cat'}/{number}.wav")
    found = Collection.load(tmp_path / "set")
    assert [len(found.rows(split)) for split in ("train", "val", "test")] == [12, 4, 4]
    assert found.split_from == "made, with seed 0"
    assert Collection.load(tmp_path / "set").split_hash() == found.split_hash()
    other = Collection.load(tmp_path / "set", seed=1)
    assert other.split_hash() != found.split_hash()
    found.save_split(tmp_path / "split.csv")
    again = other.with_split(tmp_path / "split.csv")
    assert again.split_hash() == found.split_hash()
    assert again.fingerprint() == found.fingerprint()
    assert again.split_from == "stored in split.csv"

    (tmp_path / "set/dog/1.wav").rename(tmp_path / "set/dog/one.wav")
    changed = Collection.load(tmp_path / "set").with_split(tmp_path / "split.csv")
    assert [str(problem) for problem in changed.problems] == [
        "split.csv: clips that are not in the split are not used (1, the first is dog/one.wav). "
        "Make a new split to use them.",
        "split.csv: clips of the split are missing in the data (1, the first is dog/1.wav). "
        "Restore their files.",
    ]
    assert len(changed.rows("")) == 1
    strange = Collection.from_rows(pd.DataFrame({"path": ["x"], "seconds": [1.0]}))
    with pytest.raises(DataError) as error:
        strange.with_split(tmp_path / "split.csv")
    assert str(error.value) == (
        f"{tmp_path / 'split.csv'}: the split has no clip of this collection. Was it made for other data?"
    )


def test_the_fingerprint_is_of_contents_and_meanings_not_of_places(three: Path, tmp_path: Path) -> None:
    found = Collection.load(three).fingerprint()
    copy = tmp_path / "elsewhere"
    shutil.copytree(three, copy, ignore=shutil.ignore_patterns("elsewhere"))
    lines = (copy / "labels.csv").read_text().splitlines()
    (copy / "labels.csv").write_text("\n".join([lines[0], *lines[:0:-1]]))
    assert Collection.load(copy).fingerprint() == found
    for before, after in (("cat", "cow"), ("x|y", "x"), ("g1", "g2"), ("val", "train")):
        (copy / "labels.csv").write_text("\n".join(lines).replace(before, after))
        assert Collection.load(copy).fingerprint() != found, before
    (copy / "labels.csv").write_text("\n".join(lines))
    content = bytearray((copy / "a.wav").read_bytes())
    content[-1] ^= 1
    (copy / "a.wav").write_bytes(bytes(content))
    assert Collection.load(copy).fingerprint() != found


def test_from_rows_fills_in_and_subset_and_without_take_away() -> None:
    rows = pd.DataFrame(
        {"path": ["a", "b", "c"], "seconds": [1.0, 2.0, 3.0], "label": ["x", "", "y"], "extra": [1, 2, 3]}
    )
    found = Collection.from_rows(rows, name="mine")
    assert list(found.table) == [*STANDARD, "extra"]
    assert list(found.table["group"]) == ["a", "b", "c"]
    assert list(found.metadata().labels) == [0, -1, 1]
    part = found.subset(np.array([2, 0]))
    assert list(part.table["id"]) == ["c", "a"]
    assert list(part.table.index) == [0, 1]
    problem = Problem("silent", "b", None, "it is silent.", "Remove it.")
    left = found.without([problem])
    assert list(left.table["id"]) == ["a", "c"]
    assert left.problems == (problem,)
    with pytest.raises(DataError) as error:
        Collection.from_rows(pd.DataFrame({"path": ["a"]}))
    assert str(error.value) == "rows: there is no column 'seconds'. Given: path. Add it."
    with pytest.raises(DataError) as error:
        Collection.from_rows(pd.DataFrame({"path": ["a", "a"], "seconds": 1.0}))
    assert str(error.value) == "rows: the id 'a' is not unique. Give each clip its own id."
    assert len(Collection.from_rows(pd.DataFrame({"path": ["a"]}), "picture")) == 1


def test_progress_counts_every_file(three: Path) -> None:
    steps: list[tuple[int, int]] = []
    Collection.load(three, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_settings_hand_on_their_columns() -> None:
    settings = DataSettings(label="alphabet", recording="track")
    assert settings.columns == Columns(label="alphabet", recording="track")
    assert DataSettings().model_dump()["channels"] == "mean"
    assert DataSettings(channels=3).channels == 3
    assert DataSettings(channels="views").columns == Columns(views=True)
    assert DataSettings(label=False, group_by="x", end="until").columns == Columns(
        label=False, group_by="x", end="until"
    )
    given = json.loads(Columns().model_dump_json())
    assert given == {**dict.fromkeys(Columns.model_fields), "views": False, "folder_labels": True}


def test_only_some_clips_of_a_collection(real_data: Callable[[str], Path]) -> None:
    collection = Collection.load(real_data("omniglot-small"))
    tailed = collection.only({"imbalanced": 1})
    table = pd.read_csv(real_data("omniglot-small") / "labels.csv")
    assert len(tailed) == int((table["imbalanced"] == 1).sum()) == 1816
    assert len(tailed.rows("test")) == len(collection.rows("test"))
    with pytest.raises(DataError, match=r"no column 'imbalance'.*'imbalanced'"):
        collection.only({"imbalance": 1})
    with pytest.raises(DataError, match="no clip"):
        collection.only({"imbalanced": 7})


def test_rows_are_read_as_a_table_is(write_sound: Write, write_table: Write, tmp_path: Path) -> None:
    cells = {
        "label": ["dog", "", "cat"],
        "tags": ["wet|loud", "", "loud"],
        "split": ["training", "dev", "test"],
        "node": ["1", "", "2"],
    }
    for name in "abc":
        write_sound(tmp_path / f"{name}.wav")
    lines = [",".join(line) for line in zip(("a.wav", "b.wav", "c.wav"), *cells.values(), strict=True)]
    table = Collection.load(write_table(tmp_path / "t.csv", ",".join(["path", *cells]), *lines))
    rows = pd.DataFrame({"path": ["a.wav", "b.wav", "c.wav"], "seconds": 0.25, **cells}).assign(
        label=["dog", np.nan, "cat"],
        node=[1, np.nan, 2],  # as pandas reads gaps
    )
    rows_ = Collection.from_rows(rows)
    one, other = table.metadata(), rows_.metadata()
    assert list(table.table["split"]) == list(rows_.table["split"]) == ["train", "val", "test"]
    assert (one.label_names, one.tag_names) == (other.label_names, other.tag_names)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.tags, other.tags)
    np.testing.assert_array_equal(one.columns["node"], other.columns["node"])
    for collection in (table, rows_):
        assert list(collection.only({"node": 1}).table["label"]) == ["dog"]
        with pytest.raises(DataError, match=r"data\.only: no clip of .* has node 7\. Known: 1, 2\."):
            collection.only({"node": 7})
        with pytest.raises(DataError, match=r"no clip of .* has all of {'node': 1, 'label': 'cat'}"):
            collection.only({"node": 1, "label": "cat"})
    assert "weight" not in Collection.from_rows(rows.assign(weight=[0.5, np.nan, 2])).metadata().columns
    with pytest.raises(DataError, match="the split 'trane' is not known"):
        Collection.from_rows(rows.assign(split="trane"))
