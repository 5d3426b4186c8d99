"""MagnaTagATune: splits, tags, songs and published counts, on small imitations of the set."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nearfield.core.errors import DataError, RequestError
from nearfield.data.collection import Collection
from nearfield.replication.magnatagatune import COURSE, Magnatagatune, song_of

Write = Callable[..., Path]

ROWS = {
    "2": ("0/ann-first-01-rain_song-0-29", "rock slow"),
    "6": ("0/ann-first-01-rain_song-29-58", "rock"),
    "7": ("b/ben-old_tunes-02-jig-0-29", "harp rock"),
    "9": ("5/cy-songs_1-03-air-30-59", "slow"),
    "10": ("c/dee-more-04-march-0-29", "rock"),
    "11": ("d/eve-most-05-reel-0-29", "harp"),
    "12": ("f/fay-last-06-tune-0-29", "slow"),
    "13": ("d/eve-most-05-reel-29-58", ""),
}
"""Path without ending and tags, by the clip's number. Rock is the most frequent tag, then slow, then harp."""
TAGS = ("harp", "rock", "silent", "slow")


def quoted(*cells: str) -> str:
    return "\t".join(f'"{cell}"' for cell in cells)


def write_annotations(folder: Path, table: Write, rows: dict[str, tuple[str, str]]) -> None:
    lines = [quoted("clip_id", *TAGS, "mp3_path")]
    for clip, (path, tags) in rows.items():
        lines.append(quoted(clip, *(str(int(tag in tags.split())) for tag in TAGS), f"{path}.mp3"))
    table(folder / "annotations_final.csv", *lines)


def write_lists(folder: Path, table: Write, ending: str = "") -> None:
    """Sides other than those by folder: 2, 6, 7 train, 9, 10 val, 11, 12, 13 test."""
    splits = {"train": ("2", "6", "7"), "val": ("9", "10"), "test": ("11", "12", "13")}
    table(folder / "top_tags.txt", "slow", "rock", "harp")
    table(folder / f"index{ending}.tsv", *(f"{clip}\t{path}.mp3" for clip, (path, _) in ROWS.items()))
    for side, clips in splits.items():
        vectors = {
            clip: [float(tag in ROWS[clip][1].split()) for tag in ("slow", "rock", "harp")] for clip in clips
        }
        table(folder / f"{side}_gt{ending}.tsv", *(f"{clip}\t{vector}" for clip, vector in vectors.items()))


@pytest.fixture
def made(tmp_path: Path, write_sound: Write, write_table: Write) -> Path:
    """The annotations, and sounds of several formats."""
    write_annotations(tmp_path, write_table, ROWS)
    endings = (".mp3", ".wav", ".ogg", ".flac")
    for number, (path, _) in enumerate(ROWS.values()):
        write_sound(tmp_path / f"{path}{endings[number % 4]}")
    return tmp_path


def splits(found: Collection) -> dict[str, str]:
    return dict(zip(found.table["clip"], found.table["split"], strict=True))


def test_the_course_takes_seven_folders(made: Path) -> None:
    found = Collection.load(f"magnatagatune:{made}?split=course")
    assert splits(found) == {"2": "train", "6": "train", "7": "train", "10": "val", "11": "test"}
    assert [str(problem) for problem in found.problems] == [
        "annotations_final.csv: clips that are not in the split 'course' are left out (2). "
        "To use all, give ?split=original.",
        "annotations_final.csv: clips with none of the 3 tags are left out (1). "
        "To use more of them, list more tags in top_tags.txt.",
    ]
    assert found.split_from == (
        "given by the course split of MagnaTagATune: folders 0, 1, 2, a, b train, c val, d test"
    )
    assert Collection.load(made).fingerprint() == found.fingerprint()


def test_the_original_split_takes_all_folders(made: Path) -> None:
    found = Collection.load(f"magnatagatune:{made}?split=original")
    assert splits(found) == {
        **dict.fromkeys(("2", "6", "7", "9"), "train"),
        "10": "val",
        **dict.fromkeys(("11", "12"), "test"),
    }
    assert "original" in found.split_from
    assert [problem.kind for problem in found.problems] == ["untagged"]


def test_files_are_found_under_other_endings(made: Path) -> None:
    found = Collection.load(f"magnatagatune:{made}?split=original")
    assert sorted(Counter(Path(path).suffix for path in found.table["path"])) == [
        ".flac",
        ".mp3",
        ".ogg",
        ".wav",
    ]
    (made / "0/ann-first-01-rain_song-0-29.mp3").unlink()
    missing = Collection.load(f"magnatagatune:{made}?split=original")
    assert [(problem.kind, problem.path, problem.row) for problem in missing.problems] == [
        ("untagged", "annotations_final.csv", None),
        ("missing", "0/ann-first-01-rain_song-0-29.mp3", 2),
    ]


def test_tags_are_numbered_by_frequency_then_name(made: Path, write_table: Write) -> None:
    found = Collection.load(f"magnatagatune:{made}?split=original")
    assert found.metadata().tag_names == ("rock", "slow", "harp")
    by_clip = dict(zip(found.table["clip"], found.table["tags"], strict=True))
    for clip, tags in by_clip.items():
        assert sorted(tags) == sorted(ROWS[clip][1].split())
    marks = found.metadata().tags
    assert list(marks.sum(axis=0)) == [4, 3, 2]
    some = found.subset(np.arange(4))
    assert some.metadata().tag_names == ("rock", "slow", "harp")
    write_table(made / "top_tags.txt", "harp", "silent", "slow")
    chosen = Collection.load(f"magnatagatune:{made}?split=original")
    assert chosen.metadata().tag_names == ("harp", "slow")
    assert list(chosen.table["clip"]) == ["2", "7", "9", "11", "12"]


def test_songs_artists_and_albums_come_from_paths(made: Path) -> None:
    table = Collection.load(f"magnatagatune:{made}?split=original").table.set_index("clip")
    assert list(table.loc["6", ["song", "artist", "album", "moment"]]) == [
        "ann-first-01-rain_song",
        "ann",
        "ann-first",
        29.0,
    ]
    assert set(table.loc[["2", "6"], "group"]) == set(table.loc[["2", "6"], "recording"])
    assert table.loc[["2", "6", "7"], "group"].nunique() == 2
    metadata = Collection.load(f"magnatagatune:{made}?split=original").metadata()
    assert set(metadata.columns) == {"clip", "song", "artist", "album"}
    by_artist = Collection.load(f"magnatagatune:{made}?split=original&group=artist").table
    assert list(by_artist["group"]) == list(by_artist["artist"])


@pytest.mark.parametrize(
    ("path", "song"),
    [
        (
            "f/american_bach_soloists-j_s__bach_solo_cantatas-01-bwv54__i_aria-30-59.mp3",
            ("american_bach_soloists", "j_s__bach_solo_cantatas", "01-bwv54__i_aria", 30.0),
        ),
        ("0/a-b-c_d-12-e-f-0-29.wav", ("a", "b-c_d", "12-e-f", 0.0)),
        ("audio/8bitdungeonboss_0.ogg", None),
        ("f/only-two-30-59.mp3", None),
    ],
)
def test_names_of_paths(path: str, song: tuple[str, str, str, float] | None) -> None:
    found = song_of(path)
    if song is None:
        assert found is None
    else:
        artist, album, rest, begins = song
        assert found is not None
        assert (found.artist, found.album) == (artist, f"{artist}-{album}")
        assert (found.name, found.begins) == (f"{artist}-{album}-{rest}", begins)


def test_other_names_are_looked_up_in_the_clip_info(
    tmp_path: Path, write_sound: Write, write_table: Write
) -> None:
    rows = {"2": ("0/one", "rock"), "3": ("1/two", "slow"), "4": ("c/three", "harp"), "5": ("d/four", "harp")}
    write_annotations(tmp_path, write_table, rows)
    for path, _ in rows.values():
        write_sound(tmp_path / f"{path}.mp3")
    plain = Collection.load(f"magnatagatune:{tmp_path}").table
    assert list(plain["song"]) == [""] * 4
    assert list(plain["group"]) == ["0/one.mp3", "1/two.mp3", "c/three.mp3", "d/four.mp3"]
    write_table(
        tmp_path / "clip_info_final.csv",
        quoted("clip_id", "title", "artist", "album", "segmentStart"),
        quoted("2", "Rain", "Ann", "First", "21"),
        quoted("3", "Rain", "Ann", "First", "50"),
        quoted("4", "Sun", "Ben", "", ""),
    )
    table = Collection.load(f"magnatagatune:{tmp_path}").table
    assert list(table["song"]) == ["Ann-First-Rain", "Ann-First-Rain", "Ben--Sun", ""]
    assert list(table["artist"]) == ["Ann", "Ann", "Ben", ""]
    assert list(table["moment"]) == [21.0, 50.0, 0.0, 0.0]
    write_table(tmp_path / "clip_info_final.csv", quoted("clip_id", "title"), quoted("2", "Rain"))
    with pytest.raises(DataError) as error:
        Collection.load(f"magnatagatune:{tmp_path}")
    assert str(error.value) == (
        f"{tmp_path / 'clip_info_final.csv'}: there is no column 'album'. Columns must be separated by tabs."
    )


@pytest.mark.parametrize("ending", ["", "_mtt"])
def test_published_lists(made: Path, write_table: Write, ending: str) -> None:
    write_lists(made, write_table, ending)
    wanted = {**dict.fromkeys("267", "train"), "9": "val", "10": "val", "11": "test", "12": "test"}
    by_lists = Collection.load(f"magnatagatune:{made}?split=gt")
    assert splits(by_lists) == wanted
    assert by_lists.metadata().tag_names == ("slow", "rock", "harp")
    assert by_lists.split_from == (
        "given by the published lists (train_gt, val_gt, test_gt) of MagnaTagATune and their own tags"
    )
    cleaned = Collection.load(f"magnatagatune:{made}?split=cleaned")
    assert splits(cleaned) == wanted
    assert list(cleaned.table["tags"]) == list(by_lists.table["tags"])
    assert cleaned.split_from.startswith("given by the cleaned split")
    assert Collection.load(f"magnatagatune:{made}").split_from.startswith("given by the course split")
    (made / "annotations_final.csv").unlink()
    assert Collection.load(f"magnatagatune:{made}").fingerprint() == by_lists.fingerprint()


def test_a_clip_whose_path_is_not_listed_takes_no_part(made: Path, write_table: Write) -> None:
    write_lists(made, write_table)
    index = made / "index.tsv"
    index.write_text("\n".join(index.read_text().splitlines()[1:]) + "\n")
    found = Collection.load(f"magnatagatune:{made}?split=gt")
    assert list(found.table["clip"]) == ["6", "7", "9", "10", "11", "12"]
    assert [problem.kind for problem in found.problems] == ["other_clips", "untagged"]


REFUSED = {
    "split": (
        "?split=clean",
        RequestError,
        "magnatagatune: split: input should be 'course', 'original', 'cleaned' or 'gt'. Given: 'clean'.",
    ),
    "group": (
        "?group=label",
        RequestError,
        "magnatagatune: group: input should be 'song', 'artist' or 'album'. Given: 'label'.",
    ),
    "audio": (
        "?audio=nowhere",
        DataError,
        "magnatagatune: audio: there is no folder nowhere and {}/nowhere. Give the folder with the sounds.",
    ),
    "gt": (
        "?split=gt",
        DataError,
        "{}: there is no top_tags.txt in it, so the names of the tags in the lists are unknown. Write one "
        "tag per line, in the order of the numbers.",
    ),
    "cleaned": (
        "?split=cleaned",
        DataError,
        "{}: there is no train_gt.tsv in it. Copy the published lists there, or give ?split=original.",
    ),
}


@pytest.mark.parametrize(("options", "kind", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_asked_for(made: Path, options: str, kind: type[RequestError], text: str) -> None:
    with pytest.raises(kind) as error:
        Collection.load(f"magnatagatune:{made}{options}")
    assert str(error.value) == text.replace("{}", str(made))


def error_of(made: Path, options: str = "") -> str:
    with pytest.raises(DataError) as error:
        Collection.load(f"magnatagatune:{made}{options}")
    return str(error.value).replace(str(made), "{}")


def test_tables_that_are_not_what_they_should_be(made: Path, write_table: Write) -> None:
    file = made / "annotations_final.csv"
    whole = file.read_text()
    file.write_text(whole.replace('"7"\t"1"', '"7"\t"yes"'))
    assert error_of(made) == (
        "{}/annotations_final.csv: row 4: 'harp' is 'yes', neither 0 nor 1. Download it again."
    )
    file.write_text(whole.replace('"7"\t"1"', '"7"\t"2"'))
    assert "row 4: 'harp' is '2', neither 0 nor 1" in error_of(made)
    file.write_text(whole.replace("mp3_path", "file"))
    assert error_of(made) == (
        "{}/annotations_final.csv: there is no column 'mp3_path'. Columns must be separated by tabs."
    )
    file.write_text(whole.splitlines()[0] + "\n")
    assert error_of(made) == "{}/annotations_final.csv: there are no rows in it. Download it again."
    file.write_text(whole + quoted(*"123456789") + "\n")
    assert error_of(made).startswith("{}/annotations_final.csv: it cannot be read as a table (")
    file.write_text(whole)
    write_table(made / "top_tags.txt", "rock", "polka")
    assert error_of(made) == (
        "{}/top_tags.txt: annotations_final.csv has no tag 'polka'. Correct or remove it."
    )
    write_table(made / "top_tags.txt", "silent")
    assert error_of(made) == (
        "{}: the split 'course' contains no clip with a tag (the first clip is in '0'). Use another: "
        "?split=course, original, cleaned or gt."
    )


def test_lists_that_are_not_what_they_should_be(made: Path, write_table: Write) -> None:
    write_lists(made, write_table)
    write_table(made / "val_gt.tsv", "9\t[0.0, 1.0]")
    assert error_of(made, "?split=gt") == (
        "{}/val_gt.tsv: line 1: there must be 3 numbers in brackets, one per tag of top_tags.txt."
    )
    write_table(made / "val_gt.tsv", "9\tnone")
    assert "line 1: there must be 3 numbers in brackets" in error_of(made, "?split=gt")
    for cell in ('[0.0, "1", 0.0]', "[0.0, null, 0.0]", "[0.0, [1], 0.0]"):
        write_table(made / "val_gt.tsv", f"9\t{cell}")
        assert "line 1: there must be 3 numbers in brackets" in error_of(made, "?split=gt")
    for side in ("train", "val", "test"):
        (made / f"{side}_gt.tsv").write_text("\n")
    assert error_of(made, "?split=gt") == "{}: the published lists contain no clip. Copy them again."
    write_lists(made, write_table)
    write_table(made / "val_gt.tsv", "10\t[0.0, 1.0, 0.0]", "2\t[0.0, 1.0, 0.0]")
    for split in ("gt", "cleaned"):
        assert error_of(made, f"?split={split}") == (
            "{}/val_gt.tsv: line 2: the clip '2' is listed for train already. Copy the published lists again."
        )


def test_the_published_counts_of_the_course(tmp_path: Path) -> None:
    """A table of as many rows as published, the tagged ones of each folder as many as the course says."""
    tagged = {"a": COURSE["train"], "c": COURSE["val"], "d": COURSE["test"]}
    paths = [f"{folder}/{n}.mp3" for folder, count in tagged.items() for n in range(count)]
    marks = [1] * len(paths)
    paths += [f"{'0c9'[n % 3]}/none{n}.mp3" for n in range(25_863 - len(paths))]
    marks += [0] * (len(paths) - len(marks))
    table = pd.DataFrame({"clip_id": range(len(paths)), "rock": marks, "mp3_path": paths})
    table.to_csv(tmp_path / "annotations_final.csv", sep="\t", index=False, quoting=1)
    listing = Magnatagatune(split="course").read(tmp_path)
    assert len(listing.table) == 9_074
    assert dict(Counter(listing.table["split"])) == {"train": 6_206, "val": 1_529, "test": 1_339}
    assert {problem.severity for problem in listing.problems} == {"left out"}
    table.loc[0, "rock"] = 0
    table.to_csv(tmp_path / "annotations_final.csv", sep="\t", index=False, quoting=1)
    warned = [p for p in Magnatagatune(split="course").read(tmp_path).problems if p.severity == "warning"]
    assert [problem.reason for problem in warned] == [
        "clips of the course split: 9,073 found, 9,074 published.",
        "train clips of the course split: 6,205 found, 6,206 published.",
    ]
    original = Magnatagatune(split="original").read(tmp_path)
    assert {problem.severity for problem in original.problems} == {"left out"}


@pytest.mark.parametrize("split", ["", "&split=gt", "&split=cleaned"])
def test_the_imitation(real_data: Callable[[str], Path], split: str) -> None:
    folder, sounds = real_data("tag-formats") / "magnatagatune", real_data("incompetech-tags")
    found = Collection.load(f"magnatagatune:{folder}?audio={sounds}{split}")
    plain = Collection.load(sounds)
    assert found.problems == ()
    assert [len(found.rows(side)) for side in ("train", "val", "test")] == [294, 75, 123]
    tops = (folder / "top_tags.txt").read_text().splitlines()
    assert found.metadata().tag_names == tuple(tops)
    own = dict(zip(found.table["id"], found.table["tags"], strict=True))
    reference = dict(zip(plain.table["id"], plain.table["tags"], strict=True))
    for clip, tags in own.items():
        assert {tag.replace(" ", "_") for tag in tags} == {tag.split("/")[1] for tag in reference[clip]}
    assert found.split_hash() == plain.split_hash()
    assert found.table["song"].nunique() == 164


@pytest.mark.parametrize("split", ["course", "original"])
def test_folders_of_the_imitation_are_all_train(real_data: Callable[[str], Path], split: str) -> None:
    folder, sounds = real_data("tag-formats") / "magnatagatune", real_data("incompetech-tags")
    found = Collection.load(f"magnatagatune:{folder}?audio={sounds}&split={split}")
    assert len(found) == 492
    assert set(found.table["split"]) == {"train", "val"}
    with pytest.raises(DataError, match="1 group occurs in more than one split"):
        Collection.load(f"magnatagatune:{folder}?audio={sounds}&split=gt&group=artist")
