"""MTG-Jamendo: splits, categories and groups, on small imitations of its tables."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nearfield.core.errors import DataError, RequestError
from nearfield.data.collection import Collection

Write = Callable[..., Path]

HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
SIDES = {"train": (1, 2, 3), "validation": (4,), "test": (5, 6)}
TAGS = {
    1: "genre---rock instrument---piano",
    2: "genre---rock",
    3: "mood/theme---calm",
    4: "instrument---piano mood/theme---calm",
    5: "instrument---organ genre---rock",
    6: "",
}


def line(track: int) -> str:
    """Artists have two tracks each, of one album each."""
    cells = [
        f"track_{track:07d}",
        f"artist_{(track + 1) // 2}",
        f"album_{track}",
        f"{track:02d}/{track}.mp3",
        "212.3",
    ]
    if track == 3:
        cells[1] = "artist_1"
    return "\t".join([*cells, *TAGS[track].split()])


def write_tables(folder: Path, table: Write, split: int = 0) -> None:
    table(folder / "autotagging.tsv", HEADER, *map(line, TAGS))
    for side, tracks in SIDES.items():
        table(folder / f"splits/split-{split}/autotagging-{side}.tsv", HEADER, *map(line, tracks))


@pytest.fixture
def made(tmp_path: Path, write_sound: Write, write_table: Write) -> Path:
    """Tables, and sounds of several names and formats."""
    write_tables(tmp_path, write_table)
    for name in ("01/1.mp3", "02/2.low.mp3", "03/3.ogg", "04/4.wav", "05/5.mp3", "06/6.mp3"):
        write_sound(tmp_path / name)
    return tmp_path


def test_a_published_split(made: Path) -> None:
    found = Collection.load(f"mtg_jamendo:{made}")
    table = found.table
    assert list(table["track"]) == [f"track_{track:07d}" for track in (1, 2, 3, 4, 5)]
    assert list(table["split"]) == ["train", "train", "train", "val", "test"]
    assert found.split_from == "given by split 0 of MTG-Jamendo"
    assert [str(problem) for problem in found.problems] == [
        "split-0: tracks without a tag of the category are left out (1). Use all categories to include more "
        "tracks."
    ]
    assert [Path(path).name for path in table["path"]] == ["1.mp3", "2.low.mp3", "3.ogg", "4.wav", "5.mp3"]
    assert (
        list(table["group"])
        == list(table["artist"])
        == ["artist_1", "artist_1", "artist_1", "artist_2", "artist_3"]
    )
    assert found.metadata().tag_names == (
        "genre---rock",
        "instrument---piano",
        "mood/theme---calm",
        "instrument---organ",
    )
    assert set(found.metadata().columns) == {"track", "artist", "album"}
    assert Collection.load(made).fingerprint() == found.fingerprint()


def test_tags_of_one_category(made: Path) -> None:
    found = Collection.load(f"mtg_jamendo:{made}?category=instrument")
    assert list(found.table["tags"]) == [
        ("instrument---piano",),
        ("instrument---piano",),
        ("instrument---organ",),
    ]
    assert "are left out (3)" in found.problems[0].reason
    moods = Collection.load(f"mtg_jamendo:{made}?category=mood/theme&split=none")
    assert list(moods.table["track"]) == ["track_0000003", "track_0000004"]


def test_without_a_split_one_by_artists_is_made(made: Path) -> None:
    found = Collection.load(f"mtg_jamendo:{made}?split=none")
    assert found.split_from == "made, with seed 0"
    assert set(found.table.groupby("artist")["split"].nunique()) == {1}
    by_track = Collection.load(f"mtg_jamendo:{made}?split=none&group=album").table
    assert list(by_track["group"]) == list(by_track["album"])


def test_tables_may_lie_in_the_repository_and_sounds_elsewhere(
    tmp_path: Path, made: Path, write_table: Write
) -> None:
    repository = tmp_path / "mtg-jamendo-dataset"
    write_tables(repository / "data", write_table, split=2)
    found = Collection.load(f"mtg_jamendo:{repository}?split=2&audio={made}")
    assert len(found) == 5
    assert found.name == "mtg-jamendo-dataset"


def test_an_artist_on_two_sides_is_refused(made: Path) -> None:
    file = made / "splits/split-0/autotagging-test.tsv"
    file.write_text(file.read_text().replace("artist_3", "artist_1"))
    with pytest.raises(DataError, match="artist_1: 3 train, 1 test"):
        Collection.load(made)
    assert len(Collection.load(f"mtg_jamendo:{made}?group=track")) == 5


def test_damaged_lines_are_counted(made: Path) -> None:
    file = made / "autotagging.tsv"
    file.write_text(file.read_text() + "track_9\tartist_9\n")
    found = Collection.load(f"mtg_jamendo:{made}?split=none")
    assert [problem.kind for problem in found.problems] == ["ragged", "untagged"]
    assert str(found.problems[0]) == (
        "autotagging.tsv: lines with fewer than 5 cells are left out (1). Copy the tables again."
    )


REFUSED = {
    "split": (
        "?split=5",
        RequestError,
        "mtg_jamendo: split: input should be less than or equal to 4. Given: '5'.",
    ),
    "absent": (
        "?split=1",
        DataError,
        "{}: there is no splits/split-1 in it. Use another split, for example ?split=0, or ?split=none to "
        "make a split.",
    ),
    "category": (
        "?category=mood",
        RequestError,
        "mtg_jamendo: category: input should be 'genre', 'instrument' or 'mood/theme'. Given: 'mood'.",
    ),
    "audio": (
        "?audio=nowhere",
        DataError,
        "mtg_jamendo: audio: there is no folder nowhere and {}/nowhere. Give the folder with the sounds.",
    ),
}


@pytest.mark.parametrize(("options", "kind", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_asked_for(made: Path, options: str, kind: type[RequestError], text: str) -> None:
    with pytest.raises(kind) as error:
        Collection.load(f"mtg_jamendo:{made}{options}")
    assert str(error.value) == text.replace("{}", str(made))


def test_missing_tables_and_tags(made: Path, write_table: Write) -> None:
    (made / "splits/split-0/autotagging-test.tsv").unlink()
    with pytest.raises(DataError) as error:
        Collection.load(made)
    assert str(error.value) == (
        f"{made}/splits/split-0: there is no autotagging-test.tsv in it. Give the folder that contains it."
    )
    write_table(made / "autotagging.tsv", HEADER, line(2))
    with pytest.raises(DataError) as error:
        Collection.load(f"mtg_jamendo:{made}?split=none&category=instrument")
    assert str(error.value) == (
        f"{made}: no track of autotagging.tsv has a tag of the category 'instrument' (category---tag). Use "
        "another category."
    )


def test_the_imitation(real_data: Callable[[str], Path]) -> None:
    folder, sounds = real_data("tag-formats") / "mtg-jamendo", real_data("incompetech-tags")
    found = Collection.load(f"mtg_jamendo:{folder}?audio={sounds}")
    assert found.problems == ()
    assert [len(found.rows(side)) for side in ("train", "val", "test")] == [98, 25, 41]
    assert list(found.table["group"]) == list(found.table["track"])  # one artist made everything
    cells = [own.split("\t") for own in (folder / "autotagging.tsv").read_text().splitlines()[1:]]
    wanted = {each[3]: tuple(each[5:]) for each in cells}
    assert dict(zip(found.table["id"], found.table["tags"], strict=True)) == wanted
    names = found.metadata().tag_names
    counts = found.metadata().tags.sum(axis=0)
    assert sorted(zip(-counts, names, strict=True)) == list(zip(-counts, names, strict=True))
    instruments = Collection.load(f"mtg_jamendo:{folder}?audio={sounds}&category=instrument")
    assert len(instruments) == sum(any("instrument---" in tag for tag in tags) for tags in wanted.values())
    with pytest.raises(DataError, match="artist_000001: 98 train, 25 val, 41 test"):
        Collection.load(f"mtg_jamendo:{folder}?audio={sounds}&group=artist")
