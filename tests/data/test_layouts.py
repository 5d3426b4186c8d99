"""One contract for every layout: a small imitation is read completely, rightly, and known again or not."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nearfield.core.errors import DataError, RequestError
from nearfield.core.settings import kinds
from nearfield.data.collection import Collection
from nearfield.data.layouts import Layout
from nearfield.data.layouts.sets import Esc50
from nearfield.data.settings import Columns

Write = Callable[..., Path]


def write_picture(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5, 3), shade, np.uint8)).save(path)


def class_folders(folder: Path, sound: Write, table: Write) -> None:
    for name in ("dog/1.wav", "dog/old/2.flac", "rain/1.ogg"):
        sound(folder / name)


def flat(folder: Path, sound: Write, table: Write) -> None:
    for name in ("a.wav", "b.wav", "c.mp3"):
        sound(folder / name)


def split_folders(folder: Path, sound: Write, table: Write) -> None:
    for name in ("train/dog/1.wav", "test/dog/2.wav", "validation/rain/3.wav"):
        sound(folder / name)


def labelled_table(folder: Path, sound: Write, table: Write) -> None:
    class_folders(folder, sound, table)
    table(
        folder / "labels.csv",
        "path,label,tags,split,speaker",
        "dog/1.wav,dog,loud|wet,train,ann",
        "dog/old/2.flac,dog,,val,ben",
        "rain/1.ogg,rain,wet,test,cy",
    )


def parquet_table(folder: Path, sound: Write, table: Write) -> None:
    class_folders(folder, sound, table)
    rows = {
        "path": ["dog/1.wav", "dog/old/2.flac", "rain/1.ogg"],
        "label": [0, 0, 1],
        "tags": [["loud", "wet"], [], None],
        "fold": [1, 2, 3],
    }
    pd.DataFrame(rows).to_parquet(folder / "labels.parquet")


def metadata_lines(folder: Path, sound: Write, table: Write) -> None:
    for name in ("train/1.wav", "train/2.wav", "test/3.wav"):
        sound(folder / name)
    table(
        folder / "metadata.jsonl",
        json.dumps({"file_name": "train/1.wav", "label": "dog", "tags": ["a", "b"]}),
        json.dumps({"file_name": "train/2.wav", "label": "rain", "tags": []}),
        json.dumps({"file_name": "test/3.wav", "label": "dog"}),
    )


def metadata_by_side(folder: Path, sound: Write, table: Write) -> None:
    for name in ("train/1.wav", "train/2.wav", "validation/sub/3.wav"):
        sound(folder / name)
    table(folder / "train/metadata.csv", "file_name,label", "1.wav,dog", "2.wav,rain")
    table(folder / "validation/metadata.csv", "file_name,label", "sub/3.wav,dog")


def esc50_table(folder: Path, sound: Write, table: Write) -> None:
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for fold, clip in ((1, "100-A-0"), (4, "200-B-0"), (5, "300-A-9")):
        sound(folder / f"audio/{fold}-{clip}.wav")
        recording, take, target = clip.split("-")
        lines.append(
            f"{fold}-{clip}.wav,{fold},{target},{'dog' if target == '0' else 'rain'},True,{recording},{take}"
        )
    table(folder / "meta/esc50.csv", *lines)


def esc50_names(folder: Path, sound: Write, table: Write) -> None:
    for name in ("1-100-A-0.wav", "4-200-B-0.wav", "5-300-A-9.wav"):
        sound(folder / name)


def digits(folder: Path, sound: Write, table: Write) -> None:
    for name in ("0_ann_0.wav", "0_ben_0.wav", "7_cy_12.wav"):
        sound(folder / "recordings" / name)


def dcase_folds(folder: Path, sound: Write, table: Write) -> None:
    rows = []
    for node, session, label in ((1, 3, "cooking"), (2, 4, "eating"), (4, 5, "cooking")):
        name = f"audio/DevNode{node}_ex{session}_1.wav"
        sound(folder / name, 10.0, 1000, 4)
        rows.append(f"{name}\t{label}\tex{session}")
    table(folder / "meta.txt", *rows)
    table(folder / "evaluation_setup/fold1_train.txt", *rows[:2])
    table(folder / "evaluation_setup/fold1_test.txt", rows[2].split("\t")[0])


def magnatagatune(folder: Path, sound: Write, table: Write) -> None:
    lines = ["clip_id\twet\tloud\tmp3_path"]
    for number, (name, marks) in enumerate((("a/ann-x", "1\t1"), ("c/ben-y", "0\t1"), ("d/cy-z", "1\t0"))):
        sound(folder / f"{name}-01-t-0-29.mp3")
        lines.append(f"{number}\t{marks}\t{name}-01-t-0-29.mp3")
    table(folder / "annotations_final.csv", *lines)


def mtg_jamendo(folder: Path, sound: Write, table: Write) -> None:
    lines = []
    for artist, tags in (("ann", "loud\twet"), ("ben", "wet"), ("cy", "wet")):
        sound(folder / f"{artist}.mp3")
        lines.append(f"track_{artist}\t{artist}\tx\t{artist}.mp3\t0.25\t{tags}")
    table(folder / "autotagging.tsv", "TRACK_ID", *lines)
    for row, split in enumerate(("train", "validation", "test")):
        table(folder / f"splits/split-0/autotagging-{split}.tsv", "TRACK_ID", lines[row])


def picture_folders(folder: Path, sound: Write, table: Write) -> None:
    for shade, name in enumerate(("red/1.png", "red/2.jpg", "blue/1.bmp")):
        write_picture(folder / name, shade * 50)


def picture_table(folder: Path, sound: Write, table: Write) -> None:
    picture_folders(folder, sound, table)
    table(folder / "labels.csv", "path,label", "red/1.png,red", "red/2.jpg,red", "blue/1.bmp,blue")


@dataclass
class Case:
    """An imitation of three clips, and what is to be read from it."""

    kind: str
    make: Callable[[Path, Write, Write], None]
    ids: str
    labels: str
    split: str = ""
    tags: tuple[tuple[str, ...], ...] = ((), (), ())
    group: str = ""
    known: bool = True
    """The layout is found without being named."""
    picture: bool = False
    seconds: float = 0.25


FILES = "dog/1.wav dog/old/2.flac rain/1.ogg"
ESC = "1-100-A-0.wav 4-200-B-0.wav 5-300-A-9.wav"
DIGITS = "recordings/0_ann_0.wav recordings/0_ben_0.wav recordings/7_cy_12.wav"
PICTURES = "red/1.png red/2.jpg blue/1.bmp"
TAGS = (("loud", "wet"), (), ("wet",))
CASES = {
    "class folders": Case("folder", class_folders, FILES, "dog dog rain"),
    "flat": Case("folder", flat, "a.wav b.wav c.mp3", "- - -"),
    "split folders": Case(
        "folder",
        split_folders,
        "test/dog/2.wav train/dog/1.wav validation/rain/3.wav",
        "dog dog rain",
        "test train val",
    ),
    "table": Case("table", labelled_table, FILES, "dog dog rain", "train val test", TAGS, "ann ben cy"),
    "parquet": Case("table", parquet_table, FILES, "0 0 1", "train val test", (("loud", "wet"), (), ())),
    "metadata lines": Case(
        "audiofolder",
        metadata_lines,
        "train/1.wav train/2.wav test/3.wav",
        "dog rain dog",
        "train val test",
        (("a", "b"), (), ()),
    ),
    "metadata by side": Case(
        "audiofolder",
        metadata_by_side,
        "train/1.wav train/2.wav validation/sub/3.wav",
        "dog rain dog",
        "train train val",
    ),
    "esc50": Case("esc50", esc50_table, ESC, "dog dog rain", "train val test", group="100 200 300"),
    "esc50 by name": Case(
        "esc50", esc50_names, ESC, "0 0 9", "train val test", group="100 200 300", known=False
    ),
    "digits": Case("spoken_digits", digits, DIGITS, "0 0 7", group="ann ben cy", known=False),
    "dcase": Case(
        "dcase2018_task5",
        dcase_folds,
        "audio/DevNode1_ex3_1.wav audio/DevNode2_ex4_1.wav audio/DevNode4_ex5_1.wav",
        "cooking eating cooking",
        "train val test",
        group="ex3 ex4 ex5",
        seconds=10.0,
    ),
    "magnatagatune": Case(
        "magnatagatune",
        magnatagatune,
        "a/ann-x-01-t-0-29.mp3 c/ben-y-01-t-0-29.mp3 d/cy-z-01-t-0-29.mp3",
        "- - -",
        "train val test",
        (("loud", "wet"), ("loud",), ("wet",)),
        "ann-x-01-t ben-y-01-t cy-z-01-t",
    ),
    "mtg_jamendo": Case(
        "mtg_jamendo",
        mtg_jamendo,
        "ann.mp3 ben.mp3 cy.mp3",
        "- - -",
        "train val test",
        (("loud", "wet"), ("wet",), ("wet",)),
        "ann ben cy",
    ),
    "pictures": Case(
        "images", picture_folders, "blue/1.bmp red/1.png red/2.jpg", "blue red red", picture=True
    ),
    "picture table": Case("images", picture_table, PICTURES, "red red blue", picture=True),
}


def test_every_layout_has_a_case() -> None:
    assert {case.kind for case in CASES.values()} == set(kinds(Layout))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_contract(tmp_path: Path, write_sound: Write, write_table: Write, case: Case) -> None:
    folder = tmp_path / "set"
    case.make(folder, write_sound, write_table)
    found = Collection.load(f"{case.kind}:{folder}")
    table = found.table
    assert found.kind == ("picture" if case.picture else "sound")
    assert found.name == "set"
    assert list(table["id"]) == case.ids.split()
    assert list(table["label"]) == ["" if label == "-" else label for label in case.labels.split()]
    assert list(table["tags"]) == list(case.tags)
    if case.split:
        assert list(table["split"]) == case.split.split()
    else:
        assert sorted(table["split"]) == ["test", "train", "val"]
    assert list(table["group"]) == (case.group.split() or list(table["recording"]))
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in table["path"])
    lengths = [0.0] * 3 if case.picture else [case.seconds] * 3
    assert list(table["seconds"]) == pytest.approx(lengths, abs=0.02)
    assert [problem for problem in found.problems if problem.severity == "left out"] == []
    alone = Collection.load(folder)
    if case.known:
        assert alone.fingerprint() == found.fingerprint()
    else:
        assert alone.fingerprint() != found.fingerprint()


@pytest.mark.parametrize("kind", [*kinds(Layout)])
def test_a_folder_without_sounds_is_refused_in_words(tmp_path: Path, kind: str) -> None:
    (tmp_path / "notes.txt").write_text("nothing to hear")
    with pytest.raises(DataError) as error:
        Collection.load(f"{kind}:{tmp_path}")
    assert str(error.value).startswith(f"{tmp_path}: ")
    assert "no " in str(error.value)


def test_folders_that_only_wrap_are_no_labels(tmp_path: Path, write_sound: Write) -> None:
    for name in ("data/audio/dog/1.wav", "data/audio/rain/2.wav", "data/audio/rain/3.wav"):
        write_sound(tmp_path / name)
    assert list(Collection.load(tmp_path).table["label"]) == ["dog", "rain", "rain"]


def folders(folder: Path, write_sound: Write, *names: str) -> None:
    for name in names:
        for number in range(2):
            write_sound(folder / name / f"{number}.wav")


def test_sides_beside_a_folder_that_is_none_are_refused_with_both_readings(
    tmp_path: Path, write_sound: Write
) -> None:
    folders(tmp_path, write_sound, *(f"{one}/{two}" for one in ("train", "test", "extra") for two in "ab"))
    with pytest.raises(DataError) as error:
        Collection.load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: the folders test, train have names of splits, but extra does not. "
        "To use them as the split and leave out the others: "
        f"folder:{tmp_path}?first=split. If all are labels: folder:{tmp_path}?first=label."
    )
    splits = Collection.load(f"folder:{tmp_path}?first=split")
    assert [len(splits.rows(split)) for split in ("train", "test", "")] == [4 - len(splits.rows("val")), 4, 4]
    assert set(splits.table["label"]) == {"a", "b"}
    labels = Collection.load(f"folder:{tmp_path}?first=label")
    assert set(labels.table["label"]) == {"train", "test", "extra"}


def test_more_words_for_sides_and_one_side_alone_is_told(tmp_path: Path, write_sound: Write) -> None:
    folders(tmp_path / "a", write_sound, "train_set/x", "test-data/x", "validate/x")
    found = Collection.load(tmp_path / "a")
    assert list(found.table["split"]) == ["test", "test", "train", "train", "val", "val"]
    assert set(found.table["label"]) == {"x"}
    folders(tmp_path / "b", write_sound, "train", "ship")  # what the sound is of
    found = Collection.load(tmp_path / "b")
    assert set(found.table["label"]) == {"train", "ship"}
    assert [str(problem) for problem in found.problems] == [
        "train: the folder is used as a label, but it has the name of a split. "
        f"If it is a split: folder:{tmp_path / 'b'}?first=split; if not: folder:{tmp_path / 'b'}?first=label."
    ]
    assert Collection.load(f"folder:{tmp_path / 'b'}?first=label").problems == ()


def test_second_folders_may_be_the_split(tmp_path: Path, write_sound: Write) -> None:
    folders(tmp_path, write_sound, *(f"{one}/{two}" for one in "ab" for two in ("train", "val", "test")))
    found = Collection.load(tmp_path)
    assert list(found.table["label"]) == ["a"] * 6 + ["b"] * 6
    assert list(found.table["split"]) == (["test"] * 2 + ["train"] * 2 + ["val"] * 2) * 2


def test_folders_beside_the_sides_of_an_audiofolder_are_told(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    metadata_by_side(tmp_path, write_sound, write_table)
    write_sound(tmp_path / "test/4.wav")
    write_sound(tmp_path / "extra/5.wav")
    assert [str(problem) for problem in Collection.load(tmp_path).problems[:2]] == [
        "extra: the folder was not read: it is not called train, val, test or the like. "
        "To use it, rename it or give it a table; otherwise ignore this.",
        "test: the folder was not read: there is no metadata.csv, .jsonl or .parquet in it. "
        "To use it, rename it or give it a table; otherwise ignore this.",
    ]


def test_a_table_whose_paths_say_sides_but_no_column_does(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    for name in ("train/1.wav", "train/2.wav", "test/3.wav"):
        write_sound(tmp_path / name)
    table = write_table(tmp_path / "labels.csv", "path", "train/1.wav", "train/2.wav", "test/3.wav")
    (problem,) = Collection.load(table).problems
    assert str(problem) == (
        "labels.csv: paths begin with test, train, which is not used as the split; one is made instead. "
        "Write them into a column split, or give audiofolder:FOLDER; otherwise data.split=false."
    )
    assert Collection.load(table, Columns(split=False)).problems == ()
    assert len(Collection.load(f"audiofolder:{tmp_path}").rows("test")) == 1


def test_metadata_of_sides_and_others_is_refused(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    metadata_lines(tmp_path, write_sound, write_table)
    write_sound(tmp_path / "new/4.wav")
    with (tmp_path / "metadata.jsonl").open("a") as file:
        file.write(json.dumps({"file_name": "new/4.wav", "label": "dog"}))
    with pytest.raises(DataError, match=r"some do not \(row 4: 'new'\)\. Write a column split, or"):
        Collection.load(tmp_path)
    assert len(Collection.load(f"table:{tmp_path}")) == 4


@pytest.mark.parametrize("name", [b"caf\xe9.wav", b"cl\xff\xfe/\xff1.wav"])
def test_names_that_are_no_utf8_are_left_out_and_named(
    tmp_path: Path, write_sound: Write, name: bytes
) -> None:
    class_folders(tmp_path, write_sound, write_sound)
    bad = os.fsencode(tmp_path / "dog") + b"/" + name
    os.makedirs(os.path.dirname(bad), exist_ok=True)
    shutil.copy(os.fsencode(tmp_path / "dog/1.wav"), bad)
    found = Collection.load(tmp_path)
    assert len(found) == 3
    assert [str(problem) for problem in found.problems] == [
        f"dog/{name.decode(errors='backslashreplace')}: its name is not UTF-8 text. Rename it; "
        "`convmv -f latin1 -t utf8 -r --notest FOLDER` renames all in a folder."
    ]
    json.dumps([problem.as_json() for problem in found.problems]).encode()
    found.fingerprint()
    with pytest.raises(DataError, match=r"dog.*: (the path is not UTF-8 text|it is neither)"):
        Collection.load(os.fsdecode(bad))


def test_folders_that_are_places_are_no_labels(tmp_path: Path, write_sound: Write) -> None:
    for plot in "AB":
        for hour in range(3):
            write_sound(tmp_path / f"PLOT_{plot}/2024061{hour}/20240612_0{hour}0000.WAV")
    write_sound(tmp_path / "20240612_090000.WAV")
    found = Collection.load(tmp_path)
    assert set(found.table["label"]) == {"", "PLOT_A", "PLOT_B"}
    assert str(found.problems[-1]) == (
        f"{tmp_path.name}: files are named by date and time, and their folders (PLOT_A, PLOT_B) are used as "
        "labels. If the folders are places: data.label=false (`nearfield check`: --label false)."
    )
    plain = Collection.load(tmp_path, Columns(label=False))
    assert set(plain.table["label"]) == {""}
    assert list(plain.table["folder"]) == ["", *["PLOT_A"] * 3, *["PLOT_B"] * 3]
    assert plain.problems == ()
    by_place = Collection.load(tmp_path, Columns(label=False, recording="folder"))
    assert set(by_place.table["group"][1:]) == {"PLOT_A", "PLOT_B"}
    assert list(np.diff(by_place.table["moment"][1:4])) == [3600.0] * 2
    assert by_place.problems == ()
    write_sound(tmp_path / "PLOT_B/note.wav")
    undated = Collection.load(tmp_path, Columns(label=False, recording="folder"))
    assert str(undated.problems[0]) == (
        f"{tmp_path.name}: files without date and time in their name start at 0 s of their recording "
        "(1 of 8, the first is PLOT_B/note.wav). Leave data.recording out, or give a table with start as "
        "date and time."
    )
    (tmp_path / "PLOT_B/note.wav").unlink()
    of_time = Collection.load(tmp_path, Columns(folder_labels=False))
    assert set(of_time.table["label"]) == {""}
    assert str(of_time.problems[0]) == (
        f"{tmp_path.name}: folders (PLOT_A, PLOT_B) are not used as labels, because the recipe trains on "
        "time. They are in the column `folder`. To evaluate with them: data.label=label."
    )
    chosen = Collection.load(tmp_path, Columns(folder_labels=False, label="label"))
    assert set(chosen.table["label"]) == {"", "PLOT_A", "PLOT_B"}


def test_folders_may_begin_and_end_with_blanks(tmp_path: Path, write_sound: Write) -> None:
    for name in (" lead/0.wav", "trail /1.wav", "ok/ 2 .wav", " top.wav"):
        write_sound(tmp_path / name)
    found = Collection.load(f"folder:{tmp_path}?first=label")
    assert list(found.table["id"]) == [" lead/0.wav", " top.wav", "ok/ 2 .wav", "trail /1.wav"]
    assert list(found.table["label"]) == ["lead", "", "ok", "trail"]


def test_loose_files_unread_formats_and_pictures_among_sounds_are_named(
    tmp_path: Path, write_sound: Write
) -> None:
    class_folders(tmp_path, write_sound, write_sound)
    write_sound(tmp_path / "loose.wav")
    write_picture(tmp_path / "dog/cover.png", 1)
    (tmp_path / "dog/3.m4a").write_bytes(b"some")
    (tmp_path / "dog/._1.wav").write_bytes(b"hidden")
    found = Collection.load(tmp_path)
    assert len(found) == 4
    assert [str(problem) for problem in found.problems] == [
        "dog/3.m4a: .m4a files cannot be decoded. Convert it, for example: ffmpeg -i 3.m4a 3.flac",
        "dog/cover.png: pictures among the sounds are not taken (1 found). "
        "To take them instead, write images:PATH.",
        ".: files beside the class folders have no label (1 found). Move them into class folders.",
    ]
    assert [problem.severity for problem in found.problems] == ["left out", "warning", "warning"]
    assert Collection.load(f"images:{tmp_path}").kind == "picture"


def test_links_are_followed_but_not_in_circles(tmp_path: Path, write_sound: Write) -> None:
    write_sound(tmp_path / "elsewhere/1.wav")
    folder = tmp_path / "set"
    write_sound(folder / "dog/1.wav")
    (folder / "rain").symlink_to(tmp_path / "elsewhere")
    (folder / "dog/up").symlink_to(folder)
    assert list(Collection.load(folder).table["id"]) == ["dog/1.wav", "rain/1.wav"]


def test_two_tables_in_one_folder(tmp_path: Path, write_sound: Write, write_table: Write) -> None:
    labelled_table(tmp_path, write_sound, write_table)
    write_table(tmp_path / "metadata.csv", "file_name,label", "dog/1.wav,cat")
    found = Collection.load(tmp_path)
    assert [str(problem) for problem in found.problems] == [
        "metadata.csv: the table was not read, because labels.csv is there. To read it, give its own path."
    ]
    assert list(Collection.load(tmp_path / "metadata.csv").table["label"]) == ["cat"]


def test_esc50_folds_can_be_turned_and_the_sounds_lie_elsewhere(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    esc50_table(tmp_path, write_sound, write_table)
    (tmp_path / "audio").rename(tmp_path / "sounds")
    data = f"esc50:{tmp_path}?test_fold=1&audio={tmp_path / 'sounds'}"
    found = Collection.load(data)
    assert list(found.table["split"]) == ["test", "train", "val"]
    assert found.problems == ()
    beside = Collection.load(f"esc50:{tmp_path}?test_fold=1&audio=sounds")  # from the set's folder
    assert list(beside.table["path"]) == list(found.table["path"])
    with pytest.raises(DataError, match=r"esc50: audio: there is no folder nowhere"):
        Collection.load(f"esc50:{tmp_path}?audio=nowhere")
    listing = Esc50(test_fold=4, val_fold=5, audio=tmp_path / "sounds").read(tmp_path)
    other = Collection.from_listing(listing, "esc")
    assert list(other.table["split"]) == ["train", "test", "val"]


def test_where_no_file_is_found_the_option_that_names_their_folder_is_told(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    esc50_table(tmp_path, write_sound, write_table)
    sounds = tmp_path.parent / f"{tmp_path.name}-sounds"
    (tmp_path / "audio").rename(sounds)
    for data in (str(tmp_path), f"esc50:{tmp_path}"):
        with pytest.raises(DataError) as error:
            Collection.load(data)
        told = str(error.value).rpartition("If the sounds are in another folder, name it: ")[2]
        assert told == f"esc50:{tmp_path}?audio=FOLDER"
        assert len(Collection.load(told.replace("FOLDER", str(sounds))).table) == 3
    table = tmp_path / "gone.csv"
    write_table(table, "path,label", "a.wav,dog")
    with pytest.raises(DataError, match=r"none of the .* can be used") as error:
        Collection.load(table)
    assert "FOLDER" not in str(error.value)


def test_esc50_of_the_real_set(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    meta = real_data("tag-formats") / "esc50"
    sounds = real_data("esc10")
    found = Collection.load(f"esc50:{meta}?audio={sounds / 'audio'}")
    plain = Collection.load(sounds)
    assert len(found) == 398
    for split in ("train", "val", "test"):
        assert len(found.rows(split)) == len(plain.rows(split))
    assert list(found.metadata().groups) == list(plain.metadata().groups)
    (tmp_path / "meta").symlink_to(meta / "meta")
    (tmp_path / "audio").symlink_to(sounds / "audio")
    assert Collection.load(tmp_path).fingerprint() == found.fingerprint()


def test_a_table_of_another_kind_beside_class_folders(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    class_folders(tmp_path, write_sound, write_table)
    told = f"\nIf metadata.csv is not a table of the clips, use only the folders: folder:{tmp_path}"
    for lines in (["id,text", "1,x"], ["path,label", "gone.wav,x"]):
        write_table(tmp_path / "metadata.csv", *lines)
        with pytest.raises(DataError) as error:
            Collection.load(tmp_path)
        assert str(error.value).endswith(told)
    assert list(Collection.load(f"folder:{tmp_path}").table["label"]) == ["dog", "dog", "rain"]


def test_a_table_in_a_class_folder_is_told(tmp_path: Path, write_sound: Write, write_table: Write) -> None:
    class_folders(tmp_path, write_sound, write_table)
    table = write_table(tmp_path / "dog/metadata.csv", "file_name,label", "1.wav,x")
    assert [str(problem) for problem in Collection.load(tmp_path).problems] == [
        "dog/metadata.csv: the table was not read, as its folder is taken for one of a set. "
        f"To read it: {table}."
    ]


def test_archives_that_were_not_unpacked_are_named(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    told = "it is an archive, which is not read. Unpack it"
    (tmp_path / "sounds.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=rf"no sounds and no pictures in it. sounds\.zip: {told}"):
        Collection.load(tmp_path)
    with pytest.raises(DataError, match=rf"sounds\.zip: {told} and give the folder\."):
        Collection.load(tmp_path / "sounds.zip")
    table = write_table(tmp_path / "labels.csv", "path", "a.wav", "b.wav")
    with pytest.raises(DataError, match=rf"no such file[\s\S]*\nsounds\.zip: {told}"):
        Collection.load(table)
    write_sound(tmp_path / "a.wav")
    assert str(Collection.load(table).problems[-1]).startswith(f"sounds.zip: {told}")
    (tmp_path / "labels.csv").unlink()
    assert [str(problem) for problem in Collection.load(tmp_path).problems] == [
        f"sounds.zip: {told}, or remove it."
    ]


def test_a_folder_of_published_sets_is_refused_with_each(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    dcase_folds(tmp_path / "dev", write_sound, write_table)
    evaluation(tmp_path / "eval", write_sound, write_table)
    with pytest.raises(DataError) as error:
        Collection.load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: it holds dev and eval, each a set of its own. Give one: dcase2018_task5:{tmp_path}/dev "
        f"or dcase2018_task5:{tmp_path}/eval?part=evaluation. To take the folders for labels: "
        f"folder:{tmp_path}."
    )
    assert len(Collection.load(f"dcase2018_task5:{tmp_path}/dev")) == 3
    assert len(Collection.load(f"dcase2018_task5:{tmp_path}/eval?part=evaluation")) == 1
    assert len(Collection.load(f"folder:{tmp_path}")) == 4


def evaluation(folder: Path, sound: Write, table: Write) -> None:
    sound(folder / "audio/1.wav", 10.0, 1000, 4)
    table(folder / "meta.txt", "audio/1.wav\tcooking\tex7")
    table(folder / "evaluation_setup/evaluate.txt", "audio/1.wav\tcooking")


def test_the_evaluation_set_says_how_it_is_read(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    evaluation(tmp_path, write_sound, write_table)
    for data in (str(tmp_path), f"dcase2018_task5:{tmp_path}"):
        with pytest.raises(DataError) as error:
            Collection.load(data)
        assert str(error.value) == (
            f"{tmp_path}: this is the evaluation set, which has no folds; all of its clips are test. "
            f"Give dcase2018_task5:{tmp_path}?part=evaluation."
        )


def test_folds_of_dcase_without_the_table_beside_them(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    dcase_folds(tmp_path, write_sound, write_table)
    rows = (tmp_path / "meta.txt").read_text().splitlines()
    write_table(tmp_path / "evaluation_setup/fold1_evaluate.txt", rows[2])
    whole = Collection.load(tmp_path).table.drop(columns="row")
    (tmp_path / "meta.txt").unlink()
    pd.testing.assert_frame_equal(Collection.load(tmp_path).table, whole)


REFUSED: dict[str, tuple[str, type[RequestError], str]] = {
    "layout": (
        "ecs50:{}",
        DataError,
        f"ecs50:{{}}: there is no layout 'ecs50'. Did you mean 'esc50'? Known: {', '.join(kinds(Layout))}, "
        "synthetic.",
    ),
    "option": (
        "esc50:{}?test_fould=2",
        RequestError,
        "esc50: unknown key 'test_fould'. Did you mean 'test_fold'? Known: test_fold, val_fold, audio.",
    ),
    "value": (
        "esc50:{}?test_fold=6",
        RequestError,
        "esc50: test_fold: input should be less than or equal to 5. Given: '6'.",
    ),
    "folds": (
        "esc50:{}?test_fold=2&val_fold=2",
        DataError,
        "esc50: fold 2 cannot be both test and val. Use two different folds.",
    ),
    "names": (
        "spoken_digits:{}",
        DataError,
        "{}: no sound in it is called like 7_jackson_32.wav (digit, speaker, index).",
    ),
    "metadata": (
        "audiofolder:{}",
        DataError,
        "{}: there is no metadata.csv, .jsonl or .parquet in it or in train/, test/, ...",
    ),
    "table": (
        "table:{}",
        DataError,
        "{}: there is no table in it. Known names: labels.csv, labels.tsv, labels.parquet, labels.jsonl, "
        "metadata.csv, metadata.tsv, metadata.parquet, metadata.jsonl.",
    ),
    "pictures": (
        "images:{}",
        DataError,
        "{}: there are no pictures in it. Give a folder with png, jpg, bmp or webp files.",
    ),
    "nearest": ("{}/dgo", DataError, "{}/dgo: there is no such file or folder. Did you mean '{}/dog'?"),
    "nowhere": ("{}/x/y/z", DataError, "{}/x/y/z: there is no such file or folder. Check the path."),
    "set": ("synthetic:tunes", RequestError, "synthetic: there is no set 'tunes'. Did you mean 'tones'? "),
    "sound": (
        "{}/dog/1.wav",
        DataError,
        "{}/dog/1.wav: it is neither a folder nor a table. "
        "Give a folder, or a .csv, .tsv, .parquet or .jsonl file.",
    ),
}


@pytest.mark.parametrize(("data", "error_type", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_opened(
    tmp_path: Path, write_sound: Write, data: str, error_type: type[RequestError], text: str
) -> None:
    class_folders(tmp_path, write_sound, write_sound)
    with pytest.raises(error_type) as error:
        Collection.load(data.replace("{}", str(tmp_path)))
    assert str(error.value).startswith(text.replace("{}", str(tmp_path)))
    if not text.startswith("synthetic"):  # which sets there are is for their own test
        assert str(error.value) == text.replace("{}", str(tmp_path))


def test_stranger_names_are_listed(tmp_path: Path, write_sound: Write) -> None:
    digits(tmp_path, write_sound, write_sound)
    esc50_names(tmp_path, write_sound, write_sound)
    found = Collection.load(f"spoken_digits:{tmp_path}")
    assert str(found.problems[0]) == (
        "1-100-A-0.wav: its name is not digit_speaker_index, as in 7_jackson_32. Rename it or take it away."
    )
    other = Collection.load(f"esc50:{tmp_path}")
    assert str(other.problems[0]) == (
        "recordings/0_ann_0.wav: its name is not fold-recording-take-class, as in 1-100032-A-0. "
        "Rename it or take it away."
    )


def test_a_synthetic_set_is_made_on_the_spot() -> None:
    options: dict[str, Any] = {"clips": 30}
    found = Collection.load("synthetic:tones?" + "&".join(f"{key}={value}" for key, value in options.items()))
    assert len(found) == 30
    assert found.name.startswith("synthetic:tones")
    assert Collection.load("synthetic:tones?clips=30").fingerprint() == found.fingerprint()
    assert Collection.load("synthetic:tones?clips=30&seed=1").fingerprint() != found.fingerprint()


def test_paths_of_a_side_may_be_absolute(tmp_path: Path, write_sound: Write, write_table: Write) -> None:
    elsewhere = write_sound(tmp_path / "elsewhere" / "a.wav")
    inside = write_sound(tmp_path / "set" / "train" / "b.wav")
    test = write_sound(tmp_path / "set" / "test" / "c.wav")
    write_table(tmp_path / "set/train/metadata.csv", "file_name,label", f"{elsewhere},x", "b.wav,y")
    write_table(tmp_path / "set/test/metadata.csv", "file_name,label", "c.wav,x")
    found = Collection.load(tmp_path / "set")
    assert set(found.table["path"]) == {str(elsewhere), str(inside), str(test)}


@pytest.mark.parametrize("firsts", [("tr", "cv", "tt"), ("fold1", "fold2"), ("dev-clean", "train-clean-100")])
def test_first_folders_that_hold_the_same_folders_are_doubted(
    tmp_path: Path, write_sound: Write, firsts: tuple[str, ...]
) -> None:
    for first in firsts:
        for label in ("cat", "dog"):
            write_sound(tmp_path / first / label / "0.wav", 0.1)
    found = Collection.load(tmp_path)
    assert set(found.table["label"]) == set(firsts)
    (problem,) = found.problems
    assert str(problem).startswith(
        f".: the first folders ({', '.join(sorted(firsts))}) are used as labels, but all have the same "
        "folders (cat, dog). "
    )
    assert Collection.load(f"folder:{tmp_path}?first=label").problems == ()
    write_sound(tmp_path / firsts[0] / "cow" / "0.wav", 0.1)
    assert Collection.load(tmp_path).problems == ()


def test_one_folder_called_like_a_side_is_doubted(tmp_path: Path, write_sound: Write) -> None:
    for label in ("cat", "dog"):
        write_sound(tmp_path / "train" / label / "0.wav", 0.1)
    (problem,) = Collection.load(tmp_path).problems
    assert "the folder is used as a label, but it has the name of a split" in str(problem)
    assert set(Collection.load(f"folder:{tmp_path}?first=split").table["label"]) == {"cat", "dog"}


def test_folders_inside_the_class_folders_of_which_some_are_sides_are_refused(
    tmp_path: Path, write_sound: Write
) -> None:
    for label in ("cat", "dog"):
        for part in ("train", "test", "extra"):
            write_sound(tmp_path / label / part / "0.wav", 0.1)
    with pytest.raises(DataError) as error:
        Collection.load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: the folders test, train inside the class folders are called like sides of a split, but "
        "extra is not. If the split is meant, rename or move these. "
        f"If there is no split: folder:{tmp_path}?first=label."
    )
    assert set(Collection.load(f"folder:{tmp_path}?first=label").table["label"]) == {"cat", "dog"}
