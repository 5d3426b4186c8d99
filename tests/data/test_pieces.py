"""Names that look like pieces of one recording: told where they leak, grouped by the pattern that is told."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from nearfield.core.errors import DataError, RequestError
from nearfield.core.settings import make
from nearfield.data.collection import Collection
from nearfield.data.settings import Columns, DataSettings

Write = Callable[..., Path]
Real = Callable[[str], Path]


def written(folder: Path, write_sound: Write, form: str, recordings: int = 8, pieces: int = 3) -> Path:
    """Two labels of some recordings with pieces each, called as `form` says."""
    for label in ("dog", "cat"):
        for recording in range(recordings):
            for piece in range(pieces):
                name = form.format(f"{label}{recording}", piece, "ABC"[piece], piece + 1)
                write_sound(folder / label / name)
    return folder


@pytest.mark.parametrize(
    "form",
    [
        "{0}-{2}.wav",
        "1-{0}-{2}-7.wav",
        "{0}_take{1}.wav",
        "{0}_00{1}.wav",
        "{0}_rr{1}.wav",
        "{0} part {1}.wav",
        "{0}-{1}.wav",
    ],
)
def test_pieces_on_two_sides_are_told_and_the_pattern_told_groups_them(
    tmp_path: Path, write_sound: Write, form: str
) -> None:
    found = Collection.load(written(tmp_path, write_sound, form))
    (problem,) = found.problems
    assert problem.kind == "pieces"
    pattern = re.search(r"data\.group_by='(.*?)' ", problem.cure)
    assert pattern
    assert yaml.safe_load(pattern[1]) == pattern[1]  # as --set reads it, without the quotes of the shell
    grouped = Collection.load(tmp_path, Columns(group_by=pattern[1]))
    assert grouped.problems == ()
    assert len(set(grouped.table["group"])) == 16
    assert set(grouped.table.groupby("group")["split"].nunique()) == {1}


def test_how_many_are_told(tmp_path: Path, write_sound: Write, write_table: Write) -> None:
    written(tmp_path, write_sound, "{0}-{2}.wav", recordings=2)
    splits = {"A": "train", "B": "val", "C": "test"}
    rows = [
        f"{label}/{label}{recording}-{piece}.wav,{label},{splits[piece]}"
        for label in ("dog", "cat") for recording in range(2) for piece in "ABC"
    ]  # fmt: skip
    (problem,) = Collection.load(write_table(tmp_path / "labels.csv", "path,label,split", *rows)).problems
    assert problem.reason == (
        "files are named like pieces of one recording (dog0-A.wav, dog0-C.wav), and 4 of 4 test clips "
        "have another piece of their recording in train."
    )


@pytest.mark.parametrize("form", ["{}_{}00.WAV", "PLOT1_{}_{}00.wav", "{}T{}00Z.flac", "{}_{}00_120s.wav"])
def test_recordings_of_one_day_are_told_as_that(tmp_path: Path, write_sound: Write, form: str) -> None:
    days, hours = [f"202406{day}" for day in range(10, 22)], ["0500", "0530", "0600"]
    for day in days:
        for hour in hours:
            write_sound(tmp_path / "season" / form.format(day, hour))
    found = Collection.load(tmp_path, Columns(label=False))
    (problem,) = found.problems
    assert "are named by date and time" in problem.reason
    assert "pieces" not in problem.reason
    pattern = re.search(r"data\.group_by='(.*?)' ", problem.cure)
    assert pattern
    grouped = Collection.load(tmp_path, Columns(label=False, group_by=pattern[1]))
    assert grouped.problems == ()
    assert set(grouped.table["group"]) == set(days)


@pytest.mark.parametrize("form", ["{1}{0}.wav", "dog_{0}.wav", "{0}{2}.wav"])
def test_other_names_are_not_told(tmp_path: Path, write_sound: Write, form: str) -> None:
    assert Collection.load(written(tmp_path, write_sound, form)).problems == ()


def test_a_numbering_of_each_label_is_no_recording(tmp_path: Path, write_sound: Write) -> None:
    for label in ("dog", "cat"):
        for number in range(12):
            write_sound(tmp_path / label / f"{label}_{number:03}.wav")
    assert Collection.load(tmp_path).problems == ()


def test_real_class_folders_are_told_as_their_table_would_group_them(real_data: Real, tmp_path: Path) -> None:
    (tmp_path / "bare").symlink_to(real_data("esc10") / "audio")
    bare = Collection.load(tmp_path / "bare")
    (problem,) = bare.problems
    pattern = re.search(r"data\.group_by='(.*?)'", problem.cure)
    assert pattern
    grouped = Collection.load(tmp_path / "bare", Columns(group_by=pattern[1]))
    table = Collection.load(real_data("esc10")).table
    assert len(set(grouped.table["group"])) == len(set(table["group"]))
    leaking = bare.table[bare.table["split"] == "test"]["path"].map(lambda path: Path(path).name[:-6])
    train = set(bare.table[bare.table["split"] == "train"]["path"].map(lambda path: Path(path).name[:-6]))
    assert f"{sum(name in train for name in leaking)} of {len(leaking)} test clips" in problem.reason


def test_group_by_a_pattern(tmp_path: Path, write_sound: Write) -> None:
    for name in ("s1/a.wav", "s1/b.wav", "s2/a.wav", "loose.wav"):
        write_sound(tmp_path / name)
    found = Collection.load(tmp_path, Columns(group_by="^([^/]+)/"))
    assert list(found.table["group"]) == ["loose.wav", "s1", "s1", "s2"]
    assert str(found.problems[1]) == (
        f"{tmp_path.name}: paths without '^([^/]+)/' are groups of their own (1 of 4, the first is "
        "loose.wav). Change data.group_by to match them."
    )
    with pytest.raises(DataError, match=r"data\.group_by: 'x\+' matches no path of .*'loose\.wav'"):
        Collection.load(tmp_path, Columns(group_by="x+"))
    with pytest.raises(DataError, match="Give one of them"):
        Collection.load(tmp_path, Columns(group_by="a", group="folder"))
    with pytest.raises(RequestError, match=r"group_by: .*no regular expression.*unterminated"):
        make(DataSettings, "data", {"group_by": "(a"})
